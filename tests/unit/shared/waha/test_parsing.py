"""Every event of every engine, and every JSON that is none."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.waha.events import (
    AckEvent,
    ContentType,
    EditedEvent,
    IgnoredEvent,
    MessageEvent,
    ReactionEvent,
    RevokedEvent,
    SessionStatusEvent,
    WahaEvent,
)
from shared.waha.parsing import parse_event, parse_message
from shared.waha.reading import Unreadable
from tests.support.waha_webhooks import CUSTOMER, ENGINES, SHOP, Engine, Webhook, Webhooks, file

LID = "99000000000001@lid"
AT = 1_700_000_000


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


@pytest.fixture
def hooks(engine: Engine) -> Webhooks:
    return Webhooks(engine=engine, session="shop")


def message(webhook: Webhook) -> MessageEvent:
    event = parse_event(webhook.body)
    assert isinstance(event, MessageEvent)
    return event


def test_text(hooks: Webhooks) -> None:
    event = message(hooks.message("Halo, ada kopi?", native_id="3EB0AA", at=AT, reply_to="3EBQ"))
    assert event == MessageEvent(
        session="shop",
        native_id="3EB0AA",
        chat=CUSTOMER,  # type: ignore[arg-type]
        sender=CUSTOMER,
        from_me=False,
        source_is_api=False,
        text="Halo, ada kopi?",
        content_type=ContentType.TEXT,
        content={"quoted": {"id": "3EBQ", "text": "quoted"}},
        reply_to="3EBQ",
        sent_at=datetime.fromtimestamp(AT, UTC),
        push_name="Budi",
    )
    assert event.answerable


@pytest.mark.parametrize(
    ("called", "kept"),
    [
        ("Siti", "Siti"),
        (" Siti \n Aminah\x00 ", "Siti Aminah"),
        ("x" * 99 + " y", "x" * 99),
        ("x" * 300, "x" * 100),
        ("👩‍🍳", "👩‍🍳"),
        ("  ", None),
        ("", None),
        (None, None),
        (7, None),
        ({"x": 1}, None),
    ],
)
def test_the_sender_is_called_what_they_call_themselves(
    engine: Engine, called: Any, kept: str | None
) -> None:
    hooks = Webhooks(engine=engine, push_name=called)
    assert message(hooks.message("halo")).push_name == kept


def test_our_own_name_is_not_the_customers(hooks: Webhooks) -> None:
    assert message(hooks.own("dari HP")).push_name is None


def test_a_message_of_a_history_has_the_name_too(hooks: Webhooks) -> None:
    event = parse_message(hooks.payload("halo"), session="shop")
    assert isinstance(event, MessageEvent)
    assert event.push_name == "Budi"


def test_message_and_message_any_are_the_same(hooks: Webhooks) -> None:
    options: dict[str, Any] = {"native_id": "3EB0AA", "at": AT}
    assert message(hooks.message("x", event="message", **options)) == message(
        hooks.message("x", event="message.any", **options)
    )


@pytest.mark.parametrize(
    ("mimetype", "expected"),
    [
        ("image/jpeg", ContentType.IMAGE),
        ("image/webp", ContentType.STICKER),
        ("audio/ogg; codecs=opus", ContentType.VOICE),
        ("video/mp4", ContentType.VIDEO),
        ("application/pdf", ContentType.DOCUMENT),
        (None, ContentType.DOCUMENT),
    ],
)
def test_media_by_its_mimetype(
    hooks: Webhooks, mimetype: str | None, expected: ContentType
) -> None:
    media = file(str(mimetype), name="X.bin", filename="bukti.pdf") | {"mimetype": mimetype}
    event = message(hooks.message("ini fotonya", media=media))
    assert event.content_type is expected
    assert event.text == "ini fotonya"
    assert event.content["media"] == {
        "path": "/api/files/default/X.bin",
        "mimetype": mimetype,
        "filename": "bukti.pdf",
        "size": None,
    }


@pytest.mark.parametrize(
    ("engine", "data"),
    [
        ("WEBJS", {"type": "ptt"}),
        ("NOWEB", {"message": {"audioMessage": {"fileLength": "123"}}}),
        ("GOWS", {"Message": {"audioMessage": {"fileLength": 123}}}),
    ],
)
def test_media_that_was_not_downloaded_keeps_its_kind(engine: Engine, data: Any) -> None:
    hooks = Webhooks(engine=engine)
    event = message(hooks.message(None, hasMedia=True, _data=data))
    assert event.content_type is ContentType.VOICE
    assert event.content["media"]["path"] is None
    assert event.content["media"]["size"] == (None if engine == "WEBJS" else 123)
    assert event.answerable


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://elsewhere.test/api/files/shop/X.jpg", "/api/files/shop/X.jpg"),
        ("https://host/waha/api/files/X.jpg?x=1#y", "/api/files/X.jpg"),
        ("/api/files/X%20Y.jpg", "/api/files/X%20Y.jpg"),
        ("https://bucket.s3.test/key.jpg", None),
        ("http://host/api/files/../sessions", None),
        ("http://host/api/files/%2e%2e/%2e%2e/keys", None),
        ("http://host/api/files/a\\..\\b", None),
        ("http://[bad/api/files/x", None),
        ("http://host/api/files/", None),
        (None, None),
        (7, None),
        ("x" * 5000, None),
    ],
)
def test_only_the_path_of_a_media_address_counts(url: Any, path: str | None) -> None:
    media = file() | {"url": url}
    event = message(Webhooks().message(None, media=media))
    assert event.content["media"]["path"] == path


@pytest.mark.parametrize(
    ("latitude", "longitude"), [("-6.2", "106.8"), (-6.2, 106.8), (" -6.20 ", 106.8)]
)
def test_a_location(hooks: Webhooks, latitude: Any, longitude: Any) -> None:
    event = message(hooks.location(latitude, longitude))
    assert event.content_type is ContentType.LOCATION
    assert event.content == {
        "latitude": -6.2,
        "longitude": 106.8,
        "name": "Monas",
        "address": "Jakarta",
    }


@pytest.mark.parametrize("latitude", ["north", None, "91", 1e308, True, {}])
def test_a_location_that_is_nowhere_keeps_its_name(latitude: Any) -> None:
    event = message(Webhooks().location(latitude))
    assert event.content == {"name": "Monas", "address": "Jakarta"}


def test_a_contact_card(hooks: Webhooks) -> None:
    event = message(hooks.contact("Ani", "+62 811"))
    assert event.content_type is ContentType.CONTACT
    assert event.text is None
    assert event.content == {"contacts": [{"name": "Ani", "phones": ["+62 811"]}]}


def test_a_tap_on_a_list(hooks: Webhooks) -> None:
    event = message(hooks.tap("sku:1", "Kopi 250g"))
    assert event.content_type is ContentType.LIST_REPLY
    assert event.text == "Kopi 250g\nRp 60.000"
    assert event.content == {"row_id": "sku:1", "title": "Kopi 250g"}


@pytest.mark.parametrize(
    "data",
    [
        {"message": {"buttonsResponseMessage": {"selectedButtonId": "ya"}}},
        {"message": {"templateButtonReplyMessage": {"selectedId": "ya"}}},
        {"Message": {"buttonsResponseMessage": {"selectedButtonID": "ya"}}},
        {"selectedButtonId": "ya"},
    ],
)
def test_a_tap_on_a_button(data: Any) -> None:
    event = message(Webhooks().message("Ya", _data=data))
    assert (event.content_type, event.content) == (ContentType.LIST_REPLY, {"row_id": "ya"})


def test_an_encryption_stub_is_not_answerable(hooks: Webhooks) -> None:
    event = message(hooks.stub())
    assert (event.content_type, event.text) == (ContentType.UNKNOWN, None)
    assert not event.answerable


@pytest.mark.parametrize("body", ["", " \n", "\x00", None, 7, [], {}])
def test_a_body_with_nothing_in_it_is_none(body: Any) -> None:
    assert not message(Webhooks().message("x", body=body)).answerable


def test_an_own_message_belongs_to_the_customers_chat(hooks: Webhooks) -> None:
    typed = message(hooks.own("Sebentar"))
    assert (typed.from_me, typed.chat, typed.source_is_api) == (True, CUSTOMER, False)
    assert typed.sender == SHOP
    assert message(hooks.own("Halo", source="api")).source_is_api


def test_a_customer_cannot_pass_for_the_api(hooks: Webhooks) -> None:
    assert not message(hooks.message("Halo", source="api")).source_is_api


def test_a_hidden_number_comes_with_its_alternate(hooks: Webhooks) -> None:
    event = message(hooks.message("Halo", chat=LID, alternate=CUSTOMER))
    assert event.chat == LID
    assert event.alternate == (None if hooks.engine == "WEBJS" else CUSTOMER)


@pytest.mark.parametrize("kind", ["group", "status", "newsletter", "broadcast"])
def test_what_is_not_for_the_shop_is_ignored(hooks: Webhooks, kind: str) -> None:
    event = parse_event(hooks.elsewhere(kind).body)
    assert event == IgnoredEvent(session="shop", reason=kind, event="message.any")


def test_an_edit(hooks: Webhooks) -> None:
    event = parse_event(hooks.edited("3EBOLD", "dua saja").body)
    assert isinstance(event, EditedEvent)
    assert (event.native_id, event.text, event.chat, event.from_me) == (
        "3EBOLD",
        "dua saja",
        CUSTOMER,
        False,
    )


def test_a_revocation_names_its_target_wherever_the_engine_puts_it(hooks: Webhooks) -> None:
    event = parse_event(hooks.revoked("3EBOLD").body)
    assert event == RevokedEvent(
        session="shop",
        native_id="3EBOLD",
        chat=CUSTOMER,  # type: ignore[arg-type]
        from_me=False,
    )


def test_a_revocation_without_any_id_is_ignored() -> None:
    event = parse_event(Webhooks().event("message.revoked", {"after": None}).body)
    assert isinstance(event, IgnoredEvent)
    assert event.reason == "target_unknown"


def test_a_reaction_and_its_removal(hooks: Webhooks) -> None:
    event = parse_event(hooks.reaction("3EBOLD", "👍").body)
    assert isinstance(event, ReactionEvent)
    assert (event.target_id, event.emoji, event.chat) == ("3EBOLD", "👍", CUSTOMER)
    removed = parse_event(hooks.reaction("3EBOLD", "").body)
    assert isinstance(removed, ReactionEvent)
    assert removed.emoji is None


@pytest.mark.parametrize("level", [-1, 0, 1, 2, 3, 4])
def test_an_ack(hooks: Webhooks, level: int) -> None:
    event = parse_event(hooks.ack("3EB0AA", level).body)
    assert event == AckEvent(
        session="shop",
        native_id="3EB0AA",
        chat=CUSTOMER,  # type: ignore[arg-type]
        from_me=True,
        level=level,
    )


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"ack": None, "ackName": "READ"}, 3),
        ({"ack": "2"}, 2),
        ({"ack": None, "ackName": "UNKNOWN"}, None),
        ({"ack": 7}, None),
        ({"ack": 1.5}, None),
        ({"ack": None, "ackName": None}, None),
    ],
)
def test_an_ack_by_name_and_one_of_no_known_level(
    changes: dict[str, Any], level: int | None
) -> None:
    hooks = Webhooks()
    payload = hooks.ack("3EB0AA").json["payload"] | changes
    event = parse_event(hooks.event("message.ack", payload).body)
    if level is None:
        assert isinstance(event, IgnoredEvent)
        assert event.reason == "ack_unknown"
    else:
        assert isinstance(event, AckEvent)
        assert event.level == level


def test_an_ack_that_names_the_hidden_address_has_the_same_id() -> None:
    event = parse_event(Webhooks().ack("3EB0AA", chat=LID).body)
    assert isinstance(event, AckEvent)
    assert event.native_id == "3EB0AA"


@pytest.mark.parametrize("status", ["WORKING", "SCAN_QR_CODE", "PASSKEY_REQUIRED"])
def test_a_session_status(hooks: Webhooks, status: str) -> None:
    event = parse_event(hooks.session_status(status).body)
    phone = "+628111000111" if status == "WORKING" else None
    assert event == SessionStatusEvent(session="shop", status=status.lower(), phone=phone)


@pytest.mark.parametrize(
    "name",
    ["presence.update", "call.received", "message.waiting", "message.ack.group", "poll.vote"],
)
def test_other_events_are_ignored_with_their_name(name: str) -> None:
    event = parse_event(Webhooks(session="shop").event(name, {"id": 1}).body)
    assert event == IgnoredEvent(session="shop", reason="not_used", event=name)


def test_the_engine_may_stand_only_in_the_environment(hooks: Webhooks) -> None:
    body = hooks.message("x", native_id="A", at=AT)
    bare = hooks.event("message.any", body.json["payload"], at=AT, engine=None, environment=None)
    assert message(bare) == message(body)


def test_a_message_without_a_usable_time_takes_the_envelopes() -> None:
    hooks = Webhooks()
    assert message(hooks.message("x", at=AT, timestamp="soon")).sent_at == datetime.fromtimestamp(
        AT, UTC
    )
    nothing = hooks.event("message.any", hooks.payload("x") | {"timestamp": 0}, timestamp=None)
    assert message(nothing).sent_at is None


def test_history_reads_as_recovered(hooks: Webhooks) -> None:
    event = parse_message(hooks.payload("lama", native_id="3EBOLD", at=AT), session="shop")
    assert isinstance(event, MessageEvent)
    assert event.recovered_hint
    assert event.native_id == "3EBOLD"
    assert not message(hooks.message("baru")).recovered_hint


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"event": "message.any"}',
        b'{"event": "message.any", "session": "s"}',
        b'{"event": "message.any", "session": "s", "payload": []}',
        b'{"event": "message.any", "session": "s", "payload": {}}',
        b'{"event": 7, "session": "s", "payload": {}}',
        b'{"event": "message.any", "session": {}, "payload": {}}',
    ],
)
def test_what_is_no_event_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_event(body)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["x@c.us", "6281230001@c.us", "status@broadcast", "true_1@lid_A", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        *("id", "from", "to", "fromMe", "source", "body", "hasMedia", "media", "location"),
        *("vCards", "replyTo", "timestamp", "_data", "ack", "ackName", "reaction", "status"),
        *("editedMessageId", "revokedMessageId", "after", "before", "participant"),
    ]
)
EVENTS = st.sampled_from(
    [
        *("message", "message.any", "message.edited", "message.revoked", "message.reaction"),
        *("message.ack", "session.status", "presence.update"),
    ]
)


def keepable(value: Any) -> bool:
    """Whether PostgreSQL could store it as text or JSON."""
    try:
        return "\\u0000" not in json.dumps(value, allow_nan=False) and bool(
            json.dumps(value, ensure_ascii=False).encode()
        )
    except (ValueError, UnicodeEncodeError):
        return False


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    event=EVENTS,
    payload=st.dictionaries(FIELDS, ANYTHING, max_size=12) | ANYTHING,
    raw_id=st.just("false_6281230001@c.us_3EB0AA") | ANYTHING,
    me=ANYTHING,
)
def test_any_json_is_an_event_or_unreadable(event: str, payload: Any, raw_id: Any, me: Any) -> None:
    if isinstance(payload, dict):
        payload = {"from": CUSTOMER} | payload | {"id": raw_id}
    envelope = {"event": event, "session": "s", "payload": payload, "me": me, "timestamp": raw_id}
    try:
        found = parse_event(json.dumps(envelope).encode())
    except Unreadable:
        return
    assert isinstance(found, WahaEvent)
    if isinstance(found, MessageEvent):
        assert keepable([found.native_id, found.chat, found.text, dict(found.content)])


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_unreadable(body: bytes) -> None:
    with suppress(Unreadable):
        assert isinstance(parse_event(body), WahaEvent)
