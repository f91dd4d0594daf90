"""Connections whose transactions begin in one message: ``BEGIN`` and the settings that hold for it.

That message is also what finds out whether the server is still there, so nothing has to be asked
before: a pooled connection that died is found before anything was done on it.
"""

from typing import Any, Final

import asyncpg

IDLE_SECONDS: Final = 10
"""The server ends a transaction in which nobody has said anything for so long. Nothing slow happens
inside one, so its holder stands still, and others wait for its locks."""


class BeginningConnection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """A connection of the pool. SQLAlchemy takes the transaction over that `begin` has begun."""

    was_used = False
    """It has worked before, so that it may have died since."""
    _begun: "_Begun | None" = None

    async def begin(self, settings: str) -> None:
        """Begin the transaction of the next statement, with ``SET LOCAL …`` commands."""
        if not self.was_used:  # by itself: what a transaction sets goes with its rollback
            await self.execute(f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
        await self.execute(f"BEGIN; {settings}")
        self._begun = _Begun(self)
        self.was_used = True

    @property
    def is_unused(self) -> bool:
        """A transaction has begun and no statement came."""
        return self._begun is not None

    def transaction(self, **options: Any) -> Any:
        begun, self._begun = self._begun, None
        return begun or super().transaction(**options)


class _Begun:
    """A transaction that runs already, as SQLAlchemy's driver uses one."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def start(self) -> None:
        return None

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def rollback(self) -> None:
        await self._connection.execute("ROLLBACK")
