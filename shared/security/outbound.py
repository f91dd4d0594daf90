"""HTTP to addresses that tenants choose, without becoming their way into our network.

The name is resolved once, every address it has is judged, and the connection goes to the address
that was judged: a name that changes its mind in between (DNS rebinding) gains nothing. There are no
redirects, no proxies from the environment, and plain http only to hosts the operator listed.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore2
import httpx2

from shared.kernel.errors import Forbidden

_NAT64 = ip_network("64:ff9b::/96")
_LIMITS = httpx2.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30)


class AddressRefused(Forbidden):
    """This address is not public; OUTBOUND_ALLOW_HOSTS may allow it."""

    code = "address_refused"


class AllowedHosts:
    """The operator's list: ``host`` for all its ports, ``host:port`` for one."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._entries = frozenset(entry.lower().rstrip(".") for entry in entries)

    def covers(self, host: str, port: int) -> bool:
        name = host.lower().rstrip(".")
        return name in self._entries or f"{name}:{port}" in self._entries


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet and not to somebody's inside."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to the very address that was checked; TLS still verifies the name."""

    def __init__(self, allowed: AllowedHosts) -> None:
        self._allowed = allowed
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await _resolve(host, port, timeout)
        if not self._allowed.covers(host, port) and not all(map(is_public, addresses)):
            raise AddressRefused(f"{host}:{port} is not a public address")
        failure: Exception | None = None
        for address in addresses[:2]:  # one of each family is enough of a try
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


async def _resolve(host: str, port: int, timeout: float | None) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore2.ConnectTimeout(f"{host} does not resolve in time") from error
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"{host} does not resolve") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _SafeTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, allowed: AllowedHosts, max_connections: int | None) -> None:
        context = ssl.create_default_context()
        super().__init__(verify=context, trust_env=False)
        self._allowed = allowed
        # httpx2 takes no network backend, so the pool it made is replaced by one that does
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=max_connections,
            max_keepalive_connections=_LIMITS.max_keepalive_connections,
            keepalive_expiry=_LIMITS.keepalive_expiry,
            network_backend=_CheckedBackend(allowed),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        if url.scheme != "https" and not self._allowed.covers(url.host, port):
            raise AddressRefused(f"{url.host}:{port} must be reached by https")
        return await super().handle_async_request(request)


def safe_transport(
    allow_hosts: Sequence[str], *, max_connections: int | None = _LIMITS.max_connections
) -> httpx2.AsyncBaseTransport:
    """A transport that reaches public https addresses, and what ``allow_hosts`` lists.

    Requests raise `AddressRefused` for everything else, and wait for one another when there are
    more than ``max_connections`` at once; ``None`` lets them all pass.
    """
    return _SafeTransport(AllowedHosts(allow_hosts), max_connections)


def open_client(
    allow_hosts: Sequence[str],
    *,
    timeout: timedelta,
    base_url: str = "",
    headers: Mapping[str, str] | None = None,
) -> httpx2.AsyncClient:
    """A client on a safe transport: no redirects, nothing from the environment.

    Raises:
        AddressRefused: ``base_url`` is none.
    """
    try:
        return httpx2.AsyncClient(
            transport=safe_transport(allow_hosts),
            base_url=base_url,
            headers=dict(headers or {}),
            timeout=timeout.total_seconds(),
            follow_redirects=False,
            trust_env=False,
        )
    except httpx2.InvalidURL as error:
        raise AddressRefused("this is no address") from error
