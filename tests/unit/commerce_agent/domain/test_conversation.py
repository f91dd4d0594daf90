"""The verbs of a conversation."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_agent.domain.entities.conversation import Conversation, HandOver, NotOwnedByPerson
from commerce_agent.domain.value_objects.conversation_state import Owner
from commerce_agent.domain.value_objects.ids import CustomerId, ReplyId, TurnId
from shared.kernel.ids import ChannelId, ConversationId, TenantId, new_id

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def a_conversation(**fields: Any) -> Conversation:
    return Conversation(
        id=ConversationId(new_id()),
        tenant_id=TenantId(new_id()),
        channel_id=ChannelId(new_id()),
        customer_id=CustomerId(new_id()),
        address="6281230000001@c.us",
        **fields,
    )


def events(conversation: Conversation) -> list[str]:
    return [event.name for event in conversation.pull_events()]


def test_hearing_counts_and_remembers_when_the_wait_began() -> None:
    conversation = a_conversation()
    assert conversation.hear(sent_at=NOW, now=NOW) == 1
    assert conversation.hear(sent_at=LATER, now=LATER) == 2
    assert conversation.first_unanswered_at == NOW
    assert conversation.last_message_at == LATER


def test_an_older_message_does_not_move_the_conversation_down() -> None:
    conversation = a_conversation(last_message_at=LATER)
    conversation.see(NOW)
    assert conversation.last_message_at == LATER


def test_every_change_of_owner_raises_the_epoch_and_is_told() -> None:
    conversation = a_conversation()
    conversation.pause(at=NOW)
    conversation.take_over(actor="rina", at=NOW)
    conversation.return_to_ai(actor="rina", at=NOW)
    conversation.hand_over(HandOver(reason="r", summary="s"), at=NOW)
    assert conversation.owner_epoch == 5
    assert conversation.owner is Owner.PERSON
    assert events(conversation) == [
        "conversation.paused",
        "conversation.taken_over",
        "conversation.returned",
        "conversation.handed_over",
    ]


@pytest.mark.parametrize("owner", [Owner.PERSON, Owner.PAUSED])
def test_typing_on_the_phone_takes_it_from_nobody_but_the_ai(owner: Owner) -> None:
    conversation = a_conversation(owner=owner)
    conversation.pause(at=NOW)
    assert (conversation.owner, conversation.owner_epoch) == (owner, 1)
    assert events(conversation) == []


def test_what_the_ai_has_cannot_be_returned() -> None:
    conversation = a_conversation()
    with pytest.raises(NotOwnedByPerson):
        conversation.return_to_ai(actor="rina", at=NOW)
    assert conversation.owner_epoch == 1


def test_returning_begins_with_a_clean_record_and_the_wait_begins_anew() -> None:
    conversation = a_conversation(
        owner=Owner.PERSON,
        failed_turns=2,
        incident_since=NOW,
        trouble="circuit_open",
        first_unanswered_at=NOW,
    )
    conversation.return_to_ai(actor="rina", at=LATER)
    assert conversation.first_unanswered_at == LATER
    assert conversation.failed_turns == 0
    assert conversation.incident_since is None
    assert conversation.trouble is None


def test_what_is_left_waits_since_it_came_but_not_since_before_the_return() -> None:
    conversation = a_conversation(first_unanswered_at=LATER)
    conversation.settle(oldest_waiting=NOW)
    assert conversation.first_unanswered_at == LATER
    conversation.settle(oldest_waiting=LATER + timedelta(minutes=1))
    assert conversation.first_unanswered_at == LATER + timedelta(minutes=1)
    conversation.settle(oldest_waiting=None)
    assert conversation.first_unanswered_at is None


def test_an_incident_begins_once_and_ends_with_the_first_success() -> None:
    conversation = a_conversation()
    assert conversation.delay(cause="circuit_open", at=NOW) is True
    assert conversation.delay(cause="circuit_open", at=LATER) is False
    assert conversation.delay(cause="rate_limit", at=LATER) is False
    assert (conversation.incident_since, conversation.trouble) == (NOW, "rate_limit")
    assert events(conversation) == ["conversation.answer_delayed"] * 2
    _reply(conversation, real=True)
    assert conversation.delay(cause="circuit_open", at=LATER) is True


def test_a_template_ends_the_incident_but_not_the_row_of_failures() -> None:
    conversation = a_conversation(failed_turns=2, incident_since=NOW, trouble="x")
    _reply(conversation, real=False)
    assert (conversation.failed_turns, conversation.incident_since) == (2, None)
    _reply(conversation, real=True)
    assert conversation.failed_turns == 0


def _reply(conversation: Conversation, *, real: bool) -> None:
    conversation.reply(
        turn_id=TurnId(new_id()),
        reply_id=ReplyId(new_id()),
        bubbles=1,
        lease_epoch=1,
        real=real,
        at=NOW,
    )
