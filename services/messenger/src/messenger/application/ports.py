"""What sending needs from outside: the rows of the bubbles, and channels to speak through."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Protocol

from messenger.domain import Claimed, Outgoing, SendState
from shared.kernel.ids import ChannelId, SendId, TenantId
from shared.messaging.port import Claim


class Channel(Protocol):
    """One number, or its simulation.

    Every method may raise ``NotSent`` (nothing happened, another try may succeed),
    ``SendRefused`` (nothing happened and nothing will) or ``SendUnknown`` of `shared.waha.send`.
    """

    state: str
    """How the number stood when the channel was last read, as ``channels.state``."""

    async def ready(self) -> None:
        """Ask whether the number is connected. Raises `SessionNotReady`."""
        ...

    async def seen(self, send: Outgoing) -> None:
        """Let the customer see that their messages were read."""
        ...

    async def typing(self, send: Outgoing, *, on: bool) -> None: ...

    async def reserve_id(self, send: Outgoing) -> str | None:
        """The native id that this bubble will have, where that can be known before."""
        ...

    async def send(self, send: Outgoing, reserved_id: str | None) -> str | None:
        """Send it; the native id, or ``None`` when it left without telling one."""
        ...

    async def find(self, send: Outgoing, since: datetime, taken: Collection[str]) -> str | None:
        """Read the chat back: the native id under which the bubble arrived, else ``None``.

        ``taken`` are ids of other bubbles, which equal text must not be mistaken for.

        Raises:
            Unavailable: nobody answers at the moment.
        """
        ...


class Channels(Protocol):
    """Opens channels; what it read of one is kept for a few seconds."""

    async def open(self, tenant_id: TenantId, channel_id: ChannelId) -> Channel:
        """Raises `ChannelClosed` when staff switched it off."""
        ...

    def forget(self, channel_id: ChannelId) -> None:
        """Read it anew next time."""
        ...


class Sends(Protocol):
    """The bubbles. Every method is one transaction of the tenant.

    Methods that take a queue claim and end a bubble also delete its queue row, record what
    happened, and are void (``False``) when the bubble has moved on since.
    """

    async def load(self, tenant_id: TenantId, send_id: SendId) -> Outgoing | None: ...

    async def take_slot(self, send: Outgoing, gap: timedelta) -> timedelta:
        """Take the bubble's place in its number's pace; how long until then, zero: now."""
        ...

    async def keep_reserved_id(self, send: Outgoing, native_id: str) -> str:
        """Commit the id before any call uses it; the one that counts is returned."""
        ...

    async def claim(self, claim: Claim, send: Outgoing) -> Claimed:
        """Ask ``claim_send``, alone in its transaction unless it ended the bubble."""
        ...

    async def take_back(self, claim: Claim, send: Outgoing) -> None:
        """Undo a claim that ``claim`` may have been answered after all, and that no call follows.

        Nothing happens where it was not made, or where the queue row is no longer ours.
        """
        ...

    async def finish(self, claim: Claim) -> None:
        """Delete the queue row of a bubble that is ended or gone."""
        ...

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
        """``sent`` or ``failed``, if claim ``number`` is still the one that counts."""
        ...

    async def mark_unknown(self, send: Outgoing, number: int, error_detail: str) -> bool:
        """The outcome of claim ``number`` is not known."""
        ...

    async def put_back(
        self, send: Outgoing, number: int, error_code: str, *, resend: bool = False
    ) -> bool:
        """Make it pending again: it certainly did not leave, or (``resend``) is repeated."""
        ...

    async def other_native_ids(self, send: Outgoing) -> set[str]:
        """Ids of the conversation's other bubbles and of what staff typed on the phone."""
        ...

    async def report_state(self, send: Outgoing, state: str) -> bool:
        """Keep how the number stands; back in work, its history is looked through for gaps.
        ``False``: it was known."""
        ...
