"""Waiting for answers, with a phone that plays its part in memory."""

from collections.abc import Sequence
from typing import cast

import pytest

from ai_platform.chat.client import Bubble, Phone, Reply
from ai_platform.chat.conversation import Waiting, answer_lines, silence, spoken
from ai_platform.errors import CommandFailed


def _bubble(text: str, state: str = "sent") -> Bubble:
    return Bubble(id=text, text=text, state=state)


def _reply(*bubbles: Bubble, state: str = "answered", complete: bool = True) -> Reply:
    return Reply(state=state, complete=complete, bubbles=bubbles)


WAITING = _reply(state="waiting", complete=False)


class ScriptedPhone:
    """Gives the replies of a script, one a look; the last one stays."""

    def __init__(self, *script: Reply, with_a_person: bool = False) -> None:
        self.said: list[str] = []
        self._script = list(script)
        self._with_a_person = with_a_person

    async def say(self, text: str) -> str:
        self.said.append(text)
        return f"id-{len(self.said)}"

    async def reply(self, message_id: str) -> Reply:
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    async def is_with_a_person(self) -> bool:
        return self._with_a_person


async def _talk(phone: ScriptedPhone, lines: Sequence[str]) -> tuple[list[str], float]:
    """What was written, and the seconds it took by the phone's own clock."""
    clock = 0.0
    written: list[str] = []

    async def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    waiting = Waiting(monotonic=lambda: clock, sleep=sleep)
    await answer_lines(cast(Phone, phone), lines, waiting=waiting, write=written.append)
    return written, clock


async def test_all_bubbles_of_an_answer_are_written_in_order() -> None:
    half = _reply(_bubble("one"), _bubble("two", "pending"), complete=False)
    phone = ScriptedPhone(WAITING, half, _reply(_bubble("one"), _bubble("two\nthree")))
    assert (await _talk(phone, ["halo\n"]))[0] == ["one", "two\nthree"]
    assert phone.said == ["halo"]


async def test_each_line_waits_for_its_own_answer() -> None:
    phone = ScriptedPhone(_reply(_bubble("a")))
    written, _ = await _talk(phone, ["satu\n", "\n", "  \n", "dua\n"])
    assert phone.said == ["satu", "dua"]
    assert written == ["a", "a"]


async def test_bubbles_that_never_left_are_not_written() -> None:
    reply = _reply(_bubble("gone", "failed"), _bubble("here"), _bubble("late", "cancelled"))
    assert [bubble.text for bubble in spoken(reply)] == ["here"]


async def test_after_a_minute_of_silence_it_gives_up() -> None:
    with pytest.raises(CommandFailed, match="No answer came within 60 seconds; ai-platform doctor"):
        await _talk(ScriptedPhone(WAITING), ["halo"])


async def test_it_says_when_a_person_should_have_answered() -> None:
    with pytest.raises(CommandFailed, match="with a person of the shop"):
        await _talk(ScriptedPhone(WAITING, with_a_person=True), ["halo"])


async def test_an_answer_within_the_minute_is_waited_for() -> None:
    phone = ScriptedPhone(*([WAITING] * 239), _reply(_bubble("at last")))
    written, took = await _talk(phone, ["halo"])
    assert written == ["at last"]
    assert took == pytest.approx(59.75)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("handed_over", "A person takes over this conversation."),
        ("refused", "This message is not answered."),
        ("answered", "There was no answer."),
    ],
)
def test_a_turn_without_bubbles_is_explained(state: str, told: str) -> None:
    assert silence(_reply(state=state)) == told
    assert silence(_reply(_bubble("said"), state=state)) is None
