"""Looks at what a run has left: the database, the ledgers of the fakes, the logs.

    auditor = Auditor(database, wahas=[waha], llms=[llm], logs=lambda: stack.logs)
    auditor.accepted(shop.id, webhook.body)      # answered 2xx
    auditor.canary(shop.id, "kenari")            # must never show up at another tenant's
    await auditor.assert_clean()                 # waits until all is done, then looks

Each call looks only at the tenants whose rows or calls have changed since the last one. The rules
over the database are the product's own (`ai_platform.audit`); here stand those that need to know
what went in and what came out.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

import asyncpg

from ai_platform.audit.audit import audit_database
from ai_platform.audit.rules import Bounds, Violation
from tests.support.audit_ledgers import WahaLedger, prompt_text
from tests.support.audit_texts import LogBook, Tables
from tests.support.fake_llm import FakeLlm
from tests.support.fake_waha import FakeWaha
from tests.support.postgres import TestDatabase

_WITH_OPEN_WORK = """
    SELECT tenant_id FROM queue_messages
    UNION SELECT tenant_id FROM inbox_events WHERE state = 'received'
    UNION SELECT tenant_id FROM sends WHERE state IN ('pending', 'sending', 'unknown')
    """
_LOST = """
    SELECT DISTINCT g.tenant_id, g.body_sha256
    FROM unnest($1::uuid[], $2::bytea[]) AS g(tenant_id, body_sha256)
    WHERE NOT EXISTS (SELECT FROM inbox_events i WHERE i.tenant_id = g.tenant_id
                      AND i.body_sha256 = g.body_sha256)
    """


class Auditor:
    """The instrument that every end-to-end, fault and load run ends with."""

    def __init__(
        self,
        database: TestDatabase,
        *,
        wahas: Sequence[FakeWaha] = (),
        llms: Sequence[FakeLlm] = (),
        logs: Callable[[], str] | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self._database = database
        self._wahas: list[FakeWaha] = []
        self._llms: list[FakeLlm] = []
        self._logs = logs
        self._accepted: set[tuple[UUID, bytes]] = set()
        self._canaries: dict[UUID, set[str]] = defaultdict(set)
        self._secrets: set[str] = set()
        self._has_new_strings = False
        self._tables: Tables | None = None
        self._prints: dict[UUID, str] = {}
        self._seen: dict[object, int] = defaultdict(int)
        """How much of each ledger was looked at before."""
        self._log_book = LogBook()
        for waha in wahas:
            self.watch(waha=waha)
        for llm in llms:
            self.watch(llm=llm)

    def watch(self, *, waha: FakeWaha | None = None, llm: FakeLlm | None = None) -> None:
        """Look at this server's ledger too."""
        if waha is not None and waha not in self._wahas:
            self._wahas.append(waha)
            self.secret(waha.api_key)
        if llm is not None and llm not in self._llms:
            self._llms.append(llm)

    def accepted(self, tenant_id: UUID, body: bytes) -> None:
        """A webhook was answered 2xx."""
        self._accepted.add((tenant_id, sha256(body).digest()))

    def canary(self, tenant_id: UUID, *values: str) -> None:
        """Strings that must never show up at another tenant's. A prompt belongs to nobody by
        itself: give each tenant a canary that its own prompts hold, such as its name."""
        self._canaries[tenant_id].update(values)
        self._has_new_strings = True

    def secret(self, *values: str) -> None:
        """Strings that must never be logged, or be in a prompt."""
        self._secrets.update(values)
        self._has_new_strings = True

    async def fault_ended(self) -> None:
        """Time before now counts against no bound."""
        now = await self._database.fetchval("SELECT platform_now()")
        self.bounds = replace(self.bounds, faults_until=now)

    async def is_at_rest(self) -> bool:
        """Whether nobody has any work left."""
        return not await self._database.fetch(_WITH_OPEN_WORK)

    async def assert_clean(self, *, settled: bool = True) -> None:
        """Nothing is broken. With ``settled`` what is under way first gets its time to end, and
        nothing may be left open then."""
        if settled:
            await self._come_to_rest()
        found = await self.violations(settled=settled)
        assert not found, f"{len(found)} violations:\n" + "\n".join(map(str, found))

    async def _come_to_rest(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.bounds.late.total_seconds()
        async with self._database.admin() as connection:
            while loop.time() < end and await connection.fetch(_WITH_OPEN_WORK):
                await asyncio.sleep(0.05)

    async def violations(self, *, settled: bool = True) -> list[Violation]:
        """What breaks a promise, of the tenants touched since the last call."""
        async with self._database.admin() as connection:
            touched = await self._touched(connection)
            found = await self._lost(connection)
            found += await audit_database(
                connection, tenants=touched, settled=settled, bounds=self.bounds
            )
            everybody = set(self._prints) | touched
            found += await self._strangers(
                connection, everybody if self._has_new_strings else touched
            )
            for waha in self._wahas:
                ledger = await WahaLedger.read(connection, waha, touched)
                found += ledger.violations()
                found += self._in_replies(waha, ledger)
            await self._log_book.learn(connection, touched)
        found += self._in_prompts()
        if self._logs is not None:
            found += self._log_book.look(self._logs(), self._secrets, self._canaries)
        self._has_new_strings = False
        return found

    async def _touched(self, connection: asyncpg.Connection) -> set[UUID]:
        """Tenants with other rows than last time, with open work, or with new calls at WAHA."""
        self._tables = self._tables or await Tables.read(connection)
        rows = await connection.fetch(self._tables.fingerprints)
        prints = {row["tenant_id"]: row["print"] for row in rows}
        touched = {tenant for tenant in prints if prints[tenant] != self._prints.get(tenant)}
        self._prints = prints
        touched |= {row["tenant_id"] for row in await connection.fetch(_WITH_OPEN_WORK)}
        for waha in self._wahas:
            fresh = waha.calls[self._seen[waha] :]
            self._seen[waha] = len(waha.calls)
            sessions = {str(call.json.get("session")) for call in fresh}
            touched |= set((await self._sessions(connection, waha, sessions)).values())
        return touched

    @staticmethod
    async def _sessions(
        connection: asyncpg.Connection, waha: FakeWaha, sessions: Collection[str]
    ) -> dict[str, UUID]:
        rows = await connection.fetch(
            "SELECT session, tenant_id FROM channels WHERE session = ANY($1) AND base_url ~ $2",
            list(sessions),
            waha.address_pattern,
        )
        return {row["session"]: row["tenant_id"] for row in rows}

    async def _lost(self, connection: asyncpg.Connection) -> list[Violation]:
        """Webhooks that were answered 2xx and are not in the inbox."""
        for waha in self._wahas:
            echoed = [hook for hook, status in waha.echoes if 200 <= status < 300]
            named = {hook.json["session"] for hook in echoed}
            sessions = await self._sessions(connection, waha, named)
            for hook in echoed:
                if tenant := sessions.get(hook.json["session"]):
                    self.accepted(tenant, hook.body)
        pairs = list(self._accepted)
        self._accepted.clear()
        rows = await connection.fetch(
            _LOST, [tenant for tenant, _ in pairs], [digest for _, digest in pairs]
        )
        return [
            Violation(
                rule="webhook-lost",
                tenant_id=row["tenant_id"],
                ids=(f"sha256:{row['body_sha256'].hex()}",),
                detail="answered 2xx and not in the inbox",
            )
            for row in rows
        ]

    async def _strangers(
        self, connection: asyncpg.Connection, tenants: Collection[UUID]
    ) -> list[Violation]:
        assert self._tables is not None
        return await self._tables.strangers(connection, self._canaries, tenants)

    def _in_replies(self, waha: FakeWaha, ledger: WahaLedger) -> Iterator[Violation]:
        for call in waha.calls:
            tenant = ledger.tenants.get(str(call.json.get("session")))
            if tenant is None:
                continue
            for owner in self._owners(str(call.json.get("text") or call.json.get("caption") or "")):
                if owner != tenant:
                    yield Violation(
                        rule="canary-in-reply",
                        tenant_id=tenant,
                        ids=(f"waha-call:{call.index}",),
                        detail=f"says what is tenant {owner}'s",
                    )

    def _in_prompts(self) -> Iterator[Violation]:
        for llm in self._llms:
            begin = 0 if self._has_new_strings else self._seen[llm]
            self._seen[llm] = len(llm.requests)
            for index, request in enumerate(llm.requests[begin:], begin):
                text = prompt_text(request)
                owners = self._owners(text)
                if len(owners) > 1:
                    yield Violation(
                        rule="canary-in-prompt",
                        tenant_id=owners[0],
                        ids=(f"llm-request:{index}",),
                        detail=f"holds what is tenant {owners[1]}'s",
                    )
                if any(secret in text for secret in self._secrets):
                    yield Violation(
                        rule="secret-in-prompt",
                        tenant_id=owners[0] if owners else None,
                        ids=(f"llm-request:{index}",),
                        detail="holds a secret",
                    )

    def _owners(self, text: str) -> list[UUID]:
        """Whose canaries a text holds."""
        return [
            tenant
            for tenant, values in self._canaries.items()
            if any(value in text for value in values)
        ]
