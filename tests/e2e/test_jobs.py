"""LLM jobs over HTTP: submitted, watched, answered by a worker of their own."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import pytest
import pytest_asyncio

from shared.kernel.ids import TenantId
from tests.support.postgres import PostgresForTests
from tests.support.stack import Json, Stack

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
OFFLINE = {"prompt": "Jam berapa toko buka?", "config_name": "offline"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(
    tmp_path_factory: pytest.TempPathFactory, embedded_postgres: PostgresForTests
) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("jobs")
    async with Stack(
        folder, postgres=embedded_postgres, services=("gateway", "llm-worker")
    ) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def key(stack: Stack) -> str:
    body = {"slug": f"toko-{uuid4().hex[:8]}", "name": "Toko"}
    tenant = await stack.call("POST", "/v1/crm/tenants", body)
    made = await stack.api_key(TenantId(UUID(tenant["id"])))
    stack.auditor.secret(made)
    return made


async def events(stack: Stack, key: str, job_id: str) -> list[tuple[str, Json]]:
    """Everything the stream tells until it ends."""
    told: list[tuple[str, Json]] = []
    name = ""
    headers = {"Authorization": f"Bearer {key}"}
    async with stack.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                told.append((name, orjson.loads(value)))
    return told


async def test_a_job_is_answered_and_its_end_is_told(stack: Stack, key: str) -> None:
    job = await stack.call("POST", "/v1/jobs", OFFLINE | {"stream": True}, key=key, status=202)
    told = await events(stack, key, job["job_id"])
    name, last = told[-1]
    assert (name, last["status"], last["agent_type"]) == ("status", "COMPLETED", "main")
    assert last["result"]
    assert [each["status"] for name, each in told if name == "status"][-1] == "COMPLETED"
    assert (last["template_version"], last["error"]) == (1, None)
    assert last == await stack.call("GET", f"/v1/jobs/{job['job_id']}", key=key)
    attempts = await stack.call("GET", f"/v1/jobs/{job['job_id']}/attempts", key=key)
    (attempt,) = attempts["data"]
    assert (attempt["agent"], attempt["config_name"], attempt["outcome"]) == (
        "main", "offline", "ok",
    )  # fmt: skip
    assert (attempt["tokens_in"], attempt["tokens_out"]) == (last["tokens_in"], last["tokens_out"])


async def test_whoever_waits_gets_the_answer(stack: Stack, key: str) -> None:
    job = await stack.call("POST", "/v1/jobs?wait=30", OFFLINE, key=key, status=202)
    assert job["status"] == "COMPLETED"
    again = await stack.call("POST", f"/v1/jobs/{job['job_id']}/retry", key=key, status=202)
    ended = await stack.call("GET", f"/v1/jobs/{again['job_id']}?wait=30", key=key)
    assert (ended["status"], ended["retry_of"]) == ("COMPLETED", job["job_id"])


async def test_the_pipeline_of_many_agents_answers(stack: Stack, key: str) -> None:
    body = OFFLINE | {"pipeline": "multi", "needs_moderation": True}
    job = await stack.call("POST", "/v1/jobs?wait=30", body, key=key)
    assert (job["status"], job["agent_type"]) == ("COMPLETED", "main"), job["error"]
    assert job["moderation"]["verdict"] == "allowed"
    followup = body | {"context": {"is_followup": True}, "needs_moderation": False}
    job = await stack.call("POST", "/v1/jobs?wait=30", followup, key=key)
    assert (job["status"], job["agent_type"]) == ("COMPLETED", "followup"), job["error"]


async def test_a_batch_ends(stack: Stack, key: str) -> None:
    jobs = [OFFLINE | {"prompt": f"Pertanyaan {number}"} for number in range(20)]
    batch = await stack.call("POST", "/v1/jobs/batch", {"jobs": jobs}, key=key, status=202)
    for job_id in batch["job_ids"]:
        job = await stack.call("GET", f"/v1/jobs/{job_id}?wait=30", key=key)
        assert job["status"] == "COMPLETED", job["error"]
    read = await stack.call("GET", f"/v1/batches/{batch['batch_id']}", key=key)
    assert (read["finished"], read["counts"]) == (20, {"COMPLETED": 20})


async def test_a_job_that_cannot_be_answered_says_why(stack: Stack, key: str) -> None:
    missing = OFFLINE | {"template_name": "none"}
    job = await stack.call("POST", "/v1/jobs?wait=30", missing, key=key)
    assert (job["status"], job["error"]["code"]) == ("FAILED", "prompt_template_not_found")


async def test_a_template_is_added_published_and_used(stack: Stack, key: str) -> None:
    template = {"name": "kasir", "body": "You are the cashier of {{ shop }}."}
    await stack.call("POST", "/v1/prompt-templates", template, key=key, status=201)
    body = {"variables": {"shop": "Kopi Braga"}}
    rendered = await stack.call("POST", "/v1/prompt-templates/kasir/render", body, key=key)
    assert rendered == {"text": "You are the cashier of Kopi Braga."}
    job = await stack.call(
        "POST", "/v1/jobs?wait=30", OFFLINE | body | {"template_name": "kasir"}, key=key
    )
    assert (job["status"], job["template_version"]) == ("COMPLETED", 1), job["error"]


async def test_a_model_is_tried_out(stack: Stack, key: str) -> None:
    outcome = await stack.call("POST", "/v1/llm-configs/offline/test", key=key)
    assert (outcome["ok"], outcome["config"], outcome["error"]) == (True, "offline", None)
    outcome = await stack.call("POST", "/v1/llm-configs/claude-fast/test", key=key)
    assert outcome["ok"] is False
    assert outcome["error"]["code"]


def recipes(heading: str) -> str:
    """The commands of a part of the guide, but for those that say where the platform is."""
    part = GUIDE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    assert blocks[0].startswith("export URL=")
    return "set -eu\n" + "echo ---\n".join(blocks[1:])


async def test_the_guides_recipes_work_as_they_are_written(stack: Stack, key: str) -> None:
    script = recipes("Run LLM jobs")
    ran = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-c", script],
        env={"PATH": os.environ["PATH"], "URL": stack.base_url, "KEY": key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    waited, submitted, watched, made, rendered, used, changed, back = ran.stdout.split("---\n")
    assert orjson.loads(waited)["status"] == "COMPLETED"
    assert re.fullmatch(r"[0-9a-f-]{36}\n", submitted)
    assert "event: status\n" in watched
    assert '"status":"COMPLETED"' in watched
    assert orjson.loads(made)["published"] is True
    assert orjson.loads(rendered) == {"text": "You are the cashier of Kopi Braga. Be brief."}
    answered = orjson.loads(used)
    assert (answered["status"], answered["template_version"]) == ("COMPLETED", 1)
    assert orjson.loads(changed)["version"] == 2
    assert orjson.loads(back)["version"] == 1
