"""The transaction that makes a draft the reply, on the condition that nothing has changed."""

from commerce_agent.application.ports.message_store import AnsweredHow
from commerce_agent.application.ports.send_store import Bubble, SendKind
from commerce_agent.application.ports.shop_agent import Draft
from commerce_agent.application.ports.turn_store import TurnOutcome
from commerce_agent.application.services.hand_over import hand_over_to_staff
from commerce_agent.application.services.turn_reading import Reading
from commerce_agent.application.services.turn_tasks import finish, turn_task
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.conversation import Conversation, HandOver
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.services.bubbles import split_bubbles
from commerce_agent.domain.services.turn_rules import FAILED_TURNS_BEFORE_HAND_OVER
from commerce_agent.domain.services.whatsapp_text import to_whatsapp
from commerce_agent.domain.value_objects.ids import ReplyId
from shared.kernel.ids import new_id
from shared.messaging.port import Claim


class NothingDrafted(Exception):
    """The agent came back with a text in which nothing can be sent."""


async def commit_reply(
    uow: UnitOfWork, reading: Reading, draft: Draft, *, lease: Lease, claim: Claim
) -> bool:
    """Commit the draft, or hand over where it is one template too many.

    ``False``: lease, owner or what the customer said has changed, or nothing of what this would
    answer is left; the unit of work must be left without a commit.

    Raises:
        ClaimLost: somebody else has finished this work.
        NothingDrafted: the draft is empty.
    """
    bubbles = _bubbles(draft)
    conversation = await uow.conversations.begin_commit(
        lease,
        owner_epoch=reading.owner_epoch,
        inbound_seq=None if reading.last_draft else reading.inbound_seq,
    )
    if conversation is None:
        return False
    if draft.fault is not None and conversation.fail() >= FAILED_TURNS_BEFORE_HAND_OVER:
        failed = HandOver(reason="failed_turns", summary=f"No good answer: {draft.fault}")
        await hand_over_to_staff(uow, conversation, failed)
    elif not await _reply(uow, conversation, reading, draft, bubbles):
        return False
    await finish(uow.tx, claim)
    await uow.commit()
    return True


async def _reply(
    uow: UnitOfWork,
    conversation: Conversation,
    reading: Reading,
    draft: Draft,
    bubbles: list[Bubble],
) -> bool:
    """``False``: all that this would answer was revoked."""
    reply_id = ReplyId(new_id())
    if not await uow.messages.settle(
        conversation.id, AnsweredHow.AI, by=reply_id, ids=reading.read
    ):
        return False
    await uow.sends.add(
        conversation, bubbles, kind=SendKind.AI, reply_id=reply_id, turn_id=reading.turn_id
    )
    await uow.turns.end(
        reading.turn_id,
        TurnOutcome.REPLIED,
        reply_id=reply_id,
        prompt_version=draft.prompt_version,
    )
    conversation.settle(oldest_waiting=await uow.messages.first_waiting_since(conversation.id))
    if conversation.first_unanswered_at is not None:
        await uow.tx.enqueue(turn_task(conversation.id))
    conversation.reply(
        turn_id=reading.turn_id,
        reply_id=reply_id,
        bubbles=len(bubbles),
        real=draft.fault is None,
        at=await uow.now(),
    )
    return True


def _bubbles(draft: Draft) -> list[Bubble]:
    texts = [Bubble(body=body) for body in split_bubbles(to_whatsapp(draft.text))]
    pictures = [Bubble(media={"type": "image", "path": path}) for path in draft.images]
    if not texts and not pictures:
        raise NothingDrafted
    return [*texts, *pictures]
