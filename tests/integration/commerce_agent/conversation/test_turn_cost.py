"""What a turn with one tool call asks of the database, counted: growth shall be noticed.

From the claim of its row to the commit of its reply, with the real agent and a scripted model. The
bench says what that costs in time (``make bench ARGS=turn``).
"""

from tests.integration.commerce_agent.agent.conftest import OpenShop, ask
from tests.integration.commerce_agent.agent.conftest import open_shop as open_shop
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support.scripted_model import ScriptedModel, asks, says
from tests.support.statements import Statements

SEARCH = asks(("search_products", {"query": "kopi susu"}))
ANSWER = says("Ada beberapa. Mau yang panas atau yang dingin?")


async def _turn(desk: Desk, chat: str) -> Statements:
    await desk.hears("ada kopi susu?", chat=chat)
    with Statements(desk.work.database) as sent:
        claim = await desk.claim("conversation.turn")
        assert await desk.do(claim) == "done"
    return sent


async def test_a_turn_with_one_tool_call_takes_23_statements_and_6_commits(
    open_shop: OpenShop,
) -> None:
    """At most 25 and 8 are promised. Tenant and role count, though they travel with BEGIN."""
    model = ScriptedModel(*[SEARCH, ANSWER] * 2)
    async with open_shop(model) as desk:
        await ask(desk, "halo, ada kopi susu?")  # what is prepared and read once per process

        sent = await _turn(desk, "6281200000077@c.us")

        assert (sent.statements, sent.commits) == (23, 6), "\n".join(sent.texts)
        # the two that only read end without a commit
        assert sent.round_trips == 23 + 6 + 2
        assert model.left == 0


async def test_more_bubbles_cost_no_more_statements(open_shop: OpenShop) -> None:
    """Three messages are read and journaled as one is, and three bubbles leave as one does."""
    long = says("Kopi susu panas dan dingin ada.\n\n" + "Kami buka tiap hari. " * 60)
    async with open_shop(ScriptedModel(SEARCH, ANSWER, SEARCH, long)) as desk:
        await ask(desk, "halo, ada kopi susu?")
        for text in ("halo", "kopi susu", "ada?"):
            await desk.hears(text, chat="6281200000078@c.us")

        with Statements(desk.work.database) as sent:
            assert await desk.do(await desk.claim("conversation.turn")) == "done"

        assert (sent.statements, sent.commits) == (23, 6), "\n".join(sent.texts)
        assert await desk.count("sends") > 2
