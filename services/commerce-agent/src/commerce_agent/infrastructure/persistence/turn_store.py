"""Turns and their journals in PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import and_, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from commerce_agent.application.ports.shop_agent import Handle, JournalStep, Spoken, ToolDone
from commerce_agent.application.ports.turn_store import Entry, OpenTurn, TurnOutcome
from commerce_agent.domain.value_objects.ids import CustomerId, ReplyId, TurnId
from commerce_agent.infrastructure.persistence.journal_codec import (
    from_json,
    handle_from_json,
    handle_to_json,
    kind_of,
    to_json,
)
from commerce_agent.infrastructure.persistence.tables import conversations, turn_steps, turns
from shared.kernel.ids import ConversationId, TenantId, new_id

_NOW = func.platform_now()
MOST_HANDLES: Final = 200
"""What was shown longer ago is no longer meant by "the second one"."""


class SqlTurnStore:
    """Keeps the promises of `TurnStore`."""

    def __init__(self, connection: AsyncConnection, tenant_id: TenantId) -> None:
        self._connection = connection
        self._tenant_id = tenant_id

    async def find_open(self, conversation_id: ConversationId) -> OpenTurn | None:
        row = (
            await self._connection.execute(
                select(turns.c.id, turns.c.discards).where(
                    turns.c.tenant_id == self._tenant_id,
                    turns.c.conversation_id == conversation_id,
                    turns.c.state == "open",
                )
            )
        ).one_or_none()
        return None if row is None else OpenTurn(id=row.id, discards=row.discards)

    async def begin(self, conversation_id: ConversationId, *, llm_config_name: str) -> OpenTurn:
        turn_id = TurnId(new_id())
        await self._connection.execute(
            insert(turns).values(
                tenant_id=self._tenant_id,
                id=turn_id,
                conversation_id=conversation_id,
                llm_config_name=llm_config_name,
            )
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

    async def append(self, turn_id: TurnId, entry: Entry, *, lease_epoch: int) -> None:
        step = entry.body
        await self._connection.execute(
            insert(turn_steps).values(
                tenant_id=self._tenant_id,
                turn_id=turn_id,
                step=entry.step,
                call=entry.call,
                kind=kind_of(step),
                name=_name(step),
                body=to_json(step),
                result=step.result if isinstance(step, ToolDone) else None,
                lease_epoch=lease_epoch,
                milliseconds=step.milliseconds if isinstance(step, Spoken) else None,
            )
        )

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

    async def note_usage(self, turn_id: TurnId, answer: Spoken) -> None:
        await self._change(
            turn_id,
            model=answer.model or turns.c.model,
            tokens_in=turns.c.tokens_in + answer.tokens_in,
            tokens_out=turns.c.tokens_out + answer.tokens_out,
        )

    async def count_discard(self, turn_id: TurnId) -> None:
        await self._change(turn_id, discards=turns.c.discards + 1)

    async def end(
        self,
        turn_id: TurnId,
        outcome: TurnOutcome,
        *,
        reply_id: ReplyId | None = None,
        prompt_version: str | None = None,
    ) -> None:
        await self._change(
            turn_id,
            state="ended",
            outcome=outcome.value,
            reply_id=reply_id,
            prompt_version=prompt_version,
            ended_at=_NOW,
        )

    async def end_open(self, conversation_id: ConversationId, outcome: TurnOutcome) -> None:
        turn = await self.find_open(conversation_id)
        if turn is not None:
            await self.end(turn.id, outcome)

    async def begun_within(self, customer_id: CustomerId, within: timedelta) -> int:
        count: int | None = await self._connection.scalar(
            select(func.count())
            .select_from(turns)
            .join(
                conversations,
                and_(
                    conversations.c.tenant_id == turns.c.tenant_id,
                    conversations.c.id == turns.c.conversation_id,
                ),
            )
            .where(
                turns.c.tenant_id == self._tenant_id,
                conversations.c.customer_id == customer_id,
                turns.c.started_at > _NOW - within,
            )
        )
        return count or 0

    async def handles(self, conversation_id: ConversationId) -> tuple[Handle, ...]:
        stored = await self._connection.scalar(
            select(conversations.c.handles).where(*self._conversation(conversation_id))
        )
        return tuple(handle_from_json(handle) for handle in stored or ())

    async def show(self, conversation_id: ConversationId, handles: Sequence[Handle]) -> None:
        known = await self.handles(conversation_id)
        codes = {handle.code for handle in known}
        fresh = [handle for handle in handles if handle.code not in codes]
        if not fresh:
            return
        kept = (*known, *fresh)[-MOST_HANDLES:]
        await self._connection.execute(
            update(conversations)
            .where(*self._conversation(conversation_id))
            .values(handles=[handle_to_json(handle) for handle in kept])
        )

    async def _change(self, turn_id: TurnId, **values: Any) -> None:
        await self._connection.execute(
            update(turns)
            .where(turns.c.tenant_id == self._tenant_id, turns.c.id == turn_id)
            .values(**values)
        )

    def _conversation(self, conversation_id: ConversationId) -> tuple[Any, Any]:
        return (
            conversations.c.tenant_id == self._tenant_id,
            conversations.c.id == conversation_id,
        )


def _name(step: JournalStep) -> str | None:
    if isinstance(step, ToolDone):
        return step.request.name
    return step.model or None if isinstance(step, Spoken) else None
