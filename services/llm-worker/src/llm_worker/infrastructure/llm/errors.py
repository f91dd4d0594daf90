"""What a failed model call means for the platform, whichever library reported it.

Nothing is imported from a provider's SDK: its classes are recognised by the attributes and names
they share, so a process that uses one provider never loads the other's.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from shared.kernel.clock import utc_now
from shared.kernel.errors import DomainError, Invalid, Unavailable

RETRY_AFTER_FLOOR = timedelta(seconds=1)
RETRY_AFTER_CAP = timedelta(minutes=10)


class ModelUnavailable(Unavailable):
    """The model does not answer for the moment."""

    code = "model_unavailable"
    blames_provider: ClassVar[bool] = True
    """Whether a circuit breaker may count it: a wait that we cut short proves nothing."""


class ModelRefused(Invalid):
    """The provider refuses to answer this content."""

    code = "model_refused"


class ModelKeyInvalid(Invalid):
    """The provider does not accept this key."""

    code = "model_key_invalid"


class ModelQuotaSpent(ModelKeyInvalid):
    """The provider's account behind this key is out of credit."""

    code = "model_quota_spent"


class ModelRequestInvalid(Invalid):
    """The provider does not understand this request."""

    code = "model_request_invalid"


class ModelNotFound(ModelRequestInvalid):
    """The provider has no model of this name."""

    code = "model_not_found"


class ContextTooLong(ModelRequestInvalid):
    """The conversation is longer than the model can read."""

    code = "model_context_too_long"


class ModelCallFailed(DomainError):
    """The call failed in a way nobody has met before; the cause is attached."""

    code = "model_call_failed"


_RETRYABLE_STATUS = frozenset({408, 409, 425, 429, 529})
_CONTEXT = re.compile(
    r"context[_ ]?(length|window|size)|exceeds?(\s+\w+){0,4}\s+context|prompt is too long"
    r"|too many (input )?tokens|maximum (number of )?(input )?tokens|input tokens exceed"
    r"|reduce the length of",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"content[_ ](filter|policy|management)|safety system|refus", re.IGNORECASE)
_QUOTA = re.compile(
    r"insufficient_quota|exceeded your current quota|credit balance is too low|billing",
    re.IGNORECASE,
)
_BUSY = re.compile(r"rate[_ ]?limit|overloaded|too many requests|try again", re.IGNORECASE)
_TIMEOUT_NAMES = frozenset(
    {"APITimeoutError", "ModelTimeoutError", "TimeoutException", "StreamChunkTimeoutError"}
)
_CONNECTION_NAMES = frozenset(
    {"APIConnectionError", "ModelConnectionError", "TransportError", "ConnectError"}
)
_PAYLOAD_NAMES = frozenset({"APIResponseValidationError", "OpenAIError", "AnthropicError"})


def as_platform_error(exc: Exception, *, now: Callable[[], datetime] = utc_now) -> DomainError:
    """Translate an error of a model call.

    `ModelUnavailable` is worth another try after its ``retry_after``; every other kind would fail
    again. The provider's own words stay in the cause and never enter the detail: they may repeat
    the prompt or the key.
    """
    ours = _ours(exc)
    if ours is not None:
        return ours
    names = {kind.__name__ for kind in type(exc).__mro__}
    status, text = _status(exc), _text(exc)
    if status is not None:
        return _by_status(status, text, _retry_after(exc, now))
    if "ContextOverflowError" in names:
        return ContextTooLong()
    if "ModelRefusalError" in names:
        return ModelRefused()
    if isinstance(exc, TimeoutError) or names & _TIMEOUT_NAMES:
        return ModelUnavailable("The model took too long")
    if isinstance(exc, OSError) or names & _CONNECTION_NAMES:
        return ModelUnavailable("The model cannot be reached")
    if "APIError" in names or names & _PAYLOAD_NAMES:  # an error inside a stream that began well
        return _by_text(text)
    if isinstance(exc, ValueError | KeyError | TypeError | IndexError | AttributeError):
        # how LangChain says that a 200 held an error, no choices or no JSON
        return _by_text(text) if _speaks_of_an_answer(exc, text) else ModelCallFailed()
    return ModelCallFailed()


def _ours(exc: BaseException) -> DomainError | None:
    """An error of the platform, also where an SDK wrapped it: our transport refuses addresses."""
    cause: BaseException | None = exc
    for _ in range(8):
        if cause is None or isinstance(cause, DomainError):
            return cause
        cause = cause.__cause__
    return None


def error_in_answer(error: Any) -> DomainError:
    """Translate the ``error`` of a body that came with a 200; any JSON value, or nothing."""
    code = error.get("code") or error.get("status") if isinstance(error, Mapping) else None
    told = error if isinstance(error, str) else json.dumps(error, default=str)
    if isinstance(code, int) and code >= 400:
        return _by_status(code, told, None)
    return _by_text(told)


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Read a Retry-After header: whole or broken seconds, or a date.

    Bounded to 1 s … 10 min, because servers have been seen to say 0, -1 and 86400;
    ``None`` for what is neither.
    """
    if value is None:
        return None
    value = value.strip()
    try:
        seconds = float(value.removesuffix("s"))
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    if seconds != seconds:  # NaN
        return None
    floor, cap = RETRY_AFTER_FLOOR.total_seconds(), RETRY_AFTER_CAP.total_seconds()
    return timedelta(seconds=min(max(seconds, floor), cap))


def _by_status(status: int, text: str, wait: timedelta | None) -> DomainError:
    if status in (402, 429) and _QUOTA.search(text):
        return ModelQuotaSpent()
    if status < 300:
        return _by_text(text)
    if status in _RETRYABLE_STATUS or status >= 500:
        if status != 429 and _CONTEXT.search(text):
            return ContextTooLong()  # several servers say "exceeds context" as a 500
        return ModelUnavailable(f"The model's provider answered {status}", retry_after=wait)
    if status == 402:
        return ModelQuotaSpent()
    if status in (401, 403):
        return ModelRefused() if _REFUSED.search(text) else ModelKeyInvalid()
    if status == 413 or _CONTEXT.search(text):
        return ContextTooLong()
    if _REFUSED.search(text):
        return ModelRefused()
    if _QUOTA.search(text):
        return ModelQuotaSpent()
    if status == 404:
        return ModelNotFound()
    return ModelRequestInvalid(f"The model's provider answered {status}")


def _by_text(text: str) -> DomainError:
    """For errors that carry no status: what they say decides, and silence means "try again"."""
    if _CONTEXT.search(text):
        return ContextTooLong()
    if _QUOTA.search(text):
        return ModelQuotaSpent()
    if _BUSY.search(text):
        return ModelUnavailable("The model's provider is busy")
    if _REFUSED.search(text):
        return ModelRefused()
    if re.search(r"invalid_api_key|authentication_error|invalid x-api-key", text, re.IGNORECASE):
        return ModelKeyInvalid()
    if "invalid_request_error" in text:
        return ModelRequestInvalid()
    return ModelUnavailable("The model's provider sent no readable answer")


def _speaks_of_an_answer(exc: BaseException, text: str) -> bool:
    return (
        isinstance(exc, json.JSONDecodeError)
        or "choices" in text
        or "Unexpected response type" in text
        or "No generation" in text
        or "object has no attribute 'model_dump'" in text  # a text or a list in the answer's place
        or bool(exc.args and isinstance(exc.args[0], Mapping))
    )


def _status(exc: BaseException) -> int | None:
    for holder in (exc, getattr(exc, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _text(exc: BaseException) -> str:
    body: Any = getattr(exc, "body", None)
    try:
        told = "" if body is None else json.dumps(body, default=str)
    except ValueError:
        told = ""
    return f"{exc} {told}"


def _retry_after(exc: BaseException, now: Callable[[], datetime]) -> timedelta | None:
    headers: Any = getattr(getattr(exc, "response", None), "headers", None)
    if headers is None:
        return None
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None:
        try:
            return retry_after(str(float(milliseconds) / 1000), now=now())
        except ValueError:
            pass
    return retry_after(headers.get("retry-after"), now=now())
