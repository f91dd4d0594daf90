"""The numbers of journal steps: they are part of the effects' keys."""

from commerce_agent.application.ports.shop_agent import Discarded, Spoken, ToolDone, ToolRequest
from commerce_agent.application.ports.turn_store import Entry
from commerce_agent.application.services.turn_journal import step_after

REQUEST = ToolRequest(id="1", name="check_stock", args={})
ASKED = Spoken(text="", tool_calls=(REQUEST,))
DONE = ToolDone(request=REQUEST, result="{}")


def test_an_empty_journal_begins_at_nought() -> None:
    assert step_after([]) == 0


def test_the_step_after_an_answer_with_tool_calls_is_kept_for_their_results() -> None:
    asked = Entry(step=3, call=0, body=ASKED)
    assert step_after([asked]) == 5
    assert step_after([asked, Entry(step=4, call=1, body=DONE)]) == 5
    assert step_after([Entry(step=5, call=0, body=Discarded(draft="")), asked]) == 6


def test_a_plain_answer_takes_one_step() -> None:
    assert step_after([Entry(step=0, call=0, body=Spoken(text="Halo"))]) == 1
