"""``ai-platform doctor``."""

from pathlib import Path
from typing import Annotated

import typer

from ai_platform.commands.arguments import DataDirOption, run


def register(cli: typer.Typer) -> None:
    cli.command("doctor")(doctor)


def doctor(
    host: Annotated[str, typer.Option(help="Address that `up` would listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port that `up` would listen on.")] = 8000,
    data_dir: DataDirOption = None,
) -> None:
    """Check everything that the platform needs, and say what to do."""
    if not run(_examine(data_dir, host, port)):
        raise typer.Exit(1)


async def _examine(path: Path | None, host: str, port: int) -> bool:
    from rich.console import Console
    from rich.markup import escape

    from ai_platform.doctor.examination import examine
    from ai_platform.doctor.report import State
    from ai_platform.targets import data_dir_at

    console = Console()
    signs = {
        State.OK: "[green]ok    [/]",
        State.NOTE: "[yellow]note  [/]",
        State.FAILED: "[red]failed[/]",
    }
    healthy = True
    async for finding in examine(data_dir_at(path), host, port):
        healthy = healthy and finding.state is not State.FAILED
        line = f"{signs[finding.state]}  [bold]{finding.subject}[/]: {escape(finding.told)}"
        console.print(line, soft_wrap=True, highlight=False)
    return healthy
