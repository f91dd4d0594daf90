"""Sending one bubble: seen, typing, wait, claim, call, outcome; and what to do when it is unclear.

At most one call is made for a claim, and a claim is made only while nothing of the conversation
before it is open. Whoever finds a bubble ``sending`` found a holder that died or lost its lease:
the bubble is ``unknown`` then, and nothing is repeated blindly.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

import structlog

from messenger.application.metrics import SEND_SECONDS, SENDS
from messenger.application.ports import Channel, Channels, Sends
from messenger.application.rooms import Rooms
from messenger.domain import ClaimOutcome, Outgoing, Pace, SendState, Windows, hold
from shared.cache.port import Cache
from shared.kernel.errors import DomainError, Unavailable
from shared.kernel.ids import SendId
from shared.messaging.port import Claim, Postpone
from shared.waha.send import NotSent, SendRefused, SendUnknown, SessionNotReady

log = structlog.get_logger()

_NOW = timedelta(0)
_BLOCKED = timedelta(seconds=1)
_AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendHandler:
    """Handles ``send`` on ``wa_messages``; the task's key is the bubble's id."""

    sends: Sends
    channels: Channels
    cache: Cache
    rooms: Rooms
    pace: Pace
    windows: Windows
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    random: Random = field(default_factory=Random)

    async def handle(self, claim: Claim) -> None:
        """Bring the bubble as far as it can go now.

        Raises:
            Postpone: it goes on later, as planned.
        """
        send = await self.sends.load(claim.tenant_id, SendId(UUID(claim.key)))
        match send.state if send else None:
            case SendState.PENDING:
                assert send is not None
                with self.rooms.place(send.channel_id):
                    await self._deliver(claim, send)
            case SendState.SENDING:
                assert send is not None
                await self._unclear(send, send.claim_no, "the messenger that claimed it is gone")
            case SendState.UNKNOWN:
                assert send is not None
                await self._resolve(claim, send)
            case _:
                await self.sends.finish(claim)

    # -- a bubble that waits ------------------------------------------------------------------

    async def _deliver(self, claim: Claim, send: Outgoing) -> None:
        channel: Channel | None = None
        reserved_id = send.reserved_id
        if not send.doomed:
            try:
                channel = await self.channels.open(send.tenant_id, send.channel_id)
                reserved_id = await self._approach(send, channel)
            except NotSent as error:
                await self._hold(send, error)
        claimed_at = self.monotonic()
        try:
            answer = await self.sends.claim(claim, send)
        except Unavailable:
            await self._take_back(claim, send)
            raise
        if answer.outcome == ClaimOutcome.BLOCKED:
            raise Postpone(_BLOCKED)
        if answer.outcome != ClaimOutcome.CLAIMED:
            await self._not_claimed(send, answer.outcome)
            return
        assert answer.number is not None
        late = self.monotonic() - claimed_at >= self.windows.claim.total_seconds()
        if late or channel is None:
            await self._not_sent(send, answer.number, NotSent("the claim grew old"), _NOW)
            return
        await self._call(claim, send, channel, answer.number, reserved_id)

    async def _take_back(self, claim: Claim, send: Outgoing) -> None:
        """Whether the claim was committed nobody knows, but we know that no call follows it: left
        as it is, the bubble would be taken for one that may have been sent."""
        ends = self.monotonic() + self.windows.call.total_seconds()
        while True:
            try:
                return await self.sends.take_back(claim, send)
            except Unavailable:
                if self.monotonic() >= ends:
                    raise
            await self.sleep(_AGAIN.total_seconds())

    async def _approach(self, send: Outgoing, channel: Channel) -> str | None:
        """Everything a person would do before the message appears."""
        wait = await self.sends.take_slot(send, self.pace.gap(self.random))
        if wait > _NOW:
            raise Postpone(wait)
        if channel.state not in ("working", "unknown"):
            await channel.ready()
            await self._report_state(send, "working")
        with suppress(SendRefused, SendUnknown):
            await channel.seen(send)
        with suppress(SendRefused, SendUnknown):
            await channel.typing(send, on=True)
        await self.sleep(self.pace.typing(send.body, self.random).total_seconds())
        with suppress(SendRefused, SendUnknown):
            await channel.typing(send, on=False)
        if send.reserved_id is not None:
            return send.reserved_id
        native_id = await channel.reserve_id(send)
        return await self.sends.keep_reserved_id(send, native_id) if native_id else None

    async def _call(
        self,
        claim: Claim,
        send: Outgoing,
        channel: Channel,
        number: int,
        reserved_id: str | None,
    ) -> None:
        try:
            with SEND_SECONDS.labels(send.channel_kind).time():
                native_id = await channel.send(send, reserved_id)
        except SendRefused as error:
            await self._end(claim, send, number, SendState.FAILED, error=error)
        except NotSent as error:
            await self._not_sent(send, number, error, hold(send.age, self.random))
        except SendUnknown as error:
            await self._unclear(send, number, error.detail)
        else:
            await self._end(claim, send, number, SendState.SENT, native_id=native_id)

    async def _not_claimed(self, send: Outgoing, outcome: str) -> None:
        """The claim ended the bubble, or somebody else has it."""
        if outcome in (SendState.SENDING, SendState.UNKNOWN):
            raise Postpone(_NOW)  # read it again as it stands now
        if outcome in (SendState.CANCELLED, SendState.FAILED):
            self._count(send, outcome)
            log.info("send_not_sent", tenant_id=send.tenant_id, send_id=send.id, outcome=outcome)
        await self._announce(send)

    async def _hold(self, send: Outgoing, error: NotSent) -> None:
        """Not even claimed: the bubble waits, and is too old after an hour."""
        await self._note_session(send, error)
        self._count(send, "held")
        raise Postpone(hold(send.age, self.random))

    async def _not_sent(
        self, send: Outgoing, number: int, error: NotSent, delay: timedelta
    ) -> None:
        """The claim is spent and nothing left: the bubble waits for its next claim."""
        await self.sends.put_back(send, number, error.code)
        await self._note_session(send, error)
        self._count(send, "held")
        raise Postpone(error.retry_after or delay)

    # -- a bubble whose call is unclear ---------------------------------------------------------

    async def _unclear(self, send: Outgoing, number: int, detail: str) -> None:
        """Nobody knows whether it left. Look again when its echo should have come."""
        if await self.sends.mark_unknown(send, number, detail):
            self._count(send, SendState.UNKNOWN)
            log.warning("send_unknown", tenant_id=send.tenant_id, send_id=send.id, detail=detail)
            await self._announce(send)
        raise Postpone(self.windows.unknown)

    async def _resolve(self, claim: Claim, send: Outgoing) -> None:
        if send.since_claim < self.windows.unknown:
            raise Postpone(self.windows.unknown - send.since_claim)
        channel = await self._open_if_possible(send)
        native_id = send.echoed_id or await self._read_back(send, channel)
        if native_id is not None:
            await self._end(claim, send, send.claim_no, SendState.SENT, native_id=native_id)
        elif send.repeatable:
            if await self.sends.put_back(send, send.claim_no, SendUnknown.code, resend=True):
                self._count(send, "repeated")
                log.warning("send_repeated", tenant_id=send.tenant_id, send_id=send.id)
            raise Postpone(_NOW)
        else:
            await self._end(claim, send, send.claim_no, SendState.FAILED, error=SendUnknown())

    async def _read_back(self, send: Outgoing, channel: Channel | None) -> str | None:
        if channel is None or send.claimed_at is None:
            return None
        taken = await self.sends.other_native_ids(send)
        try:
            return await channel.find(send, send.claimed_at, taken)
        except Unavailable:
            # worth one more window: a server that is just restarting knows the answer soon
            if send.since_claim < 2 * self.windows.unknown:
                raise Postpone(2 * self.windows.unknown - send.since_claim) from None
        except DomainError as error:
            log.info("read_back_refused", tenant_id=send.tenant_id, code=error.code)
        return None

    async def _open_if_possible(self, send: Outgoing) -> Channel | None:
        try:
            return await self.channels.open(send.tenant_id, send.channel_id)
        except NotSent:
            return None

    # -- what every end has in common -------------------------------------------------------------

    async def _end(
        self,
        claim: Claim,
        send: Outgoing,
        number: int,
        state: SendState,
        *,
        native_id: str | None = None,
        error: DomainError | None = None,
    ) -> None:
        ended = await self.sends.end(
            claim,
            send,
            number,
            state,
            native_id=native_id,
            error_code=error.code if error else None,
            error_detail=error.detail if error else None,
        )
        if not ended:
            raise Postpone(_NOW)  # it moved on meanwhile: read it again
        self._count(send, state)
        log.info("send_ended", tenant_id=send.tenant_id, send_id=send.id, state=state.value)
        await self._announce(send)

    async def _note_session(self, send: Outgoing, error: NotSent) -> None:
        if isinstance(error, SessionNotReady):
            await self._report_state(send, str(error.data.get("status", "unknown")))

    async def _report_state(self, send: Outgoing, state: str) -> None:
        if await self.sends.report_state(send, state):
            self.channels.forget(send.channel_id)
            log.warning("channel_state", channel_id=send.channel_id, state=state)

    async def _announce(self, send: Outgoing) -> None:
        topic = f"conversation:{send.tenant_id}:{send.conversation_id}"
        await self.cache.publish(topic, b'{"type":"changed"}')

    def _count(self, send: Outgoing, outcome: str) -> None:
        SENDS.labels(send.channel_kind, outcome).inc()
