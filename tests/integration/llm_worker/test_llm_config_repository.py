"""Who sees which model, and that keys rest sealed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from llm_worker.application.ports.setups import Setup
from llm_worker.domain.entities.llm_config import KeyNotAllowed, LLMConfig
from llm_worker.domain.repositories.llm_config_repository import (
    LLMConfigChanged,
    LLMConfigNotFound,
)
from llm_worker.domain.services.llm_selector import NoModelFits
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.structured_output import StructuredOutput
from llm_worker.domain.value_objects.temperature import Temperature
from llm_worker.infrastructure.persistence.llm_config_repository import (
    SqlLLMConfigRepository,
    models_of,
)
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing, Undecipherable, new_secret_key
from tests.support import rows
from tests.support.postgres import TestDatabase

KEYS = KeyRing(SecretStr(new_secret_key()))
SECRET = "sk-very-secret"


class Tenant:
    """A tenant's id and cipher; configurations hang on no other row."""

    def __init__(self) -> None:
        self.id = TenantId(uuid4())
        self.wrapped_key = KEYS.new_wrapped_key(self.id)
        self.cipher = KEYS.tenant(self.id, self.wrapped_key)

    def config(self, **changes: object) -> LLMConfig:
        config = LLMConfig(
            name="mine",
            tenant_id=self.id,
            provider=ProviderType.OPENAI_COMPATIBLE,
            model=ModelName("qwen3:8b"),
            base_url="https://models.example/v1",
            api_key=ApiKey(SECRET),
            temperature=Temperature(0.7),
            max_tokens=777,
            timeout=timedelta(seconds=12.5),
            min_answer_length=3,
            price_in_per_million=Decimal("0.125"),
            price_out_per_million=Decimal("999999.999999"),
            fallbacks=("default-fast", "claude-fast"),
            structured_output=StructuredOutput.TOOL,
            context_tokens=4096,
        )
        return replace(config, **changes)

    @asynccontextmanager
    async def repository(self, database: Database) -> AsyncIterator[SqlLLMConfigRepository]:
        async with Transaction(database, self.id) as tx:
            yield SqlLLMConfigRepository(tx.connection, self.id, self.cipher)
            await tx.commit()


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


async def test_the_platforms_models_are_there_for_everybody(
    database: Database, tenant: Tenant
) -> None:
    async with tenant.repository(database) as configs:
        found = {config.name: config for config in await configs.list()}
    assert {
        name: (str(each.provider), str(each.model), each.api_key_env)
        for name, each in found.items()
    } == {
        "offline": ("offline", "offline-demo", None),
        "default-smart": ("openai", "gpt-5", "OPENAI_API_KEY"),
        "default-fast": ("openai", "gpt-5-mini", "OPENAI_API_KEY"),
        "claude-smart": ("anthropic", "claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        "claude-fast": ("anthropic", "claude-haiku-4-5", "ANTHROPIC_API_KEY"),
    }
    assert {
        name: (each.price_in_per_million, each.price_out_per_million, each.fallbacks)
        for name, each in found.items()
    } == {
        "offline": (0, 0, ()),
        "default-smart": (Decimal("1.25"), 10, ("default-fast",)),
        "default-fast": (Decimal("0.25"), 2, ()),
        "claude-smart": (3, 15, ("claude-fast",)),
        "claude-fast": (1, 5, ()),
    }
    assert all(each.tenant_id is None and each.api_key is None for each in found.values())


async def test_an_example_for_ollama_waits_to_be_switched_on(
    database: Database, tenant: Tenant
) -> None:
    async with tenant.repository(database) as configs:
        with pytest.raises(LLMConfigNotFound):
            await configs.get("ollama-example")
        found = {config.name: config for config in await configs.list(inactive=True)}
    example = found.pop("ollama-example")
    assert (example.active, example.base_url) == (False, "http://localhost:11434/v1")
    assert all(config.active for config in found.values())
    assert len(found) == 5


async def test_every_field_that_goes_in_comes_out(database: Database, tenant: Tenant) -> None:
    config = tenant.config()
    async with tenant.repository(database) as configs:
        assert await configs.save(config) == 1
    async with tenant.repository(database) as configs:
        assert await configs.get("mine") == config
        assert config in await configs.list()


async def test_a_key_rests_sealed_and_opens_in_its_own_row_only(
    database: Database, test_database: TestDatabase, tenant: Tenant
) -> None:
    async with tenant.repository(database) as configs:
        await configs.save(tenant.config())
        await configs.save(tenant.config(name="other"))
    dump = await test_database.fetch("SELECT llm_configs::text AS row FROM llm_configs")
    assert not any(SECRET in each["row"] or SECRET.encode().hex() in each["row"] for each in dump)
    await test_database.execute(
        "UPDATE llm_configs SET api_key_ciphertext = (SELECT api_key_ciphertext FROM llm_configs "
        "WHERE name = 'mine') WHERE name = 'other'"
    )
    async with tenant.repository(database) as configs:
        with pytest.raises(Undecipherable):
            await configs.get("other")


async def test_a_tenants_model_wins_over_the_platforms(database: Database, tenant: Tenant) -> None:
    async with tenant.repository(database) as configs:
        await configs.save(tenant.config(name="default-smart"))
    async with tenant.repository(database) as configs:
        assert (await configs.get("default-smart")).tenant_id == tenant.id
        assert [each.name for each in await configs.list()].count("default-smart") == 1


async def test_the_latest_active_version_counts(database: Database, tenant: Tenant) -> None:
    async with tenant.repository(database) as configs:
        for model in ("one", "two"):
            await configs.save(tenant.config(name="offline", model=ModelName(model)))
        assert await configs.save(tenant.config(name="offline", active=False)) == 3
    async with tenant.repository(database) as configs:
        assert str((await configs.get("offline")).model) == "two"


async def test_with_no_active_version_left_the_platforms_returns(
    database: Database, test_database: TestDatabase, tenant: Tenant
) -> None:
    async with tenant.repository(database) as configs:
        await configs.save(tenant.config(name="offline"))
    await test_database.execute("UPDATE llm_configs SET active = false WHERE tenant_id IS NOT NULL")
    async with tenant.repository(database) as configs:
        assert (await configs.get("offline")).provider is ProviderType.OFFLINE


async def test_what_was_saved_is_listed_the_newest_first(
    database: Database, tenant: Tenant
) -> None:
    saved = [tenant.config(model=ModelName(model)) for model in ("one", "two", "three")]
    async with tenant.repository(database) as configs:
        for config in saved:
            await configs.save(config)
        versions = await configs.versions("mine")
        platform = await configs.versions("default-smart")
        with pytest.raises(LLMConfigNotFound):
            await configs.versions("nothing")
    assert [(each.version, each.config) for each in versions] == [
        (3, saved[2]),
        (2, saved[1]),
        (1, saved[0]),
    ]
    assert versions[0].created_at > versions[2].created_at
    assert [(each.version, each.config.tenant_id) for each in platform] == [(1, None)]


async def test_a_model_that_is_put_out_of_use_makes_room_for_the_platforms(
    database: Database, tenant: Tenant
) -> None:
    async with tenant.repository(database) as configs:
        for name in ("mine", "mine", "default-smart"):
            await configs.save(tenant.config(name=name))
        await configs.deactivate("mine")
        await configs.deactivate("default-smart")
    async with tenant.repository(database) as configs:
        with pytest.raises(LLMConfigNotFound):
            await configs.get("mine")
        assert (await configs.get("default-smart")).tenant_id is None
        every = {config.name: config for config in await configs.list(inactive=True)}
        assert every["default-smart"].tenant_id is None
        assert every["mine"] == tenant.config(active=False)
        assert [each.config.active for each in await configs.versions("mine")] == [False, False]


async def test_nobody_puts_what_is_not_theirs_out_of_use(
    database: Database, test_database: TestDatabase, tenant: Tenant
) -> None:
    async with tenant.repository(database) as configs:
        await configs.save(tenant.config())
    before = await test_database.fetch("SELECT * FROM llm_configs ORDER BY id")
    async with Tenant().repository(database) as configs:
        for name in ("mine", "default-smart", "nothing"):
            with pytest.raises(LLMConfigNotFound):
                await configs.deactivate(name)
    assert await test_database.fetch("SELECT * FROM llm_configs ORDER BY id") == before


async def test_the_chain_is_the_model_and_its_fallbacks(
    database: Database, test_database: TestDatabase
) -> None:
    tenant = await _with_a_row(test_database)
    async with tenant.repository(database) as configs:
        await configs.save(tenant.config())
    async with Transaction(database, tenant.id) as tx:

        async def chain(name: str, prompt_tokens: int = 0) -> list[str]:
            models = (await _setup(tx, tenant)).chain(name, prompt_tokens=prompt_tokens)
            assert all(model.active for model in models)
            return [model.name for model in models]

        assert await chain("mine") == ["mine", "default-fast", "claude-fast"]
        assert await chain("mine", 4097) == ["default-fast", "claude-fast"]
        assert await chain("default-smart") == ["default-smart", "default-fast"]
        assert await chain("ollama-example") == ["default-fast"]
        with pytest.raises(NoModelFits):
            await chain("default-smart", 10**7)
        with pytest.raises(LLMConfigNotFound):
            await chain("nothing")
        (mine, *_) = (await _setup(tx, tenant)).chain("mine", prompt_tokens=0)
        assert mine == tenant.config()


async def test_a_row_that_cannot_be_used_breaks_no_other_models_chain(
    database: Database, test_database: TestDatabase
) -> None:
    tenant = await _with_a_row(test_database)
    async with tenant.repository(database) as configs:
        await configs.save(tenant.config(fallbacks=("broken", "offline")))
        await configs.save(tenant.config(name="broken"))
    await test_database.execute(
        "UPDATE llm_configs SET api_key_ciphertext = '' WHERE name = 'broken'"
    )
    async with Transaction(database, tenant.id) as tx:
        with capture_logs() as logs:
            setup = await _setup(tx, tenant)
    models = setup.chain("mine", prompt_tokens=0)
    with pytest.raises(Undecipherable):
        setup.chain("broken", prompt_tokens=0)
    assert [model.name for model in models] == ["mine", "offline"]
    assert [(log["event"], log["config"], log["code"]) for log in logs] == [
        ("llm_config_unusable", "broken", "undecipherable")
    ]


async def _setup(tx: Transaction, tenant: Tenant) -> Setup:
    models, unusable = await models_of(tx.connection, tenant.id, KEYS)
    return Setup(models=models, unusable=unusable, templates={}, agents=())


async def _with_a_row(test_database: TestDatabase) -> Tenant:
    """A tenant whose key stands in its own row, beside which models are read."""
    tenant = Tenant()
    await rows.a_tenant(test_database)
    await test_database.execute(
        "UPDATE tenants SET id = $1, wrapped_key = $2", tenant.id, tenant.wrapped_key
    )
    return tenant


async def test_another_tenant_finds_nothing(database: Database, tenant: Tenant) -> None:
    async with tenant.repository(database) as configs:
        await configs.save(tenant.config())
    async with Tenant().repository(database) as configs:
        with pytest.raises(LLMConfigNotFound):
            await configs.get("mine")
        assert "mine" not in [each.name for each in await configs.list()]


async def test_an_unknown_name_is_said(database: Database, tenant: Tenant) -> None:
    async with tenant.repository(database) as configs:
        with pytest.raises(LLMConfigNotFound, match="no model named nothing"):
            await configs.get("nothing")


async def test_tenants_write_no_models_of_the_platform(
    database: Database, test_database: TestDatabase, tenant: Tenant
) -> None:
    for config in (
        Tenant().config(),
        LLMConfig(name="x", provider=ProviderType.OFFLINE, model=ModelName("m")),
    ):
        async with tenant.repository(database) as configs:
            with pytest.raises(KeyNotAllowed):
                await configs.save(config)
    async with Transaction(database, tenant.id) as tx:
        with pytest.raises(DBAPIError, match="row-level security"):
            await tx.connection.exec_driver_sql(
                "INSERT INTO llm_configs (id, name, provider, model) "
                "VALUES (gen_random_uuid(), 'x', 'offline', 'm')"
            )
    assert await test_database.fetchval("SELECT count(*) FROM llm_configs") == 6


async def test_of_two_writers_at_once_one_is_told(database: Database, tenant: Tenant) -> None:
    async with Transaction(database, tenant.id) as first, Transaction(database, tenant.id) as late:
        one = SqlLLMConfigRepository(first.connection, tenant.id, tenant.cipher)
        two = SqlLLMConfigRepository(late.connection, tenant.id, tenant.cipher)
        assert await one.save(tenant.config()) == 1
        saving = asyncio.create_task(two.save(tenant.config()))
        await _until_blocked(database)
        await first.commit()
        with pytest.raises(LLMConfigChanged):
            await saving


async def _until_blocked(database: Database) -> None:
    """Until another session waits for a row, which only the database knows."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(10), database.engine.connect() as connection:
        while not (await connection.exec_driver_sql(query)).scalar_one():
            await asyncio.sleep(0.01)
