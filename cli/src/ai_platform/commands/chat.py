"""``ai-platform chat``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ai_platform.commands.arguments import DataDirOption, run

_DEFAULT_URL = "http://127.0.0.1:8000"


def register(cli: typer.Typer) -> None:
    cli.command("chat")(chat)


def chat(
    url: Annotated[
        str | None, typer.Option(help="Server to talk to; without it the one that runs here.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Slug or id of the shop.")] = None,
    key: Annotated[str | None, typer.Option(help="API key, where the server asks for one.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Write to a shop as a customer. Input that is no terminal is sent line by line."""
    run(_chat(url or _running_url(data_dir), tenant, key))


def _running_url(path: Path | None) -> str:
    if sys.platform == "win32":
        return _DEFAULT_URL
    from ai_platform.targets import data_dir_at

    server = data_dir_at(path).running()
    return server.base_url if server else _DEFAULT_URL


async def _chat(url: str, tenant: str | None, key: str | None) -> None:
    import time

    from rich.console import Console

    from ai_platform.chat.client import SimulatorClient
    from ai_platform.chat.conversation import Waiting, answer_lines
    from ai_platform.chat.terminal import Terminal

    waiting = Waiting(monotonic=time.monotonic)
    async with SimulatorClient(url, key) as client:
        shop = await client.shop(tenant)
        phone = await client.join(shop)
        if sys.stdin.isatty():
            await Terminal(Console(), shop, phone, waiting).run()
            return
        if shop.is_offline:
            typer.echo(f"{shop.name}: the {shop.model_label} answers.", err=True)
        await answer_lines(phone, sys.stdin, waiting=waiting, write=_write)


def _write(text: str) -> None:
    print(text, flush=True)
