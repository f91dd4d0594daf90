"""The composition root of the messenger: every object is built here, in plain sight."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from time import monotonic

import httpx2

from messenger.application.rooms import Rooms
from messenger.application.send_handler import SendHandler
from messenger.domain import Pace, Windows
from messenger.infrastructure.channels import ChannelDirectory
from messenger.infrastructure.sends import SqlSends, give_up
from shared.cache.open import open_cache
from shared.cache.port import Cache
from shared.config.settings import PlatformSettings
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Route
from shared.persistence.database import Database
from shared.security.crypto import KeyRing, WeakKey
from shared.security.outbound import safe_transport

_PLACES_PER_CHANNEL = 8
"""More than a number's pace can keep busy, less than a process has."""
_DEADLINE = timedelta(minutes=2)
"""More than every wait and call of one handling together."""


@dataclass(frozen=True, slots=True)
class Messenger:
    """What the worker runs."""

    work: Work
    routes: Mapping[str, Route]


@asynccontextmanager
async def build(settings: PlatformSettings) -> AsyncIterator[Messenger]:
    """Open everything the messenger needs; close it in order.

    Raises:
        WeakKey: MASTER_KEY is missing or not a key.
    """
    async with (
        open_work(settings) as work,
        open_cache(settings.cache) as cache,
        safe_transport(settings.outbound_hosts) as transport,
    ):
        yield Messenger(work, make_routes(settings, work.database, cache, transport))


def make_routes(
    settings: PlatformSettings,
    database: Database,
    cache: Cache,
    transport: httpx2.AsyncBaseTransport,
    *,
    monotonic: Callable[[], float] = monotonic,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    random: Random | None = None,
) -> Mapping[str, Route]:
    """The handlers of ``wa_messages`` over these connections and this kind of time."""
    if settings.security.master_key is None:
        raise WeakKey("MASTER_KEY is not set")
    windows = Windows.of(
        unknown=settings.conversation.unknown_send_seconds,
        call=settings.waha.waha_timeout_seconds,
    )
    directory = ChannelDirectory(
        database=database,
        cache=cache,
        keys=KeyRing(settings.security.master_key),
        transport=transport,
        call_timeout=windows.call,
        monotonic=monotonic,
    )
    handler = SendHandler(
        sends=SqlSends(database),
        channels=directory,
        cache=cache,
        rooms=Rooms(_PLACES_PER_CHANNEL),
        pace=Pace(
            between_messages=settings.waha.send_pace_seconds,
            typing_per_character=settings.waha.typing_seconds_per_character,
            typing_at_most=settings.waha.typing_max_seconds,
        ),
        windows=windows,
        monotonic=monotonic,
        sleep=sleep,
        random=random or Random(),
    )
    return {"send": Route(handle=handler.handle, give_up=give_up, deadline=_DEADLINE)}
