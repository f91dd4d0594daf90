"""Events that wait for their message, in PostgreSQL."""

from datetime import timedelta

from sqlalchemy import and_, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.early_events import EarlyEvent
from commerce_agent.infrastructure.persistence.tables import early_events
from shared.kernel.ids import ChannelId, TenantId

_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


class SqlEarlyEvents:
    """Keeps the promises of `EarlyEvents`."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def alone(self, channel_id: ChannelId, native_id: str) -> None:
        name = f"early {channel_id} {native_id}"
        await self._connection.execute(_ALONE, {"name": name})

    async def keep(self, channel_id: ChannelId, native_id: str, event: EarlyEvent) -> None:
        statement = insert(early_events).values(
            tenant_id=self._tenant_id,
            channel_id=channel_id,
            native_id=native_id,
            kind=event.kind,
            body={event.chat: dict(event.body)},
        )
        earlier, later = early_events.c.body, statement.excluded.body
        is_lower_ack = and_(
            early_events.c.kind == "ack",
            earlier[event.chat]["level"].as_integer() > later[event.chat]["level"].as_integer(),
        )
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant_id", "channel_id", "native_id", "kind"],
                set_={"body": earlier.op("||")(later)},
                where=~func.coalesce(is_lower_ack, False),
            )
        )

    async def take(self, channel_id: ChannelId, native_id: str) -> list[EarlyEvent]:
        await self.alone(channel_id, native_id)
        rows = await self._connection.execute(
            early_events.delete()
            .where(
                early_events.c.tenant_id == self._tenant_id,
                early_events.c.channel_id == channel_id,
                early_events.c.native_id == native_id,
            )
            .returning(early_events.c.kind, early_events.c.body)
        )
        # an edit that was revoked afterwards stays revoked, whichever is applied first
        return [
            EarlyEvent(kind=row.kind, body=body, chat=chat)
            for row in rows
            for chat, body in row.body.items()
        ]

    async def forget(self, channel_id: ChannelId, *, older_than: timedelta) -> None:
        await self._connection.execute(
            early_events.delete().where(
                early_events.c.tenant_id == self._tenant_id,
                early_events.c.channel_id == channel_id,
                early_events.c.created_at < func.platform_now() - older_than,
            )
        )
