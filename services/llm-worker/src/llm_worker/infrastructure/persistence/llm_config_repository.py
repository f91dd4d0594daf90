"""Model configurations in PostgreSQL."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import BindParameter, Row, bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_worker.domain.entities.llm_config import KeyNotAllowed, LLMConfig
from llm_worker.domain.repositories.llm_config_repository import LLMConfigNotFound
from llm_worker.domain.value_objects.api_key import ApiKey
from llm_worker.domain.value_objects.model_name import ModelName
from llm_worker.domain.value_objects.provider import ProviderType
from llm_worker.domain.value_objects.temperature import Temperature
from llm_worker.infrastructure.persistence.tables import llm_configs
from shared.kernel.errors import Conflict
from shared.kernel.ids import TenantId, new_id
from shared.persistence.tables import tenants
from shared.security.crypto import KeyRing, TenantCipher

_TABLE, _COLUMN = "llm_configs", "api_key_ciphertext"

_TENANT: BindParameter[Any] = bindparam("tenant")
_NEWEST = (
    select(llm_configs)
    .ext(distinct_on(llm_configs.c.name))
    .where(
        llm_configs.c.active,
        (llm_configs.c.tenant_id == _TENANT) | llm_configs.c.tenant_id.is_(None),
    )
    .order_by(llm_configs.c.name, llm_configs.c.tenant_id.is_(None), llm_configs.c.version.desc())
)
_NAMED = _NEWEST.where(llm_configs.c.name == bindparam("name"))
_WRAPPED_KEY = select(tenants.c.wrapped_key).where(tenants.c.id == _TENANT).scalar_subquery()
_NAMED_WITH_KEY = _NAMED.add_columns(_WRAPPED_KEY.label("wrapped_key"))


class LLMConfigChanged(Conflict):
    """Somebody else saved this model at the same moment."""

    code = "llm_config_changed"


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
            raise LLMConfigNotFound(f"There is no model named {name}")
        return self._entity(found[0])

    async def list(self) -> list[LLMConfig]:
        return [self._entity(row) for row in await self._rows(_NEWEST)]

    async def save(self, config: LLMConfig) -> int:
        """Write the next version of a tenant's model, its key sealed; returns that version.

        Raises:
            KeyNotAllowed: the row would not be this tenant's; platform rows are the operator's.
            LLMConfigChanged: another writer took the version.
        """
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
        raise LLMConfigNotFound(f"There is no model named {name}")
    return _entity(row, lambda: keys.tenant(tenant_id, bytes(row.wrapped_key)))


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
    }
