"""Where conversations are kept, and how a worker comes to hold one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from commerce_agent.domain.entities.conversation import Conversation
from commerce_agent.domain.value_objects.ids import CustomerId
from shared.kernel.events import DomainEvent
from shared.kernel.ids import ChannelId, ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A worker's hold on a conversation. ``epoch`` fences: whoever holds an older one writes
    nothing more."""

    conversation_id: ConversationId
    worker: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class LeaseTaken:
    """Somebody else holds it, until ``until`` unless renewed."""

    until: datetime


@dataclass(frozen=True, slots=True)
class BegunCommit:
    """The conversation of a reply that is about to be committed, and the moment of it."""

    conversation: Conversation
    now: datetime


class ConversationRepository(Protocol):
    """Conversations of one tenant. Every load takes the row's lock (``FOR NO KEY UPDATE``) and it
    is the first lock of a transaction: store, commit, takeover, merge and the messenger's claim
    queue up here."""

    async def get(self, conversation_id: ConversationId) -> Conversation:
        """Lock and load. Raises `ConversationNotFound`."""
        ...

    async def find(self, conversation_id: ConversationId) -> Conversation | None:
        """Lock and load, or ``None``."""
        ...

    async def open(
        self, channel_id: ChannelId, customer_id: CustomerId, *, address: str
    ) -> Conversation:
        """The customer's conversation on this channel, made if there is none; locked."""
        ...

    async def take_lease(
        self, conversation_id: ConversationId, *, worker: UUID, for_: timedelta
    ) -> Lease | LeaseTaken | None:
        """Take the conversation if nobody holds it, and load it. ``None``: there is none."""
        ...

    async def renew_lease(self, lease: Lease, *, for_: timedelta) -> bool:
        """Hold it longer; ``False``: it is lost."""
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Give it back, if it is still ours."""
        ...

    async def begin_commit(
        self, lease: Lease, *, owner_epoch: int, inbound_seq: int | None
    ) -> BegunCommit | None:
        """Open the transaction of a reply by one conditional UPDATE, which also gives the lease
        back. ``inbound_seq`` ``None`` leaves it out of the condition. ``None``: the condition does
        not hold, nothing was changed."""
        ...

    async def flush(self) -> list[DomainEvent]:
        """Write what verbs changed, and hand over the events they recorded."""
        ...
