"""Callbacks of jobs: over real HTTP, from the end of a job to what REST tells of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
import pytest_asyncio

from commerce_agent.application.ports.callbacks import Answered, Callback
from commerce_agent.application.services.callback_service import MOST_OF_ONE_TENANT
from commerce_agent.bootstrap import Container, build
from commerce_agent.infrastructure.persistence.callbacks import SqlCallbackDesk
from commerce_agent.infrastructure.webhooks.http_callbacks import HttpCallbackSender
from shared.config.settings import PlatformSettings
from shared.jobs import CALLBACK, callback_task
from shared.kernel.ids import TenantId
from shared.messaging.dead_letters import redrive
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Claim, ClaimLost, Postpone, Queue
from shared.persistence.unit_of_work import Transaction
from tests.integration.gateway.conftest import (
    KEYS,
    Shop,
    a_key,
    a_shop,
    is_problem,
    running,
    settings_for,
)
from tests.support.postgres import TestDatabase
from tests.support.receiver import Receiver, Reply, verified
from tests.support.scripted_agent import ScriptedAgent

LEASE = 60
"""Seconds after which what a dead worker held is anybody's."""


class DyingDesk(SqlCallbackDesk):
    """A worker that is killed after the call and before it can write down what came of it."""

    async def settle(
        self, claim: Claim, callback: Callback, answered: Answered, *, again: timedelta | None
    ) -> None:
        raise asyncio.CancelledError


@dataclass
class Office:
    """A shop with a key, the gateway, and a worker that does its callbacks when told."""

    db: TestDatabase
    http: httpx2.AsyncClient
    shop: Shop
    key: dict[str, str]
    work: Work
    container: Container
    receiver: Receiver
    offset: float = 0.0

    async def later(self, seconds: float) -> None:
        self.offset += seconds
        await self.db.jump(self.offset)

    async def get(self, path: str, **params: Any) -> Any:
        answer = await self.http.get(path, params=params, headers=self.key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, status: int, **body: Any) -> Any:
        answer = await self.http.post(path, json=body, headers=self.key)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def submit(self, url: str | None = None) -> str:
        asked = {"prompt": "Apa kabar?", "config_name": "offline", "metadata": {"nota": 7}}
        job = await self.post("/v1/jobs", 202, **asked, callback_url=url or self.receiver.url)
        return str(job["job_id"])

    async def end(self, job: str, status: str = "COMPLETED") -> None:
        """As a worker does: its end and the work of telling it, in one transaction."""
        for step in ("PROCESSING", status):
            await self.db.execute(
                "UPDATE jobs SET status = $2, run = 1, started_at = platform_now(),"
                " result = CASE $2 WHEN 'COMPLETED' THEN 'Baik \u2014 \U0001f44d' END,"
                " agent_type = CASE $2 WHEN 'COMPLETED' THEN 'main' END,"
                " error_code = CASE $2 WHEN 'FAILED' THEN 'model_refused' END,"
                " error = CASE $2 WHEN 'FAILED' THEN 'Refused.' END,"
                " tokens_in = 12, tokens_out = 30, cost_nanos = 1234500,"
                " finished_at = CASE WHEN $2 <> 'PROCESSING' THEN platform_now() END"
                " WHERE id = $1",
                UUID(job),
                step,
            )
        async with Transaction(self.work.database, self.shop.id) as tx:
            await tx.enqueue(callback_task(UUID(job)))
            await tx.commit()

    async def ended(self, status: str = "COMPLETED", url: str | None = None) -> str:
        job = await self.submit(url)
        await self.end(job, status)
        return job

    async def claim(self) -> Claim | None:
        claims = await self.work.queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(0))
        assert all(claim.kind == CALLBACK for claim in claims)
        return claims[0] if claims else None

    async def tell(self) -> str | None:
        """Do the callback that is due, as the consume loop would; how that ended."""
        claim = await self.claim()
        return None if claim is None else await self.do(claim)

    async def do(self, claim: Claim) -> str:
        try:
            await self.container.routes[CALLBACK].handle(claim)
        except ClaimLost:
            return "lost"
        except Postpone as postponed:
            await self.work.queue.release(claim, delay=postponed.delay)
            return "postponed"
        return "done"

    async def delivery(self, job: str) -> Any:
        (found,) = (await self.get("/v1/webhook-deliveries", job_id=job))["data"]
        return await self.get(f"/v1/webhook-deliveries/{found['id']}")

    async def replay(self, job: str) -> Any:
        delivery = await self.delivery(job)
        return await self.post(f"/v1/webhook-deliveries/{delivery['id']}/replay", 202)


def platform(db: TestDatabase, *allowed: str) -> PlatformSettings:
    settings = settings_for(db)
    security = settings.security.model_copy(update={"outbound_allow_hosts": allowed})
    return settings.model_copy(update={"security": security})


@asynccontextmanager
async def open_office(db: TestDatabase, *allowed: str) -> AsyncIterator[Office]:
    settings = platform(db, *allowed)
    async with (
        Receiver() as receiver,
        running(settings) as http,
        open_work(settings) as work,
        build(settings, work, ScriptedAgent()) as container,
    ):
        shop = await a_shop(db)
        key = await a_key(db, shop, "jobs:write")
        yield Office(db, http, shop, key, work, container, receiver)


@pytest_asyncio.fixture(loop_scope="session")
async def office(test_database: TestDatabase) -> AsyncIterator[Office]:
    async with open_office(test_database, "127.0.0.1") as opened:
        yield opened


# what is told


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
async def test_the_end_of_a_job_is_told_as_rest_shows_it_and_signed(
    office: Office, status: str
) -> None:
    made = await office.post("/v1/webhook-secret/rotate", 200)
    job = await office.ended(status)

    assert await office.tell() == "done"
    assert await office.tell() is None

    (got,) = office.receiver.got
    shown = await office.get(f"/v1/jobs/{job}")
    assert (got.method, got.path) == ("POST", "/selesai?toko=1")
    assert got.headers["content-type"] == "application/json"
    assert got.json == {
        "type": f"job.{status.lower()}",
        "timestamp": shown["finished_at"],
        "data": shown,
    }
    assert verified(got, made["secret"])
    age = time.time() - int(got.headers["webhook-timestamp"])
    assert 0 <= age < 60
    delivery = await office.delivery(job)
    assert got.headers["webhook-id"] == delivery["id"]
    assert delivery | {"log": None} == {
        "id": delivery["id"],
        "job_id": job,
        "type": f"job.{status.lower()}",
        "url": office.receiver.url,
        "state": "delivered",
        "attempts": 1,
        "last_status": 204,
        "last_error": None,
        "next_at": None,
        "created_at": delivery["created_at"],
        "finished_at": delivery["finished_at"],
        "log": None,
    }
    (attempt,) = delivery["log"]
    assert (attempt["number"], attempt["status"], attempt["error"]) == (1, 204, None)
    assert attempt["milliseconds"] is not None


async def test_a_job_that_is_cancelled_is_told_too(office: Office) -> None:
    job = await office.submit()
    await office.post(f"/v1/jobs/{job}/cancel", 200)
    await office.post(f"/v1/jobs/{job}/cancel", 200)
    await office.db.execute("DELETE FROM queue_messages WHERE queue = 'ai_tasks'")

    assert await office.tell() == "done"
    assert await office.tell() is None

    (got,) = office.receiver.got
    assert got.json["type"] == "job.cancelled"
    assert got.json["data"] == await office.get(f"/v1/jobs/{job}")


async def test_nobody_is_told_who_did_not_ask(office: Office) -> None:
    job = await office.post("/v1/jobs", 202, prompt="Halo", config_name="offline")
    await office.post(f"/v1/jobs/{job['job_id']}/cancel", 200)
    assert await office.claim() is None

    await office.end((await office.post("/v1/jobs", 202, prompt="Halo"))["job_id"])
    assert await office.tell() == "done"
    assert office.receiver.got == []
    assert (await office.get("/v1/webhook-deliveries"))["data"] == []


async def test_a_body_with_everything_in_it_is_still_what_rest_shows(office: Office) -> None:
    job = await office.submit()
    await office.db.execute(
        'UPDATE jobs SET moderation = \'{"verdict": "allowed", "categories": []}\','
        " template_version = 3, retry_of = gen_random_uuid(), retry_count = 2,"
        " created_at = date_trunc('second', created_at) WHERE id = $1",
        UUID(job),
    )
    await office.end(job)
    await office.tell()
    assert office.receiver.got[0].json["data"] == await office.get(f"/v1/jobs/{job}")


# what goes wrong


async def test_a_receiver_in_trouble_is_told_again_with_the_same_id(office: Office) -> None:
    office.receiver.script(Reply(500), Reply(503, {"retry-after": "600"}), Reply(200))
    job = await office.ended()

    assert await office.tell() == "done"
    assert await office.tell() is None  # not at once
    delivery = await office.delivery(job)
    assert (delivery["state"], delivery["last_status"]) == ("pending", 500)
    assert delivery["last_error"] == "The receiver answered 500"
    wait = datetime.fromisoformat(delivery["next_at"]) - datetime.fromisoformat(
        delivery["log"][0]["started_at"]
    )
    assert timedelta(seconds=4) < wait < timedelta(seconds=8)

    await office.later(8)
    assert await office.tell() == "done"
    await office.later(90)  # the rung is a minute, but ten were asked for
    assert await office.tell() is None
    await office.later(520)
    assert await office.tell() == "done"

    assert len({got.headers["webhook-id"] for got in office.receiver.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in office.receiver.got}) == 3
    delivery = await office.delivery(job)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 3)
    assert [attempt["status"] for attempt in delivery["log"]] == [200, 503, 500]


async def test_a_day_of_failures_is_enough(office: Office) -> None:
    office.receiver.script(*[Reply(500)] * 20)
    job = await office.ended()
    while await office.tell() is not None:
        await office.later(9 * 3600)

    delivery = await office.delivery(job)
    assert (delivery["state"], delivery["attempts"], delivery["next_at"]) == ("failed", 9, None)
    assert len(office.receiver.got) == 9
    assert await office.db.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_a_receiver_that_wants_no_more_gets_no_more(office: Office) -> None:
    office.receiver.script(Reply(410))
    job = await office.ended()
    assert await office.tell() == "done"
    await office.later(9 * 3600)
    assert await office.tell() is None
    assert (await office.delivery(job))["state"] == "failed"
    assert len(office.receiver.got) == 1


async def test_a_redirect_is_a_failure_and_not_followed(office: Office) -> None:
    async with Receiver() as elsewhere:
        office.receiver.script(Reply(307, {"location": elsewhere.url}))
        job = await office.ended()
        await office.tell()
        assert elsewhere.got == []
    assert (await office.delivery(job))["last_error"] == "The receiver answered 307"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]"])
async def test_an_address_that_is_not_public_is_never_called(
    test_database: TestDatabase, host: str
) -> None:
    async with open_office(test_database) as office:
        for scheme in ("http", "https"):
            job = await office.ended(url=f"{scheme}://{host}:{office.receiver.port}/")
            assert await office.tell() == "done"
            delivery = await office.delivery(job)
            assert (delivery["state"], delivery["attempts"]) == ("failed", 1)
            assert delivery["last_error"] == "The address is not public, or not https"
        assert office.receiver.got == []
        assert await office.claim() is None


async def test_nobody_there_is_a_failure_like_any_other(office: Office) -> None:
    async with Receiver() as gone:
        url = gone.url
    job = await office.ended(url=url)
    await office.tell()
    delivery = await office.delivery(job)
    assert (delivery["state"], delivery["last_status"]) == ("pending", None)
    assert delivery["last_error"].startswith("The address cannot be reached")


async def test_a_byte_now_and_then_keeps_no_call_alive(office: Office) -> None:
    office.receiver.script(Reply(slowly=True))
    sender = HttpCallbackSender(("127.0.0.1",), timeout=timedelta(seconds=0.5))
    async with asyncio.timeout(5):
        answered = await sender.send(office.receiver.url, {}, b"{}")
    await sender.aclose()
    assert (answered.status, answered.final) == (None, False)
    assert answered.error == "No answer came within 0.5 seconds"
    assert answered.milliseconds >= 500


async def test_a_receivers_cookies_are_not_kept(office: Office) -> None:
    office.receiver.script(Reply(200, {"set-cookie": "toko=1; Path=/"}))
    sender = HttpCallbackSender(("127.0.0.1",))
    for _ in range(2):
        await sender.send(office.receiver.url, {}, b"{}")
    await sender.aclose()
    assert "cookie" not in office.receiver.got[1].headers


async def test_a_worker_that_dies_after_the_call_tells_twice_and_loses_nothing(
    office: Office,
) -> None:
    job = await office.ended()
    claim = await office.claim()
    assert claim is not None
    service = office.container.routes[CALLBACK].handle.__self__  # type: ignore[attr-defined] # the service it is bound to
    dying = type(service)(
        DyingDesk(office.work.database, KEYS), service.sender, service.lines, service.rng
    )
    with pytest.raises(asyncio.CancelledError):
        await dying.handle(claim)

    assert await office.tell() is None  # the dead worker still has it
    await office.later(LEASE)
    assert await office.tell() == "done"

    first, second = office.receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    delivery = await office.delivery(job)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)
    assert [attempt["milliseconds"] is None for attempt in delivery["log"]] == [False, True]


async def test_two_workers_with_one_claim_write_one_end(office: Office) -> None:
    job = await office.ended()
    old = await office.claim()
    assert old is not None
    await office.later(LEASE)
    assert await office.tell() == "done"
    with pytest.raises(ClaimLost):
        await office.container.routes[CALLBACK].handle(old)
    assert len(office.receiver.got) == 1
    assert (await office.delivery(job))["attempts"] == 1


async def test_work_whose_row_is_gone_is_found_again(office: Office) -> None:
    office.receiver.script(Reply(500))
    job = await office.ended()
    await office.tell()
    await office.db.execute("DELETE FROM queue_messages WHERE queue = 'crm_tasks'")
    await office.later(60)

    assert await office.container.sweeper.restore_lost_work() == 1
    assert await office.tell() == "done"
    assert (await office.delivery(job))["state"] == "delivered"
    assert await office.container.sweeper.restore_lost_work() == 0


async def test_what_is_given_up_has_failed_and_can_be_put_back(office: Office) -> None:
    office.receiver.script(Reply(500))
    job = await office.ended()
    await office.tell()
    await office.later(10)
    claim = await office.claim()
    assert claim is not None
    give_up = office.container.routes[CALLBACK].give_up
    await office.work.queue.dead_letter(claim, code="attempts_spent", detail="", give_up=give_up)
    assert (await office.delivery(job))["last_error"] == "It was given up (attempts_spent)"

    letter = await office.db.fetchval("SELECT id FROM dead_letters")
    await redrive(office.work.database, TenantId(office.shop.id), letter)
    assert await office.tell() == "done"
    assert (await office.delivery(job))["state"] == "delivered"


async def test_receivers_that_hang_do_not_take_the_whole_worker(office: Office) -> None:
    asked, answer = asyncio.Semaphore(0), asyncio.Event()

    async def hang() -> None:
        asked.release()
        await answer.wait()

    office.receiver.while_asked = hang
    for _ in range(MOST_OF_ONE_TENANT + 1):
        await office.ended()
    claims = await office.work.queue.claim(Queue.CRM_TASKS, MOST_OF_ONE_TENANT, wait=timedelta(0))
    telling = [asyncio.create_task(office.do(claim)) for claim in claims]
    for _ in telling:
        await asyncio.wait_for(asked.acquire(), 10)

    assert await office.tell() == "postponed"
    answer.set()
    assert set(await asyncio.gather(*telling)) == {"done"}
    await office.later(11)
    assert await office.tell() == "done"
    states = (await office.get("/v1/webhook-deliveries"))["data"]
    assert [delivery["state"] for delivery in states] == ["delivered"] * len(states)


# once more


@pytest.mark.parametrize("answered", [204, 410, 500])
async def test_a_replay_sends_it_again_whatever_became_of_it(office: Office, answered: int) -> None:
    office.receiver.script(Reply(answered))
    job = await office.ended()
    await office.tell()

    replayed = await office.replay(job)
    assert (replayed["state"], replayed["finished_at"]) == ("pending", None)
    assert await office.tell() == "done"
    assert await office.tell() is None

    first, second = office.receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    delivery = await office.delivery(job)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)


async def test_a_replay_while_it_is_being_told_is_not_forgotten(office: Office) -> None:
    job = await office.ended()

    async def replayed() -> None:
        office.receiver.while_asked = None
        await office.replay(job)

    office.receiver.while_asked = replayed
    assert await office.tell() == "done"
    assert await office.tell() == "done"
    assert await office.tell() is None
    assert len(office.receiver.got) == 2
    delivery = await office.delivery(job)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)


async def test_lists_are_filtered_and_paged(office: Office) -> None:
    office.receiver.script(Reply(500))
    jobs = []
    for _ in range(3):
        jobs.append(await office.ended())
        await office.tell()

    page = await office.get("/v1/webhook-deliveries", limit=2)
    rest = await office.get("/v1/webhook-deliveries", limit=2, cursor=page["next_cursor"])
    assert [row["job_id"] for row in page["data"] + rest["data"]] == jobs[::-1]
    pending = await office.get("/v1/webhook-deliveries", state="pending")
    assert [row["job_id"] for row in pending["data"]] == jobs[:1]
    unknown = "/v1/webhook-deliveries/019ac000-0000-7000-8000-000000000000"
    answer = await office.http.get(unknown, headers=office.key)
    is_problem(answer, 404, "webhook_delivery_not_found")
    answer = await office.http.post(f"{unknown}/replay", headers=office.key)
    is_problem(answer, 404, "webhook_delivery_not_found")


# what it is signed with


async def test_a_secret_is_shown_once_and_signs_for_a_day_beside_the_next(
    office: Office,
) -> None:
    empty = {"created_at": None, "previous_valid_until": None}
    assert await office.get("/v1/webhook-secret") == empty
    old = await office.post("/v1/webhook-secret/rotate", 200)
    assert old["previous_valid_until"] is None
    new = await office.post("/v1/webhook-secret/rotate", 200)
    assert old["secret"] != new["secret"]
    shown = await office.get("/v1/webhook-secret")
    assert shown == {name: new[name] for name in empty}
    until = datetime.fromisoformat(new["previous_valid_until"])
    overlap = until - datetime.fromisoformat(new["created_at"])
    assert abs(overlap - timedelta(days=1)) < timedelta(seconds=1)

    await office.ended()
    await office.tell()
    await office.later(24 * 3600 + 1)
    await office.ended()
    await office.tell()

    during, after = office.receiver.got
    assert verified(during, old["secret"])
    assert verified(during, new["secret"])
    assert not verified(after, old["secret"])
    assert verified(after, new["secret"])
    assert (await office.get("/v1/webhook-secret"))["previous_valid_until"] is None
    stored = await office.db.fetch("SELECT secret_ciphertext FROM webhook_secrets")
    assert new["secret"].encode() not in stored[0]["secret_ciphertext"]


async def test_without_a_secret_one_is_made_and_the_first_rotation_takes_its_place(
    office: Office,
) -> None:
    await office.ended()
    await office.tell()
    assert (await office.get("/v1/webhook-secret"))["created_at"] is not None
    made = await office.post("/v1/webhook-secret/rotate", 200)
    assert not verified(office.receiver.got[0], made["secret"])
    await office.ended()
    await office.tell()
    assert verified(office.receiver.got[1], made["secret"])


async def test_reading_needs_no_right_to_write(office: Office) -> None:
    reader = await a_key(office.db, office.shop, "jobs:read")
    assert (await office.http.get("/v1/webhook-secret", headers=reader)).status_code == 200
    answer = await office.http.post("/v1/webhook-secret/rotate", headers=reader)
    is_problem(answer, 403, "scope_missing")
