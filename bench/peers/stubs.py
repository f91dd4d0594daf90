"""``python -m bench.peers.stubs DELAY``: a model provider and a WAHA server that cost next to
nothing, so that what is measured is ours; the tests' fakes keep ledgers and would be the limit.

Prints the two ports and serves until its input ends. The model answers DELAY seconds after each
request; from ``GET /hold`` to ``GET /go`` it answers nobody, and ``GET /held`` says how many wait.
Of WAHA's ``sendText`` the arrivals are kept: ``GET /ledger`` answers them as
``[[chat, text, seconds of CLOCK_MONOTONIC], …]`` and forgets them.
"""

import asyncio
import itertools
import json
import sys
import time
from typing import Any

ANSWER = "Ada beberapa kopi susu. Mau yang panas atau yang dingin?"


class _Http(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and Content-Length, one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = _content_length(head)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self.asked(head.split(b" ", 2)[1].decode(), body)

    def asked(self, path: str, body: bytes) -> None:
        raise NotImplementedError

    def answer(self, content: Any) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
                + str(len(body)).encode()
                + b"\r\n\r\n"
                + body
            )


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


class Model(_Http):
    """Chat completions in OpenAI's form."""

    delay = 0.0
    holds = False
    held: list["Model"] = []
    completion = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "fake",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": ANSWER},
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940},
        }
    ).encode()

    def asked(self, path: str, body: bytes) -> None:
        if path == "/held":
            self.answer(len(self.held))
        elif path in ("/hold", "/go"):
            Model.holds = path == "/hold"
            self.answer(len(self.held))
            while self.held and not self.holds:
                self.held.pop().answer(self.completion)
        elif self.holds:
            self.held.append(self)
        else:
            asyncio.get_running_loop().call_later(self.delay, self.answer, self.completion)


class Waha(_Http):
    """What the messenger asks of WAHA."""

    sent: list[tuple[str, str, float]] = []
    numbers = itertools.count(1)

    def asked(self, path: str, body: bytes) -> None:
        if path == "/ledger":
            self.answer(self.sent)
            self.sent.clear()
        elif path.endswith("/sendText"):
            said = json.loads(body)
            self.sent.append((said["chatId"], said["text"], time.monotonic()))
            native = said.get("id") or self._native_id()
            self.answer({"key": {"id": native, "remoteJid": said["chatId"], "fromMe": True}})
        elif path.endswith("/new-message-id"):
            self.answer({"id": self._native_id()})
        else:
            self.answer({"success": True})

    def _native_id(self) -> str:
        return f"3EB0{next(self.numbers):018X}"


async def main() -> None:
    Model.delay = float(sys.argv[1])
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(kind, "127.0.0.1", 0, backlog=2048) for kind in (Model, Waha)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
