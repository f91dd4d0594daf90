"""How a promise is broken on purpose: by raw SQL, on a story that keeps all of them.

Where a constraint would not let it, the constraint goes first, as a faulty migration would have it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from tests.integration.ai_platform.audit.story import Story
from tests.support.postgres import TestDatabase

Break: TypeAlias = Callable[[Story], Awaitable[set[str]]]
"""Breaks one promise; returns the ids of the rows that the audit must name."""


@dataclass(frozen=True)
class Plant:
    rule: str
    break_it: Break

    def __str__(self) -> str:
        return f"{self.rule}:{self.break_it.__name__}"


PLANTS: list[Plant] = []


def plant(rule: str) -> Callable[[Break], Break]:
    def keep(function: Break) -> Break:
        PLANTS.append(Plant(rule, function))
        return function

    return keep


async def drop_keys(db: TestDatabase, table: str) -> None:
    """No primary key, unique constraint or unique index is left on the table."""
    for row in await db.fetch(
        "SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass"
        " AND contype IN ('p', 'u')",
        table,
    ):
        await db.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{row["conname"]}" CASCADE')
    for row in await db.fetch(
        "SELECT indexrelid::regclass::text AS name FROM pg_index"
        " WHERE indrelid = $1::text::regclass AND indisunique",
        table,
    ):
        await db.execute(f"DROP INDEX {row['name']}")
