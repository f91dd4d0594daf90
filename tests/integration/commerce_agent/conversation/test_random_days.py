"""Days in a shop, made up by chance: everybody acts at any moment, workers die and oversleep, and
afterwards the auditor looks at what is left. The seed stands in the test's name."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from commerce_agent.application.ports.shop_agent import AgentOutcome, EffectKey, Journal, Turn
from commerce_agent.application.services.customer_service import CustomerService
from commerce_agent.domain.entities.conversation import NotOwnedByPerson
from commerce_agent.domain.value_objects.ids import CustomerId
from shared.kernel.clock import utc_now
from shared.messaging.port import Queue
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support.auditor import Auditor
from tests.support.scripted_agent import Barrier, calls_tool, echo, is_away, waits
from tests.support.waha_webhooks import new_native_id

STEPS = 45
_NUMBER = re.compile(r"m(\d+)")


@dataclass
class Day:
    """Who may do what, and what is going on."""

    desk: Desk
    chance: random.Random
    native_ids: list[str] = field(default_factory=list)
    running: list[tuple["asyncio.Task[str]", Barrier]] = field(default_factory=list)
    offset: float = 0.0

    async def live(self) -> None:
        await self.write()
        acts: list[Callable[[], Awaitable[None]]] = [
            *[self.write] * 4,
            *[self.begin_turn] * 5,
            *[self.go_on] * 4,
            *[self.send] * 2,
            self.edit,
            self.revoke,
            self.crash,
            self.oversleep,
            self.take_over,
            self.answer,
            self.give_back,
            self.give_back,
        ]
        for _ in range(STEPS):
            await self.chance.choice(acts)()
        await self.come_to_rest()

    async def write(self) -> None:
        native_id = new_native_id()
        self.native_ids.append(native_id)
        await self.store(self.desk.hooks.message(f"m{len(self.native_ids)}", native_id=native_id))

    async def edit(self) -> None:
        number = self.chance.randrange(len(self.native_ids))
        await self.store(self.desk.hooks.edited(self.native_ids[number], f"m{number + 1} diubah"))

    async def revoke(self) -> None:
        await self.store(self.desk.hooks.revoked(self.chance.choice(self.native_ids)))

    async def store(self, webhook: object) -> None:
        await self.desk.deliver(webhook)  # type: ignore[arg-type]
        await self.desk.do(await self.desk.claim("inbox.waha"))

    async def begin_turn(self) -> None:
        claims = await self.desk.work.queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(0))
        for claim in claims:
            barrier = Barrier()
            behave = is_away() if self.chance.random() < 0.15 else self.thoughtful
            self.desk.agent.default = waits(barrier, behave)
            task = self.desk.thinking(claim)
            entered = asyncio.create_task(barrier.entered())
            await asyncio.wait({task, entered}, return_when=asyncio.FIRST_COMPLETED)
            entered.cancel()
            await asyncio.gather(entered, return_exceptions=True)
            self.running.append((task, barrier))

    async def thoughtful(self, turn: Turn, journal: Journal) -> AgentOutcome:
        return await calls_tool("update_customer_profile", self.note, then=echo)(turn, journal)

    async def note(self, effect: EffectKey) -> str:
        """An effect that shows how often it happened."""
        desk = self.desk
        customer = CustomerId((await desk.conversation())["customer_id"])
        before = await desk.db.fetchval("SELECT note FROM customers") or ""
        service = CustomerService(desk.container.turns.uow, utc_now)
        return await service.update_profile(
            desk.tenant, customer, note=f"{before} {str(effect.turn_id)[-6:]}", effect=effect
        )

    async def go_on(self) -> None:
        if self.running:
            task, barrier = self.running.pop(self.chance.randrange(len(self.running)))
            barrier.go_on()
            await task

    async def crash(self) -> None:
        if self.running:
            task, _ = self.running.pop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def oversleep(self) -> None:
        self.offset += 40
        await self.desk.db.jump(self.offset)

    async def take_over(self) -> None:
        await self.desk.people.take_over(
            self.desk.tenant, await self.desk.conversation_id(), actor="rina"
        )

    async def answer(self) -> None:
        await self.desk.people.send_as_staff(
            self.desk.tenant, await self.desk.conversation_id(), "Siap, Kak", actor="rina"
        )

    async def give_back(self) -> None:
        try:
            await self.desk.people.return_to_ai(
                self.desk.tenant, await self.desk.conversation_id(), actor="rina"
            )
        except NotOwnedByPerson:
            return

    async def send(self) -> None:
        """The messenger takes the head of the line."""
        head = await self.desk.db.fetchval(
            "SELECT key FROM queue_messages WHERE queue = 'wa_messages' ORDER BY position LIMIT 1"
        )
        if head is None:
            return
        if await self.desk.claim_send(head) == "claimed":
            await self.desk.db.execute(
                "UPDATE sends SET state = 'sent', ended_at = platform_now() WHERE id = $1", head
            )
        await self.desk.db.execute("DELETE FROM queue_messages WHERE key = $1", head)

    async def come_to_rest(self) -> None:
        """Everybody finishes; then nothing is left to do."""
        for task, barrier in self.running:
            barrier.go_on()
            await asyncio.gather(task, return_exceptions=True)
        self.desk.agent.default = self.thoughtful
        await self.give_back()
        for _ in range(8):
            await self.oversleep()
            await self.desk.container.sweeper.restore_lost_work()
            await self.desk.drain()
            while await self.desk.count("queue_messages", "queue = 'wa_messages'"):
                await self.send()


async def everything_was_done_once(desk: Desk) -> None:
    """What the audit cannot know: this agent echoes what it read, and its tool leaves a mark."""
    notes = str(await desk.db.fetchval("SELECT note FROM customers") or "").split()
    assert len(notes) == len(set(notes)), "an effect happened twice"
    replies = await desk.db.fetch(
        "SELECT reply_id, string_agg(body, ' ' ORDER BY seq) AS text FROM sends"
        " WHERE kind = 'ai' AND state = 'sent' GROUP BY reply_id"
    )
    gone = await desk.db.fetch("SELECT body FROM messages WHERE revoked_at IS NOT NULL")
    revoked = {_NUMBER.findall(row["body"])[0] for row in gone}
    for reply in replies:
        marked = await desk.db.fetch(
            "SELECT body FROM messages WHERE answered_by = $1", reply["reply_id"]
        )
        numbers = {_NUMBER.findall(row["body"])[0] for row in marked}
        said = set(_NUMBER.findall(reply["text"]))
        assert numbers <= said, "a message is marked answered that the reply knows nothing of"
        assert said - numbers <= revoked, "a message is answered and not marked so"


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_everything_is_answered_once(desk: Desk, seed: int) -> None:
    await Day(desk, random.Random(seed)).live()
    await Auditor(desk.db).assert_clean()
    await everything_was_done_once(desk)
