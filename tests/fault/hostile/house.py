"""A house that hostile visitors come to: gateway, commerce agent and messenger in one process, a
shop that is visited, and a neighbour whose every request must go on succeeding.

    async with house.visit() as visit:
        answer = await visit.post(door, content=body)  # never a 5xx, never a second of CPU
    await house.settle()                                # what was stored comes to rest
    assert await house.fate(body) == ("parked", "unreadable")

Leaving the visit ends the neighbour's day; a visit of which the neighbour felt anything fails.
"""

import asyncio
import gc
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import structlog

from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.security import api_keys
from tests.fault.whole_path import Shop, WholePath, open_path
from tests.integration.gateway.conftest import PEPPER
from tests.support import rows
from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import PostgresForTests, TestDatabase
from tests.support.waha_webhooks import Webhook, Webhooks, signed

CPU_SECONDS = 1.0
"""Of the process, for one hostile request; the neighbour's requests meanwhile are in it."""
_PAUSE = 0.1
"""Before the neighbour's second round; the pauses double, for a slow machine has enough to do."""

_numbers = itertools.count(6_281_300_000_001)

LATTE: dict[str, Any] = {
    "name": "Kopi Latte",
    "category": "Kopi",
    "description": "Espresso dan susu.",
    "variants": [{"sku": "LAT", "price": {"amount": 25000, "currency": "IDR"}, "stock": 7}],
}
_PACE = ("next_send_at",)
"""Columns that every successful send moves on; nobody owns them."""
_BELONGINGS = (
    "tenants", "channels", "products", "variants", "customers", "customer_aliases",
    "conversations", "messages", "message_anomalies", "sends", "inbox_events", "queue_messages",
    "simulator_customers", "simulator_messages", "domain_events", "audit_log",
)  # fmt: skip


def a_number() -> str:
    """A customer whom nobody has met."""
    return f"{next(_numbers)}@c.us"


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A shop with a number at WAHA, a simulated one, and a key that may do everything."""

    shop: Shop
    slug: str
    simulated: ChannelId
    key: Mapping[str, str]
    phone: str
    """A simulated customer's address."""

    @property
    def id(self) -> TenantId:
        return self.shop.id

    @property
    def hooks(self) -> Webhooks:
        return self.shop.hooks

    @property
    def base(self) -> str:
        return f"/v1/crm/tenants/{self.slug}"

    @property
    def products(self) -> str:
        return f"{self.base}/products"

    @property
    def customers(self) -> str:
        return f"{self.base}/customers"

    @property
    def channels(self) -> str:
        return f"{self.base}/channels"

    @property
    def simulator(self) -> str:
        return f"/simulator/api/tenants/{self.slug}/customers/{self.phone}/messages"


@dataclass
class House:
    """What tests ask of the platform."""

    path: WholePath
    neighbour: Tenant
    tenant: Tenant = field(init=False)
    """Who is visited; each test has one of its own."""

    @property
    def db(self) -> TestDatabase:
        return self.path.db

    async def move_in(self, **tenant: Any) -> Tenant:
        """Another shop, with a product and nobody's messages yet, today: what an earlier visit
        did with the clock is undone, or a phone's "now" would be news of yesterday."""
        await self.path.jump_to_today()
        return await _a_tenant(self.path, **tenant)

    @asynccontextmanager
    async def visit(self) -> AsyncIterator["Visit"]:
        """A hostile visit, in the neighbour's presence."""
        ended = asyncio.Event()
        life = asyncio.create_task(self._live(ended))
        gc.freeze()  # what other tests have left is not searched for garbage at a request's expense
        try:
            yield Visit(self)
        finally:
            gc.unfreeze()
            ended.set()
            await life

    async def _live(self, ended: asyncio.Event) -> None:
        """The neighbour's day: every answer is the one it would get alone."""
        mine, pause = self.neighbour, _PAUSE
        before = await self.belongings(mine, "products", "variants")
        while True:
            event = mine.hooks.event("presence.update", {"id": a_number(), "n": uuid4().hex})
            accepted = await self.path.deliver(event, to=mine.shop)
            assert accepted.status_code == 200, accepted.text
            listed = await self.path.http.get(mine.products, headers=mine.key)
            assert [product["name"] for product in listed.json()["data"]] == ["Kopi Latte"]
            assert (await self.path.http.get("/health")).status_code == 200
            if ended.is_set():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await ended.wait()
            pause *= 2
        assert await self.belongings(mine, "products", "variants") == before

    async def deliver(self, webhook: Webhook) -> None:
        """A webhook that is accepted."""
        await self.path.receives(webhook, to=self.tenant.shop)

    async def settle(self) -> None:
        """Everything that was stored is worked off."""
        await self.path.settle()
        left = await self.path.fetch(
            "SELECT kind, key FROM queue_messages WHERE tenant_id = $1 AND queue = 'crm_tasks'",
            self.tenant.id,
        )
        assert left == []

    async def fate(self, body: bytes) -> tuple[str, str | None]:
        """State and reason of the only row in which these bytes were stored."""
        (row,) = await self.path.fetch(
            "SELECT body, state, reason FROM inbox_events WHERE tenant_id = $1"
            " AND body_sha256 = $2",
            self.tenant.id,
            hashlib.sha256(body).digest(),
        )
        assert bytes(row["body"]) == body
        return row["state"], row["reason"]

    async def messages(self, tenant: Tenant | None = None) -> list[Any]:
        """What customers said to the shop, in the order of storing."""
        return await self.path.fetch(
            "SELECT * FROM messages WHERE tenant_id = $1 AND direction = 'in'"
            " AND kind = 'message' ORDER BY inbox_sequence",
            (tenant or self.tenant).id,
        )

    async def belongings(self, tenant: Tenant | None = None, *tables: str) -> str:
        """A print of everything that a tenant has; equal prints, equal rows, but for the pace."""
        whose = (tenant or self.tenant).id
        found = []
        for table in tables or _BELONGINGS:
            column = "id" if table == "tenants" else "tenant_id"
            found.append(
                await self.db.fetchval(
                    "SELECT md5(coalesce(string_agg(row, '' ORDER BY row), ''))"
                    f" FROM (SELECT (to_jsonb(t) - $2::text[])::text AS row"
                    f" FROM {table} t WHERE {column} = $1) AS rows",
                    whose,
                    list(_PACE),
                )
            )
        return " ".join(found)

    async def count(self, table: str, tenant: Tenant | None = None) -> int:
        whose = (tenant or self.tenant).id
        number = await self.db.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", whose)
        assert isinstance(number, int)
        return number


@dataclass
class Visit:
    """A hostile visitor. Whatever comes back is no 5xx and took less than a second of CPU."""

    house: House
    slowest: float = 0.0

    async def request(self, method: str, url: str, **request: Any) -> httpx2.Response:
        began = time.process_time()
        answer = await self.house.path.http.request(method, url, **request)
        spent = time.process_time() - began
        self.slowest = max(self.slowest, spent)
        assert answer.status_code < 500, f"{method} {url[:200]}: {answer.text[:500]}"
        assert spent < CPU_SECONDS, f"{method} {url[:200]} took {spent:.2f} s of CPU"
        assert "set-cookie" not in answer.headers
        return answer

    async def get(self, url: str, **request: Any) -> httpx2.Response:
        return await self.request("GET", url, **request)

    async def post(self, url: str, **request: Any) -> httpx2.Response:
        return await self.request("POST", url, **request)

    async def patch(self, url: str, **request: Any) -> httpx2.Response:
        return await self.request("PATCH", url, **request)

    async def as_waha(self, body: bytes, **headers: str) -> httpx2.Response:
        """Post bytes to the shop's webhook, with the right signature."""
        shop = self.house.tenant.shop
        dressed = {**signed(body, shop.hooks.secret).headers, **headers}
        answer = await self.post(shop.webhook, content=body, headers=dressed)
        if answer.is_success:
            self.house.path.auditor.accepted(shop.id, body)
        return answer

    async def as_owner(self, method: str, url: str, **request: Any) -> httpx2.Response:
        """A request with the shop's own key; ``body`` are bytes that call themselves JSON."""
        headers = {**self.house.tenant.key, **request.pop("headers", {})}
        if "body" in request:
            request["content"] = request.pop("body")
            headers.setdefault("content-type", "application/json")
        return await self.request(method, url, headers=headers, **request)


@asynccontextmanager
async def open_house(
    postgres: PostgresForTests, *, llm: FakeLlm | None = None
) -> AsyncIterator[House]:
    """A house in a database of its own. With ``llm`` the shops are answered by that model."""
    # a deep trace drawn with all its values would take minutes
    structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
    database = await postgres.database()
    async with FakeWaha() as waha, open_path(database, waha, llm=llm) as path:
        yield House(path, await _a_tenant(path))
    await postgres.drop(database)


async def _a_tenant(path: WholePath, **columns: Any) -> Tenant:
    slug = f"shop-{uuid4().hex[:8]}"
    chosen = {"slug": slug, "llm_config_name": path.model} | columns
    shop = await path.a_shop(session=f"s-{slug}", **chosen)
    phone = a_number()
    tenant = Tenant(
        shop=shop,
        slug=slug,
        simulated=await rows.a_channel(path.db, shop.id, kind="simulator"),
        key=await _a_key(path.db, shop.id),
        phone=phone,
    )
    added = await path.http.post(tenant.products, json=LATTE, headers=tenant.key)
    assert added.status_code == 201, added.text
    customers = tenant.simulator.removesuffix(f"/{phone}/messages")
    known = {"name": "Sari", "phone": phone.partition("@")[0]}
    assert (await path.http.post(customers, json=known)).status_code == 201
    return tenant


async def _a_key(db: TestDatabase, tenant_id: TenantId) -> dict[str, str]:
    minted = api_keys.mint(PEPPER)
    await db.execute(
        "INSERT INTO api_keys (id, tenant_id, name, prefix, digest, scopes)"
        " VALUES ($1, $2, 'Test Kit', $3, $4, ARRAY['*'])",
        new_id(),
        tenant_id,
        minted.prefix,
        minted.digest,
    )
    return {"authorization": f"Bearer {minted.plaintext}"}


def is_refused(answer: httpx2.Response, status: int, code: str) -> Any:
    """Make sure of a refusal's status and code; returns the problem."""
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text[:500]
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def as_json(value: Any) -> bytes:
    """JSON with everything escaped, half surrogates and NaN too."""
    return json.dumps(value).encode()
