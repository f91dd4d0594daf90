"""A turn survives its worker: whoever takes it over goes on where the journal stands."""

import pytest

from commerce_agent.application.ports.shop_agent import (
    AgentOutcome,
    Draft,
    HandedOver,
    Heard,
    Spoken,
    ToolDone,
    ToolRequest,
)
from tests.support.memory_journal import MemoryJournal, WorkerDied
from tests.support.scripted_model import Answer, ScriptedModel, asks, says
from tests.unit.commerce_agent.llm.shop import AgentShop, MemoryCatalogue, a_product, a_turn, heard

SCRIPT: tuple[Answer, ...] = (
    asks(
        ("search_products", {"query": "kopi"}), ("update_customer_profile", {"name": "Sari Dewi"})
    ),
    asks(("check_stock", {"product": "p1a"}), ("nonsense", {})),
    says("Harganya Rp99.000"),
    says("Kak Sari Dewi, Kopi Susu Rp25.000, stok 12."),
)
WRITES = 8
"""Four answers, four results; the check of the third answer is the ninth."""


def _journaled(journal: MemoryJournal) -> list[object]:
    """The steps without what differs between two runs of the same turn."""
    return [
        (type(step), step.text, step.tool_calls)
        if isinstance(step, Spoken)
        else (type(step), step.result, step.facts, [handle.code for handle in step.handles])
        if isinstance(step, ToolDone)
        else step
        for step in journal.steps
        if not isinstance(step, Heard)
    ]


async def _undisturbed(catalogue: MemoryCatalogue) -> tuple[AgentOutcome, list[object]]:
    shop = AgentShop(ScriptedModel(*SCRIPT), catalogue=catalogue)
    journal = shop.journal("kopi dong, aku Sari Dewi")
    return await shop.run(journal), _journaled(journal)


@pytest.mark.parametrize("written", range(1, WRITES + 2))
async def test_a_worker_that_dies_after_any_step_loses_nothing(written: int) -> None:
    catalogue = MemoryCatalogue(a_product())
    expected = await _undisturbed(catalogue)
    shop = AgentShop(ScriptedModel(*SCRIPT), catalogue=catalogue)
    journal = shop.journal("kopi dong, aku Sari Dewi", dies_after=written)
    with pytest.raises(WorkerDied):
        await shop.run(journal)
    catalogue.searches.clear()

    spoken = sum(isinstance(step, Spoken) for step in journal.steps)
    second = AgentShop(
        ScriptedModel(*SCRIPT[spoken:]), turn=shop.turn, catalogue=catalogue, crm=shop.crm
    )
    resumed = MemoryJournal(shop.turn, journal.steps)
    assert (await second.run(resumed), _journaled(resumed)) == expected
    assert second.model.left == 0
    searched_before = any(
        isinstance(step, ToolDone) and step.request.name == "search_products"
        for step in journal.steps
    )
    assert len(catalogue.searches) == (0 if searched_before else 1)
    assert len(journal.effects) + len(resumed.effects) == 1


async def test_an_effect_that_committed_before_the_journal_knew_happens_once() -> None:
    shop = AgentShop(ScriptedModel(*SCRIPT))
    turn = shop.turn
    journal = shop.journal("aku Sari Dewi", dies_after=2)
    with pytest.raises(WorkerDied):
        await shop.run(journal)
    lost = MemoryJournal(turn, journal.steps)
    request = journal.steps[1].tool_calls[1]  # type: ignore[union-attr]
    shop.crm.effects[lost.effect(request, call=1)] = '{"updated":["name"]}'

    second = AgentShop(
        ScriptedModel(*SCRIPT[1:]), turn=turn, catalogue=shop.catalogue, crm=shop.crm
    )
    name = second.customer.name
    assert isinstance(await second.run(lost), Draft)
    assert second.customer.name == name, "the stored result was given back, the body skipped"


async def test_a_draft_that_was_spoken_is_judged_and_not_asked_for_again() -> None:
    shop = AgentShop(ScriptedModel())
    journal = shop.journal("halo")
    journal.hear(Spoken(text="Halo Kak!"))
    outcome = await shop.run(journal)
    assert isinstance(outcome, Draft)
    assert (outcome.text, outcome.fault) == ("Halo Kak!", None)
    assert shop.model.calls == []


async def test_a_message_that_came_before_the_calls_were_done_is_shown_behind_their_results() -> (
    None
):
    shop = AgentShop(ScriptedModel(says("Kopi Susu Rp25.000")))
    journal = shop.journal("kopi?")
    call = ToolRequest(id="x", name="search_products", args={"query": "kopi"})
    journal.hear(Spoken(text="", tool_calls=(call,)), heard("yang dingin ya"))

    assert isinstance(await shop.run(journal), Draft)
    kinds = [message.type for message in shop.seen()]
    assert kinds == ["system", "human", "ai", "tool", "human"]
    assert "yang dingin ya" in str(shop.seen()[-1].content)


async def test_a_hand_over_that_committed_is_not_asked_for_again() -> None:
    shop = AgentShop(ScriptedModel(), turn=a_turn())
    journal = shop.journal("orang dong")
    call = ToolRequest(id="x", name="hand_over_to_human", args={"reason": "a", "summary": "b"})
    journal.hear(
        Spoken(text="", tool_calls=(call,)), ToolDone(request=call, result='{"handed_over":true}')
    )
    assert await shop.run(journal) == HandedOver()
    assert shop.hand_overs == []


async def test_ids_that_a_model_repeats_are_told_apart() -> None:
    """Many servers call every first call ``call_1``."""
    shop = AgentShop(
        ScriptedModel(
            asks(("search_products", {"query": "kopi"})),
            asks(("search_products", {"query": "susu"})),
            says("Kopi Susu Rp25.000"),
        )
    )
    await shop.run(shop.journal("kopi?"))
    ids = [message.tool_call_id for message in shop.seen() if message.type == "tool"]  # type: ignore[attr-defined]
    assert len(shop.catalogue.searches) == 2
    assert len(set(ids)) == 2
    assert all(len(each) == 9 and each.isalnum() for each in ids)
