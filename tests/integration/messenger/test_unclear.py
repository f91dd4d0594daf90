"""When nobody knows whether a message left: echo, read-back, or a person; no blind repeat."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from messenger.domain import SendState
from messenger.infrastructure.sends import SqlSends
from shared.kernel.ids import SendId
from tests.integration.messenger.conftest import Desk
from tests.support import rows
from tests.support.fake_waha import Fault, Hang, Reset, Status
from tests.support.waha_webhooks import CUSTOMER, Webhooks


async def sending(desk: Desk, send_id: SendId, **columns: Any) -> None:
    """As a messenger leaves it that dies between its claim and the outcome."""
    columns = {"state": "sending", "claim_no": 1} | columns
    changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, start=2))
    await desk.db.execute(
        f"UPDATE sends SET {changes}, claimed_at = platform_now() WHERE id = $1",
        send_id,
        *columns.values(),
    )


@pytest.mark.parametrize(
    "fault", [Status(500, done=True), Status(502, done=True), Reset(done=True)], ids=str
)
async def test_an_answer_that_never_came_is_unknown_and_read_back_finds_it(
    desk: Desk, fault: Fault
) -> None:
    send = await rows.a_send(desk.db, desk.conversation, body="rahasia")
    desk.waha.fault("/api/sendText", fault)

    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["native_id"]) == ("unknown", None)
    assert row["unknown_since"] is not None
    assert "rahasia" not in row["error_detail"]
    (waiting,) = await desk.queued()
    assert timedelta(seconds=55) < waiting["due_in"] <= timedelta(seconds=60)
    assert waiting["attempts"] == 0

    await desk.db.jump(61)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("sent", None)
    assert row["native_id"] == desk.waha.sent[CUSTOMER][0].native_id
    assert desk.waha.paths("sendText") == ["sendText"]  # one call, whatever happened
    assert await desk.events() == ["send.unknown", "send.sent"]
    assert await desk.queued() == []


async def test_a_call_that_hangs_is_ended_and_unknown(desk: Desk) -> None:
    waha = desk.settings.waha.model_copy(update={"waha_timeout_seconds": timedelta(seconds=0.2)})
    desk.settings = desk.settings.model_copy(update={"waha": waha})
    send = await rows.a_send(desk.db, desk.conversation)
    desk.waha.fault("/api/sendText", Hang(done=True))

    await desk.work()

    assert await desk.states(send) == ["unknown"]
    await desk.db.jump(61)
    await desk.work()
    assert await desk.states(send) == ["sent"]


async def test_an_echo_ends_it_without_asking_anybody(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    desk.waha.fault("/api/sendText", Status(500, done=True))
    await desk.work()
    await desk.db.execute("UPDATE sends SET echoed_id = '3EBECHO'")
    before = len(desk.waha.calls)

    await desk.db.jump(61)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["native_id"]) == ("sent", "3EBECHO")
    assert len(desk.waha.calls) == before


@pytest.mark.parametrize("kind", ["ai", "staff", "holding"])
async def test_text_that_cannot_be_found_fails_and_is_not_repeated(desk: Desk, kind: str) -> None:
    send = await rows.a_send(desk.db, desk.conversation, kind=kind)
    after = await rows.a_send(desk.db, desk.conversation, kind="staff", body="berikutnya")
    desk.waha.fault("/api/sendText", Status(500))
    await desk.work()
    assert await desk.states(send, after) == ["unknown", "pending"]

    await desk.db.jump(61)
    await desk.work()
    await desk.db.jump(90)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("failed", "unknown_outcome")
    assert desk.waha.texts() == ["berikutnya"]  # the line moves on
    assert desk.waha.paths("sendText") == ["sendText", "sendText"]


async def test_a_notice_is_repeated_once_under_the_same_id(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation, kind="notice", body="dibayar")
    desk.waha.fault("/api/sendText", Status(500), Status(500))
    await desk.work()
    await desk.db.jump(61)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["resent"], row["claim_no"]) == ("unknown", True, 2)
    calls = [call.json for call in desk.waha.calls if call.path == "/api/sendText"]
    assert [call["id"] for call in calls] == [row["reserved_id"]] * 2

    await desk.db.jump(200)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("failed", "unknown_outcome")
    assert len(desk.waha.paths("sendText")) == 2


async def test_a_notice_whose_echo_came_is_not_repeated(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation, kind="notice")
    desk.waha.fault("/api/sendText", Status(500, done=True))
    await desk.work()
    await desk.db.jump(61)

    await desk.work()

    assert await desk.states(send) == ["sent"]
    assert len(desk.waha.sent[CUSTOMER]) == 1


@pytest.mark.parametrize("engine", ["WEBJS"])
async def test_without_a_reserved_id_read_back_goes_by_the_text(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation, body="Ada kopi")
    desk.waha.fault("/api/sendText", Status(500, done=True))
    await desk.work()
    assert (await desk.send(send))["reserved_id"] is None
    await desk.db.jump(61)

    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["native_id"]) == (
        "sent",
        desk.waha.sent[CUSTOMER][0].native_id,
    )


@pytest.mark.parametrize("engine", ["WEBJS"])
async def test_equal_text_of_another_bubble_is_not_taken_for_it(desk: Desk) -> None:
    first = await rows.a_send(desk.db, desk.conversation, body="Ada kopi")
    await desk.work()
    await desk.db.jump(10)
    second = await rows.a_send(desk.db, desk.conversation, body="Ada kopi")
    desk.waha.fault("/api/sendText", Status(500))
    await desk.work()
    await desk.db.jump(80)

    await desk.work()

    assert await desk.states(first, second) == ["sent", "failed"]


async def test_a_customers_equal_text_is_not_ours(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation, body="ok")
    desk.waha.fault("/api/sendText", Status(500))
    desk.waha.remember(CUSTOMER, Webhooks().payload("ok"))
    await desk.work()
    await desk.db.jump(61)

    await desk.work()

    assert await desk.states(send) == ["failed"]


async def test_an_engine_without_history_leaves_it_to_a_person(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    desk.waha.fault("/api/sendText", Status(500, done=True))
    desk.waha.history_status = 400
    await desk.work()
    await desk.db.jump(61)

    await desk.work()

    assert (await desk.send(send))["error_code"] == "unknown_outcome"


async def test_a_server_that_is_away_is_asked_once_more(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    desk.waha.fault("/api/sendText", Status(500, done=True))
    desk.waha.history_status = 503
    await desk.work()
    await desk.db.jump(61)
    await desk.work()
    assert await desk.states(send) == ["unknown"]

    desk.waha.history_status = 200
    await desk.db.jump(121)
    await desk.work()

    assert await desk.states(send) == ["sent"]


async def test_who_finds_it_sending_makes_it_unknown_and_calls_nothing(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    await sending(desk, send)

    await desk.work()

    assert await desk.states(send) == ["unknown"]
    assert desk.waha.calls == []
    (row,) = await desk.queued()
    assert timedelta(seconds=55) < row["due_in"] <= timedelta(seconds=60)
    assert row["attempts"] == 0


async def test_unknown_is_not_resolved_while_a_call_may_be_running(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    await sending(desk, send, state="unknown")

    await desk.work()

    assert await desk.states(send) == ["unknown"]
    assert desk.waha.calls == []
    (row,) = await desk.queued()
    assert row["due_in"] > timedelta(seconds=55)


async def test_the_outcome_of_an_older_claim_changes_nothing(desk: Desk) -> None:
    send_id = await rows.a_send(desk.db, desk.conversation)
    claim = await desk.claim()
    sends = SqlSends(desk.database)
    send = await sends.load(desk.conversation.tenant_id, send_id)
    assert send is not None
    await sending(desk, send_id, claim_no=2)

    assert not await sends.end(claim, send, 1, SendState.SENT, native_id="3EBOLD")
    assert not await sends.mark_unknown(send, 1, "late")
    assert not await sends.put_back(send, 1, "late")

    row = await desk.send(send_id)
    assert (row["state"], row["claim_no"], row["native_id"]) == ("sending", 2, None)
    assert await desk.events() == []
    assert len(await desk.queued()) == 1


async def test_a_late_outcome_still_counts_for_its_own_claim(desk: Desk) -> None:
    """Another messenger called it unknown meanwhile; the one that made the call knows better."""
    send_id = await rows.a_send(desk.db, desk.conversation)
    claim = await desk.claim()
    sends = SqlSends(desk.database)
    send = await sends.load(desk.conversation.tenant_id, send_id)
    assert send is not None
    await sending(desk, send_id, state="unknown")

    assert await sends.end(claim, send, 1, SendState.SENT, native_id="3EBNEW")

    assert await desk.states(send_id) == ["sent"]
    assert await desk.queued() == []


async def test_an_echo_may_come_before_the_answer(desk: Desk) -> None:
    """The store keeps the echo as evidence while the call runs; the outcome decides."""
    send = await rows.a_send(desk.db, desk.conversation)
    await desk.db.execute("UPDATE sends SET echoed_id = '3EBECHO'")

    await desk.work()

    row = await desk.send(send)
    assert row["state"] == "sent"
    assert row["native_id"] == desk.waha.sent[CUSTOMER][0].native_id


async def test_a_claim_whose_commit_is_unclear_is_taken_back_by_its_holder_alone(
    desk: Desk,
) -> None:
    send_id = await rows.a_send(desk.db, desk.conversation)
    claim = await desk.claim()
    sends = SqlSends(desk.database)
    send = await sends.load(desk.conversation.tenant_id, send_id)
    assert send is not None
    assert (await sends.claim(claim, send)).number == 1

    await sends.take_back(replace(claim, lease_id=uuid4()), send)  # another's row by now
    assert await desk.states(send_id) == ["sending"]

    await sends.take_back(claim, send)
    row = await desk.send(send_id)
    assert (row["state"], row["claim_no"]) == ("pending", 1)
    await sends.take_back(claim, send)
    assert await desk.states(send_id) == ["pending"]


@pytest.mark.parametrize("state", ["unknown", "sent", "failed"])
async def test_what_is_more_than_claimed_is_not_taken_back(desk: Desk, state: str) -> None:
    send_id = await rows.a_send(desk.db, desk.conversation)
    claim = await desk.claim()
    sends = SqlSends(desk.database)
    send = await sends.load(desk.conversation.tenant_id, send_id)
    assert send is not None
    await sending(desk, send_id, state=state)

    await sends.take_back(claim, send)
    assert await desk.states(send_id) == [state]
