"""The worker as a process runs it: real queue, real cache, a model over HTTP, real signals."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from llm_worker.domain.entities.llm_config import LLMConfig
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.infrastructure.persistence.llm_config_repository import SqlLLMConfigRepository
from llm_worker.worker import NAME, serve
from shared.cache.open import open_cache
from shared.cache.port import Cache
from shared.config.settings import (
    CacheSettings,
    LlmSettings,
    ObservabilitySettings,
    PlatformSettings,
    QueueSettings,
    SecuritySettings,
)
from shared.jobs import topic
from shared.kernel.ids import TenantId, new_id
from shared.messaging.port import Queue, Task
from shared.observability.heartbeat import is_alive
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing, WeakKey, new_secret_key
from tests.support.fake_llm import FakeLlm, Fault, Say
from tests.support.job_path import submit_job
from tests.support.postgres import TestDatabase
from tests.support.redis import RedisForTests

MASTER_KEY = new_secret_key()
KEYS = KeyRing(SecretStr(MASTER_KEY))


@pytest.fixture
def platform(
    test_database: TestDatabase, redis_server: RedisForTests, tmp_path: Path
) -> PlatformSettings:
    return PlatformSettings(
        database=test_database.settings,
        cache=CacheSettings(redis_url=SecretStr(redis_server.url)),
        queue=QueueSettings(queue_poll_seconds=timedelta(seconds=0.05)),
        llm=LlmSettings(llm_retry_initial_delay=timedelta(milliseconds=1)),
        security=SecuritySettings(
            master_key=SecretStr(MASTER_KEY), outbound_allow_hosts=("127.0.0.1",)
        ),
        observability=ObservabilitySettings(run_dir=tmp_path),
    )


@pytest.fixture
async def tenant(test_database: TestDatabase) -> TenantId:
    tenant_id = TenantId(new_id())
    await test_database.execute(
        "INSERT INTO tenants (id, slug, name, wrapped_key) VALUES ($1, 'shop', 'Shop', $2)",
        tenant_id,
        KEYS.new_wrapped_key(tenant_id),
    )
    return tenant_id


@asynccontextmanager
async def serving(settings: PlatformSettings) -> AsyncIterator[asyncio.Task[None]]:
    """The worker, from its first heartbeat on; stopped and drained at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    run_dir = settings.observability.run_dir
    assert run_dir is not None
    try:
        await until(lambda: _alive(run_dir, task))
        yield task
    finally:
        stop.set()
        await task


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds():
            await asyncio.sleep(0.02)


async def _alive(run_dir: Path, task: asyncio.Task[None]) -> bool:
    if task.done():
        await task
    return is_alive(run_dir, NAME)


async def ask(
    database: Database, tenant_id: TenantId, probe_id: UUID, payload: dict[str, object]
) -> None:
    async with Transaction(database, tenant_id) as tx:
        await tx.enqueue(
            Task(queue=Queue.AI_TASKS, kind="llm.probe", key=str(probe_id), payload=payload)
        )
        await tx.commit()


async def probe(
    settings: PlatformSettings, database: Database, tenant_id: TenantId, config: str
) -> dict[str, object]:
    """Ask as a settings page does: listen, enqueue, wait for the outcome."""
    probe_id = uuid4()
    async with open_cache(settings.cache) as cache, cache.subscribe(f"probe:{probe_id}") as told:
        await ask(database, tenant_id, probe_id, {"config": config, "id": str(probe_id)})
        async with asyncio.timeout(30):
            announced = await anext(aiter(told))
        kept = await _kept(cache, probe_id)
    assert kept == announced
    outcome: dict[str, object] = json.loads(announced)
    return outcome


async def _kept(cache: Cache, probe_id: UUID) -> bytes | None:
    return await cache.get(f"probe:{probe_id}")


async def save(database: Database, config: LLMConfig) -> None:
    tenant_id = config.tenant_id
    assert tenant_id is not None
    async with Transaction(database, tenant_id) as tx:
        wrapped = await tx.connection.exec_driver_sql("SELECT wrapped_key FROM tenants")
        cipher = KEYS.tenant(tenant_id, bytes(wrapped.scalar_one()))
        await SqlLLMConfigRepository(tx.connection, tenant_id, cipher).save(config)
        await tx.commit()


async def test_a_probe_tells_whether_a_model_answers(
    platform: PlatformSettings,
    database: Database,
    test_database: TestDatabase,
    tenant: TenantId,
    llm: FakeLlm,
) -> None:
    config = LLMConfig(
        name="mine",
        tenant_id=tenant,
        provider=ProviderType.OPENAI_COMPATIBLE,
        model=ModelName("fake-model"),
        base_url=llm.openai_url,
        api_key=ApiKey("sk-theirs"),
    )
    await save(database, config)
    async with serving(platform):
        llm.script(Say("ready"), Fault(401, message="no sk-theirs"))
        good = await probe(platform, database, tenant, "mine")
        bad = await probe(platform, database, tenant, "mine")
        unknown = await probe(platform, database, tenant, "nothing")
        offline = await probe(platform, database, tenant, "offline")
        await until(lambda: _no_work_left(test_database))
    assert (good["ok"], good["model"], good["tokens_in"]) == (True, "fake-model", 19)
    assert (bad["ok"], bad["code"]) == (False, "model_key_invalid")
    assert "sk-theirs" not in str(bad)
    assert (unknown["ok"], unknown["code"]) == (False, "llm_config_not_found")
    assert (offline["ok"], offline["model"]) == (True, "offline-demo")
    assert llm.requests[0].key == "sk-theirs"


async def test_an_unreadable_probe_is_a_dead_letter(
    platform: PlatformSettings, database: Database, test_database: TestDatabase, tenant: TenantId
) -> None:
    await ask(database, tenant, uuid4(), {"config": 7})
    async with serving(platform):
        await until(lambda: _no_work_left(test_database))
    assert await test_database.fetchval("SELECT code FROM dead_letters") == "unreadable_probe"


async def test_a_job_is_done_and_told_while_it_is_written(
    platform: PlatformSettings,
    database: Database,
    test_database: TestDatabase,
    tenant: TenantId,
    llm: FakeLlm,
) -> None:
    """Through the cache, which only those hear who listen just now; the row is what counts."""
    config = LLMConfig(
        name="mine",
        tenant_id=tenant,
        provider=ProviderType.OPENAI_COMPATIBLE,
        model=ModelName("fake-model"),
        base_url=llm.openai_url,
        api_key=ApiKey("sk-theirs"),
    )
    await save(database, config)
    answer = "Kopi dari biji " * 20
    llm.script(Say(answer))
    async with serving(platform), open_cache(platform.cache) as cache:
        job_id = await submit_job(
            test_database, tenant, config_name="mine", stream=True, available_in=0.5
        )
        told = []
        async with cache.subscribe(topic(tenant, job_id)) as news, asyncio.timeout(30):
            async for message in news:
                told.append(json.loads(message))
                if told[-1].get("status") == "COMPLETED":
                    break
    result = await test_database.fetchval("SELECT result FROM jobs WHERE id = $1", job_id)
    assert result == answer.strip()
    assert [each["type"] for each in told[:2]] == ["status", "reset"]
    assert {each["run"] for each in told} == {1}
    written = "".join(each["text"] for each in told if each["type"] == "delta")
    assert str(result).startswith(written)


async def test_without_a_master_key_it_does_not_start(platform: PlatformSettings) -> None:
    security = SecuritySettings(master_key=None)
    with pytest.raises(WeakKey, match="MASTER_KEY is not set"):
        await serve(platform.model_copy(update={"security": security}), asyncio.Event())


async def _no_work_left(test_database: TestDatabase) -> bool:
    return await test_database.fetchval("SELECT count(*) FROM queue_messages") == 0


def test_the_process_beats_and_ends_on_sigterm(test_database: TestDatabase, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_worker.worker"],
        env={
            **os.environ,
            "DATABASE_URL": test_database.url,
            "MASTER_KEY": MASTER_KEY,
            "RUN_DIR": str(tmp_path),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        asyncio.run(_until_beating(tmp_path, process))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    assert not is_alive(tmp_path, NAME)


async def _until_beating(run_dir: Path, process: subprocess.Popen[str]) -> None:
    async def beats() -> bool:
        assert process.poll() is None, process.communicate()[0]
        return is_alive(run_dir, NAME)

    await until(beats)
