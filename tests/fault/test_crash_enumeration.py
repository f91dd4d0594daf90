"""Processes are struck at every I/O boundary they have, and the customer is answered all the same.

A boundary is one statement, commit, request, answer, publish or acknowledgement of a running
service. It is listed once, in a run where nothing breaks; then a run of its own strikes it: the
process dies before it, or with it done and nobody told; it stands still past its lease while
another takes over, then goes on; or the task is cancelled while it waits. Whatever the blow, the
auditor finds nothing and the scenario's own promises hold (`tests/fault/crash_scenarios.py` says
exactly which, and which single bubble may be lost where).

The quick part strikes every commit, send and answer of the simplest scenario, every boundary of a
job, and a sample of the rest, drawn with the fault seed; the whole is `make fault`.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from tests.fault.boundaries import Mode, Operation
from tests.fault.crash_enumeration import Enumeration, hits, sample
from tests.fault.crash_runs import PATIENCE, SERVICES, Laboratory, open_laboratory
from tests.fault.crash_scenarios import SCENARIOS, Recording, Scenario
from tests.support.postgres import PostgresForTests

ONE_MESSAGE = SCENARIOS[0]
[ONE_JOB] = [scenario for scenario in SCENARIOS if scenario.name == "one job"]
_OUTCOMES = (Operation.COMMIT, Operation.SEND, Operation.RECEIVE)
_SAMPLED = 3
"""Faults of each scenario in the quick part."""
_SOON = 10.0
"""Seconds after which what a planted mistake has lost counts as lost."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def laboratory(
    embedded_postgres: PostgresForTests, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Laboratory]:
    async with open_laboratory(embedded_postgres, tmp_path_factory.mktemp("crashes")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def simplest(laboratory: Laboratory) -> Enumeration:
    return Enumeration(laboratory, ONE_MESSAGE)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def recording(simplest: Enumeration) -> Recording:
    return await simplest.record()


async def test_every_kind_of_boundary_of_every_service_is_listed(recording: Recording) -> None:
    listed = recording.boundaries
    assert len(listed) >= 60
    assert {b.service for b in listed} == set(SERVICES)
    found = {(b.service, b.stage.partition(" #")[0], b.operation) for b in listed}
    webhook = "POST /v1/crm/webhook/whatsapp/*/*"
    assert found >= {
        ("gateway", webhook, "receive"),
        ("gateway", webhook, "send"),
        ("gateway", "inbox-flusher", "commit"),
        *(
            ("commerce-agent", stage, operation)
            for stage in ("consume crm_tasks", "inbox.waha", "conversation.turn")
            for operation in ("execute", "commit")
        ),
        ("commerce-agent", "conversation.turn", "send"),
        ("commerce-agent", "conversation.turn", "receive"),
        ("messenger", "consume wa_messages", "commit"),
        *(("messenger", "send", operation) for operation in ("execute", *_OUTCOMES)),
    }
    calls = [b.what for b in listed if b.service == "messenger" and b.operation == "send"]
    assert calls[-1] == "POST /api/sendText"
    assert len(hits(recording)) >= 4 * len(listed) - 20  # all but what `hits` says cannot be


async def test_the_same_run_crosses_the_same_boundaries(
    simplest: Enumeration, recording: Recording
) -> None:
    assert (await simplest.record()).boundaries == recording.boundaries


async def test_a_process_that_dies_with_a_commit_or_a_call_just_done_is_carried_on(
    simplest: Enumeration, recording: Recording
) -> None:
    struck = [
        hit for hit in hits(recording, [Mode.DIE_AFTER]) if hit.boundary.operation in _OUTCOMES
    ]
    assert {hit.boundary.service for hit in struck} == set(SERVICES)
    await simplest.assert_kept(recording, struck)


async def test_a_worker_that_dies_anywhere_in_a_job_leaves_one_result(
    laboratory: Laboratory,
) -> None:
    enumeration = Enumeration(laboratory, ONE_JOB)
    recorded = await enumeration.record()
    found = {(b.stage.partition(" #")[0], b.operation) for b in recorded.boundaries}
    assert found >= {("job.run", operation) for operation in ("execute", *_OUTCOMES)}
    await enumeration.assert_kept(recorded, hits(recorded, [Mode.DIE_AFTER]))


async def test_faults_drawn_by_the_seed_break_no_promise(
    laboratory: Laboratory, fault_random: random.Random
) -> None:
    async def sampled(scenario: Scenario, dice: random.Random) -> list[str]:
        enumeration = Enumeration(laboratory, scenario)
        recorded = await enumeration.record()
        return await enumeration.failures(recorded, sample(hits(recorded), _SAMPLED, dice))

    failures = await asyncio.gather(
        *(sampled(scenario, random.Random(fault_random.random())) for scenario in SCENARIOS)
    )
    told = [failure for each in failures for failure in each]
    assert not told, "\n\n".join(told)


async def test_planted_mistakes_are_found(simplest: Enumeration) -> None:
    async def found(
        mistake: str, stage: str, operation: Operation, patience: float = PATIENCE
    ) -> str:
        patch = f"tests.fault.crash_mistakes:{mistake}"
        planted = replace(simplest, patch=patch, patience=patience)
        recorded = await planted.record()  # as long as nothing breaks nobody notices
        last = [
            hit
            for hit in hits(recorded, [Mode.DIE_BEFORE])
            if (hit.boundary.stage, hit.boundary.operation) == (stage, operation)
        ][-1]
        [failure] = await planted.failures(recorded, [last])
        return failure

    lost, doubled = await asyncio.gather(
        found("acknowledge_first", "inbox.waha #1", Operation.COMMIT, _SOON),
        found("send_again_blindly", "send #1", Operation.RECEIVE),
    )
    assert "never done: ['an event in the inbox']" in lost
    assert "assert run.texts() == there" in doubled


@pytest.mark.whole
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_no_fault_at_any_boundary_breaks_a_promise(
    laboratory: Laboratory, scenario: Scenario, mode: Mode
) -> None:
    enumeration = Enumeration(laboratory, scenario)
    recorded = await enumeration.record()
    await enumeration.assert_kept(recorded, hits(recorded, [mode]))
