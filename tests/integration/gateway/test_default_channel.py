"""The settings name a WAHA server and a tenant: the tenant has the channel, once."""

import asyncio
from typing import Any

import pytest
from pydantic import SecretStr

from gateway.application.services.default_channel import DefaultChannel
from gateway.bootstrap import Container, build
from shared.config.settings import PlatformSettings, SecuritySettings, WahaSettings
from tests.integration.gateway.conftest import (
    KEYS,
    MASTER_KEY,
    PEPPER,
    Shop,
    a_key,
    a_shop,
    running,
    settings_for,
)
from tests.support.fake_waha import API_KEY, FakeWaha
from tests.support.postgres import TestDatabase
from tests.support.stack import until

SERVER = "http://waha.internal:3000"


def naming(
    database: TestDatabase, tenant: str | None, *, server: str = SERVER, key: str | None = "kunci"
) -> PlatformSettings:
    security = SecuritySettings(master_key=MASTER_KEY, api_key_pepper=PEPPER, default_tenant=tenant)
    waha = WahaSettings(
        waha_server_url=server, waha_api_key=SecretStr(key) if key is not None else None
    )
    return settings_for(database).model_copy(update={"security": security, "waha": waha})


async def channels(database: TestDatabase, shop: Shop) -> list[Any]:
    return await database.fetch(
        "SELECT * FROM channels WHERE tenant_id = $1 AND kind = 'waha' ORDER BY id", shop.id
    )


async def seeded(database: TestDatabase, shop: Shop, *, many: int = 1) -> list[Any]:
    async def found() -> list[Any]:
        rows = await channels(database, shop)
        return rows if len(rows) == many else []

    rows: list[Any] = await until(found, seconds=10)
    return rows


def default(container: Container, shop: Shop, *, key: str | None = "kunci") -> DefaultChannel:
    return DefaultChannel(
        tenants=container.tenant_queries,
        channels=container.channels,
        tenant=shop.slug,
        server=SERVER,
        api_key=SecretStr(key) if key is not None else None,
    )


async def test_whoever_is_slower_finds_the_channel_made(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    async with build(settings_for(gateway_db), asyncio.Event()) as container:
        await asyncio.gather(*(default(container, shop).ensure() for _ in range(8)))
    assert len(await channels(gateway_db, shop)) == 1


def opened(shop: Shop, row: Any) -> str:
    cipher = KEYS.tenant(shop.id, shop.wrapped_key)
    return cipher.open(
        bytes(row["api_key_ciphertext"]),
        table="channels",
        column="api_key_ciphertext",
        row=row["id"],
    )


async def test_the_default_tenant_gets_a_channel_with_the_sealed_key(
    gateway_db: TestDatabase, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    other = await a_shop(gateway_db)
    async with build(naming(gateway_db, shop.slug, server=f"{SERVER}/"), asyncio.Event()):
        (row,) = await seeded(gateway_db, shop)
    assert (row["name"], row["session"], row["base_url"]) == ("WhatsApp", "default", SERVER)
    assert opened(shop, row) == "kunci"
    assert b"kunci" not in bytes(row["api_key_ciphertext"])
    assert await channels(gateway_db, other) == []
    told = "".join(capsys.readouterr())
    assert "kunci" not in told
    assert SERVER not in told


async def test_it_is_made_once_whatever_starts_together(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    settings = naming(gateway_db, shop.slug)
    stop = asyncio.Event()
    async with build(settings, stop), build(settings, stop), build(settings, stop):
        await seeded(gateway_db, shop)
    async with build(settings_for(gateway_db), stop) as container:
        await asyncio.gather(*(default(container, shop).ensure() for _ in range(3)))
        # it is known by its server: a shop may call it what it likes
        (row,) = await channels(gateway_db, shop)
        await container.channels.update(shop.id, row["id"], name="Nomor utama")
        await default(container, shop).ensure()
    assert [row["name"] for row in await channels(gateway_db, shop)] == ["Nomor utama"]


async def test_a_changed_key_is_taken_over(gateway_db: TestDatabase, shop: Shop) -> None:
    async with build(naming(gateway_db, shop.slug), asyncio.Event()):
        (before,) = await seeded(gateway_db, shop)

    async def has(key: str) -> bool:
        (row,) = await channels(gateway_db, shop)
        return opened(shop, row) == key

    async with build(naming(gateway_db, shop.slug, key="baru"), asyncio.Event()):
        await until(lambda: has("baru"), seconds=10)
    async with build(settings_for(gateway_db), asyncio.Event()) as container:
        await default(container, shop, key=None).ensure()
    (after,) = await channels(gateway_db, shop)
    assert opened(shop, after) == "baru"
    assert after["webhook_secret_ciphertext"] == before["webhook_secret_ciphertext"]


async def test_a_tenant_that_is_made_later_gets_it_without_a_restart(
    gateway_db: TestDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    async with build(naming(gateway_db, "toko-nanti"), asyncio.Event()):
        await until(lambda: "default_channel_waits" in capsys.readouterr().out, seconds=10)
        shop = await a_shop(gateway_db, "toko-nanti")
        await seeded(gateway_db, shop)


async def test_a_name_that_belongs_to_another_server_is_said_and_nothing_changes(
    gateway_db: TestDatabase, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    async with build(naming(gateway_db, shop.slug), asyncio.Event()):
        before = await seeded(gateway_db, shop)
    moved = naming(gateway_db, shop.slug, server="http://waha.baru:3000", key="lain")
    async with build(moved, asyncio.Event()):
        await until(lambda: "default_channel_refused" in capsys.readouterr().out, seconds=10)
    assert await channels(gateway_db, shop) == before


async def test_nobody_is_seeded_where_no_tenant_is_named(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    async with build(naming(gateway_db, None), asyncio.Event()):
        assert [task for task in asyncio.all_tasks() if task.get_name() == "gateway-seeding"] == []
    assert await channels(gateway_db, shop) == []


async def test_the_named_server_is_reached_without_being_listed(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    key = await a_key(gateway_db, shop)
    async with FakeWaha() as waha:
        settings = naming(gateway_db, shop.slug, server=waha.url, key=API_KEY)
        async with running(settings) as http:
            (row,) = await seeded(gateway_db, shop)
            started = await http.post(f"/v1/whatsapp/sessions/{row['id']}/start", headers=key)
        assert started.status_code == 200, started.text
        config = waha.sessions["default"].config
    assert config is not None
    assert str(row["id"]) in config["webhooks"][0]["url"]
