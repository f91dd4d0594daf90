"""Signed webhooks of one size, each a message of its own."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.load import request_bytes
from tests.support.waha_webhooks import Webhooks, sign

BODY_BYTES = 1500
_ID = "3EB0" + "F" * 16
_CUSTOMER = "620000000000@c.us"


@dataclass(slots=True, kw_only=True)
class SignedWebhooks:
    """An endless source of requests, each a message of its own from one of ``customers`` in turn;
    the bodies are 1,500 bytes long, bar a few."""

    path: str
    secret: str
    session: str = "bench"
    customers: int = 300
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _template: str = field(init=False)

    def __post_init__(self) -> None:
        hooks = Webhooks(session=self.session, secret=self.secret)

        def body(letters: int) -> str:
            text = ("Halo kak, kopi susu yang 250 gram masih ada? " * 40)[:letters]
            return hooks.message(text, chat=_CUSTOMER, native_id=_ID).body.decode()

        # what is said may stand in the body more than once
        each = len(body(2)) - len(body(1))
        self._template = body((BODY_BYTES - len(body(0))) // each)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        number = next(self._numbers)
        customer = f"62{number % self.customers:010d}@c.us"
        body = self._template.replace(_ID, f"3EB0{number:016X}").replace(_CUSTOMER, customer)
        raw = body.encode()
        headers = [
            ("User-Agent", "WAHA/2026.7.1"),
            ("X-Webhook-Request-Id", f"{number:032x}"),
            ("X-Webhook-Timestamp", f"{1_790_000_000_000 + number}"),
            ("X-Webhook-Hmac", sign(raw, self.secret)),
            ("X-Webhook-Hmac-Algorithm", "sha512"),
        ]
        return request_bytes(self.path, raw, headers)

    def write(self, path: Path, count: int) -> int:
        """Put the next ``count`` requests into a file; returns the size of each."""
        with path.open("wb") as file:
            for request in itertools.islice(self, count):
                file.write(request)
        return len(request)
