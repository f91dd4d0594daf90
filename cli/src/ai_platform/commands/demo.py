"""``ai-platform demo``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ai_platform.commands.arguments import DataDirOption, run
from ai_platform.errors import CommandFailed

_demo = typer.Typer(no_args_is_help=True, help="The demo shop.")


def register(cli: typer.Typer) -> None:
    cli.add_typer(_demo, name="demo")


@_demo.command("load")
def load(data_dir: DataDirOption = None) -> None:
    """Lay out the demo shop; again, it adds what is missing. `up` does it by itself."""
    run(_load(data_dir))
    typer.echo("The demo shop is laid out; see: ai-platform demo info")


@_demo.command("info")
def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Print how to reach the running demo shop, its secrets included."""
    facts = _facts(data_dir)
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:15} {value}")


def _facts(path: Path | None) -> dict[str, str]:
    from ai_platform.embedded import credentials
    from ai_platform.targets import base_url, data_dir_at

    data_dir = data_dir_at(path)
    server = base_url(data_dir)
    demo = credentials.load_demo(data_dir)
    if demo is None:
        raise CommandFailed("This server has no demo shop; lay it out with: ai-platform demo load")
    if demo.api_key is None:
        raise CommandFailed(
            "Others can reach this server, so it has no demo login; make a key with: "
            f"ai-platform keys create --tenant {demo.tenant_slug} --name NAME --scope '*'"
        )
    return {
        "base_url": server,
        "tenant_id": demo.tenant_id,
        "tenant_slug": demo.tenant_slug,
        "api_key": demo.api_key,
        "webhook_url": f"{server}/v1/crm/webhook/whatsapp/{demo.tenant_id}/{demo.channel_id}",
        "webhook_secret": demo.webhook_secret,
        "channel_id": demo.channel_id,
    }


async def _load(path: Path | None) -> None:
    from ai_platform.demo.opening import open_shop
    from ai_platform.targets import find_target

    target = find_target(path)
    target.data_dir.make()
    async with target.open() as database:
        await open_shop(
            target.data_dir,
            database,
            target.key_ring(),
            target.api_key_pepper(),
            login=target.demo_login,
        )
