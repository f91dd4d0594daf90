"""The conversation on a terminal: bubbles, and a sign while the shop is typing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.align import Align
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.status import Status
from rich.text import Text

from ai_platform.chat.client import Phone, Shop
from ai_platform.chat.conversation import Waiting, silence, spoken

_WIDEST = 72


class Terminal:
    """Reads what the person types and shows what the shop says, until end of input."""

    def __init__(self, console: Console, shop: Shop, phone: Phone, waiting: Waiting) -> None:
        self._console = console
        self._shop = shop
        self._phone = phone
        self._waiting = waiting

    async def run(self) -> None:
        self._console.print(f"[bold]{escape(self._shop.name)}[/]  ·  {escape(self._phone.name)}")
        self._console.print(f"[dim]{escape(self._shop.model_label)} answers. Leave with Ctrl-D.[/]")
        while (line := await asyncio.to_thread(self._read)) is not None:
            if line.strip():
                await self._exchange(line.strip())

    def _read(self) -> str | None:
        try:
            return self._console.input("[bold cyan]> [/]")
        except EOFError:
            return None

    async def _exchange(self, line: str) -> None:
        message_id = await self._phone.say(line)
        with self._console.status("") as status, self._typing(status):
            reply = await self._waiting.for_reply(self._phone, message_id)
        for bubble in spoken(reply):
            width = min(_WIDEST, max(len(part) for part in bubble.text.splitlines()) + 4)
            panel = Panel(Text(bubble.text), border_style="green", width=width)
            self._console.print(Align.left(panel))
        told = silence(reply)
        if told is not None:
            self._console.print(f"[dim]{escape(told)}[/]")

    @contextmanager
    def _typing(self, status: Status) -> Iterator[None]:
        """Show that the shop types while it says so."""
        listening = asyncio.create_task(self._listen(status))
        try:
            yield
        finally:
            listening.cancel()

    async def _listen(self, status: Status) -> None:
        with suppress(asyncio.CancelledError):
            async for name, data in self._phone.events():
                if name == "typing":
                    status.update(f"{escape(self._shop.name)} is typing…" if data["on"] else "")
