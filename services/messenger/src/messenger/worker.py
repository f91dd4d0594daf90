"""The messenger's process: takes bubbles from ``wa_messages`` and sends them.

python -m messenger.worker
"""

import asyncio

from messenger.bootstrap import build
from shared.config.settings import PlatformSettings
from shared.messaging.consume import consume
from shared.messaging.port import Queue
from shared.observability.heartbeat import heartbeat
from shared.observability.process import run_service

NAME = "messenger"


async def serve(settings: PlatformSettings, stop: asyncio.Event) -> None:
    """Send until ``stop`` is set, then finish or release what is on its way."""
    async with build(settings) as messenger, heartbeat(settings.observability.run_dir, NAME):
        await consume(
            messenger.work.queue,
            [Queue.WA_MESSAGES],
            messenger.routes,
            stop=stop,
            settings=settings.queue,
        )


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    run_service(NAME, serve)


if __name__ == "__main__":
    main()
