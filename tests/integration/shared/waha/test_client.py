"""Sessions, identities, history and files of a WAHA server over HTTP."""

import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from shared.waha.client import SessionState, WahaClient
from shared.waha.errors import WahaRefused, WahaUnauthorized, WahaUnavailable
from tests.support.fake_waha import FakeWaha, Reset, Status
from tests.support.waha_webhooks import CUSTOMER, Webhooks

LID = "99000000000001@lid"
OTHER = "6281230000002@c.us"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def client(http: httpx2.AsyncClient) -> WahaClient:
    return WahaClient(http, "shop")


async def test_the_state_of_a_session(client: WahaClient, waha: FakeWaha) -> None:
    assert await client.status() == SessionState("working", "+628111000111", "NOWEB")
    waha.sessions["shop"].status = "SCAN_QR_CODE"
    assert await client.status() == SessionState("scan_qr_code", None, "NOWEB")
    waha.unknown_sessions.add("shop")
    assert (await client.status()).status == "missing"


async def test_the_code_to_scan_exists_only_while_it_is_asked_for(
    client: WahaClient, waha: FakeWaha
) -> None:
    with pytest.raises(WahaRefused):
        await client.qr()
    waha.sessions["shop"].status = "SCAN_QR_CODE"
    assert (await client.qr()).startswith(b"\x89PNG")


async def test_starting_and_restarting(client: WahaClient, waha: FakeWaha) -> None:
    waha.sessions["shop"].status = "FAILED"
    await client.restart()
    assert (await client.status()).working
    await client.start()
    assert waha.paths() == ["restart", "shop", "start"]


async def test_the_number_behind_a_hidden_address(client: WahaClient, waha: FakeWaha) -> None:
    waha.lids[LID] = CUSTOMER
    assert await client.phone_of_lid(LID) == CUSTOMER
    assert await client.phone_of_lid("5555555@lid") is None


async def test_chats_since_a_moment(client: WahaClient, waha: FakeWaha) -> None:
    hooks = Webhooks()
    waha.remember(CUSTOMER, hooks.payload("baru"))
    waha.remember(OTHER, hooks.payload("lama", chat=OTHER, at=1_500_000_000))
    waha.remember("120363@g.us", hooks.payload("grup", chat="120363@g.us"))

    recent = datetime.now(UTC) - timedelta(hours=1)

    assert await client.chats(recent) == [CUSTOMER]
    assert await client.chats(LONG_AGO) == [CUSTOMER]
    assert await client.chats(datetime(2010, 1, 1, tzinfo=UTC)) == [CUSTOMER, OTHER]


async def test_history_comes_whole_and_oldest_first(client: WahaClient, waha: FakeWaha) -> None:
    start = time.time() - 1000
    waha.remember(
        CUSTOMER,
        *(Webhooks().payload(str(number), at=start + number) for number in range(250)),
        Webhooks().payload("kami", at=start + 999, from_me=True),
    )

    found = await client.history(CUSTOMER, datetime.fromtimestamp(start + 50, UTC))
    own = await client.history(CUSTOMER, LONG_AGO, own_only=True)

    assert [message["body"] for message in found] == [*map(str, range(50, 250)), "kami"]
    assert [message["body"] for message in own] == ["kami"]
    assert all(call.query["downloadMedia"] == "false" for call in waha.calls)


async def test_a_message_by_its_id(client: WahaClient, waha: FakeWaha) -> None:
    waha.remember(CUSTOMER, Webhooks().payload("halo", native_id="3EB0AA"))
    found = await client.message(CUSTOMER, "3EB0AA", download_media=True)
    assert found is not None
    assert found["body"] == "halo"
    assert waha.calls[0].path.endswith("/messages/false_6281230000001%40c.us_3EB0AA")
    assert waha.calls[0].query == {"downloadMedia": "true"}
    assert await client.message(CUSTOMER, "3EBNONE") is None


async def test_a_file_is_asked_of_the_configured_server(client: WahaClient, waha: FakeWaha) -> None:
    waha.files["/api/files/shop/X.jpg"] = (b"picture", "image/jpeg")
    assert await client.media("/api/files/shop/X.jpg") == b"picture"
    with pytest.raises(WahaRefused):
        await client.media("/api/files/shop/gone.jpg")
    with pytest.raises(WahaRefused):
        await client.media("//elsewhere.test/api/files/x")
    assert len(waha.calls) == 2


async def test_a_wrong_key_is_told_apart(waha: FakeWaha) -> None:
    async with waha.client("wrong") as http:
        with pytest.raises(WahaUnauthorized):
            await WahaClient(http, "shop").status()


@pytest.mark.parametrize("fault", [Status(500), Status(503), Status(429), Reset()], ids=str)
async def test_a_server_in_trouble_is_unavailable(
    client: WahaClient, waha: FakeWaha, fault: Status | Reset
) -> None:
    waha.fault("/api/sessions/shop", fault)
    with pytest.raises(WahaUnavailable):
        await client.status()


async def test_a_server_that_is_not_there_is_unavailable(http: httpx2.AsyncClient) -> None:
    async with FakeWaha() as gone:
        http.base_url = gone.url  # type: ignore[assignment]
    with pytest.raises(WahaUnavailable):
        await WahaClient(http, "shop").status()


async def test_an_engine_without_history_says_so(client: WahaClient, waha: FakeWaha) -> None:
    waha.history_status = 400
    with pytest.raises(WahaRefused):
        await client.history(CUSTOMER, LONG_AGO)
    with pytest.raises(WahaRefused):
        await client.chats(LONG_AGO)


async def test_nonsense_is_unavailable(client: WahaClient, waha: FakeWaha) -> None:
    waha.fault("/messages", Status(200, {"not": "a list"}))
    with pytest.raises(WahaUnavailable):
        await client.history(CUSTOMER, LONG_AGO)
