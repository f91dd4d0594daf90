"""The worker's process: it beats when it can answer, answers, and stops when told."""

import asyncio
import subprocess
import sys
from pathlib import Path

from commerce_agent.bootstrap import build
from commerce_agent.worker import NAME, run, serve
from shared.config.settings import (
    ConversationSettings,
    ObservabilitySettings,
    PlatformSettings,
    QueueSettings,
    SecuritySettings,
)
from shared.observability.heartbeat import is_alive
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support import rows
from tests.support.postgres import TestDatabase


def _settings(db: TestDatabase, run_dir: Path | None = None) -> PlatformSettings:
    return PlatformSettings(
        database=db.settings,
        security=SecuritySettings(master_key=rows.MASTER_KEY),
        queue=QueueSettings(queue_poll_seconds=0.1, queue_sweep_seconds=0.2),  # type: ignore[arg-type]
        conversation=ConversationSettings(message_buffer_initial_delay=0),  # type: ignore[arg-type]
        observability=ObservabilitySettings(run_dir=run_dir),
    )


async def test_a_worker_stores_answers_sweeps_and_stops(desk: Desk) -> None:
    settings = _settings(desk.db)
    stop = asyncio.Event()
    async with build(settings, desk.work, desk.agent) as container:
        working = asyncio.create_task(run(container, settings, stop))
        await desk.deliver(desk.hooks.message("halo"))
        await _until(desk, 1)
        await desk.deliver(desk.hooks.message("kedua"))
        await desk.db.execute("DELETE FROM queue_messages WHERE queue = 'crm_tasks'")
        await desk.db.jump(60)  # the event lies in the inbox and nobody knows
        await _until(desk, 2)
        stop.set()
        await asyncio.wait_for(working, 10)

    assert await desk.bubbles() == ["Jawaban untuk: halo", "Jawaban untuk: kedua"]
    assert await desk.count("queue_messages", "lease_id IS NOT NULL") == 0


async def test_the_process_with_the_offline_model_answers_from_nothing_but_settings(
    test_database: TestDatabase, tmp_path: Path
) -> None:
    settings = _settings(test_database, tmp_path)
    stop = asyncio.Event()
    working = asyncio.create_task(serve(settings, stop))
    async with asyncio.timeout(60):
        while not is_alive(tmp_path, NAME):
            assert not working.done(), working.exception()
            await asyncio.sleep(0.05)
    tenant = await rows.a_tenant(test_database)
    channel = await rows.a_channel(test_database, tenant)
    conversation = await rows.a_conversation(test_database, tenant, channel)
    await rows.an_inbound(test_database, conversation, body="halo")
    await test_database.jump(60)
    async with asyncio.timeout(30):
        while not await test_database.fetchval("SELECT count(*) FROM sends WHERE kind = 'ai'"):
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(working, 30)

    assert not is_alive(tmp_path, NAME)


def test_importing_the_worker_loads_no_model_library() -> None:
    code = (
        "import sys, commerce_agent.worker;"
        "sys.exit(any(name in sys.modules for name in"
        " ('langchain_core', 'langgraph', 'openai', 'anthropic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def _until(desk: Desk, sends: int) -> None:
    async with asyncio.timeout(20):
        while await desk.count("sends") < sends:
            await asyncio.sleep(0.05)
