"""Rows in versions, of which one is published: what templates and agents share in SQL."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, func, insert, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_worker.domain.repositories.published import (
    NoEarlierVersion,
    VersionNotFound,
    VersionTaken,
)
from shared.kernel.ids import TenantId, new_id

Key = Mapping[str, str]
"""The columns that name a thing, without tenant and version."""
Found = Mapping[Any, Any]


class PublishedRows:
    """The versions in one table, for one tenant; ``key`` are the columns that name a thing there.

    The unique index on the published rows decides between writers: the later one learns of it.
    """

    def __init__(
        self, connection: AsyncConnection, table: Table, tenant_id: TenantId, key: Sequence[str]
    ) -> None:
        self._connection = connection
        self._table = table
        self._tenant_id = tenant_id
        self._key = [table.c[name] for name in key]
        self._visible = (table.c.tenant_id == tenant_id) | table.c.tenant_id.is_(None)

    async def published(self, **values: Any) -> Sequence[Found]:
        """The published row of each key, the tenant's before the platform's; ``values`` choose."""
        table = self._table
        query = (
            select(table)
            .ext(distinct_on(*self._key))
            .where(self._visible, table.c.active, *self._equal(values))
            .order_by(*self._key, table.c.tenant_id.is_(None))
        )
        return (await self._connection.execute(query)).mappings().all()

    async def versions(self, key: Key) -> Sequence[Found]:
        """The tenant's versions, else the platform's, the newest first."""
        table = self._table
        query = (
            select(table)
            .where(self._visible, *self._equal(key))
            .order_by(table.c.tenant_id.is_(None), table.c.version.desc())
        )
        rows = (await self._connection.execute(query)).mappings().all()
        return [row for row in rows if row["tenant_id"] == rows[0]["tenant_id"]]

    async def add(self, key: Key, values: Mapping[str, Any], *, publish: bool) -> Found:
        """Write the tenant's next version; raises `VersionTaken`."""
        table = self._table
        newest = select(func.coalesce(func.max(table.c.version), 0)).where(self._own(key))
        row = {
            "id": new_id(),
            "tenant_id": self._tenant_id,
            "version": (await self._connection.execute(newest)).scalar_one() + 1,
            "active": publish,
            **key,
            **values,
        }
        try:
            async with self._connection.begin_nested():
                if publish:
                    await self._unpublish(key)
                await self._connection.execute(insert(table).values(row))
        except IntegrityError as error:
            raise VersionTaken from error
        return row

    async def publish(self, key: Key, version: int) -> None:
        """Move the mark to that version of the tenant's.

        Raises:
            VersionNotFound: there is none; nothing has changed.
            VersionTaken: somebody else moved it.
        """
        table = self._table
        wanted = update(table).where(self._own(key), table.c.version == version)
        try:
            async with self._connection.begin_nested():
                await self._unpublish(key)
                moved = await self._connection.execute(wanted.values(active=True))
                if moved.rowcount == 0:
                    raise VersionNotFound(version=version)
        except IntegrityError as error:
            raise VersionTaken from error

    async def withdraw(self, key: Key) -> bool:
        """Publish none of the tenant's; says whether one was."""
        return await self._unpublish(key) > 0

    async def roll_back(self, key: Key) -> int | None:
        """Publish the tenant's version before the published one; ``None``: none is published.

        Raises:
            NoEarlierVersion: it is the first; nothing has changed.
            VersionTaken: somebody else moved the mark.
        """
        version = self._table.c.version
        published = select(version).where(self._own(key), self._table.c.active)
        present = (await self._connection.execute(published)).scalar_one_or_none()
        if present is None:
            return None
        before = select(func.max(version)).where(self._own(key), version < present)
        earlier: int | None = (await self._connection.execute(before)).scalar_one()
        if earlier is None:
            raise NoEarlierVersion(version=present)
        await self.publish(key, earlier)
        return earlier

    async def _unpublish(self, key: Key) -> int:
        marked = update(self._table).where(self._own(key), self._table.c.active)
        return (await self._connection.execute(marked.values(active=False))).rowcount

    def _own(self, key: Key) -> ColumnElement[bool]:
        return and_(self._table.c.tenant_id == self._tenant_id, *self._equal(key))

    def _equal(self, values: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        return [self._table.c[name] == value for name, value in values.items()]
