"""Rows that tests start from, inserted above row-level security, with defaults for everything.

    tenant = await rows.a_tenant(db, slug="kopi")
    channel = await rows.a_channel(db, tenant, base_url=waha.url, api_key=waha.api_key)
    conversation = await rows.a_conversation(db, tenant, channel)
    message = await rows.an_inbound(db, conversation, body="halo")
    send = await rows.a_send(db, conversation, body="Halo juga", answers=[message])

Each returns the ids the next one needs. Secrets are sealed as the platform seals them, with
`MASTER_KEY`; further keyword arguments set columns by name.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr

from shared.kernel.ids import ChannelId, ConversationId, SendId, TenantId, new_id
from shared.security.crypto import KeyRing
from tests.support.postgres import TestDatabase
from tests.support.waha_webhooks import CUSTOMER, SECRET, new_native_id

MASTER_KEY = SecretStr("dGVzdC1tYXN0ZXIta2V5LTAxMjM0NTY3ODlhYmNkZWY=")
WAHA_API_KEY = "test-waha-key"


@dataclass(frozen=True)
class Conversation:
    """What belongs together: conversation, its channel, customer and tenant."""

    tenant_id: TenantId
    channel_id: ChannelId
    customer_id: UUID
    id: ConversationId
    address: str


async def a_tenant(db: TestDatabase, *, slug: str | None = None, **columns: Any) -> TenantId:
    tenant_id = TenantId(new_id())
    slug = slug or f"shop-{uuid4().hex[:8]}"
    defaults = {
        "id": tenant_id,
        "slug": slug,
        "name": slug.title(),
        "wrapped_key": KeyRing(MASTER_KEY).new_wrapped_key(tenant_id),
    }
    await insert(db, "tenants", defaults | columns)
    return tenant_id


async def a_channel(
    db: TestDatabase,
    tenant_id: TenantId,
    *,
    kind: str = "waha",
    session: str = "default",
    base_url: str | None = None,
    api_key: str | None = WAHA_API_KEY,
    webhook_secret: str = SECRET,
    **columns: Any,
) -> ChannelId:
    """A channel in state working; ``kind="simulator"`` has no server."""
    channel_id = ChannelId(new_id())
    waha = kind == "waha"

    async def sealed(secret: str, column: str) -> bytes:
        return await seal(db, tenant_id, secret, table="channels", column=column, row=channel_id)

    defaults = {
        "tenant_id": tenant_id,
        "id": channel_id,
        "kind": kind,
        "name": f"{kind} {uuid4().hex[:6]}",
        "session": session,
        "base_url": (base_url or "http://waha.invalid:3000") if waha else None,
        "api_key_ciphertext": await sealed(api_key, "api_key_ciphertext")
        if waha and api_key
        else None,
        "webhook_secret_ciphertext": await sealed(webhook_secret, "webhook_secret_ciphertext"),
        "state": "working",
    }
    await insert(db, "channels", defaults | columns)
    return channel_id


async def a_customer(
    db: TestDatabase, tenant_id: TenantId, *, address: str = CUSTOMER, **columns: Any
) -> UUID:
    """A customer with one address as alias."""
    customer_id = new_id()
    phone = "+" + address.partition("@")[0] if address.endswith("@c.us") else None
    await insert(
        db, "customers", {"tenant_id": tenant_id, "id": customer_id, "phone": phone} | columns
    )
    alias = {"tenant_id": tenant_id, "address": address, "customer_id": customer_id}
    await insert(db, "customer_aliases", alias)
    return customer_id


async def a_conversation(
    db: TestDatabase,
    tenant_id: TenantId,
    channel_id: ChannelId,
    customer_id: UUID | None = None,
    *,
    address: str = CUSTOMER,
    **columns: Any,
) -> Conversation:
    """A conversation that the AI owns; its customer is made unless given."""
    if customer_id is None:
        customer_id = await a_customer(db, tenant_id, address=address)
    conversation_id = ConversationId(new_id())
    defaults = {
        "tenant_id": tenant_id,
        "id": conversation_id,
        "channel_id": channel_id,
        "customer_id": customer_id,
        "address": address,
    }
    await insert(db, "conversations", defaults | columns)
    return Conversation(tenant_id, channel_id, customer_id, conversation_id, address)


async def an_inbound(
    db: TestDatabase,
    conversation: Conversation,
    *,
    body: str | None = "Halo",
    native_id: str | None = None,
    **columns: Any,
) -> UUID:
    """A customer's message that nobody has answered."""
    message_id = new_id()
    seq = await db.fetchval(
        "UPDATE conversations SET inbound_seq = inbound_seq + 1,"
        " first_unanswered_at = coalesce(first_unanswered_at, platform_now())"
        " WHERE id = $1 RETURNING inbound_seq",
        conversation.id,
    )
    defaults = {
        "tenant_id": conversation.tenant_id,
        "id": message_id,
        "channel_id": conversation.channel_id,
        "conversation_id": conversation.id,
        "direction": "in",
        "native_id": native_id or new_native_id(),
        "sender": conversation.address,
        "seq": seq,
        "content_type": "text",
        "body": body,
        "sent_at": await db.fetchval("SELECT platform_now()"),
    }
    await insert(db, "messages", defaults | columns)
    return message_id


async def a_turn(db: TestDatabase, conversation: Conversation, **columns: Any) -> UUID:
    """A turn that is open."""
    turn_id = new_id()
    defaults = {
        "tenant_id": conversation.tenant_id,
        "id": turn_id,
        "conversation_id": conversation.id,
    }
    await insert(db, "turns", defaults | columns)
    return turn_id


async def a_send(
    db: TestDatabase,
    conversation: Conversation,
    *,
    body: str = "Halo juga",
    kind: str = "ai",
    reply_id: UUID | None = None,
    answers: list[UUID] | None = None,
    queued: bool = True,
    **columns: Any,
) -> SendId:
    """A bubble at the end of the conversation's line, with its work unless ``queued=False``.

    An AI bubble answers ``answers``; without any (and without a reply it belongs to) a message is
    made for it, since text that answers nothing is refused.
    """
    send_id, first_bubble = SendId(new_id()), reply_id is None
    reply_id = reply_id or new_id()
    if answers is None and kind == "ai" and first_bubble:
        answers = [await an_inbound(db, conversation)]
    await db.execute(
        "UPDATE messages SET answered_by = $1, answered_how = 'ai' WHERE id = ANY($2)",
        reply_id,
        answers or [],
    )
    position = await db.fetch(
        "UPDATE conversations SET out_seq = out_seq + 1 WHERE id = $1"
        " RETURNING out_seq, owner_epoch",
        conversation.id,
    )
    defaults = {
        "tenant_id": conversation.tenant_id,
        "id": send_id,
        "channel_id": conversation.channel_id,
        "conversation_id": conversation.id,
        "seq": position[0]["out_seq"],
        "kind": kind,
        "reply_id": reply_id,
        "body": body,
        "owner_epoch": position[0]["owner_epoch"],
    }
    await insert(db, "sends", defaults | columns)
    if queued:
        await queue_send(db, conversation, send_id, position[0]["out_seq"])
    return send_id


async def queue_send(
    db: TestDatabase, conversation: Conversation, send_id: SendId, position: int
) -> None:
    """The messenger's work for a bubble, as the turn's commit enqueues it."""
    await db.execute(
        "SELECT enqueue_task($1, $2, 'wa_messages', 'send', $3, '{}', NULL, NULL, 0, $4, $5)",
        new_id(),
        conversation.tenant_id,
        str(send_id),
        str(conversation.id),
        position,
    )


async def seal(
    db: TestDatabase, tenant_id: TenantId, secret: str, *, table: str, column: str, row: UUID
) -> bytes:
    """Seal a secret for one place of one tenant."""
    wrapped = await db.fetchval("SELECT wrapped_key FROM tenants WHERE id = $1", tenant_id)
    assert isinstance(wrapped, bytes)
    cipher = KeyRing(MASTER_KEY).tenant(tenant_id, wrapped)
    return cipher.seal(secret, table=table, column=column, row=row)


async def insert(db: TestDatabase, table: str, columns: dict[str, Any]) -> None:
    """One row; objects and lists go in as JSON."""
    values = [
        json.dumps(value) if isinstance(value, dict | list) else value for value in columns.values()
    ]
    names = ", ".join(columns)
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await db.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", *values)
