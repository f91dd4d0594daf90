"""Callbacks of jobs: what became of them, once more, and the secret that signs them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from commerce_agent.application.ports.webhook_secrets import WebhookSecretStatus
from commerce_agent.application.queries.webhook_delivery_queries import DeliveryRow
from gateway.crm.dependencies import Deliveries, KeyFor, SigningSecrets
from gateway.domain.entities.api_key import Scope
from gateway.interface.http.api_route import ApiRoute
from gateway.interface.schemas.common import Cursor, Limit, PageOf, page_of
from gateway.interface.schemas.webhooks import (
    DeliveryAnswer,
    DeliveryDetails,
    DeliveryState,
    NewWebhookSecret,
    WebhookSecretAnswer,
)
from shared.kernel.ids import TenantId

router = APIRouter(tags=["webhooks"], route_class=ApiRoute)

Reader = Annotated[TenantId, Depends(KeyFor(Scope.JOBS_READ))]
Writer = Annotated[TenantId, Depends(KeyFor(Scope.JOBS_WRITE))]


@router.get("/v1/webhook-deliveries")
async def list_deliveries(
    tenant: Reader,
    deliveries: Deliveries,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: DeliveryState | None = None,
    job_id: UUID | None = None,
) -> PageOf[DeliveryAnswer]:
    """What was told to the `callback_url` of jobs, newest first."""
    page = await deliveries.list(tenant, state=state, job_id=job_id, limit=limit, cursor=cursor)
    return page_of(page, DeliveryAnswer.model_validate)


@router.get("/v1/webhook-deliveries/{delivery_id}")
async def get_delivery(
    delivery_id: UUID, tenant: Reader, deliveries: Deliveries
) -> DeliveryDetails:
    """One, with the log of its attempts."""
    return DeliveryDetails.of(*await deliveries.get(tenant, delivery_id))


@router.post(
    "/v1/webhook-deliveries/{delivery_id}/replay", status_code=202, response_model=DeliveryAnswer
)
async def replay_delivery(delivery_id: UUID, tenant: Writer, deliveries: Deliveries) -> DeliveryRow:
    """Send it again now, whatever has become of it. The `webhook-id` stays the same."""
    return await deliveries.replay(tenant, delivery_id)


@router.get("/v1/webhook-secret", response_model=WebhookSecretAnswer)
async def get_webhook_secret(tenant: Reader, secrets: SigningSecrets) -> WebhookSecretStatus:
    """Since when there is a secret. The secret itself is shown when it is made, and never again."""
    return await secrets.status(tenant)


@router.post("/v1/webhook-secret/rotate")
async def rotate_webhook_secret(tenant: Writer, secrets: SigningSecrets) -> NewWebhookSecret:
    """Make the first secret, or a new one. For a day callbacks are signed with the one before
    too, so that receivers can change over in their own time."""
    return NewWebhookSecret.of(*await secrets.rotate(tenant))
