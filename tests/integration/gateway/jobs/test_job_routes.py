"""Jobs over HTTP: what is accepted, how it reads, what is refused and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
import pytest_asyncio

from gateway.interface.schemas.common import Cost
from shared.cache.open import open_cache
from shared.config.settings import CacheSettings
from shared.jobs import status_news, topic
from tests.integration.gateway.conftest import (
    Shop,
    a_key,
    a_shop,
    is_problem,
    running,
    settings_for,
)
from tests.support.postgres import TestDatabase
from tests.support.redis import RedisForTests

ASKED = {"prompt": "Apa kabar?", "config_name": "offline"}
UNKNOWN = "019ac000-0000-7000-8000-000000000000"


@pytest_asyncio.fixture(loop_scope="session")
async def key(gateway_db: TestDatabase, shop: Shop) -> dict[str, str]:
    return await a_key(gateway_db, shop)


async def submit(http: httpx2.AsyncClient, key: dict[str, str], **more: Any) -> Any:
    answer = await http.post("/v1/jobs", json=ASKED | more, headers=key)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def move(db: TestDatabase, job_id: str, *statuses: str) -> None:
    """Let the job go this way, as a worker would."""
    for status in statuses:
        await db.execute(
            "UPDATE jobs SET status = $2, run = run + ($2 = 'PROCESSING')::integer,"
            " result = CASE WHEN $2 = 'COMPLETED' THEN 'Baik.' END,"
            " agent_type = CASE WHEN $2 = 'COMPLETED' THEN 'main' END,"
            " error_code = CASE WHEN $2 = 'FAILED' THEN 'model_refused' END,"
            " error = CASE WHEN $2 IN ('FAILED', 'RETRYING') THEN 'The model is away.' END,"
            " next_retry_at = CASE WHEN $2 = 'RETRYING' THEN platform_now() END,"
            " finished_at = CASE WHEN $2 IN ('COMPLETED', 'FAILED') THEN platform_now() END"
            " WHERE id = $1",
            UUID(job_id),
            status,
        )


async def belongings(db: TestDatabase, shop: Shop) -> list[Any]:
    tables = ("jobs", "job_batches", "queue_messages", "domain_events", "llm_budgets")
    return [
        await db.fetch(f"SELECT * FROM {table} WHERE tenant_id = $1 ORDER BY 1, 2", shop.id)
        for table in tables
    ]


# one job


async def test_a_job_reads_as_it_was_asked_for(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    answer = await http.post(
        "/v1/jobs",
        headers=key,
        json=ASKED
        | {
            "template_name": "creative-writer",
            "pipeline": "multi",
            "context": {"is_followup": True},
            "needs_moderation": True,
            "variables": {"nama": "Ani"},
            "max_retries": 5,
            "priority": 3,
            "deadline_seconds": 90,
            "callback_url": "https://toko.example/selesai",
            "metadata": {"order": 7},
            "stream": True,
        },
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['job_id']}"
    moments = {name: job.pop(name) for name in ("created_at", "updated_at", "deadline_at")}
    assert moments["created_at"] == moments["updated_at"]
    lasts = datetime.fromisoformat(moments["deadline_at"]) - datetime.fromisoformat(
        moments["created_at"]
    )
    assert lasts == timedelta(seconds=90)
    assert job == {
        "job_id": job["job_id"],
        "status": "QUEUED",
        "result": None,
        "agent_type": None,
        "error": None,
        "retry_count": 0,
        "max_retries": 5,
        "next_retry_at": None,
        "tokens": 0,
        "tokens_in": 0,
        "tokens_out": 0,
        "cost": {"amount": "0", "currency": "USD"},
        "config_name": "offline",
        "template_name": "creative-writer",
        "template_version": None,
        "pipeline": "multi",
        "moderation": None,
        "priority": 3,
        "stream": True,
        "metadata": {"order": 7},
        "retry_of": None,
        "batch_id": None,
        "started_at": None,
        "finished_at": None,
    }
    read = await http.get(answer.headers["location"], headers=key)
    assert read.json() == job | moments

    (row,) = await gateway_db.fetch("SELECT * FROM jobs WHERE tenant_id = $1", shop.id)
    assert (row["stream"], row["needs_moderation"], row["prompt"]) == (True, True, "Apa kabar?")
    assert orjson.loads(row["context"]) == {"is_followup": True}
    assert orjson.loads(row["variables"]) == {"nama": "Ani"}
    assert row["callback_url"] == "https://toko.example/selesai"
    (task,) = await gateway_db.fetch(
        "SELECT kind, key, priority FROM queue_messages WHERE tenant_id = $1", shop.id
    )
    assert dict(task) == {"kind": "job.run", "key": job["job_id"], "priority": 3}


async def test_what_is_left_out_is_as_it_normally_is(
    http: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    job = (await http.post("/v1/jobs", json={"prompt": "Halo"}, headers=key)).json()
    assert (job["config_name"], job["template_name"]) == ("default-smart", "default-assistant")
    assert (job["pipeline"], job["max_retries"], job["stream"]) == ("single", 3, False)


async def test_the_operator_chooses_how_often_jobs_are_normally_retried(
    gateway_db: TestDatabase, shop: Shop, key: dict[str, str]
) -> None:
    settings = settings_for(gateway_db)
    llm = settings.llm.model_copy(update={"job_default_max_retries": 7})
    async with running(settings.model_copy(update={"llm": llm})) as http:
        assert (await submit(http, key))["max_retries"] == 7
        assert (await submit(http, key, max_retries=0))["max_retries"] == 0


async def test_a_job_that_ended_says_how(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    completed, failed, waiting = [await submit(http, key) for _ in range(3)]
    await move(gateway_db, completed["job_id"], "PROCESSING", "COMPLETED")
    await gateway_db.execute(
        "UPDATE jobs SET tokens_in = 20, tokens_out = 3, cost_nanos = 123000,"
        " template_version = 4, moderation = $2 WHERE id = $1",
        UUID(completed["job_id"]),
        '{"verdict": "allowed", "categories": []}',
    )
    await move(gateway_db, failed["job_id"], "PROCESSING", "FAILED")
    await move(gateway_db, waiting["job_id"], "PROCESSING", "RETRYING")

    read = (await http.get(f"/v1/jobs/{completed['job_id']}", headers=key)).json()
    assert (read["status"], read["result"], read["agent_type"], read["error"]) == (
        "COMPLETED", "Baik.", "main", None,
    )  # fmt: skip
    assert (read["tokens"], read["cost"]["amount"]) == (23, "0.000123")
    assert (read["template_version"], read["moderation"]["verdict"]) == (4, "allowed")
    assert read["finished_at"] is not None
    # remembered now, and the same
    assert (await http.get(f"/v1/jobs/{completed['job_id']}", headers=key)).json() == read

    read = (await http.get(f"/v1/jobs/{failed['job_id']}", headers=key)).json()
    assert read["error"] == {"code": "model_refused", "detail": "The model is away."}
    read = (await http.get(f"/v1/jobs/{waiting['job_id']}", headers=key)).json()
    assert read["error"] == {"code": None, "detail": "The model is away."}
    assert read["next_retry_at"] is not None


@pytest.mark.parametrize(
    ("nanos", "amount"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (123_000, "0.000123"),
        (10**9, "1"),
        (10**10, "10"),
        (1_500_000_000, "1.5"),
        (2**63 - 1, "9223372036.854775807"),
    ],
)
def test_costs_are_exact(nanos: int, amount: str) -> None:
    assert Cost.of(nanos).amount == amount


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no prompt": ({"prompt": ""}, "invalid_prompt"),
    "a blank prompt": ({"prompt": " \n\t"}, "invalid_prompt"),
    "a long prompt": ({"prompt": "x" * 100_001}, "invalid_prompt"),
    "a prompt that is none": ({"prompt": 7}, "validation_failed"),
    "an unknown field": ({"promt": "x"}, "validation_failed"),
    "an unknown pipeline": ({"pipeline": "double"}, "validation_failed"),
    "a priority out of range": ({"priority": 11}, "validation_failed"),
    "too many retries": ({"max_retries": 21}, "validation_failed"),
    "no time": ({"deadline_seconds": 0.5}, "validation_failed"),
    "more than a week": ({"deadline_seconds": 604_801}, "validation_failed"),
    "a name with blanks around it": ({"config_name": " offline"}, "invalid_job"),
    "an address that is none": ({"callback_url": "ftp://toko.example"}, "invalid_job"),
    "an address with a password": ({"callback_url": "https://a:b@toko.example"}, "invalid_job"),
    "metadata that are too large": ({"metadata": {"a": "x" * 10_001}}, "invalid_job_data"),
    "a number beyond all": ({"variables": {"a": 2**64}}, "invalid_job_data"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_accepted_leaves_nothing_behind(
    what: str, http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    change, code = REFUSED[what]
    before = await belongings(gateway_db, shop)
    is_problem(await http.post("/v1/jobs", json=ASKED | change, headers=key), 422, code)
    answer = await http.post("/v1/jobs/batch", json={"jobs": [ASKED, ASKED | change]}, headers=key)
    if code == "validation_failed":
        (error, *_) = is_problem(answer, 422, "validation_failed")["errors"]
        assert error["pointer"].startswith("#/jobs/1/")
    else:
        problem = is_problem(answer, 422, "invalid_job_batch")
        assert problem["data"] == {"index": 1, "reason": code}
    assert await belongings(gateway_db, shop) == before


async def test_the_same_key_makes_one_job(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    headers = key | {"idempotency-key": str(uuid4())}
    first = await http.post("/v1/jobs", json=ASKED, headers=headers)
    again = await http.post("/v1/jobs", json=ASKED, headers=headers)
    assert again.status_code == 202
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    other = await http.post("/v1/jobs", json=ASKED | {"priority": 1}, headers=headers)
    is_problem(other, 422, "idempotency_key_reused")
    count = await gateway_db.fetchval("SELECT count(*) FROM jobs WHERE tenant_id = $1", shop.id)
    assert count == 1


async def test_what_does_not_exist_is_not_found(
    http: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "?wait=5"),
        ("GET", "/events"),
        ("GET", "/attempts"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
    ):
        answer = await http.request(method, f"/v1/jobs/{UNKNOWN}{path}", headers=key)
        is_problem(answer, 404, "job_not_found")
    is_problem(await http.get(f"/v1/batches/{UNKNOWN}", headers=key), 404, "job_batch_not_found")
    is_problem(await http.get("/v1/jobs/none", headers=key), 422, "validation_failed")


@pytest.mark.parametrize("scope", ["jobs:read", "models:write"])
async def test_writing_needs_its_own_scope(
    scope: str, http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    job = await submit(http, await a_key(gateway_db, shop, "jobs:write"))
    key = await a_key(gateway_db, shop, scope)
    before = await belongings(gateway_db, shop)
    path = f"/v1/jobs/{job['job_id']}"
    for url in ("/v1/jobs", f"{path}/cancel", f"{path}/retry"):
        is_problem(await http.post(url, json=ASKED, headers=key), 403, "scope_missing")
    answer = await http.post("/v1/jobs/batch", json={"jobs": [ASKED]}, headers=key)
    is_problem(answer, 403, "scope_missing")
    read = await http.get(path, headers=key)
    assert read.status_code == (200 if scope == "jobs:read" else 403)
    assert await belongings(gateway_db, shop) == before


async def test_an_operator_has_no_jobs(http: httpx2.AsyncClient, gateway_db: TestDatabase) -> None:
    operator = await a_key(gateway_db, None)
    is_problem(await http.post("/v1/jobs", json=ASKED, headers=operator), 403, "scope_missing")


# cancelling, and doing it again


async def test_a_job_is_cancelled_once(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    for way in ((), ("PROCESSING",), ("PROCESSING", "RETRYING")):
        job = await submit(http, key)
        await move(gateway_db, job["job_id"], *way)
        cancelled = await http.post(f"/v1/jobs/{job['job_id']}/cancel", headers=key)
        assert cancelled.status_code == 200
        assert (cancelled.json()["status"], cancelled.json()["error"]) == (
            "CANCELLED",
            None if len(way) < 2 else {"code": None, "detail": "The model is away."},
        )
        again = await http.post(f"/v1/jobs/{job['job_id']}/cancel", headers=key)
        assert again.json() == cancelled.json()
    events = await gateway_db.fetchval(
        "SELECT count(*) FROM domain_events WHERE name = 'job.cancelled' AND body->>'job_id' = $1",
        job["job_id"],
    )
    assert events == 1


async def test_of_cancelling_and_completing_one_wins(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    for _ in range(5):
        job = await submit(http, key)
        await move(gateway_db, job["job_id"], "PROCESSING")
        complete = gateway_db.execute(
            "UPDATE jobs SET status = 'COMPLETED', result = 'Baik.',"
            " finished_at = platform_now() WHERE id = $1 AND status = 'PROCESSING'",
            UUID(job["job_id"]),
        )
        cancel = http.post(f"/v1/jobs/{job['job_id']}/cancel", headers=key)
        answer, _ = await asyncio.gather(cancel, complete)
        read = (await http.get(f"/v1/jobs/{job['job_id']}", headers=key)).json()
        if answer.status_code == 200:
            assert (read["status"], read["result"]) == ("CANCELLED", None)
        else:
            problem = is_problem(answer, 409, "illegal_job_transition")
            assert problem["data"] == {"status": "COMPLETED"}
            assert (read["status"], read["result"]) == ("COMPLETED", "Baik.")


async def test_what_has_ended_is_done_again_as_a_new_job(
    http: httpx2.AsyncClient, key: dict[str, str], shop: Shop, gateway_db: TestDatabase
) -> None:
    job = await submit(http, key, metadata={"order": 9}, stream=True, priority=2)
    before = await belongings(gateway_db, shop)
    path = f"/v1/jobs/{job['job_id']}/retry"
    is_problem(await http.post(path, headers=key), 409, "job_not_finished")
    assert await belongings(gateway_db, shop) == before
    await move(gateway_db, job["job_id"], "PROCESSING", "FAILED")
    answer = await http.post(path, headers=key)
    assert answer.status_code == 202
    again = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{again['job_id']}"
    assert again["job_id"] != job["job_id"]
    assert (again["retry_of"], again["status"]) == (job["job_id"], "QUEUED")
    assert (again["metadata"], again["stream"], again["priority"]) == ({"order": 9}, True, 2)


# lists


async def test_lists_are_filtered_and_paged(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    made = [
        await submit(http, key, metadata=metadata, config_name=config)
        for metadata, config in (
            ({"order": 7, "tag": "a"}, "offline"),
            ({"order": "7"}, "offline"),
            ({"order": 8, "paid": True}, "default-fast"),
        )
    ]
    ids = [job["job_id"] for job in made]
    await move(gateway_db, ids[0], "PROCESSING", "COMPLETED")
    await move(gateway_db, ids[1], "PROCESSING", "FAILED")

    async def listed(**query: Any) -> list[int]:
        answer = await http.get("/v1/jobs", params=query, headers=key)
        assert answer.status_code == 200, answer.text
        return [ids.index(job["job_id"]) for job in answer.json()["data"]]

    assert await listed() == [2, 1, 0]
    assert await listed(status="QUEUED") == [2]
    assert await listed(status=["FAILED", "COMPLETED"]) == [1, 0]
    assert await listed(config_name="offline") == [1, 0]
    assert await listed(created_before=made[1]["created_at"]) == [0]
    assert await listed(created_from=made[1]["created_at"]) == [2, 1]
    assert await listed(**{"metadata.order": "7"}) == [0]
    assert await listed(**{"metadata.order": '"7"'}) == [1]
    assert await listed(**{"metadata.tag": "a", "metadata.order": "7"}) == [0]
    assert await listed(**{"metadata.paid": "true"}) == [2]
    assert await listed(**{"metadata.paid": "maybe"}) == []

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await http.get("/v1/jobs", params={"limit": 2, **cursor}, headers=key)).json()
        seen += [job["job_id"] for job in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == ids[::-1]

    for query, code in (
        ({"cursor": "rubbish"}, "bad_cursor"),
        ({"limit": "0"}, "validation_failed"),
        ({"status": "DONE"}, "validation_failed"),
        ({"created_from": "2026-01-01T00:00:00"}, "invalid_moment"),
        ({"batch_id": "x"}, "validation_failed"),
    ):
        is_problem(await http.get("/v1/jobs", params=query, headers=key), 422, code)


async def test_attempts_are_listed_in_order(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    job = await submit(http, key)
    path = f"/v1/jobs/{job['job_id']}/attempts"
    assert (await http.get(path, headers=key)).json() == {"data": [], "next_cursor": None}
    for number, outcome in ((2, "ok"), (1, "model_timeout")):
        await gateway_db.execute(
            "INSERT INTO job_attempts (tenant_id, id, job_id, run, number, agent, config_name,"
            " model, started_at, milliseconds, tokens_in, tokens_out, cost_nanos, outcome, error)"
            " VALUES ($1, $2, $3, 1, $4, 'main', 'offline', 'demo', '2026-01-02T03:04:05Z', 12,"
            " 30, 4, 1500, $5, $6)",
            shop.id,
            uuid4(),
            UUID(job["job_id"]),
            number,
            outcome,
            None if outcome == "ok" else "It took too long.",
        )
    first = (await http.get(path, params={"limit": 1}, headers=key)).json()
    assert first["data"] == [
        {
            "number": 1,
            "run": 1,
            "agent": "main",
            "config_name": "offline",
            "model": "demo",
            "started_at": "2026-01-02T03:04:05Z",
            "milliseconds": 12,
            "tokens_in": 30,
            "tokens_out": 4,
            "cost": {"amount": "0.0000015", "currency": "USD"},
            "outcome": "model_timeout",
            "error": "It took too long.",
        }
    ]
    rest = await http.get(path, params={"cursor": first["next_cursor"]}, headers=key)
    assert [attempt["number"] for attempt in rest.json()["data"]] == [2]
    assert rest.json()["next_cursor"] is None
    is_problem(await http.get(path, params={"cursor": "x"}, headers=key), 422, "bad_cursor")


# batches


async def test_a_batch_is_accepted_as_a_whole(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    body = {
        "jobs": [ASKED | {"prompt": f"Nomor {n}", "metadata": {"n": n}} for n in range(1000)],
        "metadata": {"file": "a.jsonl"},
    }
    answer = await http.post("/v1/jobs/batch", json=body, headers=key)
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert answer.headers["location"] == f"/v1/batches/{batch['batch_id']}"
    job_ids = batch.pop("job_ids")
    assert batch | {"created_at": ""} == {
        "batch_id": batch["batch_id"],
        "total": 1000,
        "finished": 0,
        "counts": {"QUEUED": 1000},
        "metadata": {"file": "a.jsonl"},
        "created_at": "",
    }
    rows = await gateway_db.fetch("SELECT id, prompt FROM jobs WHERE tenant_id = $1", shop.id)
    prompts = {str(row["id"]): row["prompt"] for row in rows}
    assert [prompts[job_id] for job_id in job_ids] == [f"Nomor {n}" for n in range(1000)]

    await move(gateway_db, job_ids[0], "PROCESSING", "COMPLETED")
    await http.post(f"/v1/jobs/{job_ids[1]}/cancel", headers=key)
    read = (await http.get(f"/v1/batches/{batch['batch_id']}", headers=key)).json()
    assert (read["finished"], read["counts"]) == (
        2,
        {"QUEUED": 998, "COMPLETED": 1, "CANCELLED": 1},
    )
    query = {"batch_id": batch["batch_id"], "status": "COMPLETED"}
    page = (await http.get("/v1/jobs", params=query, headers=key)).json()
    assert [job["job_id"] for job in page["data"]] == [job_ids[0]]


async def test_a_batch_has_bounds(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    before = await belongings(gateway_db, shop)
    for jobs in ([], [ASKED] * 1001):
        answer = await http.post("/v1/jobs/batch", json={"jobs": jobs}, headers=key)
        is_problem(answer, 422, "validation_failed")
    answer = await http.post(
        "/v1/jobs/batch", json={"jobs": [ASKED], "metadata": {"a": "x" * 10_001}}, headers=key
    )
    is_problem(answer, 422, "invalid_job_data")
    huge = await http.post("/v1/jobs/batch", content=b" " * 5_000_001, headers=key)
    is_problem(huge, 413, "content_too_large")
    assert await belongings(gateway_db, shop) == before


# waiting


@pytest_asyncio.fixture(loop_scope="session")
async def connected(
    gateway_db: TestDatabase, redis_server: RedisForTests
) -> AsyncIterator[tuple[httpx2.AsyncClient, Any]]:
    """A gateway with a cache that others share, and that cache."""
    cache_settings = CacheSettings(redis_url=redis_server.url)
    settings = settings_for(gateway_db).model_copy(update={"cache": cache_settings})
    async with running(settings) as http, open_cache(cache_settings) as cache:
        yield http, cache


async def waits(db: TestDatabase, shop: Shop) -> str:
    """The id of the shop's only job, as soon as it is there."""
    async with asyncio.timeout(10):
        while True:
            found = await db.fetch("SELECT id FROM jobs WHERE tenant_id = $1", shop.id)
            if found:
                return str(found[0]["id"])
            await asyncio.sleep(0.01)


async def test_whoever_waits_is_told_of_the_end_by_the_cache(
    connected: tuple[httpx2.AsyncClient, Any],
    shop: Shop,
    key: dict[str, str],
    gateway_db: TestDatabase,
) -> None:
    http, cache = connected
    began = asyncio.get_running_loop().time()
    posting = asyncio.create_task(http.post("/v1/jobs?wait=60", json=ASKED, headers=key))
    job_id = await waits(gateway_db, shop)
    getting = asyncio.create_task(http.get(f"/v1/jobs/{job_id}?wait=60", headers=key))
    await move(gateway_db, job_id, "PROCESSING", "COMPLETED")
    while not (posting.done() and getting.done()):  # a word before they listen is lost
        await cache.publish(topic(shop.id, UUID(job_id)), status_news("COMPLETED", 1))
        await asyncio.sleep(0.02)
    posted, read = await posting, await getting
    assert (posted.status_code, read.status_code) == (202, 200)
    assert (posted.json()["status"], posted.json()["result"]) == ("COMPLETED", "Baik.")
    assert read.json() == posted.json()
    assert asyncio.get_running_loop().time() - began < 30


async def test_without_a_word_of_the_cache_the_end_is_found_all_the_same(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    posting = asyncio.create_task(http.post("/v1/jobs?wait=60", json=ASKED, headers=key))
    job_id = await waits(gateway_db, shop)
    await move(gateway_db, job_id, "PROCESSING", "COMPLETED")
    async with asyncio.timeout(20):
        assert (await posting).json()["status"] == "COMPLETED"


async def test_when_the_time_is_over_the_job_is_told_as_it_stands(
    http: httpx2.AsyncClient, key: dict[str, str]
) -> None:
    answer = await http.post("/v1/jobs?wait=1", json=ASKED, headers=key)
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    for wrong in ("61", "-1", "1.5", "x", "1_0"):
        refused = await http.post(f"/v1/jobs?wait={wrong}", json=ASKED, headers=key)
        is_problem(refused, 422, "validation_failed")


async def test_while_they_wait_nothing_of_the_database_is_held(
    gateway_db: TestDatabase, key: dict[str, str], shop: Shop
) -> None:
    """The pool has six connections, for which forty that come at once may queue a moment."""
    settings = settings_for(gateway_db)
    patient = {"database_pool_timeout_seconds": timedelta(seconds=20)}
    database = settings.database.model_copy(update=patient)
    async with running(settings.model_copy(update={"database": database})) as http:
        job = await submit(http, key)
        path = f"/v1/jobs/{job['job_id']}"
        waiting = [asyncio.create_task(http.get(f"{path}?wait=60", headers=key)) for _ in range(40)]
        for _ in range(10):
            assert (await http.get("/v1/jobs", headers=key)).status_code == 200
        await http.post(f"{path}/cancel", headers=key)
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*waiting)
        assert {answer.json()["status"] for answer in answers} == {"CANCELLED"}


# budgets


async def test_a_tenant_over_its_budget_is_refused_until_its_day_turns(
    http: httpx2.AsyncClient, shop: Shop, gateway_db: TestDatabase
) -> None:
    key = await a_key(gateway_db, shop)
    ended = await submit(http, key)
    await move(gateway_db, ended["job_id"], "PROCESSING", "FAILED")
    limits = {"tokens_per_day": 100, "cost_per_day": {"amount": "0.5", "currency": "USD"}}
    assert (await http.put("/v1/llm-budget", json=limits, headers=key)).status_code == 200
    await submit(http, key)

    for column, used in (("tokens", 100), ("cost_nanos", 500_000_000)):
        await gateway_db.execute(
            f"INSERT INTO llm_usage (tenant_id, day, {column}) SELECT $1,"
            " (platform_now() AT TIME ZONE timezone)::date, $2 FROM tenants WHERE id = $1",
            shop.id,
            used,
        )
        before = await belongings(gateway_db, shop)
        repeated = key | {"idempotency-key": str(uuid4())}
        for path, body in (
            ("/v1/jobs", ASKED),
            ("/v1/jobs/batch", {"jobs": [ASKED]}),
            (f"/v1/jobs/{ended['job_id']}/retry", None),
        ):
            refused = await http.post(path, json=body, headers=repeated)
            is_problem(refused, 429, "llm_budget_spent")
            ends = await gateway_db.fetchval(
                "SELECT extract(epoch FROM (date_trunc('day', platform_now() AT TIME ZONE timezone)"
                " + interval '1 day') AT TIME ZONE timezone - platform_now())::float8"
                " FROM tenants WHERE id = $1",
                shop.id,
            )
            assert abs(int(refused.headers["retry-after"]) - ends) < 5
        assert await belongings(gateway_db, shop) == before

        queueing = limits | {"over_budget": "queue"}
        await http.put("/v1/llm-budget", json=queueing, headers=key)
        assert (await submit(http, key))["status"] == "QUEUED"
        await http.put("/v1/llm-budget", json=limits, headers=key)
        await gateway_db.execute("DELETE FROM llm_usage WHERE tenant_id = $1", shop.id)
    # the refusal freed the key
    assert (await http.post("/v1/jobs", json=ASKED, headers=repeated)).status_code == 202


async def test_a_budget_reads_as_it_was_set(
    http: httpx2.AsyncClient, shop: Shop, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    free = (await http.get("/v1/llm-budget", headers=key)).json()
    today = free.pop("today")
    assert free == {
        "tokens_per_day": None,
        "cost_per_day": None,
        "concurrency": None,
        "over_budget": "refuse",
    }
    assert (today["tokens"], today["calls"], today["cost"]["amount"]) == (0, 0, "0")
    wanted = {
        "tokens_per_day": 5_000,
        "cost_per_day": {"amount": "2.5", "currency": "USD"},
        "concurrency": 2,
        "over_budget": "queue",
    }
    answer = await http.put("/v1/llm-budget", json=wanted, headers=key)
    assert answer.json() == wanted | {"today": today}
    assert (await http.get("/v1/llm-budget", headers=key)).json() == answer.json()
    for wrong in (
        {"tokens_per_day": -1},
        {"concurrency": 0},
        {"over_budget": "ignore"},
        {"cost_per_day": {"amount": "2,5", "currency": "USD"}},
        {"cost_per_day": {"amount": "2.5", "currency": "IDR"}},
    ):
        refused = await http.put("/v1/llm-budget", json=wrong, headers=key)
        is_problem(refused, 422, "validation_failed")
    assert (await http.get("/v1/llm-budget", headers=key)).json() == answer.json()
    await http.put("/v1/llm-budget", json={}, headers=key)
    count = await gateway_db.fetchval(
        "SELECT count(*) FROM llm_budgets WHERE tenant_id = $1", shop.id
    )
    assert count == 0, "without limits the workers need not look"


async def test_anothers_budget_is_not_ones_own(
    http: httpx2.AsyncClient, key: dict[str, str], gateway_db: TestDatabase
) -> None:
    other = await a_key(gateway_db, await a_shop(gateway_db))
    await http.put("/v1/llm-budget", json={"tokens_per_day": 0}, headers=other)
    is_problem(await http.post("/v1/jobs", json=ASKED, headers=other), 429, "llm_budget_spent")
    assert (await http.get("/v1/llm-budget", headers=key)).json()["tokens_per_day"] is None
    await submit(http, key)
