"""What the fakes have seen, compared with what the database says of it."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from ai_platform.audit.rules import Violation
from shared.waha.addresses import is_chat, normalise
from tests.support.fake_llm import LlmRequest
from tests.support.fake_waha import FakeWaha, WahaCall

_SEND = re.compile(r"^/api/send(?!Seen$)[A-Z]\w*$")
_TO_A_CHAT = re.compile(r"^/api/(send\w+|startTyping|stopTyping)$")
_BUBBLES = """
    SELECT s.*, c.address, h.session,
           EXISTS (SELECT FROM domain_events d WHERE d.tenant_id = s.tenant_id
                   AND d.name = 'conversation.merged'
                   AND d.body->>'conversation_id' = s.conversation_id::text) AS merged
    FROM sends s
    JOIN channels h ON h.tenant_id = s.tenant_id AND h.id = s.channel_id
    JOIN conversations c ON c.tenant_id = s.tenant_id AND c.id = s.conversation_id
    WHERE s.tenant_id = ANY($1) AND h.base_url ~ $2
    ORDER BY s.conversation_id, s.seq
    """


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A send call of which nobody can say that it certainly did not arrive."""

    call: WahaCall
    bubble: asyncpg.Record


@dataclass(kw_only=True)
class WahaLedger:
    """One fake WAHA beside the bubbles of the channels it serves."""

    waha: FakeWaha
    tenants: Mapping[str, UUID]
    """By the session's name."""
    bubbles: Sequence[asyncpg.Record]
    real_time: bool
    """Whether the database's clock is the machine's, so that moments can be compared."""
    _found: list[Violation] = field(default_factory=list)

    @classmethod
    async def read(
        cls, connection: asyncpg.Connection, waha: FakeWaha, tenants: Collection[UUID]
    ) -> "WahaLedger":
        """Of these tenants."""
        channels = await connection.fetch(
            "SELECT tenant_id, session FROM channels WHERE tenant_id = ANY($1) AND base_url ~ $2",
            list(tenants),
            waha.address_pattern,
        )
        return cls(
            waha=waha,
            tenants={row["session"]: row["tenant_id"] for row in channels},
            bubbles=await connection.fetch(_BUBBLES, list(tenants), waha.address_pattern),
            real_time=await connection.fetchval(
                "SELECT abs(extract(epoch FROM platform_now() - clock_timestamp())) < 0.005"
            ),
        )

    def violations(self) -> list[Violation]:
        calls = [call for call in self.waha.calls if call.json.get("session") in self.tenants]
        self._to_persons(calls)
        sends = [call for call in calls if self._may_have_left(call)]
        named = self._named(sends)
        self._once(named)
        self._in_order(named)
        self._under_a_claim(named)
        self._nothing_invented(named)
        return self._found

    def _may_have_left(self, call: WahaCall) -> bool:
        """A refusal certainly did not leave; an error, a hang or a cut may have."""
        if call.method != "POST" or not _SEND.match(call.path):
            return False
        answer = self.waha.answers.get(call.index)
        return answer is None or answer.status < 300 or answer.status in {*range(500, 600)} - {501}

    def _to_persons(self, calls: Sequence[WahaCall]) -> None:
        for call in calls:
            if call.chat is None or not _TO_A_CHAT.match(call.path):
                continue
            address = normalise(call.chat)
            own = normalise(self.waha.sessions[call.json["session"]].me)
            if address is None or not is_chat(address) or address == own:
                self._tell("waha-to-no-person", call, (), "a call to a chat that is no person's")

    def _named(self, calls: Sequence[WahaCall]) -> list[_Call]:
        """Which bubble each call was made for: by its reserved id, else by the id WhatsApp gave
        it, else by its text, the earliest bubble first that may have one more call."""
        by_id = {
            (row["session"], native): row
            for row in self.bubbles
            for native in (row["reserved_id"], row["native_id"], row["echoed_id"])
            if native
        }
        given = {sent.index: sent.native_id for chat in self.waha.sent.values() for sent in chat}
        named: list[_Call] = []
        used: defaultdict[UUID, int] = defaultdict(int)
        for call in calls:
            session = call.json["session"]
            row = by_id.get((session, str(call.json.get("id")))) or by_id.get(
                (session, given.get(call.index, ""))
            )
            row = row or next(iter(self._alike(call, used)), None)
            if row is None:
                self._tell("waha-call-unknown", call, (), "no bubble says this to this chat")
                continue
            used[row["id"]] += 1
            named.append(_Call(call=call, bubble=row))
        return named

    def _alike(self, call: WahaCall, used: Mapping[UUID, int]) -> Iterator[asyncpg.Record]:
        said = call.json.get("text") or call.json.get("caption") or ""
        alike = [
            row
            for row in self.bubbles
            if row["session"] == call.json["session"]
            and row["body"] == said
            and (row["address"] == call.chat or row["merged"])
        ]
        yield from (row for row in alike if used[row["id"]] < _most_calls(row))
        yield from alike  # one call too many, which `_once` tells

    def _once(self, calls: Sequence[_Call]) -> None:
        counts: defaultdict[UUID, list[_Call]] = defaultdict(list)
        for each in calls:
            counts[each.bubble["id"]].append(each)
        for made in counts.values():
            bubble, last = made[0].bubble, made[-1]
            if len(made) > _most_calls(bubble):
                detail = f"{len(made)} calls that may have left, for a {bubble['kind']} bubble"
                self._tell("send-called-twice", last.call, (bubble,), detail)

    def _in_order(self, calls: Sequence[_Call]) -> None:
        """In the order of the commits, one at a time, the next after the end of the one before."""
        before: dict[UUID, _Call] = {}
        for now in calls:
            bubble = now.bubble
            if bubble["merged"]:
                continue
            last = before.get(bubble["conversation_id"])
            before[bubble["conversation_id"]] = now
            if last is None or last.bubble["id"] == bubble["id"]:
                continue
            pair = (last.bubble, bubble)
            if bubble["seq"] < last.bubble["seq"]:
                detail = f"place {bubble['seq']} was called after place {last.bubble['seq']}"
                self._tell("send-called-out-of-order", now.call, pair, detail)
                continue
            answer = self.waha.answers.get(last.call.index)
            if answer is not None and answer.at > now.call.at:
                self._tell("send-called-early", now.call, pair, "two calls at once in one chat")
            elif self.real_time and not _had_ended(last.bubble, now.call):
                detail = "called before the bubble before it had ended"
                self._tell("send-called-early", now.call, pair, detail)

    def _under_a_claim(self, calls: Sequence[_Call]) -> None:
        for each in calls:
            bubble = each.bubble
            first = bubble["claim_no"] == 1 and bubble["claimed_at"]
            if bubble["claim_no"] == 0:
                self._tell("send-called-unclaimed", each.call, (bubble,), "called without a claim")
            elif first and self.real_time and each.call.wall < bubble["claimed_at"].timestamp():
                self._tell("send-called-unclaimed", each.call, (bubble,), "called before its claim")

    def _nothing_invented(self, calls: Sequence[_Call]) -> None:
        called = {each.bubble["id"] for each in calls}
        for bubble in self.bubbles:
            if bubble["state"] == "sent" and bubble["id"] not in called:
                self._tell("send-sent-by-nobody", None, (bubble,), "sent, and WAHA was not asked")

    def _tell(
        self, rule: str, call: WahaCall | None, bubbles: Sequence[asyncpg.Record], detail: str
    ) -> None:
        tenant = self.tenants[call.json["session"]] if call else bubbles[0]["tenant_id"]
        ids = [f"send:{bubble['id']}" for bubble in bubbles]
        if call is not None:
            ids.append(f"waha-call:{call.index}")
        self._found.append(Violation(rule=rule, tenant_id=tenant, ids=tuple(ids), detail=detail))


def _most_calls(bubble: Mapping[str, Any]) -> int:
    return 2 if bubble["kind"] == "notice" and bubble["resent"] else 1


def _had_ended(bubble: Mapping[str, Any], call: WahaCall) -> bool:
    return bubble["ended_at"] is not None and bubble["ended_at"].timestamp() <= call.wall


def prompt_text(request: LlmRequest) -> str:
    """Everything that a prompt holds, as it was meant."""
    return json.dumps(request.body, ensure_ascii=False)
