"""``ai-platform dead-letters``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from ai_platform.commands.arguments import DataDirOption, run
from ai_platform.errors import CommandFailed

if TYPE_CHECKING:
    from shared.messaging.dead_letters import DeadLetter

_letters = typer.Typer(no_args_is_help=True, help="Work that was given up, of all tenants.")

QueueOption = Annotated[
    str | None, typer.Option(help="Only of this queue: ai_tasks, crm_tasks or wa_messages.")
]
KindOption = Annotated[str | None, typer.Option(help="Only of this kind, e.g. job.run.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
_MOST = 10_000


def register(cli: typer.Typer) -> None:
    cli.add_typer(_letters, name="dead-letters")


@_letters.command("list")
def list_letters(
    queue: QueueOption = None,
    kind: KindOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Those that were put back, too.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=_MOST)] = 50,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """The newest first, and why each was given up."""
    found = run(_found(data_dir, queue, kind, everything=everything))[:limit]
    if as_json:
        typer.echo(json.dumps([_plain(letter) for letter in found]))
    elif not found:
        typer.echo("There are no dead letters.")
    else:
        _print_table(found)


@_letters.command("show")
def show(
    letter: Annotated[UUID, typer.Argument(metavar="ID")],
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """One, with all that is known of it."""

    async def find(path: Path | None) -> "DeadLetter":
        from ai_platform.targets import find_target
        from shared.messaging.dead_letters import find_dead_letter

        async with find_target(path).open() as database:
            return await find_dead_letter(database, letter)

    facts = _plain(run(find(data_dir)))
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        shown = json.dumps(value) if isinstance(value, dict) else "" if value is None else value
        typer.echo(f"{name:12} {shown}")


@_letters.command("redrive")
def redrive(
    letters: Annotated[list[UUID] | None, typer.Argument(metavar="[ID]...")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every one, or every one of --queue and --kind.")
    ] = False,
    queue: QueueOption = None,
    kind: KindOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Put the work back into its queue, due now."""
    if bool(letters) is everything:
        raise typer.BadParameter("give ids, or --all")
    if letters and (queue or kind):
        raise typer.BadParameter("--queue and --kind go with --all")
    count = run(_redrive(data_dir, letters or [], queue, kind))
    typer.echo(f"{count} put back" if count else "There are no dead letters to put back.")


async def _redrive(
    path: Path | None, ids: Sequence[UUID], queue: str | None, kind: str | None
) -> int:
    from ai_platform.targets import find_target
    from shared.messaging.dead_letters import AlreadyRedriven, find_dead_letter
    from shared.messaging.dead_letters import redrive as put_back

    count = 0
    async with find_target(path).open() as database:
        if ids:
            chosen = [await find_dead_letter(database, each) for each in ids]
            for letter in chosen:
                await put_back(database, letter.tenant_id, letter.id)
            return len(chosen)
    for letter in await _found(path, queue, kind, everything=False):
        async with find_target(path).open() as database:
            try:
                await put_back(database, letter.tenant_id, letter.id)
            except AlreadyRedriven:  # somebody else was quicker
                continue
        count += 1
    return count


async def _found(
    path: Path | None, queue: str | None, kind: str | None, *, everything: bool
) -> "list[DeadLetter]":
    from ai_platform.targets import find_target
    from shared.messaging.dead_letters import list_dead_letters

    found: list[DeadLetter] = []
    before: UUID | None = None
    async with find_target(path).open() as database:
        while len(found) < _MOST:
            page = await list_dead_letters(database, queue=_queue(queue), before=before, limit=500)
            found += [
                letter
                for letter in page
                if kind in (None, letter.kind) and (everything or letter.redriven_at is None)
            ]
            if len(page) < 500:
                break
            before = page[-1].id
    return found


def _queue(name: str | None) -> Any:
    from shared.messaging.port import Queue

    if name is None:
        return None
    try:
        return Queue(name)
    except ValueError as error:
        raise CommandFailed(f"There is no queue {name}; there are {', '.join(Queue)}") from error


def _plain(letter: "DeadLetter") -> dict[str, Any]:
    return {
        "id": str(letter.id),
        "tenant_id": str(letter.tenant_id),
        "queue": letter.queue.value,
        "kind": letter.kind,
        "key": letter.key,
        "code": letter.code,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "created_at": letter.created_at.isoformat(),
        "redriven_at": letter.redriven_at and letter.redriven_at.isoformat(),
        "payload": dict(letter.payload),
    }


def _print_table(found: "Sequence[DeadLetter]") -> None:
    from datetime import UTC, datetime

    from rich.markup import escape

    from ai_platform.jobs.display import ago, plain_table, screen

    table = plain_table()
    for name in ("id", "queue", "kind", "age", "why"):
        table.add_column(name, no_wrap=name != "why", justify="right" if name == "age" else "left")
    for letter in found:
        why = f"[red]{escape(letter.code)}[/] [dim]{escape(letter.detail)}[/]"
        table.add_row(
            str(letter.id),
            letter.queue.value,
            escape(letter.kind),
            ago(datetime.now(UTC) - letter.created_at),
            why if letter.redriven_at is None else f"{why} [dim](put back)[/]",
        )
    screen().print(table)
