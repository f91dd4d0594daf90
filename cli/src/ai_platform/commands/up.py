"""``ai-platform up``: everything in one command."""

import sys
from typing import Annotated

import typer

from ai_platform.commands.arguments import DataDirOption, run
from ai_platform.errors import CommandFailed


def register(cli: typer.Typer) -> None:
    cli.command("up")(up)


def up(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8000,
    data_dir: DataDirOption = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Leave the demo shop out.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show everything that is logged.")
    ] = False,
    follow_parent: Annotated[bool, typer.Option("--follow-parent", hidden=True)] = False,
) -> None:
    """Start PostgreSQL, Valkey and every service here, with a demo shop and a simulator."""
    if sys.platform == "win32":
        raise CommandFailed(
            "The embedded servers do not run on Windows yet: use WSL, or set DATABASE_URL and "
            "REDIS_URL and start the services one by one"
        )
    import signal

    from ai_platform.embedded import child
    from ai_platform.embedded.options import UpOptions, free_port
    from ai_platform.embedded.screen import Screen
    from ai_platform.embedded.supervisor import Supervisor
    from ai_platform.targets import data_dir_at

    if follow_parent:  # `make run`: who kills make means us too
        child.follow_parent(signal.SIGTERM)
    options = UpOptions(
        data_dir=data_dir_at(data_dir),
        host=host,
        port=free_port(host, port),
        demo=not no_demo,
        verbose=verbose,
    )
    run(Supervisor(options, Screen()).run())
