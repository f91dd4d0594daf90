"""What the tests' auditor finds beyond the database: in ledgers that do not fit it, in words where
they must not be, in logs."""

import asyncio
import json
from typing import Any

import pytest

from tests.integration.ai_platform.audit.conftest import WAHA
from tests.integration.ai_platform.audit.story import BODY, SAID, Story, tell
from tests.support.auditor import Auditor
from tests.support.fake_llm import FakeLlm, LlmRequest
from tests.support.fake_waha import Answered, FakeWaha, Sent, WahaCall
from tests.support.postgres import TestDatabase
from tests.support.waha_webhooks import CUSTOMER, SHOP, Webhooks

PORT = int(WAHA.rpartition(":")[2])


class Run:
    """A story with the ledgers that fit it, to be doctored."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.waha = FakeWaha()
        self.waha.port = PORT
        self.llm = FakeLlm()
        self.log: list[str] = []
        self.auditor = Auditor(
            story.db, wahas=[self.waha], llms=[self.llm], logs=lambda: "\n".join(self.log)
        )
        self.auditor.accepted(story.tenant, BODY)
        for place, (text, native_id) in enumerate(zip(SAID, story.native_ids, strict=True), 1):
            self.called(text, 10 * place + 1, native_id=native_id)

    def called(
        self,
        text: str,
        at: float,
        *,
        native_id: str | None = None,
        status: int | None = 201,
        path: str = "/api/sendText",
        chat: str = CUSTOMER,
        **fields: str,
    ) -> int:
        """One more call in the ledger, so many seconds into the story."""
        index = len(self.waha.calls)
        body: dict[str, Any] = {"session": "default", "chatId": chat, "text": text, **fields}
        self.waha.calls.append(
            WahaCall(
                index=index, method="POST", path=path, query={}, json=body, at=at,
                wall=self.story.at(at).timestamp(),
            )
        )  # fmt: skip
        if status is not None:
            self.waha.answers[index] = Answered(status=status, at=at + 0.5)
        if native_id is not None:
            sent = Sent(
                index=index, session="default", chat=chat, native_id=native_id, kind="sendText",
                text=text, json=body,
            )  # fmt: skip
            self.waha.sent[chat].append(sent)
        return index

    def asked(self, *words: str) -> int:
        """One more prompt."""
        messages = [{"role": "user", "content": word} for word in words]
        request = LlmRequest(
            api="openai", path="/v1/chat/completions", headers={}, body={"messages": messages},
            connection=1,
        )  # fmt: skip
        self.llm.requests.append(request)
        return len(self.llm.requests) - 1

    def logged(self, event: str, **fields: object) -> None:
        line = {"event": event, "service": "messenger", "timestamp": "2026-07-24T10:00:00Z"}
        self.log.append(json.dumps(line | {k: str(v) for k, v in fields.items()}))

    async def found(self, *, settled: bool = True) -> list[tuple[str, set[str]]]:
        violations = await self.auditor.violations(settled=settled)
        return [(each.rule, set(each.ids)) for each in violations]


@pytest.fixture
def run(story: Story) -> Run:
    return Run(story)


def bubble(run: Run, place: int) -> str:
    return f"send:{run.story.bubbles[place - 1]}"


async def test_a_run_that_keeps_every_promise_is_clean(run: Run) -> None:
    run.asked(*SAID)
    run.logged("send_ended", tenant_id=run.story.tenant, send_id=run.story.bubbles[0])
    await run.auditor.assert_clean()
    await run.auditor.assert_clean()


# -- webhooks ------------------------------------------------------------------------------------


async def test_an_accepted_webhook_that_is_not_in_the_inbox_is_lost(run: Run) -> None:
    run.auditor.accepted(run.story.tenant, b"another")
    other = await tell(run.story.db)
    run.auditor.accepted(other.tenant, b"{}")  # only that tenant's inbox counts
    found = await run.auditor.violations()
    assert {(each.rule, each.tenant_id) for each in found} == {
        ("webhook-lost", run.story.tenant),
        ("webhook-lost", other.tenant),
    }


async def test_an_accepted_echo_that_is_not_in_the_inbox_is_lost(run: Run) -> None:
    echo = Webhooks().own("Halo", source="api")
    run.waha.echoes += [(echo, 503), (echo, 200)]
    (violation,) = await run.auditor.violations()
    assert (violation.rule, violation.tenant_id) == ("webhook-lost", run.story.tenant)


# -- calls at WAHA -------------------------------------------------------------------------------


async def test_a_call_that_no_bubble_stands_for_is_found(run: Run) -> None:
    index = run.called("Dari mana ini?", 40)
    assert await run.found() == [("waha-call-unknown", {f"waha-call:{index}"})]


@pytest.mark.parametrize("status", [201, 500, None], ids=["answered", "error", "hang"])
async def test_a_second_call_after_one_that_may_have_left_is_found(
    run: Run, status: int | None
) -> None:
    run.waha.calls.clear()
    run.waha.sent.clear()
    run.waha.answers.clear()
    run.called(SAID[0], 11, status=status)
    index = run.called(SAID[0], 11.6)
    run.called(SAID[1], 21)
    assert await run.found() == [("send-called-twice", {bubble(run, 1), f"waha-call:{index}"})]


@pytest.mark.parametrize("status", [422, 429, 401, 501])
async def test_a_call_after_one_that_certainly_did_not_leave_is_fine(run: Run, status: int) -> None:
    refused = run.called(SAID[0], 10.2, status=status)
    run.waha.calls.insert(0, run.waha.calls.pop(refused))
    assert await run.found() == []


async def test_a_notice_may_be_called_twice_and_no_more(run: Run) -> None:
    notice = await run.story.one_more_bubble(
        resent=True, state="sent", claim_no=2, claimed_at=run.story.at(51),
        ended_at=run.story.at(55), queued=False,
    )  # fmt: skip
    run.called("Pesanan dikirim.", 45, status=None)
    run.called("Pesanan dikirim.", 52)
    assert await run.found() == []
    index = run.called("Pesanan dikirim.", 53)
    assert await run.found() == [
        ("send-called-twice", {f"send:{notice}", f"waha-call:{index}"}),
    ]


async def test_two_bubbles_with_the_same_words_may_be_called_once_each(run: Run) -> None:
    for place in (3, 4):
        await run.story.one_more_bubble(
            state="sent", claim_no=1, claimed_at=run.story.at(10 * place),
            ended_at=run.story.at(10 * place + 2), queued=False,
        )  # fmt: skip
        run.called("Pesanan dikirim.", 10 * place + 1)
    assert await run.found() == []


async def test_calls_in_another_order_than_the_commits_are_found(run: Run) -> None:
    run.waha.calls.reverse()
    found = await run.found()
    assert found == [("send-called-out-of-order", {bubble(run, 1), bubble(run, 2), "waha-call:0"})]


async def test_a_call_before_the_one_before_it_had_ended_is_found(run: Run) -> None:
    """The database alone knows it too, by the moment of the claim."""
    await run.story.db.execute(
        "UPDATE sends SET ended_at = $2 WHERE id = $1", run.story.bubbles[0], run.story.at(21.5)
    )
    both = {bubble(run, 1), bubble(run, 2)}
    assert await run.found() == [
        ("send-overtaken", both),
        ("send-called-early", both | {"waha-call:1"}),
    ]


async def test_two_calls_at_once_in_one_chat_are_found(run: Run) -> None:
    run.waha.answers[0] = Answered(status=201, at=21.2)
    found = await run.found()
    assert found == [("send-called-early", {bubble(run, 1), bubble(run, 2), "waha-call:1"})]


async def test_a_call_without_a_claim_is_found(run: Run) -> None:
    waiting = await run.story.one_more_bubble()
    index = run.called("Pesanan dikirim.", 52)
    found = await run.found(settled=False)
    assert found == [("send-called-unclaimed", {f"send:{waiting}", f"waha-call:{index}"})]


async def test_a_call_before_its_claim_is_found(run: Run) -> None:
    await run.story.db.execute(
        "UPDATE sends SET claimed_at = $2 WHERE id = $1", run.story.bubbles[1], run.story.at(21.5)
    )
    assert await run.found() == [("send-called-unclaimed", {bubble(run, 2), "waha-call:1"})]


async def test_a_bubble_that_counts_as_sent_and_was_never_called_is_found(run: Run) -> None:
    run.waha.calls.pop()
    assert await run.found() == [("send-sent-by-nobody", {bubble(run, 2)})]


@pytest.mark.parametrize(
    "chat", ["120363041234567890@g.us", "status@broadcast", "1203630@newsletter", SHOP, "x"]
)
@pytest.mark.parametrize("path", ["/api/startTyping", "/api/sendSeen"])
async def test_a_call_to_a_chat_that_is_no_person_is_found(run: Run, chat: str, path: str) -> None:
    index = run.called("", 40, path=path, chat=chat)
    assert await run.found() == [("waha-to-no-person", {f"waha-call:{index}"})]


# -- another tenant's words ----------------------------------------------------------------------


async def _canaries(run: Run) -> Story:
    """Each of two tenants has one; returns the second."""
    other = await tell(run.story.db)
    run.auditor.canary(run.story.tenant, "kenari-sini")
    run.auditor.canary(other.tenant, "kenari-sana")
    return other


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("messages", "body = 'ada kenari-sana'"),
        ("messages", 'content = \'{"a": ["kenari-sana"]}\''),
        ("inbox_events", "body = 'x kenari-sana'::bytea"),
        ("customers", "name = 'kenari-sana'"),
        ("tenants", 'profile = \'{"about": "kenari-sana"}\''),
    ],
    ids=["text", "json", "bytes", "customer", "tenant"],
)
async def test_a_canary_in_another_tenants_row_is_found(run: Run, table: str, change: str) -> None:
    await _canaries(run)
    mine = "id" if table == "tenants" else "tenant_id"
    row = await run.story.db.fetchval(f"SELECT id FROM {table} WHERE {mine} = $1", run.story.tenant)
    await run.story.db.execute(f"UPDATE {table} SET {change} WHERE id = $1", row)
    (violation,) = await run.auditor.violations()
    assert (violation.rule, violation.tenant_id) == ("canary-in-row", run.story.tenant)
    assert violation.ids == (f"{table}:{row}",)


async def test_a_canary_in_an_array_or_a_row_of_nobody_is_found(run: Run) -> None:
    await _canaries(run)
    await run.story.db.execute(
        "INSERT INTO search_synonyms (tenant_id, word, means) VALUES ($1, 'kopi', $2)",
        run.story.tenant,
        ["kenari-sana"],
    )
    await run.story.db.execute(
        "UPDATE llm_configs SET model = 'kenari-sini' WHERE name = 'offline'"
    )
    found = await run.auditor.violations()
    assert {(each.rule, each.tenant_id, each.ids[0].partition(":")[0]) for each in found} == {
        ("canary-in-row", None, "llm_configs"),
        ("canary-in-row", run.story.tenant, "search_synonyms"),
    }


async def test_a_canary_that_is_named_later_is_looked_for_everywhere(run: Run) -> None:
    other = await tell(run.story.db)
    await run.story.db.execute("UPDATE customers SET name = 'kenari-sana'")
    assert await run.found() == []
    run.auditor.canary(other.tenant, "kenari-sana")
    assert [rule for rule, _ in await run.found()] == ["canary-in-row"]


async def test_a_prompt_that_holds_two_tenants_words_is_found(run: Run) -> None:
    await _canaries(run)
    run.asked("kenari-sini", "halo")
    run.asked("kenari-sana", "halo")
    assert await run.found() == []
    index = run.asked("kenari-sini", "kenari-sana")
    assert await run.found() == [("canary-in-prompt", {f"llm-request:{index}"})]


async def test_a_reply_that_says_another_tenants_words_is_found(run: Run) -> None:
    await _canaries(run)
    run.called("kenari-sini", 40, status=422)
    index = run.called("kenari-sana", 41, status=422)
    assert await run.found() == [("canary-in-reply", {f"waha-call:{index}"})]


async def test_a_log_line_about_a_tenant_with_another_tenants_words_is_found(run: Run) -> None:
    other = await _canaries(run)
    run.logged("conversation_opened", tenant_id=other.tenant, shop="kenari-sana")
    assert await run.found() == []
    run.logged("conversation_closed", tenant_id=run.story.tenant, shop="kenari-sana")
    assert await run.found() == [("canary-in-log", {"log:messenger/conversation_closed"})]


# -- what must not be written down ---------------------------------------------------------------


async def test_a_secret_in_a_log_or_a_prompt_is_found(run: Run) -> None:
    run.auditor.secret("s3cr3t-value")
    run.logged("started", dsn="postgres://x:s3cr3t-value@db")
    index = run.asked("my key is s3cr3t-value")
    assert await run.found() == [
        ("secret-in-prompt", {f"llm-request:{index}"}),
        ("secret-in-log", {"log:messenger/started"}),
    ]


async def test_the_key_of_a_watched_waha_is_a_secret(run: Run) -> None:
    run.logged("called", header=run.waha.api_key)
    assert await run.found() == [("secret-in-log", {"log:messenger/called"})]


@pytest.mark.parametrize("words", ["kopi susu berapa kak?", SAID[0]], ids=["heard", "said"])
async def test_a_message_in_a_log_is_found_once(run: Run, words: str) -> None:
    run.logged("turn_failed", error=f"cannot answer '{words}'")
    assert await run.found() == [("text-in-log", {"log:messenger/turn_failed"})]
    assert await run.found() == []


async def test_words_are_found_as_json_writes_them(run: Run) -> None:
    await run.story.one_more_message(body='kata "lucu" ☕\nbaris dua')
    run.log.append('{"event": "x", "service": "y", "told": "kata \\"lucu\\" \\u2615"}')
    assert await run.found() == [("text-in-log", {"log:y/x"})]


async def test_a_phone_number_in_a_log_is_found_and_digits_in_an_id_are_none(run: Run) -> None:
    digits = CUSTOMER.partition("@")[0]
    run.logged("a", id=f"00000000-0000-4000-8000-{digits[:12]}", count=f"1{digits}2")
    assert await run.found() == []
    run.logged("b", to=f"+{digits}")
    assert await run.found() == [("phone-in-log", {"log:messenger/b"})]


async def test_a_word_that_names_an_event_is_no_message(run: Run) -> None:
    await run.story.one_more_message(body="message_received")
    await run.story.one_more_message(body="ya")
    run.logged("message_received", note="ya")
    assert await run.found() == []


# -- how it works --------------------------------------------------------------------------------


async def test_a_tenant_is_looked_at_again_only_when_something_has_changed(run: Run) -> None:
    story = run.story
    await story.db.execute("UPDATE sends SET resent = true WHERE id = $1", story.bubbles[0])
    broken = [("send-repeated", {bubble(run, 1)})]
    assert await run.found() == broken
    assert await run.found() == []
    await story.one_more_message()
    assert await run.found() == broken


async def test_new_calls_at_waha_touch_their_tenant_too(run: Run) -> None:
    assert await run.found() == []
    index = run.called("Dari mana ini?", 40)
    assert await run.found() == [("waha-call-unknown", {f"waha-call:{index}"})]


async def test_open_work_is_looked_at_until_it_has_ended(run: Run) -> None:
    row = await run.story.work("channel.repair", "x")
    assert await run.found(settled=False) == []
    await run.story.db.jump(60)
    late = [("queue-row-open", {f"queue:{row}"})]
    assert await run.found(settled=False) == late
    await run.auditor.fault_ended()
    assert await run.found(settled=False) == []
    assert await run.found(settled=True) == late


async def test_what_is_broken_is_told_with_its_ids(run: Run) -> None:
    index = run.called("Dari mana ini?", 40)
    with pytest.raises(AssertionError) as told:
        await run.auditor.assert_clean()
    assert f"waha-call-unknown: no bubble says this to this chat [waha-call:{index}]" in str(
        told.value
    )


async def test_what_is_under_way_gets_its_time_to_end(test_database: TestDatabase) -> None:
    story = await tell(test_database)
    auditor = Auditor(test_database)
    row = await story.work("channel.repair", "x")
    assert [each.ids for each in await auditor.violations()] == [(f"queue:{row}",)]
    audit = asyncio.create_task(auditor.assert_clean())
    await asyncio.sleep(0)  # it has begun
    await test_database.execute("DELETE FROM queue_messages")
    await audit
