"""Callbacks of jobs over HTTP: what was told to whom, and what it is signed with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from commerce_agent.application.ports.webhook_secrets import WebhookSecretStatus
from commerce_agent.application.queries.webhook_delivery_queries import (
    DeliveryAttemptRow,
    DeliveryRow,
)
from gateway.interface.schemas.common import Answer, read

DeliveryState = Literal["pending", "delivered", "failed"]


class DeliveryAnswer(Answer):
    id: UUID = Field(description="The `webhook-id` that the receiver sees in every attempt.")
    job_id: UUID
    type: Literal["job.completed", "job.failed", "job.cancelled"]
    url: str
    state: DeliveryState
    attempts: int = Field(description="Calls that were begun, replays included.")
    last_status: int | None = Field(description="Null when nobody answered.")
    last_error: str | None
    next_at: datetime | None = Field(description="When the next attempt is due.")
    created_at: datetime
    finished_at: datetime | None


class DeliveryAttempt(Answer):
    number: int
    started_at: datetime
    milliseconds: int | None = Field(
        description="Null while it is under way, and when the worker stopped in the middle of it."
    )
    status: int | None
    error: str | None


class DeliveryDetails(DeliveryAnswer):
    log: list[DeliveryAttempt] = Field(description="The newest attempts, the last first.")

    @classmethod
    def of(cls, row: DeliveryRow, attempts: Sequence[DeliveryAttemptRow]) -> "DeliveryDetails":
        log = [DeliveryAttempt.model_validate(attempt) for attempt in attempts]
        return cls(**read(row, cls, but=("log",)), log=log)


class WebhookSecretAnswer(Answer):
    created_at: datetime | None = Field(description="Null while there is none.")
    previous_valid_until: datetime | None = Field(
        description="Until then the secret before the present one signs too."
    )


class NewWebhookSecret(WebhookSecretAnswer):
    secret: str = Field(description="Shown this once.", examples=["whsec_…"])

    @classmethod
    def of(cls, secret: str, status: WebhookSecretStatus) -> "NewWebhookSecret":
        return cls(secret=secret, **read(status, WebhookSecretAnswer))
