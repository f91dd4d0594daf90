"""What a turn has before it: the messages that wait, the journal so far, the past."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from commerce_agent.application.ports.message_store import Waiting
from commerce_agent.application.ports.prompt_cache import Remembered
from commerce_agent.application.ports.shop_agent import (
    Discarded,
    Draft,
    Heard,
    Said,
    ShopCard,
    Spoken,
    Turn,
)
from commerce_agent.application.ports.turn_scene import Scene
from commerce_agent.application.ports.turn_store import Entry
from commerce_agent.application.services.turn_journal import step_after
from commerce_agent.application.unit_of_work import UnitOfWork
from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.entities.tenant import Tenant
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.services.message_text import heard_text
from commerce_agent.domain.services.turn_rules import MAX_DISCARDS
from commerce_agent.domain.value_objects.ids import MessageId, TurnId

HISTORY: Final = 30
"""Messages of the settled past that a prompt gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A turn as it was read, under the conversation's lock."""

    turn_id: TurnId
    discards: int
    owner_epoch: int
    inbound_seq: int
    """What the customer had said; if they go on, the draft is discarded."""
    read: tuple[MessageId, ...]
    """The messages that the draft will answer."""
    entries: list[Entry]
    """The journal as the agent may see it."""
    next_step: int
    turn: Turn
    remembered: Remembered

    @property
    def last_draft(self) -> bool:
        """No more drafts may be discarded: this one answers what it has read."""
        return self.discards >= MAX_DISCARDS


@dataclass(frozen=True, slots=True)
class _Journal:
    turn_id: TurnId
    entries: list[Entry]
    discards: int


async def read_turn(
    uow: UnitOfWork,
    conversation: Conversation,
    scene: Scene,
    *,
    lease: Lease,
    rejected: Draft | None,
    cached: Remembered | None,
    left: timedelta,
) -> Reading:
    """Journal what is new, in a new turn if none is open, and gather what the agent needs.

    ``rejected`` is a draft that did not commit because something changed; ``left`` is the rest of
    the turn's time.
    """
    journal = await _listen(uow, scene, lease=lease, rejected=rejected)
    visible = _visible(journal.entries, scene.waiting)
    remembered = _past(scene, cached)
    return Reading(
        turn_id=journal.turn_id,
        discards=journal.discards,
        owner_epoch=conversation.owner_epoch,
        inbound_seq=conversation.inbound_seq,
        read=tuple(e.body.message_id for e in visible if isinstance(e.body, Heard)),
        entries=visible,
        next_step=step_after(journal.entries),
        turn=_turn(conversation, scene, journal.turn_id, lease, remembered.history, left),
        remembered=remembered,
    )


async def _listen(
    uow: UnitOfWork, scene: Scene, *, lease: Lease, rejected: Draft | None
) -> _Journal:
    """Append what the customer said since the last step; a draft that knew nothing of it goes."""
    turn = scene.open_turn
    if turn is None:
        return await _begin(uow, scene, lease)
    entries = await uow.turns.entries(turn.id)
    latest = {e.body.message_id: e.body.text for e in entries if isinstance(e.body, Heard)}
    heard = [_heard(message) for message in scene.waiting]
    fresh = [each for each in heard if latest.get(each.message_id) != each.text]
    discards = turn.discards
    if not fresh:
        return _Journal(turn.id, entries, discards)
    draft = rejected.text if rejected else _unsent(entries)
    has_read_something = any(message.id in latest for message in scene.waiting)
    if draft is not None and discards >= MAX_DISCARDS and has_read_something:
        return _Journal(turn.id, entries, discards)  # what is new is the next turn
    added: list[Discarded | Heard] = [*fresh]
    if draft is not None:
        added.insert(0, Discarded(draft=draft))
        discards += 1
        await uow.turns.count_discard(turn.id)
    new = _numbered(added, first=step_after(entries))
    await uow.turns.append(turn.id, new, lease_epoch=lease.epoch)
    return _Journal(turn.id, [*entries, *new], discards)


async def _begin(uow: UnitOfWork, scene: Scene, lease: Lease) -> _Journal:
    entries = _numbered([_heard(message) for message in scene.waiting], first=0)
    turn = await uow.turns.begin(
        lease.conversation_id,
        llm_config_name=scene.tenant.llm_config_name,
        entries=entries,
        lease_epoch=lease.epoch,
    )
    return _Journal(turn.id, entries, turn.discards)


def _numbered(steps: Sequence[Discarded | Heard], *, first: int) -> list[Entry]:
    return [Entry(step=number, call=0, body=step) for number, step in enumerate(steps, first)]


def _heard(message: Waiting) -> Heard:
    return Heard(
        message_id=message.id,
        text=heard_text(message.content_type, message.body, message.content),
        at=message.sent_at,
        content_type=message.content_type,
        reply_to=message.reply_to,
    )


def _unsent(entries: list[Entry]) -> str | None:
    """The draft that a dead worker left at the end of the journal."""
    last = entries[-1].body if entries else None
    return last.text if isinstance(last, Spoken) and not last.tool_calls else None


def _visible(entries: list[Entry], waiting: Sequence[Waiting]) -> list[Entry]:
    """The journal without what is no longer waiting (revoked, answered by a person) and without
    the earlier wording of what was edited."""
    open_ids = {message.id for message in waiting}
    last = {e.body.message_id: e.step for e in entries if isinstance(e.body, Heard)}
    return [
        entry
        for entry in entries
        if not isinstance(entry.body, Heard)
        or (entry.body.message_id in open_ids and last[entry.body.message_id] == entry.step)
    ]


def _past(scene: Scene, cached: Remembered | None) -> Remembered:
    if scene.history is None:
        assert cached is not None
        return cached
    return Remembered(scene.stamp, scene.history)


def _turn(
    conversation: Conversation,
    scene: Scene,
    turn_id: TurnId,
    lease: Lease,
    history: tuple[Said, ...],
    left: timedelta,
) -> Turn:
    return Turn(
        id=turn_id,
        tenant_id=conversation.tenant_id,
        channel_id=conversation.channel_id,
        conversation_id=conversation.id,
        customer_id=conversation.customer_id,
        lease_epoch=lease.epoch,
        owner_epoch=conversation.owner_epoch,
        llm_config_name=scene.tenant.llm_config_name,
        state=conversation.state,
        shop=shop_card(scene.tenant),
        customer=scene.customer,
        history=history,
        handles=scene.handles,
        now=scene.now,
        deadline=left,
    )


def shop_card(tenant: Tenant) -> ShopCard:
    """What prompts and templates may say of a shop."""
    profile = tenant.profile
    return ShopCard(
        name=tenant.name,
        currency=tenant.currency,
        timezone=tenant.timezone,
        language=tenant.language.value,
        about=profile.about,
        address=profile.address,
        hours=profile.hours,
        policies=profile.policies,
        links=profile.links,
        persona=profile.persona,
    )
