"""What a callback says: the job as ``GET /v1/jobs/{id}`` shows it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson

_AS_THEY_ARE: Final = (
    "status", "result", "agent_type", "retry_count", "max_retries", "next_retry_at", "tokens_in",
    "tokens_out", "config_name", "template_name", "template_version", "pipeline", "moderation",
    "priority", "stream", "metadata", "retry_of", "batch_id", "created_at", "started_at",
    "finished_at", "updated_at", "deadline_at",
)  # fmt: skip


def callback_body(event: str, job: Mapping[str, Any]) -> bytes:
    """The bytes that are signed and sent. ``job`` is its row; the moment is that of its end."""
    told = {"type": event, "timestamp": job["finished_at"], "data": shown(job)}
    return orjson.dumps(told, default=_plain, option=orjson.OPT_UTC_Z)


def shown(job: Mapping[str, Any]) -> dict[str, Any]:
    """A job's row in the words of REST, whose own schema a test compares."""
    code, detail = job["error_code"], job["error"]
    return {
        "job_id": job["id"],
        "error": None if code is None and detail is None else {"code": code, "detail": detail},
        "tokens": job["tokens_in"] + job["tokens_out"],
        "cost": {"amount": _dollars(job["cost_nanos"]), "currency": "USD"},
        **{name: job[name] for name in _AS_THEY_ARE},
    }


def _dollars(nanos: int) -> str:
    written = f"{Decimal(nanos).scaleb(-9):f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def _plain(value: Any) -> Any:
    # the driver's own class of ids, which orjson leaves to us
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
