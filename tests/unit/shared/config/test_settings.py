"""Settings say what is wrong by name, show no secret, and are all documented."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from shared.config.settings import (
    CacheSettings,
    DatabaseSettings,
    Group,
    LlmSettings,
    PlatformSettings,
    SecuritySettings,
)

EXAMPLE = Path(__file__).parents[4] / ".env.example"
LINE = re.compile(r"^#([A-Z][A-Z0-9_]*)=(.*)$", re.MULTILINE)


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for group in PlatformSettings.model_fields.values():
        kind: Any = group.annotation
        assert issubclass(kind, Group)
        for name, field in kind.model_fields.items():
            yield name.upper(), field


def _written(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def test_the_example_file_names_every_setting_once_with_its_default() -> None:
    told = LINE.findall(EXAMPLE.read_text())
    assert sorted(name for name, _ in told) == sorted(name for name, _ in _fields())
    defaults = {name: _written(field.default) for name, field in _fields()}
    for name, value in told:
        shown = f"{float(value):g}" if re.fullmatch(r"\d+\.\d+", value) else value
        assert shown == defaults[name], name


def test_no_two_groups_share_a_name() -> None:
    names = [name for name, _ in _fields()]
    assert len(names) == len(set(names))


def test_values_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:geheim@db/x")
    monkeypatch.setenv("CONVERSATION_TTL", "90.5")
    monkeypatch.setenv("OUTBOUND_ALLOW_HOSTS", " waha:3000, localhost ,")
    settings = PlatformSettings.from_environment()
    assert settings.database.database_url == SecretStr("postgresql://app:geheim@db/x")
    assert settings.cache.conversation_ttl == timedelta(seconds=90.5)
    assert settings.security.outbound_allow_hosts == ("waha:3000", "localhost")
    assert "geheim" not in repr(settings)


def test_an_empty_value_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    monkeypatch.setenv("METRICS_PORT", " ")
    settings = PlatformSettings.from_environment()
    assert settings.cache.redis_url is None
    assert settings.observability.metrics_port is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_POOL_SIZE", "0"),
        ("CONVERSATION_TTL", "0"),
        ("CONVERSATION_TTL", "soon"),
        ("LOG_LEVEL", "LOUD"),
        ("HTTP_PORT", "70000"),
        ("MESSAGE_BUFFER_INITIAL_DELAY", "-1"),
        ("WAHA_SERVER_URL", "localhost:3000"),
        ("WAHA_SERVER_URL", "ftp://waha"),
        ("WAHA_SERVER_URL", "http://"),
        ("WAHA_SERVER_URL", "http://waha:99999"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        PlatformSettings.from_environment()
    assert caught.value.errors()[0]["loc"] == (name.lower(),)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost:3000", "localhost:3000"),
        ("http://WAHA/", "waha:80"),
        ("https://waha.example.com/waha", "waha.example.com:443"),
        ("http://[::1]:3000", "::1:3000"),
    ],
)
def test_the_waha_server_that_the_operator_named_may_be_reached(
    monkeypatch: pytest.MonkeyPatch, url: str, host: str
) -> None:
    monkeypatch.setenv("WAHA_SERVER_URL", url)
    monkeypatch.setenv("OUTBOUND_ALLOW_HOSTS", "ollama:11434")
    settings = PlatformSettings.from_environment()
    assert settings.outbound_hosts == ("ollama:11434", host)
    # models and everything else reach only what is listed
    assert settings.security.outbound_allow_hosts == ("ollama:11434",)


def test_nothing_more_may_be_reached_where_no_waha_server_is_named() -> None:
    assert PlatformSettings().outbound_hosts == ()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        CacheSettings().conversation_ttl = timedelta(1)  # type: ignore[misc]


def test_the_fixed_defaults() -> None:
    database, llm = DatabaseSettings(), LlmSettings()
    assert (database.database_pool_size, database.database_max_overflow) == (4, 2)
    assert llm.llm_default_timeout_seconds == timedelta(seconds=120)
    assert (llm.llm_max_retries, llm.circuit_breaker_failure_threshold) == (3, 5)
    assert SecuritySettings().outbound_allow_hosts == ()
