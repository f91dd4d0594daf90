"""Turns and their journals in PostgreSQL."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.shop_agent import Handle, JournalStep, Spoken, ToolDone
from commerce_agent.application.ports.turn_store import Entry, OpenTurn, TurnOutcome
from commerce_agent.domain.repositories.conversation_repository import Lease
from commerce_agent.domain.value_objects.ids import ReplyId, TurnId
from commerce_agent.infrastructure.persistence.journal_codec import (
    from_json,
    handle_to_json,
    kind_of,
    to_json,
)
from commerce_agent.infrastructure.persistence.tables import turn_steps, turns
from shared.kernel.ids import ConversationId, TenantId, new_id

MOST_HANDLES: Final = 200
"""What was shown longer ago is no longer meant by "the second one"."""

_STEPS = """
    INSERT INTO turn_steps (tenant_id, turn_id, step, call, kind, name, body, result, lease_epoch,
                            milliseconds)
    SELECT :tenant, :turn, s.step, s.call, s.kind, s.name, s.body, s.result, :epoch, s.milliseconds
    FROM {held}jsonb_to_recordset(:steps) AS s (
        step integer, call integer, kind text, name text, body jsonb, result text,
        milliseconds integer)
"""
_SHOWN = """(
    SELECT coalesce(jsonb_agg(each ORDER BY place), '[]') FROM (
        SELECT each, place
        FROM jsonb_array_elements(handles || :shown) WITH ORDINALITY AS every (each, place)
        WHERE place <= jsonb_array_length(handles)
           OR NOT handles @> jsonb_build_array(jsonb_build_object('code', each -> 'code'))
        ORDER BY place DESC LIMIT :most) AS kept
)"""
_LOCKED = """
    SELECT id FROM conversations
    WHERE tenant_id = :tenant AND id = :conversation AND lease_epoch = :epoch FOR NO KEY UPDATE
"""
_MOVED = f"""
    UPDATE conversations SET state = coalesce(:state, state), handles = {_SHOWN}
    WHERE tenant_id = :tenant AND id = :conversation AND lease_epoch = :epoch RETURNING id
"""  # noqa: S608 - constants
_COUNTED = """
    UPDATE turns SET model = coalesce(nullif(:model, ''), model),
                     tokens_in = tokens_in + :tokens_in, tokens_out = tokens_out + :tokens_out
    FROM held WHERE turns.tenant_id = :tenant AND turns.id = :turn
"""
_BEGUN = """
    INSERT INTO turns (tenant_id, id, conversation_id, llm_config_name)
    VALUES (:tenant, :turn, :conversation, :llm_config_name)
"""


_TYPES: Final[dict[str, Any]] = {
    "tenant": PG_UUID,
    "turn": PG_UUID,
    "epoch": BigInteger,
    "steps": JSONB,
    "shown": JSONB,
}


def _statement(sql: str) -> Any:
    """SQL with the types of those values that their places do not tell."""
    typed = (bindparam(name, type_=kind) for name, kind in _TYPES.items() if f":{name}" in sql)
    return text(sql).bindparams(*typed)


_BEGIN = _statement(f"WITH begun AS ({_BEGUN}) {_STEPS.format(held='')}")
_APPEND = _statement(_STEPS.format(held=""))
# The lock and the comparison are the first part of the very statement that writes: what it writes
# comes from the locked row, and a row that changed while we waited is compared as it is now.
_HELD_STEPS = _STEPS.format(held="held, ") + " RETURNING step"
_KEEP = _statement(f"WITH held AS ({_LOCKED}) {_HELD_STEPS}")
_KEEP_ANSWER = _statement(f"WITH held AS ({_LOCKED}), counted AS ({_COUNTED}) {_HELD_STEPS}")
_KEEP_RESULT = _statement(f"WITH held AS ({_MOVED}) {_HELD_STEPS}")
_SHOW = _statement(
    f"UPDATE conversations SET handles = {_SHOWN}"  # noqa: S608 - constants
    " WHERE tenant_id = :tenant AND id = :conversation"
)
_END = text(
    """
    UPDATE turns SET state = 'ended', outcome = :outcome, reply_id = :reply,
                     prompt_version = :prompt_version, ended_at = platform_now()
    WHERE tenant_id = :tenant AND id = :turn
    """
)
_END_OPEN = text(
    """
    UPDATE turns SET state = 'ended', outcome = :outcome, ended_at = platform_now()
    WHERE tenant_id = :tenant AND conversation_id = :conversation AND state = 'open'
    """
)


class SqlTurnStore:
    """Keeps the promises of `TurnStore`."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def begin(
        self,
        conversation_id: ConversationId,
        *,
        llm_config_name: str,
        entries: Sequence[Entry],
        lease_epoch: int,
    ) -> OpenTurn:
        turn_id = TurnId(new_id())
        await self._execute(
            _BEGIN,
            turn=turn_id,
            conversation=conversation_id,
            llm_config_name=llm_config_name,
            epoch=lease_epoch,
            steps=[_step(entry) for entry in entries],
        )
        return OpenTurn(id=turn_id, discards=0)

    async def entries(self, turn_id: TurnId) -> list[Entry]:
        rows = await self._connection.execute(
            select(turn_steps)
            .where(turn_steps.c.tenant_id == self._tenant_id, turn_steps.c.turn_id == turn_id)
            .order_by(turn_steps.c.step, turn_steps.c.call)
        )
        return [
            Entry(step=row.step, call=row.call, body=from_json(row.kind, row.body)) for row in rows
        ]

    async def append(self, turn_id: TurnId, entries: Sequence[Entry], *, lease_epoch: int) -> None:
        steps = [_step(entry) for entry in entries]
        await self._execute(_APPEND, turn=turn_id, steps=steps, epoch=lease_epoch)

    async def keep(self, turn_id: TurnId, entry: Entry, lease: Lease) -> bool:
        statement, more = _kept_with(entry)
        kept = await self._execute(
            statement,
            conversation=lease.conversation_id,
            turn=turn_id,
            epoch=lease.epoch,
            steps=[_step(entry)],
            **more,
        )
        return kept.first() is not None

    async def find_result(self, turn_id: TurnId, *, step: int, call: int) -> str | None:
        result: str | None = await self._connection.scalar(
            select(turn_steps.c.result).where(
                turn_steps.c.tenant_id == self._tenant_id,
                turn_steps.c.turn_id == turn_id,
                turn_steps.c.step == step,
                turn_steps.c.call == call,
            )
        )
        return result

    async def count_discard(self, turn_id: TurnId) -> None:
        await self._connection.execute(
            update(turns)
            .where(turns.c.tenant_id == self._tenant_id, turns.c.id == turn_id)
            .values(discards=turns.c.discards + 1)
        )

    async def end(
        self,
        turn_id: TurnId,
        outcome: TurnOutcome,
        *,
        reply_id: ReplyId | None = None,
        prompt_version: str | None = None,
    ) -> None:
        await self._execute(
            _END,
            turn=turn_id,
            outcome=outcome.value,
            reply=reply_id,
            prompt_version=prompt_version,
        )

    async def end_open(self, conversation_id: ConversationId, outcome: TurnOutcome) -> None:
        await self._execute(_END_OPEN, conversation=conversation_id, outcome=outcome.value)

    async def show(self, conversation_id: ConversationId, handles: Sequence[Handle]) -> None:
        if handles:
            await self._execute(_SHOW, conversation=conversation_id, **_shown(handles))

    async def _execute(self, statement: Any, **values: Any) -> Any:
        return await self._connection.execute(statement, {"tenant": self._tenant_id, **values})


def _kept_with(entry: Entry) -> tuple[Any, dict[str, Any]]:
    """The statement that keeps a step with what follows from it, and that one's values."""
    step = entry.body
    if isinstance(step, Spoken):
        sums = {"tokens_in": step.tokens_in, "tokens_out": step.tokens_out}
        return _KEEP_ANSWER, {"model": step.model, **sums}
    if isinstance(step, ToolDone) and (step.state or step.handles):
        state = step.state.value if step.state else None
        return _KEEP_RESULT, {"state": state, **_shown(step.handles)}
    return _KEEP, {}


def _shown(handles: Sequence[Handle]) -> dict[str, Any]:
    return {"shown": [handle_to_json(handle) for handle in handles], "most": MOST_HANDLES}


def _step(entry: Entry) -> dict[str, Any]:
    step = entry.body
    return {
        "step": entry.step,
        "call": entry.call,
        "kind": kind_of(step),
        "name": _name(step),
        "body": to_json(step),
        "result": step.result if isinstance(step, ToolDone) else None,
        "milliseconds": step.milliseconds if isinstance(step, Spoken) else None,
    }


def _name(step: JournalStep) -> str | None:
    if isinstance(step, ToolDone):
        return step.request.name
    return step.model or None if isinstance(step, Spoken) else None
