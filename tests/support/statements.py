"""What an engine sends to PostgreSQL, counted.

    with Statements(database) as sent:
        ...
    assert (sent.statements, sent.commits) == (25, 6)

A statement is everything but ``BEGIN``, ``COMMIT`` and ``ROLLBACK``; the ``SET LOCAL`` that travels
in one message with ``BEGIN`` (tenant or role) counts as one. A round trip is a message that waits
for its answer; preparing a statement for the first time on a connection is one more, which is not
counted: warm up before.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sqlalchemy import event

from shared.persistence.begun import BeginningConnection
from shared.persistence.database import Database


class Statements:
    """Counts from entry to exit."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine.sync_engine
        self.texts: list[str] = []
        """Statements and ends in their order."""

    @property
    def statements(self) -> int:
        return sum(text not in _ENDS for text in self.texts)

    @property
    def commits(self) -> int:
        return self.texts.count("COMMIT")

    @property
    def round_trips(self) -> int:
        return len(self.texts)

    def __enter__(self) -> Self:
        for name, listener in self._listeners():
            event.listen(self._engine, name, listener)
        self._begin = BeginningConnection.begin
        BeginningConnection.begin = self._begins  # type: ignore[method-assign]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        BeginningConnection.begin = self._begin  # type: ignore[method-assign]
        for name, listener in self._listeners():
            event.remove(self._engine, name, listener)

    @property
    def _begins(self) -> Callable[..., Any]:
        begin = self._begin

        async def counted(connection: BeginningConnection, settings: str) -> None:
            self.texts.append(settings or "BEGIN")
            await begin(connection, settings)

        return counted

    def _listeners(self) -> tuple[tuple[str, Callable[..., None]], ...]:
        return (
            ("before_cursor_execute", self._executes),
            ("commit", self._commits),
            ("rollback", self._rolls_back),
        )

    def _executes(
        self, connection: Any, cursor: Any, text: str, values: Any, context: Any, many: bool
    ) -> None:
        self.texts.append(" ".join(text.split()))

    def _commits(self, connection: Any) -> None:
        self.texts.append("COMMIT")

    def _rolls_back(self, connection: Any) -> None:
        self.texts.append("ROLLBACK")


_ENDS = frozenset({"BEGIN", "COMMIT", "ROLLBACK"})
