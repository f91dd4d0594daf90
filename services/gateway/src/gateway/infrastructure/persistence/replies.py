"""Which reply a bubble belongs to."""

from uuid import UUID

from sqlalchemy import select

from commerce_agent.domain.value_objects.ids import ReplyId
from shared.kernel.ids import ConversationId, TenantId
from shared.persistence.database import Database
from shared.persistence.tables import sends
from shared.persistence.unit_of_work import Transaction


class SqlReplies:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(
        self, tenant_id: TenantId, conversation_id: ConversationId, bubble: UUID
    ) -> ReplyId | None:
        """The reply of a bubble of this conversation."""
        mine = (sends.c.tenant_id == tenant_id) & (sends.c.conversation_id == conversation_id)
        async with Transaction(self._database, tenant_id) as tx:
            reply = await tx.connection.scalar(
                select(sends.c.reply_id).where(mine, sends.c.id == bubble)
            )
        return None if reply is None else ReplyId(reply)
