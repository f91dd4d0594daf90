"""Log lines carry ids, never what people wrote, their numbers or secrets."""

import json
import subprocess
import sys
from typing import Any

import pytest

from shared.observability.logging import redact

KEY = "aip_abcdefghijkl_" + "s" * 43


@pytest.mark.parametrize(
    "key",
    ["text", "body", "message_text", "phone", "customer_name", "address", "api_key", "secret",
     "password", "authorization", "webhook_secret", "prompt", "draft", "url"],
)  # fmt: skip
def test_fields_that_hold_private_things_are_masked_by_name(key: str) -> None:
    assert redact(None, "info", {"event": "x", key: "isi"})[key] == "[redacted]"


@pytest.mark.parametrize(
    "key", ["tenant_id", "message_id", "api_key_id", "queue", "kind", "key", "code", "outcome"]
)
def test_ids_and_names_of_things_stay(key: str) -> None:
    value = "0199c0de-1111-7abc-8def-0123456789ab"
    assert redact(None, "info", {"event": "x", key: value})[key] == value


@pytest.mark.parametrize(
    "private",
    [
        "6281234567890@c.us", "+62 812-3456-7890", "081234567890", "123456789012@lid", KEY,
        "sk-proj-abcdefghijklmnop", "postgresql://app:geheim@db/x",
    ],
)  # fmt: skip
def test_private_shapes_are_cut_out_of_any_value(private: str) -> None:
    line = redact(None, "info", {"event": "x", "reason": f"cannot reach {private} now"})
    assert private not in line["reason"]
    assert "[redacted]" in line["reason"]


def test_nested_values_are_cleaned_too() -> None:
    line: dict[str, Any] = {"event": "x", "data": {"phone": "0812", "ids": ["6281234567@c.us"]}}
    assert redact(None, "info", line)["data"] == {"phone": "[redacted]", "ids": ["[redacted]"]}


def test_an_exceptions_message_and_other_libraries_sentences_stay_out() -> None:
    program = f"""
import logging, structlog
from shared.config.settings import ObservabilitySettings
from shared.observability import logging as ours
ours.configure("test", ObservabilitySettings())
log = structlog.get_logger()
try:
    raise ValueError("customer wrote: kopi susu {KEY}")
except ValueError:
    log.exception("handler_failed", tenant_id="t1")
logging.getLogger("sqlalchemy").warning("INSERT ('kopi susu')")
"""
    lines = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stderr
    first, second = map(json.loads, lines.strip().splitlines())
    assert first["event"] == "handler_failed"
    assert first["exc_type"] == "ValueError"
    assert first["tenant_id"] == "t1"
    assert first["service"] == "test"
    assert second["logger"] == "sqlalchemy"
    assert "kopi susu" not in lines
    assert KEY not in lines
