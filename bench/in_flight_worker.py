"""``python -m bench.in_flight_worker``: a commerce agent whose memory can be asked for.

BENCH_MODEL is ``http`` (the shop's model as it is configured) or ``waits`` (a model in this process
that answers when told). BENCH_TRACE=1 traces allocations, which makes everything slower. Commands
come as lines on standard input, each answered with a line of JSON: ``waiting``, how many calls that
model holds; ``memory``, what the process holds, and the same for ``wait`` and ``answer``, which
make the model hold its calls and let them go.
"""

import asyncio
import gc
import json
import os
import sys
import tracemalloc
from typing import Any

import structlog
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from bench.machine import resident_kib
from bench.peers.chat_model import FakeChatModel
from bench.shop import open_worker
from shared.config.settings import PlatformSettings
from shared.messaging.consume import consume
from shared.messaging.port import Queue
from shared.observability.process import loop_factory

_GO_ON = asyncio.Event()


class WaitingModel(FakeChatModel):
    """Answers nobody before it is told to, and then at once."""

    calls_tool: bool = False
    waiting: int = 0

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        self.waiting += 1
        await _GO_ON.wait()
        self.waiting -= 1
        return await super()._agenerate(messages, stop, run_manager, **kwargs)


async def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(40),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()],
    )
    settings = PlatformSettings.from_environment()
    if os.environ.get("BENCH_MODEL") == "http":
        _GO_ON.set()
    stop = asyncio.Event()
    model = WaitingModel()
    async with open_worker(settings, model) as worker, asyncio.TaskGroup() as group:
        group.create_task(_obey(stop, model))
        group.create_task(
            consume(
                worker.work.queue,
                [Queue.CRM_TASKS],
                worker.container.routes,
                stop=stop,
                settings=settings.queue,
            )
        )
        print("ready", flush=True)


async def _obey(stop: asyncio.Event, model: WaitingModel) -> None:
    loop = asyncio.get_running_loop()
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if line == "answer":
            _GO_ON.set()
        if line == "wait":
            _GO_ON.clear()
        told = _memory() if line != "waiting" else {"waiting": model.waiting}
        print(json.dumps(told), flush=True)
    stop.set()


def _memory() -> dict[str, float]:
    gc.collect()
    return {
        "resident_kib": resident_kib(os.getpid()),
        "traced_kib": tracemalloc.get_traced_memory()[0] / 1024,
    }


if __name__ == "__main__":
    if os.environ.get("BENCH_TRACE") == "1":
        tracemalloc.start()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main())
