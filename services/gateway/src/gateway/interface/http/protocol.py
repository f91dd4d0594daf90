"""Bounds that uvicorn leaves open: how much may come that is no body, and how slowly a request may
begin. Without them one connection could fill the memory with a single header that never ends."""

import asyncio
import resource
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OTHER_BYTES = 65_536
"""Of one request: its first line, headers, the frames of its chunks, trailers."""
_PATIENCE = timedelta(seconds=20)
"""For the first line and the headers."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
_OTHER_FILES = 128
"""Kept free for the database, the cache, files, and those who are just being let in."""
_MOST_CONNECTIONS = 65_536


def most_connections() -> int:
    """How many connections this process may have open; first takes all the files it may have.

    At the limit nobody could be let in any more, not even who asks whether we are well.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names a limit that it does not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = _MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else hard
    return min(_MOST_CONNECTIONS, max(files - _OTHER_FILES, files // 2))


class BoundedHttp(HttpToolsProtocol):
    """Hangs up on those who send headers without end, or begin and never finish; and, when there
    are more connections than files, on those who have waited longest without asking anything."""

    patience = _PATIENCE
    most = _MOST_CONNECTIONS
    """Connections; `most_connections` in a process of our own."""
    _waiting: ClassVar["dict[BoundedHttp, None]"] = {}
    """Connections of the process without a request in hand, the longest waiting first."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._other = 0
        self._begins = True
        """The headers of the present request are not complete."""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._be_patient()
        self._waiting[self] = None
        if len(self.connections) > self.most:
            self._shed(len(self.connections) - self.most * 3 // 4)

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        self._waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._other += len(data)
        super().data_received(data)
        if self._other > OTHER_BYTES:
            self._hang_up()
        elif self._begins and self._timer is None:  # most requests are here at once and need none
            self._be_patient()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begins = True
        self._other = 0

    def on_headers_complete(self) -> None:
        self._begins = False
        self._relax()
        self._waiting.pop(self, None)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:  # it is open, and no request came in advance
            self._waiting[self] = None

    def on_body(self, body: bytes) -> None:
        self._other -= len(body)
        super().on_body(body)

    def _be_patient(self) -> None:
        seconds = self.patience.total_seconds()
        self._timer = self.loop.call_later(seconds, self.transport.close)

    def _relax(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _shed(self, count: int) -> None:
        for waiting in list(islice(self._waiting, count)):
            del self._waiting[waiting]
            waiting.transport.abort()

    def _hang_up(self) -> None:
        if self._begins and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
        self.transport.close()
