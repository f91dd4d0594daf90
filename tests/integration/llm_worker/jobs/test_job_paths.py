"""Every way of a job from its submission to its end, with what it leaves behind on it."""

import asyncio
import json
import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from llm_worker.infrastructure.llm.circuit_breaker import CircuitState
from shared.kernel.ids import new_id
from shared.messaging.port import Postpone
from tests.support import rows
from tests.support.fake_llm import CallTools, Drip, Fault, Hang, LlmRequest, Raw, Reset, Say
from tests.support.job_path import PROMPT, JobPath
from tests.support.stack import until

ANSWER = "Kopi dari biji yang pernah dimakan luwak."
PRICES = {"price_in_per_million": Decimal(2), "price_out_per_million": Decimal(10)}
TOKENS = 19 + 10
COST = 19 * 2_000 + 10 * 10_000
"""Of one answer at these prices, in billionths of a dollar."""


# -- COMPLETED -------------------------------------------------------------------------------------


async def test_a_job_is_answered_and_what_it_took_is_kept(either: JobPath) -> None:
    path = either
    model = await path.a_model(**PRICES)
    path.llm.script(ANSWER)
    job_id = await path.submit(config_name=model)
    await path.settle()

    job = await path.job(job_id)
    assert (job["status"], job["result"], job["agent_type"]) == ("COMPLETED", ANSWER, "main")
    assert (job["error"], job["error_code"], job["next_retry_at"]) == (None, None, None)
    assert (job["run"], job["retry_count"], job["template_version"]) == (1, 0, 1)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"]
    [attempt] = await path.attempts(job_id)
    assert (attempt["agent"], attempt["config_name"], attempt["model"]) == ("main", model, model)
    assert (attempt["number"], attempt["run"], attempt["outcome"]) == (1, 1, "ok")
    assert (job["tokens_in"], job["tokens_out"], job["cost_nanos"]) == (19, 10, COST)
    assert await path.usage() == (TOKENS, COST, 1)
    assert await path.events(job_id) == ["created", "completed"]
    assert await path.count("queue_messages") == 0
    [request] = path.llm.requests
    assert PROMPT in request.last_user_text
    await path.assert_clean()


async def test_every_agent_of_the_pipeline_is_an_attempt_of_its_own(either: JobPath) -> None:
    path = either
    history = [{"role": "user", "content": "halo"}, {"role": "assistant", "content": "Halo!"}]

    def answer(request: LlmRequest) -> Any:
        said = json.dumps(request.body)
        if "You judge whether a request" in said:
            return _form(path, {"verdict": "allowed", "categories": [], "reason": ""}, "Verdict")
        if "You decide which agent" in said:
            return _form(path, {"agent": "followup"}, "Route")
        return ANSWER

    path.llm.rule = answer
    job_id = await path.submit(
        pipeline="multi", needs_moderation=True, context={"history": history}
    )
    await path.settle()

    job = await path.job(job_id)
    assert (job["status"], job["agent_type"], job["result"]) == ("COMPLETED", "followup", ANSWER)
    assert json.loads(job["moderation"])["verdict"] == "allowed"
    agents = [(row["agent"], row["number"]) for row in await path.attempts(job_id)]
    assert agents == [("moderation", 1), ("router", 2), ("followup", 3)]
    assert job["tokens_in"] + job["tokens_out"] == 3 * TOKENS
    assert await path.usage() == (3 * TOKENS, 0, 3)
    await path.assert_clean()


def _form(path: JobPath, values: dict[str, Any], name: str) -> Any:
    """A form as that provider's models fill it in."""
    return json.dumps(values) if path.shape == "openai" else CallTools((name, values))


async def test_the_template_that_answered_is_the_one_that_is_kept(path: JobPath) -> None:
    for version, body in ((1, "Old."), (2, "New.")):
        await rows.insert(
            path.db,
            "prompt_templates",
            {
                "id": new_id(),
                "tenant_id": path.tenant,
                "name": "fallback-agent",
                "version": version,
                "body": body,
                "active": version == 2,
            },
        )
    path.llm.script("", "", "Coba tanyakan dengan cara lain, ya.")
    job_id = await path.submit(pipeline="multi", needs_moderation=False)
    await path.settle()
    job = await path.job(job_id)
    assert (job["agent_type"], job["template_version"]) == ("fallback", 2)
    assert path.llm.requests[-1].body["messages"][0]["content"] == "New."
    await path.assert_clean()


async def test_a_fallback_configuration_answers_when_the_first_is_away(path: JobPath) -> None:
    second = await path.a_model()
    first = await path.a_model(fallbacks=(second,))
    path.llm.rule = lambda request: Fault(500) if request.body["model"] == first else Say(ANSWER)
    job_id = await path.submit(config_name=first)
    await path.settle()
    assert await path.status(job_id) == "COMPLETED"
    attempts = [(row["config_name"], row["outcome"]) for row in await path.attempts(job_id)]
    assert attempts[-1] == (second, "ok")
    assert set(attempts[:-1]) == {(first, "model_unavailable")}
    await path.assert_clean()


# -- FAILED ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Say(""), "model_answer_invalid"),
        (Say("Internal Server Error"), "model_answer_invalid"),
        (Say("Kopi luwak itu", finish="length"), "model_answer_truncated"),
        (Say("Maaf, saya tidak bisa membantu."), "model_refused"),
        (Say("", finish="content_filter"), "model_refused"),
        (Fault(401), "model_key_invalid"),
        (Fault(404), "model_not_found"),
        (Fault(400, message="maximum context length is 8192 tokens"), "model_context_too_long"),
    ],
)
async def test_what_does_not_get_better_by_waiting_fails_at_once(
    either: JobPath, step: Any, code: str
) -> None:
    path = either
    path.llm.rule = lambda request: step
    job_id = await path.submit()
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["error_code"], job["result"]) == ("FAILED", code, None)
    assert job["error"]
    assert job["retry_count"] == 0
    assert len(await path.attempts(job_id)) == len(path.llm.requests) <= 2
    assert await path.events(job_id) == ["created", "failed"]
    await path.assert_clean()


async def test_a_refusal_that_came_with_a_bill_is_paid_for(path: JobPath) -> None:
    path.llm.script(Say("", finish="content_filter"))
    job_id = await path.submit()
    await path.settle()
    [attempt] = await path.attempts(job_id)
    assert (attempt["outcome"], attempt["tokens_in"]) == ("model_refused", 19)
    assert await path.usage() == (TOKENS, 0, 1)
    await path.assert_clean()


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        ({"config_name": "nowhere"}, "llm_config_not_found"),
        ({"template_name": "nowhere"}, "prompt_template_not_found"),
    ],
)
async def test_what_the_job_names_and_is_not_there_fails_it(
    path: JobPath, columns: dict[str, Any], code: str
) -> None:
    job_id = await path.submit(**columns)
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", code)
    assert path.llm.requests == []
    await path.assert_clean()


# -- RETRYING --------------------------------------------------------------------------------------


async def test_an_outage_is_retried_on_the_ladder_until_the_retries_are_spent(
    either: JobPath,
) -> None:
    path = either
    path.worker = path.a_worker(llm_max_retries=0, circuit_breaker_failure_threshold=99)
    path.llm.rule = lambda request: Fault(500)
    with capture_logs() as logs:
        job_id = await path.submit(max_retries=3)
        await path.settle()
        for retry, least in ((1, 1), (2, 5), (3, 30)):
            job = await path.job(job_id)
            assert (job["status"], job["retry_count"]) == ("RETRYING", retry)
            assert job["error"] == "The model's provider answered 500"
            due = await path.due_in(job_id)
            assert least - 1 <= due <= least * 1.5
            await path.later(due + 0.1)

    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "model_unavailable")
    assert job["error"] == "The model's provider answered 500 (after 3 retries)"
    assert (job["run"], job["next_retry_at"]) == (4, None)
    assert await path.outcomes(job_id) == ["model_unavailable"] * 4
    assert await path.events(job_id) == ["created", *["retrying"] * 3, "failed"]
    planned = [line for line in logs if line["event"] == "scheduling_retry"]
    assert [line["retry_count"] for line in planned] == [1, 2, 3]
    assert {line["job_id"] for line in planned} == {str(job_id)}
    await path.assert_clean()


async def test_after_an_outage_the_job_is_answered(either: JobPath) -> None:
    path = either
    path.worker = path.a_worker(llm_max_retries=0)
    path.llm.script(Fault(503), Reset(), Raw("garbage"), ANSWER)
    job_id = await path.submit()
    await path.rest()
    job = await path.job(job_id)
    assert (job["status"], job["result"], job["error"]) == ("COMPLETED", ANSWER, None)
    assert job["retry_count"] == 3
    assert await path.outcomes(job_id) == [*["model_unavailable"] * 3, "ok"]
    assert job["tokens_in"] + job["tokens_out"] == TOKENS
    await path.assert_clean()


async def test_a_provider_that_says_when_is_waited_for_and_no_retry_counts(
    either: JobPath,
) -> None:
    path = either
    path.llm.script(Fault(429, {"retry-after": "600"}), ANSWER)
    job_id = await path.submit(deadline=3600)
    path.worker = path.a_worker(llm_max_retries=0)
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["retry_count"]) == ("RETRYING", 0)
    due = await path.due_in(job_id)
    assert 595 <= due <= 900
    await path.later(590)
    assert len(path.llm.requests) == 1
    await path.later(due)
    assert await path.status(job_id) == "COMPLETED"
    await path.assert_clean()


async def test_an_open_circuit_is_waited_for_and_no_retry_counts(path: JobPath) -> None:
    path.llm.rule = lambda request: Fault(500)
    path.worker = path.a_worker(llm_max_retries=0, circuit_breaker_failure_threshold=1)
    await path.submit(max_retries=0)
    await path.settle()
    assert list(path.worker.circuits.states().values()) == [CircuitState.OPEN]

    job_id = await path.submit(max_retries=0)
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["retry_count"], job["run"]) == ("RETRYING", 0, 1)
    assert await path.attempts(job_id) == []
    assert len(path.llm.requests) == 1
    path.llm.rule = lambda request: Say(ANSWER)
    await path.rest()
    assert await path.status(job_id) == "COMPLETED"
    await path.assert_clean()


# -- the deadline ----------------------------------------------------------------------------------


async def test_a_deadline_that_passed_before_anybody_had_time_fails_the_job(path: JobPath) -> None:
    job_id = await path.submit(deadline=5)
    await path.later(6)
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "job_deadline_exceeded")
    assert (job["run"], path.llm.requests) == (0, [])
    assert await path.events(job_id) == ["created", "failed"]
    await path.assert_clean()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("step", [Hang(), Drip("a" * 200, 0.05)], ids=["silent", "a byte a time"])
async def test_a_deadline_that_passes_during_the_call_ends_it(
    either: JobPath, step: Any, stream: bool
) -> None:
    path = either
    path.worker = path.a_worker(monotonic=time.monotonic)
    path.llm.rule = lambda request: step
    job_id = await path.submit(deadline=1, stream=stream)
    async with asyncio.timeout(4):
        await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "job_deadline_exceeded")
    assert await path.outcomes(job_id) == ["model_deadline_passed"]
    await path.assert_clean()


async def test_a_job_that_could_not_wait_long_enough_fails_with_the_cause(path: JobPath) -> None:
    path.llm.rule = lambda request: Fault(429, {"retry-after": "120"})
    job_id = await path.submit(deadline=60)
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "model_unavailable")
    assert "the deadline leaves no time" in job["error"]
    await path.assert_clean()


async def test_a_deadline_that_passes_while_it_waits_ends_it_at_its_next_look(
    path: JobPath,
) -> None:
    path.llm.rule = lambda request: Fault(429, {"retry-after": "30"})
    job_id = await path.submit(deadline=60)
    path.worker = path.a_worker(llm_max_retries=0)
    await path.settle()
    assert await path.status(job_id) == "RETRYING"
    await path.later(61)
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "job_deadline_exceeded")
    assert job["next_retry_at"] is None
    assert len(path.llm.requests) == 1
    await path.assert_clean()


# -- cancelled -------------------------------------------------------------------------------------


async def test_a_job_cancelled_while_it_waited_is_not_begun(path: JobPath) -> None:
    job_id = await path.submit()
    await path.cancel(job_id)
    await path.settle()
    assert await path.status(job_id) == "CANCELLED"
    assert path.llm.requests == []
    assert await path.count("queue_messages") == 0
    await path.assert_clean()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_job_cancelled_while_it_is_answered_is_stopped_and_its_use_kept(
    either: JobPath, stream: bool
) -> None:
    path = either
    path.llm.script("", Hang())  # what was answered first is paid for, whatever comes
    job_id = await path.submit(stream=stream)
    async with path.worker.running.watched():
        working = asyncio.create_task(path.settle())
        await until(lambda: len(path.llm.requests) == 2)
        await path.cancel(job_id)
        async with asyncio.timeout(2):
            await working
    job = await path.job(job_id)
    assert (job["status"], job["result"], job["run"]) == ("CANCELLED", None, 1)
    assert await path.outcomes(job_id) == ["ok", "cancelled"]
    assert job["tokens_in"] + job["tokens_out"] == TOKENS
    assert await path.usage() == (TOKENS, 0, 2)
    assert await path.events(job_id) == ["created", "cancelled"]
    await path.assert_clean()


async def test_an_answer_that_comes_after_the_cancellation_is_void(path: JobPath) -> None:
    job_id = await path.submit()
    path.llm.script(Say(ANSWER, delay=0.2))
    claim = await path.claim()
    working = asyncio.create_task(path.handle(claim))
    await until(lambda: path.llm.requests)
    await path.cancel(job_id)
    await working
    job = await path.job(job_id)
    assert (job["status"], job["result"]) == ("CANCELLED", None)
    assert await path.usage() == (TOKENS, 0, 1)
    await path.assert_clean()


# -- several workers -------------------------------------------------------------------------------


async def test_a_job_whose_worker_lost_its_lease_is_done_once_by_another(path: JobPath) -> None:
    job_id = await path.submit()
    path.llm.script(Say("too late", delay=0.5), ANSWER)
    slow = asyncio.create_task(path.handle(await path.claim()))
    await until(lambda: path.llm.requests)
    await path.jump(40)
    await path.settle(path.a_worker())
    assert (await path.job(job_id))["result"] == ANSWER
    await slow

    job = await path.job(job_id)
    assert (job["status"], job["result"], job["run"]) == ("COMPLETED", ANSWER, 2)
    attempts = [(row["run"], row["outcome"]) for row in await path.attempts(job_id)]
    assert attempts == [(1, "interrupted"), (2, "ok")]
    assert await path.usage() == (TOKENS, 0, 1)
    assert await path.events(job_id) == ["created", "completed"]
    await path.assert_clean()


async def test_a_worker_that_lost_its_job_stops_calling(path: JobPath) -> None:
    job_id = await path.submit()
    path.llm.script(Hang(), ANSWER)
    async with path.worker.running.watched():
        slow = asyncio.create_task(path.handle(await path.claim()))
        await until(lambda: path.llm.requests)
        await path.jump(40)
        await path.settle(path.a_worker())
        async with asyncio.timeout(2):
            await slow
    assert await path.status(job_id) == "COMPLETED"
    await path.assert_clean()


async def test_two_workers_do_no_job_twice(path: JobPath) -> None:
    jobs = [await path.submit(f"Soal {number}") for number in range(120)]
    path.llm.rule = lambda request: Say(f"Jawaban: {request.last_user_text[-20:]}")
    await asyncio.gather(path.settle(), path.settle(path.a_worker()))
    assert await path.count("jobs", "status = 'COMPLETED' AND run = 1") == len(jobs)
    assert await path.count("job_attempts") == len(path.llm.requests) == len(jobs)
    assert await path.count("domain_events", "name = 'job.completed'") == len(jobs)
    await path.assert_clean()


async def test_a_worker_that_ends_gives_its_job_back_with_what_it_used(path: JobPath) -> None:
    job_id = await path.submit()
    path.llm.script("", Hang(), ANSWER)
    claim = await path.claim()
    working = asyncio.create_task(path.handle(claim))
    await until(lambda: len(path.llm.requests) == 2)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    job = await path.job(job_id)
    assert (job["status"], job["retry_count"]) == ("QUEUED", 0)
    assert await path.outcomes(job_id) == ["ok", "cancelled"]
    await path.work.queue.release(claim)
    await path.settle()
    assert await path.outcomes(job_id) == ["ok", "cancelled", "ok"]
    assert (await path.job(job_id))["run"] == 2
    assert await path.usage() == (2 * TOKENS, 0, 3)
    await path.assert_clean()


# -- limits of the tenant --------------------------------------------------------------------------


async def _spend(path: JobPath, tokens: int = TOKENS) -> None:
    """What a day's earlier jobs have used, by the tenant's clock."""
    await path.db.execute(
        "INSERT INTO llm_usage (tenant_id, day, tokens, cost_nanos, calls)"
        " SELECT id, CAST(platform_now() AT TIME ZONE timezone AS date), $2, $2, 1"
        " FROM tenants WHERE id = $1",
        path.tenant,
        tokens,
    )


@pytest.mark.parametrize("limit", ["tokens_per_day", "cost_nanos_per_day"])
async def test_over_budget_a_job_is_refused(path: JobPath, limit: str) -> None:
    await path.budget(**{limit: 100})
    await _spend(path, 100)
    job_id = await path.submit()
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "llm_budget_spent")
    assert path.llm.requests == []
    assert await path.events(job_id) == ["created", "failed"]
    # the use was planted, so the sums are those of no job
    await path.db.execute("DELETE FROM llm_usage")
    await path.assert_clean()


async def test_within_its_budget_a_job_is_done_and_counts(path: JobPath) -> None:
    await path.budget(tokens_per_day=TOKENS)
    first, second = await path.submit(), await path.submit()
    await path.handle(await path.claim())
    await path.settle()
    assert {await path.status(first), await path.status(second)} == {"COMPLETED", "FAILED"}
    await path.assert_clean()


@pytest.mark.parametrize("zone", ["Asia/Jakarta", "America/Los_Angeles", "Pacific/Kiritimati"])
async def test_a_tenant_may_let_its_jobs_wait_until_its_day_turns(path: JobPath, zone: str) -> None:
    await path.db.execute("UPDATE tenants SET timezone = $1 WHERE id = $2", zone, path.tenant)
    await path.budget(tokens_per_day=100, over_budget="queue")
    await _spend(path, 100)
    job_id = await path.submit(deadline=3 * 86_400)
    await path.settle()
    job = await path.job(job_id)
    assert (job["status"], job["retry_count"], job["run"]) == ("QUEUED", 0, 0)
    due = await path.due_in(job_id)
    midnight = await path.db.fetchval(
        "SELECT extract(epoch FROM (date_trunc('day', platform_now() AT TIME ZONE $1)"
        " + interval '1 day') AT TIME ZONE $1 - platform_now())::float8",
        zone,
    )
    assert isinstance(midnight, float)
    assert abs(due - midnight) < 5
    await path.later(due - 5)
    assert path.llm.requests == []
    await path.later(10)
    assert await path.status(job_id) == "COMPLETED"
    await path.db.execute("DELETE FROM llm_usage WHERE tokens = 100")
    await path.assert_clean()


async def test_a_job_that_waits_for_its_budget_does_not_outlive_its_deadline(
    path: JobPath,
) -> None:
    await path.budget(cost_nanos_per_day=0, over_budget="queue")
    job_id = await path.submit(deadline=60)
    await path.settle()
    assert await path.status(job_id) == "QUEUED"
    await path.later(61)
    job = await path.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", "job_deadline_exceeded")
    await path.assert_clean()


async def test_no_more_jobs_of_a_tenant_run_at_once_than_it_may(path: JobPath) -> None:
    await path.budget(concurrency=2)
    other = await rows.a_tenant(path.db)
    for number in range(6):
        await path.submit(f"Soal {number}")
    theirs = await path.submit(tenant=other, config_name="offline")
    path.llm.rule = lambda request: Say(ANSWER, delay=0.05)
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, await path.count("jobs", "status = 'PROCESSING'"))
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    await path.settle()
    assert await path.status(theirs) == "COMPLETED"
    for _ in range(5):
        await path.later(1.1)
    looking.cancel()
    assert most <= 3
    assert await path.count("jobs", "status = 'COMPLETED'") == 7
    await path.assert_clean()


async def test_a_job_over_the_limit_waits_a_second_and_no_retry_counts(path: JobPath) -> None:
    await path.budget(concurrency=1)
    path.llm.script(Say(ANSWER, delay=0.3), ANSWER)
    first = await path.submit(priority=1)
    second = await path.submit()
    running = asyncio.create_task(path.handle(await path.claim()))
    await until(lambda: path.llm.requests)
    with pytest.raises(Postpone) as postponed:
        await path.handle(await path.claim())
    assert postponed.value.delay == timedelta(seconds=1)
    await running
    assert await path.status(first) == "COMPLETED"
    job = await path.job(second)
    assert (job["status"], job["run"], job["retry_count"]) == ("QUEUED", 0, 0)
