"""The tools as models see them, and the names they know products by."""

import string

import pytest

from commerce_agent.application.agent_tools.context import ToolOutcome, as_result
from commerce_agent.application.agent_tools.handle_book import HandleBook, UnknownHandle
from commerce_agent.domain.value_objects.conversation_state import ConversationState
from commerce_agent.infrastructure.llm.tools.tool_registry import TOOLS_BY_STATE, ToolRegistry
from tests.unit.commerce_agent.llm.shop import a_product, a_variant

FORBIDDEN = {
    "price", "amount", "total", "discount", "stock", "currency", "tenant", "tenant_id", "customer",
    "customer_id", "conversation_id", "phone", "url", "link", "order_id", "id", "context",
}  # fmt: skip


async def _nothing(*args: object, **more: object) -> ToolOutcome:
    return ToolOutcome(result="{}")


NAMES = sorted({name for names in TOOLS_BY_STATE.values() for name in names})
REGISTRY = ToolRegistry(dict.fromkeys(NAMES, _nothing))


def test_every_state_has_tools_and_a_way_to_a_person() -> None:
    assert set(TOOLS_BY_STATE) == set(ConversationState)
    assert all("hand_over_to_human" in names for names in TOOLS_BY_STATE.values())


@pytest.mark.parametrize("state", list(ConversationState))
def test_no_tool_takes_a_price_a_customer_or_a_free_id(state: ConversationState) -> None:
    for schema in REGISTRY.schemas(state):
        function = schema["function"]
        parameters = function["parameters"]
        assert not FORBIDDEN & set(parameters["properties"]), function["name"]
        assert parameters.get("additionalProperties") is False, function["name"]
        assert len(function["description"]) > 40


def test_a_schema_is_plain_json_schema_that_every_provider_takes() -> None:
    shown = str([REGISTRY.schemas(state) for state in ConversationState])
    assert "$ref" not in shown
    assert "ToolOutcome" not in shown


def test_handles_begin_at_one_and_letters_go_on_after_z() -> None:
    book = HandleBook(())
    row = a_product("Kopi", *[a_variant(str(number)) for number in range(28)])
    code, codes = book.show(row.id, [variant.id for variant in row.variants])
    assert code == "p1"
    assert list(codes.values())[:2] == ["p1a", "p1b"]
    assert list(codes.values())[25:] == ["p1z", "p1aa", "p1ab"]
    assert len(book.take_new()) == 29
    assert book.take_new() == ()


def test_a_variant_that_came_later_gets_the_next_letter() -> None:
    row = a_product("Kopi", a_variant("a"), a_variant("b"))
    first, second = (variant.id for variant in row.variants)
    book = HandleBook(())
    book.show(row.id, [first])
    _, codes = HandleBook(book.take_new()).show(row.id, [second, first])
    assert codes == {second: "p1b", first: "p1a"}


@pytest.mark.parametrize("code", ["p2", "", "P1 OR 1=1", string.ascii_letters])
def test_a_code_nobody_showed_is_unknown(code: str) -> None:
    book = HandleBook(())
    book.show(a_product().id, [])
    with pytest.raises(UnknownHandle):
        book.get(code)


def test_a_code_is_read_in_any_case() -> None:
    book = HandleBook(())
    row = a_product()
    book.show(row.id, [])
    assert book.get(" P1 ").product_id == row.id


def test_a_result_is_one_json_object_without_an_opening_bracket() -> None:
    assert as_result({"a": "<b>"}) == '{"a":"\\u003cb>"}'
