"""Logs: one JSON line per event, with ids and without what people wrote.

A name of an event and ids are all a line needs. What slips in all the same is cut out here: keys
that hold text, numbers or secrets are masked by name, and phone numbers and keys by their shape.
"""

import logging
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

from shared.config.settings import ObservabilitySettings

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Stands in every line that is logged while it is set. structlog's own binding costs ten times as
much, too much for a request that may log nothing."""

_MASK = "[redacted]"
_PRIVATE_KEYS = re.compile(
    r"(^|_)(text|body|prompt|answer|message|content|draft|phone|address|name|email|password|secret"
    r"|token|api_?key|authorization|cookie|signature|url|dsn)($|_)",
    re.IGNORECASE,
)
_PRIVATE_SHAPES = (
    re.compile(r"aip_[a-z0-9]{12}_[A-Za-z0-9_-]{43}"),
    re.compile(r"\b(?:sk|pk|rk|SB-Mid|Mid|xnd)[-_][A-Za-z0-9_-]{12,}"),
    re.compile(r"\b[a-z][a-z0-9+]*://[^\s/:@]*:[^\s/@]+@"),
    re.compile(r"\b\d{5,}@(?:c\.us|lid|s\.whatsapp\.net)\b"),
    re.compile(r"(?<![\w-])\+?\d[\d\s().-]{7,}\d(?![\w-])"),
)
_SAFE_NAMES = frozenset({"event", "level", "timestamp", "logger", "service", "exc_type"})
_ID_KEYS = re.compile(r"(^|_)id$|^(queue|kind|key|state|outcome|code|error|tenant|route)$")


def configure(service: str, settings: ObservabilitySettings) -> None:
    """Set up structlog and the standard library's logging for this process, once."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_service(service),
        _exception_type,
        redact,
    ]
    renderer: structlog.typing.Processor
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    else:
        renderer = structlog.processors.JSONRenderer()
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=[_library_line, *shared],
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what must not be written down; the last processor before the line is rendered."""
    for key, value in event.items():
        if key in _SAFE_NAMES:
            continue
        if _PRIVATE_KEYS.search(key) and not _ID_KEYS.search(key):
            event[key] = _MASK
        else:
            event[key] = _clean(value)
    return event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        for shape in _PRIVATE_SHAPES:
            value = shape.sub(_MASK, value)
        return value
    if isinstance(value, Mapping):
        return {k: _MASK if _PRIVATE_KEYS.search(str(k)) else _clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _with_request_id(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    request_id = REQUEST_ID.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def _with_service(service: str) -> Callable[..., MutableMapping[str, Any]]:
    def processor(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", service)
        return event

    return processor


def _exception_type(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep an exception's type and where it was raised; its message may quote a customer."""
    told = event.pop("exc_info", None)
    if not told:
        return event
    error = told if isinstance(told, BaseException) else sys.exc_info()[1]
    if isinstance(told, tuple):
        error = told[1]
    if error is None:
        return event
    event["exc_type"] = type(error).__name__
    frames, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    event["trace"] = frames[-8:]
    return event


def _library_line(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Other people's log lines are sentences with data in them: keep who spoke and how loudly."""
    record = event.get("_record")
    if record is not None:
        event["event"] = "library_message"
        event["logger"] = record.name
        event["exc_info"] = record.exc_info
    return event
