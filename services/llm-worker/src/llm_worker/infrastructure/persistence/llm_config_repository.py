"""Model configurations in PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import BindParameter, Row, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_worker.domain.entities.llm_config import KeyNotAllowed, LLMConfig
from llm_worker.domain.repositories.llm_config_repository import (
    LLMConfigChanged,
    LLMConfigNotFound,
    LLMConfigVersion,
)
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.structured_output import StructuredOutput
from llm_worker.domain.value_objects.temperature import Temperature
from llm_worker.infrastructure.persistence.tables import llm_configs
from shared.kernel.errors import DomainError
from shared.kernel.ids import TenantId, new_id
from shared.persistence.tables import tenants
from shared.security.crypto import KeyRing, TenantCipher

_TABLE, _COLUMN = "llm_configs", "api_key_ciphertext"

_TENANT: BindParameter[Any] = bindparam("tenant")
_VISIBLE = (llm_configs.c.tenant_id == _TENANT) | llm_configs.c.tenant_id.is_(None)
_OWN_FIRST = llm_configs.c.tenant_id.is_(None)
# Of each name what is active, if anything is; of that the tenant's; of that the latest.
_EVERY = (
    select(llm_configs)
    .ext(distinct_on(llm_configs.c.name))
    .where(_VISIBLE)
    .order_by(
        llm_configs.c.name,
        llm_configs.c.active.desc(),
        _OWN_FIRST,
        llm_configs.c.version.desc(),
    )
)
_NEWEST = _EVERY.where(llm_configs.c.active)
_NAMED = _NEWEST.where(llm_configs.c.name == bindparam("name"))
_VERSIONS = (
    select(llm_configs)
    .where(_VISIBLE, llm_configs.c.name == bindparam("name"))
    .order_by(_OWN_FIRST, llm_configs.c.version.desc())
)
_WRAPPED_KEY = select(tenants.c.wrapped_key).where(tenants.c.id == _TENANT).scalar_subquery()
_NAMED_WITH_KEY = _NAMED.add_columns(_WRAPPED_KEY.label("wrapped_key"))
_EVERY_WITH_KEY = _EVERY.add_columns(_WRAPPED_KEY.label("wrapped_key"))

log = structlog.get_logger()


class SqlLLMConfigRepository:
    """The rows of the platform and of one tenant, whose own row of a name wins.

    ``cipher`` is that tenant's: it opens and seals the keys of the tenant's rows. Platform rows
    hold no key, only the name of a variable.
    """

    def __init__(
        self, connection: AsyncConnection, tenant_id: TenantId, cipher: TenantCipher
    ) -> None:
        self._connection = connection
        self._tenant_id = tenant_id
        self._cipher = cipher

    async def get(self, name: str) -> LLMConfig:
        found = await self._rows(_NAMED, name=name)
        if not found:
            raise _not_found(name)
        return self._entity(found[0])

    async def list(self, *, inactive: bool = False) -> list[LLMConfig]:
        return [self._entity(row) for row in await self._rows(_EVERY if inactive else _NEWEST)]

    async def versions(self, name: str) -> Sequence[LLMConfigVersion]:
        found = await self._rows(_VERSIONS, name=name)
        if not found:
            raise _not_found(name)
        return [
            LLMConfigVersion(
                version=row.version, created_at=row.created_at, config=self._entity(row)
            )
            for row in found
            if row.tenant_id == found[0].tenant_id
        ]

    async def save(self, config: LLMConfig) -> int:
        if config.tenant_id != self._tenant_id:
            raise KeyNotAllowed("only the operator writes models of the platform")
        row_id = new_id()
        newest = select(func.coalesce(func.max(llm_configs.c.version), 0)).where(
            llm_configs.c.tenant_id == self._tenant_id, llm_configs.c.name == config.name
        )
        version: int = (await self._connection.execute(newest)).scalar_one() + 1
        key = config.api_key
        sealed = key and self._cipher.seal(
            key.get_secret_value(), table=_TABLE, column=_COLUMN, row=row_id
        )
        values = {
            "id": row_id,
            "version": version,
            "api_key_ciphertext": sealed,
            **_columns(config),
        }
        try:
            async with self._connection.begin_nested():
                await self._connection.execute(insert(llm_configs).values(values))
        except IntegrityError as error:
            raise LLMConfigChanged() from error
        return version

    async def deactivate(self, name: str) -> None:
        own = (llm_configs.c.tenant_id == self._tenant_id) & (llm_configs.c.name == name)
        put_out = update(llm_configs).where(own, llm_configs.c.active).values(active=False)
        if (await self._connection.execute(put_out)).rowcount == 0:
            raise _not_found(name)

    async def _rows(self, statement: Any, **values: Any) -> Sequence[Row[Any]]:
        found = await self._connection.execute(statement, {"tenant": self._tenant_id, **values})
        return found.all()

    def _entity(self, row: Row[Any]) -> LLMConfig:
        return _entity(row, lambda: self._cipher)


async def config_named(
    connection: AsyncConnection, tenant_id: TenantId, name: str, keys: KeyRing
) -> LLMConfig:
    """The model of that name, read together with the tenant's key, which opens the model's own.

    Raises:
        LLMConfigNotFound: there is none.
        Undecipherable: the tenant's key was wrapped by another master key.
    """
    row = (
        await connection.execute(_NAMED_WITH_KEY, {"tenant": tenant_id, "name": name})
    ).one_or_none()
    if row is None:
        raise _not_found(name)
    return _entity(row, partial(_cipher_beside, row, tenant_id, keys))


async def models_of(
    connection: AsyncConnection, tenant_id: TenantId, keys: KeyRing
) -> tuple[Sequence[LLMConfig], Mapping[str, DomainError]]:
    """Every model that the tenant may use, one of each name, the inactive ones too; and by name
    what is wrong with rows that cannot be used: a key that does not open, a rule that is broken."""
    found = (await connection.execute(_EVERY_WITH_KEY, {"tenant": tenant_id})).all()
    usable: list[LLMConfig] = []
    unusable: dict[str, DomainError] = {}
    for row in found:
        try:
            usable.append(_entity(row, partial(_cipher_beside, row, tenant_id, keys)))
        except DomainError as error:
            unusable[row.name] = error
            log.warning("llm_config_unusable", config=row.name, code=error.code)
    return usable, unusable


def _cipher_beside(row: Row[Any], tenant_id: TenantId, keys: KeyRing) -> TenantCipher:
    return keys.tenant(tenant_id, bytes(row.wrapped_key))


def _not_found(name: str) -> LLMConfigNotFound:
    return LLMConfigNotFound(f"There is no model named {name}")


def _entity(row: Row[Any], cipher: Callable[[], TenantCipher]) -> LLMConfig:
    key = None
    if row.tenant_id is not None and row.api_key_ciphertext is not None:
        key = ApiKey(
            cipher().open(row.api_key_ciphertext, table=_TABLE, column=_COLUMN, row=row.id)
        )
    return LLMConfig(
        name=row.name,
        provider=ProviderType(row.provider),
        model=ModelName(row.model),
        tenant_id=None if row.tenant_id is None else TenantId(row.tenant_id),
        base_url=row.base_url,
        api_key_env=row.api_key_env,
        api_key=key,
        temperature=Temperature(row.temperature),
        max_tokens=row.max_tokens,
        timeout=None if row.timeout_seconds is None else timedelta(seconds=row.timeout_seconds),
        active=row.active,
        min_answer_length=row.min_answer_length,
        price_in_per_million=row.price_in_per_million,
        price_out_per_million=row.price_out_per_million,
        fallbacks=tuple(row.fallbacks),
        structured_output=StructuredOutput(row.structured_output),
        context_tokens=row.context_tokens,
        version=row.version,
    )


def _columns(config: LLMConfig) -> dict[str, Any]:
    timeout = config.timeout
    return {
        "tenant_id": config.tenant_id,
        "name": config.name,
        "provider": config.provider.value,
        "model": str(config.model),
        "base_url": config.base_url,
        "api_key_env": config.api_key_env,
        "temperature": float(config.temperature),
        "max_tokens": config.max_tokens,
        "timeout_seconds": None if timeout is None else timeout.total_seconds(),
        "active": config.active,
        "min_answer_length": config.min_answer_length,
        "price_in_per_million": config.price_in_per_million,
        "price_out_per_million": config.price_out_per_million,
        "fallbacks": list(config.fallbacks),
        "structured_output": config.structured_output.value,
        "context_tokens": config.context_tokens,
    }
