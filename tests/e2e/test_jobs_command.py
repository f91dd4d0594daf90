"""`ai-platform jobs`, `queues` and `dead-letters`, as a person types them, on a whole platform."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from shared.kernel.ids import TenantId, new_id
from tests.support.fake_llm import FakeLlm, Fault
from tests.support.postgres import PostgresForTests
from tests.support.receiver import Receiver, verified
from tests.support.stack import Stack, until
from tests.support.up import COMMAND, ai_platform


@dataclass
class Desk:
    """A person with a key at a terminal."""

    stack: Stack
    tenant: UUID
    key: str

    @property
    def environment(self) -> dict[str, str]:
        names = ("DATABASE_URL", "REDIS_URL", "MASTER_KEY", "API_KEY_PEPPER")
        known = {name: self.stack.environment[name] for name in names}
        return known | {
            "AI_PLATFORM_URL": self.stack.base_url,
            "AI_PLATFORM_API_KEY": self.key,
        }

    async def types(
        self, *words: str, stdin: str = "", patience: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            ai_platform, *words, env=self.environment, stdin=stdin, patience=patience
        )

    async def reads(self, *words: str) -> Any:
        told = await self.types(*words, "--json")
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, embedded_postgres: PostgresForTests
) -> AsyncIterator[Stack]:
    async with Stack(
        tmp_path_factory.mktemp("jobs-command"),
        postgres=embedded_postgres,
        services=("gateway", "commerce-agent", "llm-worker"),
        settings={"CIRCUIT_BREAKER_TIMEOUT_SECONDS": "600"},
    ) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def desk(stack: Stack) -> Desk:
    body = {"slug": f"toko-{uuid4().hex[:8]}", "name": "Toko"}
    tenant = UUID((await stack.call("POST", "/v1/crm/tenants", body))["id"])
    key = await stack.api_key(TenantId(tenant))
    stack.auditor.secret(key)
    return Desk(stack, tenant, key)


async def test_a_job_is_submitted_watched_listed_and_done_again(desk: Desk) -> None:
    answered = await desk.types("jobs", "submit", "-", "-w", "--config", "offline", stdin="Halo")
    assert answered.returncode == 0, answered.stderr
    assert "model demo offline" in answered.stdout
    assert answered.stderr == ""

    submitted = await desk.types(
        "jobs", "submit", "Halo", "--config", "offline",
        "--metadata", "nota=7", "--idempotency-key", "satu",
    )  # fmt: skip
    job = submitted.stdout.strip()
    again = await desk.types(
        "jobs", "submit", "Halo", "--config", "offline",
        "--metadata", "nota=7", "--idempotency-key", "satu",
    )  # fmt: skip
    assert again.stdout.strip() == job
    watched = await desk.types("jobs", "watch", job)
    assert (watched.returncode, watched.stdout) == (0, answered.stdout)

    retried = (await desk.types("jobs", "retry", job)).stdout.strip()
    assert (await desk.types("jobs", "watch", retried)).returncode == 0
    listed = await desk.reads("jobs", "list", "--status", "completed")
    assert [each["job_id"] for each in listed[:2]] == [retried, job]
    assert (listed[0]["retry_of"], listed[1]["metadata"]) == (job, {"nota": 7})
    assert job in (await desk.types("jobs", "list")).stdout


async def test_what_fails_is_a_sentence_and_an_exit_code(desk: Desk) -> None:
    failed = await desk.types("jobs", "submit", "Halo", "-w", "--config", "nonsense")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "There is no model named nonsense (llm_config_not_found)" in failed.stderr
    for words, sentence in (
        (("jobs", "watch", str(new_id())), "There is no such job"),
        (("jobs", "cancel", str(new_id())), "job_not_found"),
        (("jobs", "list", "--status", "done"), "The platform refused"),
        (("jobs", "list", "--key", "aip_wrong"), "does not know this key"),
        (("dead-letters", "show", str(new_id())), "There is no such dead letter"),
        (("dead-letters", "list", "--queue", "x"), "There is no queue x"),
        (("queues", "reset-breaker", "x"), "No worker has a breaker x"),
    ):
        told = await desk.types(*words)
        assert told.returncode == 1
        assert told.stderr.startswith("ai-platform: ")
        assert sentence in told.stderr
        assert len(told.stderr.splitlines()) == 1


async def test_a_job_that_waits_is_cancelled_and_its_receiver_told(desk: Desk) -> None:
    made = await desk.stack.call("POST", "/v1/webhook-secret/rotate", key=desk.key)
    desk.stack.auditor.secret(made["secret"])
    async with FakeLlm(rule=lambda _: Fault(500)) as llm, Receiver() as receiver:
        model = await desk.stack._model(llm)
        submitted = await desk.types(
            "jobs", "submit", "Halo", "--config", model, "--callback-url", receiver.url
        )
        job = submitted.stdout.strip()
        told = await desk.types("jobs", "cancel", job)
        assert (told.returncode, told.stdout) == (0, f"{job} is cancelled\n")
        assert (await desk.types("jobs", "watch", job)).returncode == 1
        await until(lambda: receiver.got)
        (got,) = receiver.got
        assert verified(got, made["secret"])
        assert (got.json["type"], got.json["data"]["job_id"]) == ("job.cancelled", job)


async def test_a_batch_that_is_killed_goes_on_and_submits_nothing_twice(
    desk: Desk, tmp_path: Path
) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f'"Soal {number}"\n' for number in range(300)))
    words = ["jobs", "batch", str(source), "--out", str(out), "--config", "offline"]
    running = subprocess.Popen(
        [COMMAND, *words, "--at-once", "8"],
        env=dict(desk.stack.environment) | desk.environment,
        stderr=subprocess.DEVNULL,
    )
    await until(lambda: out.exists() and out.read_bytes().count(b"\n") > 20)
    running.kill()
    assert running.wait() == -9
    done = out.read_bytes().count(b"\n")
    assert done < 300

    # a request that was cut off in the middle holds its key for a minute
    told = await desk.types(*words, patience=150)

    assert told.returncode == 0, told.stderr
    assert f"300 completed, 0 failed; results: {out}" in told.stderr
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(result["line"] for result in results) == list(range(1, 301))
    jobs = await desk.stack.database.fetchval(
        "SELECT count(*) FROM jobs WHERE tenant_id = $1", desk.tenant
    )
    assert jobs == 300


async def test_an_open_breaker_is_seen_and_reset(desk: Desk) -> None:
    async with FakeLlm(rule=lambda _: Fault(500)) as llm:
        model = await desk.stack._model(llm)
        job = (await desk.types("jobs", "submit", "Halo", "--config", model)).stdout.strip()

        async def breaker() -> Any:
            found = (await desk.reads("queues", "status"))["breakers"]
            assert found != "unknown"
            return next((each for each in found if each["state"] == "open"), None)

        name = (await until(breaker))["name"]
        assert name.startswith("openai_compatible:fake-model:")
        shown = (await desk.types("queues", "status")).stdout
        assert name in shown
        assert "○ open" in shown

        llm.begin_anew()
        told = await desk.types("queues", "reset-breaker", name)
        assert told.stdout == "1 reset in 2 workers\n"
        assert await breaker() is None
        await desk.types("jobs", "cancel", job)


async def test_without_workers_the_breakers_are_unknown(desk: Desk) -> None:
    env = desk.environment | {"REDIS_URL": ""}
    told = await asyncio.to_thread(ai_platform, "queues", "status", env=env)
    assert told.returncode == 0
    assert "Circuit breakers: unknown" in told.stdout
    told = await asyncio.to_thread(ai_platform, "queues", "reset-breaker", "--all", env=env)
    assert told.returncode == 1
    assert "REDIS_URL is not set" in told.stderr


async def test_dead_letters_are_listed_shown_and_put_back(desk: Desk) -> None:
    letters = [new_id() for _ in range(3)]
    for number, letter in enumerate(letters):
        await desk.stack.database.execute(
            "INSERT INTO dead_letters (id, tenant_id, queue, kind, key, payload, attempts, code,"
            " detail) VALUES ($1, $2, 'ai_tasks', 'job.run', $3, $4, 2, 'unexpected_error', 'X')",
            letter,
            desk.tenant,
            str(new_id()),
            json.dumps({"job_id": str(new_id()), "number": number}),
        )
    status = (await desk.reads("queues", "status"))["queues"]
    assert [each["dead"] for each in status if each["kind"] == "job.run"] == [3]

    listed = await desk.reads("dead-letters", "list", "--kind", "job.run")
    assert [each["id"] for each in listed] == [str(letter) for letter in letters[::-1]]
    assert str(letters[0]) in (await desk.types("dead-letters", "list")).stdout
    shown = await desk.reads("dead-letters", "show", str(letters[1]))
    assert (shown["payload"]["number"], shown["attempts"]) == (1, 2)

    told = await desk.types("dead-letters", "redrive", str(letters[0]))
    assert (told.returncode, told.stdout) == (0, "1 put back\n")
    twice = await desk.types("dead-letters", "redrive", str(letters[0]))
    assert (twice.returncode, "back in its queue" in twice.stderr) == (1, True)
    told = await desk.types("dead-letters", "redrive", "--all", "--kind", "job.run")
    assert told.stdout == "2 put back\n"
    told = await desk.types("dead-letters", "redrive", "--all", "--queue", "ai_tasks")
    assert told.stdout == "There are no dead letters to put back.\n"
    assert await desk.reads("dead-letters", "list", "--kind", "job.run") == []
