"""Sessions are asked of WAHA itself, and nothing of it but our own words comes back."""

import base64
from collections.abc import AsyncIterator

import httpx2
import pytest_asyncio

from shared.config.settings import PlatformSettings, SecuritySettings
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
    return f"/v1/whatsapp/sessions/{answer.json()['id']}"


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
