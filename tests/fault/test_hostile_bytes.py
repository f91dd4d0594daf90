"""Bytes made by chance: whatever is posted is kept as it came and comes to rest.

The quick part repeats itself; the whole part is new every time and prints how to repeat a failure.
"""

import asyncio
import random
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.waha.events import WahaEvent
from shared.waha.parsing import parse_event
from shared.waha.reading import Unreadable
from tests.fault.hostile.house import House, as_json
from tests.support.waha_webhooks import ENGINES, Webhooks, file

pytestmark = pytest.mark.whole

QUICK = settings(
    max_examples=500, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
WHOLE = settings(
    max_examples=20_000, database=None, deadline=None, print_blob=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def deliveries() -> list[bytes]:
    """One of everything that WAHA sends."""
    found = []
    for engine in ENGINES:
        hooks = Webhooks(engine=engine)
        found += [
            hooks.message("halo").body,
            hooks.message("foto", media=file()).body,
            hooks.message("ya", reply_to="3EB0AA").body,
            hooks.location().body,
            hooks.contact().body,
            hooks.tap().body,
            hooks.own().body,
            hooks.edited("3EB0AA", "baru").body,
            hooks.revoked("3EB0AA").body,
            hooks.reaction("3EB0AA").body,
            hooks.ack("3EB0AA", 3).body,
            hooks.session_status().body,
            hooks.elsewhere("group").body,
        ]
    return found


DELIVERIES = deliveries()
_PIECES = [
    b"\x00", b"\xff", b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"1e999",
    b"NaN", b"-0", b"\\ud800", b"\\u0000", b"@c.us", b"@g.us", b"@lid", b"_", b"false_",
    b"\xef\xbb\xbf", b"9" * 400, b"[" * 1200, b'{"a":' * 300, b"\xe2\x80\xae", b" ", b"\n", b'"":', b"[]", b"{}",  # noqa: E501
]  # fmt: skip
_KEYS = [
    "event", "session", "payload", "id", "from", "to", "body", "timestamp", "fromMe", "media",
    "location", "vCards", "replyTo", "_data", "me", "key", "message", "Info", "Message", "url", "name",  # noqa: E501
    "latitude", "ack", "after", "before", "reaction",
]  # fmt: skip
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["message", "message.any", "message.ack", "false_1@c.us_A", "62811111@c.us"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(_KEYS) | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A delivery in which something was cut, doubled, swapped or put in."""
    body = bytearray(draw(st.sampled_from(DELIVERIES)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(body)))
        match draw(st.integers(0, 4)):
            case 0:
                del body[at : at + draw(st.integers(1, 40))]
            case 1:
                body[at:at] = draw(st.sampled_from(_PIECES))
            case 2:
                body[at:at] = body[at : at + draw(st.integers(1, 200))]
            case 3 if at < len(body):
                body[at] ^= 1 << draw(st.integers(0, 7))
            case _:
                body[at : at + 1] = draw(st.binary(max_size=4))
    return bytes(body[:20_000])


@st.composite
def replaced(draw: st.DrawFn) -> bytes:
    """A delivery in which some value is any other."""
    event = orjson.loads(draw(st.sampled_from(DELIVERIES)))
    for _ in range(draw(st.integers(1, 4))):
        place = event
        while True:
            key = draw(st.sampled_from(sorted(place))) if place else "x"
            inner = place.get(key)
            if not (isinstance(inner, dict) and inner and draw(st.booleans())):
                break
            place = inner
        place[key] = draw(_JSON)
    return as_json(event)


any_body = mutated() | replaced() | st.binary(max_size=300) | _JSON.map(as_json)


def _reads(body: bytes) -> None:
    try:
        event = parse_event(body)
    except Unreadable:
        return
    assert isinstance(event, WahaEvent)
    assert event.session == " ".join(event.session.split()), "a session is one line"
    chat = getattr(event, "chat", None)
    assert chat is None or chat.endswith(("@c.us", "@lid"))
    text = getattr(event, "text", None)
    assert text is None or (text.encode() and "\0" not in text and len(text) <= 65_536)


@QUICK
@given(body=any_body)
def test_any_bytes_read_as_an_event_or_as_none(body: bytes) -> None:
    _reads(body)


@pytest.mark.whole
@WHOLE
@given(body=any_body)
def test_twenty_thousand_bodies_read_as_an_event_or_as_none(body: bytes) -> None:
    _reads(body)


def by_chance(dice: random.Random, count: int) -> list[bytes]:
    """Bodies that differ, made faster than Hypothesis does."""
    made: set[bytes] = set()
    while len(made) < count:
        body = bytearray(dice.choice(DELIVERIES))
        for _ in range(dice.randint(1, 8)):
            at = dice.randrange(len(body) + 1)
            match dice.randrange(4):
                case 0:
                    del body[at : at + dice.randint(1, 60)]
                case 1:
                    body[at:at] = dice.choice(_PIECES)
                case 2:
                    body[at : at + 1] = dice.randbytes(dice.randint(0, 4))
                case _:
                    body[at:at] = body[at : at + dice.randint(1, 300)]
        made.add(bytes(body))
    return sorted(made)


def to_this_shop(house: House, bodies: Sequence[bytes]) -> list[bytes]:
    session = house.tenant.hooks.session.encode()
    return sorted({body.replace(b"default", session) for body in bodies})


async def post(house: House, bodies: Sequence[bytes]) -> None:
    """Each is answered 200 and is there once."""
    before = await house.count("inbox_events")
    async with house.visit() as visit:
        for start in range(0, len(bodies), 50):
            batch = bodies[start : start + 50]
            answers = await asyncio.gather(*(visit.as_waha(body) for body in batch))
            assert {answer.status_code for answer in answers} == {200}
    assert await house.count("inbox_events") == before + len(bodies)


@pytest.mark.parametrize("count", [150, pytest.param(5_000, marks=pytest.mark.whole)])
async def test_the_webhook_takes_any_bytes_and_all_of_them_come_to_rest(
    house: House, count: int
) -> None:
    bodies = to_this_shop(house, by_chance(random.Random(20261125), count))
    await post(house, bodies)
    await house.settle()
    states = await house.path.fetch(
        "SELECT state, count(*) AS n FROM inbox_events WHERE tenant_id = $1 GROUP BY 1",
        house.tenant.id,
    )
    counted = {row["state"]: row["n"] for row in states}
    assert counted.keys() <= {"stored", "ignored", "parked"}
    assert sum(counted.values()) == len(bodies)
    assert min(counted.values()) > count // 50, "some of each: the dice made no rubbish only"
    assert await house.count("dead_letters") == 0


@pytest.mark.whole
async def test_the_webhook_takes_a_hundred_thousand_bodies(
    house: House, fault_random: random.Random
) -> None:
    for _ in range(50):
        bodies = to_this_shop(house, by_chance(fault_random, 2_000))
        await post(house, bodies)
        # what reading makes of such bodies is seen above; here it would take an hour
        for body in bodies:
            _reads(body)
        await house.path.auditor.assert_clean(settled=False)
        for table in ("queue_messages", "inbox_events"):
            await house.db.execute(f"DELETE FROM {table} WHERE tenant_id = $1", house.tenant.id)
        await house.settle()  # what the neighbour has posted meanwhile
