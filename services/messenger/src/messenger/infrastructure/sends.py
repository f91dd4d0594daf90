"""The bubbles in PostgreSQL: one short transaction of the tenant per step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from messenger.domain import (
    EVENTS,
    ChannelStateChanged,
    Claimed,
    ClaimOutcome,
    Outgoing,
    SendState,
)
from messenger.infrastructure import send_sql as sql
from shared.kernel.ids import ChannelId, ConversationId, SendId, TenantId
from shared.messaging.port import Claim, Postpone, Queue, Task
from shared.persistence.contention import retried
from shared.persistence.database import Database, database_now
from shared.persistence.unit_of_work import Transaction
from shared.waha.send import SendUnknown

_STATES = frozenset({"starting", "scan_qr_code", "working", "failed", "stopped"})
"""What the commerce agent calls the states of a session; everything else is a failure to staff."""


@dataclass(frozen=True, slots=True)
class SqlSends:
    """`Sends` over the runtime role's database.

    What follows a call is done again where another transaction was in the way: beginning the whole
    handling anew would find a bubble whose call is unclear.
    """

    database: Database

    async def load(self, tenant_id: TenantId, send_id: SendId) -> Outgoing | None:
        async with Transaction(self.database, tenant_id) as tx:
            answer = await tx.connection.execute(sql.LOAD, {"tenant": tenant_id, "send": send_id})
            row = answer.mappings().one_or_none()
        return _outgoing(row) if row else None

    async def take_slot(self, send: Outgoing, gap: timedelta) -> timedelta:
        async with Transaction(self.database, send.tenant_id) as tx:
            answer = await tx.connection.execute(
                sql.TAKE_SLOT, _key(send) | {"channel": send.channel_id, "gap": gap}
            )
            wait: timedelta | None = answer.scalar_one()
            await tx.commit()
        return max(wait or timedelta(0), timedelta(0))

    async def keep_reserved_id(self, send: Outgoing, native_id: str) -> str:
        async with Transaction(self.database, send.tenant_id) as tx:
            answer = await tx.connection.execute(sql.KEEP_ID, _key(send) | {"native_id": native_id})
            kept: str = answer.scalar_one()
            await tx.commit()
        return kept

    async def claim(self, claim: Claim, send: Outgoing) -> Claimed:
        async with Transaction(self.database, send.tenant_id) as tx:
            row = (await tx.connection.execute(sql.CLAIM, {"send": send.id})).one()
            answer = Claimed(row.outcome, row.claim)
            if answer.outcome in (SendState.CANCELLED, SendState.FAILED) and row.claim is None:
                # a cancelled reply's messages wait again: claim_send made work for the AI
                tx.will_wake(Queue.CRM_TASKS)
                now = await database_now(tx.connection)
                _record(tx, send, SendState(answer.outcome), now)
            if answer.outcome in _ENDED:
                await tx.finish(claim)
            await tx.commit()
        return answer

    async def take_back(self, claim: Claim, send: Outgoing) -> None:
        values = {"number": send.claim_no + 1, "task": claim.id, "lease": claim.lease_id}
        async with Transaction(self.database, send.tenant_id) as tx:
            await tx.connection.execute(sql.LOCK, _key(send))
            await tx.connection.execute(sql.TAKE_BACK, _key(send) | values)
            await tx.commit()

    async def finish(self, claim: Claim) -> None:
        async with Transaction(self.database, claim.tenant_id) as tx:
            await tx.finish(claim)
            await tx.commit()

    async def end(
        self,
        claim: Claim,
        send: Outgoing,
        number: int,
        state: SendState,
        *,
        native_id: str | None = None,
        error_code: str | None = None,
        error_detail: str | None = None,
    ) -> bool:
        values = {
            "number": number,
            "state": state.value,
            "native_id": native_id,
            "error_code": error_code,
            "error_detail": error_detail,
        }

        async def unit() -> bool:
            async with Transaction(self.database, send.tenant_id) as tx:
                answer = await tx.connection.execute(sql.END, _key(send) | values)
                at = answer.scalar_one_or_none()
                if at is None:
                    return False
                _record(tx, send, state, at, error_code)
                # whatever became of the lease: the bubble is ended, and its row says nothing else
                await tx.finish(claim)
                await tx.commit()
            return True

        return await retried(unit)

    async def mark_unknown(self, send: Outgoing, number: int, error_detail: str) -> bool:
        values = {"number": number, "detail": error_detail}

        async def unit() -> bool:
            async with Transaction(self.database, send.tenant_id) as tx:
                answer = await tx.connection.execute(sql.MARK_UNKNOWN, _key(send) | values)
                at = answer.scalar_one_or_none()
                if at is None:
                    return False
                _record(tx, send, SendState.UNKNOWN, at)
                await tx.commit()
            return True

        return await retried(unit)

    async def put_back(
        self, send: Outgoing, number: int, error_code: str, *, resend: bool = False
    ) -> bool:
        values = {"number": number, "error_code": error_code, "resend": resend}

        async def unit() -> bool:
            async with Transaction(self.database, send.tenant_id) as tx:
                answer = await tx.connection.execute(sql.PUT_BACK, _key(send) | values)
                done = answer.scalar_one_or_none() is not None
                await tx.commit()
            return done

        return await retried(unit)

    async def other_native_ids(self, send: Outgoing) -> set[str]:
        async with Transaction(self.database, send.tenant_id) as tx:
            answer = await tx.connection.execute(
                sql.OTHER_IDS, _key(send) | {"conversation": send.conversation_id}
            )
            return {row.id for row in answer if row.id is not None}

    async def report_state(self, send: Outgoing, state: str) -> bool:
        kept = state if state in _STATES else "failed"
        values = {"tenant": send.tenant_id, "channel": send.channel_id, "state": kept}
        async with Transaction(self.database, send.tenant_id) as tx:
            changed = (await tx.connection.execute(sql.REPORT, values)).scalar_one_or_none()
            if changed is None:
                return False
            tx.record(
                ChannelStateChanged(
                    tenant_id=send.tenant_id,
                    occurred_at=await database_now(tx.connection),
                    channel_id=send.channel_id,
                    state=kept,
                )
            )
            if kept == "working":
                await tx.enqueue(
                    Task(queue=Queue.CRM_TASKS, kind="channel.repair", key=str(send.channel_id))
                )
            await tx.commit()
        return True


async def give_up(tx: Transaction, claim: Claim, code: str) -> None:
    """What follows when a bubble's row becomes a dead letter.

    Raises:
        Postpone: a call of it may have reached WhatsApp; that is resolved, not given up.
    """
    try:
        send_id = SendId(UUID(claim.key))
    except ValueError:
        return
    key = {"tenant": claim.tenant_id, "send": send_id}
    row = (await tx.connection.execute(sql.GIVE_UP, key | {"code": code})).one_or_none()
    if row is not None:
        event = EVENTS[SendState.FAILED]
        tx.record(
            event(
                tenant_id=claim.tenant_id,
                occurred_at=row.ended_at,
                send_id=send_id,
                conversation_id=row.conversation_id,
                channel_id=row.channel_id,
                kind=row.kind,
                error_code=code,
            )
        )
        return
    state = (await tx.connection.execute(sql.STATE, key)).scalar_one_or_none()
    if state in (SendState.SENDING, SendState.UNKNOWN):
        raise Postpone(timedelta(minutes=1))


_ENDED = frozenset({ClaimOutcome.GONE, SendState.SENT, SendState.FAILED, SendState.CANCELLED})


def _key(send: Outgoing) -> dict[str, Any]:
    return {"tenant": send.tenant_id, "send": send.id}


def _record(
    tx: Transaction,
    send: Outgoing,
    state: SendState,
    at: datetime,
    error_code: str | None = None,
) -> None:
    tx.record(
        EVENTS[state](
            tenant_id=send.tenant_id,
            occurred_at=at,
            send_id=send.id,
            conversation_id=send.conversation_id,
            channel_id=send.channel_id,
            kind=send.kind,
            error_code=error_code or (SendUnknown.code if state is SendState.UNKNOWN else None),
        )
    )


def _outgoing(row: Mapping[Any, Any]) -> Outgoing:
    return Outgoing(
        tenant_id=TenantId(row["tenant_id"]),
        id=SendId(row["id"]),
        channel_id=ChannelId(row["channel_id"]),
        channel_kind=row["channel_kind"],
        conversation_id=ConversationId(row["conversation_id"]),
        chat=row["address"],
        kind=row["kind"],
        body=row["body"],
        media=row["media"],
        reply_to=row["reply_to"],
        state=SendState(row["state"]),
        claim_no=row["claim_no"],
        claimed_at=row["claimed_at"],
        since_claim=row["since_claim"],
        reserved_id=row["reserved_id"],
        echoed_id=row["echoed_id"],
        resent=row["resent"],
        age=row["age"],
        doomed=row["doomed"],
        unread=tuple(row["unread"]),
    )
