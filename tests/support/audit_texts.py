"""Where strings are that must not be there: another tenant's rows, a log line."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from uuid import UUID

import asyncpg

from ai_platform.audit.rules import Violation

_COLUMNS = """
    SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
      AND (c.table_name = 'tenants' OR EXISTS (
          SELECT FROM information_schema.columns o WHERE o.table_schema = c.table_schema
          AND o.table_name = c.table_name AND o.column_name = 'tenant_id'))
    ORDER BY c.table_name, c.ordinal_position
    """
_TEXTS = frozenset({"text", "jsonb", "ARRAY", "character varying"})
_PRIVATE = """
    SELECT body FROM messages WHERE tenant_id = ANY($1) AND body IS NOT NULL
    UNION SELECT body FROM sends WHERE tenant_id = ANY($1)
    """
_PHONES = """
    SELECT phone FROM customers WHERE tenant_id = ANY($1) AND phone IS NOT NULL
    UNION SELECT split_part(address, '@', 1) FROM conversations WHERE tenant_id = ANY($1)
    UNION SELECT split_part(address, '@', 1) FROM customer_aliases WHERE tenant_id = ANY($1)
    UNION SELECT phone FROM channels WHERE tenant_id = ANY($1) AND phone IS NOT NULL
    """
_CHANGING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
)
_WORD = re.compile(r"[A-Za-z0-9_.]*\Z")
_SHORTEST = 6


class Tables:
    """Every table that belongs to tenants, with the columns in which words can stand."""

    def __init__(self, columns: Iterable[asyncpg.Record]) -> None:
        self._words: dict[str, list[str]] = {}
        self._bytes: dict[str, list[str]] = {}
        self._has_id: set[str] = set()
        for row in columns:
            table, column = row["table_name"], row["column_name"]
            self._words.setdefault(table, [])
            if row["data_type"] in _TEXTS:
                self._words[table].append(column)
            elif row["data_type"] == "bytea":
                self._bytes.setdefault(table, []).append(column)
            if column == "id":
                self._has_id.add(table)

    @classmethod
    async def read(cls, connection: asyncpg.Connection) -> "Tables":
        return cls(await connection.fetch(_COLUMNS))

    @property
    def fingerprints(self) -> str:
        """One row per tenant that changes with every row of the tenant's that does."""
        each = " UNION ALL ".join(
            f"SELECT {_tenant(table)} AS tenant_id, xmin::text::bigint AS x, {number} AS t"
            f' FROM "{table}"'
            for number, table in enumerate(self._words)
        )
        return (
            "SELECT tenant_id, md5(string_agg(t || ' ' || n || ' ' || s, ',' ORDER BY t)) AS print"
            " FROM (SELECT tenant_id, t, count(*) AS n, sum(x) AS s"
            f" FROM ({each}) each GROUP BY tenant_id, t) tables"
            " WHERE tenant_id IS NOT NULL GROUP BY tenant_id"
        )

    async def strangers(
        self,
        connection: asyncpg.Connection,
        canaries: Mapping[UUID, Collection[str]],
        tenants: Collection[UUID],
    ) -> list[Violation]:
        """Rows of these tenants, or of none, that hold another tenant's canary."""
        owners = [owner for owner, values in canaries.items() for _ in values]
        values = [value for each in canaries.values() for value in each]
        found: list[Violation] = []
        for table in self._words if values else ():
            rows = await connection.fetch(self._search(table), owners, values, list(tenants))
            found += [
                Violation(
                    rule="canary-in-row",
                    tenant_id=row["tenant_id"],
                    ids=(f"{table}:{row['id']}",),
                    detail=f"holds what is tenant {row['owner']}'s",
                )
                for row in rows
            ]
        return found

    def _search(self, table: str) -> str:
        words = [f'strpos(t."{column}"::text, c.value) > 0' for column in self._words[table]]
        words += [
            f"position(convert_to(c.value, 'UTF8') IN t.\"{column}\") > 0"
            for column in self._bytes.get(table, ())
        ]
        row_id = "t.id::text" if table in self._has_id else "t.ctid::text"
        return (
            f"SELECT DISTINCT t.{_tenant(table)} AS tenant_id, {row_id} AS id, c.owner"
            f' FROM "{table}" t'
            " CROSS JOIN unnest($1::uuid[], $2::text[]) AS c(owner, value)"
            f" WHERE t.{_tenant(table)} IS DISTINCT FROM c.owner"
            f" AND (t.{_tenant(table)} = ANY($3) OR t.{_tenant(table)} IS NULL)"
            f" AND ({' OR '.join(words) or 'false'})"
        )


def _tenant(table: str) -> str:
    return "id" if table == "tenants" else "tenant_id"


class LogBook:
    """The log lines of a run and the strings that must be in none of them. Lines that differ only
    in ids and times are one, so that a long run is as quickly read as a short one."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._texts: set[str] = set()
        self._phones: set[str] = set()
        self._told: set[tuple[str, str]] = set()

    async def learn(self, connection: asyncpg.Connection, tenants: Collection[UUID]) -> None:
        """What these tenants' customers wrote and were told, and how they are reached."""
        for row in await connection.fetch(_PRIVATE, list(tenants)):
            self._texts.update(_sentences(row["body"]))
        phones = await connection.fetch(_PHONES, list(tenants))
        self._phones.update(row["phone"].lstrip("+") for row in phones)

    def look(
        self, logs: str, secrets: Collection[str], canaries: Mapping[UUID, Collection[str]]
    ) -> list[Violation]:
        """What is in the log and must not be; each line is told of once."""
        for line in logs.splitlines():
            self._lines.setdefault(_CHANGING.sub("#", line), line)
        whole = "\n".join(self._lines)
        found = [
            *self._holding(whole, "secret-in-log", secrets),
            *self._holding(whole, "text-in-log", self._texts),
            *self._holding(whole, "phone-in-log", self._phones),
        ]
        for owner, values in canaries.items():
            for value in values:
                found += _of_strangers(logs, owner, value)
        return found

    def _holding(self, whole: str, rule: str, strings: Iterable[str]) -> Iterator[Violation]:
        for string in strings:
            written = {string, json.dumps(string)[1:-1]}
            if not any(form in whole for form in written):
                continue
            for line, as_written in self._lines.items():
                holds = any(_stands_alone(form, line) for form in written)
                if holds and (rule, line) not in self._told:
                    self._told.add((rule, line))
                    yield _logged(rule, as_written)


def _of_strangers(logs: str, owner: UUID, canary: str) -> Iterator[Violation]:
    """Lines about one tenant that hold another's canary."""
    if canary not in logs:
        return
    for line in logs.splitlines():
        if canary in line and (tenant := _field(line, "tenant_id")) not in ("", str(owner)):
            yield Violation(
                rule="canary-in-log",
                tenant_id=UUID(tenant),
                ids=(_named(line),),
                detail=f"holds what is tenant {owner}'s",
            )


def _stands_alone(string: str, line: str) -> bool:
    """A number inside a longer number or an id is not that number."""
    if not string.isdigit():
        return string in line
    return re.search(rf"(?<![0-9a-fA-F-]){string}(?![0-9a-fA-F-])", line) is not None


def _sentences(body: str) -> Iterator[str]:
    """The lines of a text that could not be the name of an event or a field."""
    for line in map(str.strip, body.splitlines()):
        if len(line) >= _SHORTEST and not _WORD.match(line):
            yield line


def _logged(rule: str, line: str) -> Violation:
    what = {"secret-in-log": "a secret", "text-in-log": "a message", "phone-in-log": "a number"}
    return Violation(
        rule=rule, tenant_id=None, ids=(_named(line),), detail=f"{what[rule]} was logged"
    )


def _named(line: str) -> str:
    """Which line it is, without repeating it."""
    return f"log:{_field(line, 'service') or '?'}/{_field(line, 'event') or '?'}"


def _field(line: str, name: str) -> str:
    try:
        fields = json.loads(line)
    except ValueError:
        return ""
    return str(fields.get(name, "")) if isinstance(fields, dict) else ""
