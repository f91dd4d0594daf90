"""What a rule of the audit is, and what it reports."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A broken promise: where, and which rows say so. Never what a customer wrote."""

    rule: str
    """The rule's stable name, such as ``send-overtaken``."""
    tenant_id: UUID | None
    ids: tuple[str, ...]
    """The rows concerned, with their kind: ``send:…``, ``message:…``."""
    detail: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail} [{', '.join(self.ids)}] tenant {self.tenant_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long work may take to come to its end when everybody who held it is dead."""

    lease: timedelta = timedelta(seconds=30)
    """Until somebody else may take what a dead worker held."""
    sweep: timedelta = timedelta(seconds=10)
    """Until somebody looks for it."""
    work: timedelta = timedelta(seconds=15)
    """For doing it."""
    faults_until: datetime | None = None
    """Time before the last injected fault does not count."""

    @property
    def late(self) -> timedelta:
        return self.lease + self.sweep + self.work


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One promise and the query that finds what breaks it.

    The query gives ``tenant_id``, ``ids`` (a text array) and ``detail`` per violation, and may use
    ``:tenants`` (the audited), ``:settled`` (nothing may be left open), ``:late`` (the bound) and
    ``:since`` (time before it does not count).
    """

    name: str
    promise: str
    query: str

    def bind(self, values: Mapping[str, object]) -> tuple[str, list[object]]:
        """The query as PostgreSQL numbers its parameters, and their values."""
        names: list[str] = []

        def number(found: re.Match[str]) -> str:
            name = found.group(1)
            if name not in names:
                names.append(name)
            return f"${names.index(name) + 1}::{_TYPES[name]}"

        query = _PARAMETER.sub(number, self.query)
        return query, [values[name] for name in names]


_TYPES = {"tenants": "uuid[]", "settled": "boolean", "late": "interval", "since": "timestamptz"}
_PARAMETER = re.compile(rf"(?<!:):({'|'.join(_TYPES)})\b")
