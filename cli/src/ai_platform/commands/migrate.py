"""``ai-platform migrate``."""

import typer

from ai_platform.commands.arguments import DataDirOption, run
from ai_platform.errors import CommandFailed


def register(cli: typer.Typer) -> None:
    cli.command("migrate")(migrate)


def migrate(data_dir: DataDirOption = None) -> None:
    """Bring the database to the newest schema (DATABASE_MIGRATION_URL, or a running `up`)."""
    from ai_platform.targets import find_target
    from shared.persistence import migrate as migrations

    target = find_target(data_dir)
    if target.migration_url is None:
        raise CommandFailed("DATABASE_MIGRATION_URL is not set: it names the database's owner")
    run(migrations.migrate(target.migration_url))
    typer.echo("The schema is up to date.")
