"""What may be there once, the database refuses twice, whatever the code before it believed.

The code inserts first and lets these refuse; here nothing of it stands before them.
"""

import hashlib
from typing import Any

import asyncpg
import pytest

from shared.kernel.ids import new_id
from tests.support import rows
from tests.support.postgres import TestDatabase


async def _twice(db: TestDatabase, table: str, columns: dict[str, Any], **other: Any) -> str:
    """Insert a row, and again what differs by ``other`` alone; which constraint refused it."""
    await rows.insert(db, table, columns)
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await rows.insert(db, table, columns | other)
    return str(refused.value.constraint_name)


@pytest.fixture
def body() -> bytes:
    return b'{"event": "message"}'


async def test_an_event_of_the_inbox_is_there_once(
    test_database: TestDatabase, body: bytes
) -> None:
    event = {
        "id": new_id(),
        "tenant_id": new_id(),
        "source": "waha",
        "endpoint_id": new_id(),
        "body": body,
        "body_sha256": hashlib.sha256(body).digest(),
    }

    refused = await _twice(test_database, "inbox_events", event, id=new_id())

    assert refused == "uq_inbox_events_tenant_id_source_endpoint_id_body_sha256"
    assert await test_database.fetchval("SELECT count(*) FROM inbox_events") == 1


async def test_a_key_of_the_queue_is_there_once(test_database: TestDatabase) -> None:
    task = {
        "id": new_id(),
        "tenant_id": new_id(),
        "queue": "crm_tasks",
        "kind": "brew",
        "key": "k",
        "payload": {},
    }

    refused = await _twice(test_database, "queue_messages", task, id=new_id())

    assert refused == "uq_queue_messages_tenant_id_queue_kind_key"


async def test_a_message_of_whatsapp_is_there_once(test_database: TestDatabase) -> None:
    conversation = await _conversation(test_database)
    await rows.an_inbound(test_database, conversation, native_id="3EB0ONE")

    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await rows.an_inbound(test_database, conversation, native_id="3EB0ONE", body="anders")

    assert refused.value.constraint_name == (
        "uq_messages_tenant_id_channel_id_direction_kind_native_id"
    )


async def test_a_step_of_a_turn_is_there_once(test_database: TestDatabase) -> None:
    """The key of a tool's effect: (turn, step, call)."""
    conversation = await _conversation(test_database)
    step = {
        "tenant_id": conversation.tenant_id,
        "turn_id": await rows.a_turn(test_database, conversation),
        "step": 2,
        "call": 0,
        "kind": "tool",
        "body": {},
        "result": "{}",
        "lease_epoch": 1,
    }

    assert await _twice(test_database, "turn_steps", step, lease_epoch=2) == "pk_turn_steps"


async def test_a_conversation_has_one_open_turn(test_database: TestDatabase) -> None:
    conversation = await _conversation(test_database)
    await rows.a_turn(test_database, conversation)

    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await rows.a_turn(test_database, conversation)

    assert refused.value.constraint_name == "uq_turns_open"
    await test_database.execute("UPDATE turns SET state = 'ended'")
    await rows.a_turn(test_database, conversation)


async def test_a_place_in_the_line_is_there_once(test_database: TestDatabase) -> None:
    conversation = await _conversation(test_database)
    await rows.a_send(test_database, conversation, kind="notice", seq=7)

    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await rows.a_send(test_database, conversation, kind="notice", seq=7)

    assert refused.value.constraint_name == "uq_sends_tenant_id_conversation_id_seq"


async def _conversation(db: TestDatabase) -> rows.Conversation:
    tenant = await rows.a_tenant(db)
    return await rows.a_conversation(db, tenant, await rows.a_channel(db, tenant))
