"""Work that was given up can be seen and put back."""

import pytest

from shared.kernel.ids import TenantId, new_id
from shared.messaging.dead_letters import (
    AlreadyRedriven,
    DeadLetter,
    DeadLetterNotFound,
    list_dead_letters,
    redrive,
)
from shared.messaging.port import Finish, Queue, Task
from tests.integration.shared.messaging.bench import Seen, SqlBench


def a_task(key: str = "k", **changes: object) -> Task:
    return Task(queue=Queue.CRM_TASKS, kind="brew", key=key, **changes)  # type: ignore[arg-type]


async def bury(bench: SqlBench, task: Task, *, tenant: int = 0) -> DeadLetter:
    await bench.put(task, tenant=tenant)
    claim = await bench.claim_one()
    await bench.queue.dead_letter(claim, code="bad_beans", detail="No.", give_up=None)
    return (await list_dead_letters(bench.database, tenant_id=bench.tenants[tenant]))[0]


async def test_a_dead_letter_tells_what_and_why(postgres_bench: SqlBench) -> None:
    letter = await bury(postgres_bench, a_task("espresso"))

    assert (letter.tenant_id, letter.queue, letter.kind, letter.key, letter.attempts) == (
        postgres_bench.tenants[0],
        Queue.CRM_TASKS,
        "brew",
        "espresso",
        0,
    )
    assert (letter.code, letter.detail, letter.redriven_at) == ("bad_beans", "No.", None)


async def test_a_tenant_sees_its_own_and_the_operator_all(postgres_bench: SqlBench) -> None:
    ours = await bury(postgres_bench, a_task())
    theirs = await bury(postgres_bench, a_task(), tenant=1)
    database = postgres_bench.database

    assert list(await list_dead_letters(database, tenant_id=ours.tenant_id)) == [ours]
    assert list(await list_dead_letters(database)) == [theirs, ours]
    assert list(await list_dead_letters(database, queue=Queue.AI_TASKS)) == []


async def test_the_list_has_pages(postgres_bench: SqlBench) -> None:
    letters = [await bury(postgres_bench, a_task(f"{n}")) for n in range(3)]
    database = postgres_bench.database

    first = await list_dead_letters(database, limit=2)
    rest = await list_dead_letters(database, limit=2, before=first[-1].id)

    assert [*first, *rest] == letters[::-1]


async def test_redriven_work_is_as_new(postgres_bench: SqlBench) -> None:
    await postgres_bench.put(a_task(payload={"cup": 1}, ordering_key="c", position=7, priority=2))
    await postgres_bench.queue.retry(await postgres_bench.claim_one(), delay=a_task().delay)
    failed = await postgres_bench.claim_one()
    await postgres_bench.queue.dead_letter(failed, code="c", detail="", give_up=None)
    (letter,) = await list_dead_letters(postgres_bench.database)
    assert letter.attempts == 1

    await redrive(postgres_bench.database, letter.tenant_id, letter.id)

    again = await postgres_bench.claim_one()
    assert (again.payload, again.ordering_key, again.attempts) == ({"cup": 1}, "c", 0)
    assert again.id != failed.id, "a row id is never used again"
    assert await postgres_bench.finish(failed) is Finish.LOST
    assert await postgres_bench.finish(again) is Finish.DELETED
    (letter,) = await list_dead_letters(postgres_bench.database)
    assert letter.redriven_at is not None


async def test_redriving_twice_is_refused(postgres_bench: SqlBench) -> None:
    letter = await bury(postgres_bench, a_task())
    await redrive(postgres_bench.database, letter.tenant_id, letter.id)

    with pytest.raises(AlreadyRedriven):
        await redrive(postgres_bench.database, letter.tenant_id, letter.id)

    assert await postgres_bench.rows() == [Seen("k", 1, 0, held=False)]


async def test_newer_work_of_the_same_key_is_kept_and_made_due(postgres_bench: SqlBench) -> None:
    letter = await bury(postgres_bench, a_task(payload={"n": "old"}))
    await postgres_bench.put(a_task(payload={"n": "new"}))
    await postgres_bench.queue.retry(await postgres_bench.claim_one(), delay=a_task().delay)

    await redrive(postgres_bench.database, letter.tenant_id, letter.id)

    claim = await postgres_bench.claim_one()
    assert (claim.payload, claim.generation, claim.attempts) == ({"n": "new"}, 2, 0)


async def test_another_tenants_letter_is_not_found(postgres_bench: SqlBench) -> None:
    letter = await bury(postgres_bench, a_task())

    for tenant, wanted in (
        (postgres_bench.tenants[1], letter.id),
        (postgres_bench.tenants[0], new_id()),
        (TenantId(new_id()), letter.id),
    ):
        with pytest.raises(DeadLetterNotFound):
            await redrive(postgres_bench.database, tenant, wanted)

    assert await postgres_bench.rows() == []
