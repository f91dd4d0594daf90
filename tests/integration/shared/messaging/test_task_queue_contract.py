"""What a task queue promises, kept by PostgreSQL, by RabbitMQ and by the double alike."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Claim, ClaimLost, Finish, Queue, Task, TaskQueue
from shared.persistence.unit_of_work import Transaction
from tests.integration.shared.messaging.bench import LEASE, Bench, Buried, Seen, SqlBench

AGES_AGO = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_SECONDS = LEASE.total_seconds()


def a_task(key: str = "k", **changes: Any) -> Task:
    return Task(**{"queue": Queue.CRM_TASKS, "kind": "brew", "key": key} | changes)


def keys(claims: list[Claim]) -> list[str]:
    return [claim.key for claim in claims]


async def test_what_is_put_in_comes_out(bench: Bench) -> None:
    await bench.put(a_task("k1", payload={"cup": 3, "of": "kopi tubruk"}), tenant=1)

    claim = await bench.claim_one()

    assert (claim.tenant_id, claim.queue, claim.kind, claim.key, claim.payload) == (
        bench.tenants[1],
        Queue.CRM_TASKS,
        "brew",
        "k1",
        {"cup": 3, "of": "kopi tubruk"},
    )
    assert (claim.generation, claim.attempts, claim.v, claim.ordering_key) == (1, 0, 1, None)


async def test_a_claim_tells_how_long_the_row_was_due_and_how_old_it_is(bench: Bench) -> None:
    await bench.put(a_task(delay=timedelta(seconds=10)))
    await bench.jump(15)

    claim = await bench.claim_one()

    assert timedelta(seconds=5) <= claim.waited < timedelta(seconds=10)
    assert timedelta(seconds=15) <= claim.age < timedelta(seconds=20)


async def test_an_empty_queue_answers_empty_after_the_wait(bench: Bench) -> None:
    assert await bench.queue.claim(Queue.CRM_TASKS, 5, wait=timedelta(0)) in ([], ())


async def test_a_waiting_claim_gets_the_work_that_comes(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.claim_one())
    await asyncio.sleep(0)

    await bench.put(a_task("late"))

    assert (await waiting).key == "late"


async def test_another_queues_work_is_not_taken(bench: Bench) -> None:
    await bench.put(a_task("other", queue=Queue.WA_MESSAGES), a_task("ours"))

    assert keys(await bench.claim_all(1)) == ["ours"]
    assert await bench.nothing_to_claim()


async def test_work_is_not_claimable_before_its_time(bench: Bench) -> None:
    await bench.put(a_task("later", delay=timedelta(seconds=60)))
    assert await bench.nothing_to_claim()

    await bench.jump(61)

    assert (await bench.claim_one()).key == "later"


async def test_a_due_time_wins_over_a_delay(bench: Bench) -> None:
    await bench.put(a_task("now", available_at=AGES_AGO, delay=timedelta(hours=1)))

    assert (await bench.claim_one()).key == "now"


async def test_a_claimed_row_is_nobody_elses(bench: Bench) -> None:
    await bench.put(a_task())
    await bench.claim_one()

    assert await bench.nothing_to_claim()
    other = await bench.another()
    assert not await other.claim(Queue.CRM_TASKS, 5, wait=timedelta(seconds=0.4))


async def test_tenants_take_turns_whatever_their_backlog(bench: Bench) -> None:
    await bench.put(*(a_task(f"a{n}", available_at=AGES_AGO) for n in range(6)))
    await bench.put(*(a_task(f"b{n}") for n in range(2)), tenant=1)

    first = await bench.claim_all(4)

    assert keys(first) == ["a0", "b0", "a1", "b1"]
    assert keys(await bench.claim_all(4)) == ["a2", "a3", "a4", "a5"]


async def test_tenants_take_turns_when_claimed_one_by_one(bench: Bench) -> None:
    await bench.put(*(a_task(f"a{n}", available_at=AGES_AGO) for n in range(3)))
    await bench.put(*(a_task(f"b{n}") for n in range(3)), tenant=1)

    order = []
    for _ in range(6):
        claim = await bench.claim_one()
        await bench.finish(claim)
        order.append(claim.key)

    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_within_a_tenant_priority_goes_before_age(bench: Bench) -> None:
    later = AGES_AGO + timedelta(minutes=1)
    await bench.put(
        a_task("young", available_at=later),
        a_task("old", available_at=AGES_AGO),
        a_task("urgent", available_at=later, priority=1),
    )

    assert keys(await bench.claim_all(3)) == ["urgent", "old", "young"]


async def test_of_one_ordering_key_only_the_first_is_claimable(bench: Bench) -> None:
    await bench.put(
        a_task("s2", ordering_key="c", position=2, available_at=AGES_AGO),
        a_task("s1", ordering_key="c", position=1),
        a_task("other", ordering_key="d", position=9),
    )

    first = await bench.claim_all(2)
    assert sorted(keys(first)) == ["other", "s1"]
    assert await bench.nothing_to_claim()

    await bench.finish(next(claim for claim in first if claim.key == "s1"))

    second = await bench.claim_one()
    assert (second.key, second.ordering_key) == ("s2", "c")


async def test_a_postponed_head_still_blocks_its_order(bench: Bench) -> None:
    await bench.put(
        a_task("s1", ordering_key="c", position=1), a_task("s2", ordering_key="c", position=2)
    )
    await bench.queue.release(await bench.claim_one(), delay=timedelta(seconds=60))
    assert await bench.nothing_to_claim()

    await bench.jump(61)

    assert (await bench.claim_one()).key == "s1"


async def test_one_tenants_order_does_not_block_anothers(bench: Bench) -> None:
    await bench.put(a_task("a", ordering_key="c", position=1))
    await bench.put(a_task("b", ordering_key="c", position=2), tenant=1)

    assert keys(await bench.claim_all(2)) == ["a", "b"]


async def test_the_same_key_again_is_the_same_row_with_what_came_last(bench: Bench) -> None:
    await bench.put(a_task(payload={"n": 1}, delay=timedelta(hours=1)))
    await bench.put(a_task(payload={"n": 2}))

    claim = await bench.claim_one()

    assert (claim.generation, claim.payload) == (2, {"n": 2})
    assert await bench.rows() == [Seen("k", 2, 0, held=True)]


async def test_the_same_key_of_another_tenant_or_kind_is_another_row(bench: Bench) -> None:
    await bench.put(a_task(), a_task(kind="grind"))
    await bench.put(a_task(), tenant=1)

    assert len(await bench.claim_all(3)) == 3


async def test_finishing_deletes_the_row(bench: Bench) -> None:
    await bench.put(a_task())

    assert await bench.finish(await bench.claim_one()) is Finish.DELETED

    assert await bench.rows() == []
    assert await bench.nothing_to_claim()


async def test_work_added_meanwhile_survives_the_finish(bench: Bench) -> None:
    await bench.put(a_task(payload={"n": 1}))
    claim = await bench.claim_one()
    await bench.put(a_task(payload={"n": 2}))
    assert await bench.nothing_to_claim()

    assert await bench.finish(claim) is Finish.RELEASED

    again = await bench.claim_one()
    assert (again.id, again.generation, again.payload) == (claim.id, 2, {"n": 2})


async def test_work_added_meanwhile_is_due_as_it_said(bench: Bench) -> None:
    await bench.put(a_task())
    claim = await bench.claim_one()
    await bench.put(a_task(delay=timedelta(seconds=60)))
    await bench.finish(claim)
    assert await bench.nothing_to_claim()

    await bench.jump(61)

    assert (await bench.claim_one()).generation == 2


async def test_finishing_twice_is_lost(bench: Bench) -> None:
    await bench.put(a_task())
    claim = await bench.claim_one()
    await bench.finish(claim)

    assert await bench.finish(claim) is Finish.LOST


async def test_a_new_row_with_an_old_key_is_not_finished_by_an_old_claim(bench: Bench) -> None:
    await bench.put(a_task())
    claim = await bench.claim_one()
    await bench.finish(claim)
    await bench.put(a_task(payload={"n": "new"}))

    assert await bench.finish(claim) is Finish.LOST

    assert (await bench.claim_one()).payload == {"n": "new"}


async def test_a_lease_that_ran_out_passes_the_row_on_and_counts(bench: Bench) -> None:
    await bench.put(a_task())
    await bench.claim_one()

    await bench.jump(LEASE_SECONDS + 1)

    taken = await bench.claim_one(queue=await bench.another())
    assert taken.attempts == 1
    await bench.jump(2 * LEASE_SECONDS + 2)
    assert (await bench.claim_one()).attempts == 2


async def test_who_finishes_first_wins_and_the_other_has_lost(bench: Bench) -> None:
    await bench.put(a_task())
    slow = await bench.claim_one()
    await bench.jump(LEASE_SECONDS + 1)
    quick = await bench.claim_one()

    assert await bench.finish(quick) is Finish.DELETED
    assert await bench.finish(slow) is Finish.LOST


async def test_a_stale_holder_cannot_finish_added_work(bench: Bench) -> None:
    await bench.put(a_task())
    slow = await bench.claim_one()
    await bench.jump(LEASE_SECONDS + 1)
    holder = await bench.claim_one()
    await bench.put(a_task())

    assert await bench.finish(slow) is Finish.LOST

    assert await bench.rows() == [Seen("k", 2, 1, held=True)]
    assert await bench.finish(holder) is Finish.RELEASED


async def test_a_renewed_lease_holds(bench: Bench) -> None:
    await bench.put(a_task())
    claim = await bench.claim_one()
    await bench.jump(LEASE_SECONDS - 5)

    await bench.queue.renew([claim])

    await bench.jump(LEASE_SECONDS + 5)
    assert await bench.nothing_to_claim()
    await bench.jump(2 * LEASE_SECONDS)
    assert (await bench.claim_one()).attempts == 1


async def test_a_lost_lease_stays_lost(bench: Bench) -> None:
    await bench.put(a_task())
    lost = await bench.claim_one()
    await bench.jump(LEASE_SECONDS + 1)
    holder = await bench.claim_one()

    await bench.queue.renew([lost])
    await bench.queue.release(lost)
    await bench.queue.retry(lost, delay=timedelta(0))

    assert await bench.rows() == [Seen("k", 1, 1, held=True)]
    assert await bench.finish(holder) is Finish.DELETED


async def test_a_released_row_is_due_at_once_and_no_attempt_counts(bench: Bench) -> None:
    await bench.put(a_task())

    await bench.queue.release(await bench.claim_one())

    assert (await bench.claim_one()).attempts == 0


async def test_a_postponed_row_is_due_after_the_delay(bench: Bench) -> None:
    await bench.put(a_task())
    await bench.queue.release(await bench.claim_one(), delay=timedelta(seconds=60))
    assert await bench.nothing_to_claim()

    await bench.jump(61)

    assert (await bench.claim_one()).attempts == 0


async def test_an_orderly_end_forgives_earlier_attempts(bench: Bench) -> None:
    await bench.put(a_task())
    await bench.queue.retry(await bench.claim_one(), delay=timedelta(0))
    again = await bench.claim_one()
    assert again.attempts == 1

    await bench.queue.release(again)

    assert (await bench.claim_one()).attempts == 0


async def test_a_retry_counts_an_attempt_and_waits(bench: Bench) -> None:
    await bench.put(a_task())
    await bench.queue.retry(await bench.claim_one(), delay=timedelta(seconds=60))
    assert await bench.nothing_to_claim()

    await bench.jump(61)

    assert (await bench.claim_one()).attempts == 1


async def test_rows_with_as_many_attempts_are_passed_over_when_asked(bench: Bench) -> None:
    """Also where it is the dead holder of their lease that makes it as many."""
    await bench.put(a_task("failed"), a_task("orphaned"), a_task("fresh"))
    for claim in await bench.claim_all(3):
        if claim.key == "failed":
            await bench.queue.retry(claim, delay=timedelta(0))
        elif claim.key == "fresh":
            await bench.queue.release(claim)
    await bench.jump(31)

    few = await bench.queue.claim(Queue.CRM_TASKS, 3, wait=timedelta(seconds=1), attempts_below=1)

    assert [claim.key for claim in few] == ["fresh"]
    assert sorted(claim.key for claim in await bench.claim_all(2)) == ["failed", "orphaned"]


async def test_a_row_set_aside_waits_and_its_attempts_stay_counted(bench: Bench) -> None:
    await bench.put(a_task())
    await bench.queue.retry(await bench.claim_one(), delay=timedelta(0))
    await bench.queue.set_aside(await bench.claim_one(), delay=timedelta(seconds=60))
    assert await bench.nothing_to_claim()

    await bench.jump(61)

    assert (await bench.claim_one()).attempts == 1


async def test_a_postponed_row_to_which_work_was_added_is_due_as_that_said(bench: Bench) -> None:
    await bench.put(a_task())
    claim = await bench.claim_one()
    await bench.put(a_task(payload={"n": 2}))

    await bench.queue.release(claim, delay=timedelta(hours=1))

    assert (await bench.claim_one()).payload == {"n": 2}


async def test_a_failed_row_waits_even_if_work_was_added(bench: Bench) -> None:
    await bench.put(a_task())
    claim = await bench.claim_one()
    await bench.put(a_task())

    await bench.queue.retry(claim, delay=timedelta(seconds=60))

    assert await bench.nothing_to_claim()
    assert await bench.rows() == [Seen("k", 2, 1, held=False)]


def hands_over(key: str) -> Callable[[Transaction, Claim, str], Awaitable[None]]:
    async def give_up(tx: Transaction, claim: Claim, code: str) -> None:
        await tx.enqueue(a_task(key, payload={"why": code, "of": claim.key}))

    return give_up


async def test_a_dead_letter_leaves_the_queue_with_what_follows(bench: Bench) -> None:
    await bench.put(a_task("poison"))
    await bench.queue.retry(await bench.claim_one(), delay=timedelta(0))

    await bench.queue.dead_letter(
        await bench.claim_one(), code="bad_beans", detail="No.", give_up=hands_over("told")
    )

    assert await bench.letters() == [Buried("poison", "bad_beans", "No.", 1)]
    told = await bench.claim_one()
    assert (told.key, told.payload) == ("told", {"why": "bad_beans", "of": "poison"})


async def test_a_give_up_step_that_fails_leaves_everything_as_it_was(bench: Bench) -> None:
    async def broken(tx: Transaction, claim: Claim, code: str) -> None:
        await tx.enqueue(a_task("half"))
        raise ZeroDivisionError

    await bench.put(a_task())
    claim = await bench.claim_one()

    with pytest.raises(ZeroDivisionError):
        await bench.queue.dead_letter(claim, code="c", detail="", give_up=broken)

    assert await bench.letters() == []
    assert await bench.rows() == [Seen("k", 1, 0, held=True)]
    assert await bench.finish(claim) is Finish.DELETED


async def test_only_the_holder_can_give_a_row_up(bench: Bench) -> None:
    await bench.put(a_task())
    lost = await bench.claim_one()
    await bench.jump(LEASE_SECONDS + 1)
    await bench.claim_one()

    with pytest.raises(ClaimLost):
        await bench.queue.dead_letter(lost, code="c", detail="", give_up=hands_over("never"))

    assert await bench.letters() == []
    assert await bench.rows() == [Seen("k", 1, 1, held=True)]


async def test_a_dead_letter_frees_what_stood_behind_it(bench: Bench) -> None:
    await bench.put(
        a_task("s1", ordering_key="c", position=1), a_task("s2", ordering_key="c", position=2)
    )

    await bench.queue.dead_letter(await bench.claim_one(), code="c", detail="", give_up=None)

    assert (await bench.claim_one()).key == "s2"


async def test_two_workers_never_share_a_claim(bench: Bench) -> None:
    for tenant in (0, 1):
        await bench.put(*(a_task(f"{n}") for n in range(100)), tenant=tenant)
    done: list[Claim] = []

    async def work(queue: TaskQueue) -> None:
        while len(done) < 200:
            claims = await queue.claim(Queue.CRM_TASKS, 7, wait=timedelta(seconds=1))
            for claim in claims:
                assert await bench.finish(claim) is Finish.DELETED
            done.extend(claims)

    async with asyncio.timeout(60):
        await asyncio.gather(work(bench.queue), work(await bench.another()))

    assert len({claim.id for claim in done}) == len(done) == 200
    assert {claim.attempts for claim in done} == {0}


async def test_work_of_a_tenant_that_is_gone_is_parked(sql_bench: SqlBench) -> None:
    await sql_bench.put_as(TenantId(new_id()), a_task("orphan"))
    await sql_bench.put(a_task("ours"))

    assert (await sql_bench.claim_one()).key == "ours"
    assert await sql_bench.nothing_to_claim()

    assert await sql_bench.letters() == [
        Buried("orphan", "tenant_gone", "The tenant of this work no longer exists.", 0)
    ]
    assert await sql_bench.rows() == [Seen("ours", 1, 0, held=True)]


async def test_a_claim_comes_at_once_with_the_commit(
    sql_bench: SqlBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll is far away: only the wake-up can be this quick."""
    await asyncio.wait_for(sql_bench.waker.listening.wait(), 10)
    slow = sql_bench.settings.model_copy(
        update={
            "queue_poll_seconds": timedelta(minutes=5),
            "queue_sweep_seconds": timedelta(minutes=5),
        }
    )
    monkeypatch.setattr(sql_bench, "settings", slow)
    queue = await sql_bench.another()
    waiting = asyncio.create_task(queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(seconds=30)))
    await sql_bench.put(a_task("warm-up"))
    assert [claim.key for claim in await waiting] == ["warm-up"]
    waiting = asyncio.create_task(queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(seconds=30)))
    started = asyncio.get_running_loop().time()

    await sql_bench.put(a_task("now"))

    assert [claim.key for claim in await waiting] == ["now"]
    assert asyncio.get_running_loop().time() - started < 5
