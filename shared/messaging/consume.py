"""The one consume loop of all workers: claim, handle, and let the error's kind decide."""

import asyncio
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge, Histogram

from shared.config.settings import QueueSettings
from shared.kernel.errors import DomainError, TooMany, Unavailable
from shared.messaging.backoff import after_error, while_unavailable
from shared.messaging.ending import end
from shared.messaging.port import Claim, ClaimLost, Postpone, Queue, Route, TaskQueue
from shared.persistence.contention import retried

TRIES = 3
"""Tries that may end in an unknown error or with a dead holder."""

_last_tries: set[UUID] = set()
"""Work on its last try in this process, one at a time: what kills the process would else take those
along that are in the same hands each time, and they would be given up with it."""

TASKS = Counter("queue_tasks", "Claims by how they ended", ["queue", "kind", "outcome"])
SECONDS = Histogram("queue_task_seconds", "Time from claim to outcome", ["queue", "kind"])
LAG = Gauge("queue_lag_seconds", "How long the last claimed rows had been due", ["queue"])

log = structlog.get_logger()


async def consume(
    queue: TaskQueue,
    names: Sequence[Queue],
    routes: Mapping[str, Route],
    *,
    stop: asyncio.Event,
    settings: QueueSettings,
    rng: random.Random | None = None,
) -> None:
    """Handle the queues' work until ``stop`` is set, then finish or give back what is running.

    Of each queue at most ``worker_concurrency`` claims run at once. Returns within
    ``worker_drain_seconds`` of the stop, with no row left leased.
    """
    async with asyncio.TaskGroup() as group:
        for name in names:
            worker = _Worker(queue, name, routes, stop, settings, rng or random.Random())
            group.create_task(worker.run(), name=f"consume {name.value}")


class _Worker:
    """One queue's claims in hand: the running handlers, their leases, their ends."""

    def __init__(
        self,
        queue: TaskQueue,
        name: Queue,
        routes: Mapping[str, Route],
        stop: asyncio.Event,
        settings: QueueSettings,
        rng: random.Random,
    ) -> None:
        self._queue = queue
        self._name = name
        self._routes = routes
        self._stop = stop
        self._settings = settings
        self._rng = rng
        self._running: dict[asyncio.Task[None], Claim] = {}

    async def run(self) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        renewing = asyncio.create_task(self._renew_leases())
        try:
            while not stopped.done():
                free = self._settings.worker_concurrency - len(self._running)
                if not free:
                    await asyncio.wait({stopped, *self._running}, return_when="FIRST_COMPLETED")
                    continue
                claims = await self._claim(free, stopped)
                if stopped.done():
                    await self._give_back(claims)
                else:
                    self._start(await self._without_last_tries_but_one(claims))
        finally:
            await self._drain()
            await end((stopped, renewing))

    async def _claim(self, limit: int, stopped: asyncio.Task[bool]) -> Sequence[Claim]:
        """Never cancelled: a claim that was committed and forgotten would wait for its lease."""
        poll = self._settings.queue_poll_seconds
        try:
            below = TRIES - 1 if _last_tries else None
            claims = await self._queue.claim(self._name, limit, wait=poll, attempts_below=below)
        except Exception as error:  # whatever the queue's trouble is, the worker outlives it
            log.exception("queue_unreachable", queue=self._name.value, error=type(error).__name__)
            pause = self._rng.uniform(0.5, 1.5) * poll.total_seconds()
            await asyncio.wait({stopped}, timeout=pause)
            return ()
        waited = max((claim.waited for claim in claims), default=timedelta(0))
        LAG.labels(self._name.value).set(waited.total_seconds())
        return claims

    def _start(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            task = asyncio.create_task(self._work(claim), name=f"{claim.kind} {claim.id}")
            self._running[task] = claim
            task.add_done_callback(self._ended)
            if _is_last_try(claim):
                _last_tries.add(claim.id)

    async def _without_last_tries_but_one(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Give back, before anything begins, what must not be in the same hands."""
        last_tries = [claim for claim in claims if _is_last_try(claim)]
        extra = last_tries if _last_tries else last_tries[1:]
        if not extra:
            return claims
        delay = timedelta(seconds=self._rng.uniform(0.5, 1.5))
        ends = [self._queue.set_aside(claim, delay=delay) for claim in extra]
        await asyncio.gather(*ends, return_exceptions=True)  # else the leases run out
        return [claim for claim in claims if claim not in extra]

    def _ended(self, task: asyncio.Task[None]) -> None:
        claim = self._running.pop(task)
        _last_tries.discard(claim.id)
        if not task.cancelled() and (error := task.exception()) is not None:
            # the lease runs out and the row is tried again: nothing is lost but time
            log.error("task_not_settled", error=type(error).__name__, **_ids(claim))

    async def _renew_leases(self) -> None:
        interval = self._settings.queue_lease_seconds.total_seconds() / 3
        while True:
            await asyncio.sleep(interval)
            try:
                await self._queue.renew(list(self._running.values()))
            except Exception as error:  # two more renewals fit into the lease
                log.exception("leases_not_renewed", error=type(error).__name__)

    async def _drain(self) -> None:
        """Let the handlers end, and give back in time what does not."""
        whole = self._settings.worker_drain_seconds.total_seconds() if self._stop.is_set() else 0
        if self._running:
            await asyncio.wait(self._running, timeout=whole * 0.8)
        unfinished = dict(self._running)
        if unfinished:
            await end(unfinished, within=max(1, whole * 0.1))
            await self._give_back(list(unfinished.values()))
            log.warning("tasks_given_back", queue=self._name.value, count=len(unfinished))

    async def _give_back(self, claims: Sequence[Claim]) -> None:
        ends = [self._queue.release(claim) for claim in claims]
        await asyncio.gather(*ends, return_exceptions=True)  # else the leases run out

    async def _work(self, claim: Claim) -> None:
        started = time.monotonic()
        outcome = await self._outcome(claim)
        kind = claim.kind if claim.kind in self._routes else "unknown"
        TASKS.labels(claim.queue.value, kind, outcome).inc()
        SECONDS.labels(claim.queue.value, kind).observe(time.monotonic() - started)

    async def _outcome(self, claim: Claim) -> str:
        route = self._routes.get(claim.kind)
        if route is None:
            return await self._give_up(claim, None, "unknown_kind")
        if claim.v not in route.versions:
            return await self._give_up(claim, None, "unknown_version")
        if claim.attempts >= TRIES:
            return await self._give_up(claim, route, "attempts_spent")
        try:
            async with asyncio.timeout(route.deadline.total_seconds()):
                await retried(lambda: route.handle(claim), self._rng)
        except Exception as error:  # noqa: BLE001 - the error's kind decides what follows
            return await self._failed(claim, route, error)
        return "done"

    async def _failed(self, claim: Claim, route: Route, error: Exception) -> str:
        match error:
            case ClaimLost():
                log.info("task_lost", **_ids(claim))
                return "lost"
            case Postpone():
                return await self._release(claim, error.delay, "postponed")
            case Unavailable() | TooMany():
                log.warning("task_deferred", code=error.code, **_ids(claim))
                delay = while_unavailable(claim.age, error.retry_after, self._rng)
                return await self._release(claim, delay, "deferred")
            case DomainError():
                return await self._give_up(claim, route, error.code, error.detail)
            case _:
                return await self._unknown(claim, route, error)

    async def _unknown(self, claim: Claim, route: Route, error: Exception) -> str:
        name = type(error).__name__
        log.error("task_failed", error=name, where=_where(error), **_ids(claim))
        if claim.attempts + 1 >= TRIES:
            return await self._give_up(claim, route, "unexpected_error", name)
        return await self._retry(claim)

    async def _release(self, claim: Claim, delay: timedelta, outcome: str) -> str:
        await self._settle(lambda: self._queue.release(claim, delay=delay))
        return outcome

    async def _retry(self, claim: Claim) -> str:
        delay = after_error(claim.attempts, self._rng)
        await self._settle(lambda: self._queue.retry(claim, delay=delay))
        return "retried"

    async def _give_up(self, claim: Claim, route: Route | None, code: str, detail: str = "") -> str:
        give_up = route.give_up if route else None
        try:
            await self._settle(
                lambda: self._queue.dead_letter(claim, code=code, detail=detail, give_up=give_up)
            )
        except ClaimLost:
            return "lost"
        except Postpone as postponed:
            return await self._release(claim, postponed.delay, "postponed")
        except Exception as error:  # noqa: BLE001 - the row stays, and is given up another time
            name = type(error).__name__
            log.error("give_up_failed", error=name, where=_where(error), **_ids(claim))
            return await self._retry(claim)
        log.error("task_dead_lettered", code=code, **_ids(claim))
        return "dead_lettered"

    async def _settle(self, end: Callable[[], Awaitable[None]]) -> None:
        """Say how it ended, as long as the lease may last: an outage is not the row's fault."""
        loop = asyncio.get_running_loop()
        last = loop.time() + self._settings.queue_lease_seconds.total_seconds()
        while True:
            try:
                return await end()
            except Unavailable:
                if loop.time() >= last:
                    raise
            await asyncio.sleep(self._rng.uniform(0.5, 1.5))


def _is_last_try(claim: Claim) -> bool:
    return claim.attempts == TRIES - 1


def _ids(claim: Claim) -> dict[str, str | int]:
    return {
        "queue": claim.queue.value,
        "kind": claim.kind,
        "task_id": str(claim.id),
        "tenant_id": str(claim.tenant_id),
        "attempts": claim.attempts,
    }


def _where(error: BaseException) -> list[str]:
    """The way to the error without its message, which may quote a customer."""
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
