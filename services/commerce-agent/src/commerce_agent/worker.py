"""The commerce agent's process: ``python -m commerce_agent.worker``.

It stores what WhatsApp says, answers conversations and looks for work that was lost.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy.exc import DBAPIError

from commerce_agent.bootstrap import Container, build
from shared.config.settings import PlatformSettings
from shared.kernel.errors import Unavailable
from shared.messaging.consume import consume
from shared.messaging.platform import open_work
from shared.messaging.port import Queue
from shared.observability.heartbeat import heartbeat
from shared.observability.process import run_service

if TYPE_CHECKING:
    from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry

log = structlog.get_logger()

NAME: Final = "commerce-agent"
CHANNELS_EVERY: Final = timedelta(minutes=4)
"""What our own outage missed is found within five minutes of its end."""


async def serve(
    settings: PlatformSettings,
    stop: asyncio.Event,
    circuits: "CircuitBreakerRegistry | None" = None,
) -> None:
    """Work until ``stop`` is set, then finish or give back what is running.

    The heartbeat begins when everything is imported: a worker that beats can answer at once.
    ``circuits`` are those of a process in which the LLM worker runs too.
    """
    async with (
        open_work(settings) as work,
        build(settings, work, circuits=circuits) as container,
        heartbeat(settings.observability.run_dir, NAME),
    ):
        await run(container, settings, stop)


async def run(container: Container, settings: PlatformSettings, stop: asyncio.Event) -> None:
    """Consume and sweep until ``stop`` is set."""
    async with asyncio.TaskGroup() as group:
        group.create_task(
            consume(
                container.work.queue,
                [Queue.CRM_TASKS],
                container.routes,
                stop=stop,
                settings=settings.queue,
            )
        )
        sweeper = container.sweeper
        every = settings.queue.queue_sweep_seconds
        group.create_task(_repeat(sweeper.restore_lost_work, every, stop))
        group.create_task(_repeat(sweeper.look_after_channels, CHANNELS_EVERY, stop))


async def _repeat(
    sweep: Callable[[], Awaitable[int]], every: timedelta, stop: asyncio.Event
) -> None:
    """Sweep at once and then regularly. What a database in trouble hides is found next time."""
    while not stop.is_set():
        try:
            found = await sweep()
        except (Unavailable, DBAPIError) as error:
            log.warning("sweep_deferred", error=type(error).__name__)
        else:
            if found:
                log.info("swept", sweep=getattr(sweep, "__name__", "sweep"), found=found)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every.total_seconds())


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    run_service(NAME, serve)


if __name__ == "__main__":
    main()
