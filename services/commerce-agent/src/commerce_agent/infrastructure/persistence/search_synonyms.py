"""A tenant's own synonyms in SQL."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.domain.value_objects.text import line, lines
from commerce_agent.infrastructure.persistence.tables import search_synonyms
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction


class SqlSearchSynonyms:
    """Answers `SearchSynonyms`, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: TenantId) -> Mapping[str, Sequence[str]]:
        async with Transaction(self._database, tenant_id) as tx:
            return await synonyms_of(tx.connection, tenant_id)

    async def put(self, tenant_id: TenantId, synonyms: Mapping[str, Sequence[str]]) -> None:
        rows = [
            {
                "tenant_id": tenant_id,
                "word": line(word, field="word", longest=60).casefold(),
                "means": list(lines(means, field="means", most=20, longest=60)),
            }
            for word, means in synonyms.items()
        ]
        if not rows:
            return
        statement = insert(search_synonyms)
        replacing = statement.on_conflict_do_update(
            constraint="pk_search_synonyms", set_={"means": statement.excluded.means}
        )
        async with Transaction(self._database, tenant_id) as tx:
            await tx.connection.execute(replacing, rows)
            await tx.commit()


async def synonyms_of(
    connection: AsyncConnection, tenant_id: TenantId
) -> Mapping[str, Sequence[str]]:
    """A tenant's synonyms, inside its transaction."""
    query = select(search_synonyms.c.word, search_synonyms.c.means).where(
        search_synonyms.c.tenant_id == tenant_id
    )
    return {row.word: row.means for row in await connection.execute(query)}
