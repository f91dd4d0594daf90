"""``ai-platform keys``."""

from pathlib import Path
from typing import Annotated

import typer

from ai_platform.commands.arguments import DataDirOption, run

_keys = typer.Typer(no_args_is_help=True, help="API keys.")


def register(cli: typer.Typer) -> None:
    cli.add_typer(_keys, name="keys")


@_keys.command("create")
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    tenant: Annotated[str | None, typer.Option(help="Slug or id of the key's tenant.")] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may do, repeatable; * is everything.")
    ] = None,
    platform: Annotated[
        bool, typer.Option("--platform", help="An operator's key, of no tenant.")
    ] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Make a key and print it. It is shown this once."""
    if platform is (tenant is not None):
        raise typer.BadParameter("give --tenant, or --platform for an operator's key")
    if platform and scope:
        raise typer.BadParameter("an operator's key has the scope platform and no other")
    if not platform and not scope:
        raise typer.BadParameter("give --scope; --scope '*' is everything within the tenant")
    typer.echo(run(_create(tenant, name, scope or ["platform"], data_dir)))


async def _create(tenant: str | None, name: str, scopes: list[str], data_dir: Path | None) -> str:
    from ai_platform.targets import find_target
    from commerce_agent.infrastructure.persistence.tenant_queries import SqlTenantQueries
    from gateway.application.services.api_key_service import ApiKeyService
    from gateway.infrastructure.persistence.api_keys import SqlApiKeyStore

    target = find_target(data_dir)
    async with target.open() as database:
        keys = ApiKeyService(SqlApiKeyStore(database), target.api_key_pepper())
        tenant_id = (await SqlTenantQueries(database).named(tenant)).id if tenant else None
        return await keys.create(tenant_id, name, scopes)
