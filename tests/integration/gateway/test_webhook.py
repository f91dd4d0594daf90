"""What a webhook promises: stored before 200, and nothing that is not ours is stored."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx2
import orjson
import pytest

from gateway.interface.controllers.crm.webhook_controller import MAX_IN_FLIGHT
from shared.kernel.ids import ChannelId, new_id
from shared.security.signatures import hmac_sha512
from tests.integration.gateway.conftest import Shop, a_channel, a_shop, an_event, is_problem
from tests.support.postgres import TestDatabase


async def stored(database: TestDatabase, shop: Shop) -> list[asyncpg.Record]:
    return await database.fetch("SELECT * FROM inbox_events WHERE tenant_id = $1", shop.id)


async def work(database: TestDatabase, shop: Shop) -> list[asyncpg.Record]:
    return await database.fetch("SELECT * FROM queue_messages WHERE tenant_id = $1", shop.id)


async def test_a_signed_event_is_stored_byte_for_byte_with_its_work(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    body = an_event()
    answer = await http.post(
        shop.webhook, content=body, headers={**shop.signed(body), "user-agent": "WAHA/1"}
    )

    assert answer.status_code == 200
    assert answer.json() == {"status": "queued", "tenant_id": str(shop.id)}
    (row,) = await stored(gateway_db, shop)
    assert bytes(row["body"]) == body
    assert (row["tenant_id"], row["source"]) == (shop.id, "waha")
    assert row["endpoint_id"] == shop.channel_id
    assert orjson.loads(row["headers"])["user-agent"] == "WAHA/1"
    assert "hmac" not in row["headers"]
    (task,) = await work(gateway_db, shop)
    assert (task["queue"], task["kind"], task["key"]) == ("crm_tasks", "inbox.waha", str(row["id"]))


async def test_the_same_body_again_is_a_quiet_200_and_makes_no_second_work(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    body = an_event()
    answers = await asyncio.gather(
        *(http.post(shop.webhook, content=body, headers=shop.signed(body)) for _ in range(20))
    )

    assert {answer.status_code for answer in answers} == {200}
    assert len(await stored(gateway_db, shop)) == 1
    assert len(await work(gateway_db, shop)) == 1


async def test_a_burst_is_stored_whole(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    bodies = [an_event(f"pesan {number}") for number in range(150)]
    answers = await asyncio.gather(
        *(http.post(shop.webhook, content=body, headers=shop.signed(body)) for body in bodies)
    )

    assert {answer.status_code for answer in answers} == {200}
    assert {bytes(row["body"]) for row in await stored(gateway_db, shop)} == set(bodies)
    assert len(await work(gateway_db, shop)) == 150


FORGED = {
    "no signature": lambda shop, body: {},
    "empty": lambda shop, body: {"x-webhook-hmac": ""},
    "not hexadecimal": lambda shop, body: {"x-webhook-hmac": "z" * 128},
    "another secret": lambda shop, body: {"x-webhook-hmac": hmac_sha512("lain", body)},
    "empty secret": lambda shop, body: {"x-webhook-hmac": hmac_sha512("", body)},
    "one bit off": lambda shop, body: {
        "x-webhook-hmac": f"{int(hmac_sha512(shop.secret, body)[0], 16) ^ 1:x}"
        + hmac_sha512(shop.secret, body)[1:]
    },
    "prefix": lambda shop, body: {"x-webhook-hmac": hmac_sha512(shop.secret, body)[:64]},
    "of another body": lambda shop, body: {"x-webhook-hmac": hmac_sha512(shop.secret, body + b" ")},
    "other characters": lambda shop, body: {"x-webhook-hmac": "ÿ" * 128},
    "too long": lambda shop, body: {
        "x-webhook-hmac": hmac_sha512(shop.secret, body) + "0" * 100_000
    },
}


@pytest.mark.parametrize("forgery", FORGED)
async def test_a_forged_event_changes_nothing(
    forgery: str, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    body = an_event()
    headers = {k: v.encode("latin-1") for k, v in FORGED[forgery](shop, body).items()}
    for url in (shop.webhook, f"{shop.webhook}/{shop.channel_id}"):
        answer = await http.post(url, content=body, headers=headers)

        is_problem(answer, 401, "bad_signature")
        assert len(await stored(gateway_db, shop)) == 0


async def test_another_tenants_signature_is_none(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    other = await a_shop(gateway_db, secret="rahasia roti")
    body = an_event()

    is_problem(
        await http.post(shop.webhook, content=body, headers=other.signed(body)),
        401,
        "bad_signature",
    )
    is_problem(
        await http.post(
            f"{shop.webhook}/{other.channel_id}", content=body, headers=other.signed(body)
        ),
        404,
        "unknown_webhook",
    )
    assert len(await stored(gateway_db, shop)) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/v1/crm/webhook/whatsapp/8fd22397-5b87-4062-8159-72d3b766d6e9",
        "/v1/crm/webhook/whatsapp/kopi",
        "/v1/crm/webhook/whatsapp/",
        "/v1/crm/webhook/whatsapp/%2e%2e%2fadmin",
        "/v1/crm/webhook/whatsapp/x%00y",
        "/v1/crm/webhook/whatsapp/" + "a" * 5000,
    ],
)
async def test_an_unknown_address_is_404(path: str, http: httpx2.AsyncClient, shop: Shop) -> None:
    is_problem(await http.post(path, content=b"{}"), 404, "unknown_webhook")


async def test_without_a_channel_every_secret_of_the_tenant_counts_and_the_lowest_id_wins(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    second = await a_channel(
        gateway_db, shop, channel_id=ChannelId(new_id()), secret="kedua", previous="lama"
    )
    await a_channel(gateway_db, shop, channel_id=ChannelId(new_id()), secret="kedua")

    for text, secret in (("baru", "kedua"), ("dulu", "lama")):
        body = an_event(text)
        answer = await http.post(
            shop.webhook, content=body, headers={"x-webhook-hmac": hmac_sha512(secret, body)}
        )
        assert answer.status_code == 200
    assert {row["endpoint_id"] for row in await stored(gateway_db, shop)} == {second}


async def test_a_secret_made_after_the_first_look_is_found_within_a_second(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    body = an_event()
    await http.post(shop.webhook, content=body, headers=shop.signed(body))
    channel = await a_channel(gateway_db, shop, channel_id=ChannelId(new_id()), secret="baru saja")
    fresh = an_event("dari nomor baru")
    headers = {"x-webhook-hmac": hmac_sha512("baru saja", fresh)}
    async with asyncio.timeout(5):
        while (
            await http.post(f"{shop.webhook}/{channel}", content=fresh, headers=headers)
        ).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_closed_channel_has_no_webhook(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    await gateway_db.execute("UPDATE channels SET active = false WHERE id = $1", shop.channel_id)
    body = an_event()
    answer = await http.post(shop.webhook, content=body, headers=shop.signed(body))
    is_problem(answer, 404, "unknown_webhook")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_more_than_a_megabyte_is_refused_while_it_is_read(
    announced: bool, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    body = b"x" * 1_000_001
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(30):  # three megabytes; nobody should want to read the last one
            read += 1
            yield b"x" * 100_000

    answer = await http.post(
        shop.webhook,
        content=body if announced else chunks(),
        headers={"x-webhook-hmac": hmac_sha512(shop.secret, body)},
    )
    is_problem(answer, 413, "content_too_large")
    assert len(await stored(gateway_db, shop)) == 0


async def test_exactly_a_megabyte_is_accepted(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    body = b"x" * 1_000_000
    answer = await http.post(shop.webhook, content=body, headers=shop.signed(body))
    assert answer.status_code == 200
    assert len(await stored(gateway_db, shop)) == 1


HOSTILE = {
    "empty": b"",
    "one byte": b"{",
    "NUL": b'{"a":"\\u0000"}\x00',
    "lone surrogate": b'{"a":"\\ud800"}',
    "not UTF-8": b"\xff\xfe\x00h",
    "deep nesting": b"[" * 200_000,
    "duplicate keys": b'{"event":"a","event":"b"}',
    "NaN": b'{"a":NaN,"b":1e999}',
    "huge number": b'{"a":' + b"9" * 5000 + b"}",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "long array": b"[" + b"1," * 100_000 + b"1]",
    "script": b"<script>alert(1)</script>",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_no_content_can_cause_a_5xx(
    kind: str, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    body = HOSTILE[kind]
    headers = {
        **shop.signed(body),
        "content-type": "text/x-nonsense; charset=utf-7",
        "content-encoding": "gzip",
        "x-http-method-override": "DELETE",
        "host": "evil.example",
        "x-forwarded-for": "1.2.3.4",
        "x-webhook-timestamp": "\x01" * 10,
    }
    answer = await http.post(
        f"{shop.webhook}?tenant_id=x&tenant_id=y", content=body, headers=headers
    )

    assert answer.status_code == 200
    assert [bytes(row["body"]) for row in await stored(gateway_db, shop)] == [body]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(method: str, http: httpx2.AsyncClient, shop: Shop) -> None:
    answer = await http.request(method, shop.webhook)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_more_than_the_room_holds_is_told_to_come_again(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    inside, enough = asyncio.Semaphore(0), asyncio.Event()
    body = an_event()

    async def slowly() -> AsyncIterator[bytes]:
        inside.release()
        yield body[:1]
        await enough.wait()
        yield body[1:]

    waiting = [
        asyncio.create_task(http.post(shop.webhook, content=slowly(), headers=shop.signed(body)))
        for _ in range(MAX_IN_FLIGHT * 3 // 4)  # all that one tenant may hold
    ]
    for _ in waiting:
        await inside.acquire()
    refused = await http.post(shop.webhook, content=body, headers=shop.signed(body))
    is_problem(refused, 503, "too_busy")
    assert refused.headers["retry-after"] == "1"
    enough.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    again = await http.post(shop.webhook, content=body, headers=shop.signed(body))
    assert again.status_code == 200
    assert len(await stored(gateway_db, shop)) == 1
