"""Everything below ``/v1/crm`` that needs a key."""

from fastapi import APIRouter

from gateway.interface.controllers.crm import (
    channel_controller,
    conversation_controller,
    customer_controller,
    dead_letter_controller,
    product_controller,
    tenant_controller,
)


def crm_router() -> APIRouter:
    router = APIRouter()
    for controller in (
        tenant_controller,
        channel_controller,
        product_controller,
        customer_controller,
        conversation_controller,
        dead_letter_controller,
    ):
        router.include_router(controller.router)
    return router
