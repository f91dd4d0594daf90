"""Status, words and headers of providers, and what they mean. Over HTTP see the integration
tests; here is the table."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from llm_worker.infrastructure.llm import errors
from llm_worker.infrastructure.llm.errors import as_platform_error, error_in_answer, retry_after
from shared.kernel.errors import Invalid

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


class StatusError(Exception):
    def __init__(self, status: int, message: str = "", headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status_code = status
        self.body = {"message": message}
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "bad", errors.ModelRequestInvalid),
        (400, "This model's maximum context length is 8192 tokens", errors.ContextTooLong),
        (400, "prompt is too long: 210000 tokens", errors.ContextTooLong),
        (400, "flagged by our content_filter", errors.ModelRefused),
        (400, "Your credit balance is too low", errors.ModelQuotaSpent),
        (401, "Incorrect API key", errors.ModelKeyInvalid),
        (402, "billing", errors.ModelQuotaSpent),
        (403, "no access", errors.ModelKeyInvalid),
        (404, "no such model", errors.ModelNotFound),
        (408, "", errors.ModelUnavailable),
        (409, "", errors.ModelUnavailable),
        (413, "", errors.ContextTooLong),
        (422, "", errors.ModelRequestInvalid),
        (429, "slow down", errors.ModelUnavailable),
        (429, "insufficient_quota", errors.ModelQuotaSpent),
        (429, "too many tokens per minute", errors.ModelUnavailable),
        (500, "", errors.ModelUnavailable),
        (500, "the request exceeds the available context size", errors.ContextTooLong),
        (502, "", errors.ModelUnavailable),
        (503, "", errors.ModelUnavailable),
        (529, "overloaded", errors.ModelUnavailable),
        (200, "overloaded", errors.ModelUnavailable),
    ],
)
def test_a_status_has_a_meaning(status: int, message: str, kind: type[Exception]) -> None:
    assert type(as_platform_error(StatusError(status, message))) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), errors.ModelUnavailable),
        (ConnectionResetError(), errors.ModelUnavailable),
        (ValueError("No generations found in stream."), errors.ModelUnavailable),
        (ValueError("ours"), errors.ModelCallFailed),
        (KeyError("choices"), errors.ModelUnavailable),
        (TypeError("null value for `choices`"), errors.ModelUnavailable),
        (RuntimeError("ours"), errors.ModelCallFailed),
    ],
)
def test_an_exception_has_a_meaning(error: Exception, kind: type[Exception]) -> None:
    assert type(as_platform_error(error)) is kind


def test_our_own_errors_pass_unchanged() -> None:
    ours = Invalid("ours")
    assert as_platform_error(ours) is ours


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("20", 20),
        ("1.5", 1.5),
        ("6s", 6),
        ("0", 1),
        ("-1", 1),
        ("86400", 600),
        ("1e9", 600),
        ("inf", 600),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 1),
        ("Wed, 25 Nov 2099 11:00:00 GMT", 600),
    ],
)
def test_retry_after_is_bounded(value: str | None, seconds: float | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after(value, now=NOW) == expected


def test_retry_after_reaches_the_error() -> None:
    told = StatusError(429, headers={"retry-after": "7"})
    assert as_platform_error(told).retry_after == timedelta(seconds=7)  # type: ignore[attr-defined]
    exact = StatusError(503, headers={"retry-after-ms": "2500", "retry-after": "9"})
    assert as_platform_error(exact).retry_after == timedelta(  # type: ignore[attr-defined]
        seconds=2.5
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow"}, errors.ModelUnavailable),
        ({"code": 401}, errors.ModelKeyInvalid),
        ({"code": "insufficient_quota"}, errors.ModelQuotaSpent),
        ("context length exceeded", errors.ContextTooLong),
        (["overloaded"], errors.ModelUnavailable),
        (None, errors.ModelUnavailable),
        ({"message": "?"}, errors.ModelUnavailable),
    ],
)
def test_an_error_inside_a_200_has_a_meaning(error: Any, kind: type[Exception]) -> None:
    assert type(error_in_answer(error)) is kind


def test_a_providers_words_stay_out_of_the_detail() -> None:
    secret = "sk-secret and the whole prompt"
    for status in (400, 401, 404, 413, 429, 500):
        error = as_platform_error(StatusError(status, secret))
        assert "secret" not in f"{error} {error.detail} {error.data}"


@pytest.mark.parametrize("kind", ["str", "list"])
def test_a_text_or_a_list_in_the_answers_place_is_a_provider_that_is_away(kind: str) -> None:
    error = as_platform_error(AttributeError(f"'{kind}' object has no attribute 'model_dump'"))
    assert isinstance(error, errors.ModelUnavailable)


def test_another_missing_attribute_is_our_own_bug() -> None:
    error = as_platform_error(AttributeError("'Job' object has no attribute 'name'"))
    assert isinstance(error, errors.ModelCallFailed)
