"""A desk: a shop with a channel, a scripted agent, and hands that do the worker's work step by
step, so that a test decides what happens when."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest_asyncio

from commerce_agent.application.ports.channel_server import ChannelServer, SessionState
from commerce_agent.application.services.conversation_service import ConversationService
from commerce_agent.bootstrap import Container, assemble
from commerce_agent.domain.entities.channel import Channel
from commerce_agent.domain.entities.tenant import Tenant
from commerce_agent.infrastructure.cache.announcements import CacheAnnouncements
from commerce_agent.infrastructure.persistence.unit_of_work import SqlUnitOfWork
from shared.cache.memory import MemoryCache
from shared.config.settings import ConversationSettings, PlatformSettings, SecuritySettings
from shared.kernel.errors import DomainError
from shared.kernel.ids import ChannelId, ConversationId, TenantId, new_id
from shared.messaging.platform import Work, open_work
from shared.messaging.port import Claim, ClaimLost, Postpone, Queue
from shared.security.crypto import KeyRing
from tests.support import rows
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import TestDatabase
from tests.support.scripted_agent import ScriptedAgent
from tests.support.waha_webhooks import CUSTOMER, Webhook, Webhooks


@dataclass
class FakeServer:
    """What a channel's server would say."""

    lids: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    error: DomainError | None = None

    async def state(self) -> SessionState:
        return SessionState(status="working")

    async def address_of_lid(self, lid: str) -> str | None:
        self.asked.append(lid)
        if self.error is not None:
            raise self.error
        return self.lids.get(lid)

    async def chats_since(self, since: datetime) -> list[str]:
        return []

    async def messages_since(self, chat: str, since: datetime) -> list[dict[str, Any]]:
        return []


@dataclass
class FakeServers:
    """Every channel has the same server."""

    server: FakeServer = field(default_factory=FakeServer)

    @asynccontextmanager
    async def open(self, tenant: Tenant, channel: Channel) -> AsyncIterator[ChannelServer | None]:
        yield self.server


@dataclass
class Desk:
    """One worker's view of a platform with one shop (``tenant``, ``channel``)."""

    db: TestDatabase
    work: Work
    container: Container
    agent: ScriptedAgent
    server: FakeServer
    cache: MemoryCache
    tenant: TenantId
    channel: ChannelId
    hooks: Webhooks = field(default_factory=partial(Webhooks, push_name=None))

    @property
    def people(self) -> ConversationService:
        return self.container.conversations

    async def deliver(
        self,
        *webhooks: Webhook,
        tenant: TenantId | None = None,
        channel: ChannelId | None = None,
        headers: str = "{}",
    ) -> list[UUID]:
        """Put deliveries into the inbox, as the gateway does."""
        ids: list[UUID] = []
        for webhook in webhooks:
            row = await self.db.fetchval(
                "INSERT INTO inbox_events (id, tenant_id, source, endpoint_id, body, body_sha256,"
                " headers) VALUES ($1, $2, 'waha', $3, $4, $5, $6)"
                " ON CONFLICT DO NOTHING RETURNING id",
                new_id(),
                tenant or self.tenant,
                channel or self.channel,
                webhook.body,
                hashlib.sha256(webhook.body).digest(),
                headers,
            )
            if isinstance(row, UUID):
                ids.append(row)
                await self.enqueue("inbox.waha", str(row), tenant=tenant)
        return ids

    async def enqueue(
        self,
        kind: str,
        key: str,
        *,
        tenant: TenantId | None = None,
    ) -> None:
        await self.db.execute(
            "SELECT enqueue_task($1, $2, 'crm_tasks', $3, $4, '{}', NULL, NULL, 0, NULL, 0)",
            new_id(),
            tenant or self.tenant,
            kind,
            key,
        )

    async def claim(self, kind: str) -> Claim:
        """Lease the row of this kind that is due first; others are left where they were."""
        aside: list[Claim] = []
        try:
            while claims := await self.work.queue.claim(Queue.CRM_TASKS, 1, wait=timedelta(0)):
                if claims[0].kind == kind:
                    return claims[0]
                aside += claims
        finally:
            for claim in aside:
                await self.work.queue.release(claim)
        raise AssertionError(f"no {kind} is due")

    async def do(self, claim: Claim) -> str:
        """Handle a claim and end it as the consume loop would."""
        try:
            await self.container.routes[claim.kind].handle(claim)
        except ClaimLost:
            return "lost"
        except Postpone as postponed:
            await self.work.queue.release(claim, delay=postponed.delay)
            return "postponed"
        return "done"

    async def drain(self) -> list[str]:
        """Do all that is due until nothing is; what each was and how it ended."""
        done: list[str] = []
        while claims := await self.work.queue.claim(Queue.CRM_TASKS, 5, wait=timedelta(0)):
            done += [f"{claim.kind} {await self.do(claim)}" for claim in claims]
        return done

    async def hears(self, *texts: str, chat: str = CUSTOMER) -> list[Webhook]:
        """A customer writes and it is stored; the turn is not run."""
        webhooks = [self.hooks.message(text, chat=chat) for text in texts]
        await self.deliver(*webhooks)
        for _ in webhooks:
            assert await self.do(await self.claim("inbox.waha")) == "done"
        return webhooks

    async def conversation(self, chat: str = CUSTOMER) -> Any:
        found = await self.db.fetch("SELECT * FROM conversations WHERE address = $1", chat)
        assert len(found) == 1
        return found[0]

    async def conversation_id(self, chat: str = CUSTOMER) -> ConversationId:
        return ConversationId((await self.conversation(chat))["id"])

    async def bubbles(self, *kinds: str) -> list[str]:
        """The text of what was committed to be sent and not withdrawn, in order."""
        found = await self.db.fetch(
            "SELECT body FROM sends WHERE state <> 'cancelled'"
            " AND (cardinality($1::text[]) = 0 OR kind = ANY($1)) ORDER BY conversation_id, seq",
            list(kinds),
        )
        return [row["body"] for row in found]

    async def all_sent(self) -> None:
        """What the messenger does with everything in line."""
        await self.db.execute(
            "UPDATE sends SET state = 'sent', claim_no = 1, ended_at = platform_now()"
            " WHERE state = 'pending'"
        )
        await self.db.execute("DELETE FROM queue_messages WHERE queue = 'wa_messages'")

    async def claim_send(self, send_id: object) -> str:
        """What the messenger's claim says of a bubble."""
        found = await self.db.fetch("SELECT outcome FROM claim_send($1)", send_id)
        return str(found[0]["outcome"])

    async def answered(self) -> dict[str, str | None]:
        """How each customer's message came to rest, by its text."""
        found = await self.db.fetch(
            "SELECT body, answered_how FROM messages WHERE direction = 'in' AND kind = 'message'"
        )
        return {row["body"]: row["answered_how"] for row in found}

    async def count(self, table: str, where: str = "true") -> int:
        number = await self.db.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")
        assert isinstance(number, int)
        return number

    def thinking(self, claim: Claim) -> "asyncio.Task[str]":
        """Begin to handle a claim beside the test."""
        return asyncio.create_task(self.do(claim))


def chat_settings(**changes: Any) -> ConversationSettings:
    """Bubbles are not waited for unless a test says so."""
    defaults = {"message_buffer_initial_delay": 0, "message_buffer_max_delay": 0}
    return ConversationSettings(**(defaults | changes))


@asynccontextmanager
async def open_desk(
    db: TestDatabase, *, waha: FakeWaha | None = None, **chat: Any
) -> AsyncIterator[Desk]:
    """A desk over this database; ``chat`` changes the conversation settings. With ``waha`` the
    channel's server is asked over HTTP."""
    settings = PlatformSettings(
        database=db.settings,
        security=SecuritySettings(
            master_key=rows.MASTER_KEY, outbound_allow_hosts=(waha.host,) if waha else ()
        ),
        conversation=chat_settings(**chat),
    )
    tenant = await rows.a_tenant(db)
    channel = await rows.a_channel(db, tenant, base_url=waha.url if waha else None)
    async with open_work(settings) as work:
        cache, agent, servers = MemoryCache(), ScriptedAgent(), FakeServers()
        yield Desk(
            db=db,
            work=work,
            container=worker(settings, work, cache, agent, None if waha else servers),
            agent=agent,
            server=servers.server,
            cache=cache,
            tenant=tenant,
            channel=channel,
        )


def worker(
    settings: PlatformSettings,
    work: Work,
    cache: MemoryCache,
    agent: ScriptedAgent,
    servers: FakeServers | None,
) -> Container:
    """One worker process's objects over the same database and cache."""
    conversations = ConversationService(
        partial(SqlUnitOfWork, work.database), CacheAnnouncements(cache)
    )
    keys = KeyRing(rows.MASTER_KEY)
    return assemble(settings, work, keys, cache, conversations, agent, servers)


@pytest_asyncio.fixture(loop_scope="session")
async def desk(test_database: TestDatabase) -> AsyncIterator[Desk]:
    async with open_desk(test_database) as opened:
        yield opened
