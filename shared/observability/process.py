"""The life of a service process: settings, logs, signals, metrics, exit code."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping

import structlog
from pydantic import ValidationError

from shared.config.settings import PlatformSettings
from shared.observability import logging
from shared.observability.metrics import serve_metrics

Serve = Callable[[PlatformSettings, asyncio.Event], Awaitable[None]]
"""Runs a service until the event is set, then finishes what it holds and returns."""

_NEW_OBJECTS = 10_000
"""Containers made and not freed, after which the collector looks at the young ones."""

log = structlog.get_logger()


def run_service(name: str, serve: Serve) -> None:
    """Run one service as this process until SIGTERM or SIGINT."""
    run_services(name, {name: serve})


def run_services(process: str, services: Mapping[str, Serve]) -> None:
    """Run several services in one event loop; when one ends, all end.

    Exits 0 after a signal, 1 when a service failed, 2 when a setting is wrong.
    """
    try:
        settings = PlatformSettings.from_environment()
    except ValidationError as error:
        sys.exit(_settings_problem(error))
    logging.configure(process, settings.observability)
    _spare_the_collector()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        fine = runner.run(_run(process, settings, services))
    if not fine:
        sys.exit(1)


def _spare_the_collector() -> None:
    """What is imported by now stays for good, and requests make few cycles: looking at everything
    after each 700 new objects took a tenth of a busy gateway's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 10, 10)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """libuv's loop where it is installed: half the price of Python's own for a busy socket."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(process: str, settings: PlatformSettings, services: Mapping[str, Serve]) -> bool:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    async with serve_metrics(process, settings.observability):
        outcomes = await asyncio.gather(
            *(_guard(name, serve, settings, stop) for name, serve in services.items())
        )
    return all(outcomes)


async def _guard(name: str, serve: Serve, settings: PlatformSettings, stop: asyncio.Event) -> bool:
    """Run one service; whatever ends it ends the process, and is told once, here."""
    log.info("service_starting", service=name)
    try:
        await serve(settings, stop)
    except Exception as error:
        log.error("service_failed", service=name, reason=str(error), exc_info=error)
        return False
    finally:
        stop.set()
    log.info("service_stopped", service=name)
    return True


def _settings_problem(error: ValidationError) -> str:
    problems = (
        f"{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )
    return "Settings are wrong: " + "; ".join(problems)
