"""One audit of one database, for people and for programs."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from ai_platform.audit.audit import RULES, audit_database
from ai_platform.audit.rules import Violation
from ai_platform.errors import CommandFailed, root_cause

_MOST_SHOWN = 100
_SEES_ALL = """
    SELECT pg_has_role(current_user, relowner, 'USAGE')
        OR (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
    FROM pg_class WHERE oid = 'public.tenants'::regclass
    """
_PROMISES = {rule.name: rule.promise for rule in RULES}


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was looked at and what was found."""

    tenants: dict[UUID, str]
    """The audited, id and slug."""
    violations: list[Violation]

    def as_json(self) -> dict[str, Any]:
        return {
            "clean": not self.violations,
            "rules": len(RULES),
            "tenants": len(self.tenants),
            "violations": [
                {
                    "rule": each.rule,
                    "promise": _PROMISES[each.rule],
                    "tenant_id": str(each.tenant_id) if each.tenant_id else None,
                    "tenant": self._slug(each) or None,
                    "ids": list(each.ids),
                    "detail": each.detail,
                }
                for each in self.violations
            ],
        }

    def print(self) -> None:
        console = Console(highlight=False)
        looked_at = f"{len(RULES)} rules, {_counted(len(self.tenants), 'tenant')}"
        if not self.violations:
            console.print(f"[green]Every promise is kept[/] ({looked_at}).")
            return
        table = Table("Rule", "Tenant", "What", "Rows", show_lines=True)
        for each in self.violations[:_MOST_SHOWN]:
            table.add_row(each.rule, self._slug(each), each.detail, "\n".join(each.ids))
        console.print(table)
        if (more := len(self.violations) - _MOST_SHOWN) > 0:
            console.print(f"… and {more} more; --json shows all.")
        for rule, count in Counter(each.rule for each in self.violations).items():
            console.print(f"[red]{count}[/] × [bold]{rule}[/]: {_PROMISES[rule]}")
        console.print(f"({looked_at}; what to do stands in docs/audit.md)")

    def _slug(self, violation: Violation) -> str:
        if violation.tenant_id is None:
            return ""
        return self.tenants.get(violation.tenant_id, str(violation.tenant_id))


async def look(owner_url: str, tenant: str | None) -> Report:
    """Audit as the database's owner, who sees every tenant.

    Raises:
        CommandFailed: this is not the owner, the tenant is not known, or the database is away.
    """
    plain = make_url(owner_url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await asyncpg.connect(plain, timeout=10)
        try:
            return await _look(connection, tenant)
        finally:
            await connection.close()
    except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError) as error:
        raise CommandFailed("The schema is not the newest: run ai-platform migrate") from error
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise CommandFailed(
            f"DATABASE_MIGRATION_URL does not connect ({root_cause(error)})"
        ) from error


async def _look(connection: asyncpg.Connection, tenant: str | None) -> Report:
    if not await connection.fetchval(_SEES_ALL):
        raise CommandFailed(
            "DATABASE_MIGRATION_URL is not the database's owner and would see no tenant's rows"
        )
    rows = await connection.fetch(
        "SELECT id, slug FROM tenants WHERE $1::text IS NULL OR $1 IN (slug, id::text)", tenant
    )
    tenants = {row["id"]: row["slug"] for row in rows}
    if tenant is not None and not tenants:
        raise CommandFailed(f"There is no tenant {tenant}")
    found = await audit_database(connection, tenants=tenants if tenant is not None else None)
    return Report(tenants=tenants, violations=found)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
