"""The first wall between tenants: every query names its tenant.

The database would refuse the rest (row-level security), and so hide a forgotten filter. Here the
unit of work runs as the owner of the tables, who sees everybody's rows: what still keeps two shops
apart is the filter alone.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy.exc import NoResultFound

from commerce_agent.application.ports.inbox import InboxState
from commerce_agent.application.ports.message_store import AnsweredHow
from commerce_agent.application.ports.shop_agent import Handle, Spoken
from commerce_agent.application.ports.turn_store import Entry, TurnOutcome
from commerce_agent.application.queries.webhook_delivery_queries import WebhookDeliveryNotFound
from commerce_agent.domain.entities.tenant import TenantNotFound
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.value_objects.ids import (
    CustomerId,
    MessageId,
    ProductId,
    ReplyId,
    TurnId,
)
from commerce_agent.infrastructure.persistence.callbacks import SqlCallbackDesk
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from commerce_agent.infrastructure.persistence.webhook_delivery_queries import SqlWebhookDeliveries
from messenger.domain import Outgoing, SendState
from messenger.infrastructure.sends import SqlSends
from shared.kernel.ids import InboxId, SendId, TenantId, new_id
from shared.messaging.port import Claim, ClaimLost, Queue
from shared.persistence.database import Database, make_engine
from shared.security.crypto import KeyRing
from tests.support import rows
from tests.support.postgres import TestDatabase
from tests.support.waha_webhooks import CUSTOMER

NATIVE = "3EB0THEIRS"
REPLY = UUID(int=77)
SAID = Entry(step=9, call=0, body=Spoken(text="ours"))


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """Another shop, with something of everything."""

    conversation: rows.Conversation
    message: MessageId
    turn: TurnId
    send: SendId
    inbox: InboxId

    @property
    def tenant(self) -> TenantId:
        return self.conversation.tenant_id


@pytest_asyncio.fixture(loop_scope="session")
async def theirs(test_database: TestDatabase) -> Theirs:
    db = test_database
    tenant = await rows.a_tenant(db)
    conversation = await rows.a_conversation(db, tenant, await rows.a_channel(db, tenant))
    message = MessageId(await rows.an_inbound(db, conversation, native_id=NATIVE))
    turn = TurnId(await rows.a_turn(db, conversation))
    step = {"tenant_id": tenant, "turn_id": turn, "step": 2, "call": 0, "kind": "read"}
    await rows.insert(db, "turn_steps", step | {"body": {}, "result": "{}", "lease_epoch": 1})
    send = await rows.a_send(
        db, conversation, kind="notice", reply_id=REPLY, reserved_id="3EB0SENT"
    )
    inbox = InboxId(new_id())
    event = {"id": inbox, "tenant_id": tenant, "source": "waha", "endpoint_id": new_id()}
    await rows.insert(db, "inbox_events", event | {"body": b"{}", "body_sha256": b"x"})
    return Theirs(conversation=conversation, message=message, turn=turn, send=send, inbox=inbox)


@pytest_asyncio.fixture(loop_scope="session")
async def as_owner(test_database: TestDatabase) -> AsyncIterator[Database]:
    """Without the second wall: row-level security lets the owner see all tenants."""
    engine = make_engine(test_database.owner_url)
    yield Database(engine)
    await engine.dispose()


@pytest_asyncio.fixture(loop_scope="session")
async def ours(test_database: TestDatabase) -> TenantId:
    return await rows.a_tenant(test_database)


async def _everything(db: TestDatabase) -> dict[str, list[Any]]:
    tables = ("conversations", "messages", "turns", "turn_steps", "sends", "inbox_events")
    return {
        table: [tuple(row) for row in await db.fetch(f"SELECT * FROM {table} ORDER BY id")]
        if table != "turn_steps"
        else [tuple(row) for row in await db.fetch("SELECT * FROM turn_steps ORDER BY step")]
        for table in tables
    }


async def test_the_owner_sees_what_the_filter_has_to_hide(
    as_owner: Database, theirs: Theirs
) -> None:
    """Else this module would prove nothing."""
    async with SqlUnitOfWork(as_owner, theirs.tenant) as work:
        assert await work.conversations.find(theirs.conversation.id) is not None
        assert await work.messages.find(theirs.conversation.channel_id, NATIVE) is not None
        found = await work.conversations.get(theirs.conversation.id)
        scene = await work.scenes.read(found, known_stamp=None, history=9)
        assert scene.open_turn is not None
        assert [message.id for message in scene.waiting] == [theirs.message]
        assert await work.inbox.find(theirs.inbox) is not None
    assert await SqlSends(as_owner).load(theirs.tenant, theirs.send) is not None


async def test_nothing_of_another_tenant_is_found(
    as_owner: Database, theirs: Theirs, ours: TenantId
) -> None:
    conversation = theirs.conversation
    async with SqlUnitOfWork(as_owner, theirs.tenant) as work:
        their_conversation = await work.conversations.get(conversation.id)
    async with SqlUnitOfWork(as_owner, ours) as work:
        assert await work.conversations.find(conversation.id) is None
        assert await work.conversations.of_customers([conversation.customer_id]) == []
        assert await work.customers.find(CustomerId(conversation.customer_id)) is None
        assert await work.customers.find_by_addresses([CUSTOMER]) == ()
        assert await work.channels.find(conversation.channel_id) is None
        assert await work.channels.all() == []
        assert await work.messages.find(conversation.channel_id, NATIVE) is None
        assert await work.messages.present([theirs.message]) == {}
        assert await work.messages.first_waiting_since(conversation.id) is None
        assert await work.turns.entries(theirs.turn) == []
        assert await work.turns.find_result(theirs.turn, step=2, call=0) is None
        assert await work.sends.find_conversation(conversation.channel_id, "3EB0SENT") is None
        with pytest.raises(NoResultFound):
            await work.scenes.read(their_conversation, known_stamp=None, history=9)
        assert await work.inbox.find(theirs.inbox) is None
        with pytest.raises(TenantNotFound):
            await work.tenants.get(theirs.tenant)
    assert await SqlSends(as_owner).load(ours, theirs.send) is None


async def test_nothing_of_another_tenant_is_changed(
    as_owner: Database, theirs: Theirs, ours: TenantId, test_database: TestDatabase
) -> None:
    before = await _everything(test_database)
    conversation = theirs.conversation
    lease = Lease(conversation_id=conversation.id, worker=new_id(), epoch=0)
    async with SqlUnitOfWork(as_owner, ours) as work:
        taken = await work.conversations.take_lease(
            conversation.id, worker=lease.worker, for_=timedelta(seconds=30)
        )
        assert taken is None
        assert not await work.conversations.renew_lease(lease, for_=timedelta(seconds=30))
        begun = await work.conversations.begin_commit(lease, owner_epoch=1, inbound_seq=None)
        assert begun is None
        assert await work.messages.settle(conversation.id, AnsweredHow.PERSON) == 0
        await work.messages.edit(theirs.message, "ours", at=await work.now())
        await work.messages.revoke(theirs.message, at=await work.now())
        answered = await work.messages.answer(conversation.id, [theirs.message], by=ReplyId(REPLY))
        assert (answered.count, answered.oldest_waiting) == (0, None)
        assert not await work.turns.keep(theirs.turn, SAID, lease)
        await work.turns.show(conversation.id, [Handle(code="p1", product_id=ProductId(REPLY))])
        await work.turns.end(theirs.turn, TurnOutcome.NOTHING_LEFT)
        await work.turns.end_open(conversation.id, TurnOutcome.NOTHING_LEFT)
        await work.turns.count_discard(theirs.turn)
        assert not await work.sends.withdraw(conversation.id, ReplyId(REPLY))
        assert await work.sends.acknowledge(conversation.channel_id, "3EB0SENT", 3) == []
        assert not await work.inbox.settle(theirs.inbox, InboxState.PARKED, "ours")
        await work.commit()

    assert await _everything(test_database) == before


async def test_a_messenger_moves_no_bubble_of_another_tenant(
    as_owner: Database, theirs: Theirs, ours: TenantId, test_database: TestDatabase
) -> None:
    sends = SqlSends(as_owner)
    await test_database.execute("UPDATE sends SET state = 'sending', claim_no = 1")
    bubble = await sends.load(theirs.tenant, theirs.send)
    assert bubble is not None
    before = await _everything(test_database)
    strange = _with_tenant(bubble, ours)

    assert not await sends.end(_claim(ours, theirs.send), strange, 1, SendState.SENT)
    assert not await sends.mark_unknown(strange, 1, "ours")
    assert not await sends.put_back(strange, 1, "ours")
    assert not await sends.report_state(strange, "failed")

    assert await _everything(test_database) == before


async def test_callbacks_of_another_tenant_are_neither_found_nor_told(
    as_owner: Database, theirs: Theirs, ours: TenantId, test_database: TestDatabase
) -> None:
    db, job, delivery = test_database, new_id(), new_id()
    await rows.insert(db, "jobs", _a_job(theirs.tenant, job))
    for status in ("PROCESSING", "CANCELLED"):
        await db.execute(
            "UPDATE jobs SET status = $1, finished_at = CASE $1 WHEN 'CANCELLED' THEN now() END",
            status,
        )
    told = {"type": "job.cancelled", "url": "https://theirs.example", "job_id": job}
    await rows.insert(db, "webhook_deliveries", told | {"tenant_id": theirs.tenant, "id": delivery})
    before = [tuple(row) for row in await db.fetch("SELECT * FROM webhook_deliveries")]
    deliveries = SqlWebhookDeliveries(as_owner)
    assert len((await deliveries.list(theirs.tenant)).data) == 1

    assert list((await deliveries.list(ours)).data) == []
    for ask in (deliveries.get, deliveries.replay):
        with pytest.raises(WebhookDeliveryNotFound):
            await ask(ours, delivery)
    desk = SqlCallbackDesk(as_owner, KeyRing(rows.MASTER_KEY))
    with pytest.raises(ClaimLost):  # nothing to tell, and no such claim
        await desk.begin(_claim(ours, SendId(new_id())), job)

    assert [tuple(row) for row in await db.fetch("SELECT * FROM webhook_deliveries")] == before


def _a_job(tenant: TenantId, job: UUID) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "id": job,
        "prompt": "rahasia",
        "config_name": "offline",
        "template_name": "t",
        "callback_url": "https://theirs.example",
        "deadline_at": datetime(2030, 1, 1, tzinfo=UTC),
    }


def _with_tenant(bubble: Outgoing, tenant: TenantId) -> Outgoing:
    fields = {name: getattr(bubble, name) for name in bubble.__dataclass_fields__}
    return Outgoing(**(fields | {"tenant_id": tenant}))


def _claim(tenant: TenantId, send: SendId) -> Claim:
    return Claim(
        id=new_id(),
        tenant_id=tenant,
        queue=Queue.WA_MESSAGES,
        kind="send",
        key=str(send),
        payload={},
        generation=1,
        attempts=0,
        lease_id=new_id(),
    )
