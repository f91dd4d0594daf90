"""The REST contract: shapes, pages, versions, and that a refusal changed nothing."""

from typing import Any

import httpx2
import pytest_asyncio

from shared.kernel.ids import new_id
from shared.security.signatures import hmac_sha512
from tests.integration.gateway.conftest import Shop, a_key, a_shop, an_event, is_problem
from tests.support.postgres import TestDatabase

LATTE = {
    "name": "Kopi Latte",
    "category": "Kopi",
    "description": "Espresso dan susu.",
    "variants": [
        {"sku": "LAT-R", "name": "Reguler", "price": {"amount": 25000, "currency": "IDR"}},
        {
            "sku": "LAT-L",
            "name": "Besar",
            "price": {"amount": 32000, "currency": "IDR"},
            "stock": 7,
        },
    ],
}


@pytest_asyncio.fixture(loop_scope="session")
async def key(gateway_db: TestDatabase, shop: Shop) -> dict[str, str]:
    return await a_key(gateway_db, shop)


@pytest_asyncio.fixture(loop_scope="session")
async def operator(gateway_db: TestDatabase) -> dict[str, str]:
    return await a_key(gateway_db, None)


def products(shop: Shop) -> str:
    return f"/v1/crm/tenants/{shop.slug}/products"


async def a_product(http: httpx2.AsyncClient, shop: Shop, key: dict[str, str]) -> Any:
    answer = await http.post(products(shop), json=LATTE, headers=key)
    assert answer.status_code == 201, answer.text
    return answer.json()


# products


async def test_a_product_reads_as_it_was_written(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str]
) -> None:
    created = await http.post(products(shop), json=LATTE, headers=key)
    assert created.status_code == 201
    product = created.json()
    assert created.headers["location"] == f"/v1/crm/tenants/{shop.id}/products/{product['id']}"
    assert created.headers["etag"] == f'"{product["version"]}"'

    read = await http.get(created.headers["location"], headers=key)
    assert read.json() == product
    assert product | {"id": "", "variants": []} == {
        "id": "",
        "name": "Kopi Latte",
        "category": "Kopi",
        "description": "Espresso dan susu.",
        "active": True,
        "images": [],
        "variants": [],
        "version": 1,
    }
    small, large = product["variants"]
    assert small | {"id": ""} == {
        "id": "",
        "sku": "LAT-R",
        "name": "Reguler",
        "price": {"amount": 25000, "currency": "IDR"},
        "stock": 0,
        "on_hand": 0,
        "reserved": 0,
        "attributes": {},
        "active": True,
    }
    assert (large["stock"], large["price"]["amount"]) == (7, 32000)


async def test_stock_is_what_can_be_sold(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    product = await a_product(http, shop, key)
    await gateway_db.execute(
        "UPDATE variants SET reserved = 3 WHERE tenant_id = $1 AND sku = 'LAT-L'", shop.id
    )
    (read,) = (await http.get(products(shop), headers=key)).json()["data"]
    assert read["id"] == product["id"]
    large = read["variants"][1]
    assert (large["on_hand"], large["reserved"], large["stock"]) == (7, 3, 4)

    below = await http.patch(
        f"{products(shop)}/{product['id']}/variants/{large['id']}",
        json={"on_hand": 2},
        headers=key,
    )
    is_problem(below, 409, "stock_below_reserved")


async def test_price_and_stock_are_set_and_the_version_rises(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str]
) -> None:
    product = await a_product(http, shop, key)
    variant = product["variants"][0]["id"]
    changed = await http.patch(
        f"{products(shop)}/{product['id']}/variants/{variant}",
        json={"price": {"amount": 27000, "currency": "IDR"}, "on_hand": 12},
        headers={**key, "if-match": f'"{product["version"]}"'},
    )
    assert changed.status_code == 200
    body = changed.json()
    assert body["version"] == product["version"] + 1
    assert changed.headers["etag"] == f'"{body["version"]}"'
    assert body["variants"][0]["price"] == {"amount": 27000, "currency": "IDR"}
    assert body["variants"][0]["stock"] == 12
    assert body["variants"][1] == product["variants"][1]


async def test_an_update_of_what_changed_meanwhile_is_412_and_changes_nothing(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str]
) -> None:
    product = await a_product(http, shop, key)
    url = f"{products(shop)}/{product['id']}"
    tag = f'"{product["version"]}"'
    assert (
        await http.patch(url, json={"name": "Latte"}, headers={**key, "if-match": tag})
    ).status_code == 200

    for stale in (tag, '"99"', 'W/"1"', "rubbish"):
        answer = await http.patch(url, json={"name": "X"}, headers={**key, "if-match": stale})
        is_problem(answer, 412, "changed_meanwhile")
    assert (await http.get(url, headers=key)).json()["name"] == "Latte"
    assert (
        await http.patch(url, json={"active": False}, headers={**key, "if-match": "*"})
    ).status_code == 200
    assert (await http.patch(url, json={"active": True}, headers=key)).status_code == 200


async def test_a_sku_is_taken_once(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    product = await a_product(http, shop, key)
    again = await http.post(products(shop), json=LATTE, headers=key)
    assert is_problem(again, 409, "sku_taken")["data"]
    added = await http.post(
        f"{products(shop)}/{product['id']}/variants",
        json={"sku": "LAT-X", "price": {"amount": 1, "currency": "IDR"}},
        headers=key,
    )
    assert added.status_code == 201
    assert [variant["sku"] for variant in added.json()["variants"]] == ["LAT-R", "LAT-L", "LAT-X"]
    other_money = await http.post(
        f"{products(shop)}/{product['id']}/variants",
        json={"sku": "LAT-Y", "price": {"amount": 1, "currency": "USD"}},
        headers=key,
    )
    is_problem(other_money, 422, "currency_mismatch")
    assert (
        await gateway_db.fetchval("SELECT count(*) FROM variants WHERE tenant_id = $1", shop.id)
        == 3
    )


async def test_pages_hold_everything_once(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str]
) -> None:
    for number in range(5):
        draft = LATTE | {
            "name": f"Produk {number}",
            "variants": [{"sku": f"S-{number}", "price": {"amount": 1, "currency": "IDR"}}],
        }
        await http.post(products(shop), json=draft, headers=key)
    names: list[str] = []
    cursor: str | None = None
    sizes = []
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get(products(shop), params=query, headers=key)).json()
        names += [product["name"] for product in page["data"]]
        sizes.append(len(page["data"]))
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == [f"Produk {number}" for number in range(5)]
    assert sizes == [2, 2, 1]

    for limit in ("0", "201", "x", "-1"):
        answer = await http.get(products(shop), params={"limit": limit}, headers=key)
        problem = is_problem(answer, 422, "validation_failed")
        assert problem["errors"][0]["parameter"] == "limit"
    bad = await http.get(products(shop), params={"cursor": "e30"}, headers=key)
    is_problem(bad, 422, "bad_cursor")


# tenants


async def test_an_operator_opens_a_shop_and_the_shop_changes_itself(
    http: httpx2.AsyncClient, operator: dict[str, str], gateway_db: TestDatabase
) -> None:
    created = await http.post(
        "/v1/crm/tenants",
        json={
            "slug": "warung-baru",
            "name": "Warung Baru",
            "profile": {"about": "Kopi.", "links": ["https://warung.example"]},
        },
        headers=operator,
    )
    assert created.status_code == 201, created.text
    tenant = created.json()
    assert (tenant["currency"], tenant["timezone"], tenant["language"]) == (
        "IDR",
        "Asia/Jakarta",
        "id",
    )
    assert tenant["profile"]["links"] == ["https://warung.example"]
    assert "wrapped_key" not in created.text
    is_problem(
        await http.post(
            "/v1/crm/tenants", json={"slug": "warung-baru", "name": "Lain"}, headers=operator
        ),
        409,
        "slug_taken",
    )
    listed = (await http.get("/v1/crm/tenants", headers=operator)).json()["data"]
    assert tenant["id"] in {row["id"] for row in listed}
    for name in (tenant["id"], "warung-baru"):
        assert (await http.get(f"/v1/crm/tenants/{name}", headers=operator)).json() == tenant

    own = await a_key(gateway_db, Shop(tenant["id"], tenant["slug"], tenant["id"], "", b""))
    changed = await http.patch(
        "/v1/crm/tenants/warung-baru",
        json={"language": "en", "profile": {"about": "Coffee."}},
        headers={**own, "if-match": '"1"'},
    )
    assert changed.status_code == 200
    assert (changed.json()["language"], changed.json()["profile"]["about"]) == ("en", "Coffee.")
    assert changed.json()["name"] == "Warung Baru"
    assert (await http.get("/v1/crm/tenants/warung-baru", headers=own)).json() == changed.json()
    is_problem(
        await http.patch(
            "/v1/crm/tenants/warung-baru", json={"timezone": "Mars/Base"}, headers=own
        ),
        422,
        "unknown_timezone",
    )


# channels


async def test_a_channels_secret_is_shown_once_and_opens_its_webhook(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    url = f"/v1/crm/tenants/{shop.id}/channels"
    created = await http.post(
        url,
        json={
            "kind": "waha",
            "name": "Nomor utama",
            "session": "toko",
            "base_url": "https://waha.example",
            "api_key": "kunci-waha",
        },
        headers=key,
    )
    assert created.status_code == 201, created.text
    channel = created.json()
    secret = channel.pop("webhook_secret")
    assert channel["webhook_url"] == (
        f"http://127.0.0.1:8000/v1/crm/webhook/whatsapp/{shop.id}/{channel['id']}"
    )
    assert channel["has_api_key"] is True
    read = await http.get(f"{url}/{channel['id']}", headers=key)
    assert read.json() == channel
    for text in (read.text, (await http.get(url, headers=key)).text):
        assert secret not in text
        assert "kunci-waha" not in text

    path = httpx2.URL(channel["webhook_url"]).path
    body = an_event("rahasia baru")
    signed = {"x-webhook-hmac": hmac_sha512(secret, body)}
    assert (await http.post(path, content=body, headers=signed)).status_code == 200


async def test_a_rotated_secret_lets_both_in_until_the_rotation_ends(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str]
) -> None:
    url = f"/v1/crm/tenants/{shop.id}/channels/{shop.channel_id}"
    rotated = (await http.post(f"{url}/rotate-secret", headers=key)).json()
    assert (await http.get(url, headers=key)).json()["rotating_secret"] is True
    for text, secret in (("lama", shop.secret), ("baru", rotated["webhook_secret"])):
        body = an_event(text)
        signed = {"x-webhook-hmac": hmac_sha512(secret, body)}
        path = httpx2.URL(rotated["webhook_url"]).path
        assert (await http.post(path, content=body, headers=signed)).status_code == 200
    ended = await http.post(f"{url}/end-rotation", headers=key)
    assert ended.json()["rotating_secret"] is False


async def test_a_channel_is_changed_and_closed(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str]
) -> None:
    url = f"/v1/crm/tenants/{shop.id}/channels/{shop.channel_id}"
    closed = await http.patch(url, json={"active": False, "name": "Tutup"}, headers=key)
    assert closed.status_code == 200
    assert (closed.json()["active"], closed.json()["name"]) == (False, "Tutup")
    no_server = await http.post(
        f"/v1/crm/tenants/{shop.id}/channels", json={"kind": "waha", "name": "X"}, headers=key
    )
    is_problem(no_server, 422, "bad_channel")


# customers


async def test_customers_are_found_and_changed(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    customer = await a_customer(gateway_db, shop, "Ayu Lestari", "+6281234567890")
    await a_customer(gateway_db, shop, "Budi", "+6281111111111")
    url = f"/v1/crm/tenants/{shop.id}/customers"

    found = (await http.get(url, params={"search": "lestari"}, headers=key)).json()["data"]
    assert [row["id"] for row in found] == [customer]
    assert len((await http.get(url, headers=key)).json()["data"]) == 2
    changed = await http.patch(
        f"{url}/{customer}",
        json={"address": "Jl. Braga 1", "language": "id", "opted_out": True},
        headers=key,
    )
    assert changed.status_code == 200
    assert changed.json()["address"] == "Jl. Braga 1"
    assert changed.json()["opted_out"] is True
    assert changed.json()["name"] == "Ayu Lestari"
    is_problem(
        await http.patch(f"{url}/{customer}", json={"phone": "bukan"}, headers=key),
        422,
        "bad_phone",
    )


async def a_customer(database: TestDatabase, shop: Shop, name: str, phone: str) -> str:
    row = await database.fetchval(
        "INSERT INTO customers (tenant_id, id, name, phone)"
        " VALUES ($1, gen_random_uuid(), $2, $3) RETURNING id::text",
        shop.id,
        name,
        phone,
    )
    return str(row)


# conversations


async def a_conversation(database: TestDatabase, shop: Shop) -> str:
    customer = await a_customer(database, shop, "Citra", "+6281298765432")
    row = await database.fetchval(
        "INSERT INTO conversations (tenant_id, id, channel_id, customer_id, address)"
        " VALUES ($1, gen_random_uuid(), $2, $3, '6281298765432@c.us') RETURNING id::text",
        shop.id,
        shop.channel_id,
        customer,
    )
    return str(row)


async def test_staff_take_over_answer_and_give_back(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    conversation = await a_conversation(gateway_db, shop)
    url = f"/v1/crm/tenants/{shop.id}/conversations/{conversation}"
    await gateway_db.execute(
        "INSERT INTO messages (tenant_id, id, channel_id, conversation_id, direction, native_id,"
        " sender, seq, content_type, body, sent_at) VALUES ($1, gen_random_uuid(), $2, $3, 'in',"
        " '3EB0AA', '6281298765432@c.us', 1, 'text', 'halo', now())",
        shop.id,
        shop.channel_id,
        conversation,
    )
    taken = await http.post(f"{url}/take-over", headers=key)
    assert taken.status_code == 200, taken.text
    assert taken.json()["owner"] == "person"
    assert "Test Kit" in taken.json()["owner_reason"]
    assert taken.json()["unanswered"] == 1

    sent = await http.post(f"{url}/messages", json={"text": "Halo **Kak**!"}, headers=key)
    assert sent.status_code == 202
    assert sent.json()["conversation_id"] == conversation
    (bubble,) = sent.json()["send_ids"]
    rows = await gateway_db.fetch("SELECT * FROM sends WHERE tenant_id = $1", shop.id)
    assert [(str(row["id"]), row["body"], row["kind"]) for row in rows] == [
        (bubble, "Halo *Kak*!", "staff")
    ]
    thread = (await http.get(f"{url}/messages", headers=key)).json()["data"]
    assert [(row["by"], row["text"], row["state"]) for row in thread] == [
        ("staff", "Halo *Kak*!", "pending"),
        ("customer", "halo", "person"),
    ]

    back = await http.post(f"{url}/return-to-ai", headers=key)
    assert back.json()["owner"] == "ai"
    is_problem(await http.post(f"{url}/return-to-ai", headers=key), 409, "already_with_ai")
    listed = await http.get(
        f"/v1/crm/tenants/{shop.id}/conversations", params={"owner": "ai"}, headers=key
    )
    assert [row["id"] for row in listed.json()["data"]] == [conversation]
    is_problem(
        await http.post(f"{url}/messages", json={"text": " \n "}, headers=key),
        422,
        "nothing_to_send",
    )


async def test_why_leads_from_a_bubble_to_its_turn(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    conversation = await a_conversation(gateway_db, shop)
    bubble = await gateway_db.fetchval(
        "WITH turn AS (INSERT INTO turns (tenant_id, id, conversation_id, state, outcome, reply_id,"
        " model, tokens_in, ended_at) VALUES ($1, gen_random_uuid(), $3, 'ended', 'replied',"
        " gen_random_uuid(), 'offline-demo', 321, now()) RETURNING id, reply_id)"
        " , step AS (INSERT INTO turn_steps (tenant_id, turn_id, step, kind, name, body, result,"
        " lease_epoch) SELECT $1, id, 0, 'tool', 'search_products', '{\"query\": \"kopi\"}', '{}',"
        " 1 FROM turn)"
        " INSERT INTO sends (tenant_id, id, channel_id, conversation_id, seq, kind, reply_id, body,"
        " owner_epoch, turn_id) SELECT $1, gen_random_uuid(), $2, $3, 1, 'ai', reply_id, 'Ada!', 1,"
        " id FROM turn RETURNING id::text",
        shop.id,
        shop.channel_id,
        conversation,
    )
    url = f"/v1/crm/tenants/{shop.id}/conversations/{conversation}/messages"
    answer = await http.get(f"{url}/{bubble}/why", headers=key)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["model"], answer.json()["tokens_in"]) == ("offline-demo", 321)
    (step,) = answer.json()["steps"]
    assert (step["kind"], step["name"]) == ("tool", "search_products")
    is_problem(await http.get(f"{url}/{conversation}/why", headers=key), 404, "reply_not_found")


# whatsapp/send


async def test_a_number_is_told_something_and_the_owner_stays(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    sent = await http.post(
        "/v1/whatsapp/send", json={"to": "0812 3456 7890", "text": "Siap diambil"}, headers=key
    )
    assert sent.status_code == 202, sent.text
    conversation = sent.json()["conversation_id"]
    (row,) = await gateway_db.fetch(
        "SELECT c.owner, c.address, s.body, s.kind, s.author FROM conversations c"
        " JOIN sends s ON s.conversation_id = c.id WHERE c.tenant_id = $1",
        shop.id,
    )
    assert tuple(row) == ("ai", "6281234567890@c.us", "Siap diambil", "notice", "Test Kit")
    (work,) = await gateway_db.fetch("SELECT * FROM queue_messages WHERE tenant_id = $1", shop.id)
    assert (work["queue"], work["kind"], work["key"]) == (
        "wa_messages",
        "send",
        sent.json()["send_ids"][0],
    )

    again = await http.post(
        "/v1/whatsapp/send",
        json={"conversation_id": conversation, "text": "Terima kasih"},
        headers=key,
    )
    assert again.json()["conversation_id"] == conversation
    assert (
        await gateway_db.fetchval("SELECT count(*) FROM customers WHERE tenant_id = $1", shop.id)
        == 1
    )


async def test_a_send_needs_one_recipient_and_one_channel(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    other = await a_shop(gateway_db)
    url = "/v1/whatsapp/send"
    for body, code in (
        ({"text": "x"}, "validation_failed"),
        ({"text": "x", "to": "0812", "conversation_id": str(shop.id)}, "validation_failed"),
        ({"text": "", "to": "08123456789"}, "validation_failed"),
        ({"text": "x", "to": "bukan nomor"}, "bad_phone"),
    ):
        is_problem(await http.post(url, json=body, headers=key), 422, code)
    foreign = {"to": "08123456789", "text": "x", "channel_id": str(other.channel_id)}
    is_problem(await http.post(url, json=foreign, headers=key), 404, "channel_not_found")
    await gateway_db.execute("UPDATE channels SET active = false WHERE id = $1", shop.channel_id)
    none = await http.post(url, json={"to": "08123456789", "text": "x"}, headers=key)
    is_problem(none, 422, "channel_needed")
    assert (
        await gateway_db.fetchval("SELECT count(*) FROM sends WHERE tenant_id = $1", shop.id) == 0
    )


async def test_who_has_opted_out_is_told_nothing(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    url = "/v1/whatsapp/send"
    first = await http.post(url, json={"to": "08123456789", "text": "Halo"}, headers=key)
    (customer,) = (await http.get(f"/v1/crm/tenants/{shop.id}/customers", headers=key)).json()[
        "data"
    ]
    customer_url = f"/v1/crm/tenants/{shop.id}/customers/{customer['id']}"
    await http.patch(customer_url, json={"opted_out": True}, headers=key)

    for recipient in ({"to": "08123456789"}, {"conversation_id": first.json()["conversation_id"]}):
        refused = await http.post(url, json={"text": "Promo!", **recipient}, headers=key)
        is_problem(refused, 409, "customer_opted_out")
    bodies = await gateway_db.fetch("SELECT body FROM sends WHERE tenant_id = $1", shop.id)
    assert [row["body"] for row in bodies] == ["Halo"]

    await http.patch(customer_url, json={"opted_out": False}, headers=key)
    again = await http.post(url, json={"to": "08123456789", "text": "Halo lagi"}, headers=key)
    assert again.status_code == 202


async def test_no_conversation_is_made_with_somebody_who_has_opted_out(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    await gateway_db.execute(
        "INSERT INTO customers (id, tenant_id, name, phone, opted_out)"
        " VALUES ($1, $2, 'Siti', '+628123456789', true)",
        new_id(),
        shop.id,
    )
    body = {"to": "08123456789", "text": "Promo!"}
    refused = await http.post("/v1/whatsapp/send", json=body, headers=key)
    is_problem(refused, 409, "customer_opted_out")
    for table in ("conversations", "customer_aliases", "sends", "queue_messages"):
        count = f"SELECT count(*) FROM {table} WHERE tenant_id = $1"
        assert await gateway_db.fetchval(count, shop.id) == 0, table


# dead letters


async def test_dead_letters_are_listed_and_put_back_once(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    letter = await gateway_db.fetchval(
        "INSERT INTO dead_letters (id, tenant_id, queue, kind, key, payload, attempts, code)"
        " VALUES (gen_random_uuid(), $1, 'crm_tasks', 'conversation.turn', 'k', '{}', 3, 'boom')"
        " RETURNING id::text",
        shop.id,
    )
    url = f"/v1/crm/tenants/{shop.id}/dead-letters"
    (listed,) = (await http.get(url, headers=key)).json()["data"]
    assert (listed["id"], listed["code"], listed["attempts"]) == (letter, "boom", 3)
    assert "payload" not in listed

    assert (await http.post(f"{url}/{letter}/redrive", headers=key)).status_code == 204
    assert (
        await gateway_db.fetchval(
            "SELECT count(*) FROM queue_messages WHERE tenant_id = $1", shop.id
        )
        == 1
    )
    is_problem(
        await http.post(f"{url}/{letter}/redrive", headers=key),
        409,
        "dead_letter_already_redriven",
    )
