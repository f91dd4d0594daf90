"""System prompts in versions, of which one is published."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from gateway.crm.dependencies import KeyFor, Templates
from gateway.domain.entities.api_key import Scope
from gateway.interface.errors import errors
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.common import (
    Cursor,
    Limit,
    PageOf,
    expected_version,
    page_of,
    tagged,
)
from gateway.interface.schemas.models import (
    NewName,
    PromptTemplateAnswer,
    PromptTemplateBody,
    PromptTemplateCreate,
    PublishBody,
    RenderBody,
    RenderedAnswer,
)
from llm_worker.domain.entities.prompt_template import PromptTemplate
from shared.kernel.ids import TenantId

router = APIRouter(prefix="/v1/prompt-templates", tags=["models"], route_class=ApiRoute)

Reader = Annotated[TenantId, Depends(KeyFor(Scope.MODELS_READ))]
Writer = Annotated[TenantId, Depends(KeyFor(Scope.MODELS_WRITE))]
Expected = Annotated[int | None, Depends(expected_version)]


@router.post("", status_code=201, responses=errors(409))
async def create_prompt_template(
    body: PromptTemplateCreate, tenant: Writer, templates: Templates, response: Response
) -> PromptTemplateAnswer:
    """Add a template of your own. One with the name of a platform's stands in front of it."""
    template = await templates.create(
        tenant, body.name, body=body.body, description=body.description, publish=body.publish
    )
    response.headers["location"] = f"/v1/prompt-templates/{template.name}"
    return _answer(template, response)


@router.get("")
async def list_prompt_templates(
    tenant: Reader, templates: Templates, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[PromptTemplateAnswer]:
    """The published templates, yours before the platform's, by name."""
    page = await templates.list(tenant, limit=limit, cursor=cursor)
    return page_of(page, PromptTemplateAnswer.of)


@router.get("/{name}")
async def get_prompt_template(
    name: str, tenant: Reader, templates: Templates, response: Response
) -> PromptTemplateAnswer:
    """The published version."""
    return _answer(await templates.get(tenant, name), response)


@router.put("/{name}", responses=errors(409, 412))
async def save_prompt_template(
    name: NewName,
    body: PromptTemplateBody,
    tenant: Writer,
    templates: Templates,
    expected: Expected,
    response: Response,
) -> PromptTemplateAnswer:
    """Save the next version of your template, the first one if there is none. Once published,
    workers use it within five seconds."""
    template = await templates.update(
        tenant,
        name,
        body=body.body,
        description=body.description,
        publish=body.publish,
        expected_version=expected,
    )
    return _answer(template, response)


@router.delete("/{name}", status_code=204)
async def withdraw_prompt_template(name: str, tenant: Writer, templates: Templates) -> None:
    """Publish none of your versions; the platform's of that name, if any, answers again."""
    await templates.withdraw(tenant, name)


@router.get("/{name}/versions")
async def list_prompt_template_versions(
    name: str, tenant: Reader, templates: Templates, limit: Limit = 50, cursor: Cursor = None
) -> PageOf[PromptTemplateAnswer]:
    """What was saved under this name, the newest first."""
    page = await templates.versions(tenant, name, limit=limit, cursor=cursor)
    return page_of(page, PromptTemplateAnswer.of)


@router.post("/{name}/publish", responses=errors(409))
async def publish_prompt_template(
    name: str, body: PublishBody, tenant: Writer, templates: Templates, response: Response
) -> PromptTemplateAnswer:
    """Let that version of yours answer from now on."""
    return _answer(await templates.publish(tenant, name, body.version), response)


@router.post("/{name}/rollback", responses=errors(409))
async def roll_back_prompt_template(
    name: str, tenant: Writer, templates: Templates, response: Response
) -> PromptTemplateAnswer:
    """Let the version before the published one answer again."""
    return _answer(await templates.roll_back(tenant, name), response)


@router.post("/{name}/render")
async def render_prompt_template(
    name: str, body: RenderBody, tenant: Reader, templates: Templates
) -> RenderedAnswer:
    """The prompt as a job with these variables would get it."""
    text = await templates.render(tenant, name, body.variables, version=body.version)
    return RenderedAnswer(text=text)


def _answer(template: PromptTemplate, response: Response) -> PromptTemplateAnswer:
    tagged(response, template.version)
    return PromptTemplateAnswer.of(template)
