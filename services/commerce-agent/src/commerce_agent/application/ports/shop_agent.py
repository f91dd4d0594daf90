"""The shop's agent as the turn sees it: what it is given, what it leaves in the journal, what it
may answer.

A turn is one answer to everything the customer has said and nobody has answered. Its **journal** is
the only memory of a running turn: the agent builds its prompt from ``Turn`` and ``Journal.steps``
alone, so a worker that takes over after a crash goes on where the last one stood, and a message
that arrives meanwhile is one more ``Heard`` step of the same turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias

from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.domain.value_objects.facts import Fact as Fact
from commerce_agent.domain.value_objects.facts import FactKind as FactKind
from commerce_agent.domain.value_objects.ids import (
    CustomerId,
    MessageId,
    ProductId,
    TurnId,
    VariantId,
)
from shared.kernel.errors import Unavailable
from shared.kernel.ids import ChannelId, ConversationId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """A short name of a product that was shown in this conversation; tools take nothing else."""

    code: str
    product_id: ProductId
    variant_id: VariantId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopCard:
    """What prompts and templates may say of the shop."""

    name: str
    currency: str
    timezone: str
    language: str
    """The shop's own language, ``id`` or ``en``."""
    about: str = ""
    address: str = ""
    hours: str = ""
    policies: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Addresses the agent may send."""
    persona: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerCard:
    """What prompts may say of the customer; no phone number and no id."""

    name: str | None = None
    language: str | None = None
    has_address: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One earlier message of the conversation, already answered or sent."""

    by: Literal["customer", "ai", "staff"]
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Everything a run needs to know besides the journal."""

    id: TurnId
    tenant_id: TenantId
    channel_id: ChannelId
    conversation_id: ConversationId
    customer_id: CustomerId
    lease_epoch: int
    owner_epoch: int
    llm_config_name: str
    state: ConversationState
    shop: ShopCard
    customer: CustomerCard
    history: tuple[Said, ...]
    handles: tuple[Handle, ...]
    now: datetime
    deadline: timedelta
    """How much of the turn's time is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The customer said something that nobody has answered."""

    message_id: MessageId
    text: str
    """What the model reads. A picture, a pin or a contact card is described in brackets."""
    at: datetime
    content_type: str = "text"
    reply_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRequest:
    """A tool call of the model, as it was read."""

    id: str
    name: str
    args: Mapping[str, Any]
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One answer of the model."""

    text: str
    tool_calls: tuple[ToolRequest, ...] = ()
    model: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    milliseconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDone:
    """A tool call and its result. With its position in the journal it is the key of the effect."""

    request: ToolRequest
    result: str
    facts: tuple[Fact, ...] = ()
    handles: tuple[Handle, ...] = ()
    """Shown with this result for the first time."""
    state: ConversationState | None = None
    """Where this result moves the conversation; ``None``: nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The outgoing check refused the draft before this; the model was asked to mend it."""

    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """The customer spoke before the draft was sent; it was thrown away."""

    draft: str


JournalStep: TypeAlias = Heard | Spoken | ToolDone | Checked | Discarded


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectKey:
    """Binds one effect of a tool to its place in a turn, and to the worker that may cause it.

    A unit of work opened with it first locks the conversation and compares both epochs
    (``Fenced``), then looks the key up: a known one yields the stored text and the body is skipped.
    ``commit`` writes key and text with the effect.
    """

    tenant_id: TenantId
    conversation_id: ConversationId
    turn_id: TurnId
    step: int
    call: int
    lease_epoch: int
    owner_epoch: int
    request: ToolRequest = field(compare=False)


class Fenced(Exception):
    """Another worker or another owner has the conversation now: touch nothing more."""


class Journal(Protocol):
    """The steps so far, in order, and the only way to add one. Every call commits, fenced.

    Raises:
        Fenced: from any method; let it pass.
    """

    @property
    def steps(self) -> Sequence[JournalStep]: ...

    async def spoken(self, answer: Spoken) -> None:
        """Keep an answer of the model before anything is done with it."""
        ...

    async def tool_done(self, done: ToolDone, *, call: int) -> None:
        """Keep a tool's result that changed nothing else, with the handles it showed."""
        ...

    def effect(self, request: ToolRequest, *, call: int) -> EffectKey:
        """The key for a tool that does change something: the service commits step and effect."""
        ...

    async def adopt(self, done: ToolDone, *, call: int) -> None:
        """Take into `steps` what an effect's own transaction has just journaled."""
        ...

    async def checked(self, refused: Checked) -> None:
        """Keep what was wrong with a draft, before the model is asked to mend it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An answer that passed the outgoing check, in Markdown."""

    text: str
    images: tuple[str, ...] = ()
    """Storage paths of pictures that go with it."""
    fault: str | None = None
    """Why this is only a safe template: the turn counts as failed. ``None``: a real answer."""
    prompt_version: str = ""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The hand-over has committed: the turn is ended and nothing is left to say."""


AgentOutcome: TypeAlias = Draft | HandedOver


class AgentUnavailable(Unavailable):
    """No model can answer at the moment, so the turn waits; ``data["cause"]`` tells staff why."""

    code = "agent_unavailable"


class ShopAgent(Protocol):
    """Answers a turn."""

    async def run(self, turn: Turn, journal: Journal) -> AgentOutcome:
        """Think, use tools, and come back with a draft that may be sent.

        Raises:
            AgentUnavailable: breaker open, rate limit, provider away, key refused: defer the turn.
            Fenced: the conversation is no longer ours.
        """
        ...
