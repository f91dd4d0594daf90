"""Models and their providers on a bad day, on the path of a job: what becomes of the job, what is
kept of its calls, what an outage costs. Rows are numbered as on docs/faults.md."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import pytest
import pytest_asyncio

from llm_worker.infrastructure.llm.circuit_breaker import CircuitState
from shared.kernel.ids import new_id
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
from tests.support.job_path import PROMPT, JobPath, open_job_path
from tests.support.postgres import PostgresForTests
from tests.support.stack import free_port

ANSWER = "Kopi dari biji yang pernah dimakan luwak."
FIRST_AND_RETRIES = 4
"""Calls of one run: the first and LLM_MAX_RETRIES."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened_job_path(postgres: PostgresForTests) -> AsyncIterator[JobPath]:
    database = await postgres.database()
    async with FakeLlm() as llm, open_job_path(database, llm) as opened:
        yield opened
    await postgres.drop(database)


@pytest_asyncio.fixture(loop_scope="session", params=["openai", "anthropic"])
async def jobs(opened_job_path: JobPath, request: pytest.FixtureRequest) -> JobPath:
    """With nothing of an earlier test, and a provider of each shape."""
    await opened_job_path.begin_anew(shape=request.param)
    return opened_job_path


async def _waits(jobs: JobPath, job_id: UUID, code: str, *, counted: int) -> None:
    """The job waits for a model, and nobody was told anything in its place."""
    job = await jobs.job(job_id)
    assert (job["status"], job["retry_count"], job["result"]) == ("RETRYING", counted, None)
    assert set(await jobs.outcomes(job_id)) <= {code}
    assert await jobs.count("dead_letters") == 0


async def _recovers(jobs: JobPath, *job_ids: UUID) -> None:
    """From now on the model answers, and so are all jobs, once."""
    jobs.llm.rule = lambda request: Say(ANSWER)
    await jobs.rest()
    for job_id in job_ids:
        job = await jobs.job(job_id)
        assert (job["status"], job["result"], job["agent_type"]) == ("COMPLETED", ANSWER, "main")
        assert (await jobs.outcomes(job_id)).count("ok") == 1
    await jobs.assert_clean()


# -- 16: nobody there, half there ------------------------------------------------------------------


async def test_16_a_provider_that_cannot_be_reached_makes_the_job_wait(jobs: JobPath) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    model = await jobs.a_model(base_url=f"{url}/v1" if jobs.shape == "openai" else url)
    job_id = await jobs.submit(config_name=model)
    await jobs.settle()
    await _waits(jobs, job_id, "model_unavailable", counted=1)
    assert len(await jobs.attempts(job_id)) == FIRST_AND_RETRIES
    base_url = jobs.llm.openai_url if jobs.shape == "openai" else jobs.llm.anthropic_url
    await jobs.db.execute("UPDATE llm_configs SET base_url = $1 WHERE name = $2", base_url, model)
    await _recovers(jobs, job_id)


CUT_SHORT: dict[str, tuple[Step, str]] = {
    "before the first byte": (Hang(), "model_timeout"),
    "a byte at a time": (Drip("this will never be complete", 0.05), "model_timeout"),
    "in the middle of the answer": (Reset(), "model_unavailable"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("when", CUT_SHORT)
async def test_16_half_an_answer_is_never_a_result(jobs: JobPath, when: str, stream: bool) -> None:
    step, code = CUT_SHORT[when]
    model = await jobs.a_model(timeout=timedelta(seconds=0.25))
    jobs.llm.rule = lambda request: step
    job_id = await jobs.submit(config_name=model, stream=stream)
    await jobs.settle()
    await _waits(jobs, job_id, code, counted=1)
    assert len(await jobs.attempts(job_id)) == FIRST_AND_RETRIES
    assert await jobs.usage() == (0, 0, FIRST_AND_RETRIES)
    await _recovers(jobs, job_id)


# -- 17: the provider is down ----------------------------------------------------------------------


def _always_429(request: LlmRequest) -> Step:
    return Fault(429)


def _always_500(request: LlmRequest) -> Step:
    return Fault(500)


@pytest.mark.parametrize(
    "down", [_always_429, _always_500], ids=["429 to everybody", "500 to everybody"]
)
async def test_17_ten_minutes_of_outage_lose_no_job_and_cost_hardly_a_call_each(
    opened_job_path: JobPath, down: Callable[[LlmRequest], Step]
) -> None:
    """Five jobs come every ten seconds, and nobody is there for ten minutes."""
    jobs = opened_job_path
    await jobs.begin_anew()
    jobs.llm.rule = down
    submitted: list[UUID] = []
    opened_after = None
    for second in range(0, 600, 10):
        for _ in range(5):
            submitted.append(await jobs.submit(f"Soal {len(submitted)}"))
        await jobs.later(10)
        if opened_after is None and _circuit(jobs) is not CircuitState.CLOSED:
            opened_after = second
    assert opened_after is not None
    assert opened_after <= 10
    calls = len(jobs.llm.requests)
    assert calls / len(submitted) <= 1.2
    assert calls <= 5 + 3 + 11  # until it opened, the retries of a minute, a probe each minute
    assert await jobs.count("jobs", "status = 'RETRYING'") == len(submitted)
    assert await jobs.count("jobs", "result IS NOT NULL") == 0
    assert await jobs.count("dead_letters") == 0
    assert await jobs.count("job_attempts") == calls

    jobs.llm.rule = lambda request: Say(ANSWER)
    trips, before = 0, _circuit(jobs)
    for _ in range(240):
        await jobs.later(5)
        now = _circuit(jobs)
        trips += now is CircuitState.OPEN and before is not CircuitState.OPEN
        before = now
        if not await jobs.count("jobs", "status <> 'COMPLETED'"):
            break
    assert trips == 0
    assert _circuit(jobs) is CircuitState.CLOSED
    assert await jobs.count("jobs", "status = 'COMPLETED'") == len(submitted) == 300
    assert len(jobs.llm.requests) == calls + len(submitted)
    assert await jobs.count("job_attempts", "outcome = 'ok'") == len(submitted)
    await jobs.assert_clean()


def _circuit(jobs: JobPath) -> CircuitState:
    states = [
        state for name, state in jobs.worker.circuits.states().items() if f":{jobs.model}:" in name
    ]
    return states[0] if states else CircuitState.CLOSED


# -- 18: too many requests -------------------------------------------------------------------------


def _date() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)


@pytest.mark.parametrize(
    ("told", "least"),
    [("120", 120), ("date", 110), ("1000000000", 600), ("1e999", 600), ("0", 5), ("-5", 5)],
)
async def test_18_retry_after_is_kept_up_to_ten_minutes_and_no_retry_counts(
    jobs: JobPath, told: str, least: float
) -> None:
    jobs.worker = jobs.a_worker(llm_max_retries=0)
    jobs.llm.script(Fault(429, {"retry-after": _date() if told == "date" else told}))
    job_id = await jobs.submit()
    await jobs.settle()
    await _waits(jobs, job_id, "model_unavailable", counted=0)
    due = await jobs.due_in(job_id)
    assert least - 1 <= due <= max(least, 120) * 1.5
    await jobs.later(least - 2)
    assert len(jobs.llm.requests) == 1
    await _recovers(jobs, job_id)


async def test_18_those_who_were_told_the_same_come_back_apart(jobs: JobPath) -> None:
    jobs.worker = jobs.a_worker(llm_max_retries=0, circuit_breaker_failure_threshold=99)
    jobs.llm.rule = lambda request: Fault(429, {"retry-after": "60"})
    waiting = [await jobs.submit() for _ in range(30)]
    await jobs.settle()
    due = [await jobs.due_in(job_id) for job_id in waiting]
    assert min(due) >= 60
    assert max(due) - min(due) >= 0.3 * 60
    await _recovers(jobs, *waiting)


# -- 19: refused for good --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (Fault(400, message="maximum context length is 8192 tokens"), "model_context_too_long"),
        (Fault(400, message="content management policy", code="content_filter"), "model_refused"),
        (Say("", finish="content_filter"), "model_refused"),
        (Fault(401, message="invalid api key sk-canary-1"), "model_key_invalid"),
        (Fault(402, message="credit balance is too low"), "model_quota_spent"),
        (Fault(404), "model_not_found"),
    ],
    ids=["too long", "refused", "refused as an end", "bad key", "no credit", "no such model"],
)
async def test_19_what_no_retry_mends_is_asked_once_and_fails(
    jobs: JobPath, step: Step, code: str
) -> None:
    jobs.auditor.secret("sk-canary-1")
    jobs.llm.rule = lambda request: step
    job_id = await jobs.submit()
    await jobs.rest()
    job = await jobs.job(job_id)
    assert (job["status"], job["error_code"]) == ("FAILED", code)
    assert "canary" not in job["error"]
    assert len(jobs.llm.requests) == 1
    await jobs.assert_clean()


# -- 20: answers that are none ---------------------------------------------------------------------


NOTHING: dict[str, Step] = {
    "empty": Say(""),
    "white space": Say("   \n\u200b "),
    "only thoughts": Say("<think>hm</think>"),
    "an error text": Say("Internal Server Error"),
    "an error as JSON": Say('{"error": {"message": "overloaded"}}'),
    "a page": Say("<!DOCTYPE html><html>Bad gateway</html>"),
}


@pytest.mark.parametrize("kind", NOTHING)
async def test_20_what_is_no_answer_is_asked_for_once_more_and_never_a_result(
    jobs: JobPath, kind: str
) -> None:
    jobs.llm.rule = lambda request: NOTHING[kind]
    job_id = await jobs.submit()
    await jobs.rest()
    job = await jobs.job(job_id)
    assert (job["status"], job["error_code"], job["result"]) == (
        "FAILED",
        "model_answer_invalid",
        None,
    )
    assert len(jobs.llm.requests) == 2
    assert sum(row["tokens_in"] for row in await jobs.attempts(job_id)) == job["tokens_in"]
    await jobs.assert_clean()


@pytest.mark.parametrize("kind", NOTHING)
async def test_20_the_pipeline_answers_it_by_its_fallback(jobs: JobPath, kind: str) -> None:
    jobs.llm.script(NOTHING[kind], NOTHING[kind], "Coba tanyakan dengan cara lain, ya.")
    job_id = await jobs.submit(pipeline="multi")
    await jobs.rest()
    job = await jobs.job(job_id)
    assert (job["status"], job["agent_type"]) == ("COMPLETED", "fallback")
    assert PROMPT not in job["result"]
    await jobs.assert_clean()


GARBAGE: dict[str, Step] = {
    "no JSON": Raw("garbage"),
    "half of it": Raw("{"),
    "a list": Raw([]),
    "a text": Raw("hm", content_type="text/plain"),
}
OPENAI_GARBAGE: dict[str, Step] = {
    "no choices": Raw({"choices": [], "object": "chat.completion"}),
    "an error in a 200": Raw({"error": {"message": "Provider returned error", "code": 502}}),
}


@pytest.mark.parametrize("kind", [*GARBAGE, *OPENAI_GARBAGE])
async def test_20_garbage_is_a_provider_that_is_away(opened_job_path: JobPath, kind: str) -> None:
    jobs = opened_job_path
    for shape in ("openai", "anthropic") if kind in GARBAGE else ("openai",):
        await jobs.begin_anew(shape=shape)
        jobs.llm.script((GARBAGE | OPENAI_GARBAGE)[kind])
        jobs.worker = jobs.a_worker(llm_max_retries=0)
        job_id = await jobs.submit()
        await jobs.settle()
        await _waits(jobs, job_id, "model_unavailable", counted=1)
        await _recovers(jobs, job_id)


@pytest.mark.parametrize("speaker", ["moderation", "main"])
async def test_20_an_outage_in_the_pipeline_is_no_excuse_of_its_fallback(
    jobs: JobPath, speaker: str
) -> None:
    def answer(request: LlmRequest) -> Step:
        judging = "You judge whether a request" in json.dumps(request.body)
        if judging != (speaker == "moderation"):
            return _allowed(jobs) if judging else Say(ANSWER)
        return Fault(503)

    jobs.worker = jobs.a_worker(llm_max_retries=0)
    jobs.llm.rule = answer
    job_id = await jobs.submit(pipeline="multi", needs_moderation=True)
    await jobs.settle()
    job = await jobs.job(job_id)
    assert (job["status"], job["retry_count"], job["result"]) == ("RETRYING", 1, None)
    agents = [row["agent"] for row in await jobs.attempts(job_id)]
    assert "fallback" not in agents
    assert agents[-1] == speaker
    jobs.llm.rule = lambda request: (
        _allowed(jobs) if "You judge whether a request" in json.dumps(request.body) else Say(ANSWER)
    )
    await jobs.rest()
    job = await jobs.job(job_id)
    assert (job["status"], job["agent_type"], job["result"]) == ("COMPLETED", "main", ANSWER)
    await jobs.assert_clean()


def _allowed(jobs: JobPath) -> Step:
    verdict = {"verdict": "allowed", "categories": [], "reason": ""}
    return Say(json.dumps(verdict)) if jobs.shape == "openai" else CallTools(("Verdict", verdict))


# -- 21: without end -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_21_ten_megabytes_are_not_kept(jobs: JobPath, stream: bool) -> None:
    jobs.worker = jobs.a_worker(llm_max_retries=0)
    jobs.llm.script(Raw("x" * 10_000_000, content_type="text/event-stream"), Say(ANSWER))
    job_id = await jobs.submit(stream=stream)
    await jobs.rest()
    job = await jobs.job(job_id)
    assert (job["status"], job["result"]) == ("COMPLETED", ANSWER)
    await jobs.assert_clean()


async def test_21_an_answer_is_cut_where_no_answer_is_longer(jobs: JobPath) -> None:
    jobs.llm.script(Say("kopi " * 30_000))
    job_id = await jobs.submit()
    await jobs.settle()
    job = await jobs.job(job_id)
    assert job["status"] == "COMPLETED"
    assert len(job["result"]) <= 100_000
    await jobs.assert_clean()


# -- 44: one key is bad ----------------------------------------------------------------------------


async def test_44_a_bad_key_fails_the_jobs_of_that_key_alone(jobs: JobPath) -> None:
    bad = await jobs.a_model()
    jobs.llm.rule = lambda request: Fault(401) if request.body["model"] == bad else Say(ANSWER)
    with_bad = [await jobs.submit(config_name=bad) for _ in range(3)]
    with_good = [await jobs.submit() for _ in range(3)]
    await jobs.rest()
    assert {(await jobs.job(each))["error_code"] for each in with_bad} == {"model_key_invalid"}
    assert {await jobs.status(each) for each in with_good} == {"COMPLETED"}
    await jobs.assert_clean()


# -- hostile bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_answers_of_hostile_bytes_are_kept_as_they_can_be(
    jobs: JobPath, stream: bool
) -> None:
    jobs.llm.script(Say("Ko\x00pi \x1b[31mluwak\ud800 \ud83d\ude00 ✅"))
    job_id = await jobs.submit("x" * 100_000, stream=stream)
    await jobs.settle()
    job = await jobs.job(job_id)
    assert job["status"] == "COMPLETED"
    assert job["result"].startswith("Kopi [31mluwak")
    assert "\x00" not in job["result"]
    await jobs.assert_clean()


@pytest.mark.parametrize(
    "payload", ['{"job_id": 7}', "{}", '{"job_id": {"a": [1]}}', '{"job_id": "nobody"}', "[]"]
)
async def test_work_that_names_no_job_is_a_dead_letter_and_its_job_fails(
    jobs: JobPath, payload: str
) -> None:
    poisoned = await jobs.submit()
    good = await jobs.submit()
    jobs.llm.rule = lambda request: Say(ANSWER)
    await jobs.db.execute(
        "UPDATE queue_messages SET payload = $2::text::jsonb WHERE key = $1", str(poisoned), payload
    )
    await jobs.rest()
    job = await jobs.job(poisoned)
    assert (job["status"], job["error_code"]) == ("FAILED", "unreadable_job_task")
    assert await jobs.status(good) == "COMPLETED"
    assert await jobs.count("dead_letters", "code = 'unreadable_job_task'") == 1
    await jobs.assert_clean()


async def test_work_whose_key_is_no_jobs_is_a_dead_letter(jobs: JobPath) -> None:
    await jobs.db.execute(
        "SELECT enqueue_task($1, $2, 'ai_tasks', 'job.run', 'nobody', '{}',"
        " NULL, NULL, 0, NULL, 0)",
        new_id(),
        jobs.tenant,
    )
    await jobs.rest()
    assert await jobs.count("dead_letters") == 1
    assert await jobs.count("queue_messages") == 0


async def test_work_of_a_job_that_is_gone_ends(jobs: JobPath) -> None:
    await jobs.submit()
    await jobs.db.execute("DELETE FROM jobs")
    await jobs.rest()
    assert await jobs.count("dead_letters") == 0
    assert await jobs.count("queue_messages") == 0


# -- many ------------------------------------------------------------------------------------------


@pytest.mark.whole
async def test_two_workers_do_none_of_ten_thousand_jobs_twice(
    opened_job_path: JobPath,
) -> None:
    jobs = opened_job_path
    await jobs.begin_anew()
    jobs.llm.rule = lambda request: Say(ANSWER)
    await jobs.db.execute(
        """
        WITH made AS (
            INSERT INTO jobs (tenant_id, id, prompt, config_name, template_name, deadline_at)
            SELECT $1, gen_random_uuid(), 'Soal ' || n, $2, 'default-assistant',
                   platform_now() + interval '1 day' FROM generate_series(1, 10000) AS n
            RETURNING tenant_id, id
        ), told AS (
            INSERT INTO domain_events (id, tenant_id, name, version, body, occurred_at)
            SELECT gen_random_uuid(), tenant_id, 'job.created', 1,
                   jsonb_build_object('job_id', id), platform_now() FROM made
        )
        SELECT count(enqueue_task(gen_random_uuid(), tenant_id, 'ai_tasks', 'job.run', id::text,
                                  jsonb_build_object('job_id', id), NULL, NULL, 0, NULL, 0))
        FROM made
        """,
        jobs.tenant,
        jobs.model,
    )
    await asyncio.gather(jobs.settle(), jobs.settle(jobs.a_worker()))
    assert await jobs.count("jobs", "status = 'COMPLETED' AND run = 1") == 10_000
    assert await jobs.count("job_attempts") == len(jobs.llm.requests) == 10_000
    assert await jobs.count("domain_events", "name = 'job.completed'") == 10_000
    await jobs.assert_clean()
