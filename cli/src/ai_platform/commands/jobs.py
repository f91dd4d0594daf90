"""``ai-platform jobs``."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai_platform.commands.arguments import DataDirOption, run
from ai_platform.errors import CommandFailed

if TYPE_CHECKING:
    from ai_platform.jobs.client import JobsClient

_jobs = typer.Typer(no_args_is_help=True, help="LLM jobs: prompts for models, over REST.")

UrlOption = Annotated[
    str | None,
    typer.Option(envvar="AI_PLATFORM_URL", help="Server; without it the one that runs here."),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        envvar="AI_PLATFORM_API_KEY",
        show_envvar=True,
        help="API key; without it the demo shop's, on the server that runs here.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
ConfigOption = Annotated[
    str | None, typer.Option("--config", help="The model, e.g. default-smart or offline.")
]
TemplateOption = Annotated[str | None, typer.Option("--template", help="The system prompt.")]


def register(cli: typer.Typer) -> None:
    cli.add_typer(_jobs, name="jobs")


@_jobs.command("submit")
def submit(
    prompt: Annotated[str, typer.Argument(help="What is asked; - reads standard input.")],
    config: ConfigOption = None,
    template: TemplateOption = None,
    var: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE for the template, repeatable.")
    ] = None,
    multi: Annotated[
        bool, typer.Option("--multi", help="Moderation, router and agents, not one model alone.")
    ] = False,
    metadata: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of your own, repeatable.")
    ] = None,
    priority: Annotated[int | None, typer.Option(min=-10, max=10)] = None,
    deadline: Annotated[float | None, typer.Option(help="Seconds after which it fails.")] = None,
    callback_url: Annotated[str | None, typer.Option(help="Is told when it has ended.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again is the same job.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show the answer while it is written.")
    ] = False,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Submit a prompt and print the job's id. With --watch wait for the answer; ends with 1 when
    there is none."""
    job: dict[str, Any] = {
        "prompt": _standard_input() if prompt == "-" else prompt,
        "config_name": config,
        "template_name": template,
        "pipeline": "multi" if multi else None,
        "variables": _pairs(var, "--var"),
        "metadata": _pairs(metadata, "--metadata"),
        "priority": priority,
        "deadline_seconds": deadline,
        "callback_url": callback_url,
        "stream": watch or None,
    }
    asked = {name: value for name, value in job.items() if value is not None}

    async def work(client: "JobsClient") -> None:
        accepted = await client.submit(asked, key=idempotency_key)
        if watch:
            await _watch(client, accepted["job_id"], as_json=as_json)
        else:
            typer.echo(json.dumps(accepted) if as_json else accepted["job_id"])

    _with_client(work, url, key, data_dir)


@_jobs.command("watch")
def watch(
    job: JobArgument,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show a job until it has ended; ends with 1 when there is no answer."""

    async def work(client: "JobsClient") -> None:
        await client.get(job)
        await _watch(client, job, as_json=as_json)

    _with_client(work, url, key, data_dir)


@_jobs.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs that stand so.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    as_json: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """The newest jobs."""

    async def work(client: "JobsClient") -> None:
        from ai_platform.jobs.display import jobs_table, screen

        found = await client.list(status=status and status.upper(), limit=limit)
        if as_json:
            typer.echo(json.dumps(found))
        elif not found:
            typer.echo("There are no jobs; submit one with: ai-platform jobs submit PROMPT")
        else:
            console = screen()
            console.print(jobs_table(found, width=console.width))

    _with_client(work, url, key, data_dir)


@_jobs.command("cancel")
def cancel(
    job: JobArgument,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Stop a job that has not ended, also one that a model is answering."""

    async def work(client: "JobsClient") -> None:
        await client.cancel(job)
        typer.echo(f"{job} is cancelled")

    _with_client(work, url, key, data_dir)


@_jobs.command("retry")
def retry(
    job: JobArgument,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show the answer while it is written.")
    ] = False,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Do a job that has ended again, as a new job, and print its id."""

    async def work(client: "JobsClient") -> None:
        again = await client.retry(job)
        if watch:
            await _watch(client, again["job_id"], as_json=False)
        else:
            typer.echo(again["job_id"])

    _with_client(work, url, key, data_dir)


@_jobs.command("batch")
def batch(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.jsonl",
            exists=True,
            dir_okay=False,
            help="A job a line: the body of POST /v1/jobs, or a text alone.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", dir_okay=False, help="Where the results go, a line each.")
    ],
    config: ConfigOption = None,
    template: TemplateOption = None,
    at_once: Annotated[int, typer.Option(min=1, max=500, help="Jobs under way at a time.")] = 32,
    url: UrlOption = None,
    key: KeyOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Do every job of a file. Stopped in the middle, the same command goes on where it was and
    submits nothing twice. Results come in the order in which jobs end, with the `line` they belong
    to; jobs carry `batch_line` in their metadata. Ends with 0 when every job completed, else with
    1."""
    from contextlib import ExitStack

    from ai_platform.jobs.batch import Ledger, Tally, read_lines, run_batch
    from ai_platform.jobs.progress import BatchProgress

    lines = read_lines(file)
    names = {"config_name": config, "template_name": template}
    defaults = {name: value for name, value in names.items() if value is not None}
    tally = Tally(len(lines))

    async def work(client: "JobsClient") -> None:
        nonlocal tally
        with ExitStack() as files:
            ledger = Ledger.open(file, out, files)
            progress = files.enter_context(BatchProgress(len(lines), begun=len(ledger.ended)))
            tally = await run_batch(
                client, lines, ledger, at_once=at_once, defaults=defaults, show=progress.show
            )

    try:
        _with_client(work, url, key, data_dir, connections=at_once + 1)
    except KeyboardInterrupt as error:
        raise CommandFailed(f"Stopped; the same command goes on: results are in {out}") from error
    typer.echo(f"{tally.completed} completed, {tally.failed} failed; results: {out}", err=True)
    if tally.failed:
        raise typer.Exit(1)


def _with_client(
    work: "Callable[[JobsClient], Awaitable[None]]",
    url: str | None,
    key: str | None,
    path: Path | None,
    *,
    connections: int = 10,
) -> None:
    from ai_platform.jobs.client import JobsClient

    async def connected() -> None:
        address, secret = _access(url, key, path)
        async with JobsClient(address, secret, connections=connections) as client:
            await work(client)

    run(connected())


def _access(url: str | None, key: str | None, path: Path | None) -> tuple[str, str]:
    """The server and the key for it. The demo shop's key goes to its own server only."""
    from ai_platform.embedded import credentials
    from ai_platform.targets import base_url, data_dir_at

    data_dir = data_dir_at(path)
    if key is not None:
        return url or base_url(data_dir), key
    server = data_dir.running()
    demo = credentials.load_demo(data_dir)
    mine = server is not None and url in (None, server.base_url)
    if server is not None and mine and demo is not None and demo.api_key is not None:
        return server.base_url, demo.api_key
    if url is None:
        base_url(data_dir)  # when nothing runs here, that is what has to be said
    raise CommandFailed(
        "Jobs need an API key: set AI_PLATFORM_API_KEY, or make one with: ai-platform keys create "
        "--tenant SLUG --name NAME --scope jobs:write"
    )


async def _watch(client: "JobsClient", job_id: str, *, as_json: bool) -> None:
    from rich.console import Console

    from ai_platform.jobs.display import Watch

    if as_json:
        job = await client.ended(job_id)
        typer.echo(json.dumps(job))
    else:
        job = await Watch(client, Console(), Console(stderr=True)).until_ended(job_id)
    if job["status"] != "COMPLETED":
        raise typer.Exit(1)


def _pairs(given: list[str] | None, option: str) -> dict[str, Any] | None:
    """VALUE is JSON where it reads as JSON, else a text."""
    if not given:
        return None
    pairs: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{option} is written NAME=VALUE")
        try:
            pairs[name] = json.loads(value)
        except ValueError:
            pairs[name] = value
    return pairs


def _standard_input() -> str:
    import sys

    return sys.stdin.read()
