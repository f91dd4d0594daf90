"""Bounds that uvicorn leaves open: how much may come that is no body, and how slowly a request may
begin. Without them one connection could fill the memory with a single header that never ends."""

import asyncio
from datetime import timedelta
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OTHER_BYTES = 65_536
"""Of one request: its first line, headers, the frames of its chunks, trailers."""
_PATIENCE = timedelta(seconds=20)
"""For the first line and the headers."""
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class BoundedHttp(HttpToolsProtocol):
    """Hangs up on those who send headers without end, or begin and never finish."""

    patience = _PATIENCE

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._other = 0
        self._begins = True
        """The headers of the present request are not complete."""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
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
        super().on_headers_complete()

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

    def _hang_up(self) -> None:
        if self._begins and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
        self.transport.close()
