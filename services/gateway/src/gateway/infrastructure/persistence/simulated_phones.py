"""The simulator's phones in PostgreSQL.

A simulator looks over everybody's shoulder: besides its own two tables it reads, and only reads,
what became of a message in the shop's. It asks in plain SQL, so that no code depends on theirs.
"""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.application.ports.simulated_phone import (
    AnswerState,
    Bubble,
    Chat,
    PhoneMessage,
    Picture,
    SimulatedCustomer,
    SimulatedShop,
)
from gateway.infrastructure.persistence import simulated_phones_sql as sql
from shared.kernel.ids import ChannelId, TenantId
from shared.persistence.database import Database, SystemRole, system_transaction
from shared.persistence.unit_of_work import Transaction

_ANSWERED = frozenset({"ai", "person"})


class SqlSimulatedPhones:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def shops(self) -> Sequence[SimulatedShop]:
        async with system_transaction(self._database, SystemRole.INGEST) as connection:
            rows = (await connection.execute(sql.ALL_SHOPS)).all()
        return [await self._shop(row) for row in rows]

    async def find_shop(self, tenant: str) -> SimulatedShop | None:
        # what reads as an id is one: a slug may look like another tenant's id
        tenant_id = _uuid(tenant)
        statement = sql.SHOP_OF_SLUG if tenant_id is None else sql.SHOP_OF_ID
        async with system_transaction(self._database, SystemRole.INGEST) as connection:
            found = await connection.execute(statement, {"tenant": tenant_id or tenant})
            row = found.one_or_none()
        return None if row is None else await self._shop(row)

    async def customers(self, shop: SimulatedShop) -> Sequence[SimulatedCustomer]:
        async with self._within(shop) as connection:
            rows = (await connection.execute(sql.CUSTOMERS, _at(shop))).all()
        return [
            SimulatedCustomer(
                address=row.address,
                name=row.name,
                last_text=row.body or _LABELS.get(row.type),
                last_at=row.created_at,
                unseen=row.unseen,
            )
            for row in rows
        ]

    async def add_customer(self, shop: SimulatedShop, address: str, name: str) -> None:
        async with self._within(shop) as connection:
            await connection.execute(sql.ADD_CUSTOMER, _at(shop, address=address, name=name))

    async def name_of(self, shop: SimulatedShop, address: str) -> str | None:
        async with self._within(shop) as connection:
            name: str | None = await connection.scalar(sql.NAME, _at(shop, address=address))
        return name

    async def chat(
        self, shop: SimulatedShop, address: str, *, after: str | None, limit: int
    ) -> Chat:
        async with self._within(shop) as connection:
            rows = await connection.execute(
                sql.MESSAGES, _at(shop, address=address, after=after, limit=limit)
            )
            messages = [
                PhoneMessage(
                    native_id=row.native_id,
                    from_customer=row.from_customer,
                    text=row.body,
                    content={"type": "text", **row.content},
                    stored=row.stored,
                    seen=row.seen,
                    created_at=row.created_at,
                )
                for row in rows
            ]
            owner: str | None = await connection.scalar(sql.OWNER, _at(shop, address=address))
        return Chat(messages=messages, owner=owner)

    async def put(
        self,
        shop: SimulatedShop,
        address: str,
        native_id: str,
        text: str,
        content: Mapping[str, Any],
    ) -> None:
        values = _at(shop, address=address, native_id=native_id, body=text, content=dict(content))
        async with self._within(shop) as connection:
            await connection.execute(sql.PUT, values)

    async def take_back(self, shop: SimulatedShop, native_id: str) -> None:
        async with self._within(shop) as connection:
            await connection.execute(sql.TAKE_BACK, _at(shop, native_id=native_id))

    async def see(self, shop: SimulatedShop, address: str) -> Sequence[str]:
        async with self._within(shop) as connection:
            rows = (await connection.execute(sql.SEE, _at(shop, address=address))).all()
        return [row.native_id for row in sorted(rows, key=lambda row: row.created_at)]

    async def picture(self, shop: SimulatedShop, native_id: str) -> Picture | None:
        async with self._within(shop) as connection:
            row = (
                await connection.execute(sql.PICTURE, _at(shop, native_id=native_id))
            ).one_or_none()
        return None if row is None else Picture(row.mimetype, base64.b64decode(row.data))

    async def answer(self, shop: SimulatedShop, address: str, native_id: str) -> AnswerState | None:
        async with self._within(shop) as connection:
            sent = (
                await connection.execute(sql.SENT, _at(shop, address=address, native_id=native_id))
            ).one_or_none()
            if sent is None:
                return None
            if sent.answered_how is None:
                return AnswerState(state="waiting")
            bubbles = (
                await connection.execute(
                    sql.BUBBLES, {"tenant": shop.tenant_id, "reply": sent.answered_by}
                )
            ).all()
        return AnswerState(
            state="answered" if sent.answered_how in _ANSWERED else sent.answered_how,
            bubbles=[Bubble(id=b.id, text=b.body, state=b.state, kind=b.kind) for b in bubbles],
        )

    async def stamp(self, shop: SimulatedShop, address: str) -> str:
        async with self._within(shop) as connection:
            return str(await connection.scalar(sql.STAMP, _at(shop, address=address)))

    async def _shop(self, row: Row[Any]) -> SimulatedShop:
        async with Transaction(self._database, TenantId(row.tenant_id)) as tx:
            more = (
                await tx.connection.execute(sql.LANGUAGE_AND_MODEL, {"tenant": row.tenant_id})
            ).one()
        return SimulatedShop(
            tenant_id=TenantId(row.tenant_id),
            slug=row.slug,
            name=row.name,
            channel_id=ChannelId(row.channel_id),
            session=row.session,
            language=more.language,
            model=more.model or "unknown",
            offline=more.provider == "offline",
        )

    @asynccontextmanager
    async def _within(self, shop: SimulatedShop) -> AsyncIterator[AsyncConnection]:
        async with Transaction(self._database, shop.tenant_id) as tx:
            yield tx.connection
            await tx.commit()


_LABELS = {"image": "📷", "location": "📍"}


def _at(shop: SimulatedShop, **values: Any) -> dict[str, Any]:
    return {"tenant": shop.tenant_id, "channel": shop.channel_id, **values}


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None
