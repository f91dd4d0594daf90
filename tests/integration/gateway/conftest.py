"""A gateway in this process over a database of the test's own."""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest_asyncio
from asgi_lifespan import LifespanManager
from pydantic import SecretStr

from gateway.main import create_app
from shared.config.settings import HttpSettings, PlatformSettings, SecuritySettings
from shared.kernel.ids import ChannelId, TenantId, new_id
from shared.security import api_keys
from shared.security.crypto import KeyRing
from shared.security.signatures import hmac_sha512
from tests.support.postgres import PostgresForTests, TestDatabase

MASTER_KEY = SecretStr(base64.b64encode(os.urandom(32)).decode())
PEPPER = SecretStr(base64.b64encode(os.urandom(32)).decode())
KEYS = KeyRing(MASTER_KEY)


def settings_for(database: TestDatabase, **http: object) -> PlatformSettings:
    return PlatformSettings(
        database=database.settings,
        security=SecuritySettings(master_key=MASTER_KEY, api_key_pepper=PEPPER),
        http=HttpSettings(**({"simulator_enabled": True} | http)),
    )


@dataclass(frozen=True)
class Shop:
    """A tenant with one channel, as the tests' own SQL makes it."""

    id: TenantId
    slug: str
    channel_id: ChannelId
    secret: str
    wrapped_key: bytes = field(repr=False)

    @property
    def webhook(self) -> str:
        return f"/v1/crm/webhook/whatsapp/{self.id}"

    def signed(self, body: bytes) -> dict[str, str]:
        return {"x-webhook-hmac": hmac_sha512(self.secret, body)}


async def a_shop(
    database: TestDatabase,
    slug: str | None = None,
    *,
    kind: str = "simulator",
    secret: str = "rahasia",
    previous: str | None = None,
) -> Shop:
    slug = slug or f"toko-{uuid4().hex[:10]}"
    tenant_id, channel_id = TenantId(new_id()), ChannelId(new_id())
    wrapped = KEYS.new_wrapped_key(tenant_id)
    await database.execute(
        "INSERT INTO tenants (id, slug, name, wrapped_key) VALUES ($1, $2, $3, $4)",
        tenant_id,
        slug,
        f"Toko {slug}",
        wrapped,
    )
    shop = Shop(tenant_id, slug, channel_id, secret, wrapped)
    await a_channel(database, shop, kind=kind, secret=secret, previous=previous)
    return shop


async def a_channel(
    database: TestDatabase,
    shop: Shop,
    *,
    channel_id: ChannelId | None = None,
    kind: str = "simulator",
    secret: str = "rahasia",
    previous: str | None = None,
) -> ChannelId:
    cipher = KEYS.tenant(shop.id, shop.wrapped_key)
    row = channel_id or shop.channel_id
    await database.execute(
        "INSERT INTO channels (tenant_id, id, kind, name, session, base_url, state,"
        " webhook_secret_ciphertext, previous_webhook_secret_ciphertext)"
        " VALUES ($1, $2, $3, $4, 'default', 'http://127.0.0.1:9', 'working', $5, $6)",
        shop.id,
        row,
        kind,
        f"nomor {row}",
        cipher.seal(secret, table="channels", column="webhook_secret_ciphertext", row=row),
        cipher.seal(
            previous, table="channels", column="previous_webhook_secret_ciphertext", row=row
        )
        if previous
        else None,
    )
    return row


@asynccontextmanager
async def running(
    settings: PlatformSettings, *, client: tuple[str, int] = ("127.0.0.1", 5000)
) -> AsyncIterator[httpx2.AsyncClient]:
    """The application with its lifespan, asked in process from ``client``'s address."""
    async with LifespanManager(create_app(settings)) as manager:
        transport = httpx2.ASGITransport(app=manager.app, client=client)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://localhost:8000"
        ) as http:
            yield http


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gateway_db(postgres: PostgresForTests) -> AsyncIterator[TestDatabase]:
    """One database for all tests of a module: each makes a tenant of its own and looks at that."""
    made = await postgres.database()
    yield made
    await postgres.drop(made)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(gateway_db: TestDatabase) -> AsyncIterator[httpx2.AsyncClient]:
    async with running(settings_for(gateway_db)) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def shop(gateway_db: TestDatabase) -> Shop:
    return await a_shop(gateway_db)


async def a_key(database: TestDatabase, shop: Shop | None, *scopes: str) -> dict[str, str]:
    """The headers of a new API key; without a shop it is an operator's."""
    minted = api_keys.mint(PEPPER)
    await database.execute(
        "INSERT INTO api_keys (id, tenant_id, name, prefix, digest, scopes)"
        " VALUES ($1, $2, 'Test Kit', $3, $4, $5)",
        new_id(),
        shop.id if shop else None,
        minted.prefix,
        minted.digest,
        list(scopes or (("*",) if shop else ("platform",))),
    )
    return {"authorization": f"Bearer {minted.plaintext}"}


def an_event(text: str = "halo", **payload: object) -> bytes:
    return orjson.dumps(
        {
            "id": "evt_01",
            "event": "message",
            "session": "default",
            "payload": {"id": "false_62811@c.us_3EB0AA", "from": "62811@c.us", "body": text}
            | payload,
        }
    )


def is_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Make sure of a refusal's whole form; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body
