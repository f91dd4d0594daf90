"""Hostile requests: forged signatures, replays, other people's ids, and what stands around a body.

Each test carries the number of its class (docs/hostile-input.md). What only sockets can show is in
test_hostile_wire.py.
"""

import asyncio
import hashlib
import hmac

import httpx2
import orjson

from tests.fault.hostile.house import House, a_number, is_refused
from tests.support import rows
from tests.support.waha_webhooks import SECRET, new_native_id, sign

DAYS = 86_400.0


def halo(house: House, text: str = "halo", **options: object) -> bytes:
    return house.tenant.hooks.message(text, chat=a_number(), **options).body  # type: ignore[arg-type]


def _bent(signature: str) -> str:
    """The last bit is another."""
    return f"{signature[:-1]}{int(signature[-1], 16) ^ 1:x}"


FORGERIES = {
    "none": lambda right, body: [],
    "empty": lambda right, body: [("x-webhook-hmac", "")],
    "blank": lambda right, body: [("x-webhook-hmac", " ")],
    "last bit": lambda right, body: [("x-webhook-hmac", _bent(right))],
    "all but the last digit": lambda right, body: [("x-webhook-hmac", right[:-1])],
    "one digit more": lambda right, body: [("x-webhook-hmac", right + "0")],
    "prefixed": lambda right, body: [("x-webhook-hmac", f"sha512={right}")],
    "quoted": lambda right, body: [("x-webhook-hmac", f'"{right}"')],
    "in a list": lambda right, body: [("x-webhook-hmac", f"{'0' * 128}, {right}")],
    "forged before right": lambda right, body: [
        ("x-webhook-hmac", "0" * 128),
        ("x-webhook-hmac", right),
    ],
    "other header": lambda right, body: [("x-hub-signature-256", right)],
    "in the cookie": lambda right, body: [("cookie", f"x-webhook-hmac={right}")],
    "sha256": lambda right, body: [
        ("x-webhook-hmac", hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()),
        ("x-webhook-hmac-algorithm", "sha256"),
    ],
    "md5": lambda right, body: [
        ("x-webhook-hmac", hmac.new(SECRET.encode(), body, hashlib.md5).hexdigest()),
        ("x-webhook-hmac-algorithm", "md5"),
    ],
    "algorithm none": lambda right, body: [
        ("x-webhook-hmac", ""),
        ("x-webhook-hmac-algorithm", "none"),
    ],
    "no key": lambda right, body: [("x-webhook-hmac", sign(body, ""))],
    "hash without a key": lambda right, body: [
        ("x-webhook-hmac", hashlib.sha512(SECRET.encode() + body).hexdigest())
    ],
    "of the body with its time": lambda right, body: [
        ("x-webhook-hmac", sign(b"1." + body, SECRET))
    ],
    "of another body": lambda right, body: [("x-webhook-hmac", sign(body + b" ", SECRET))],
    "NUL": lambda right, body: [("x-webhook-hmac", right + "\0")],
    "other letters": lambda right, body: [("x-webhook-hmac", "ÿ" * 128)],
}


async def test_21_a_forged_signature_stores_nothing(house: House) -> None:
    body = halo(house)
    right = sign(body, SECRET)
    before = await house.belongings()
    tenant = house.tenant
    async with house.visit() as visit:
        for name, forge in FORGERIES.items():
            headers = [(key, value.encode("latin-1")) for key, value in forge(right, body)]
            for door in (tenant.shop.webhook, f"/v1/crm/webhook/whatsapp/{tenant.id}"):
                answer = await visit.post(door, content=body, headers=headers)
                is_refused(answer, 401, "bad_signature")
                assert await house.belongings() == before, name
        # what the header calls the algorithm is nobody's choice
        answer = await visit.as_waha(body, **{"x-webhook-hmac-algorithm": "none"})
        assert answer.status_code == 200
    await house.settle()
    assert await house.fate(body) == ("stored", None)


async def test_22_another_tenants_secret_opens_nothing_here(house: House) -> None:
    mine, theirs = house.tenant, house.neighbour
    kopi = await rows.a_channel(house.db, mine.id, kind="simulator", webhook_secret="rahasia-kopi")
    roti = await rows.a_channel(
        house.db, theirs.id, kind="simulator", webhook_secret="rahasia-roti"
    )
    hook = "/v1/crm/webhook/whatsapp"
    body = halo(house)
    before = await house.belongings()
    async with house.visit() as visit:
        for path, secret, refusal in (
            (f"{mine.id}/{kopi}", "rahasia-roti", (401, "bad_signature")),
            (f"{mine.id}", "rahasia-roti", (401, "bad_signature")),
            (f"{theirs.id}", "rahasia-kopi", (401, "bad_signature")),
            (f"{mine.id}/{roti}", "rahasia-roti", (404, "unknown_webhook")),
            (f"{theirs.id}/{kopi}", "rahasia-kopi", (404, "unknown_webhook")),
        ):
            signature = {"x-webhook-hmac": sign(body, secret)}
            answer = await visit.post(f"{hook}/{path}", content=body, headers=signature)
            is_refused(answer, *refusal)
        assert await house.belongings() == before
        for tenant in (mine, theirs):
            stored = await house.path.fetch(
                "SELECT 1 FROM inbox_events WHERE tenant_id = $1 AND body = $2", tenant.id, body
            )
            assert stored == []
        signature = {"x-webhook-hmac": sign(body, "rahasia-kopi")}
        answer = await visit.post(f"{hook}/{mine.id}/{kopi}", content=body, headers=signature)
        assert answer.status_code == 200
    await house.settle()
    assert await house.fate(body) == ("parked", "no_channel"), "the session is another channel's"


async def test_23_an_old_delivery_again_changes_nothing_and_old_news_are_never_answered(
    house: House,
) -> None:
    chat = a_number()
    body = house.tenant.hooks.message("halo", chat=chat).body
    async with house.visit() as visit:
        assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    assert house.path.said(chat) == ["Jawaban untuk: halo"]
    await house.path.jump(3 * DAYS)
    before = await house.belongings()
    async with house.visit() as visit:
        for _ in range(3):
            assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    assert await house.belongings() == before

    now = await house.db.fetchval("SELECT extract(epoch FROM platform_now())::float8")
    assert isinstance(now, float)
    late = house.tenant.hooks.message("yang lama", chat=chat, at=now - 3 * DAYS).body
    async with house.visit() as visit:
        assert (await visit.as_waha(late)).status_code == 200
    await house.settle()
    _, message = await house.messages()
    assert (message["body"], message["answered_how"], message["recovered"]) == (
        "yang lama",
        "recovered",
        True,
    )
    assert house.path.said(chat) == ["Jawaban untuk: halo"]


async def test_24_an_id_used_again_for_something_else_replaces_nothing(house: House) -> None:
    chat, stranger, native_id = a_number(), a_number(), new_native_id()
    hooks = house.tenant.hooks
    first = hooks.message("halo", chat=chat, native_id=native_id)
    await house.deliver(first)
    await house.settle()
    again = [
        hooks.message("transfer ke rekening lain", chat=chat, native_id=native_id),
        hooks.message("halo", chat=stranger, native_id=native_id),
        hooks.message(None, chat=chat, native_id=native_id, media={"url": None}),
    ]
    async with house.visit() as visit:
        for webhook in again:
            assert (await visit.as_waha(webhook.body)).status_code == 200
    await house.settle()
    assert [await house.fate(webhook.body) for webhook in again] == [
        ("stored", "anomaly_other_content"),
        ("stored", "anomaly_other_sender"),
        ("stored", "anomaly_other_content"),
    ]
    (message,) = await house.messages()
    assert (message["body"], message["sender"]) == ("halo", chat)
    assert house.path.said(chat) == ["Jawaban untuk: halo"]
    assert house.path.said(stranger) == []


async def test_25_the_same_message_under_other_webhook_ids_is_stored_once(house: House) -> None:
    chat, native_id = a_number(), new_native_id()
    hooks = house.tenant.hooks
    bodies = [hooks.message("halo", chat=chat, native_id=native_id, at=1.7e9).body]
    for number in range(4):
        envelope = orjson.loads(bodies[0]) | {"id": f"evt_{number}", "timestamp": number}
        bodies.append(orjson.dumps(envelope))
    async with house.visit() as visit:
        answers = await asyncio.gather(*(visit.as_waha(body) for body in bodies))
    assert {answer.status_code for answer in answers} == {200}
    await house.settle()
    assert sorted([await house.fate(body) for body in bodies], key=str) == [
        *[("ignored", "duplicate")] * 4,
        ("stored", None),
    ]
    assert len(await house.messages()) == 1
    # the same words under another message id were said twice
    await house.deliver(hooks.message("halo", chat=chat))
    await house.settle()
    assert [message["body"] for message in await house.messages()] == ["halo", "halo"]


UNKNOWN_PATHS = [
    "/v1/crm/webhook/whatsapp/%2e%2e%2fadmin",
    "/v1/crm/webhook/whatsapp/..%2f..%2f",
    "/v1/crm/webhook/whatsapp/{id}%2f{channel}x",
    "/v1/crm/webhook/whatsapp/{id}/{channel}/",
    "/v1/crm/webhook/whatsapp/{id}/{channel}%00",
    "/v1/crm/webhook/whatsapp/{id}/{channel}%0a",
    "/v1/crm/webhook/whatsapp/{id}%20",
    "/v1/crm/webhook/whatsapp/{id};x=1",
    "/v1/crm/webhook/whatsapp//{id}",
    "/v1/crm/webhook/whatsapp/{{{id}}}",
    "/v1/crm/webhook/whatsapp/" + "a" * 10_000,
]


async def test_26_an_encoded_path_is_the_path_it_says_or_none(house: House) -> None:
    tenant = house.tenant
    before = await house.belongings()
    body = halo(house)
    async with house.visit() as visit:
        for path in UNKNOWN_PATHS:
            url = path.format(id=tenant.id, channel=tenant.shop.channel)
            answer = await visit.post(
                url, content=body, headers={"x-webhook-hmac": sign(body, SECRET)}
            )
            is_refused(answer, 404, "unknown_webhook")
        for name in ("%2e%2e", "..%2f", "%ed%a0%80", "%ff", "a%2fb", "%20", "'", "%25", "%c0%ae"):
            for path in (
                f"/v1/crm/tenants/{name}/products",
                f"/v1/crm/tenants/{tenant.slug}/products/{name}",
                f"/simulator/api/tenants/{name}/customers",
                f"/simulator/api/tenants/{tenant.slug}/customers/{name}/messages",
                f"/simulator/api/tenants/{tenant.slug}/media/{name}",
                f"/simulator/{name}",
                f"/static/{name}/main.py",
                f"/static/{name}{name}etc/passwd",
            ):
                answer = await visit.as_owner("GET", path)
                assert answer.status_code in (404, 422), path
                assert answer.json()["code"] in (
                    "not_found", "tenant_not_found", "no_simulator", "no_such_phone",
                    "validation_failed",
                )  # fmt: skip
        for path in (
            "/v1/crm/tenants/%00/products",
            f"/simulator/api/tenants/{tenant.slug}/media/x%00y",
            "/static/%00",
            "/%00",
        ):
            is_refused(await visit.as_owner("GET", path), 400, "bad_request")
        # an encoded letter is that letter
        encoded = f"%{ord(tenant.slug[0]):02x}{tenant.slug[1:]}"
        answer = await visit.as_owner("GET", f"/v1/crm/tenants/{encoded}/products")
        assert answer.status_code == 200
    assert await house.belongings() == before


SPOOFED: list[dict[str, str]] = [
    {"host": "evil.example"},
    {"host": "localhost.evil.example"},
    {"host": "127.0.0.1.nip.io"},
    {"host": "evil.example:8000"},
    {"host": "[::1].evil.example"},
    {"host": ""},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-host": "localhost:8000"},
    {"x-real-ip": "127.0.0.1"},
    {"forwarded": "for=127.0.0.1;host=localhost"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://localhost:8001"},
]


async def test_27_a_forged_host_or_proxy_header_opens_no_simulator_and_names_no_address(
    house: House,
) -> None:
    tenant = house.tenant
    before = await house.belongings()
    async with house.visit() as visit:
        for headers in SPOOFED:
            for method, door in (
                ("GET", tenant.simulator),
                ("POST", tenant.simulator),
                ("GET", "/simulator/api/info"),
                ("GET", tenant.simulator.removesuffix("messages") + "events"),
            ):
                answer = await visit.request(method, door, json={"text": "x"}, headers=headers)
                is_refused(answer, 401, "unauthorized")
        assert await house.belongings() == before
        assert (await visit.get("/simulator/api/info")).json()["open"] is True
        evil = {
            "host": "evil.example",
            "x-forwarded-host": "evil.example",
            "x-forwarded-proto": "gopher",
        }
        made = await visit.as_owner(
            "POST",
            tenant.channels,
            json={"kind": "simulator", "name": "kedua"},
            headers=evil,
        )
        assert made.status_code == 201
        assert "evil" not in made.text + str(made.headers)
        assert made.json()["webhook_url"].startswith("http://127.0.0.1:8000/v1/crm/webhook/")
        body = halo(house)
        assert (await visit.as_waha(body, **evil)).status_code == 200
    await house.settle()
    assert await house.fate(body) == ("stored", None)


async def test_29_methods_that_no_route_has(house: House) -> None:
    tenant = house.tenant
    before = await house.belongings()
    doors = {
        tenant.shop.webhook: {"POST"},
        tenant.products: {"GET", "POST"},
        tenant.simulator: {"GET", "POST"},
        "/v1/whatsapp/send": {"POST"},
        "/health": {"GET"},
    }
    async with house.visit() as visit:
        for method in ("HEAD", "TRACE", "OPTIONS", "CONNECT", "PUT", "DELETE", "PURGE"):
            for door, methods in doors.items():
                answer = await visit.as_owner(
                    method, door, content=b"canary-7", headers={"x-secret": "canary-7"}
                )
                assert answer.status_code == 405, (method, door)
                assert set(answer.headers["allow"].split(", ")) <= methods
                assert "canary-7" not in answer.text + str(answer.headers)
        assert await house.belongings() == before
        for name in ("x-http-method-override", "x-http-method", "x-method-override"):
            body = halo(house)
            assert (await visit.as_waha(body, **{name: "DELETE"})).status_code == 200
            for door in (tenant.products, f"{tenant.products}?_method=DELETE"):
                listed = await visit.as_owner("GET", door, headers={name: "DELETE"})
                assert [product["name"] for product in listed.json()["data"]] == ["Kopi Latte"]
    assert await house.count("inbox_events") == 3


async def test_30_parameters_given_twice(house: House) -> None:
    tenant, other = house.tenant, house.neighbour
    async with house.visit() as visit:
        for query, status in (("limit=1&limit=300", 422), ("limit=300&limit=1", 200)):
            answer = await visit.as_owner("GET", f"{tenant.products}?{query}")
            assert answer.status_code == status, "the last one counts"
        answer = await visit.as_owner(
            "GET", f"{tenant.products}?tenant_id={other.id}&tenant={other.slug}"
        )
        assert [product["name"] for product in answer.json()["data"]] == ["Kopi Latte"]
        twice = [
            ("authorization", tenant.key["authorization"]),
            ("authorization", other.key["authorization"]),
        ]
        theirs = await visit.get(other.products, headers=httpx2.Headers(twice))
        is_refused(theirs, 404, "tenant_not_found")
        mine = await visit.get(tenant.products, headers=httpx2.Headers(twice))
        assert mine.status_code == 200, "the first key counts, everywhere"

        body = halo(house)
        url = f"{tenant.shop.webhook}?tenant_id={other.id}&channel_id={other.shop.channel}"
        answer = await visit.post(url, content=body, headers={"x-webhook-hmac": sign(body, SECRET)})
        assert answer.json() == {"status": "queued", "tenant_id": str(tenant.id)}

        keys = httpx2.Headers(
            [("idempotency-key", "satu"), ("idempotency-key", "dua"), *tenant.key.items()]
        )
        draft = {
            "name": "Teh",
            "variants": [{"sku": "T", "price": {"amount": 1, "currency": "IDR"}}],
        }
        made = await visit.post(tenant.products, json=draft, headers=keys)
        again = await visit.post(
            tenant.products, json=draft, headers={**tenant.key, "idempotency-key": "satu"}
        )
        assert (made.status_code, again.status_code) == (201, 201)
        assert again.json() == made.json()
        assert again.headers["idempotency-replayed"] == "true"
    await house.settle()
    assert await house.fate(body) == ("stored", None)
    assert await house.count("inbox_events", tenant) == 1


async def test_66_a_cookie_opens_nothing(house: House) -> None:
    """Sessions come with sign-in; until then a cookie is a header like any other."""
    key = house.tenant.key["authorization"].removeprefix("Bearer ")
    cookies = [
        f"session={key}",
        f"authorization=Bearer {key}",
        f"session={house.neighbour.slug}; csrftoken=x",
        "session=" + "a" * 60_000,
        "; ".join(f"c{number}=1" for number in range(3_000)),
        "\x00;=;;==",
        "ÿ=ÿ",
    ]
    async with house.visit() as visit:
        for cookie in cookies:
            headers = {"cookie": cookie.encode("latin-1")}
            for door in (house.tenant.products, "/v1/whatsapp/sessions", house.tenant.base):
                is_refused(await visit.get(door, headers=headers), 401, "unauthorized")
            page = await visit.get("/console", headers=headers)
            assert page.status_code == 200
            assert "set-cookie" not in page.headers
        good = await visit.as_owner("GET", house.tenant.products, headers={"cookie": cookies[3]})
        assert good.status_code == 200
