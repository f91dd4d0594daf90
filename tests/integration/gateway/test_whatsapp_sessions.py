"""Sessions are asked of WAHA itself, and nothing of it but our own words comes back."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from shared.config.settings import HttpSettings, PlatformSettings, SecuritySettings
from tests.integration.gateway.conftest import (
    MASTER_KEY,
    PEPPER,
    Shop,
    a_key,
    is_problem,
    running,
    settings_for,
)
from tests.support.fake_waha import API_KEY, FakeWaha, Status
from tests.support.postgres import TestDatabase


@pytest_asyncio.fixture(loop_scope="session")
async def waha() -> AsyncIterator[FakeWaha]:
    async with FakeWaha(engine="GOWS") as server:
        yield server


def allowing(database: TestDatabase, *hosts: str) -> PlatformSettings:
    security = SecuritySettings(
        master_key=MASTER_KEY, api_key_pepper=PEPPER, outbound_allow_hosts=hosts
    )
    return settings_for(database).model_copy(update={"security": security})


async def a_number(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], waha: FakeWaha, **other: str
) -> str:
    made = await a_channel_of(http, shop, key, waha, **other)
    return f"/v1/whatsapp/sessions/{made['id']}"


async def a_channel_of(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], waha: FakeWaha, **other: str
) -> Any:
    answer = await http.post(
        f"/v1/crm/tenants/{shop.id}/channels",
        json={
            "kind": "waha",
            "name": "Nomor",
            "base_url": waha.url,
            "api_key": API_KEY,
            "session": "default",
        }
        | other,
        headers=key,
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_session_is_seen_paired_and_restarted(
    gateway_db: TestDatabase, shop: Shop, waha: FakeWaha
) -> None:
    key = await a_key(gateway_db, shop)
    async with running(allowing(gateway_db, "127.0.0.1")) as http:
        url = await a_number(http, shop, key, waha)
        session = (await http.get(url, headers=key)).json()
        assert (session["session"], session["status"]) == ("default", "working")

        waha.sessions["default"].status = "SCAN_QR_CODE"
        assert (await http.get(url, headers=key)).json()["status"] == "scan_qr_code"
        png = await http.get(f"{url}/qr", headers=key)
        assert png.headers["content-type"] == "image/png"
        assert png.content.startswith(b"\x89PNG")
        as_json = await http.get(f"{url}/qr", headers={**key, "accept": "application/json"})
        assert base64.b64decode(as_json.json()["data"]) == png.content

        for verb in ("start", "restart"):
            assert (await http.post(f"{url}/{verb}", headers=key)).status_code == 200
        listed = (await http.get("/v1/whatsapp/sessions", headers=key)).json()["data"]
        assert [row["session"] for row in listed] == ["default"]


async def test_starting_tells_waha_all_it_needs_and_once_is_enough(
    gateway_db: TestDatabase, shop: Shop, waha: FakeWaha
) -> None:
    key = await a_key(gateway_db, shop)
    waha.unknown_sessions.add("default")
    settings = allowing(gateway_db, "127.0.0.1")
    settings = settings.model_copy(
        update={"http": HttpSettings(public_base_url="https://shop.example.com/")}
    )
    async with running(settings) as http:
        made = await a_channel_of(http, shop, key, waha)
        url = f"/v1/whatsapp/sessions/{made['id']}"
        for _ in range(2):
            started = await http.post(f"{url}/start", headers=key)
            assert started.status_code == 200, started.text
            assert started.json()["status"] == "working"
            assert made["webhook_secret"] not in started.text

        config = waha.sessions["default"].config
        assert config is not None
        (webhook,) = config["webhooks"]
        assert webhook["url"] == made["webhook_url"]
        assert webhook["url"].startswith("https://shop.example.com/v1/crm/webhook/whatsapp/")
        assert webhook["hmac"] == {"key": made["webhook_secret"]}
        assert config["ignore"]["groups"] is True
        created, *_ = [call for call in waha.calls if call.method == "POST"]
        assert (created.path, created.json["name"]) == ("/api/sessions", "default")
        assert [call.method for call in waha.calls].count("PUT") == 0

        rotated = await http.post(
            f"/v1/crm/tenants/{shop.id}/channels/{made['id']}/rotate-secret", headers=key
        )
        await http.post(f"{url}/start", headers=key)
        (webhook,) = waha.sessions["default"].config["webhooks"]  # type: ignore[index]
        assert webhook["hmac"] == {"key": rotated.json()["webhook_secret"]}
        assert [call.method for call in waha.calls].count("PUT") == 1


async def test_starting_keeps_what_the_operator_configured(
    gateway_db: TestDatabase, shop: Shop, waha: FakeWaha
) -> None:
    key = await a_key(gateway_db, shop)
    theirs = {"url": "https://crm.example.com/hook", "events": ["message"]}
    waha.sessions["default"].config = {"debug": True, "webhooks": [theirs]}
    async with running(allowing(gateway_db, "127.0.0.1")) as http:
        made = await a_channel_of(http, shop, key, waha)
        await http.post(f"/v1/whatsapp/sessions/{made['id']}/start", headers=key)
    config = waha.sessions["default"].config
    assert set(config) == {"debug", "webhooks"}
    assert [webhook["url"] for webhook in config["webhooks"]] == [
        theirs["url"],
        made["webhook_url"],
    ]


async def test_a_session_that_another_gateway_makes_at_the_same_moment_is_used(
    gateway_db: TestDatabase, shop: Shop, waha: FakeWaha
) -> None:
    key = await a_key(gateway_db, shop)
    waha.fault("/api/sessions/default", Status(404))  # not there yet; a moment later it is
    async with running(allowing(gateway_db, "127.0.0.1")) as http:
        made = await a_channel_of(http, shop, key, waha)
        waha.sessions["default"].config = {"debug": True}
        started = await http.post(f"/v1/whatsapp/sessions/{made['id']}/start", headers=key)
    assert started.status_code == 200, started.text
    config = waha.sessions["default"].config
    assert (config["debug"], len(config["webhooks"])) == (True, 1)


async def test_a_session_that_cannot_be_made_is_refused_without_our_secret(
    gateway_db: TestDatabase, shop: Shop, waha: FakeWaha, capsys: pytest.CaptureFixture[str]
) -> None:
    key = await a_key(gateway_db, shop)
    waha.unknown_sessions.add("default")
    waha.fault("/api/sessions", Status(422), Status(500))
    async with running(allowing(gateway_db, "127.0.0.1")) as http:
        made = await a_channel_of(http, shop, key, waha)
        url = f"/v1/whatsapp/sessions/{made['id']}/start"
        refused = await http.post(url, headers=key)
        is_problem(refused, 422, "waha_refused")
        broken = await http.post(url, headers=key)  # WAHA repeats the request in such an answer
        is_problem(broken, 503, "waha_unavailable")
    told = refused.text + broken.text + "".join(capsys.readouterr())
    assert made["webhook_secret"] not in told


async def test_wahas_troubles_are_told_in_our_words(
    gateway_db: TestDatabase, shop: Shop, waha: FakeWaha
) -> None:
    key = await a_key(gateway_db, shop)
    async with running(allowing(gateway_db, "127.0.0.1")) as http:
        url = await a_number(http, shop, key, waha)
        waha.fault("/api/sessions/default", Status(500, body={"stack": "rahasia waha"}))
        broken = await http.get(url, headers=key)
        is_problem(broken, 503, "waha_unavailable")
        assert "rahasia waha" not in broken.text

        wrong = await a_number(http, shop, key, waha, name="Salah", api_key="salah")
        is_problem(await http.get(wrong, headers=key), 403, "waha_unauthorized")


async def test_an_inner_address_is_not_asked_unless_the_operator_allows_it(
    gateway_db: TestDatabase, shop: Shop, waha: FakeWaha
) -> None:
    key = await a_key(gateway_db, shop)
    async with running(allowing(gateway_db)) as http:
        url = await a_number(http, shop, key, waha)
        is_problem(await http.get(url, headers=key), 403, "address_refused")
    assert waha.calls == []


async def test_a_simulated_number_has_no_session(
    http: httpx2.AsyncClient, gateway_db: TestDatabase, shop: Shop
) -> None:
    key = await a_key(gateway_db, shop)
    url = f"/v1/whatsapp/sessions/{shop.channel_id}"
    is_problem(await http.get(url, headers=key), 409, "nothing_to_pair")
    assert (await http.get("/v1/whatsapp/sessions", headers=key)).json()["data"] == []
