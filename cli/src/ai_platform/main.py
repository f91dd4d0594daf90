"""The ``ai-platform`` command. What a subcommand needs is imported when it runs, so that help is
quick and a gateway's image does without the embedded servers."""

import sys
from typing import NoReturn

import typer

from ai_platform.commands import (
    audit,
    chat,
    dead_letters,
    demo,
    doctor,
    jobs,
    keys,
    migrate,
    queues,
    services,
    up,
)
from ai_platform.errors import CommandFailed

cli = typer.Typer(
    name="ai-platform",
    help="A self-hosted WhatsApp-commerce platform: everything in one command, and its parts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    *(up, services, migrate, keys, demo, chat),
    *(jobs, queues, dead_letters, audit, doctor),
):
    command.register(cli)


def app() -> None:
    """Run the command line: errors are one sentence and exit code 1, never a traceback."""
    try:
        cli()
    except CommandFailed as error:
        _fail(str(error))
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        _fail(f"The system refused{where}: {error.strerror or error}")


def _fail(sentence: str) -> NoReturn:
    sys.exit(f"ai-platform: {sentence}")
