"""The store: every event of WAHA has its effects once, in one transaction with its inbox row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from commerce_agent.application.ports.announcements import Announcements
from commerce_agent.application.ports.channel_server import ChannelServers
from commerce_agent.application.ports.inbox import Arrival, InboxState
from commerce_agent.application.services.channel_secrets import (
    PREVIOUS_WEBHOOK_SECRET,
    ChannelSecrets,
)
from commerce_agent.application.services.message_changes import MessageChanges
from commerce_agent.application.services.message_intake import MessageIntake
from commerce_agent.application.services.own_messages import OwnMessages
from commerce_agent.application.services.repair_tasks import repair_task
from commerce_agent.application.services.stored import Stored, ignored, kept, parked
from commerce_agent.application.unit_of_work import UnitOfWork, UnitOfWorkFactory
from commerce_agent.domain.entities.channel import Channel, ChannelKind, ChannelState
from commerce_agent.domain.entities.tenant import Tenant
from commerce_agent.domain.services.alias_rules import addresses_of, needs_look_up
from commerce_agent.domain.value_objects.phone import BadPhone, Phone, parse_phone
from shared.kernel.errors import Conflict, DomainError, Unavailable
from shared.kernel.ids import InboxId
from shared.messaging.port import Claim
from shared.security.crypto import KeyRing
from shared.waha.addresses import phone_of
from shared.waha.events import (
    AckEvent,
    EditedEvent,
    IgnoredEvent,
    MessageEvent,
    ReactionEvent,
    RevokedEvent,
    SessionStatusEvent,
    WahaEvent,
)
from shared.waha.parsing import parse_event
from shared.waha.reading import Unreadable

log = structlog.get_logger()

_TRIES: Final = 4
_RESOLVE_LATER: Final = timedelta(minutes=1)


class StoreContended(Unavailable):
    """Others wrote the same customer or channel all the time."""

    code = "store_contended"


@dataclass(frozen=True, slots=True)
class _Known:
    """Where an event belongs."""

    tenant: Tenant
    channel: Channel
    sender_is_new: bool
    """Nobody has written from this address before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WAMessageHandler:
    """Handles ``inbox.waha``."""

    uow: UnitOfWorkFactory
    keys: KeyRing
    servers: ChannelServers
    announcements: Announcements
    intake: MessageIntake
    own: OwnMessages
    changes: MessageChanges

    async def handle(self, claim: Claim) -> None:
        """Store one event of the inbox.

        Raises:
            ClaimLost: somebody else stored it, or is doing so.
            StoreContended: others were in the way all the time; worth another try.
        """
        async with self.uow(claim.tenant_id) as uow:
            arrival = await uow.inbox.find(_inbox_id(claim))
            if arrival is None or arrival.is_settled:
                uow.tx.finish_with_commit(claim)
                await uow.commit()
                return
        stored = await self._understand(claim, arrival)
        if stored.conversation_id is not None:
            await self.announcements.conversation_changed(claim.tenant_id, stored.conversation_id)
        note = log.warning if stored.state is InboxState.PARKED else log.debug
        note(
            "event_settled",
            tenant_id=str(claim.tenant_id),
            inbox_id=claim.key,
            state=stored.state.value,
            reason=stored.reason,
        )

    async def give_up(self, uow: UnitOfWork, claim: Claim, code: str) -> None:
        """Park an event that could not be stored, for people to see; the caller commits."""
        await uow.inbox.settle(_inbox_id(claim), InboxState.PARKED, code)

    async def _understand(self, claim: Claim, arrival: Arrival) -> Stored:
        try:
            event = parse_event(arrival.body)
        except Unreadable as error:
            return await self._settle(claim, parked(error.code))
        if isinstance(event, IgnoredEvent):
            return await self._settle(claim, ignored(event.reason))
        known = await self._where(claim, arrival, event)
        if known is None:
            return await self._settle(claim, parked("no_channel"))
        addresses, look_up_failed = await self._addresses(known, event)
        for _ in range(_TRIES):
            try:
                return await self._store(
                    claim, arrival, event, known.channel, addresses, look_up_failed
                )
            except Conflict:  # a row we read was written meanwhile: read it again
                continue
        raise StoreContended

    async def _settle(self, claim: Claim, stored: Stored) -> Stored:
        async with self.uow(claim.tenant_id) as uow:
            await self._end(uow, claim, stored)
        return stored

    async def _end(self, uow: UnitOfWork, claim: Claim, stored: Stored) -> None:
        await uow.inbox.settle(_inbox_id(claim), stored.state, stored.reason)
        uow.tx.finish_with_commit(claim)
        await uow.commit()

    async def _where(self, claim: Claim, arrival: Arrival, event: WahaEvent) -> _Known | None:
        """The channel whose session this is: that of the endpoint, or, because several may share
        one secret, another with the same secret."""
        async with self.uow(claim.tenant_id) as uow:
            tenant = await uow.tenants.get(claim.tenant_id)
            endpoint = await uow.channels.find(arrival.endpoint_id)
            if endpoint is None:
                return None
            channel: Channel | None = endpoint
            if endpoint.session != event.session:
                channel = self._twin(tenant, endpoint, await uow.channels.all(), event.session)
            if channel is None:
                return None
            said = _said_in(event)
            is_new = said is not None and not await uow.customers.find_by_addresses((said[0],))
        return _Known(tenant, channel, is_new)

    def _twin(
        self, tenant: Tenant, endpoint: Channel, channels: Sequence[Channel], session: str
    ) -> Channel | None:
        secrets = ChannelSecrets.of(tenant, self.keys)
        accepted = _accepted(secrets, endpoint)
        for channel in channels:
            if channel.session == session and _accepted(secrets, channel) & accepted:
                return channel
        return None

    async def _addresses(self, known: _Known, event: WahaEvent) -> tuple[tuple[str, ...], bool]:
        """The addresses of the chat's other person; asks the server only for a hidden one that
        nobody has seen. That the server is away loses no message: the person is known by the hidden
        address then."""
        said = _said_in(event)
        if said is None:
            return (), False
        chat, alternate = said
        failed = False
        if known.sender_is_new and needs_look_up(chat, alternate):
            try:
                async with self.servers.open(known.tenant, known.channel) as server:
                    alternate = await server.address_of_lid(chat) if server else None
            except DomainError as error:
                failed = True
                log.warning("lid_not_resolved", code=error.code, channel_id=str(known.channel.id))
        return addresses_of(chat, alternate), failed

    async def _store(
        self,
        claim: Claim,
        arrival: Arrival,
        event: WahaEvent,
        channel: Channel,
        addresses: tuple[str, ...],
        look_up_failed: bool,
    ) -> Stored:
        async with self.uow(claim.tenant_id) as uow:
            stored = await self._apply(uow, channel, arrival, event, addresses)
            if look_up_failed:
                await uow.tx.enqueue(repair_task(channel.id, delay=_RESOLVE_LATER))
            await self._end(uow, claim, stored)
        return stored

    async def _apply(
        self,
        uow: UnitOfWork,
        channel: Channel,
        arrival: Arrival,
        event: WahaEvent,
        addresses: tuple[str, ...],
    ) -> Stored:
        match event:
            case MessageEvent(from_me=True):
                return await self.own.take(uow, channel, arrival, event, addresses)
            case MessageEvent():
                return await self.intake.take(uow, channel, arrival, event, addresses)
            case EditedEvent():
                return await self.changes.edit(uow, channel, event, addresses)
            case RevokedEvent():
                return await self.changes.revoke(uow, channel, event, addresses)
            case ReactionEvent():
                return await self.changes.react(uow, channel, event, addresses)
            case AckEvent():
                return await self.changes.acknowledge(uow, channel, event)
            case SessionStatusEvent():
                return await _session_status(uow, channel, event)
            case _:
                return parked("unknown_event")


def _said_in(event: WahaEvent) -> tuple[str, str | None] | None:
    """The chat of what a person said or did, and that person's other address where it is named."""
    match event:
        case MessageEvent() | EditedEvent() | RevokedEvent() | ReactionEvent():
            return (event.chat, event.alternate) if event.chat else None
    return None


async def _session_status(uow: UnitOfWork, channel: Channel, event: SessionStatusEvent) -> Stored:
    """The channel's state follows; a session that works again may have missed something."""
    state = ChannelState(event.status)
    present = await uow.channels.get(channel.id)
    present.report_state(state, at=await uow.now(), phone=read_phone(event.phone))
    if state is ChannelState.WORKING and present.kind is ChannelKind.WAHA:
        await uow.tx.enqueue(repair_task(channel.id))
    return kept()


def read_phone(address: str | None) -> Phone | None:
    """The number in an address or in E.164, if it is one that numbering plans know."""
    if not address:
        return None
    try:
        return parse_phone(phone_of(address) or address)
    except BadPhone:
        return None


def _accepted(secrets: ChannelSecrets, channel: Channel) -> set[str]:
    """The webhook secrets of a channel: the present one and, while it is rotated, the old one."""
    accepted = {secrets.webhook_secret(channel)}
    if channel.previous_webhook_secret_ciphertext is not None:
        accepted.add(
            secrets.cipher.open(
                channel.previous_webhook_secret_ciphertext,
                table="channels",
                column=PREVIOUS_WEBHOOK_SECRET,
                row=channel.id,
            )
        )
    return accepted


def _inbox_id(claim: Claim) -> InboxId:
    return InboxId(UUID(claim.key))
