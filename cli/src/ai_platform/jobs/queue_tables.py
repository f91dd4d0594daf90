"""Queues and circuit breakers on a terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ai_platform.jobs.display import ago, plain_table
from shared.breakers import BreakerPicture, WorkerPicture
from shared.messaging.status import QueueStatus

_SIGNS = {
    "closed": "[green]● closed[/]",
    "half_open": "[yellow]◐ half open[/]",
    "open": "[red]○ open[/]",
}


def queue_table(queues: Sequence[QueueStatus]) -> Table:
    table = plain_table()
    table.add_column("queue", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    for name in ("waiting", "planned", "in hands", "failing", "oldest due", "dead"):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for each in queues:
        table.add_row(
            each.queue if each.queue != last else "",
            escape(each.kind),
            _number(each.waiting),
            _number(each.planned),
            _number(each.leased),
            _number(each.failing, "yellow"),
            "" if each.oldest_due is None else ago(each.oldest_due),
            _number(each.dead, "red"),
        )
        last = each.queue
    return table


def breaker_table(workers: Sequence[WorkerPicture]) -> Table:
    table = plain_table()
    names = [len(breaker.name) for worker in workers for breaker in worker.breakers]
    table.add_column("circuit breaker", no_wrap=True, min_width=max(names, default=0))
    table.add_column("worker", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for name in ("calls", "failures", "refused", "opened"):
        table.add_column(name, justify="right", no_wrap=True)
    for worker in workers:
        for breaker in worker.breakers:
            table.add_row(
                escape(breaker.name),
                escape(worker.worker),
                _state(breaker),
                _number(breaker.calls),
                _number(breaker.failures, "yellow"),
                _number(breaker.refused, "yellow"),
                _number(breaker.opened, "red"),
            )
    return table


def _state(breaker: BreakerPicture) -> str:
    told = _SIGNS.get(breaker.state, escape(breaker.state))
    about = [] if breaker.cause is None else [breaker.cause]
    if breaker.retry_in_seconds is not None:
        about.append(f"probe in {breaker.retry_in_seconds:.0f} s")
    return f"{told} [dim]{escape(', '.join(about))}[/]" if about else told


def _number(count: int, colour: str = "") -> str:
    if not count:
        return "[dim]0[/]"
    return f"[{colour}]{count}[/]" if colour else str(count)
