"""Idempotency keys in PostgreSQL. Answers may hold secrets and names, so they are sealed."""

import base64
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
from sqlalchemy import Row, text

from gateway.application.ports.idempotency import (
    Answer,
    Attempt,
    KeyReused,
    OutcomeUnknown,
    StillRunning,
)
from gateway.infrastructure.persistence.tenant_ciphers import TenantCiphers
from shared.kernel.ids import TenantId
from shared.persistence.database import Database
from shared.persistence.unit_of_work import Transaction

_EXPIRE = text(
    "DELETE FROM idempotency_keys WHERE tenant_id = :holder"
    " AND created_at < platform_now() - interval '1 day'"
)
_TAKE = text(
    """
    INSERT INTO idempotency_keys (tenant_id, route, key, fingerprint)
    VALUES (:holder, :route, :key, :fingerprint) ON CONFLICT DO NOTHING RETURNING key
    """
)
_EARLIER = text(
    """
    SELECT fingerprint, status, body,
           created_at < platform_now() - interval '1 minute' AS stale
    FROM idempotency_keys WHERE tenant_id = :holder AND route = :route AND key = :key
    """
)
_KEEP = text(
    """
    UPDATE idempotency_keys SET status = :status, body = :body
    WHERE tenant_id = :holder AND route = :route AND key = :key
    """
)
_FORGET = text(
    "DELETE FROM idempotency_keys WHERE tenant_id = :holder AND route = :route AND key = :key"
)


class SqlIdempotencyStore:
    def __init__(self, database: Database, ciphers: TenantCiphers) -> None:
        self._database = database
        self._ciphers = ciphers

    async def begin(self, attempt: Attempt) -> Answer | None:
        async with self._transaction(attempt) as tx:
            await tx.connection.execute(_EXPIRE, {"holder": attempt.holder})
            taken = await tx.connection.execute(
                _TAKE, {**_key(attempt), "fingerprint": attempt.fingerprint}
            )
            if taken.one_or_none() is not None:
                await tx.commit()
                return None
            earlier = (await tx.connection.execute(_EARLIER, _key(attempt))).one_or_none()
        if earlier is None:  # its holder forgot it between our two statements
            raise StillRunning
        return await self._answer(attempt, earlier)

    async def finish(self, attempt: Attempt, answer: Answer) -> None:
        document = orjson.dumps(
            {"headers": dict(answer.headers), "body": base64.b64encode(answer.body).decode()}
        )
        if attempt.tenant_id is not None:
            cipher = await self._ciphers.of(attempt.tenant_id)
            document = cipher.seal(
                document.decode(), table="idempotency_keys", column="body", row=_row(attempt)
            )
        async with self._transaction(attempt) as tx:
            await tx.connection.execute(
                _KEEP, {**_key(attempt), "status": answer.status, "body": document}
            )
            await tx.commit()

    async def forget(self, attempt: Attempt) -> None:
        async with self._transaction(attempt) as tx:
            await tx.connection.execute(_FORGET, _key(attempt))
            await tx.commit()

    async def _answer(self, attempt: Attempt, earlier: Row[tuple[object, ...]]) -> Answer:
        if earlier.fingerprint != attempt.fingerprint:
            raise KeyReused
        if earlier.status is None:
            raise OutcomeUnknown if earlier.stale else StillRunning
        document = earlier.body
        if attempt.tenant_id is not None:
            cipher = await self._ciphers.of(attempt.tenant_id)
            document = cipher.open(
                document, table="idempotency_keys", column="body", row=_row(attempt)
            )
        kept = orjson.loads(document)
        return Answer(
            status=earlier.status, body=base64.b64decode(kept["body"]), headers=kept["headers"]
        )

    def _transaction(self, attempt: Attempt) -> Transaction:
        # an operator has no tenant: row-level security then binds the keys to the API key's id
        return Transaction(self._database, TenantId(attempt.holder))


def _key(attempt: Attempt) -> dict[str, object]:
    return {"holder": attempt.holder, "route": attempt.route, "key": attempt.key}


def _row(attempt: Attempt) -> UUID:
    """The cipher binds to a row's id; this table's rows have a name instead."""
    return uuid5(NAMESPACE_URL, f"{attempt.route} {attempt.key}")
