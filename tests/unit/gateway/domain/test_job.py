from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from gateway.domain.entities.job import (
    IllegalJobTransition,
    InvalidJob,
    Job,
    JobNotFinished,
    Pipeline,
    RetriesSpent,
)
from gateway.domain.events.job_events import (
    JobCancelled,
    JobCompleted,
    JobCreated,
    JobFailed,
    JobRetrying,
)
from gateway.domain.value_objects.job_id import InvalidJobId, JobId
from gateway.domain.value_objects.job_status import EDGES, JobStatus
from gateway.domain.value_objects.plain_json import InvalidData
from gateway.domain.value_objects.prompt import InvalidPrompt, Prompt
from shared.kernel.ids import TenantId

TENANT = TenantId(uuid4())
NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=7)
S = JobStatus


def a_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "tenant_id": TENANT,
        "prompt": Prompt("Apa kabar?"),
        "config_name": "offline",
        "template_name": "default-assistant",
        "at": NOW,
    }
    return Job.create(**values | changes)


def in_status(status: JobStatus) -> Job:
    job = a_job()
    if status is S.CANCELLED:
        job.cancel(at=NOW)
    elif status is not S.QUEUED:
        job.start(at=NOW)
    if status is S.RETRYING:
        job.mark_for_retry(5, at=NOW, error="The provider is busy.")
    elif status is S.COMPLETED:
        job.complete("Baik.", at=NOW)
    elif status is S.FAILED:
        job.fail("model_answer_invalid", "The model said nothing.", at=NOW)
    job.pull_events()
    assert job.status is status
    return job


def state_of(job: Job) -> dict[str, Any]:
    return {each.name: getattr(job, each.name) for each in fields(job) if each.name != "_events"}


VERBS: dict[JobStatus, list[Callable[[Job], object]]] = {
    S.QUEUED: [lambda job: job.requeue(at=LATER), lambda job: job.release(at=LATER)],
    S.PROCESSING: [lambda job: job.start(at=LATER)],
    S.RETRYING: [lambda job: job.mark_for_retry(5, at=LATER, error="Busy.")],
    S.COMPLETED: [lambda job: job.complete("Baik.", at=LATER)],
    S.FAILED: [lambda job: job.fail("x", "X.", at=LATER)],
    S.CANCELLED: [lambda job: job.cancel(at=LATER)],
}


def test_the_graph_is_the_one_of_the_guide() -> None:
    assert dict(EDGES) == {
        S.QUEUED: {S.PROCESSING, S.FAILED, S.CANCELLED},
        S.PROCESSING: {S.COMPLETED, S.FAILED, S.RETRYING, S.CANCELLED, S.QUEUED},
        S.RETRYING: {S.QUEUED, S.FAILED, S.CANCELLED},
        S.COMPLETED: frozenset(),
        S.FAILED: frozenset(),
        S.CANCELLED: frozenset(),
    }
    assert {status for status in S if status.is_final} == {S.COMPLETED, S.FAILED, S.CANCELLED}


@pytest.mark.parametrize(("start", "target"), [*product(S, S)])
def test_verbs_go_where_the_graph_leads_and_nowhere_else(start: S, target: S) -> None:
    legal = 0
    for verb in VERBS[target]:
        job = in_status(start)
        before = state_of(job)
        try:
            verb(job)
        except IllegalJobTransition:
            assert state_of(job) == before
            assert job.pull_events() == []
        else:
            legal += 1
            assert job.status is target
            assert job.updated_at == LATER
            assert (job.finished_at == LATER) == target.is_final
            assert (job.next_retry_at is not None) == (target is S.RETRYING)
    assert legal == start.can_transition_to(target)


def test_a_new_job_waits_and_says_so() -> None:
    job = a_job(deadline=timedelta(seconds=90), batch_id=TENANT)

    assert (job.status, job.run, job.retry_count, job.max_retries) == (S.QUEUED, 0, 0, 3)
    assert (job.created_at, job.updated_at) == (NOW, NOW)
    assert job.deadline_at == NOW + timedelta(seconds=90)
    assert job.id.version == 7
    assert job.pull_events() == [
        JobCreated(
            tenant_id=TENANT,
            occurred_at=NOW,
            job_id=job.id,
            config_name="offline",
            batch_id=TENANT,
        )
    ]
    assert job.pull_events() == []


def test_a_job_has_an_hour_unless_it_says_otherwise() -> None:
    assert a_job().deadline_at == NOW + timedelta(hours=1)


def test_each_start_is_a_run_of_its_own() -> None:
    job = a_job()
    assert job.start(at=NOW) == 1
    job.release(at=NOW)
    assert job.start(at=LATER) == 2
    assert (job.run, job.started_at, job.retry_count) == (2, NOW, 0)


def test_an_answer_ends_the_job_and_its_trouble() -> None:
    job = in_status(S.RETRYING)
    job.requeue(at=NOW)
    job.start(at=NOW)
    job.complete("Baik.", "followup", at=LATER)

    assert (job.result, job.agent_type, job.error, job.error_code) == (
        "Baik.",
        "followup",
        None,
        None,
    )
    assert (job.retry_count, job.next_retry_at) == (1, None)
    assert job.pull_events() == [
        JobCompleted(tenant_id=TENANT, occurred_at=LATER, job_id=job.id, agent_type="followup")
    ]


def test_a_failure_says_why() -> None:
    job = in_status(S.QUEUED)
    job.fail("deadline_exceeded", "The deadline has passed.", at=LATER)

    assert (job.error_code, job.error, job.result) == (
        "deadline_exceeded",
        "The deadline has passed.",
        None,
    )
    assert job.pull_events() == [
        JobFailed(
            tenant_id=TENANT, occurred_at=LATER, job_id=job.id, error_code="deadline_exceeded"
        )
    ]


def test_a_cancelled_job_says_so() -> None:
    job = in_status(S.PROCESSING)
    job.cancel(at=LATER)
    assert job.pull_events() == [JobCancelled(tenant_id=TENANT, occurred_at=LATER, job_id=job.id)]


def test_a_retry_is_counted_and_planned() -> None:
    job = in_status(S.PROCESSING)
    job.mark_for_retry(12.5, at=LATER, error="The provider is busy.")

    due = LATER + timedelta(seconds=12.5)
    assert (job.retry_count, job.next_retry_at, job.error) == (1, due, "The provider is busy.")
    assert job.error_code is None
    assert job.pull_events() == [
        JobRetrying(
            tenant_id=TENANT, occurred_at=LATER, job_id=job.id, retry_count=1, next_retry_at=due
        )
    ]


def test_waiting_counts_no_retry_and_ends_with_the_deadline() -> None:
    job = a_job(max_retries=0, deadline=timedelta(seconds=60))
    job.start(at=NOW)
    assert not job.can_retry
    job.mark_for_retry(3600, at=NOW, error="The circuit is open.", counts=False)
    assert (job.retry_count, job.next_retry_at) == (0, NOW + timedelta(seconds=60))


def test_retries_are_spent_one_day() -> None:
    job = a_job(max_retries=1)
    job.start(at=NOW)
    assert job.can_retry
    job.mark_for_retry(1, at=NOW, error="Busy.")
    job.requeue(at=NOW)
    job.start(at=NOW)
    job.pull_events()
    before = state_of(job)

    assert not job.can_retry
    with pytest.raises(RetriesSpent):
        job.mark_for_retry(1, at=LATER, error="Busy again.")

    assert state_of(job) == before
    assert job.pull_events() == []


@pytest.mark.parametrize("ended", [S.COMPLETED, S.FAILED, S.CANCELLED])
def test_what_has_ended_can_be_done_again_as_a_new_job(ended: JobStatus) -> None:
    given: dict[str, Any] = {
        "pipeline": Pipeline.MULTI,
        "context": {"is_followup": True},
        "variables": {"name": "Ani"},
        "needs_moderation": True,
        "priority": -3,
        "metadata": {"order": 7},
        "callback_url": "https://toko.example/hook",
        "max_retries": 9,
    }
    job = a_job(**given, deadline=timedelta(minutes=5), batch_id=uuid4())
    if ended is S.CANCELLED:
        job.cancel(at=NOW)
    else:
        job.start(at=NOW)
        if ended is S.FAILED:
            job.fail("x", "X.", at=NOW)
        else:
            job.complete("Baik.", at=NOW)
    again = job.again(at=LATER)

    assert again.id > job.id
    assert {name: getattr(again, name) for name in given} == given
    assert (again.prompt, again.config_name, again.template_name) == (
        job.prompt,
        job.config_name,
        job.template_name,
    )
    assert (again.retry_of, again.batch_id, again.status) == (job.id, None, S.QUEUED)
    assert (again.created_at, again.deadline_at) == (LATER, LATER + timedelta(minutes=5))


@pytest.mark.parametrize("going", [S.QUEUED, S.PROCESSING, S.RETRYING])
def test_what_goes_on_is_not_done_again(going: JobStatus) -> None:
    with pytest.raises(JobNotFinished):
        in_status(going).again(at=LATER)


@pytest.mark.parametrize("text", ["", " \n\t", "x" * 100_001, "a\0b", "half \ud83d"])
def test_a_prompt_says_something_that_can_be_kept(text: str) -> None:
    with pytest.raises(InvalidPrompt) as refused:
        Prompt(text)
    assert refused.value.code == "invalid_prompt"


@pytest.mark.parametrize("text", ["?", "x" * 100_000, "  kopi \n", "🙂" * 100_000])
def test_a_prompt_is_kept_as_it_was_written(text: str) -> None:
    assert str(Prompt(content=text)) == text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"priority": 11}, "priority"),
        ({"priority": -11}, "priority"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 21}, "max_retries"),
        ({"deadline": timedelta(seconds=0.9)}, "deadline_seconds"),
        ({"deadline": timedelta(days=7, seconds=1)}, "deadline_seconds"),
        ({"config_name": ""}, "config_name"),
        ({"config_name": "x" * 101}, "config_name"),
        ({"template_name": " x"}, "template_name"),
        ({"template_name": "a\nb"}, "template_name"),
        ({"callback_url": "ftp://toko.example"}, "callback_url"),
        ({"callback_url": "https://"}, "callback_url"),
        ({"callback_url": "https://u:p@toko.example/"}, "callback_url"),
        ({"callback_url": "https://toko.example:x/"}, "callback_url"),
        ({"callback_url": "https://toko.example/a b"}, "callback_url"),
        ({"callback_url": "https://toko.example/" + "x" * 2000}, "callback_url"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJob) as refused:
        a_job(**changes)
    assert refused.value.data == {"field": field}


@pytest.mark.parametrize(
    "changes",
    [
        {"priority": 10, "max_retries": 20, "deadline": timedelta(days=7)},
        {"priority": -10, "max_retries": 0, "deadline": timedelta(seconds=1)},
        {"config_name": "x" * 100, "callback_url": "http://localhost:8000/hook?a=1"},
    ],
)
def test_the_ends_of_the_ranges_are_in(changes: dict[str, Any]) -> None:
    job = a_job(**changes)
    assert all(getattr(job, name) == value for name, value in changes.items() if name != "deadline")


def _nested(depth: int) -> dict[str, Any]:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return {"a": inner}


@pytest.mark.parametrize(
    "data",
    [
        {"a": "x\0"},
        {"a\0": 1},
        {"a": "\ud800"},
        {1: "a"},
        {"a": float("nan")},
        {"a": 2**63},
        {"a": object()},
        {"a": b"x"},
        {"a": {1, 2}},
        {"a": [[]] * 10_001},
        {"a": "x" * 10_001},
        _nested(20),
    ],
)
def test_what_comes_along_is_plain_json(data: dict[Any, Any]) -> None:
    with pytest.raises(InvalidData) as refused:
        a_job(metadata=data)
    assert refused.value.data == {"field": "metadata"}


def test_what_comes_along_is_copied() -> None:
    data = {"a": [1, {"b": None}], "c": "x" * 9_900, "d": True, "e": -1.5}
    job = a_job(metadata=data)
    assert job.metadata == data
    data["a"].append(2)  # type: ignore[attr-defined]
    assert job.metadata["a"] == [1, {"b": None}]
    assert a_job(context=_nested(19)).context == _nested(19)


def test_an_id_is_read_back() -> None:
    job_id = JobId.new()
    assert JobId.parse(str(job_id)) == job_id
    assert isinstance(JobId.parse(str(job_id)), JobId)
    for text in ("", "x", str(job_id)[:-1]):
        with pytest.raises(InvalidJobId):
            JobId.parse(text)
