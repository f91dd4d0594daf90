"""The simulator's phones: what their screens remember, and what the shop has made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from shared.kernel.ids import ChannelId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedShop:
    """A tenant with a simulated number."""

    tenant_id: TenantId
    slug: str
    name: str
    channel_id: ChannelId
    session: str
    language: str
    model: str
    """The name of the model that answers."""
    offline: bool
    """It is the offline demo model, and pages say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedCustomer:
    address: str
    name: str
    last_text: str | None = None
    last_at: datetime | None = None
    unseen: int = 0
    """Bubbles of the shop that this phone has not shown yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneMessage:
    """One bubble on the phone. ``stored`` and ``seen`` are the ticks below the customer's own."""

    native_id: str
    from_customer: bool
    text: str
    content: Mapping[str, Any] = field(default_factory=dict)
    """``type`` and what belongs to it; a picture's bytes are read separately."""
    stored: bool = False
    seen: bool = False
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    messages: Sequence[PhoneMessage]
    owner: str | None
    """``ai``, ``person`` or ``paused``; ``None``: the shop has not heard of this chat yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubble:
    """One message of a reply on its way: ``pending sending unknown sent failed cancelled``."""

    id: UUID
    text: str
    state: str
    kind: str

    @property
    def is_terminal(self) -> bool:
        return self.state in ("sent", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerState:
    """What became of one message of a customer."""

    state: str
    """``waiting``, or how it ended: ``answered handed_over refused revoked recovered
    nothing_to_answer``."""
    bubbles: Sequence[Bubble] = ()

    @property
    def complete(self) -> bool:
        """It is answered, and nothing of the reply is still on its way."""
        return self.state != "waiting" and all(bubble.is_terminal for bubble in self.bubbles)


@dataclass(frozen=True, slots=True)
class Picture:
    mimetype: str
    data: bytes = field(repr=False)


class SimulatedPhones(Protocol):
    """All methods but the first two stay within the shop's tenant."""

    async def shops(self) -> Sequence[SimulatedShop]:
        """Every tenant with an active simulated number, oldest first."""
        ...

    async def find_shop(self, tenant: str) -> SimulatedShop | None:
        """By the tenant's id or slug."""
        ...

    async def customers(self, shop: SimulatedShop) -> Sequence[SimulatedCustomer]:
        """Those who wrote last come first."""
        ...

    async def add_customer(self, shop: SimulatedShop, address: str, name: str) -> None:
        """A phone that is known already gets the name."""
        ...

    async def name_of(self, shop: SimulatedShop, address: str) -> str | None: ...

    async def chat(
        self, shop: SimulatedShop, address: str, *, after: str | None, limit: int
    ) -> Chat:
        """The latest messages, oldest first; ``after`` leaves out those up to this native id."""
        ...

    async def put(
        self,
        shop: SimulatedShop,
        address: str,
        native_id: str,
        text: str,
        content: Mapping[str, Any],
    ) -> None:
        """Show what the customer wrote on their own phone."""
        ...

    async def take_back(self, shop: SimulatedShop, native_id: str) -> None:
        """It could not be delivered: it was never there."""
        ...

    async def see(self, shop: SimulatedShop, address: str) -> Sequence[str]:
        """Mark the shop's bubbles as shown; the native ids of those that were not before."""
        ...

    async def picture(self, shop: SimulatedShop, native_id: str) -> Picture | None: ...

    async def answer(self, shop: SimulatedShop, address: str, native_id: str) -> AnswerState | None:
        """``None``: this phone has sent no such message."""
        ...

    async def stamp(self, shop: SimulatedShop, address: str) -> str:
        """Differs whenever the chat would look otherwise."""
        ...
