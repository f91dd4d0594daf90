"""Models and their providers on a bad day: what the customer gets, what is kept, what it costs."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import cycle
from typing import Any

import pytest
import pytest_asyncio

from commerce_agent.application.agent_tools.context import error_result
from commerce_agent.domain.services.customer_notices import hand_over_line, holding_line
from commerce_agent.domain.services.safe_templates import Fault as Template
from commerce_agent.domain.services.safe_templates import safe_answer
from commerce_agent.domain.services.turn_rules import next_try
from llm_worker.infrastructure.llm.backoff import BackoffConfig
from llm_worker.infrastructure.llm.circuit_breaker import CircuitState
from shared.kernel.ids import new_id
from shared.messaging.backoff import while_unavailable
from tests.fault.whole_path import Shop, WholePath, open_path
from tests.support import rows
from tests.support.fake_llm import (
    CallTools,
    Drip,
    FakeLlm,
    Fault,
    Hang,
    LlmRequest,
    Raw,
    Reset,
    Say,
    Step,
)
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import PostgresForTests
from tests.support.stack import free_port
from tests.support.waha_webhooks import CUSTOMER

HOLDING = holding_line("id")
ANSWER = "Siap Kak, ada yang bisa dibantu?"
SEARCH = ("search_products", {"query": "kopi"})
FIRST_AND_RETRIES = 4
"""Calls of one turn: the first and LLM_MAX_RETRIES."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_path(postgres: PostgresForTests) -> AsyncIterator[WholePath]:
    database = await postgres.database()
    async with (
        FakeWaha() as waha,
        FakeLlm() as llm,
        open_path(database, waha, llm=llm) as opened,
    ):
        yield opened


def _llm(path: WholePath) -> FakeLlm:
    assert path.llm is not None
    return path.llm


async def _asks(path: WholePath, text: str = "halo", *, chat: str = CUSTOMER) -> None:
    await path.receives(path.shop.hooks.message(text, chat=chat, at=path.now))
    await path.settle()


async def _recovers(path: WholePath, *, chat: str = CUSTOMER, within: float = 600) -> None:
    """From now on the model answers; the customer gets that answer and no word about the rest."""
    _llm(path).rule = lambda request: Say(ANSWER)
    before = path.said(chat)
    passed = 0.0
    while path.said(chat) == before:
        assert passed < within, await path.planned()
        await path.later(61)
        passed += 61
    await path.settle()
    assert path.said(chat) == [*before, ANSWER]
    conversation = await path.conversation(chat)
    assert (conversation["owner"], conversation["trouble"]) == ("ai", None)
    assert conversation["incident_since"] is None


async def _waits(path: WholePath, cause: str) -> None:
    """The turn waits for a model: told once, staff see the cause, nothing is lost or counted."""
    assert path.said() == [HOLDING]
    conversation = await path.conversation()
    assert (conversation["owner"], conversation["trouble"]) == ("ai", cause)
    assert conversation["failed_turns"] == 0
    assert await path.answered() == {"halo": None}
    assert await path.journal() == ["read"]
    [work] = await path.fetch("SELECT kind, attempts FROM queue_messages")
    assert tuple(work) == ("conversation.turn", 0)


# -- 16: nobody there, half there ------------------------------------------------------------------


@asynccontextmanager
async def _speaks_no_tls() -> AsyncIterator[str]:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@asynccontextmanager
async def _is_not_there() -> AsyncIterator[str]:
    yield f"http://127.0.0.1:{free_port()}/v1"


UNREACHABLE = {"refused": _is_not_there, "no TLS": _speaks_no_tls}


@pytest.mark.parametrize("how", UNREACHABLE)
async def test_16_a_provider_that_cannot_be_reached_makes_the_turn_wait(
    path: WholePath, how: str
) -> None:
    async with UNREACHABLE[how]() as url:
        name = await path.use_model(base_url=url)
        await _asks(path)

    await _waits(path, "model_unavailable")
    assert _llm(path).requests == []
    assert len(path.waits.slept) == FIRST_AND_RETRIES - 1
    await path.db.execute(
        "UPDATE llm_configs SET base_url = $1 WHERE name = $2", _llm(path).openai_url, name
    )
    await _recovers(path)
    assert len(_llm(path).requests) == 1
    await path.assert_clean()


CUT_SHORT: dict[str, tuple[Step, str]] = {
    "before the first byte": (Hang(), "model_timeout"),
    "a byte at a time": (Drip("this will never be complete", 0.05), "model_timeout"),
    "in the middle of the answer": (Reset(), "model_unavailable"),
}


@pytest.mark.parametrize("when", CUT_SHORT)
async def test_16_an_answer_that_stops_is_never_sent_in_part(path: WholePath, when: str) -> None:
    step, cause = CUT_SHORT[when]
    await path.use_model(timeout_seconds=0.25)
    _llm(path).rule = lambda request: step
    await _asks(path)

    await _waits(path, cause)
    assert len(_llm(path).requests) == FIRST_AND_RETRIES
    await path.use_model()
    await _recovers(path)
    assert await path.journal() == ["read", "model"]
    assert not any("never be complete" in str(text) for text in path.said())
    await path.assert_clean()


async def test_16_after_two_hours_without_a_model_a_person_answers(path: WholePath) -> None:
    _llm(path).rule = lambda request: Reset()
    await _asks(path)
    await path.later(7_300)

    assert path.said() == [HOLDING, hand_over_line("id")]
    assert await path.owner() == "person"
    assert await path.answered() == {"halo": "handed_over"}
    assert await path.count("queue_messages") == 0
    await path.assert_clean()


# -- 17: the provider is down ----------------------------------------------------------------------


async def test_17_an_outage_opens_the_circuit_and_costs_a_probe_a_minute(path: WholePath) -> None:
    """Eight customers at once, five minutes of outage with every status there is for it."""
    chats = [f"62812300003{number:02}@c.us" for number in range(8)]
    llm, down = _llm(path), cycle((500, 502, 503, 529))
    llm.rule = lambda request: Fault(next(down))
    began = path.waits.now
    hooks = path.shop.hooks
    await path.receives(*(hooks.message("halo", chat=chat) for chat in chats))
    await path.settle()

    assert path.circuits.states()[_circuit(path)] is CircuitState.OPEN
    assert path.waits.now - began <= 10
    # all had begun, and three retries are in the minute's budget
    assert 5 <= len(llm.requests) <= 8 + 3
    assert [path.said(chat) for chat in chats] == [[HOLDING]] * 8
    for _ in range(5):
        before = len(llm.requests)
        await path.later(61)
        assert len(llm.requests) - before <= 1
    assert [path.said(chat) for chat in chats] == [[HOLDING]] * 8
    causes = await path.fetch("SELECT DISTINCT trouble FROM conversations")
    assert {row["trouble"] for row in causes} <= {"model_circuit_open", "model_unavailable"}
    assert await path.db.fetchval("SELECT max(attempts) FROM queue_messages") == 0

    llm.rule = lambda request: Say(ANSWER)
    for _ in range(8):
        await path.later(61)
    assert [path.said(chat) for chat in chats] == [[HOLDING, ANSWER]] * 8
    assert path.circuits.states()[_circuit(path)] is CircuitState.CLOSED
    await path.assert_clean()


def _circuit(path: WholePath) -> str:
    [name] = [name for name in path.circuits.states() if f":{path.model}:" in name]
    return name


# -- 18: too many requests -------------------------------------------------------------------------


def _in_twenty_seconds() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [
        ("20", 20, 30),
        ("date", 18, 30),
        ("0", 1, 1.5),
        ("-5", 1, 1.5),
        (None, 0, 1),
    ],
)
async def test_18_a_wait_that_fits_into_the_turn_is_waited_for(
    path: WholePath, told: str | None, least: float, most: float
) -> None:
    value = _in_twenty_seconds() if told == "date" else told
    headers = {} if value is None else {"retry-after": value}
    _llm(path).script(Fault(429, headers), Say(ANSWER))
    await _asks(path)

    assert path.said() == [ANSWER]
    assert len(_llm(path).requests) == 2
    [waited] = path.waits.slept
    assert least <= waited <= most
    await path.assert_clean()


@pytest.mark.parametrize(("told", "kept"), [("120", 120), ("1000000000", 600), ("1e999", 600)])
async def test_18_a_longer_wait_is_kept_up_to_ten_minutes_without_holding_anything(
    path: WholePath, told: str, kept: int
) -> None:
    _llm(path).script(Fault(429, {"retry-after": told}))
    await _asks(path)

    await _waits(path, "model_unavailable")
    assert len(_llm(path).requests) == 1
    assert path.waits.slept == []
    due = await path.db.fetchval(
        "SELECT extract(epoch FROM available_at - platform_now())::float8 FROM queue_messages"
    )
    assert isinstance(due, float)
    assert kept - 5 <= due <= kept * 1.5
    assert await path.db.fetchval("SELECT lease_until FROM conversations") is None
    await path.later(kept - 10)
    assert len(_llm(path).requests) == 1
    await _recovers(path, within=kept)
    assert len(_llm(path).requests) == 2
    await path.assert_clean()


def test_18_those_who_were_told_the_same_do_not_come_back_together() -> None:
    """Each of the three places that wait: within a model call, for a turn, for any other work."""
    rng, now, asked = random.Random(11), datetime.now(UTC), timedelta(seconds=60)
    waits = {
        "call": [BackoffConfig().delay(1, rng, asked) for _ in range(200)],
        "turn": [
            next_try(incident_since=now, now=now, asked=asked, rng=rng).total_seconds()
            for _ in range(200)
        ],
        "work": [while_unavailable(timedelta(0), asked, rng).total_seconds() for _ in range(200)],
    }
    for place, seconds in waits.items():
        assert min(seconds) >= 60, place
        assert max(seconds) - min(seconds) >= 0.3 * 60, place
        first_second = sum(1 for each in seconds if each < min(seconds) + 1)
        assert first_second <= 20, place


# -- 19: refused for good --------------------------------------------------------------------------


TOO_LONG = Fault(400, message="This model's maximum context length is 8192 tokens")


async def test_19_a_context_that_is_too_long_is_cut_once_and_asked_again(path: WholePath) -> None:
    llm = _llm(path)
    llm.rule = lambda request: Say(ANSWER)
    for number in range(12):  # below what makes two machines of them
        await _asks(path, f"pesan ke-{number}")
        await path.jump(120)
    llm.requests.clear()
    llm.script(TOO_LONG)
    await _asks(path, "dan ini?")

    assert path.said()[-1] == ANSWER
    whole, cut = (_heard(request) for request in llm.requests)
    assert whole == [*(f"pesan ke-{number}" for number in range(12)), "dan ini?"]
    assert cut == [*(f"pesan ke-{number}" for number in range(7, 12)), "dan ini?"]
    await path.assert_clean()


def _heard(request: LlmRequest) -> list[str]:
    """What the model was given as the customer's own words."""
    said = json.dumps([m for m in request.body["messages"] if m["role"] == "user"])
    return re.findall(r"<customer_message>(.*?)</customer_message>", said)


async def test_19_what_stays_too_long_is_answered_by_a_template_and_then_by_a_person(
    path: WholePath,
) -> None:
    """Waiting makes nothing shorter: two calls a turn, and no turn that waits for hours."""
    llm = _llm(path)
    llm.rule = lambda request: TOO_LONG
    for number, text in enumerate(("satu", "dua", "tiga"), start=1):
        await _asks(path, text)
        assert len(llm.requests) == 2 * number

    sorry = safe_answer(Template.CAPS, "id")
    assert path.said() == [sorry, sorry, hand_over_line("id")]
    assert await path.owner() == "person"
    assert path.circuits.states()[_circuit(path)] is CircuitState.CLOSED
    assert await path.count("queue_messages") == 0
    await path.assert_clean()


REFUSALS: dict[str, Step] = {
    "as an error": Fault(400, message="content management policy", code="content_filter"),
    "as an end": Say("", finish="content_filter"),
}


@pytest.mark.parametrize("how", REFUSALS)
async def test_19_refused_content_is_asked_once_more_without_the_past_and_then_excused(
    path: WholePath, how: str
) -> None:
    llm = _llm(path)
    llm.rule = lambda request: REFUSALS[how]
    await _asks(path)

    assert path.said() == [safe_answer(Template.REFUSED, "id")]
    assert len(llm.requests) == 2
    assert path.waits.slept == []
    assert await path.owner() == "ai"
    assert await path.journal() == ["read"]
    assert path.circuits.states()[_circuit(path)] is CircuitState.CLOSED
    await path.assert_clean()


async def test_19_a_refused_key_is_asked_once_tells_staff_and_opens_the_circuit(
    path: WholePath,
) -> None:
    llm = _llm(path)
    llm.rule = lambda request: Fault(401, message="invalid api key sk-canary-1")
    path.auditor.secret("sk-canary-1")
    await _asks(path)

    await _waits(path, "model_key_invalid")
    assert len(llm.requests) == 1
    told = await path.fetch(
        "SELECT body->>'cause' AS cause FROM domain_events"
        " WHERE name = 'conversation.answer_delayed'"
    )
    assert [row["cause"] for row in told] == ["model_key_invalid"]
    assert path.circuits.states()[_circuit(path)] is CircuitState.OPEN
    await path.jump(20)
    await _asks(path, "halo?")
    assert len(llm.requests) == 1
    assert path.said() == [HOLDING]
    await _recovers(path)
    await path.assert_clean()


# -- 20: answers that are none ---------------------------------------------------------------------


NO_ANSWER = safe_answer(Template.NO_ANSWER, "id")
NOTHING: dict[str, tuple[Step, int]] = {
    "empty": (Say(""), 2),
    "white space": (Say("   \n\u200b "), 2),
    "only thoughts": (Say("<think>hm</think>"), 2),
    "an error text": (Say("Internal Server Error"), 2),
    "a picture and no word": (Say("![](https://x.test/a.png)"), 1),
}


@pytest.mark.parametrize("kind", NOTHING)
async def test_20_nothing_empty_is_ever_sent(path: WholePath, kind: str) -> None:
    step, calls = NOTHING[kind]
    _llm(path).rule = lambda request: step
    await _asks(path)

    assert path.said() == [NO_ANSWER]
    assert len(_llm(path).requests) == calls
    conversation = await path.conversation()
    assert (conversation["owner"], conversation["failed_turns"]) == ("ai", 1)
    await path.assert_clean()


@pytest.mark.parametrize("kind", ["not JSON", "no choices", "a page"])
async def test_20_garbage_is_a_provider_that_is_away(path: WholePath, kind: str) -> None:
    body: Any = {"not JSON": "garbage{", "no choices": {}, "a page": "<html>Bad gateway</html>"}
    _llm(path).rule = lambda request: Raw(body[kind])
    await _asks(path)

    await _waits(path, "model_unavailable")
    assert len(_llm(path).requests) == FIRST_AND_RETRIES
    await _recovers(path)
    await path.assert_clean()


MISCALLED: dict[str, tuple[CallTools, str]] = {
    "unknown tool": (CallTools(("drop_tables", {})), "unknown_tool"),
    "wrong types": (CallTools(("search_products", {"query": ["kopi", 5]})), "bad_arguments"),
    "an argument nobody offered": (
        CallTools(("search_products", {"query": "kopi", "tenant_id": "x"})),
        "bad_arguments",
    ),
    "broken JSON": (CallTools(("search_products", '{"query": "ko')), "bad_arguments"),
    "no object": (CallTools(("search_products", "[1, 2]")), "bad_arguments"),
}


@pytest.mark.parametrize("kind", MISCALLED)
async def test_20_a_call_that_cannot_be_carried_out_is_told_to_the_model(
    path: WholePath, kind: str
) -> None:
    step, code = MISCALLED[kind]
    _llm(path).script(step, Say(ANSWER))
    await _asks(path)

    assert path.said() == [ANSWER]
    assert await path.journal() == ["read", "model", "tool", "model"]
    result = _llm(path).requests[1].body["messages"][-1]
    assert result["role"] == "tool"
    assert json.loads(result["content"])["error"]["code"] == code
    assert await path.count("domain_events", "name LIKE 'customer.%updated'") == 0
    await path.assert_clean()


# -- 21: without end -------------------------------------------------------------------------------


CAPS = safe_answer(Template.CAPS, "id")


async def test_21_a_loop_of_calls_ends_at_eight_answers(path: WholePath) -> None:
    _llm(path).rule = lambda request: CallTools(SEARCH)
    await _asks(path)

    assert path.said() == [CAPS]
    assert len(_llm(path).requests) == 8
    assert (await path.journal()).count("tool") == 8
    assert await path.owner() == "ai"
    await path.assert_clean()


async def test_21_of_fifty_calls_at_once_twelve_are_carried_out(path: WholePath) -> None:
    llm = _llm(path)
    llm.script(CallTools(*[SEARCH] * 50), CallTools(*[SEARCH] * 50))
    await _asks(path)

    assert path.said() == [CAPS]
    assert len(llm.requests) == 2
    results = await path.fetch(
        "SELECT body->>'result' AS result FROM turn_steps WHERE kind = 'tool'"
    )
    refused = error_result("too_many_calls", "This reply has used up its tool calls.")
    assert [row["result"] == refused for row in results].count(False) == 12
    assert len(results) == 13
    await path.assert_clean()


async def test_21_ten_megabytes_are_neither_sent_nor_kept(path: WholePath) -> None:
    """Asked to be shorter once; then the template."""
    _llm(path).rule = lambda request: Say("kopi enak " * 1_000_000)
    started = asyncio.get_running_loop().time()
    await _asks(path)

    assert path.said() == [CAPS] or path.said() == [safe_answer(Template.INVALID_DRAFT, "id")]
    assert len(_llm(path).requests) == 2
    kept = await path.db.fetchval("SELECT sum(length(body::text)) FROM turn_steps")
    assert isinstance(kept, int)
    assert kept < 300_000
    assert asyncio.get_running_loop().time() - started < 30
    await path.assert_clean()


async def test_21_a_turn_ends_when_its_time_is_up_however_slowly_a_model_drips(
    path: WholePath,
) -> None:
    """Every call is within its own limit; together they are not."""
    await path.use_model(timeout_seconds=0.25)
    llm = _llm(path)

    def slowly(request: LlmRequest) -> Step:
        path.waits.now += 20
        return CallTools(SEARCH)

    llm.rule = slowly
    await _asks(path)

    assert len(llm.requests) == 5
    assert path.said() == [HOLDING]
    assert (await path.conversation())["trouble"] == "model_deadline_passed"
    assert await path.owner() == "ai"
    # the journal is what counts the calls: the next runs may use up the rest and no more
    await path.later(61)
    assert path.said() == [HOLDING, CAPS]
    assert len(llm.requests) == 8
    await path.assert_clean()


# -- 44: one tenant's bad key ----------------------------------------------------------------------


async def test_44_a_bad_key_opens_the_circuit_of_that_key_alone(path: WholePath) -> None:
    llm = _llm(path)
    llm.rule = lambda request: Fault(401) if request.key == "sk-bad" else Say(ANSWER)
    shops = [await _a_shop_with_key(path, key) for key in ("sk-bad", "sk-good")]
    bad, good = shops
    for _ in range(3):
        for shop in shops:
            await path.receives(shop.hooks.message("halo"), to=shop)
        await path.settle()
        await path.jump(10)

    assert [request.key for request in llm.requests].count("sk-bad") == 1
    assert await _owner_and_trouble(path, bad) == ("ai", "model_circuit_open")
    assert await _owner_and_trouble(path, good) == ("ai", None)
    said = [(sent.session, sent.text) for sent in path.waha.sent[CUSTOMER]]
    assert [text for session, text in said if session == bad.hooks.session] == [HOLDING]
    assert [text for session, text in said if session == good.hooks.session] == [ANSWER] * 3

    await _give_key(path, bad, "sk-better")  # its own circuit: nothing to wait for
    await path.later(61)
    assert [request.key for request in llm.requests].count("sk-bad") <= 1
    assert await _owner_and_trouble(path, bad) == ("ai", None)
    await path.assert_clean()


async def _a_shop_with_key(path: WholePath, key: str) -> Shop:
    shop = await path.a_shop(session=key.replace("sk-", "nomor-"))
    await _give_key(path, shop, key)
    return shop


async def _give_key(path: WholePath, shop: Shop, key: str) -> None:
    row = new_id()
    sealed = await rows.seal(
        path.db, shop.id, key, table="llm_configs", column="api_key_ciphertext", row=row
    )
    await path.use_model(
        shop, id=row, tenant_id=shop.id, model=path.model, api_key_ciphertext=sealed
    )


async def _owner_and_trouble(path: WholePath, shop: Shop) -> tuple[str, str | None]:
    row = await path.one("SELECT owner, trouble FROM conversations WHERE tenant_id = $1", shop.id)
    return row["owner"], row["trouble"]
