"""The transaction that makes a draft the reply, on the condition that nothing has changed."""

from commerce_agent.application.ports.send_store import Bubble, SendKind
from commerce_agent.application.ports.shop_agent import Draft
from commerce_agent.application.ports.turn_store import TurnOutcome
from commerce_agent.application.services.hand_over import hand_over_to_staff
from commerce_agent.application.services.turn_reading import Reading
from commerce_agent.application.services.turn_tasks import turn_task
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.conversation import HandOver
from commerce_agent.domain.repositories.conversation_repository import BegunCommit, Lease
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
    begun = await uow.conversations.begin_commit(
        lease,
        owner_epoch=reading.owner_epoch,
        inbound_seq=None if reading.last_draft else reading.inbound_seq,
    )
    if begun is None:
        return False
    conversation = begun.conversation
    if draft.fault is not None and conversation.fail() >= FAILED_TURNS_BEFORE_HAND_OVER:
        failed = HandOver(reason="failed_turns", summary=f"No good answer: {draft.fault}")
        await hand_over_to_staff(uow, conversation, failed)
    elif not await _reply(uow, begun, reading, draft, bubbles, lease):
        return False
    uow.tx.finish_with_commit(claim)
    await uow.commit()
    return True


async def _reply(
    uow: UnitOfWork,
    begun: BegunCommit,
    reading: Reading,
    draft: Draft,
    bubbles: list[Bubble],
    lease: Lease,
) -> bool:
    """``False``: all that this would answer was revoked."""
    conversation, reply_id = begun.conversation, ReplyId(new_id())
    answered = await uow.messages.answer(conversation.id, reading.read, by=reply_id)
    if not answered.count:
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
    conversation.settle(oldest_waiting=answered.oldest_waiting)
    if conversation.first_unanswered_at is not None:
        await uow.tx.enqueue(turn_task(conversation.id))
    conversation.reply(
        turn_id=reading.turn_id,
        reply_id=reply_id,
        bubbles=len(bubbles),
        lease_epoch=lease.epoch,
        real=draft.fault is None,
        at=begun.now,
    )
    return True


def _bubbles(draft: Draft) -> list[Bubble]:
    texts = [Bubble(body=body) for body in split_bubbles(to_whatsapp(draft.text))]
    pictures = [Bubble(media={"type": "image", "path": path}) for path in draft.images]
    if not texts and not pictures:
        raise NothingDrafted
    return [*texts, *pictures]
