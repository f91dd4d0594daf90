"""Prompt templates as a tenant's people write, publish and try them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from commerce_agent.application.queries.page import Page
from commerce_agent.domain.services.optimistic_lock import expect_version
from gateway.application.ports.llm_work import LLMWork, OpenLLMWork
from gateway.application.services.named_pages import newest_first, page_by
from llm_worker.domain.entities.prompt_template import PromptTemplate
from llm_worker.domain.repositories.prompt_template_repository import PromptTemplateNotFound
from shared.kernel.errors import Conflict
from shared.kernel.ids import TenantId


class PromptTemplateExists(Conflict):
    """There is a template of yours by this name already: save its next version."""

    code = "prompt_template_exists"


@dataclass(frozen=True, slots=True)
class PromptTemplates:
    """Reads find the tenant's own published version of a name before the platform's; writes make
    versions of the tenant's own.

    Raises, where a name is given: `PromptTemplateNotFound`.
    """

    open: OpenLLMWork

    async def list(
        self, tenant_id: TenantId, *, limit: int, cursor: str | None
    ) -> Page[PromptTemplate]:
        """The published version of every name, by name."""
        async with self.open(tenant_id) as work:
            found = await work.templates.list()
        return page_by(found, lambda template: template.name, limit=limit, cursor=cursor)

    async def get(self, tenant_id: TenantId, name: str) -> PromptTemplate:
        """The published version."""
        async with self.open(tenant_id) as work:
            return await work.templates.get(name)

    async def versions(
        self, tenant_id: TenantId, name: str, *, limit: int, cursor: str | None
    ) -> Page[PromptTemplate]:
        """The newest first: the tenant's, or the platform's where the tenant has none."""
        async with self.open(tenant_id) as work:
            found = await work.templates.versions(name)
        return page_by(
            found, lambda template: newest_first(template.version), limit=limit, cursor=cursor
        )

    async def create(
        self, tenant_id: TenantId, name: str, *, body: str, description: str, publish: bool
    ) -> PromptTemplate:
        """The first version of a name of one's own, which the platform may have too.

        Raises:
            PromptTemplateExists: the tenant has it already.
            InvalidTemplate, InvalidPromptTemplate: it cannot be kept.
        """
        template = PromptTemplate(
            name=name, body=body, description=description, tenant_id=tenant_id
        )
        async with self.open(tenant_id) as work:
            if await _newest_own(work, tenant_id, name) is not None:
                raise PromptTemplateExists
            saved = await work.templates.save(template, publish=publish)
            await work.commit()
        return saved

    async def update(
        self,
        tenant_id: TenantId,
        name: str,
        *,
        body: str,
        description: str,
        publish: bool,
        expected_version: int | None,
    ) -> PromptTemplate:
        """The next version of a name, the first one where the tenant has none yet.

        Raises:
            ChangedMeanwhile: what answers now is not the version that was expected.
            InvalidTemplate, InvalidPromptTemplate: it cannot be kept.
        """
        template = PromptTemplate(
            name=name, body=body, description=description, tenant_id=tenant_id
        )
        async with self.open(tenant_id) as work:
            if expected_version is not None:
                expect_version((await work.templates.get(name)).version, expected_version)
            saved = await work.templates.save(template, publish=publish)
            await work.commit()
        return saved

    async def publish(self, tenant_id: TenantId, name: str, version: int) -> PromptTemplate:
        """Let one of the tenant's versions answer. Raises `VersionNotFound`."""
        async with self.open(tenant_id) as work:
            await work.templates.publish(name, version)
            published = await work.templates.get(name)
            await work.commit()
        return published

    async def roll_back(self, tenant_id: TenantId, name: str) -> PromptTemplate:
        """Let the version before the published one answer. Raises `NoEarlierVersion`."""
        async with self.open(tenant_id) as work:
            await work.templates.roll_back(name)
            published = await work.templates.get(name)
            await work.commit()
        return published

    async def withdraw(self, tenant_id: TenantId, name: str) -> None:
        """Publish none of the tenant's; the platform's of that name answers again."""
        async with self.open(tenant_id) as work:
            await work.templates.withdraw(name)
            await work.commit()

    async def render(
        self, tenant_id: TenantId, name: str, variables: Mapping[str, Any], *, version: int | None
    ) -> str:
        """The prompt as a job with these variables would get it.

        Raises:
            VersionNotFound: there is no such version.
            TemplateValuesMissing, TemplateValueInvalid, RenderedTooLong: as the job would fail.
        """
        async with self.open(tenant_id) as work:
            template = await (
                work.templates.get(name)
                if version is None
                else work.templates.get_version(name, version)
            )
        return template.render(variables)


async def _newest_own(work: LLMWork, tenant_id: TenantId, name: str) -> PromptTemplate | None:
    try:
        newest = (await work.templates.versions(name))[0]
    except PromptTemplateNotFound:
        return None
    return newest if newest.tenant_id == tenant_id else None
