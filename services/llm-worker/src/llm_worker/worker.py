"""The LLM worker: ``python -m llm_worker.worker``."""

import asyncio

from llm_worker.bootstrap import build
from llm_worker.infrastructure.llm.circuit_breaker import CircuitBreakerRegistry
from shared.config.settings import PlatformSettings
from shared.messaging.consume import consume
from shared.messaging.port import Queue
from shared.observability.heartbeat import heartbeat
from shared.observability.process import run_service

NAME = "llm-worker"


async def serve(
    settings: PlatformSettings,
    stop: asyncio.Event,
    circuits: CircuitBreakerRegistry | None = None,
) -> None:
    """Do the work of ``ai_tasks`` until ``stop`` is set, then finish what is running.

    ``circuits`` are those of a process that runs other services too; this one shows them."""
    async with (
        build(settings, circuits) as container,
        heartbeat(settings.observability.run_dir, NAME),
    ):
        await consume(
            container.work.queue,
            [Queue.AI_TASKS],
            container.routes,
            stop=stop,
            settings=settings.queue,
        )


def main() -> None:
    run_service(NAME, serve)


if __name__ == "__main__":
    main()
