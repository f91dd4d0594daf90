"""Prompt templates in PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from llm_worker.domain.entities.prompt_template import PromptTemplate
from llm_worker.domain.repositories.prompt_template_repository import PromptTemplateNotFound
from llm_worker.domain.repositories.published import (
    PlatformRowsAreReadOnly,
    VersionNotFound,
)
from llm_worker.infrastructure.persistence.published import Found, PublishedRows
from llm_worker.infrastructure.persistence.tables import prompt_templates
from shared.kernel.ids import TenantId


class SqlPromptTemplateRepository:
    """Keeps the promises of `PromptTemplateRepository` inside one transaction."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._tenant_id = tenant_id
        self._rows = PublishedRows(connection, prompt_templates, tenant_id, ["name"])

    async def get(self, name: str) -> PromptTemplate:
        found = await self._rows.published(name=name)
        if not found:
            raise _not_found(name)
        return _entity(found[0])

    async def get_version(self, name: str, version: int) -> PromptTemplate:
        for template in await self.versions(name):
            if template.version == version:
                return template
        raise VersionNotFound(version=version)

    async def list(self) -> list[PromptTemplate]:
        return [_entity(row) for row in await self._rows.published()]

    async def versions(self, name: str) -> Sequence[PromptTemplate]:
        found = await self._rows.versions({"name": name})
        if not found:
            raise _not_found(name)
        return [_entity(row) for row in found]

    async def save(self, template: PromptTemplate, *, publish: bool = True) -> PromptTemplate:
        if template.tenant_id != self._tenant_id:
            raise PlatformRowsAreReadOnly
        values = {"body": template.body, "description": template.description}
        return _entity(await self._rows.add({"name": template.name}, values, publish=publish))

    async def publish(self, name: str, version: int) -> None:
        await self._rows.publish({"name": name}, version)

    async def roll_back(self, name: str) -> int:
        version = await self._rows.roll_back({"name": name})
        if version is None:
            raise _not_found(name)
        return version

    async def withdraw(self, name: str) -> None:
        if not await self._rows.withdraw({"name": name}):
            raise _not_found(name)


def _not_found(name: str) -> PromptTemplateNotFound:
    return PromptTemplateNotFound(f"There is no template named {name}")


def _entity(row: Found) -> PromptTemplate:
    return PromptTemplate(
        name=row["name"],
        body=row["body"],
        tenant_id=None if row["tenant_id"] is None else TenantId(row["tenant_id"]),
        description=row["description"],
        version=row["version"],
        active=row["active"],
    )
