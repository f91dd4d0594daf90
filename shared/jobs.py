"""What the gateway, which accepts LLM jobs, and the workers, which do them, have agreed on."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from shared.kernel.ids import TenantId
from shared.messaging.port import Queue, Task

RUN: Final = "job.run"
"""The kind of work on ``ai_tasks`` whose key is the job's id."""
CALLBACK: Final = "webhook.deliver"
"""The kind of work on ``crm_tasks`` that tells an address of ours' users what happened."""


def run_task(
    job_id: UUID,
    *,
    priority: int = 0,
    delay: timedelta = timedelta(0),
    payload: dict[str, Any] | None = None,
) -> Task:
    """The work of doing this job. Its row is kept until the job has ended."""
    return Task(
        queue=Queue.AI_TASKS,
        kind=RUN,
        key=str(job_id),
        payload={"job_id": str(job_id), **(payload or {})},
        priority=priority,
        delay=delay,
    )


def topic(tenant_id: TenantId, job_id: UUID) -> str:
    """Where the cache tells of a job's states and of the text that it writes."""
    return f"job:{tenant_id}:{job_id}"


def callback_task(job_id: UUID, *, delay: timedelta = timedelta(0)) -> Task:
    """The work of telling the job's ``callback_url`` that it has ended. The same tenant's
    conversations go first: there somebody waits."""
    return Task(
        queue=Queue.CRM_TASKS,
        kind=CALLBACK,
        key=f"job:{job_id}",
        payload={"job_id": str(job_id)},
        priority=-1,
        delay=delay,
    )


def status_news(status: str, run: int) -> bytes:
    """The job has changed its state; whoever hears it reads the row."""
    return orjson.dumps({"type": "status", "status": status, "run": run})


def reset_news(run: int, attempt: int) -> bytes:
    """A new call begins; text that was told before is void."""
    return orjson.dumps({"type": "reset", "run": run, "attempt": attempt})


def delta_news(run: int, attempt: int, text: str) -> bytes:
    """More of the text that call is writing."""
    return orjson.dumps({"type": "delta", "run": run, "attempt": attempt, "text": text})
