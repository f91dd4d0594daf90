"""Did it leave? Every way in which a send can end."""

import logging
from datetime import timedelta

import httpx2
import pytest

from shared.kernel.errors import DomainError
from shared.security.outbound import open_client
from shared.waha.send import NotSent, SendRefused, SendUnknown, SessionNotReady, WahaSender
from tests.support.fake_waha import API_KEY, FakeWaha, Fault, Hang, Reset, Status
from tests.support.waha_webhooks import CUSTOMER, ENGINES, Engine


@pytest.fixture
def sender(http: httpx2.AsyncClient) -> WahaSender:
    return WahaSender(http, "shop", call_timeout=timedelta(seconds=0.3))


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_id_of_every_engine_is_read(sender: WahaSender, waha: FakeWaha) -> None:
    native_id = await sender.send_text(CUSTOMER, "halo")
    assert native_id == waha.sent[CUSTOMER][0].native_id


@pytest.mark.parametrize("engine", ENGINES)
async def test_ids_are_reserved_where_the_engine_can(
    sender: WahaSender, waha: FakeWaha, engine: Engine
) -> None:
    reserved = await sender.reserve_id()
    if engine == "WEBJS":
        assert reserved is None
    else:
        assert await sender.send_text(CUSTOMER, "halo", id=reserved) == reserved


async def test_an_answer_without_an_id_was_a_send(sender: WahaSender, waha: FakeWaha) -> None:
    waha.fault("/api/sendText", Status(201, {"unexpected": True}, done=True))
    assert await sender.send_text(CUSTOMER, "halo") is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Status(400), SendRefused),
        (Status(404), SendRefused),
        (Status(501), SendRefused),
        (Status(422), SendRefused),
        (Status(302), SendRefused),
        (Status(401), SessionNotReady),
        (Status(422, {"error": "x", "session": "shop", "status": "STARTING"}), SessionNotReady),
        (Status(429), NotSent),
        (Status(500), SendUnknown),
        (Status(500, done=True), SendUnknown),
        (Status(502), SendUnknown),
        (Hang(), SendUnknown),
        (Reset(), SendUnknown),
        (Reset(done=True), SendUnknown),
    ],
    ids=str,
)
async def test_what_an_ending_means(
    sender: WahaSender, waha: FakeWaha, fault: Fault, kind: type[DomainError]
) -> None:
    waha.fault("/api/sendText", fault)
    with pytest.raises(DomainError) as caught:
        await sender.send_text(CUSTOMER, "nomor rahasia 0812")
    assert type(caught.value) is kind
    assert "rahasia" not in f"{caught.value.detail} {caught.value.data}"


async def test_a_session_that_does_not_work_is_named(sender: WahaSender, waha: FakeWaha) -> None:
    waha.sessions["shop"].status = "SCAN_QR_CODE"
    with pytest.raises(SessionNotReady) as caught:
        await sender.send_text(CUSTOMER, "halo")
    assert caught.value.data["status"] == "scan_qr_code"


async def test_a_refused_connection_means_nothing_left(http: httpx2.AsyncClient) -> None:
    async with FakeWaha() as gone:
        http.base_url = gone.url  # type: ignore[assignment]
    with pytest.raises(NotSent) as caught:
        await WahaSender(http, "shop").send_text(CUSTOMER, "halo")
    assert type(caught.value) is NotSent


async def test_an_address_that_may_not_be_reached_means_nothing_left(waha: FakeWaha) -> None:
    async with open_client((), timeout=timedelta(seconds=2), base_url=waha.url) as closed:
        with pytest.raises(NotSent):
            await WahaSender(closed, "shop").send_text(CUSTOMER, "halo")
    assert waha.calls == []


async def test_an_allowed_private_server_is_reached(waha: FakeWaha) -> None:
    async with open_client(
        (waha.host,),
        timeout=timedelta(seconds=2),
        base_url=waha.url,
        headers={"x-api-key": API_KEY},
    ) as allowed:
        assert await WahaSender(allowed, "shop").send_text(CUSTOMER, "halo")


async def test_a_reservation_without_an_answer_is_no_send(
    sender: WahaSender, waha: FakeWaha
) -> None:
    waha.fault("/new-message-id", Status(500), Reset())
    assert await sender.reserve_id() is None
    with pytest.raises(NotSent):
        await sender.reserve_id()


async def test_nothing_of_a_message_is_logged(
    sender: WahaSender, waha: FakeWaha, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="shared")
    waha.fault("/api/sendText", Status(500))
    with pytest.raises(SendUnknown):
        await sender.send_text(CUSTOMER, "rahasia")
    assert "rahasia" not in caplog.text
