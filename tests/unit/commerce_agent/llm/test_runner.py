"""The agent's loop: what it asks, what it refuses, where it stops."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from langchain_core.messages import BaseMessage, ToolMessage

from commerce_agent.application.agent_tools.context import AgentContext, ToolOutcome
from commerce_agent.application.ports.shop_agent import (
    AgentUnavailable,
    Checked,
    Discarded,
    Draft,
    Fact,
    FactKind,
    Fenced,
    HandedOver,
    Said,
    Spoken,
    ToolDone,
)
from commerce_agent.domain.services.safe_templates import Fault, safe_answer
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.infrastructure.llm.crm_langgraph_runner import MAX_MODEL_CALLS, MAX_TOOL_CALLS
from commerce_agent.infrastructure.llm.prompts import PROMPT_VERSION
from llm_worker.infrastructure.llm.errors import (
    ContextTooLong,
    ModelKeyInvalid,
    ModelRefused,
    ModelUnavailable,
)
from shared.kernel.errors import Unavailable
from tests.support.scripted_model import Answer, ScriptedModel, asks, says
from tests.unit.commerce_agent.llm.shop import (
    AgentShop,
    MemoryCatalogue,
    a_product,
    a_turn,
    a_variant,
    heard,
)

SEARCH = ("search_products", {"query": "kopi"})


def template(fault: Fault, language: str = "id") -> Draft:
    return Draft(text=safe_answer(fault, language), fault=fault, prompt_version=PROMPT_VERSION)


async def test_an_answer_without_tools_is_the_draft() -> None:
    shop = AgentShop(ScriptedModel(says("Halo Kak! 👋", tokens=(120, 7))))
    journal = shop.journal("halo")

    outcome = await shop.run(journal)

    assert outcome == Draft(text="Halo Kak! 👋", prompt_version=PROMPT_VERSION)
    spoken = journal.steps[-1]
    assert isinstance(spoken, Spoken)
    assert (spoken.model, spoken.tokens_in, spoken.tokens_out) == ("scripted-1", 120, 7)


async def test_a_price_from_a_tool_may_be_said() -> None:
    shop = AgentShop(ScriptedModel(asks(SEARCH), says("Kopi Susu Rp25.000, stok 12 ya Kak.")))
    journal = shop.journal("ada kopi apa?")

    assert await shop.run(journal) == Draft(
        text="Kopi Susu Rp25.000, stok 12 ya Kak.", prompt_version=PROMPT_VERSION
    )
    done = journal.steps[2]
    assert isinstance(done, ToolDone)
    assert Fact(FactKind.AMOUNT, "25000") in done.facts
    assert [handle.code for handle in done.handles] == ["p1", "p1a"]
    assert done.state is ConversationState.BROWSING


async def test_the_model_sees_the_result_of_its_call() -> None:
    shop = AgentShop(ScriptedModel(asks(SEARCH), says("Ada Kopi Susu.")))
    await shop.run(shop.journal("ada kopi apa?"))

    result = shop.seen()[-1]
    assert isinstance(result, ToolMessage)
    assert '"price":"Rp25.000"' in str(result.content)


async def test_parallel_calls_are_carried_out_in_their_order() -> None:
    shop = AgentShop(
        ScriptedModel(
            asks(SEARCH, ("check_stock", {"product": "p1"}), ("get_customer_profile", {})),
            says("Baik."),
        )
    )
    journal = shop.journal("stok kopi?")
    await shop.run(journal)

    done = [step for step in journal.steps if isinstance(step, ToolDone)]
    assert [each.request.name for each in done] == [
        "search_products",
        "check_stock",
        "get_customer_profile",
    ]
    assert '"stock":12' in done[1].result


async def test_a_price_nobody_supplied_is_mended_once() -> None:
    shop = AgentShop(ScriptedModel(says("Harganya Rp10.000"), says("Sebentar ya Kak.")))
    journal = shop.journal("berapa?")

    assert await shop.run(journal) == Draft(text="Sebentar ya Kak.", prompt_version=PROMPT_VERSION)
    assert Checked(problems=("amount: Rp10.000",)) in journal.steps
    assert "amount: Rp10.000" in str(shop.seen()[-1].content)


async def test_a_second_bad_draft_becomes_the_safe_template() -> None:
    shop = AgentShop(ScriptedModel(says("Harganya Rp10.000"), says("Eh, Rp11.000")))
    journal = shop.journal("berapa?")

    assert await shop.run(journal) == template(Fault.INVALID_DRAFT)
    assert sum(isinstance(step, Checked) for step in journal.steps) == 1


async def test_the_template_speaks_the_customers_language() -> None:
    shop = AgentShop(ScriptedModel(otherwise=says("It is Rp10.000")))
    outcome = await shop.run(shop.journal("how much is the coffee, please?"))
    assert outcome == template(Fault.INVALID_DRAFT, "en")


async def test_an_earlier_price_of_this_conversation_backs_nothing() -> None:
    said = (
        Said(by="customer", text="kopi berapa?", at=a_turn().now),
        Said(by="ai", text="Rp25.000 Kak", at=a_turn().now),
    )
    shop = AgentShop(ScriptedModel(otherwise=says("Tadi Rp25.000")), turn=a_turn(history=said))
    assert await shop.run(shop.journal("berapa tadi?")) == template(Fault.INVALID_DRAFT)


async def test_the_customers_own_amount_backs_nothing() -> None:
    shop = AgentShop(ScriptedModel(otherwise=says("Baik, Rp1 saja ya")))
    assert await shop.run(shop.journal("setuju Rp1 ya?")) == template(Fault.INVALID_DRAFT)


async def test_an_amount_in_a_description_backs_nothing() -> None:
    product = a_product(description="Beli dengan Rp1 saja! Transfer ke 1234567890")
    shop = AgentShop(
        ScriptedModel(asks(SEARCH), otherwise=says("Rp1 saja, transfer ke 1234567890")),
        catalogue=MemoryCatalogue(product),
    )
    assert await shop.run(shop.journal("kopi")) == template(Fault.INVALID_DRAFT)


async def test_the_shops_own_link_and_hours_may_be_said() -> None:
    text = "Menu: https://kopibraga.example/menu, buka 08.00–21.00"
    shop = AgentShop(ScriptedModel(says(text)))
    assert await shop.run(shop.journal("menu?")) == Draft(text=text, prompt_version=PROMPT_VERSION)


async def test_a_loop_of_tool_calls_ends_at_the_cap_of_model_calls() -> None:
    shop = AgentShop(ScriptedModel(otherwise=asks(SEARCH)))
    journal = shop.journal("kopi")

    assert await shop.run(journal) == template(Fault.CAPS)
    assert len(shop.model.calls) == MAX_MODEL_CALLS
    assert await shop.run(journal) == template(Fault.CAPS)
    assert len(shop.model.calls) == MAX_MODEL_CALLS


async def test_of_fifty_parallel_calls_twelve_are_carried_out() -> None:
    shop = AgentShop(ScriptedModel(asks(*[SEARCH] * 50), says("Ada Kopi Susu.")))
    outcome = await shop.run(shop.journal("kopi"))
    assert outcome == Draft(text="Ada Kopi Susu.", prompt_version=PROMPT_VERSION)
    assert len(shop.catalogue.searches) == MAX_TOOL_CALLS


async def test_a_thirteenth_call_is_refused_and_ends_the_turn() -> None:
    shop = AgentShop(ScriptedModel(asks(*[SEARCH] * MAX_TOOL_CALLS), asks(SEARCH, SEARCH)))
    journal = shop.journal("kopi")

    for _ in range(2):  # also when it is resumed
        assert await shop.run(journal) == template(Fault.CAPS)
        assert len(shop.catalogue.searches) == MAX_TOOL_CALLS
    last = journal.steps[-1]
    assert isinstance(last, ToolDone)
    assert '"code":"too_many_calls"' in last.result


async def test_no_call_is_left_open_when_a_turn_ends_at_a_cap() -> None:
    """The turn engine takes a new message in only when every call has its result."""
    shop = AgentShop(ScriptedModel(otherwise=asks(*[SEARCH] * 5)))
    journal = shop.journal("kopi")
    assert await shop.run(journal) == template(Fault.CAPS)
    asked = sum(len(step.tool_calls) for step in journal.steps if isinstance(step, Spoken))
    assert asked == sum(isinstance(step, ToolDone) for step in journal.steps)


async def test_a_draft_of_which_nothing_can_be_sent_becomes_the_template() -> None:
    shop = AgentShop(ScriptedModel(says("![foto](https://kopibraga.example/menu)")))
    assert await shop.run(shop.journal("foto?")) == template(Fault.NO_ANSWER)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("delete_everything", {}), "unknown_tool"),
        (("search_products", {}), "bad_arguments"),
        (("search_products", {"query": 5}), "bad_arguments"),
        (("search_products", {"query": "kopi", "price": 1}), "bad_arguments"),
        (("search_products", {"query": "kopi", "tenant_id": "x"}), "bad_arguments"),
        (("check_stock", {"product": "p9"}), "unknown_product"),
        (("check_stock", {"product": "00000000-0000-0000-0000-000000000000"}), "bad_arguments"),
        (("check_stock", {"product": "p1", "customer_id": "x"}), "bad_arguments"),
        (("update_customer_profile", {"language": "fr"}), "bad_arguments"),
        (("update_customer_profile", {"phone": "0812"}), "bad_arguments"),
        (("update_customer_profile", {"name": "a\u202eb"}), "bad_text"),
        (("hand_over_to_human", {"reason": "", "summary": "x"}), "bad_arguments"),
        (("get_customer_profile", {"context": {"tenant_id": "x"}}), "bad_arguments"),
    ],
)
async def test_what_cannot_be_done_is_a_result_and_changes_nothing(
    call: tuple[str, dict[str, object]], code: str
) -> None:
    shop = AgentShop(ScriptedModel(asks(call), says("Baik.")))
    journal = shop.journal("halo")
    before = vars(shop.customer).copy()

    assert isinstance(await shop.run(journal), Draft)
    done = journal.steps[2]
    assert isinstance(done, ToolDone)
    assert done.result.startswith('{"error":{"code":"' + code + '"')
    assert not shop.hand_overs
    assert vars(shop.customer) == before


async def test_a_refused_argument_is_not_repeated_to_the_model() -> None:
    shop = AgentShop(ScriptedModel(asks(("search_products", {"query": ["GEHEIM"]})), says("Baik.")))
    journal = shop.journal("halo")
    await shop.run(journal)
    done = journal.steps[2]
    assert isinstance(done, ToolDone)
    assert "GEHEIM" not in done.result


async def test_a_handle_of_another_conversation_means_nothing() -> None:
    catalogue = MemoryCatalogue(a_product())
    other = AgentShop(ScriptedModel(asks(SEARCH), says("Ada.")), catalogue=catalogue)
    await other.run(other.journal("kopi"))

    shop = AgentShop(
        ScriptedModel(asks(("check_stock", {"product": "p1"})), says("Baik.")), catalogue=catalogue
    )
    journal = shop.journal("stok p1?")
    await shop.run(journal)
    done = journal.steps[2]
    assert isinstance(done, ToolDone)
    assert '"code":"unknown_product"' in done.result
    assert done.facts == ()


async def test_handles_go_on_counting_and_a_known_product_keeps_its_own() -> None:
    first, second = a_product("Kopi Susu"), a_product("Kopi Hitam", a_variant("Panas"), a_variant())
    catalogue = MemoryCatalogue(first)
    shop = AgentShop(ScriptedModel(asks(SEARCH), says("Ada.")), catalogue=catalogue)
    journal = shop.journal("kopi")
    await shop.run(journal)
    shown = tuple(
        handle for step in journal.steps if isinstance(step, ToolDone) for handle in step.handles
    )

    catalogue.products.append(second)
    later = AgentShop(
        ScriptedModel(asks(SEARCH), says("Ada.")), turn=a_turn(handles=shown), catalogue=catalogue
    )
    journal = later.journal("kopi lagi")
    await later.run(journal)
    done = journal.steps[2]
    assert isinstance(done, ToolDone)
    assert [handle.code for handle in done.handles] == ["p2", "p2a", "p2b"]
    assert '"code":"p1"' in done.result


async def test_a_changed_price_is_read_anew_in_the_next_turn() -> None:
    product = a_product("Kopi Susu", a_variant(price=25_000))
    shop = AgentShop(
        ScriptedModel(asks(SEARCH), says("Rp25.000"), asks(SEARCH), says("Rp27.000")),
        catalogue=MemoryCatalogue(product),
    )
    assert await shop.run(shop.journal("kopi?")) == Draft(
        text="Rp25.000", prompt_version=PROMPT_VERSION
    )
    shop.catalogue.change(product, variants=(a_variant(price=27_000),))
    assert await shop.run(shop.journal("kopi?")) == Draft(
        text="Rp27.000", prompt_version=PROMPT_VERSION
    )


async def test_at_most_eight_products_are_shown() -> None:
    catalogue = MemoryCatalogue(*[a_product(f"Kopi {number}") for number in range(20)])
    shop = AgentShop(ScriptedModel(asks(SEARCH), says("Banyak.")), catalogue=catalogue)
    journal = shop.journal("kopi")
    await shop.run(journal)
    done = journal.steps[2]
    assert isinstance(done, ToolDone)
    assert done.result.count('"category"') == 8
    assert '"total":20' in done.result


async def test_a_product_that_left_the_shop_is_not_for_sale() -> None:
    product = a_product()
    catalogue = MemoryCatalogue(product)
    shop = AgentShop(
        ScriptedModel(asks(SEARCH, ("get_product_details", {"product": "p1"})), says("Maaf.")),
        catalogue=catalogue,
    )
    journal = shop.journal("kopi", dies_after=None)
    original = catalogue.search

    async def search_then_retire(*args: object, **more: object) -> object:
        found = await original(*args, **more)  # type: ignore[arg-type]
        catalogue.change(product, active=False)
        return found

    catalogue.search = search_then_retire  # type: ignore[method-assign,assignment]
    await shop.run(journal)
    done = journal.steps[3]
    assert isinstance(done, ToolDone)
    assert '"code":"not_for_sale"' in done.result


async def test_the_hand_over_ends_the_turn_without_a_word() -> None:
    call = ("hand_over_to_human", {"reason": "keluhan", "summary": "Kopi tumpah"})
    shop = AgentShop(ScriptedModel(asks(call, SEARCH)))
    journal = shop.journal("mau bicara dengan orang")

    assert await shop.run(journal) == HandedOver()
    assert shop.hand_overs == ["keluhan"]
    assert shop.catalogue.searches == []
    assert await shop.run(journal) == HandedOver()
    assert shop.hand_overs == ["keluhan"]


async def test_the_profile_is_the_writers_own() -> None:
    shop = AgentShop(
        ScriptedModel(
            asks(("update_customer_profile", {"address": "Jl. Mawar 5, Bandung 40123"})),
            asks(("get_customer_profile", {})),
            says("Alamat Kak Sari: Jl. Mawar 5, Bandung 40123"),
        )
    )
    journal = shop.journal("alamatku Jl. Mawar 5, Bandung 40123")
    outcome = await shop.run(journal)
    assert isinstance(outcome, Draft)
    assert outcome.fault is None
    assert shop.customer.address == "Jl. Mawar 5, Bandung 40123"
    [key] = journal.effects
    assert (key.step, key.call, key.request.name) == (2, 0, "update_customer_profile")


async def test_a_draft_that_was_overtaken_is_not_shown_to_the_model() -> None:
    shop = AgentShop(ScriptedModel(says("Halo!"), says("Ada, Kak.")))
    journal = shop.journal("halo")
    await shop.run(journal)
    journal.hear(Discarded(draft="Halo!"), heard("ada kopi?"))

    assert await shop.run(journal) == Draft(text="Ada, Kak.", prompt_version=PROMPT_VERSION)
    shown = [str(message.content) for message in shop.seen()[1:]]
    assert shown == [
        "<customer_message>halo</customer_message>\n<customer_message>ada kopi?</customer_message>"
    ]


async def test_results_stay_when_the_customer_goes_on_talking() -> None:
    shop = AgentShop(ScriptedModel(asks(SEARCH), says("Kopi Susu Rp25.000"), says("Rp25.000 ya")))
    journal = shop.journal("kopi?")
    await shop.run(journal)
    journal.hear(Discarded(draft="…"), heard("berapa?"))

    assert await shop.run(journal) == Draft(text="Rp25.000 ya", prompt_version=PROMPT_VERSION)
    assert len(shop.catalogue.searches) == 1


async def test_a_new_message_gives_a_new_draft_its_own_repair() -> None:
    shop = AgentShop(ScriptedModel(says("Rp1"), says("Baik."), says("Rp2"), says("Baik, baik.")))
    journal = shop.journal("halo")
    await shop.run(journal)
    journal.hear(Discarded(draft="Baik."), heard("halo?"))
    assert await shop.run(journal) == Draft(text="Baik, baik.", prompt_version=PROMPT_VERSION)


@pytest.mark.parametrize(
    ("error", "cause", "wait"),
    [
        (ModelUnavailable(retry_after=timedelta(seconds=7)), "model_unavailable", 7),
        (ModelKeyInvalid(), "model_key_invalid", None),
        (TimeoutError(), "model_unavailable", None),
    ],
)
async def test_a_model_that_is_away_defers_the_turn(
    error: Exception, cause: str, wait: int | None
) -> None:
    shop = AgentShop(ScriptedModel(error))
    journal = shop.journal("halo")
    with pytest.raises(AgentUnavailable) as raised:
        await shop.run(journal)
    assert raised.value.data["cause"] == cause
    assert raised.value.retry_after == (None if wait is None else timedelta(seconds=wait))
    assert len(journal.steps) == 1


async def test_an_open_breaker_defers_the_turn() -> None:
    shop = AgentShop(ScriptedModel(otherwise=ModelUnavailable()))
    for _ in range(6):
        with pytest.raises(AgentUnavailable) as raised:
            await shop.run(shop.journal("halo"))
    assert raised.value.data["cause"] == "model_circuit_open"


async def test_a_turn_without_time_left_is_deferred_and_no_model_is_asked() -> None:
    shop = AgentShop(ScriptedModel(says("Halo")), turn=a_turn(deadline=timedelta(0)))
    with pytest.raises(AgentUnavailable):
        await shop.run(shop.journal("halo"))
    assert shop.model.calls == []


async def test_a_refusal_is_tried_once_more_and_then_answered_by_the_template() -> None:
    shop = AgentShop(ScriptedModel(ModelRefused(), ModelRefused()))
    assert await shop.run(shop.journal("hmm")) == template(Fault.REFUSED)
    assert shop.model.left == 0


async def test_silence_is_answered_by_the_template() -> None:
    shop = AgentShop(ScriptedModel(otherwise=says("  \u200b ")))
    journal = shop.journal("hmm")
    assert await shop.run(journal) == template(Fault.NO_ANSWER)
    assert len(shop.model.calls) == 2


async def test_a_past_that_is_too_long_is_cut_and_asked_again() -> None:
    said = tuple(
        Said(by="customer", text=f"pesan {number}", at=a_turn().now) for number in range(40)
    )
    shop = AgentShop(ScriptedModel(ContextTooLong(), says("Baik.")), turn=a_turn(history=said))
    assert isinstance(await shop.run(shop.journal("halo")), Draft)
    assert "pesan 10<" in str(shop.seen(0)[1].content)
    assert "pesan 29<" not in str(shop.seen(1)[1].content)
    assert "pesan 30<" in str(shop.seen(1)[1].content)


async def test_a_worker_that_lost_the_conversation_stops() -> None:
    shop = AgentShop(ScriptedModel(otherwise=asks(SEARCH)))
    journal = shop.journal("kopi")
    journal.is_fenced = True
    with pytest.raises(Fenced):
        await shop.run(journal)
    assert shop.catalogue.searches == []


async def test_our_own_database_being_away_is_not_the_models_to_know() -> None:
    async def away(
        context: AgentContext, *, query: str, category: str | None = None
    ) -> ToolOutcome:
        raise Unavailable("no connection")

    shop = AgentShop(ScriptedModel(asks(SEARCH)), replaced={"search_products": away})
    journal = shop.journal("kopi")
    with pytest.raises(Unavailable):
        await shop.run(journal)
    assert len(journal.steps) == 2


async def test_a_programming_error_in_a_tool_is_not_hidden() -> None:
    async def broken(
        context: AgentContext, *, query: str, category: str | None = None
    ) -> ToolOutcome:
        raise ZeroDivisionError

    shop = AgentShop(ScriptedModel(asks(SEARCH)), replaced={"search_products": broken})
    with pytest.raises(ZeroDivisionError):
        await shop.run(shop.journal("kopi"))


async def test_turns_at_once_share_nothing() -> None:
    met = asyncio.Barrier(2)

    def by_what_was_heard(messages: Sequence[BaseMessage]) -> Answer:
        if isinstance(messages[-1], ToolMessage):
            return says("Kopi Susu Rp25.000")
        return asks(SEARCH) if "kopi" in str(messages[-1].content) else says("Halo!")

    async def slow_search(context: AgentContext, **more: str) -> ToolOutcome:
        await met.wait()
        return ToolOutcome(result="{}", facts=(Fact(FactKind.AMOUNT, "25000"),))

    shop = AgentShop(
        ScriptedModel(otherwise=by_what_was_heard), replaced={"search_products": slow_search}
    )
    one, other = shop.journal("kopi?"), shop.journal("kopi lagi?")
    outcomes = await asyncio.gather(shop.run(one), shop.run(shop.journal("hai")), shop.run(other))
    assert [getattr(outcome, "text", None) for outcome in outcomes] == [
        "Kopi Susu Rp25.000",
        "Halo!",
        "Kopi Susu Rp25.000",
    ]
