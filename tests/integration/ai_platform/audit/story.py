"""A conversation from the webhook to the sent reply, as the product leaves it in the database.

The customer wrote once, the turn read it, asked for one tool, drafted, and replied in two bubbles;
both were claimed, sent and ended one after the other. Beside it a job was done, at its second try.
Nothing is left to do.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.kernel.ids import TenantId, new_id
from tests.support import rows
from tests.support.postgres import TestDatabase
from tests.support.waha_webhooks import CUSTOMER, new_native_id

BODY = b'{"event": "message.any", "payload": {"body": "kopi susu berapa kak?"}}'
ASKED = "kopi susu berapa kak?"
SAID = ("Kopi Susu Rp18.000 ya kak.", "Mau pesan berapa?")


@dataclass(kw_only=True)
class Story:
    """The ids of what happened, in the order in which it did."""

    db: TestDatabase
    tenant: TenantId
    conversation: rows.Conversation
    began: datetime
    inbox: UUID = field(default_factory=new_id)
    message: UUID = field(default_factory=new_id)
    turn: UUID = field(default_factory=new_id)
    reply: UUID = field(default_factory=new_id)
    bubbles: tuple[UUID, UUID] = field(default_factory=lambda: (new_id(), new_id()))
    job: UUID = field(default_factory=new_id)
    native_ids: tuple[str, str] = field(default_factory=lambda: (new_native_id(), new_native_id()))

    def at(self, seconds: float) -> datetime:
        """So many seconds into the story."""
        return self.began + timedelta(seconds=seconds)

    async def insert(self, table: str, **columns: Any) -> None:
        await rows.insert(self.db, table, {"tenant_id": self.tenant} | columns)

    async def event(self, name: str, at: float, **body: Any) -> UUID:
        """One domain event, of this conversation unless ``body`` says otherwise."""
        event_id = new_id()
        told = {"conversation_id": str(self.conversation.id)} | {
            key: str(value) if isinstance(value, UUID) else value for key, value in body.items()
        }
        await self.insert(
            "domain_events", id=event_id, name=name, version=1, body=told, occurred_at=self.at(at)
        )
        return event_id

    async def step(self, step: int, kind: str, body: dict[str, Any], **columns: Any) -> None:
        await self.insert(
            "turn_steps",
            **{
                "turn_id": self.turn,
                "step": step,
                "kind": kind,
                "body": body,
                "lease_epoch": 1,
                "created_at": self.at(2 + step / 10),
            }
            | columns,
        )

    async def one_more_bubble(self, **columns: Any) -> UUID:
        """Committed just now, with its work: a notice unless ``columns`` say otherwise."""
        defaults = {"kind": "notice", "body": "Pesanan dikirim.", "created_at": self.at(50)}
        return await rows.a_send(self.db, self.conversation, **(defaults | columns))

    async def one_more_message(self, **columns: Any) -> UUID:
        """Something that needs no answer."""
        message_id = new_id()
        defaults = {
            "id": message_id,
            "channel_id": self.conversation.channel_id,
            "conversation_id": self.conversation.id,
            "direction": "in",
            "native_id": new_native_id(),
            "sender": CUSTOMER,
            "content_type": "text",
            "body": "makasih",
            "answered_how": "nothing_to_answer",
            "sent_at": self.at(40),
        }
        await self.insert("messages", **(defaults | columns))
        return message_id

    async def open_turn(self, **columns: Any) -> UUID:
        turn_id = new_id()
        defaults = {"id": turn_id, "conversation_id": self.conversation.id}
        await self.insert("turns", **(defaults | columns))
        return turn_id

    async def job_event(self, name: str, at: float, job_id: UUID | None = None) -> UUID:
        """One domain event of the story's job or of another one."""
        return await self.event(f"job.{name}", at, job_id=job_id or self.job)

    async def one_more_job(self, *, queued: bool = True, **columns: Any) -> UUID:
        """Accepted just now, with its work; ``columns`` are set afterwards, past the trigger."""
        job_id = new_id()
        await self.insert(
            "jobs",
            id=job_id,
            prompt="Apa itu kopi luwak?",
            config_name="offline",
            template_name="default-assistant",
            created_at=self.at(40),
            updated_at=self.at(40),
            deadline_at=self.at(3600),
        )
        await self.job_event("created", 40, job_id)
        if queued:
            await self.work("job.run", job_id, available_at=self.at(40))
        if columns:
            await self.change_job(job_id, **columns)
        return job_id

    async def change_job(self, job_id: UUID, **columns: Any) -> None:
        """As no worker could: without the trigger."""
        await self.db.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_follow_the_graph")
        changes = ", ".join(f"{name} = ${place}" for place, name in enumerate(columns, 2))
        await self.db.execute(f"UPDATE jobs SET {changes} WHERE id = $1", job_id, *columns.values())
        await self.db.execute("ALTER TABLE jobs ENABLE TRIGGER jobs_follow_the_graph")

    async def attempt(self, job_id: UUID, number: int, **columns: Any) -> None:
        defaults = {
            "id": new_id(),
            "job_id": job_id,
            "run": 1,
            "number": number,
            "agent": "main",
            "config_name": "offline",
            "model": "offline-demo",
            "started_at": self.at(41),
            "milliseconds": 5,
            "outcome": "ok",
        }
        await self.insert("job_attempts", **(defaults | columns))

    async def work(self, kind: str, key: object, **columns: Any) -> UUID:
        """A queue row that is due now."""
        row_id = new_id()
        queue = {"send": "wa_messages", "job.run": "ai_tasks"}.get(kind, "crm_tasks")
        await self.insert(
            "queue_messages",
            **({"id": row_id, "queue": queue, "kind": kind, "key": str(key)} | columns),
        )
        return row_id


async def tell(db: TestDatabase, *, waha_url: str | None = None, session: str = "default") -> Story:
    """A story of a tenant of its own, a minute ago."""
    now = await db.fetchval("SELECT platform_now()")
    assert isinstance(now, datetime)
    tenant = await rows.a_tenant(db)
    channel = await rows.a_channel(db, tenant, base_url=waha_url, session=session)
    conversation = await rows.a_conversation(
        db, tenant, channel, inbound_seq=1, out_seq=2, lease_epoch=1
    )
    story = Story(db=db, tenant=tenant, conversation=conversation, began=now - timedelta(minutes=1))
    await _came_in(story)
    await _was_answered(story)
    await _left(story)
    await _was_done(story)
    return story


async def _came_in(story: Story) -> None:
    await story.insert(
        "inbox_events",
        id=story.inbox,
        source="waha",
        endpoint_id=story.conversation.channel_id,
        body=BODY,
        body_sha256=hashlib.sha256(BODY).digest(),
        state="stored",
        received_at=story.at(0),
        processed_at=story.at(1),
    )
    await story.insert(
        "messages",
        id=story.message,
        channel_id=story.conversation.channel_id,
        conversation_id=story.conversation.id,
        direction="in",
        native_id=new_native_id(),
        sender=CUSTOMER,
        seq=1,
        content_type="text",
        body=ASKED,
        inbox_id=story.inbox,
        answered_by=story.reply,
        answered_how="ai",
        sent_at=story.at(0),
        received_at=story.at(1),
    )
    await story.event("conversation.message_received", 1, message_id=story.message, direction="in")


async def _was_answered(story: Story) -> None:
    await story.open_turn(
        id=story.turn,
        state="ended",
        outcome="replied",
        reply_id=story.reply,
        started_at=story.at(2),
        ended_at=story.at(3),
    )
    calls = [
        {"id": "call_0", "name": "search_products", "args": {"query": "kopi"}, "problem": None}
    ]
    await story.step(0, "read", {"message_id": str(story.message), "text": ASKED})
    await story.step(1, "model", {"text": "", "tool_calls": calls})
    await story.step(2, "tool", {"request": calls[0], "result": "{}"}, name="search_products")
    await story.step(3, "model", {"text": "\n\n".join(SAID), "tool_calls": []})
    await story.event(
        "conversation.replied",
        3,
        turn_id=story.turn,
        reply_id=story.reply,
        bubbles=2,
        lease_epoch=1,
        fence=1,
    )


async def _left(story: Story) -> None:
    for place, (send_id, body, native_id) in enumerate(
        zip(story.bubbles, SAID, story.native_ids, strict=True), 1
    ):
        await story.insert(
            "sends",
            id=send_id,
            channel_id=story.conversation.channel_id,
            conversation_id=story.conversation.id,
            seq=place,
            kind="ai",
            reply_id=story.reply,
            turn_id=story.turn,
            body=body,
            owner_epoch=1,
            state="sent",
            claim_no=1,
            native_id=native_id,
            created_at=story.at(3),
            claimed_at=story.at(10 * place),
            ended_at=story.at(10 * place + 2),
        )
        await story.event("send.sent", 10 * place + 2, send_id=send_id, kind="ai")


async def _was_done(story: Story) -> None:
    """The job: no answer, a retry, an answer."""
    await story.insert(
        "jobs",
        id=story.job,
        prompt="Apa itu kopi luwak?",
        config_name="default-smart",
        template_name="default-assistant",
        created_at=story.at(1),
        deadline_at=story.at(3600),
    )
    await story.job_event("created", 1)
    await story.change_job(
        story.job,
        status="COMPLETED",
        run=2,
        retry_count=1,
        result="Kopi dari biji yang pernah dimakan luwak.",
        agent_type="main",
        tokens_in=19,
        tokens_out=10,
        cost_nanos=138_000,
        started_at=story.at(2),
        finished_at=story.at(9),
        updated_at=story.at(9),
    )
    await story.attempt(story.job, 1, outcome="model_unavailable", error="No answer")
    await story.job_event("retrying", 3)
    await story.attempt(story.job, 2, run=2, tokens_in=19, tokens_out=10, cost_nanos=138_000)
    await story.job_event("completed", 9)
    await story.insert("llm_usage", day=story.at(9).date(), tokens=29, cost_nanos=138_000, calls=2)
