"""A simulated phone: what a customer would see is kept in ``simulator_messages``."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from messenger.domain import Outgoing
from shared.cache.port import Cache
from shared.kernel.errors import Unavailable
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.persistence.database import Database
from shared.persistence.tables import simulator_messages
from shared.persistence.unit_of_work import Transaction
from shared.waha.send import SendUnknown

_SEEN = text(
    """
    UPDATE simulator_messages SET seen_at = platform_now()
    WHERE tenant_id = :tenant AND channel_id = :channel AND address = :address
      AND from_customer AND seen_at IS NULL
    """
)
_FIND = text(
    """
    SELECT native_id FROM simulator_messages
    WHERE tenant_id = :tenant AND channel_id = :channel AND native_id = :native_id
    """
)


class SimulatorChannel:
    """Sends into the simulated phone. An id is shown once, however often it is sent."""

    def __init__(
        self, database: Database, cache: Cache, tenant_id: TenantId, channel_id: ChannelId
    ) -> None:
        self.state = "working"
        self._database = database
        self._cache = cache
        self._tenant_id = tenant_id
        self._channel_id = channel_id

    async def ready(self) -> None:
        return None

    async def seen(self, send: Outgoing) -> None:
        async with Transaction(self._database, self._tenant_id) as tx:
            await tx.connection.execute(_SEEN, self._place() | {"address": send.chat})
            await tx.commit()
        await self._publish(send, {"type": "changed"})

    async def typing(self, send: Outgoing, *, on: bool) -> None:
        await self._publish(send, {"type": "typing", "on": on})

    async def reserve_id(self, send: Outgoing) -> str | None:
        return f"SIM{new_id().hex.upper()}"

    async def send(self, send: Outgoing, reserved_id: str | None) -> str | None:
        native_id = reserved_id or f"SIM{send.id.hex.upper()}"
        row = {
            "tenant_id": self._tenant_id,
            "channel_id": self._channel_id,
            "native_id": native_id,
            "address": send.chat,
            "from_customer": False,
            "body": send.body,
            "content": dict(send.media or {}),
        }
        try:
            async with Transaction(self._database, self._tenant_id) as tx:
                await tx.connection.execute(
                    insert(simulator_messages).values(row).on_conflict_do_nothing()
                )
                await tx.commit()
        except Unavailable as error:
            raise SendUnknown("the database went away during the commit") from error
        await self._publish(send, {"type": "changed"})
        return native_id

    async def find(self, send: Outgoing, since: datetime, taken: Collection[str]) -> str | None:
        native_id = send.reserved_id or f"SIM{send.id.hex.upper()}"
        async with Transaction(self._database, self._tenant_id) as tx:
            answer = await tx.connection.execute(_FIND, self._place() | {"native_id": native_id})
            found: str | None = answer.scalar_one_or_none()
        return found

    def _place(self) -> dict[str, Any]:
        return {"tenant": self._tenant_id, "channel": self._channel_id}

    async def _publish(self, send: Outgoing, message: dict[str, Any]) -> None:
        topic = f"chat:{self._tenant_id}:{self._channel_id}:{send.chat}"
        await self._cache.publish(topic, orjson.dumps(message))
