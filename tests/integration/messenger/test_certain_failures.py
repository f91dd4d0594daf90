"""What certainly did not leave: refused for good, or held until the number works again."""

from datetime import timedelta

from tests.integration.messenger.conftest import Desk
from tests.support import rows
from tests.support.fake_waha import FakeWaha, Status
from tests.support.waha_webhooks import CUSTOMER


async def state_of(desk: Desk) -> object:
    return await desk.db.fetchval(
        "SELECT state FROM channels WHERE id = $1", desk.conversation.channel_id
    )


async def test_a_message_that_waha_refuses_fails_at_once(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    after = await rows.a_send(desk.db, desk.conversation, body="berikutnya")
    desk.waha.fault("/api/sendText", Status(400))

    await desk.work()
    await desk.db.jump(10)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("failed", "send_refused")
    assert await desk.states(after) == ["sent"]


async def test_a_session_that_does_not_work_holds_everything_and_burns_nothing(
    desk: Desk,
) -> None:
    desk.waha.sessions["default"].status = "SCAN_QR_CODE"
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["claim_no"]) == ("pending", 0)
    assert await state_of(desk) == "scan_qr_code"
    assert desk.waha.paths("sendText") == []
    (waiting,) = await desk.queued()
    assert waiting["attempts"] == 0
    assert timedelta(seconds=3) < waiting["due_in"] <= timedelta(seconds=6)

    # from now on the session is asked before anything is tried
    before = len(desk.waha.calls)
    await desk.db.jump(60)
    await desk.work()
    assert [call.path for call in desk.waha.calls[before:]] == ["/api/sessions/default"]

    desk.waha.sessions["default"].status = "WORKING"
    await desk.db.jump(180)
    await desk.work()

    assert await desk.states(send) == ["sent"]
    assert await state_of(desk) == "working"
    (repair,) = await desk.queued("crm_tasks")
    assert (repair["kind"], repair["key"]) == (
        "channel.repair",
        str(desk.conversation.channel_id),
    )


async def test_a_session_lost_between_claim_and_call_puts_the_bubble_back(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    not_working = {"error": "no", "session": "default", "status": "STARTING", "expected": []}
    desk.waha.fault("/api/sendText", Status(422, not_working))

    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["claim_no"]) == ("pending", 1)
    assert row["error_code"] == "session_not_ready"
    assert await state_of(desk) == "starting"
    assert (await desk.queued())[0]["attempts"] == 0

    await desk.db.jump(60)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["claim_no"], row["error_code"]) == ("sent", 2, None)
    assert len(desk.waha.sent[CUSTOMER]) == 1


async def test_a_wrong_key_holds_until_it_is_right(desk: Desk) -> None:
    key, desk.waha.api_key = desk.waha.api_key, "another"
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()

    assert await desk.states(send) == ["pending"]
    assert await state_of(desk) == "failed"
    desk.waha.api_key = key
    await desk.db.jump(60)
    await desk.work()
    assert await desk.states(send) == ["sent"]


async def test_a_server_that_is_down_holds_and_ages(desk: Desk) -> None:
    async with FakeWaha() as gone:
        port = gone.port
    await desk.db.execute("UPDATE channels SET base_url = $1", f"http://127.0.0.1:{port}")
    desk.settings = desk.settings.model_copy(
        update={
            "security": desk.settings.security.model_copy(
                update={"outbound_allow_hosts": (f"127.0.0.1:{port}",)}
            )
        }
    )
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()
    assert await desk.states(send) == ["pending"]
    await desk.db.jump(1800)
    await desk.work()
    assert await desk.states(send) == ["pending"]
    assert (await desk.send(send))["claim_no"] == 0
    await desk.db.jump(3700)
    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("failed", "too_old")
    assert await desk.queued() == []


async def test_a_private_address_is_not_followed(desk: Desk) -> None:
    await desk.db.execute("UPDATE channels SET base_url = 'http://127.0.0.1:9'")
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()

    assert await desk.states(send) == ["pending"]


async def test_a_channel_that_is_switched_off_holds(desk: Desk) -> None:
    await desk.db.execute("UPDATE channels SET active = false")
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()
    assert await desk.states(send) == ["pending"]
    await desk.db.execute("UPDATE channels SET active = true")
    await desk.db.jump(60)
    await desk.work()

    assert await desk.states(send) == ["sent"]


async def test_a_dead_session_does_not_slow_another(desk: Desk) -> None:
    tenant = desk.conversation.tenant_id
    desk.waha.sessions["dead"].status = "FAILED"
    channel = await rows.a_channel(desk.db, tenant, base_url=desk.waha.url, session="dead")
    dead = await rows.a_conversation(desk.db, tenant, channel, desk.conversation.customer_id)
    held = await rows.a_send(desk.db, dead)
    sent = await rows.a_send(desk.db, desk.conversation)

    await desk.work()

    assert await desk.states(held, sent) == ["pending", "sent"]


async def test_seen_and_typing_are_manners_not_conditions(desk: Desk) -> None:
    for path in ("/api/sendSeen", "/api/startTyping", "/api/stopTyping"):
        desk.waha.fault(path, Status(500))
    desk.waha.fault("/new-message-id", Status(500))
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()

    assert await desk.states(send) == ["sent"]
    assert (await desk.send(send))["reserved_id"] is None


async def test_a_sealed_key_that_does_not_open_fails_the_bubble(desk: Desk) -> None:
    await desk.db.execute("UPDATE channels SET api_key_ciphertext = webhook_secret_ciphertext")
    send = await rows.a_send(desk.db, desk.conversation)

    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["error_code"]) == ("failed", "undecipherable")
    assert await desk.db.fetchval("SELECT count(*) FROM dead_letters") == 1


async def test_a_server_that_asks_for_patience_gets_it(desk: Desk) -> None:
    send = await rows.a_send(desk.db, desk.conversation)
    desk.waha.fault("/api/sendText", Status(429))

    await desk.work()

    row = await desk.send(send)
    assert (row["state"], row["claim_no"], row["error_code"]) == ("pending", 1, "not_sent")
    assert len(desk.waha.sent[CUSTOMER]) == 0
