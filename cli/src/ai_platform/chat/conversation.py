"""A conversation with the shop: line by line for programs, with bubbles for people."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from ai_platform.chat.client import Bubble, Phone, Reply
from ai_platform.errors import CommandFailed

PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.25

_SILENT_ENDS = {
    "handed_over": "A person takes over this conversation.",
    "refused": "This message is not answered.",
    "nothing_to_answer": "This message needs no answer.",
}


@dataclass(frozen=True)
class Waiting:
    """How to wait for an answer; tests bring their own time."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    patience_seconds: float = PATIENCE_SECONDS

    async def for_reply(self, phone: Phone, message_id: str) -> Reply:
        """Return when the turn that answers the message is over and all its bubbles are out.

        Raises:
            CommandFailed: nothing came in time.
        """
        deadline = self.monotonic() + self.patience_seconds
        while not (reply := await phone.reply(message_id)).complete:
            if self.monotonic() > deadline:
                raise CommandFailed(await self._why_nothing_came(phone))
            await self.sleep(_POLL_SECONDS)
        return reply

    async def _why_nothing_came(self, phone: Phone) -> str:
        late = f"No answer came within {self.patience_seconds:g} seconds"
        if await phone.is_with_a_person():
            return f"{late}: this conversation is with a person of the shop now, not with the AI"
        return f"{late}; ai-platform doctor may tell why"


def spoken(reply: Reply) -> Sequence[Bubble]:
    """The bubbles that reached the phone."""
    return [bubble for bubble in reply.bubbles if bubble.state == "sent"]


def silence(reply: Reply) -> str | None:
    """What to say of a turn that ended without a bubble."""
    return None if spoken(reply) else _SILENT_ENDS.get(reply.state, "There was no answer.")


async def answer_lines(
    phone: Phone, lines: Iterable[str], *, waiting: Waiting, write: Callable[[str], None]
) -> None:
    """Send each line and write all bubbles of its answer; empty lines are passed over.

    Raises:
        CommandFailed: the server is gone, or an answer does not come.
    """
    for line in lines:
        if not line.strip():
            continue
        reply = await waiting.for_reply(phone, await phone.say(line.strip()))
        for bubble in spoken(reply):
            write(bubble.text)
        told = silence(reply)
        if told is not None:
            write(told)
