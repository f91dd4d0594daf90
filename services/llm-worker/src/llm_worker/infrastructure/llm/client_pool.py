"""SDK clients, kept while they are used.

Building one costs 26 ms (a TLS context), and its connections belong to the event loop that opened
them, so they are kept per running loop.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import httpx2

C = TypeVar("C")

Transport = Callable[[], httpx2.AsyncBaseTransport]
"""Makes the transport of one client; it decides which addresses may be reached."""


@dataclass(slots=True)
class _LoopClients(Generic[C]):
    open: OrderedDict[tuple[str, str, bytes], tuple[C, httpx2.AsyncClient]] = field(
        default_factory=OrderedDict
    )
    retiring: dict[asyncio.Task[None], httpx2.AsyncClient] = field(default_factory=dict)


class ClientPool:
    """At most ``capacity`` clients per loop; the one unused for longest makes room.

    A client that made room is closed only after ``grace``, longer than any call, because a call
    may still be running on it.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        capacity: int = 128,
        grace: timedelta = timedelta(minutes=15),
    ) -> None:
        self._transport = transport
        self._capacity = capacity
        self._grace = grace
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClients[Any]] = (
            WeakKeyDictionary()
        )

    def get(self, provider: str, base_url: str, key: str, build: Callable[..., C]) -> C:
        """The client of this (provider, address, key), built by ``build`` when there is none.

        ``build`` is called with ``base_url``, ``api_key`` and ``http``. Needs a running loop.
        """
        clients = self._loops.setdefault(asyncio.get_running_loop(), _LoopClients())
        # a digest, so that no key stands in a long-lived dictionary in plain text
        identity = (provider, base_url, sha256(key.encode()).digest())
        found = clients.open.get(identity)
        if found is None:
            http = httpx2.AsyncClient(
                transport=self._transport(),
                follow_redirects=False,  # a key must not travel to where an answer points
                trust_env=False,
                timeout=None,
            )
            found = (build(base_url=base_url, api_key=key, http=http), http)
            clients.open[identity] = found
            if len(clients.open) > self._capacity:
                _, (_, old) = clients.open.popitem(last=False)
                task = asyncio.create_task(self._retire(old))
                clients.retiring[task] = old
                task.add_done_callback(lambda done: clients.retiring.pop(done, None))
        clients.open.move_to_end(identity)
        client: C = found[0]
        return client

    async def aclose(self) -> None:
        """Close what the running loop opened; calls still running on it fail."""
        clients = self._loops.pop(asyncio.get_running_loop(), None)
        if clients is None:
            return
        retiring = dict(clients.retiring)
        for task in retiring:
            task.cancel()
        await asyncio.gather(*retiring, return_exceptions=True)
        for http in (*retiring.values(), *(http for _, http in clients.open.values())):
            await http.aclose()

    async def _retire(self, http: httpx2.AsyncClient) -> None:
        await asyncio.sleep(self._grace.total_seconds())
        await http.aclose()
