"""The consume loop over a queue in memory: the error's kind decides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.config.settings import QueueSettings
from shared.kernel.errors import Conflict, TooMany, Unavailable
from shared.kernel.ids import TenantId, new_id
from shared.messaging.consume import TRIES, consume
from shared.messaging.port import (
    Claim,
    ClaimLost,
    Finish,
    GiveUp,
    Handle,
    Postpone,
    Queue,
    Route,
    Task,
)
from shared.persistence.database import Contended
from shared.persistence.unit_of_work import Transaction
from tests.support.memory_queue import MemoryRow, MemoryStore, MemoryTaskQueue

TENANT = TenantId(new_id())
QUICK = QueueSettings(
    queue_poll_seconds=timedelta(seconds=0.02),
    queue_lease_seconds=timedelta(seconds=30),
    worker_concurrency=3,
    worker_drain_seconds=timedelta(seconds=0.2),
)


class OutOfBeans(Conflict):
    """There are no beans."""

    code = "out_of_beans"


class Shop:
    """A store, a worker on it, and what its handlers saw."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.queue = MemoryTaskQueue(self.store)
        self.seen: list[Claim] = []
        self.given_up: list[tuple[str, str]] = []

    def put(self, key: str = "k", *, v: int = 1, **changes: Any) -> None:
        task = Task(**{"queue": Queue.CRM_TASKS, "kind": "brew", "key": key} | changes)
        self.store.enqueue(TENANT, task, v=v)

    def handler(self, *errors: Exception | None) -> Handle:
        """Raises the errors one after the other, then (or for ``None``) finishes."""
        left = list(errors)

        async def handle(claim: Claim) -> None:
            self.seen.append(claim)
            if left and (error := left.pop(0)) is not None:
                raise error
            assert self.store.finish(claim) is not Finish.LOST

        return handle

    async def give_up(self, tx: Transaction, claim: Claim, code: str) -> None:
        self.given_up.append((claim.key, code))

    @asynccontextmanager
    async def open(
        self, routes: Mapping[str, Route], settings: QueueSettings = QUICK
    ) -> AsyncIterator[asyncio.Event]:
        stop = asyncio.Event()
        working = asyncio.create_task(
            consume(self.queue, [Queue.CRM_TASKS], routes, stop=stop, settings=settings)
        )
        try:
            yield stop
        finally:
            stop.set()
            async with asyncio.timeout(10):
                await working

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)

    async def pass_time_until_empty(self) -> None:
        """Whenever nobody works, a minute passes."""
        async with asyncio.timeout(10):
            while self.store.rows:
                if self.row().lease_id is None:
                    self.store.ahead += timedelta(minutes=1)
                await asyncio.sleep(0.005)

    def row(self) -> MemoryRow:
        (row,) = self.store.rows.values()
        return row

    @property
    def letters(self) -> list[tuple[str, str, str]]:
        return [(each.claim.key, each.code, each.detail) for each in self.store.letters]


@pytest.fixture
def shop() -> Shop:
    return Shop()


def brew(handle: Handle, give_up: GiveUp | None = None, **changes: Any) -> Mapping[str, Route]:
    return {"brew": Route(handle=handle, give_up=give_up, **changes)}


async def test_work_is_handled_and_gone(shop: Shop) -> None:
    shop.put("a", payload={"cup": 1})
    shop.put("b")

    async with shop.open(brew(shop.handler())):
        await shop.until(lambda: not shop.store.rows)

    assert [(claim.key, claim.payload) for claim in shop.seen] == [("a", {"cup": 1}), ("b", {})]
    assert shop.letters == []


async def test_last_tries_run_one_at_a_time_beside_all_other_work(shop: Shop) -> None:
    """Whoever kills the process on its last try must not have another's last try with it."""
    for key, attempts in (("a", 2), ("b", 2), ("c", 2), ("d", 1), ("e", 0)):
        shop.put(key)
        next(row for row in shop.store.rows.values() if row.task.key == key).attempts = attempts
    in_hand: set[str] = set()
    together: list[set[str]] = []
    gate = asyncio.Event()

    async def handle(claim: Claim) -> None:
        in_hand.add(claim.key)
        together.append({key for key in in_hand if key in "abc"})
        await gate.wait()
        in_hand.discard(claim.key)
        shop.store.finish(claim)

    settings = QUICK.model_copy(update={"worker_concurrency": 5})
    async with shop.open(brew(handle), settings):
        await shop.until(lambda: len(in_hand) == 3)
        assert in_hand >= {"d", "e"}
        gate.set()
        async with asyncio.timeout(10):
            while shop.store.rows:
                shop.store.ahead += timedelta(seconds=1)
                await asyncio.sleep(0.005)

    assert max(map(len, together)) == 1
    assert shop.letters == []


async def test_no_more_than_the_allowed_number_runs_at_once(shop: Shop) -> None:
    for n in range(10):
        shop.put(f"{n}")
    running, most = 0, 0
    gate = asyncio.Event()

    async def handle(claim: Claim) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await gate.wait()
        running -= 1
        shop.store.finish(claim)

    async with shop.open(brew(handle)):
        await shop.until(lambda: running == 3)
        gate.set()
        await shop.until(lambda: not shop.store.rows)

    assert most == 3


async def test_slow_work_does_not_hold_up_the_rest(shop: Shop) -> None:
    gate = asyncio.Event()
    done: list[str] = []

    async def handle(claim: Claim) -> None:
        if claim.key == "slow":
            await gate.wait()
        done.append(claim.key)
        shop.store.finish(claim)

    shop.put("slow")
    for n in range(6):
        shop.put(f"{n}")
    async with shop.open(brew(handle)):
        await shop.until(lambda: len(done) == 6)
        gate.set()

    assert done == ["0", "1", "2", "3", "4", "5", "slow"]


async def test_a_lost_claim_is_left_alone(shop: Shop) -> None:
    shop.put()
    async with shop.open(brew(shop.handler(ClaimLost()), shop.give_up)):
        await shop.until(lambda: len(shop.seen) == 1)

    assert (shop.row().attempts, shop.row().lease_id) == (0, shop.seen[0].lease_id)
    assert shop.given_up == []


async def test_postponed_work_waits_and_counts_no_attempt(shop: Shop) -> None:
    shop.put()
    async with shop.open(brew(shop.handler(Postpone(timedelta(hours=1))))):
        await shop.until(lambda: bool(shop.seen) and shop.row().lease_id is None)

    waits = shop.row().available_at - shop.store.now()
    assert timedelta(minutes=59) < waits <= timedelta(hours=1)
    assert shop.row().attempts == 0


@pytest.mark.parametrize(
    "error",
    [
        Unavailable(retry_after=timedelta(minutes=1)),
        TooMany(retry_after=timedelta(minutes=1)),
    ],
)
async def test_what_is_unavailable_is_tried_later_as_was_asked(
    shop: Shop, error: Exception
) -> None:
    shop.put()
    async with shop.open(brew(shop.handler(error), shop.give_up)):
        await shop.until(lambda: bool(shop.seen) and shop.row().lease_id is None)

    waits = shop.row().available_at - shop.store.now()
    assert timedelta(seconds=55) < waits < timedelta(seconds=81)
    assert (shop.row().attempts, shop.given_up) == (0, [])


async def test_what_is_unavailable_is_never_given_up(shop: Shop) -> None:
    shop.put()
    async with shop.open(brew(shop.handler(*[Unavailable() for _ in range(5)]), shop.give_up)):
        await shop.pass_time_until_empty()

    assert len(shop.seen) == 6
    assert (shop.letters, shop.given_up) == ([], [])


async def test_a_refusal_is_given_up_with_its_code(shop: Shop) -> None:
    shop.put("espresso")
    async with shop.open(brew(shop.handler(OutOfBeans()), shop.give_up)):
        await shop.until(lambda: not shop.store.rows)

    assert shop.letters == [("espresso", "out_of_beans", "There are no beans.")]
    assert shop.given_up == [("espresso", "out_of_beans")]
    assert len(shop.seen) == 1


async def test_an_unknown_error_is_tried_three_times_and_then_given_up(shop: Shop) -> None:
    shop.put()
    errors = [KeyError("+62 812 3456 7890") for _ in range(TRIES)]
    async with shop.open(brew(shop.handler(*errors), shop.give_up)):
        await shop.pass_time_until_empty()

    assert [claim.attempts for claim in shop.seen] == [0, 1, 2]
    assert shop.letters == [("k", "unexpected_error", "KeyError")], "and no customer's number"
    assert shop.given_up == [("k", "unexpected_error")]


async def test_work_that_kills_its_worker_is_given_up_without_another_try(shop: Shop) -> None:
    shop.put()
    shop.row().attempts = TRIES
    async with shop.open(brew(shop.handler(), shop.give_up)):
        await shop.until(lambda: not shop.store.rows)

    assert shop.seen == []
    assert shop.given_up == [("k", "attempts_spent")]


async def test_a_give_up_step_may_refuse_for_now(shop: Shop) -> None:
    async def not_yet(tx: Transaction, claim: Claim, code: str) -> None:
        raise Postpone(timedelta(minutes=1))

    shop.put()
    async with shop.open(brew(shop.handler(OutOfBeans()), not_yet)):
        await shop.until(lambda: bool(shop.seen) and shop.row().lease_id is None)

    assert shop.letters == []
    assert shop.row().available_at > shop.store.now() + timedelta(seconds=50)


async def test_a_broken_give_up_step_keeps_the_work(shop: Shop) -> None:
    async def broken(tx: Transaction, claim: Claim, code: str) -> None:
        raise ZeroDivisionError

    shop.put()
    async with shop.open(brew(shop.handler(OutOfBeans()), broken)):
        await shop.until(lambda: bool(shop.seen) and shop.row().attempts == 1)

    assert shop.letters == []


async def test_unknown_kinds_and_versions_are_parked_untouched(shop: Shop) -> None:
    shop.put("old", v=7)
    shop.put("strange", kind="roast")
    async with shop.open(brew(shop.handler(), shop.give_up)):
        await shop.until(lambda: not shop.store.rows)

    assert sorted(shop.letters) == [("old", "unknown_version", ""), ("strange", "unknown_kind", "")]
    assert (shop.seen, shop.given_up) == ([], [])
    assert [each.claim.attempts for each in shop.store.letters] == [0, 0]


async def test_a_handler_that_takes_too_long_is_cancelled_and_counted(shop: Shop) -> None:
    async def forever(claim: Claim) -> None:
        await asyncio.Event().wait()

    shop.put()
    async with shop.open(brew(forever, deadline=timedelta(seconds=0.05))):
        await shop.until(lambda: shop.row().attempts == 1)

    assert shop.row().lease_id is None


async def test_a_transaction_that_lost_a_race_is_done_again_at_once(shop: Shop) -> None:
    shop.put()
    async with shop.open(brew(shop.handler(Contended(), Contended()))):
        await shop.until(lambda: not shop.store.rows)

    assert [claim.attempts for claim in shop.seen] == [0, 0, 0]


async def test_leases_of_running_work_are_renewed(shop: Shop) -> None:
    gate = asyncio.Event()

    async def handle(claim: Claim) -> None:
        await gate.wait()
        shop.store.finish(claim)

    shop.queue = MemoryTaskQueue(shop.store, lease=timedelta(seconds=0.15))
    settings = QUICK.model_copy(update={"queue_lease_seconds": timedelta(seconds=0.15)})
    shop.put()
    async with shop.open(brew(handle), settings):
        await shop.until(lambda: shop.row().lease_id is not None)
        first = shop.row().lease_until
        assert first is not None
        await shop.until(lambda: (shop.row().lease_until or first) > first + timedelta(seconds=0.2))
        gate.set()

    assert not shop.store.rows


async def test_stopping_lets_running_work_end_and_claims_no_more(shop: Shop) -> None:
    gate = asyncio.Event()

    async def handle(claim: Claim) -> None:
        shop.seen.append(claim)
        await gate.wait()
        shop.store.finish(claim)

    for n in range(4):
        shop.put(f"{n}")
    async with shop.open(brew(handle)) as stop:
        await shop.until(lambda: len(shop.seen) == 3)
        stop.set()
        await asyncio.sleep(0)
        gate.set()

    assert len(shop.seen) == 3
    assert (shop.row().task.key, shop.row().lease_id) == ("3", None)


async def test_work_that_does_not_end_in_time_is_given_back(shop: Shop) -> None:
    cancelled: list[str] = []

    async def handle(claim: Claim) -> None:
        shop.seen.append(claim)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(claim.key)
            raise

    shop.put()
    loop = asyncio.get_running_loop()
    async with shop.open(brew(handle)) as stop:
        await shop.until(lambda: len(shop.seen) == 1)
        stop.set()
        started = loop.time()

    assert loop.time() - started < 2
    assert cancelled == ["k"]
    assert (shop.row().lease_id, shop.row().attempts) == (None, 0)


class _Flaky(MemoryTaskQueue):
    """A queue whose database is away now and then."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.failures = 0

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable

    async def claim(self, *args: Any, **kwargs: Any) -> Any:
        self._fail()
        return await super().claim(*args, **kwargs)

    async def release(self, *args: Any, **kwargs: Any) -> None:
        self._fail()
        await super().release(*args, **kwargs)


async def test_an_outage_of_the_queue_ends_no_worker(shop: Shop) -> None:
    shop.queue = flaky = _Flaky(shop.store)
    flaky.failures = 3
    shop.put()
    async with shop.open(brew(shop.handler())):
        await shop.until(lambda: not shop.store.rows)

    assert len(shop.seen) == 1


async def test_an_outcome_is_said_again_until_the_queue_hears_it(shop: Shop) -> None:
    shop.queue = flaky = _Flaky(shop.store)

    async def handle(claim: Claim) -> None:
        shop.seen.append(claim)
        flaky.failures = 1
        raise Postpone(timedelta(hours=1))

    shop.put()
    async with shop.open(brew(handle)):
        await shop.until(lambda: bool(shop.seen) and shop.row().lease_id is None)

    assert shop.row().available_at > shop.store.now()


async def test_outcomes_are_counted(shop: Shop) -> None:
    def count(outcome: str) -> float:
        labels = {"queue": "crm_tasks", "kind": "brew", "outcome": outcome}
        return REGISTRY.get_sample_value("queue_tasks_total", labels) or 0

    before = count("done"), count("dead_lettered")
    shop.put("a")
    shop.put("b")
    async with shop.open(brew(shop.handler(OutOfBeans()))):
        await shop.until(lambda: not shop.store.rows)

    assert (count("done"), count("dead_lettered")) == (before[0] + 1, before[1] + 1)
