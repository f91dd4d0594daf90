"""``ai-platform audit``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ai_platform.commands.arguments import DataDirOption, run
from ai_platform.errors import CommandFailed

CANNOT_RUN = 2


def register(cli: typer.Typer) -> None:
    cli.command("audit")(audit)


def audit(
    tenant: Annotated[str | None, typer.Option(help="Slug or id of the only tenant.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Look for broken promises in the database: nothing lost, nothing twice, in order.

    Reads only, and may run at any time. Ends with 0 when every rule holds, with 1 when one is
    broken, and with 2 when it could not look.
    """
    try:
        is_clean = run(_audit(tenant, data_dir, as_json=as_json))
    except CommandFailed as error:
        typer.echo(f"ai-platform: {error}", err=True)
        raise typer.Exit(CANNOT_RUN) from error
    if not is_clean:
        raise typer.Exit(1)


async def _audit(tenant: str | None, path: Path | None, *, as_json: bool) -> bool:
    from ai_platform.audit.report import look
    from ai_platform.targets import find_target

    target = find_target(path)
    if target.migration_url is None:
        raise CommandFailed("DATABASE_MIGRATION_URL is not set: it names the database's owner")
    report = await look(target.migration_url, tenant)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        report.print()
    return not report.violations
