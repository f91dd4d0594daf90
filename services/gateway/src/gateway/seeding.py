"""What the settings seed, beside the requests: nothing waits for it, and it never stops a start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
from sqlalchemy.exc import DBAPIError

from commerce_agent.domain.entities.channel import ChannelNameTaken
from commerce_agent.domain.entities.tenant import TenantNotFound
from gateway.application.services.default_channel import DefaultChannel
from shared.kernel.errors import Conflict, DomainError, Unavailable

log = structlog.get_logger()

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=1)


@asynccontextmanager
async def seeding(channel: DefaultChannel | None) -> AsyncIterator[None]:
    """Seed while the block runs; ``None``: the settings name nothing."""
    if channel is None:
        yield
        return
    task = asyncio.create_task(_seed(channel), name="gateway-seeding")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _seed(channel: DefaultChannel) -> None:
    """Try until it is done, or cannot be: a tenant may be made after us, a database come back."""
    pause, last = _FIRST_PAUSE, ""
    while waits_for := await _obstacle(channel):
        if waits_for != last:
            log.warning("default_channel_waits", tenant=channel.tenant, waits_for=waits_for)
        await asyncio.sleep(pause.total_seconds())
        pause, last = min(pause * 2, _LONGEST_PAUSE), waits_for


async def _obstacle(channel: DefaultChannel) -> str | None:
    """Try once; what is worth waiting for, if anything."""
    try:
        await channel.ensure()
    except TenantNotFound:
        return "DEFAULT_TENANT names no tenant; the channel is made as soon as it does"
    except ChannelNameTaken:
        log.error(
            "default_channel_refused",
            tenant=channel.tenant,
            reason="a channel on another server has its name: change its base_url, or rename it",
        )
    except (Conflict, Unavailable, DBAPIError) as error:
        return type(error).__name__
    except DomainError as error:
        log.error("default_channel_refused", tenant=channel.tenant, reason=error.detail)
    return None
