"""What a channel told nobody while we, or its server, were away is read from its history."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
import structlog

from commerce_agent.application.handlers.wa_message_handler import read_phone
from commerce_agent.application.ports.channel_history import GapRepair
from commerce_agent.application.ports.channel_server import (
    ChannelServer,
    ChannelServers,
    NoHistory,
    SessionState,
)
from commerce_agent.application.services.customer_directory import meet
from commerce_agent.application.services.message_intake import open_conversation
from commerce_agent.application.unit_of_work import UnitOfWorkFactory
from commerce_agent.domain.entities.channel import Channel, ChannelState
from commerce_agent.domain.entities.tenant import Tenant
from commerce_agent.domain.services.alias_rules import addresses_of
from shared.kernel.errors import Conflict, Forbidden, Unavailable
from shared.kernel.ids import ChannelId
from shared.messaging.port import Claim
from shared.waha.identity import native_of

log = structlog.get_logger()

_OVERLAP: Final = timedelta(minutes=10)
"""The watermark stays this far behind: servers' clocks and orders differ, and reading a message
twice is harmless."""
_LOOK_UPS: Final = 20
_EARLY_MEMORY: Final = timedelta(days=7)
"""What was said of a message that has not come by then is about one we shall never see."""


class ChannelContended(Unavailable):
    """The channel was changed meanwhile; it is looked at again."""

    code = "channel_contended"


@dataclass(frozen=True, slots=True, kw_only=True)
class GapRepairService:
    """Handles ``channel.repair``: the session's state, hidden addresses, missed messages."""

    uow: UnitOfWorkFactory
    servers: ChannelServers

    async def handle(self, claim: Claim) -> None:
        """Look after one channel.

        Raises:
            ClaimLost: somebody else did.
            Unavailable: the server does not answer; worth another try.
        """
        channel_id = ChannelId(UUID(claim.key))
        async with self.uow(claim.tenant_id) as uow:
            tenant = await uow.tenants.get(claim.tenant_id)
            channel = await uow.channels.find(channel_id)
            started = await uow.now()
            since = await uow.history.watermark(channel_id) if channel else None
        repaired = GapRepair.UNKNOWN
        if channel is not None and channel.active and tenant.is_active:
            repaired = await self._look_after(tenant, channel, since)
        async with self.uow(claim.tenant_id) as uow:
            if repaired is not GapRepair.UNKNOWN:
                await uow.history.set_gap_repair(channel_id, repaired)
            if repaired is GapRepair.OK:
                # a channel that was never read has missed nothing: its past is not ours to answer
                read_until = started if since is None else started - _OVERLAP
                await uow.history.move_watermark(channel_id, read_until)
            await uow.early.forget(channel_id, older_than=_EARLY_MEMORY)
            uow.tx.finish_with_commit(claim)
            await uow.commit()

    async def _look_after(
        self, tenant: Tenant, channel: Channel, since: datetime | None
    ) -> GapRepair:
        async with self.servers.open(tenant, channel) as server:
            if server is None:  # simulated: nothing can be missed
                return GapRepair.UNKNOWN
            try:
                state = await server.state()
                await self._report(channel, state)
                if ChannelState(state.status) is not ChannelState.WORKING:
                    return GapRepair.UNKNOWN
                await self._resolve_hidden(channel, server)
                if since is not None:
                    await self._read_history(channel, server, since)
            except (NoHistory, Forbidden) as error:
                log.warning("gap_repair_unavailable", channel_id=str(channel.id), reason=error.code)
                return GapRepair.UNAVAILABLE
        return GapRepair.OK

    async def _report(self, channel: Channel, state: SessionState) -> None:
        async with self.uow(channel.tenant_id) as uow:
            present = await uow.channels.get(channel.id)
            present.report_state(
                ChannelState(state.status), at=await uow.now(), phone=read_phone(state.phone)
            )
            try:
                await uow.commit()
            except Conflict as error:
                raise ChannelContended from error

    async def _resolve_hidden(self, channel: Channel, server: ChannelServer) -> None:
        """People we know by a hidden address only, because the look-up failed when they wrote."""
        async with self.uow(channel.tenant_id) as uow:
            hidden = await uow.history.hidden_addresses(channel.id, limit=_LOOK_UPS)
        for lid in hidden:
            phone_address = await server.address_of_lid(lid)
            if phone_address is None:
                continue
            addresses = addresses_of(lid, phone_address)
            async with self.uow(channel.tenant_id) as uow:
                customer = await meet(uow, channel.tenant_id, addresses)
                await open_conversation(uow, channel, customer, addresses)
                try:
                    await uow.commit()
                except Conflict as error:
                    raise ChannelContended from error

    async def _read_history(self, channel: Channel, server: ChannelServer, since: datetime) -> None:
        for chat in await server.chats_since(since):
            messages = await server.messages_since(chat, since)
            named = [(native, m) for m in messages if (native := native_of(m.get("id")))]
            async with self.uow(channel.tenant_id) as uow:
                unknown = await uow.history.unknown_ids(channel.id, [n for n, _ in named])
                missed = [message for native, message in named if native in unknown]
                for message in missed:
                    await uow.inbox.put(channel.id, _as_event(channel, message))
                await uow.commit()
            if missed:
                log.info("gap_repaired", channel_id=str(channel.id), messages=len(missed))


def _as_event(channel: Channel, message: dict[str, Any]) -> bytes:
    """The webhook that should have come. The same message makes the same bytes, so reading it
    twice puts it into the inbox once."""
    envelope = {"event": "message.any", "session": channel.session, "payload": message}
    return orjson.dumps(envelope, option=orjson.OPT_SORT_KEYS)
