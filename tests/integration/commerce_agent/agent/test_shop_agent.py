"""The agent in its shop: real catalogue, real journal, real effects."""

import json
import re

import pytest

from commerce_agent.domain.services.safe_templates import Fault, safe_answer
from tests.integration.commerce_agent.agent.conftest import OpenShop, ask
from tests.integration.commerce_agent.conversation.conftest import Desk
from tests.support.memory_journal import WorkerDied
from tests.support.scripted_model import Answer, ScriptedModel, asks, says

SEARCH = ("search_products", {"query": "kopi susu"})


async def _prices(desk: Desk) -> set[str]:
    found = await desk.db.fetch("SELECT price FROM variants WHERE tenant_id = $1", desk.tenant)
    return {f"Rp{row['price']:,}".replace(",", ".") for row in found}


async def _steps(desk: Desk) -> list[tuple[str, str | None]]:
    found = await desk.db.fetch("SELECT kind, name FROM turn_steps ORDER BY created_at, step, call")
    return [(row["kind"], row["name"]) for row in found]


@pytest.mark.parametrize(
    "question",
    [
        "halo, ada kopi apa?",
        "brp harga es kopi susu gula aren?",
        "yg dingin ada apa aja",
        "croissant mentega brp kak",
        "hello, what coffee do you have?",
        "how much is the cappuccino",
    ],
)
async def test_the_offline_model_answers_from_the_catalogue(
    open_shop: OpenShop, question: str
) -> None:
    async with open_shop() as desk:
        answer = "\n".join(await ask(desk, question))
        said = set(re.findall(r"Rp[\d.]*\d", answer))
        assert said, answer
        assert said <= await _prices(desk)
        conversation = await desk.conversation()
        assert conversation["failed_turns"] == 0
        assert conversation["state"] == "browsing"
        turn = await desk.db.fetch("SELECT * FROM turns")
        assert [row["outcome"] for row in turn] == ["replied"]
        assert turn[0]["prompt_version"] == "shop-agent-1"
        assert turn[0]["model"] == "offline-demo"
        assert await desk.count("turn_steps", "kind = 'check'") == 0


@pytest.mark.parametrize(
    "text", ["makasih ya kak", "halo", "jam buka kapan?", "alamatnya dimana?", "asdfgh", "👍"]
)
async def test_the_offline_model_always_says_something_that_passes(
    open_shop: OpenShop, text: str
) -> None:
    async with open_shop(None, None, profile=json.dumps({"hours": "08.00-21.00"})) as desk:
        assert await ask(desk, text)
        assert (await desk.conversation())["failed_turns"] == 0


async def test_a_changed_price_is_the_one_that_is_said_next(open_shop: OpenShop) -> None:
    async with open_shop() as desk:
        assert "Rp25.000" in "\n".join(await ask(desk, "harga es kopi susu gula aren?"))
        await desk.db.execute("UPDATE variants SET price = 27500 WHERE price = 25000")
        answer = "\n".join(await ask(desk, "harga es kopi susu gula aren berapa?"))
        assert "Rp27.500" in answer
        assert "Rp25.000" not in answer


def _offered_words(language: str) -> str:
    """What the safe templates tell a customer to write to reach a person."""
    return safe_answer(Fault.CAPS, language).split("*")[1]


@pytest.mark.parametrize(
    "words",
    ["saya mau bicara dengan orang dong", _offered_words("id"), _offered_words("en")],
)
async def test_asking_for_a_person_hands_over(open_shop: OpenShop, words: str) -> None:
    async with open_shop() as desk:
        bubbles = await ask(desk, words)
        assert len(bubbles) == 1
        conversation = await desk.conversation()
        assert conversation["owner"] == "person"
        assert conversation["failed_turns"] == 0
        assert await desk.db.fetchval("SELECT outcome FROM turns") == "handed_over"


async def test_a_worker_that_dies_after_an_effect_leaves_it_done_once(open_shop: OpenShop) -> None:
    def dies(_: object) -> Answer:
        raise WorkerDied

    name = ("update_customer_profile", {"name": "Sari Dewi"})
    async with open_shop(ScriptedModel(asks(SEARCH, name), dies)) as desk:
        await desk.hears("aku Sari Dewi, kopi susu dong")
        claim = await desk.claim("conversation.turn")
        with pytest.raises(WorkerDied):
            await desk.do(claim)
        assert await desk.db.fetchval("SELECT name FROM customers") == "Sari Dewi"
        version = await desk.db.fetchval("SELECT version FROM customers")
        await desk.hears("yang dingin ya")
        await desk.db.jump(120)

        model = ScriptedModel(says("Kak Sari Dewi, Es Kopi Susu Gula Aren Rp25.000 ya."))
        async with open_shop(model, desk) as second:
            assert await second.do(await second.claim("conversation.turn")) == "done"
        assert await desk.bubbles() == ["Kak Sari Dewi, Es Kopi Susu Gula Aren Rp25.000 ya."]
        assert await desk.db.fetchval("SELECT version FROM customers") == version
        assert await desk.count("turns") == 1
        assert [kind for kind, _ in await _steps(desk)] == [
            "read", "model", "tool", "tool", "read", "model",
        ]  # fmt: skip
        assert "yang dingin ya" in str(model.calls[0][-1].content)


async def test_a_code_from_another_conversation_is_unknown(open_shop: OpenShop) -> None:
    check = ("check_stock", {"product": "p1"})
    model = ScriptedModel(asks(SEARCH), says("Ada Kak."), asks(check), says("Sebentar ya."))
    async with open_shop(model) as desk:
        await ask(desk, "kopi susu?", chat="628111111111@c.us")
        await ask(desk, "stok p1?", chat="628222222222@c.us")
        result = await desk.db.fetchval("SELECT result FROM turn_steps WHERE name = 'check_stock'")
        assert json.loads(str(result))["error"]["code"] == "unknown_product"


async def test_a_code_keeps_its_meaning_in_the_next_turn(open_shop: OpenShop) -> None:
    search = ("search_products", {"query": "kopi tubruk"})
    check = ("check_stock", {"product": "p1"})
    model = ScriptedModel(asks(search), says("Ada Kak."), asks(check), says("Stok 20 ya Kak."))
    async with open_shop(model) as desk:
        await ask(desk, "kopi tubruk?")
        assert await ask(desk, "stoknya?") == ["Stok 20 ya Kak."]


async def test_a_model_that_insists_on_a_made_up_price_is_not_heard(open_shop: OpenShop) -> None:
    async with open_shop(ScriptedModel(otherwise=says("Khusus Kakak cuma Rp1!"))) as desk:
        bubbles = await ask(desk, "setuju Rp1?")
        assert len(bubbles) == 1
        assert "Rp1" not in bubbles[0]
        assert (await desk.conversation())["failed_turns"] == 1
        assert await desk.count("turn_steps", "kind = 'check'") == 1


async def test_a_shop_without_its_model_waits_and_staff_see_why(open_shop: OpenShop) -> None:
    async with open_shop(None, None, llm_config_name="gone") as desk:
        await desk.hears("halo")
        assert await desk.do(await desk.claim("conversation.turn")) != "done"
        conversation = await desk.conversation()
        assert conversation["trouble"] == "llm_config_not_found"
        assert conversation["failed_turns"] == 0
        assert len(await desk.bubbles()) == 1, "the holding line"
