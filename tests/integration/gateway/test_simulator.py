"""The simulator's API: a phone whose messages take the same way as WhatsApp's."""

import base64
from typing import Any

import httpx2
import orjson
import pytest

from shared.kernel.ids import new_id
from shared.waha.events import AckEvent, ContentType, MessageEvent
from shared.waha.parsing import parse_event
from tests.integration.gateway.conftest import (
    Shop,
    a_key,
    a_shop,
    is_problem,
    running,
    settings_for,
)
from tests.support.postgres import TestDatabase

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40


def customers(shop: Shop) -> str:
    return f"/simulator/api/tenants/{shop.slug}/customers"


async def a_phone(http: httpx2.AsyncClient, shop: Shop) -> str:
    """A new simulated customer; returns where its routes begin."""
    answer = await http.post(customers(shop), json={"name": "Dewi", "phone": "0812 3456 7890"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["address"] == "6281234567890@c.us"
    return f"{customers(shop)}/6281234567890@c.us"


async def say(http: httpx2.AsyncClient, phone: str, text: str = "halo, ada kopi apa?") -> str:
    answer = await http.post(f"{phone}/messages", json={"text": text})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["native_id"])


async def inbox(database: TestDatabase, shop: Shop) -> list[Any]:
    rows = await database.fetch(
        "SELECT body FROM inbox_events WHERE tenant_id = $1 ORDER BY sequence", shop.id
    )
    return [parse_event(bytes(row["body"])) for row in rows]


async def test_it_says_which_shops_can_be_written_to(http: httpx2.AsyncClient, shop: Shop) -> None:
    info = (await http.get("/simulator/api/info")).json()
    assert info["open"] is True
    (own,) = [tenant for tenant in info["tenants"] if tenant["slug"] == shop.slug]
    assert own == {
        "tenant_id": str(shop.id),
        "slug": shop.slug,
        "name": f"Toko {shop.slug}",
        "channel_id": str(shop.channel_id),
        "language": "id",
        "model": "offline-demo",
        "offline": True,
        "label": "offline demo model",
    }


async def test_a_customer_is_named_or_invented(http: httpx2.AsyncClient, shop: Shop) -> None:
    invented = (await http.post(customers(shop), json={})).json()
    assert invented["phone"].startswith("+62812")
    assert " " in invented["name"]
    await a_phone(http, shop)
    renamed = await http.post(
        customers(shop), json={"name": "Dewi Sari", "phone": "+62 812-3456-7890"}
    )
    assert renamed.json()["name"] == "Dewi Sari"
    kept = await http.post(customers(shop), json={"phone": "6281234567890"})
    assert kept.json()["name"] == "Dewi Sari"
    listed = (await http.get(customers(shop))).json()["data"]
    assert {row["name"] for row in listed} == {"Dewi Sari", invented["name"]}
    for phone in ("bukan nomor", "12", "+62" + "1" * 25):
        is_problem(await http.post(customers(shop), json={"phone": phone}), 422, "bad_phone")


async def test_a_text_goes_through_the_webhook_as_whatsapp_would_send_it(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    native_id = await say(http, phone)

    (event,) = await inbox(gateway_db, shop)
    assert isinstance(event, MessageEvent)
    assert (event.native_id, event.chat, event.text) == (
        native_id,
        "6281234567890@c.us",
        "halo, ada kopi apa?",
    )
    assert (event.from_me, event.session) == (False, "default")
    (row,) = await gateway_db.fetch("SELECT * FROM inbox_events WHERE tenant_id = $1", shop.id)
    assert row["endpoint_id"] == shop.channel_id
    assert (
        await gateway_db.fetchval("SELECT kind FROM queue_messages WHERE tenant_id = $1", shop.id)
        == "inbox.waha"
    )


async def test_a_location_and_a_picture_do_too(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    place = {"latitude": -6.1754, "longitude": 106.8272, "name": "Monas"}
    assert (await http.post(f"{phone}/messages", json={"location": place})).status_code == 202
    picture = {"data": base64.b64encode(PNG).decode(), "caption": "ini buktinya"}
    assert (await http.post(f"{phone}/messages", json={"image": picture})).status_code == 202

    location, image = await inbox(gateway_db, shop)
    assert location.content_type is ContentType.LOCATION
    assert (location.content["latitude"], location.content["name"]) == (-6.1754, "Monas")
    assert image.content_type is ContentType.IMAGE
    assert image.text == "ini buktinya"
    assert image.content["media"]["mimetype"] == "image/png"

    shown = (await http.get(f"{phone}/messages")).json()["data"]
    assert shown[0]["content"] == {"type": "location", "address": None, **place}
    content = shown[1]["content"]
    assert (content["type"], content["mimetype"]) == ("image", "image/png")
    assert "data" not in content
    served = await http.get(content["url"])
    assert served.content == PNG
    assert served.headers["content-type"] == "image/png"
    assert served.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in served.headers["content-security-policy"]


BAD_MESSAGES = {
    "nothing": ({}, "validation_failed"),
    "blank": ({"text": " \n"}, "validation_failed"),
    "two things": (
        {"text": "x", "location": {"latitude": 0, "longitude": 0}},
        "validation_failed",
    ),
    "too long": ({"text": "x" * 4097}, "validation_failed"),
    "off the map": ({"location": {"latitude": 91, "longitude": 0}}, "validation_failed"),
    "not base64": ({"image": {"data": "***"}}, "bad_picture"),
    "a script": (
        {"image": {"data": base64.b64encode(b"<svg onload=alert(1)>").decode()}},
        "bad_picture",
    ),
    "more than 2 MB": (
        {"image": {"data": base64.b64encode(PNG + b"\0" * 2_000_000).decode()}},
        "bad_picture",
    ),
}


@pytest.mark.parametrize("kind", BAD_MESSAGES)
async def test_what_no_phone_would_send_is_refused(
    kind: str, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    body, code = BAD_MESSAGES[kind]
    is_problem(await http.post(f"{phone}/messages", json=body), 422, code)
    assert (await http.get(f"{phone}/messages")).json()["data"] == []
    assert await inbox(gateway_db, shop) == []


async def test_a_message_that_the_shop_does_not_take_was_never_there(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    await gateway_db.execute("ALTER TABLE inbox_events RENAME TO inbox_away")
    try:
        refused = await http.post(f"{phone}/messages", json={"text": "halo"})
    finally:
        await gateway_db.execute("ALTER TABLE inbox_away RENAME TO inbox_events")
    is_problem(refused, 503, "not_delivered")
    assert (await http.get(f"{phone}/messages")).json()["data"] == []


async def test_an_unknown_phone_is_404(http: httpx2.AsyncClient, shop: Shop) -> None:
    for address in ("628999@c.us", "status@broadcast", "123@g.us", "x"):
        answer = await http.get(f"{customers(shop)}/{address}/messages")
        is_problem(answer, 404, "no_such_phone")
    phone = await a_phone(http, shop)
    is_problem(await http.get(f"{phone}/messages/3EB0FF/answer"), 404, "no_such_phone")
    is_problem(
        await http.get(f"/simulator/api/tenants/{shop.slug}/media/3EB0FF"), 404, "no_such_phone"
    )


# what becomes of a message


async def store(
    database: TestDatabase,
    shop: Shop,
    native_id: str,
    *,
    how: str | None = None,
    reply: Any = None,
    owner: str = "ai",
) -> str:
    """What the commerce agent writes when it has stored a message, and later answered it."""
    conversation = await database.fetchval(
        "SELECT id::text FROM conversations WHERE tenant_id = $1", shop.id
    )
    if conversation is None:
        customer = await database.fetchval(
            "INSERT INTO customers (tenant_id, id) VALUES ($1, gen_random_uuid()) RETURNING id",
            shop.id,
        )
        conversation = await database.fetchval(
            "INSERT INTO conversations (tenant_id, id, channel_id, customer_id, address, owner)"
            " VALUES ($1, gen_random_uuid(), $2, $3, '6281234567890@c.us', $4) RETURNING id::text",
            shop.id,
            shop.channel_id,
            customer,
            owner,
        )
    await database.execute(
        "INSERT INTO messages (tenant_id, id, channel_id, conversation_id, direction, native_id,"
        " sender, content_type, sent_at, answered_how, answered_by) VALUES ($1, gen_random_uuid(),"
        " $2, $3, 'in', $4, 'x', 'text', now(), $5, $6) ON CONFLICT (tenant_id, channel_id,"
        " direction, kind, native_id) DO UPDATE SET answered_how = $5, answered_by = $6",
        shop.id,
        shop.channel_id,
        conversation,
        native_id,
        how,
        reply,
    )
    return str(conversation)


async def bubble(
    database: TestDatabase, shop: Shop, conversation: str, reply: Any, seq: int, state: str
) -> str:
    row = await database.fetchval(
        "INSERT INTO sends (tenant_id, id, channel_id, conversation_id, seq, kind, reply_id, body,"
        " owner_epoch, state) VALUES ($1, gen_random_uuid(), $2, $3, $4, 'ai', $5, $6, 1, $7)"
        " RETURNING id::text",
        shop.id,
        shop.channel_id,
        conversation,
        seq,
        reply,
        f"bagian {seq}",
        state,
    )
    return str(row)


async def test_an_answer_is_complete_when_its_last_bubble_has_left(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    native_id = await say(http, phone)
    url = f"{phone}/messages/{native_id}/answer"
    waiting = {"state": "waiting", "complete": False, "bubbles": []}
    assert (await http.get(url)).json() == waiting

    conversation = await store(gateway_db, shop, native_id)
    assert (await http.get(url)).json() == waiting

    reply = new_id()
    await store(gateway_db, shop, native_id, how="ai", reply=reply)
    first = await bubble(gateway_db, shop, conversation, reply, 1, "sent")
    second = await bubble(gateway_db, shop, conversation, reply, 2, "pending")
    await bubble(gateway_db, shop, conversation, new_id(), 3, "sent")
    for state in ("pending", "sending", "unknown"):
        await gateway_db.execute(
            "UPDATE sends SET state = $2 WHERE tenant_id = $1 AND seq = 2", shop.id, state
        )
        assert (await http.get(url)).json() == {
            "state": "answered",
            "complete": False,
            "bubbles": [
                {"id": first, "text": "bagian 1", "state": "sent", "kind": "ai"},
                {"id": second, "text": "bagian 2", "state": state, "kind": "ai"},
            ],
        }
    for state in ("sent", "failed", "cancelled"):
        await gateway_db.execute(
            "UPDATE sends SET state = $2 WHERE tenant_id = $1 AND seq = 2", shop.id, state
        )
        assert (await http.get(url)).json()["complete"] is True


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ("person", "answered"),
        ("handed_over", "handed_over"),
        ("refused", "refused"),
        ("revoked", "revoked"),
        ("recovered", "recovered"),
        ("nothing_to_answer", "nothing_to_answer"),
    ],
)
async def test_every_end_of_a_message_is_told(
    how: str, state: str, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    native_id = await say(http, phone)
    await store(gateway_db, shop, native_id, how=how)
    answer = (await http.get(f"{phone}/messages/{native_id}/answer")).json()
    assert answer == {"state": state, "complete": True, "bubbles": []}


async def test_ticks_go_from_sent_to_stored_to_seen(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    native_id = await say(http, phone)

    async def chat() -> tuple[str, str | None]:
        answer = (await http.get(f"{phone}/messages")).json()
        (message,) = answer["data"]
        assert message["from_customer"] is True
        return message["status"], answer["owner"]

    assert await chat() == ("sent", None)
    await store(gateway_db, shop, native_id, owner="person")
    assert await chat() == ("stored", "person")
    await gateway_db.execute(
        "UPDATE simulator_messages SET seen_at = now() WHERE native_id = $1", native_id
    )
    assert await chat() == ("seen", "person")


async def test_seen_bubbles_are_acknowledged_once_each(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    phone = await a_phone(http, shop)
    for name in ("SIM1", "SIM2"):
        await gateway_db.execute(
            "INSERT INTO simulator_messages (tenant_id, channel_id, native_id, address,"
            " from_customer, body) VALUES ($1, $2, $3, '6281234567890@c.us', false, 'Halo')",
            shop.id,
            shop.channel_id,
            name,
        )
    (customer,) = (await http.get(customers(shop))).json()["data"]
    assert (customer["unseen"], customer["last_text"]) == (2, "Halo")
    shown = (await http.get(f"{phone}/messages")).json()["data"]
    assert [message["status"] for message in shown] == ["unseen", "unseen"]

    assert (await http.post(f"{phone}/seen")).json() == {"seen": 2}
    assert (await http.post(f"{phone}/seen")).json() == {"seen": 0}
    acks = await inbox(gateway_db, shop)
    assert [(type(ack), ack.native_id, ack.level) for ack in acks] == [
        (AckEvent, "SIM1", 3),
        (AckEvent, "SIM2", 3),
    ]
    (customer,) = (await http.get(customers(shop))).json()["data"]
    assert customer["unseen"] == 0


async def test_only_what_came_after_is_read(http: httpx2.AsyncClient, shop: Shop) -> None:
    phone = await a_phone(http, shop)
    ids = [await say(http, phone, text) for text in ("satu", "dua", "tiga")]
    all_of_it = (await http.get(f"{phone}/messages")).json()["data"]
    assert [message["text"] for message in all_of_it] == ["satu", "dua", "tiga"]
    rest = (await http.get(f"{phone}/messages", params={"after": ids[0]})).json()["data"]
    assert [message["native_id"] for message in rest] == ids[1:]


# who may


async def test_there_is_no_simulator_unless_it_is_switched_on(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    async with running(settings_for(gateway_db, simulator_enabled=False)) as http:
        for path in (
            "/simulator",
            f"/simulator/{shop.slug}",
            "/simulator/api/info",
            customers(shop),
        ):
            is_problem(await http.get(path), 404, "no_simulator")


async def test_a_tenant_without_a_simulated_number_has_none(
    http: httpx2.AsyncClient, gateway_db: TestDatabase
) -> None:
    real = await a_shop(gateway_db, kind="waha")
    for path in (f"/simulator/{real.slug}", customers(real), "/simulator/tidak-ada"):
        is_problem(await http.get(path), 404, "no_simulator")


NOT_FROM_HERE: dict[str, dict[str, Any]] = {
    "another machine": {"client": ("192.168.1.5", 1234)},
    "listening to the world": {"settings": {"http_host": "0.0.0.0"}},
    "through a proxy": {"headers": {"x-forwarded-for": "8.8.8.8"}},
    "a rebound name": {"headers": {"host": "evil.example"}},
    "another site's page": {"headers": {"origin": "https://evil.example"}},
}


@pytest.mark.parametrize("case", NOT_FROM_HERE)
async def test_from_elsewhere_a_key_of_the_shop_is_needed(
    case: str, gateway_db: TestDatabase, shop: Shop
) -> None:
    how = NOT_FROM_HERE[case]
    other = await a_shop(gateway_db)
    own = await a_key(gateway_db, shop, "simulator")
    theirs = await a_key(gateway_db, other)
    narrow = await a_key(gateway_db, shop, "products:read")
    settings = settings_for(gateway_db, **how.get("settings", {}))
    async with running(settings, client=how.get("client", ("127.0.0.1", 1))) as http:
        http.headers.update(how.get("headers", {}))
        url = customers(shop)
        is_problem(await http.get(url), 401, "unauthorized")
        is_problem(await http.get("/simulator/api/info"), 401, "unauthorized")
        is_problem(await http.post(url, json={}), 401, "unauthorized")
        is_problem(await http.get(url, headers=narrow), 403, "scope_missing")
        is_problem(await http.get(url, headers=theirs), 404, "no_simulator")
        assert (await http.get(url, headers=own)).status_code == 200
        info = (await http.get("/simulator/api/info", headers=own)).json()
        assert info["open"] is False
        assert [tenant["slug"] for tenant in info["tenants"]] == [shop.slug]
        page = await http.get("/simulator")
        assert page.status_code == 200
        assert shop.slug not in page.text


async def test_a_slug_that_looks_like_another_shops_id_leads_to_nobody_elses(
    gateway_db: TestDatabase, shop: Shop
) -> None:
    imitator = await a_shop(gateway_db, str(shop.id))
    key = await a_key(gateway_db, imitator)
    await gateway_db.execute(
        "INSERT INTO simulator_customers (tenant_id, channel_id, address, name)"
        " VALUES ($1, $2, '62811@c.us', 'Rahasia')",
        shop.id,
        shop.channel_id,
    )
    async with running(settings_for(gateway_db), client=("192.168.1.5", 1)) as http:
        assert (await http.get(customers(shop), headers=key)).status_code == 404
        answer = await http.get(customers(imitator), headers=key)
        assert answer.json() == {"data": []}


async def test_here_no_key_is_needed(http: httpx2.AsyncClient, shop: Shop) -> None:
    answer = await http.get(
        customers(shop), headers={"origin": "http://localhost:8000", "host": "localhost:8000"}
    )
    assert answer.status_code == 200
    page = await http.get(f"/simulator/{shop.slug}")
    assert f'data-tenant="{shop.slug}"' in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert (await http.get(f"/simulator/{shop.id}")).status_code == 200


async def test_a_body_is_json_or_refused(http: httpx2.AsyncClient, shop: Shop) -> None:
    """A form of another site's page could be posted without asking; JSON could not."""
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await http.post(
            customers(shop),
            content=orjson.dumps({"name": "X"}),
            headers={"content-type": content_type},
        )
        is_problem(answer, 422, "validation_failed")
    assert (await http.get(customers(shop))).json()["data"] == []
