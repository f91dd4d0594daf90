"""Work of the kind ``webhook.deliver``: a job's ``callback_url`` is told that it has ended, at
least once, signed by the rules of Standard Webhooks."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from commerce_agent.application.ports.callbacks import Callback, CallbackDesk, CallbackSender
from commerce_agent.domain.services.callback_rules import wait_after
from shared.kernel.errors import Invalid
from shared.kernel.ids import TenantId
from shared.messaging.port import Claim, Postpone
from shared.security.signatures import standard_signature

log = structlog.get_logger()

USER_AGENT: Final = "ai-platform-webhooks/1"
MOST_AT_ONCE: Final = 12
"""Of one process; conversations need its places too, and receivers may be slow."""
MOST_OF_ONE_TENANT: Final = 6


class UnreadableCallbackTask(Invalid):
    """The work names no job."""

    code = "unreadable_callback_task"


@dataclass(slots=True)
class Lines:
    """How many calls are open: receivers that hang must not take the worker from customers."""

    rng: random.Random
    _open: Counter[TenantId] = field(default_factory=Counter)

    @contextmanager
    def line(self, tenant_id: TenantId) -> Iterator[None]:
        """Hold a line. Raises `Postpone` when there is none."""
        if self._open.total() >= MOST_AT_ONCE or self._open[tenant_id] >= MOST_OF_ONE_TENANT:
            # far apart: thousands may wait, and each look costs a claim
            raise Postpone(timedelta(seconds=self.rng.uniform(1, 10)))
        self._open[tenant_id] += 1
        try:
            yield
        finally:
            self._open[tenant_id] -= 1


@dataclass(frozen=True, slots=True)
class CallbackService:
    """Intent → call → outcome. A crash in between leaves the claim, and the next worker calls
    again with the same ``webhook-id``."""

    desk: CallbackDesk
    sender: CallbackSender
    lines: Lines
    rng: random.Random

    async def handle(self, claim: Claim) -> None:
        """Make one attempt.

        Raises:
            ClaimLost: it is another worker's.
            Postpone: too many calls are open.
            UnreadableCallbackTask: the work names no job.
        """
        job_id = _job_id(claim)
        with self.lines.line(claim.tenant_id):
            callback = await self.desk.begin(claim, job_id)
            if callback is None:
                return
            answered = await self.sender.send(callback.url, headers_of(callback), callback.body)
        again = None
        if answered.error is not None and not answered.final:
            again = wait_after(callback.failures + 1, asked=answered.retry_after, rng=self.rng)
        await self.desk.settle(claim, callback, answered, again=again)
        log.info(
            "callback_attempted",
            tenant_id=str(claim.tenant_id),
            delivery_id=str(callback.id),
            job_id=str(job_id),
            attempt=callback.number,
            status=answered.status,
            error=answered.error,
            again_seconds=None if again is None else round(again.total_seconds()),
        )


def headers_of(callback: Callback) -> dict[str, str]:
    """Standard Webhooks."""
    message_id = str(callback.id)
    return {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": message_id,
        "webhook-timestamp": str(callback.timestamp),
        "webhook-signature": standard_signature(
            callback.secrets,
            message_id=message_id,
            timestamp=callback.timestamp,
            body=callback.body,
        ),
    }


def _job_id(claim: Claim) -> UUID:
    try:
        return UUID(str(claim.payload["job_id"]))
    except (KeyError, ValueError) as error:
        raise UnreadableCallbackTask from error
