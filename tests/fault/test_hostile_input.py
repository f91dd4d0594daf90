"""Hostile bodies: what is sent as content, at the webhook, at the API and in the simulator.

Each test carries the number of its class (docs/hostile-input.md). The webhook keeps every byte and
what cannot be read is parked for people; the others refuse and change nothing.
"""

import gzip
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from shared.waha.parsing import parse_event
from shared.waha.reading import Unreadable
from tests.fault.hostile.house import LATTE, House, a_number, as_json, is_refused
from tests.support.waha_webhooks import CUSTOMER, signed

UNREADABLE = ("parked", "unreadable")
NOT_VALID = (422, "validation_failed")
NOT_PARSED = (400, "bad_request")


async def refused_everywhere(
    house: House,
    body: bytes,
    refusal: tuple[int, str],
    *,
    fate: tuple[str, str | None] = UNREADABLE,
    **headers: str,
) -> None:
    """The webhook accepts these bytes and they come to ``fate``; the other doors refuse them, and
    nobody has anything more than before."""
    doors = (house.tenant.products, house.tenant.simulator)
    before = await house.belongings()
    async with house.visit() as visit:
        for door in doors:
            is_refused(await visit.as_owner("POST", door, body=body, headers=headers), *refusal)
        assert await house.belongings() == before
        assert (await visit.as_waha(body, **headers)).status_code == 200
    await house.settle()
    assert await house.fate(body) == fate
    assert await house.count("messages") == 0


async def heard(house: House, *bodies: bytes) -> list[Any]:
    """Deliver bodies that are accepted and kept; the messages that they became."""
    async with house.visit() as visit:
        for body in bodies:
            assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    for body in bodies:
        assert (await house.fate(body))[0] == "stored", body[:200]
    return await house.messages()


def an_event(house: House, payload: bytes, *, event: str = "message.any") -> bytes:
    """An envelope around a payload that no JSON library would write."""
    session = house.tenant.hooks.session
    return b'{"event":"%s","session":"%s","payload":%s}' % (
        event.encode(),
        session.encode(),
        payload,
    )


def a_payload(**fields: Any) -> dict[str, Any]:
    number = a_number()
    return {"id": f"false_{number}_{number[:13]}AA", "from": number, "body": "halo"} | fields


def a_body(house: House, **fields: Any) -> bytes:
    return an_event(house, as_json(a_payload(**fields)))


def a_product(**fields: Any) -> dict[str, Any]:
    return LATTE | {"variants": [LATTE["variants"][0] | {"sku": "NEW"}]} | fields


def priced(amount: str) -> bytes:
    """A product whose price is written so."""
    return (
        b'{"name":"Mahal","variants":[{"sku":"NEW","price":{"amount":%s,"currency":"IDR"}}]}'
        % amount.encode()
    )


# -- size and encoding --------------------------------------------------------------------------


async def test_01_an_empty_body(house: House) -> None:
    await refused_everywhere(house, b"", NOT_VALID)


@pytest.mark.parametrize("byte", [b"{", b"[", b'"', b"0", b" ", b"\x00", b"\x1f"])
async def test_02_a_body_of_one_byte(house: House, byte: bytes) -> None:
    await refused_everywhere(house, byte, NOT_VALID)


async def test_02_a_byte_that_begins_no_character(house: House) -> None:
    for byte in (b"\xff", b"\x80", b"\xc0"):
        await refused_everywhere(house, byte, NOT_PARSED)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in pieces"])
async def test_03_eight_megabytes_are_refused_before_they_are_read(
    house: House, announced: bool
) -> None:
    before = await house.belongings()
    read = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(80):
            read += 1
            yield b"x" * 100_000

    async with house.visit() as visit:
        for door, most in (
            (house.tenant.shop.webhook, 1_000_000),
            (house.tenant.products, 1_000_000),
            (house.tenant.simulator, 3_000_000),
        ):
            read = 0
            content = b"x" * 8_000_000 if announced else pieces()
            headers = signed(b"", house.tenant.hooks.secret).headers | dict(house.tenant.key)
            answer = await visit.post(door, content=content, headers=headers)
            is_refused(answer, 413, "content_too_large")
            assert answer.headers["connection"] == "close"
            # the test's client reads everything before it hands over what it was told to stream
            assert announced or read in (most // 100_000 + 1, 80)
    assert await house.belongings() == before


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
async def test_04_a_compressed_bomb_is_kept_as_it_is_and_never_unpacked(
    house: House, kind: str
) -> None:
    """960 KB that would be 800 MB."""
    zeros = b"\x00" * 100_000_000
    part = gzip.compress(zeros, 9) if kind == "gzip" else zlib.compress(zeros, 9)
    bomb = part * (960_000 // len(part))
    headers = {"content-encoding": kind}
    await refused_everywhere(house, bomb, NOT_PARSED, **headers)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "application/",
        "json",
        "\x01;;;=",
        "a" * 5_000,
    ],
)
async def test_06_what_calls_itself_no_json_is_none_but_a_webhook_is_read_all_the_same(
    house: House, content_type: str
) -> None:
    before = await house.belongings()
    async with house.visit() as visit:
        for door, body in (
            (house.tenant.products, a_product()),
            (house.tenant.simulator, {"text": "halo"}),
        ):
            answer = await visit.as_owner(
                "POST", door, body=as_json(body), headers={"content-type": content_type}
            )
            is_refused(answer, *NOT_VALID)
        assert await house.belongings() == before
        event = a_body(house)
        answer = await visit.as_waha(event, **{"content-type": content_type})
        assert answer.status_code == 200
    await house.settle()
    assert await house.fate(event) == ("stored", None)
    kept = await house.db.fetchval(
        "SELECT headers->>'content-type' FROM inbox_events WHERE tenant_id = $1", house.tenant.id
    )
    assert kept == content_type[:256].replace("\x00", "")


@pytest.mark.parametrize("charset", ["utf-7", "utf-16", "latin-1", "no-such", '"'])
async def test_06_a_charset_that_is_not_the_bodys_changes_nothing(
    house: House, charset: str
) -> None:
    body = orjson.dumps(a_product(name="Kopi +AOk- é 咖啡"))
    async with house.visit() as visit:
        answer = await visit.as_owner(
            "POST",
            house.tenant.products,
            body=body,
            headers={"content-type": f"application/json; charset={charset}"},
        )
    assert answer.status_code == 201
    assert answer.json()["name"] == "Kopi +AOk- é 咖啡"


BROKEN_TEXT = {
    "bytes": b'{"text":"\xff\xfe","name":"\xff"}',
    "overlong": b'{"text":"\xc0\xaf","name":"\xc0\xaf"}',
    "cut off": b'{"text":"\xe2\x82","name":"\xe2\x82"}',
    "latin-1": '{"text":"café","name":"café"}'.encode("latin-1"),
    "beyond": b'{"text":"\xf4\x90\x80\x80","name":"\xf4\x90\x80\x80"}',
}


async def test_07_half_a_surrogate_pair_written_as_three_bytes(house: House) -> None:
    await refused_everywhere(house, b'{"text":"\xed\xa0\x80","name":"\xed\xa0\x80"}', NOT_VALID)


@pytest.mark.parametrize("kind", BROKEN_TEXT)
async def test_07_bytes_that_are_no_utf_8(house: House, kind: str) -> None:
    await refused_everywhere(house, BROKEN_TEXT[kind], NOT_PARSED)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
async def test_07_other_encodings_are_read_right_or_not_at_all(house: House, encoding: str) -> None:
    """The API reads what JSON may be written in; WAHA writes UTF-8 only."""
    event = a_body(house).decode().encode(encoding)
    async with house.visit() as visit:
        answer = await visit.as_owner(
            "POST",
            house.tenant.products,
            body=orjson.dumps(a_product(name="咖啡 é")).decode().encode(encoding),
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["name"] == "咖啡 é"
        assert (await visit.as_waha(event)).status_code == 200
    await house.settle()
    assert await house.fate(event) == UNREADABLE


async def test_08_nul_is_refused_and_in_a_message_it_vanishes(house: House) -> None:
    before = await house.belongings()
    nul = "a\0b"
    attacks: list[tuple[str, str, Any]] = [
        ("POST", house.tenant.products, a_product(name=nul)),
        ("POST", house.tenant.products, a_product(variants=[{"sku": nul}])),
        ("POST", house.tenant.products, a_product() | {nul: 1}),
        ("PATCH", house.tenant.base, {"profile": {"links": [nul]}}),
        ("POST", house.tenant.simulator, {"text": nul}),
        ("POST", house.tenant.simulator, {"location": {"latitude": 1, "name": nul}}),
        ("POST", "/v1/whatsapp/send", {"to": nul, "text": nul}),
        ("POST", house.tenant.channels, {"kind": "waha", "name": nul, "api_key": nul}),
    ]
    async with house.visit() as visit:
        for method, door, body in attacks:
            is_refused(await visit.as_owner(method, door, body=as_json(body)), *NOT_VALID)
        for query in ("search=%00", "search=a%00b", "cursor=%00", "limit=%00"):
            answer = await visit.as_owner("GET", f"{house.tenant.customers}?{query}")
            is_refused(answer, *NOT_PARSED)
        raw = b'{"name":"a\x00b"}'
        is_refused(await visit.as_owner("POST", house.tenant.products, body=raw), *NOT_VALID)
    assert await house.belongings() == before
    escaped = a_body(house, body="halo\0 dunia", _data={"pushName": "Bu\0di"})
    (message,) = await heard(house, escaped)
    assert message["body"] == "halo dunia"
    await refused_everywhere_but_stored(house, an_event(house, b'{"id":"A","body":"\x00"}'))


async def refused_everywhere_but_stored(house: House, body: bytes) -> None:
    """A webhook that nobody can read is kept byte for byte."""
    async with house.visit() as visit:
        assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    assert await house.fate(body) == UNREADABLE


async def test_09_half_surrogates_are_refused_and_in_a_message_they_vanish(house: House) -> None:
    before = await house.belongings()
    half = "a\ud800b"
    attacks: list[tuple[str, str, Any]] = [
        ("POST", house.tenant.products, a_product(name=half)),
        ("POST", house.tenant.products, a_product(images=[half])),
        ("POST", house.tenant.products, a_product() | {half: 1}),
        ("POST", house.tenant.products, a_product(variants=[{"attributes": {half: "x"}}])),
        ("POST", house.tenant.products, a_product(variants=[{"attributes": {"x": half}}])),
        ("POST", house.tenant.simulator, {"text": half}),
        ("POST", house.tenant.simulator, {"image": {"data": half}}),
        ("POST", "/v1/whatsapp/send", {"to": "+6281", "text": half}),
        ("PATCH", house.tenant.base, {"name": half}),
        ("PATCH", house.tenant.base, {"profile": {"about": half}}),
    ]
    async with house.visit() as visit:
        for method, door, body in attacks:
            is_refused(await visit.as_owner(method, door, body=as_json(body)), *NOT_VALID)
        wrong = await visit.as_owner("GET", f"{house.tenant.customers}?search=%ED%A0%80")
        assert (wrong.status_code, wrong.json()["data"]) == (200, [])
    assert await house.belongings() == before
    messages = await heard(
        house,
        a_body(house, body="a\ud800b \ud83d\ude00", _data={"pushName": "\udfffBudi"}),
        a_body(house, body="\udfff\ud800", vCards=["\ud800"], replyTo={"id": "\ud800"}),
    )
    assert [message["body"] for message in messages] == ["ab 😀", None]


# -- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [300, 900, 5_000, 200_000])
async def test_10_nesting_without_end(house: House, depth: int) -> None:
    """However deep: refused, read past, or parked; never a 5xx."""
    depth = min(depth, 160_000)  # of six bytes each, a body of one megabyte
    objects = b'{"a":' * depth + b"1" + b"}" * depth
    arrays = b"[" * depth + b"]" * depth
    refusal = NOT_VALID if depth < 990 else NOT_PARSED
    before = await house.belongings()
    async with house.visit() as visit:
        for deep in (objects, arrays):
            for door in (house.tenant.products, house.tenant.simulator):
                is_refused(await visit.as_owner("POST", door, body=deep), *refusal)
            inside = b'{"name":"x","variants":' + deep + b"}"
            answer = await visit.as_owner("POST", house.tenant.products, body=inside[:999_000])
            is_refused(answer, 422 if depth < 990 else answer.status_code, answer.json()["code"])
    assert await house.belongings() == before

    payload = (
        b'{"id":"false_62811000111@c.us_D%d","from":"62811000111@c.us","body":"halo","_data":%s}'
    )
    event = an_event(house, payload % (depth, arrays))
    async with house.visit() as visit:
        for body in (event, objects, arrays):
            assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    assert await house.fate(objects) == await house.fate(arrays) == UNREADABLE
    assert await house.fate(event) == (("stored", None) if depth < 990 else UNREADABLE)


async def test_11_of_a_key_that_stands_twice_the_last_counts(house: House) -> None:
    twice = (
        b'{"name":"Pertama","name":"Kopi","variants":[],"variants":[{"sku":"A","sku":"NEW",'
        b'"price":{"amount":1,"amount":25000,"currency":"USD","currency":"IDR"}}]}'
    )
    async with house.visit() as visit:
        answer = await visit.as_owner("POST", house.tenant.products, body=twice)
        assert answer.status_code == 201
        product = answer.json()
        said = await visit.as_owner(
            "POST", house.tenant.simulator, body=b'{"text":"satu","text":"dua"}'
        )
        assert said.status_code == 202
    assert product["name"] == "Kopi"
    assert [(v["sku"], v["price"]["amount"]) for v in product["variants"]] == [("NEW", 25000)]

    number, session = a_number(), house.tenant.hooks.session
    event = (
        '{"event":"session.status","session":"lain","event":"message.any",'
        f'"session":"{session}","payload":{{}},"payload":{{"id":"A1","id":"false_{number}_B2",'
        f'"from":"62899@c.us","from":"{number}","body":"satu","body":"dua"}}}}'
    ).encode()
    messages = await heard(house, event)
    assert [(m["body"], m["sender"]) for m in messages][1:] == [("dua", number)]
    assert messages[0]["body"] == "dua"  # what the simulated phone said
    assert messages[1]["native_id"] == "B2"


async def test_12_what_is_no_number_is_no_json(house: House) -> None:
    for word in ("NaN", "Infinity", "-Infinity"):
        await refused_everywhere(
            house, b'{"text":%s,"name":%s}' % ((word.encode(),) * 2), NOT_VALID
        )
    before = await house.belongings()
    async with house.visit() as visit:
        for written in ("NaN", "1e999", "-1e999", "1.5", "1e3"):
            answer = await visit.as_owner("POST", house.tenant.products, body=priced(written))
            is_refused(answer, *NOT_VALID)
            place = b'{"location":{"latitude":%s,"longitude":1}}' % written.encode()
            if written in ("NaN", "1e999", "-1e999"):
                answer = await visit.as_owner("POST", house.tenant.simulator, body=place)
                is_refused(answer, *NOT_VALID)
    assert await house.belongings() == before
    payload = as_json(a_payload(location={"latitude": "@", "longitude": 106.8}))
    (message,) = await heard(house, an_event(house, payload.replace(b'"@"', b"1e999")))
    assert (message["content_type"], orjson.loads(message["content"])) == ("location", {})


async def test_13_numbers_at_the_edge(house: House) -> None:
    before = await house.belongings()
    async with house.visit() as visit:
        for written, refusal in (
            (str(2**53 + 1), NOT_VALID),
            (str(10**12 + 1), NOT_VALID),
            ("1" + "0" * 400, NOT_VALID),
            ("1" + "0" * 5_000, NOT_PARSED),
            ("-1", NOT_VALID),
            ("0.1", NOT_VALID),
            ('"1E+999999"', NOT_VALID),
        ):
            answer = await visit.as_owner("POST", house.tenant.products, body=priced(written))
            is_refused(answer, *refusal)
        for query in ("9" * 400, "9" * 5_000, "-0", "1e1"):
            answer = await visit.as_owner("GET", house.tenant.products, params={"limit": query})
            is_refused(answer, *NOT_VALID)
        assert await house.belongings() == before
        free = await visit.as_owner("POST", house.tenant.products, body=priced("-0"))
        assert free.json()["variants"][0]["price"] == {"amount": 0, "currency": "IDR"}
        place = b'{"location":{"latitude":-0.0,"longitude":-180}}'
        assert (await visit.as_owner("POST", house.tenant.simulator, body=place)).status_code == 202

    media = {"url": None, "mimetype": "image/png", "size": "@"}
    payload = as_json(a_payload(hasMedia=True, media=media, timestamp="@"))
    events = [
        an_event(house, payload.replace(b'"@"', written).replace(b"AA", b"%02d" % number))
        for number, written in enumerate(
            (b"-0", b"9007199254740993", b"1" + b"0" * 400, b'"1E+999999"', b"-1", b"0.5"), start=10
        )
    ]
    _, *messages = await heard(house, *events)
    sizes = [orjson.loads(message["content"])["media"]["size"] for message in messages]
    assert sizes == [None, None, None, None, None, 0]
    assert {message["sent_at"].year for message in messages} == {datetime.now(UTC).year}
    await refused_everywhere_but_stored(
        house, an_event(house, payload.replace(b'"@"', b"9" * 5_000))
    )


async def test_14_numbers_in_strings(house: House) -> None:
    before = await house.belongings()
    async with house.visit() as visit:
        for written in ('"25000"', '"25_000"', '" 1"', '"٢٥"', '"1.000,00"', '"0x10"', '"½"'):
            answer = await visit.as_owner("POST", house.tenant.products, body=priced(written))
            is_refused(answer, *NOT_VALID)
        for limit in ("1_0", " 5", "5 ", "+5", "٥", "５", "5.0", "0x5", "٠٠٥"):
            answer = await visit.as_owner("GET", house.tenant.products, params={"limit": limit})
            is_refused(answer, *NOT_VALID)
        for phone in ("٦٢٨١٢٣٤٥٦٧٨٩", "62_812_345_678", "６２８１２３４５６７８", "62812345678x"):
            answer = await visit.as_owner(
                "POST",
                house.tenant.simulator.rpartition("/customers/")[0] + "/customers",
                json={"phone": phone},
            )
            is_refused(answer, 422, "bad_phone")
        for phone in ("62_812_345_678", "62812345678x", "6281²345678", "0x3ade68b1"):
            is_refused(
                await visit.as_owner("POST", "/v1/whatsapp/send", json=a_greeting(house, phone)),
                422,
                "bad_phone",
            )
        assert await house.belongings() == before
        for phone in ("٦٢٨١٢٣٤٥٦٧٨٩", "+６２ 812 3456 789"):
            answer = await visit.as_owner(
                "POST", "/v1/whatsapp/send", json=a_greeting(house, phone)
            )
            assert answer.status_code == 202
    addresses = await house.path.fetch(
        "SELECT address FROM conversations WHERE tenant_id = $1", house.tenant.id
    )
    assert [row["address"] for row in addresses] == ["628123456789@c.us"]
    known = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    seconds = int(known.timestamp())
    stamps = {
        f"{seconds}": known,
        f" {seconds} ": known,
        f"+{seconds}": known,
        f"{seconds}_0": None,
        "١٧٦٧٣٢٣٠٤٥": None,
        f"{seconds:x}": None,
    }
    for stamp, expected in stamps.items():
        body = signed_event(stamp)
        assert parse_event(body).sent_at == expected, stamp  # type: ignore[union-attr]


def a_greeting(house: House, phone: str) -> dict[str, str]:
    return {"to": phone, "text": "Halo", "channel_id": str(house.tenant.shop.channel)}


def signed_event(stamp: Any) -> bytes:
    payload = {"id": f"false_{CUSTOMER}_A", "from": CUSTOMER, "body": "x", "timestamp": stamp}
    return as_json({"event": "message", "session": "s", "payload": payload})


WRONG_TYPES: list[Any] = [True, 7, -1.5, "x", "", [], ["x"], {}, {"x": 1}, [[]], None]


async def test_15_other_types_where_a_value_should_be(house: House) -> None:
    fields = {
        "id": str, "from": str, "to": str, "body": str, "timestamp": int, "fromMe": bool,
        "source": str, "hasMedia": bool, "media": dict, "location": dict, "vCards": list,
        "replyTo": dict, "_data": dict, "ack": int, "reaction": dict, "after": dict,
        "before": dict, "editedMessageId": str, "revokedMessageId": str, "status": str,
    }  # fmt: skip
    events = ("message", "message.any", "message.ack", "message.edited", "message.revoked",
              "message.reaction", "session.status")  # fmt: skip
    for event in events:
        for name in fields:
            for wrong in WRONG_TYPES:
                payload = a_payload(**{name: wrong})
                body = as_json({"event": event, "session": "s", "payload": payload, "me": wrong})
                try:
                    parse_event(body)
                except Unreadable:
                    continue

    before = await house.belongings()
    async with house.visit() as visit:
        for name in ("name", "category", "description", "images", "active", "variants"):
            for wrong in WRONG_TYPES:
                if isinstance(wrong, str) and name not in ("images", "active", "variants"):
                    continue
                if (name, wrong) in (("active", True), ("images", []), ("images", ["x"])):
                    continue
                answer = await visit.as_owner(
                    "POST", house.tenant.products, body=as_json(a_product(**{name: wrong}))
                )
                assert answer.status_code == 422, (name, wrong)
        for wrong in (7, [], "x", None, True):
            is_refused(
                await visit.as_owner("POST", house.tenant.products, body=as_json(wrong)), *NOT_VALID
            )
        assert await house.belongings() == before
        odd = a_body(house, body={"text": "halo"}, media=[1], location="x", vCards={"a": 1})
        assert (await visit.as_waha(odd)).status_code == 200
    await house.settle()
    assert await house.fate(odd) == ("stored", None)
    (message,) = await house.messages()
    assert (message["content_type"], message["answered_how"]) == ("unknown", "nothing_to_answer")


async def test_16_fields_that_nobody_asked_for(house: House) -> None:
    more = {
        "id": "00000000-0000-0000-0000-000000000000",
        "tenant_id": str(house.neighbour.id),
        "role": "owner",
        "version": 99,
        "price": 1,
        "__proto__": {"admin": True},
        "constructor": 1,
    }
    product = (await house.path.http.get(house.tenant.products, headers=house.tenant.key)).json()[
        "data"
    ][0]
    one = f"{house.tenant.products}/{product['id']}"
    before = await house.belongings()
    async with house.visit() as visit:
        for method, door, body in (
            ("POST", house.tenant.products, a_product()),
            ("PATCH", one, {"name": "x"}),
            ("PATCH", f"{one}/variants/{product['variants'][0]['id']}", {"on_hand": 1}),
            ("PATCH", house.tenant.base, {"name": "x"}),
            ("POST", house.tenant.channels, {"kind": "simulator", "name": "x"}),
            ("POST", "/v1/whatsapp/send", {"to": "+6281", "text": "x"}),
            ("POST", house.tenant.simulator, {"text": "x"}),
        ):
            for name, value in more.items():
                if name == "price" and "variants" in door:
                    continue
                answer = await visit.as_owner(method, door, body=as_json(body | {name: value}))
                problem = is_refused(answer, *NOT_VALID)
                assert {"pointer": f"#/{name}", "detail": "Extra inputs are not permitted"} in (
                    problem["errors"]
                )
        for name in ("status", "slug", "currency", "wrapped_key"):
            answer = await visit.as_owner("PATCH", house.tenant.base, json={name: "x"})
            is_refused(answer, *NOT_VALID)
    assert await house.belongings() == before

    theirs = await house.belongings(house.neighbour, "messages", "customers", "conversations")
    event = orjson.loads(a_body(house))
    event |= {"tenant_id": str(house.neighbour.id), "channel_id": str(house.neighbour.shop.channel)}
    event["payload"] |= {"tenant_id": str(house.neighbour.id), "price": 1, "answered_how": "ai"}
    (message,) = await heard(house, orjson.dumps(event))
    assert message["tenant_id"] == house.tenant.id
    assert (
        await house.belongings(house.neighbour, "messages", "customers", "conversations") == theirs
    )


async def test_17_a_hundred_thousand_entries(house: House) -> None:
    many = 100_000
    before = await house.belongings()
    async with house.visit() as visit:
        for body in (
            b'{"name":"x","images":[' + b"1," * many + b"1]}",
            b'{"name":"x","images":[' + b'"",' * many + b'""]}',
            b'{"name":"x","variants":[' + b"1," * many + b"1]}",
            b'{"name":"x","variants":[' + b"{}," * many + b"{}]}",
            b"{" + b",".join(b'"%x":1' % n for n in range(90_000)) + b"}",
            b'{"name":"x","variants":[{"sku":"A","price":{"amount":1,"currency":"IDR"},'
            b'"attributes":{' + b",".join(b'"%x":1' % n for n in range(80_000)) + b"}}]}",
            b'{"name":"x","variants":' + b"[" + b"[]," * many + b"[]]}",
            b'{"' + b"k" * 900_000 + b'":1}',
        ):
            answer = await visit.as_owner("POST", house.tenant.products, body=body)
            is_refused(answer, *NOT_VALID)
            assert len(answer.content) < 50_000, "the refusal is no bomb itself"
            answer = await visit.as_owner("POST", house.tenant.simulator, body=body)
            is_refused(answer, *NOT_VALID)
            assert len(answer.content) < 50_000
    assert await house.belongings() == before
    (message,) = await heard(house, a_body(house, vCards=["x"] * many, body=None))
    assert len(orjson.loads(message["content"])["contacts"]) == 20
    await refused_everywhere_but_stored(house, b"[" + b"1," * many + b"1]")


async def test_18_null_everywhere(house: House) -> None:
    product = (await house.path.http.get(house.tenant.products, headers=house.tenant.key)).json()[
        "data"
    ][0]
    one = f"{house.tenant.products}/{product['id']}"
    nulls: dict[str, list[str]] = {
        one: ["name", "category", "description", "images", "active"],
        f"{one}/variants/{product['variants'][0]['id']}": ["name", "price", "on_hand", "active"],
        house.tenant.base: ["name", "language", "timezone", "profile", "llm_config_name"],
        f"{house.tenant.channels}/{house.tenant.shop.channel}": ["name", "session", "base_url"],
    }
    before = await house.belongings()
    async with house.visit() as visit:
        for door, names in nulls.items():
            body = dict.fromkeys(names)
            answer = await visit.as_owner("PATCH", door, json=body)
            assert answer.status_code == 200, "what is null stays as it is"
        for door, names in (
            (house.tenant.products, ["name", "category", "description", "images", "variants"]),
            (house.tenant.channels, ["kind", "name", "session"]),
            (house.tenant.simulator, ["text", "location", "image"]),
            ("/v1/whatsapp/send", ["to", "conversation_id", "text"]),
        ):
            answer = await visit.as_owner("POST", door, json=dict.fromkeys(names))
            is_refused(answer, *NOT_VALID)
    assert await house.belongings() == before

    envelope = {"event": None, "session": None, "payload": None, "me": None, "timestamp": None}
    payload = dict.fromkeys(a_payload() | {"timestamp": 0, "media": 0, "location": 0, "_data": 0})
    for body in (
        as_json(None),
        as_json(envelope),
        as_json(envelope | {"event": "message"}),
        a_body(house, id=None),
        an_event(house, as_json(payload)),
        an_event(house, b"null"),
    ):
        await refused_everywhere_but_stored(house, body)


async def test_19_keys_that_only_look_right(house: House) -> None:
    before = await house.belongings()
    async with house.visit() as visit:
        for key in (
            "Name",
            "NAME",
            "ｎame",
            "name\u200b",
            "nаme",
            " name",
            "name ",
            "n\u0061\u0301me",
        ):
            body = a_product() | {key: "Lain"}
            answer = await visit.as_owner("POST", house.tenant.products, body=as_json(body))
            is_refused(answer, *NOT_VALID)
    assert await house.belongings() == before
    for key in ("Event", "EVENT", "еvent", "event\u200b", "ｅvent"):
        event = orjson.loads(a_body(house))
        event[key] = event.pop("event")
        await refused_everywhere_but_stored(house, orjson.dumps(event))
    (message,) = await heard(house, a_body(house, Body="palsu", FROM="62899@c.us", FromMe=True))
    assert (message["body"], message["direction"]) == ("halo", "in")


async def test_20_times_that_never_were(house: House) -> None:
    known = datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)
    seconds = int(known.timestamp())
    for stamp, expected in {
        seconds: known,
        seconds * 1000: known,
        str(seconds): known,
        float(seconds): known,
        seconds * 1_000_000: None,
        0: None,
        -1: None,
        -62_167_219_200: None,
        253_402_300_799: None,
        253_402_300_799_999: None,
        10**18: None,
        "2026-11-20T01:02:03Z": None,
        "0000-00-00": None,
        "9999-12-31T23:59:60+14:00": None,
        "Fri, 20 Nov 2026 01:02:03 GMT": None,
    }.items():
        event = parse_event(signed_event(stamp))
        assert event.sent_at == expected, stamp  # type: ignore[union-attr]

    for number, stamp in enumerate((0, 253_402_300_799, "0000-00-00", 10**400)):
        body = a_body(house, timestamp=stamp)
        messages = await heard(house, body)
        row = await house.path.one(
            "SELECT m.sent_at = i.received_at AS same FROM messages m JOIN inbox_events i"
            " ON i.tenant_id = m.tenant_id AND i.id = m.inbox_id WHERE m.id = $1",
            messages[number]["id"],
        )
        assert row["same"], "without a time that can be, it was written when it came"

    before = await house.belongings()
    nobody = "00000000-0000-0000-0000-000000000000"
    async with house.visit() as visit:
        for at in (
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-14:00",
            "2026-11-20",
            "2026-11-20T01:02:03",
            "0000-01-01T00:00:00+00:00",
            "infinity",
            "now",
        ):
            cursor = a_cursor(at=at, id=nobody)
            answer = await visit.as_owner(
                "GET", f"{house.tenant.base}/conversations", params={"cursor": cursor}
            )
            is_refused(answer, 422, "bad_cursor")
        cursor = a_cursor(at="2026-11-20T01:02:03+00:00", id=nobody)
        answer = await visit.as_owner(
            "GET", f"{house.tenant.base}/conversations", params={"cursor": cursor}
        )
        assert (answer.status_code, answer.json()["data"]) == (200, [])
    assert await house.belongings() == before


def a_cursor(**position: str) -> str:
    import base64

    return base64.urlsafe_b64encode(orjson.dumps(position)).rstrip(b"=").decode()
