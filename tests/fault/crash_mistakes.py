"""Mistakes that are planted into a service, to see that the enumeration finds them."""

import os
from typing import Any

import asyncpg

from messenger.domain import Outgoing
from messenger.infrastructure.waha_channel import WahaChannel
from shared.messaging.port import Claim, Handle, Route
from tests.support.postgres import plain

_FINISH_ANYTHING = """
    CREATE OR REPLACE FUNCTION finish_task(p_id uuid, p_generation bigint, p_lease uuid)
    RETURNS text LANGUAGE sql AS $$ SELECT 'deleted' $$
"""


def acknowledge_first() -> None:
    """Work is deleted before it is done, as an early acknowledgement would."""
    make = Route.__init__

    def early(handle: Handle) -> Handle:
        async def deleted(claim: Claim) -> None:
            connection = await asyncpg.connect(plain(os.environ["DATABASE_MIGRATION_URL"]))
            await connection.execute(_FINISH_ANYTHING)
            await connection.execute("DELETE FROM queue_messages WHERE id = $1", claim.id)
            await connection.close()
            await handle(claim)

        return deleted

    def planted(self: Route, *, handle: Handle, **rest: Any) -> None:
        make(self, handle=early(handle), **rest)

    Route.__init__ = planted  # type: ignore[method-assign,assignment]


def send_again_blindly() -> None:
    """A bubble whose outcome nobody knows is sent once more without a look at the chat."""

    async def not_looked(*_: Any) -> None:
        return None

    WahaChannel.find = not_looked  # type: ignore[method-assign,assignment]
    Outgoing.repeatable = property(lambda self: not self.resent)  # type: ignore[method-assign,assignment]
