"""The path of a message with RabbitMQ carrying the hints, each service a process of its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.support.fake_llm import FakeLlm, Say
from tests.support.fake_waha import FakeWaha
from tests.support.rabbitmq import RabbitForTests
from tests.support.stack import Stack, until
from tests.support.waha_webhooks import CUSTOMER

pytestmark = pytest.mark.rabbitmq


@pytest_asyncio.fixture(loop_scope="session")
async def stack(tmp_path: Path, rabbitmq_server: RabbitForTests) -> AsyncIterator[Stack]:
    run = uuid4().hex[:8]
    settings = {
        "RABBITMQ_URL": rabbitmq_server.url,
        "RABBITMQ_TASK_QUEUE": f"ai_tasks_{run}",
        "RABBITMQ_CRM_QUEUE": f"crm_tasks_{run}",
        "RABBITMQ_WA_QUEUE": f"wa_messages_{run}",
    }
    services = ("gateway", "commerce-agent", "messenger", "llm-worker")
    async with Stack(tmp_path, services=services, settings=settings) as started:
        yield started


async def test_messages_are_answered_once_and_in_order_over_rabbitmq(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = lambda request: Say("Halo kak.\n\nAda yang bisa dibantu?")
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    chats = [CUSTOMER, *(f"62812300009{n}@c.us" for n in range(4))]
    for chat in chats:
        message = shop.hooks.message("halo", chat=chat)
        for _ in range(2):
            await shop.receives(message)

    async def settled() -> bool:
        left = await stack.database.fetchval("SELECT count(*) FROM queue_messages")
        sent = await stack.database.fetchval(
            "SELECT count(DISTINCT conversation_id) FROM sends WHERE state = 'sent'"
        )
        return left == 0 and sent == len(chats)

    await until(settled)
    for chat in chats:
        assert "\n\n".join(filter(None, waha.texts(chat))) == "Halo kak.\n\nAda yang bisa dibantu?"
    assert await stack.database.fetchval("SELECT count(*) FROM turns") == len(chats)
    assert await stack.database.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_a_worker_killed_over_rabbitmq_leaves_nothing_undone(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = lambda request: Say("Halo kak.", delay=0.5)
    shop = await stack.a_shop("kopi", llm=llm, waha=waha)
    await shop.receives(shop.hooks.message("halo"))
    await until(lambda: llm.requests)
    stack.kill("commerce-agent")
    stack.start("commerce-agent")
    await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=40)

    async def settled() -> bool:
        return await stack.database.fetchval("SELECT count(*) FROM queue_messages") == 0

    await until(settled)
    assert waha.texts(CUSTOMER) == ["Halo kak."]
