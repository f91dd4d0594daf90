"""The server as a process runs it: a port, live events, and a prompt end."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from pydantic import SecretStr

from gateway.bootstrap import SettingMissing, build
from gateway.interface.simulator.events import changes
from gateway.main import CannotListen, serve
from shared.cache.open import open_cache
from shared.config.settings import (
    CacheSettings,
    ObservabilitySettings,
    PlatformSettings,
    SecuritySettings,
)
from shared.observability.heartbeat import is_alive
from tests.integration.gateway.conftest import Shop, settings_for
from tests.support.postgres import TestDatabase
from tests.support.redis import RedisForTests


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def serving(settings: PlatformSettings) -> AsyncIterator[tuple[httpx2.AsyncClient, Any]]:
    """The server in this loop; yields a client and the event that stops it."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    url = f"http://127.0.0.1:{settings.http.http_port}"
    try:
        async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
            async with asyncio.timeout(20):
                while not task.done():
                    with suppress(httpx2.TransportError):
                        await http.get("/health")
                        break
                    await asyncio.sleep(0.05)
            yield http, stop
    finally:
        stop.set()
        async with asyncio.timeout(15):
            await task


@asynccontextmanager
async def stream_of(
    http: httpx2.AsyncClient, path: str
) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    async with http.stream("GET", path, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")

        async def read() -> AsyncIterator[tuple[str, Any]]:
            name = ""
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    yield name, orjson.loads(line[5:])

        yield read()


async def a_phone(http: httpx2.AsyncClient, shop: Shop) -> str:
    base = f"/simulator/api/tenants/{shop.slug}/customers"
    address = (await http.post(base, json={})).json()["address"]
    return f"{base}/{address}"


async def test_it_beats_while_it_serves_and_ends_when_told_also_with_a_stream_open(
    gateway_db: TestDatabase, shop: Shop, tmp_path: Path
) -> None:
    settings = settings_for(gateway_db, http_port=a_free_port()).model_copy(
        update={"observability": ObservabilitySettings(run_dir=tmp_path)}
    )
    async with serving(settings) as (http, stop):
        assert is_alive(tmp_path, "gateway")
        phone = await a_phone(http, shop)
        async with stream_of(http, f"{phone}/events") as events:
            assert await anext(events) == ("changed", {})
            stop.set()
            async with asyncio.timeout(8):
                with suppress(StopAsyncIteration):
                    await anext(events)
    assert not is_alive(tmp_path, "gateway")


async def test_a_chat_tells_of_typing_and_of_changes(
    gateway_db: TestDatabase, shop: Shop, redis_server: RedisForTests
) -> None:
    cache_settings = CacheSettings(redis_url=SecretStr(redis_server.url))
    settings = settings_for(gateway_db, http_port=a_free_port()).model_copy(
        update={"cache": cache_settings}
    )
    async with serving(settings) as (http, _), open_cache(cache_settings) as cache:
        phone = await a_phone(http, shop)
        address = phone.rpartition("/")[2]
        topic = f"chat:{shop.id}:{shop.channel_id}:{address}"
        async with stream_of(http, f"{phone}/events") as events, asyncio.timeout(20):
            assert await anext(events) == ("changed", {})
            typing = asyncio.create_task(_keep_typing(cache, topic))
            try:
                async for event in events:
                    if event == ("typing", {"on": True}):
                        break
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)
            # told by nobody, found by the poll
            await gateway_db.execute(
                "INSERT INTO simulator_messages (tenant_id, channel_id, native_id, address,"
                " from_customer, body) VALUES ($1, $2, 'SIM9', $3, false, 'Halo')",
                shop.id,
                shop.channel_id,
                address,
            )
            async for name, _ in events:
                if name == "changed":
                    break


async def _keep_typing(cache: Any, topic: str) -> None:
    """A subscription begins a moment after the stream, and a message before it is lost."""
    while True:
        await cache.publish(topic, b'{"type":"typing","on":true}')
        await asyncio.sleep(0.05)


async def test_a_stream_ends_itself(gateway_db: TestDatabase, shop: Shop) -> None:
    async with build(settings_for(gateway_db), asyncio.Event()) as container:
        known = await container.simulator.shop(shop.slug)
        stream = changes(container, known, "62811@c.us", lasting=timedelta(0))
        assert [event.event async for event in stream] == ["changed"]


async def test_a_taken_port_is_said(gateway_db: TestDatabase) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=str(port)):
            await serve(settings_for(gateway_db, http_port=port), asyncio.Event())


@pytest.mark.parametrize("missing", ["master_key", "api_key_pepper"])
async def test_a_missing_secret_stops_the_start_with_its_name(
    missing: str, gateway_db: TestDatabase
) -> None:
    settings = settings_for(gateway_db)
    security = settings.security.model_copy(update={missing: None})
    assert isinstance(security, SecuritySettings)
    with pytest.raises(SettingMissing, match=missing.upper()):
        async with build(settings.model_copy(update={"security": security}), asyncio.Event()):
            pass
