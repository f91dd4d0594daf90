"""What tests plant in a forked service: ``start(service, patch="…plants:poison")``.

Only a message that says the word sets it off, so the service does everything else as ever.
"""

import os
import resource
import signal
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

POISON = "racun"
"""Kills the process that reads it, before anything of it is kept."""
JAM = "macet"
"""Blocks the event loop of the first worker that begins to answer it."""
LAST_WORD = "mati"
"""Kills the gateway that stored it, before it says so."""
LAST_BREATH = "sebelum"
"""Kills the gateway before it stores it."""
SKEW_SECONDS = 600.0
"""By so much the clock of a process is ahead or behind."""
FILES = 256
"""That a gateway with few files may have open."""
JAMMED_SECONDS = 4.0
_JAMMED = "jammed"
"""File in RUN_DIR by which all workers know that one was jammed."""


def poison() -> None:
    from commerce_agent.application.handlers import wa_message_handler as module

    parse = module.parse_event

    def parse_or_die(body: bytes) -> Any:
        if POISON.encode() in body:
            os._exit(3)
        return parse(body)

    module.parse_event = parse_or_die


def jam() -> None:
    from commerce_agent.application.services.chatbot_orchestrator import ChatbotOrchestrator

    run = ChatbotOrchestrator.run
    once = Path(os.environ["RUN_DIR"]) / _JAMMED

    async def run_or_jam(self: Any, turn: Any, journal: Any) -> Any:
        is_meant = any(JAM in getattr(step, "text", "") for step in journal.steps)
        if is_meant and not once.exists():
            once.touch()
            time.sleep(JAMMED_SECONDS)
        return await run(self, turn, journal)

    ChatbotOrchestrator.run = run_or_jam  # type: ignore[method-assign]


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def clock_ahead() -> None:
    _skew(SKEW_SECONDS)


def clock_behind() -> None:
    _skew(-SKEW_SECONDS)


def _skew(seconds: float) -> None:
    """Every clock of this process but the monotonic one is wrong."""
    from shared.kernel import clock

    now, nanoseconds, right = time.time, time.time_ns, clock.utc_now
    time.time = lambda: now() + seconds
    time.time_ns = lambda: nanoseconds() + int(seconds * 1_000_000_000)

    def utc_now() -> datetime:
        return right() + timedelta(seconds=seconds)

    for module in list(sys.modules.values()):
        if getattr(module, "utc_now", None) is right:
            module.utc_now = utc_now  # type: ignore[attr-defined]


def die_before_storing() -> None:
    _die(LAST_BREATH, after=False)


def die_before_answering() -> None:
    _die(LAST_WORD, after=True)


def _die(word: str, *, after: bool) -> None:
    from shared.inbox import InboxWriter

    store = InboxWriter._store

    async def store_or_die(self: Any, batch: Any) -> Any:
        is_meant = any(word.encode() in waiting.event.body for waiting in batch)
        if is_meant and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        failure = await store(self, batch)
        if is_meant:
            os.kill(os.getpid(), signal.SIGKILL)
        return failure

    InboxWriter._store = store_or_die  # type: ignore[method-assign]
