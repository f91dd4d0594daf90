"""What customers and staff do in a run, and exactly what must have come of it, whatever broke.

The recording, in which nothing breaks, says what a run leaves behind. Every other run must leave
the same: the same bubbles in the same order, the same events, as often. It may differ in this:

- A bubble whose claim was committed and whose call was never made is lost, in the sense that it is
  ``failed`` and staff may send it again: nobody can know that WAHA was not called. `lost_bubble`
  says at which boundaries that is so, bubble by bubble; anywhere else it is an error.
- A model may be asked once more than in the recording.
- What stood still or died between claim and outcome leaves a ``send.unknown`` in the events.
- A commerce agent begins with a look at WhatsApp's history. If it is started anew just when a
  bubble is there and its outcome not yet committed, it takes the bubble for one that was missed:
  an event more in the inbox, which ends as an echo, a ``conversation.send_progressed``.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from tests.fault.boundaries import Boundary, Mode, Operation
from tests.fault.crash_runs import PATIENCE, SERVICES, Hit, Run
from tests.support.fake_llm import CallTools, LlmRequest, Say, Step
from tests.support.job_path import submit_job
from tests.support.stack import until

ANSWER = "Siap kak, sudah dicatat."
BUBBLES = tuple(
    " ".join([line] * (500 // len(line)))  # long enough that no two of them fit into one bubble
    for line in ("Terima kasih sudah menunggu kak.", "Kopi susu kami ada.", "Silakan dipesan ya.")
)
STAFF = "Halo kak, dengan Sari di sini."
_ECHO = "conversation.send_progressed"
_DONE = range(200, 300)
_LOOKS = 5.0
"""Seconds in which what a gateway still works on appears in the thread."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One story. ``act`` returns when everything that comes from outside has happened."""

    name: str
    bubbles: tuple[str, ...] = (ANSWER,)
    act: Callable[[Run], Awaitable[None]]
    model: Callable[[LlmRequest], Step] = lambda request: Say(ANSWER)
    check: Callable[[Run], Awaitable[None]]
    """What this story promises besides its bubbles and events."""
    services: tuple[str, ...] = SERVICES
    asked_again: int = 1
    """Calls of a model that may be made a second time."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A run in which nothing broke."""

    boundaries: tuple[Boundary, ...]
    events: "Counter[str]"
    model_calls: int


class Lost(Enum):
    """Whether a bubble may be missing."""

    NO = "no"
    MAYBE = "maybe"
    YES = "yes"


async def play(scenario: Scenario, run: Run) -> None:
    """Let it happen, and wait until nobody has any work left."""
    run.llm.rule = scenario.model
    await scenario.act(run)
    await run.settled()


async def record(scenario: Scenario, run: Run) -> Recording:
    """Play it without a fault and look that everything is as the story wants it."""
    await play(scenario, run)
    recording = Recording(
        boundaries=tuple(run.boundaries()),
        events=await _events(run),
        model_calls=len(run.llm.requests),
    )
    await assert_kept(scenario, run, recording)
    return recording


async def assert_kept(scenario: Scenario, run: Run, recording: Recording) -> None:
    """Everything that the scenario promises holds after this run."""
    missing = await _assert_bubbles(scenario, run, recording)
    await _assert_events(run, recording, missing)
    await scenario.check(run)
    assert await run.value("SELECT count(*) FROM dead_letters") == 0
    assert len(run.llm.requests) <= recording.model_calls + scenario.asked_again
    await run.auditor.assert_clean()


async def _assert_bubbles(scenario: Scenario, run: Run, recording: Recording) -> int:
    """The customer has every bubble once and in order; the number of those that are lost."""
    index, lost = lost_bubble(run.hit, recording.boundaries)
    sends = await run.fetch("SELECT body, state, error_code FROM sends ORDER BY seq")
    assert [row["body"] for row in sends] == list(scenario.bubbles)
    failed = [number for number, row in enumerate(sends) if row["state"] != "sent"]
    allowed = {Lost.NO: [[]], Lost.MAYBE: [[], [index]], Lost.YES: [[index]]}[lost]
    assert failed in allowed, f"failed {failed}, allowed {allowed}"
    assert {sends[number]["error_code"] for number in failed} <= {"unknown_outcome"}
    there = [body for number, body in enumerate(scenario.bubbles) if number not in failed]
    assert run.texts() == there
    return len(failed)


async def _assert_events(run: Run, recording: Recording, missing: int) -> None:
    expected = recording.events.copy()
    if missing:
        expected.subtract({"send.sent": missing, "send.failed": -missing})
    found = await _events(run)
    unclear = found.pop("send.unknown", 0)
    assert unclear <= (1 if _may_be_unclear(run.hit) else 0)
    echoes = found.pop(_ECHO, 0) - expected.pop(_ECHO, 0)
    assert 0 <= echoes <= _looks_at_history(run.hit)
    assert +found == +expected, f"too many: {found - expected}, too few: {expected - found}"


async def _events(run: Run) -> "Counter[str]":
    rows = await run.fetch("SELECT name FROM domain_events")
    return Counter(row["name"] for row in rows)


# -- which bubble a fault may cost -----------------------------------------------------------------


def lost_bubble(hit: Hit | None, listed: Sequence[Boundary]) -> tuple[int, Lost]:
    """The bubble (from 0) that this fault struck, and whether it is lost: when the claim was
    committed, and the call had not begun."""
    if hit is None or not _during_a_send(hit):
        return 0, Lost.NO
    stage = [b for b in listed if (b.service, b.stage) == ("messenger", hit.boundary.stage)]
    asked = next(b.ordinal for b in stage if "claim_send" in b.what)
    claim = next(b.ordinal for b in stage if b.ordinal > asked and b.operation == Operation.COMMIT)
    call = next(b.ordinal for b in stage if b.what == "POST /api/sendText")
    at = hit.boundary.ordinal
    index = int(hit.boundary.stage.partition("#")[2]) - 1
    match hit.mode:
        case Mode.DIE_BEFORE if claim < at <= call:
            return index, Lost.YES
        case Mode.DIE_AFTER if claim <= at < call:
            return index, Lost.YES
        case Mode.CANCEL if at == call:
            return index, Lost.YES
        case Mode.HANG if at == call:  # when it goes on the call's time is over: nothing is sent
            return index, Lost.YES
        case Mode.CANCEL if at == claim:  # nobody knows what became of a COMMIT under way
            return index, Lost.MAYBE
    return index, Lost.NO


def _during_a_send(hit: Hit | None) -> bool:
    return hit is not None and re.match(r"send #\d", hit.boundary.stage) is not None


def _may_be_unclear(hit: Hit | None) -> bool:
    """Whether somebody may find a call under way and have to look up what became of it. A messenger
    that stood still over its claim goes on just when another takes its row over."""
    if hit is not None and hit.boundary.stage == "consume wa_messages":
        return hit.mode is Mode.HANG
    return _during_a_send(hit)


def _looks_at_history(hit: Hit | None) -> int:
    """Bubbles that a commerce agent may find there before their outcome is committed: of one
    conversation one, as often as it is started anew."""
    if hit is None or hit.boundary.service != "commerce-agent":
        return 0
    return 0 if hit.mode is Mode.CANCEL else 1


# -- the stories -----------------------------------------------------------------------------------


async def _one_message(run: Run) -> None:
    await run.whatsapp(run.message("halo"))


async def _delivered_twice(run: Run) -> None:
    """WAHA loses patience and delivers again while the first is being stored, and once more."""
    message = run.message("halo")
    await asyncio.gather(run.whatsapp(message), run.whatsapp(message))
    await run.whatsapp(message)


async def _staff_takes_over(run: Run) -> None:
    """While the model thinks, a person takes the conversation; then the model speaks, too late;
    then the person answers."""
    run.llm.may_answer.clear()
    await run.whatsapp(run.message("halo"))
    await until(lambda: run.llm.requests)
    [conversation] = await run.fetch("SELECT id FROM conversations")
    path = f"/conversations/{conversation['id']}"

    async def taken_over() -> bool:
        return await run.staff(f"{path}/take-over") in _DONE

    await until(taken_over)
    run.llm.may_answer.set()
    async with asyncio.timeout(PATIENCE):
        await _staff_sends(run, f"{path}/messages")


async def _staff_sends(run: Run, path: str) -> None:
    """Repeat it with the same key while nobody answers. Whoever hears that it still runs looks at
    the thread, and sends anew only when nothing appears there: it died with its gateway."""

    async def shown() -> Any:
        return await run.value("SELECT count(*) FROM sends WHERE body = $1", STAFF)

    key = uuid4().hex
    while (status := await run.staff(path, {"text": STAFF}, key=key)) not in _DONE:
        if status == HTTPStatus.CONFLICT:
            with suppress(TimeoutError):
                await until(shown, seconds=_LOOKS)
                return
            key = uuid4().hex
        await asyncio.sleep(0.1)


def _saves_the_name(request: LlmRequest) -> Step:
    if request.body["messages"][-1]["role"] != "tool":
        return CallTools(("update_customer_profile", {"name": "Ani"}))
    return Say(ANSWER)


async def _answered_by_the_ai(run: Run) -> None:
    [turn] = await run.fetch("SELECT state, outcome FROM turns")
    assert dict(turn) == {"state": "ended", "outcome": "replied"}
    [message] = await run.fetch("SELECT answered_how FROM messages WHERE direction = 'in'")
    assert message["answered_how"] == "ai"
    [conversation] = await run.fetch("SELECT owner, first_unanswered_at FROM conversations")
    assert dict(conversation) == {"owner": "ai", "first_unanswered_at": None}
    stored, *echoes = await run.fetch("SELECT state FROM inbox_events ORDER BY sequence")
    assert stored["state"] == "stored"
    assert len(echoes) <= _looks_at_history(run.hit)


async def _saved_once(run: Run) -> None:
    await _answered_by_the_ai(run)
    [step] = await run.fetch("SELECT name FROM turn_steps WHERE kind = 'tool'")
    assert step["name"] == "update_customer_profile"
    [customer] = await run.fetch("SELECT name FROM customers")
    assert customer["name"] == "Ani"


async def _answered_by_staff(run: Run) -> None:
    [turn] = await run.fetch("SELECT state FROM turns")
    assert turn["state"] == "ended"
    [message] = await run.fetch("SELECT answered_how FROM messages WHERE direction = 'in'")
    assert message["answered_how"] == "person"
    [conversation] = await run.fetch("SELECT owner FROM conversations")
    assert conversation["owner"] == "person"


async def _one_job(run: Run) -> None:
    await _submits(run)


async def _one_job_of_several_agents(run: Run) -> None:
    await _submits(run, pipeline="multi", needs_moderation=True)


async def _submits(run: Run, **columns: Any) -> None:
    [model] = await run.fetch("SELECT name FROM llm_configs WHERE name LIKE 'fake-%'")
    await submit_job(run.database, run.shop.id, config_name=model["name"], **columns)


def _moderates(request: LlmRequest) -> Step:
    if "You judge whether a request" in str(request.body):
        return Say('{"verdict": "allowed", "categories": [], "reason": ""}')
    return Say(ANSWER)


async def _done_once(run: Run) -> None:
    """One result, by the last run; whatever an earlier one did is told as far as it is known."""
    [job] = await run.fetch("SELECT id, status, result, agent_type, run, retry_count FROM jobs")
    assert (job["status"], job["result"]) == ("COMPLETED", ANSWER)
    assert (job["agent_type"], job["retry_count"]) == ("main", 0)
    attempts = await run.fetch("SELECT run, agent, outcome FROM job_attempts ORDER BY number")
    last = [(row["agent"], row["outcome"]) for row in attempts if row["run"] == job["run"]]
    assert last[-1] == ("main", "ok")
    assert {outcome for _, outcome in last} == {"ok"}
    earlier = [row["outcome"] for row in attempts if row["run"] < job["run"]]
    assert job["run"] <= (1 if run.hit is None else 2)
    assert set(earlier) <= {"interrupted", "cancelled", "ok"}
    assert len([outcome for outcome in earlier if outcome == "interrupted"]) <= 1


SCENARIOS = (
    Scenario(name="one message", act=_one_message, check=_answered_by_the_ai),
    Scenario(
        name="three bubbles",
        bubbles=BUBBLES,
        act=_one_message,
        model=lambda request: Say("\n\n".join(BUBBLES)),
        check=_answered_by_the_ai,
    ),
    Scenario(name="tool effect", act=_one_message, model=_saves_the_name, check=_saved_once),
    Scenario(
        name="staff takeover",
        bubbles=(STAFF,),
        act=_staff_takes_over,
        check=_answered_by_staff,
    ),
    Scenario(name="delivered twice", act=_delivered_twice, check=_answered_by_the_ai),
    Scenario(name="one job", bubbles=(), act=_one_job, check=_done_once, services=("llm-worker",)),
    Scenario(
        name="job of several agents",
        bubbles=(),
        act=_one_job_of_several_agents,
        model=_moderates,
        check=_done_once,
        services=("llm-worker",),
        asked_again=2,
    ),
)
