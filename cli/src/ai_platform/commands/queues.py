"""``ai-platform queues``."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_platform.commands.arguments import DataDirOption, run
from ai_platform.errors import CommandFailed

if TYPE_CHECKING:
    from shared.breakers import WorkerPicture
    from shared.cache.port import Cache
    from shared.messaging.status import QueueStatus

_queues = typer.Typer(no_args_is_help=True, help="Work that waits, and what holds it up.")


def register(cli: typer.Typer) -> None:
    cli.add_typer(_queues, name="queues")


@_queues.command("status")
def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """How much work waits, of which kind, and how the circuit breakers stand."""
    queues, workers = run(_status(data_dir))
    if as_json:
        typer.echo(json.dumps(_plain(queues, workers)))
    else:
        _print(queues, workers)


@_queues.command("reset-breaker")
def reset_breaker(
    name: Annotated[
        str | None, typer.Argument(help="As `queues status` writes it: provider:model:key.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every breaker.")] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Have every worker close a circuit breaker now, instead of when its time has come."""
    if (name is not None) is everything:
        raise typer.BadParameter("give a breaker's name, or --all")
    answers = run(_reset(data_dir, name))
    if not answers:
        raise CommandFailed("No worker answered; do they run, and with the same REDIS_URL?")
    count = sum(answers.values())
    if name is not None and not count:
        raise CommandFailed(f"No worker has a breaker {name}; see: ai-platform queues status")
    typer.echo(f"{count} reset in {len(answers)} worker{'s' if len(answers) > 1 else ''}")


async def _status(
    path: Path | None,
) -> "tuple[Sequence[QueueStatus], Sequence[WorkerPicture] | None]":
    from ai_platform.targets import find_target
    from shared.breakers import look
    from shared.messaging.status import queue_status

    async with find_target(path).open() as database:
        queues = await queue_status(database)
    async with _cache(path) as cache:
        return queues, None if cache is None else await look(cache)


async def _reset(path: Path | None, name: str | None) -> dict[str, int]:
    from shared.breakers import ask_to_reset

    async with _cache(path) as cache:
        if cache is None:
            raise CommandFailed("REDIS_URL is not set, and no worker hears us without it")
        return await ask_to_reset(cache, name)


@asynccontextmanager
async def _cache(path: Path | None) -> "AsyncIterator[Cache | None]":
    """The cache of the same installation as the database's; ``None`` when nobody knows it."""
    from pydantic import SecretStr

    from ai_platform.targets import data_dir_at
    from shared.cache.open import open_cache
    from shared.config.settings import CacheSettings

    url = os.environ.get("REDIS_URL")
    if not os.environ.get("DATABASE_URL"):
        server = data_dir_at(path).running()
        url = (server.redis_url if server else None) or url
    if not url:
        yield None
        return
    async with open_cache(CacheSettings(redis_url=SecretStr(url))) as cache:
        yield cache


def _plain(
    queues: "Sequence[QueueStatus]", workers: "Sequence[WorkerPicture] | None"
) -> dict[str, Any]:
    return {
        "queues": [
            asdict(each)
            | {"oldest_due": each.oldest_due and round(each.oldest_due.total_seconds(), 1)}
            for each in queues
        ],
        "breakers": [
            {"worker": worker.worker, **asdict(breaker)}
            for worker in workers or ()
            for breaker in worker.breakers
        ]
        if workers
        else "unknown",
    }


def _print(queues: "Sequence[QueueStatus]", workers: "Sequence[WorkerPicture] | None") -> None:
    from ai_platform.jobs.display import screen
    from ai_platform.jobs.queue_tables import breaker_table, queue_table

    console = screen()
    if queues:
        console.print(queue_table(queues))
    else:
        console.print("No work waits, and there are no dead letters.")
    console.print()
    if not workers:
        console.print("Circuit breakers: [yellow]unknown[/] [dim](no worker tells of them)[/]")
    elif not any(worker.breakers for worker in workers):
        names = ", ".join(worker.worker for worker in workers)
        console.print(f"Circuit breakers: none yet [dim]({names} called no model)[/]")
    else:
        console.print(breaker_table(workers))
