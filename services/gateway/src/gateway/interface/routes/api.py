"""Every route of the gateway, in one list."""

from fastapi import APIRouter, Security
from fastapi.security import HTTPBearer

from gateway.interface.controllers import (
    agent_config_controller,
    health_controller,
    job_controller,
    llm_budget_controller,
    llm_config_controller,
    page_controller,
    prompt_template_controller,
    wa_controller,
    webhook_delivery_controller,
)
from gateway.interface.routes.crm_routes import crm_router
from gateway.interface.simulator import api, events, page

_KEY = Security(HTTPBearer(auto_error=False, bearerFormat="aip_…", description="An API key."))
"""For the documentation; `ApiRoute` is what authenticates."""


def api_router() -> APIRouter:
    """All routes but the webhooks, which stand before the framework."""
    router = APIRouter()
    router.include_router(page_controller.router)
    router.include_router(health_controller.router)
    keyed = APIRouter(dependencies=[_KEY])
    keyed.include_router(crm_router())
    for controller in (
        wa_controller,
        job_controller,
        webhook_delivery_controller,
        llm_config_controller,
        prompt_template_controller,
        agent_config_controller,
        llm_budget_controller,
    ):
        keyed.include_router(controller.router)
    router.include_router(keyed)
    for part in (api, events, page):
        router.include_router(part.router)
    return router
