"""Events that came before the message they speak of."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from commerce_agent.application.ports.early_events import EarlyEvent
from commerce_agent.application.ports.message_store import AnsweredHow, NewMessage
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.channel import Channel
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.value_objects.ids import MessageId
from shared.kernel.ids import new_id
from shared.waha.events import ReactionEvent


async def apply_early(
    uow: UnitOfWork,
    channel: Channel,
    conversation: Conversation,
    message_id: MessageId,
    native_id: str,
    *,
    own: bool = False,
) -> bool:
    """Apply to a message just stored what was said of it before, in its own chat and by its own
    author; ``own`` is a message of the shop. Says whether it is revoked."""
    is_revoked = False
    for early in await uow.early.take(channel.id, native_id):
        if not await _concerns(uow, conversation, early, own=own):
            continue
        if early.kind == "edited":
            at = datetime.fromisoformat(early.body["at"])
            await uow.messages.edit(message_id, early.body["text"], at=at)
        elif early.kind == "revoked":
            is_revoked = True
            await uow.messages.revoke(message_id, at=datetime.fromisoformat(early.body["at"]))
        elif early.kind == "reaction":
            await uow.messages.add(reaction_from_json(conversation, early.body))
        elif early.kind == "ack":
            await uow.messages.set_ack(channel.id, native_id, early.body["level"])
    return is_revoked


async def _concerns(
    uow: UnitOfWork, conversation: Conversation, early: EarlyEvent, *, own: bool
) -> bool:
    if early.kind in ("edited", "revoked") and early.body["own"] != own:
        return False
    if not early.chat:
        return True
    customer = await uow.customers.get(conversation.customer_id)
    return early.chat in customer.addresses


def reaction_to_json(event: ReactionEvent, sent_at: datetime) -> dict[str, Any]:
    """A reaction as it waits for its message."""
    return {
        "native_id": event.native_id,
        "target": event.target_id,
        "emoji": event.emoji,
        "from_me": event.from_me,
        "sender": "me" if event.from_me else str(event.chat),
        "at": sent_at.isoformat(),
    }


def reaction_from_json(conversation: Conversation, body: Mapping[str, Any]) -> NewMessage:
    """The same as a row of its own; nobody answers a reaction."""
    own = body["from_me"]
    return NewMessage(
        id=MessageId(new_id()),
        channel_id=conversation.channel_id,
        conversation_id=conversation.id,
        direction="out" if own else "in",
        kind="reaction",
        native_id=body["native_id"],
        sender=body["sender"],
        content_type="reaction",
        body=body["emoji"],
        reply_to=body["target"],
        sent_at=datetime.fromisoformat(body["at"]),
        answered_how=None if own else AnsweredHow.NOTHING_TO_ANSWER,
    )
