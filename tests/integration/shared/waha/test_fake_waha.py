"""The fake keeps what it promises to the tests that lean on it."""

import asyncio
import json

import httpx2
import pytest

from shared.security.signatures import hmac_sha512_matches
from shared.waha.events import AckEvent, MessageEvent
from shared.waha.parsing import parse_event
from shared.waha.send import WahaSender
from tests.support.fake_waha import Delay, FakeWaha, Hang, Status
from tests.support.waha_webhooks import CUSTOMER, ENGINES, SECRET, Webhooks, signed


def test_webhooks_carry_wahas_own_signature() -> None:
    """The vector of WAHA's documentation."""
    body = b'{"event":"message","session":"default","engine":"WEBJS"}'
    expected = (
        "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8097c462b2b17a6ce93b6b47a136c"
        "f2e78a33a63f6752c2c1631777076153fa89"
    )
    assert signed(body, "my-secret-key").headers["x-webhook-hmac"] == expected
    assert hmac_sha512_matches("my-secret-key", body, expected)
    webhook = Webhooks().message("halo")
    assert hmac_sha512_matches(SECRET, webhook.body, webhook.headers["x-webhook-hmac"])


@pytest.mark.parametrize("engine", ENGINES)
async def test_it_reports_what_was_sent(waha: FakeWaha, http: httpx2.AsyncClient) -> None:
    received: list[tuple[bytes, str | None]] = []

    async def receive(request: httpx2.Request) -> httpx2.Response:
        received.append((request.content, request.headers.get("x-webhook-hmac")))
        return httpx2.Response(200)

    platform = httpx2.AsyncClient(transport=httpx2.MockTransport(receive))
    waha.echo("http://platform.test/hook", client=platform, before_answer=True, acks=(1, 3))

    native_id = await WahaSender(http, "shop").send_text(CUSTOMER, "halo")

    events = [parse_event(body) for body, _ in received]
    assert [type(event) for event in events] == [MessageEvent, AckEvent, AckEvent]
    echo, *_ = events
    assert isinstance(echo, MessageEvent)
    assert (echo.native_id, echo.source_is_api, echo.chat) == (native_id, True, CUSTOMER)
    assert all(hmac_sha512_matches(SECRET, body, sign) for body, sign in received)
    assert [status for _, status in waha.echoes] == [200, 200, 200]


async def test_faults_are_used_up_in_order(waha: FakeWaha, http: httpx2.AsyncClient) -> None:
    body = {"session": "shop", "chatId": CUSTOMER, "text": "halo"}
    waha.fault("/api/sendText", Status(500), Delay(0.01), Status(503, done=True))

    statuses = [(await http.post("/api/sendText", json=body)).status_code for _ in range(4)]

    assert statuses == [500, 201, 503, 201]
    assert len(waha.sent[CUSTOMER]) == 3
    assert [call.index for call in waha.calls] == [0, 1, 2, 3]


async def test_a_500_repeats_the_request(waha: FakeWaha, http: httpx2.AsyncClient) -> None:
    waha.fault("/api/sendText", Status(500))
    answer = await http.post("/api/sendText", json={"text": "rahasia"})
    assert json.loads(answer.content)["request"]["body"] == {"text": "rahasia"}


async def test_it_ends_while_a_call_hangs(http: httpx2.AsyncClient) -> None:
    async with FakeWaha() as waha:
        waha.fault("/ping", Hang())
        hanging = asyncio.create_task(http.get(f"{waha.url}/ping"))
        await waha.until(lambda: bool(waha.calls))
    with pytest.raises(httpx2.HTTPError):
        await hanging
