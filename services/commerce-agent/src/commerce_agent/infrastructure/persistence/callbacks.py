"""Callbacks of jobs in SQL: an attempt is kept before it is made, and its end with the claim's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Row, Text, bindparam, text
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from commerce_agent.application.ports.callbacks import Answered, Callback
from commerce_agent.application.services.callback_body import callback_body
from commerce_agent.infrastructure.persistence.webhook_secrets import signing_secrets
from shared.jobs import callback_task
from shared.kernel.ids import new_id
from shared.messaging.port import Claim, ClaimLost, Finish
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction
from shared.security.crypto import KeyRing

_IDS = (
    bindparam("tenant", type_=PG_UUID),
    bindparam("job", type_=PG_UUID),
)
_DELIVERY = (bindparam("tenant", type_=PG_UUID), bindparam("id", type_=PG_UUID))

_MAKE = text(
    """
    INSERT INTO webhook_deliveries (tenant_id, id, job_id, type, url)
    SELECT j.tenant_id, :id, j.id, 'job.' || lower(j.status), j.callback_url FROM jobs j
    WHERE j.tenant_id = :tenant AND j.id = :job AND j.callback_url IS NOT NULL
      AND j.status IN ('COMPLETED', 'FAILED', 'CANCELLED')
    ON CONFLICT (tenant_id, job_id) DO NOTHING
    """
).bindparams(*_IDS, bindparam("id", type_=PG_UUID))
# Work for a delivery that has failed is a dead letter that somebody put back: it begins anew.
_BEGIN = text(
    """
    UPDATE webhook_deliveries
    SET attempts = attempts + 1, state = 'pending', finished_at = NULL,
        next_at = coalesce(next_at, platform_now()),
        round = round + (state = 'failed')::integer,
        failures = CASE WHEN state = 'failed' THEN 0 ELSE failures END
    WHERE tenant_id = :tenant AND job_id = :job AND state <> 'delivered'
    RETURNING id, job_id, type, url, attempts, round, failures
    """
).bindparams(*_IDS)
_KEEP = text(
    """
    INSERT INTO webhook_attempts (tenant_id, delivery_id, number) VALUES (:tenant, :id, :number)
    RETURNING started_at
    """
).bindparams(*_DELIVERY)
_JOB = text("SELECT * FROM jobs WHERE tenant_id = :tenant AND id = :job").bindparams(*_IDS)
_ENDED = text(
    """
    UPDATE webhook_attempts SET milliseconds = :milliseconds, status = :status, error = :error
    WHERE tenant_id = :tenant AND delivery_id = :id AND number = :number
    """
).bindparams(*_DELIVERY, bindparam("status", type_=Integer), bindparam("error", type_=Text))
_SETTLE = text(
    """
    UPDATE webhook_deliveries
    SET state = :state, failures = failures + :failed, last_status = :status, last_error = :error,
        next_at = CASE WHEN :state = 'pending' THEN platform_now() + :again END,
        finished_at = CASE WHEN :state <> 'pending' THEN platform_now() END
    WHERE tenant_id = :tenant AND id = :id AND round = :round AND attempts = :number
    """
).bindparams(
    *_DELIVERY,
    bindparam("state", type_=Text),
    bindparam("failed", type_=Integer),
    bindparam("status", type_=Integer),
    bindparam("error", type_=Text),
)
_GIVE_UP = text(
    """
    UPDATE webhook_deliveries
    SET state = 'failed', next_at = NULL, finished_at = platform_now(), last_error = :error
    WHERE tenant_id = :tenant AND job_id = :job AND state = 'pending'
    """
).bindparams(*_IDS)


@dataclass(frozen=True, slots=True)
class SqlCallbackDesk:
    """Keeps the promises of `CallbackDesk`."""

    database: Database
    keys: KeyRing

    async def begin(self, claim: Claim, job_id: UUID) -> Callback | None:
        about = {"tenant": claim.tenant_id, "job": job_id}
        async with Transaction(self.database, claim.tenant_id) as tx:
            await tx.connection.execute(_MAKE, about | {"id": new_id()})
            begun = (await tx.connection.execute(_BEGIN, about)).one_or_none()
            if begun is None:  # it was delivered, or the job wants nobody told
                await _finish(tx, claim)
                return None
            attempt = {"tenant": claim.tenant_id, "id": begun.id, "number": begun.attempts}
            started: datetime = (await tx.connection.execute(_KEEP, attempt)).scalar_one()
            secrets = await signing_secrets(tx.connection, claim.tenant_id, self.keys)
            job = (await tx.connection.execute(_JOB, about)).one()
            await tx.commit()
        return _callback(begun, job, started, secrets)

    async def settle(
        self, claim: Claim, callback: Callback, answered: Answered, *, again: timedelta | None
    ) -> None:
        about = {"tenant": claim.tenant_id, "id": callback.id, "number": callback.number}
        seen = {"status": answered.status, "error": answered.error}
        async with Transaction(self.database, claim.tenant_id) as tx:
            await tx.connection.execute(
                _ENDED, about | seen | {"milliseconds": answered.milliseconds}
            )
            state = "pending" if again else "failed" if answered.error else "delivered"
            changes = {
                "state": state,
                "failed": int(answered.error is not None),
                "round": callback.round,
                "again": again or timedelta(0),
            }
            settled = await tx.connection.execute(_SETTLE, about | seen | changes)
            if again is not None and settled.rowcount:
                # the same row again: its generation rises, so that finishing leaves it planned
                await tx.enqueue(callback_task(callback.job_id, delay=again))
            tx.finish_with_commit(claim)
            await tx.commit()

    @staticmethod
    async def give_up(tx: Transaction, claim: Claim, code: str) -> None:
        try:
            job_id = UUID(str(claim.payload["job_id"]))
        except (KeyError, ValueError):
            return  # it names no job, so nothing waits for it
        about = {"tenant": claim.tenant_id, "job": job_id}
        await tx.connection.execute(_GIVE_UP, about | {"error": f"It was given up ({code})"})


async def _finish(tx: Transaction, claim: Claim) -> None:
    if await tx.finish(claim) is Finish.LOST:
        raise ClaimLost
    await tx.commit()


def _callback(begun: Row[Any], job: Row[Any], started: datetime, secrets: list[str]) -> Callback:
    return Callback(
        id=UUID(str(begun.id)),
        job_id=UUID(str(begun.job_id)),
        url=begun.url,
        number=begun.attempts,
        round=begun.round,
        failures=begun.failures,
        timestamp=int(started.timestamp()),
        body=callback_body(begun.type, job._asdict()),
        secrets=secrets,
    )
