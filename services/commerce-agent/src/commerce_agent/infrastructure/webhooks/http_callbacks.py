"""Callbacks over HTTP: to public addresses, without redirects, and not for long."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2

from commerce_agent.application.ports.callbacks import Answered
from shared.kernel.clock import Clock, utc_now
from shared.security.outbound import AddressRefused, open_client

TIMEOUT: Final = timedelta(seconds=15)
"""For the whole attempt, however slowly the receiver speaks."""
_GONE: Final = 410


class HttpCallbackSender:
    """Keeps the promise of `CallbackSender`. ``allow_hosts`` is OUTBOUND_ALLOW_HOSTS."""

    def __init__(
        self,
        allow_hosts: Sequence[str],
        *,
        timeout: timedelta = TIMEOUT,
        now: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allow_hosts = allow_hosts
        self._timeout = timeout
        self._now = now
        self._monotonic = monotonic

    @cached_property
    def _client(self) -> httpx2.AsyncClient:
        client = open_client(self._allow_hosts, timeout=self._timeout)
        # receivers of different tenants may share a host: nobody's cookie goes to another
        client.cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        return client

    async def aclose(self) -> None:
        if "_client" in self.__dict__:
            await self._client.aclose()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        began = self._monotonic()
        outcome = await self._outcome(url, headers, body)
        return replace(outcome, milliseconds=round((self._monotonic() - began) * 1000))

    async def _outcome(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        seconds = self._timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                status, told = await self._post(url, headers, body)
        except (AddressRefused, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            return Answered(error="The address is not public, or not https", final=True)
        except (TimeoutError, httpx2.TimeoutException):
            return Answered(error=f"No answer came within {seconds:g} seconds")
        except httpx2.HTTPError as error:
            return Answered(error=f"The address cannot be reached ({type(error).__name__})")
        if 200 <= status < 300:
            return Answered(status=status)
        if status == _GONE:
            return Answered(status=status, error="The receiver wants no more (410)", final=True)
        wait = retry_after(told, now=self._now())
        return Answered(status=status, error=f"The receiver answered {status}", retry_after=wait)

    async def _post(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str | None]:
        """Status and Retry-After; what else the receiver says is not read."""
        async with self._client.stream("POST", url, headers=dict(headers), content=body) as answer:
            return answer.status_code, answer.headers.get("retry-after")


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """Seconds or a date; what is neither, or has passed, asks for nothing."""
    if value is None:
        return None
    if value.strip().isdecimal() and value.isascii():
        return timedelta(seconds=min(int(value), 10**8))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return wait if wait > timedelta(0) else None
