"""A WhatsApp message in, an answer out: what merchants are promised, over HTTP."""

import asyncio
import time

import pytest

from tests.support.fake_llm import CallTools, FakeLlm, LlmRequest, Say, Step
from tests.support.fake_waha import FakeWaha
from tests.support.stack import Shop, Stack, a_product, until
from tests.support.waha_webhooks import CUSTOMER, ENGINES, Engine

OTHER = "6281230000002@c.us"
THIRD = "6281230000003@c.us"


def price_seller(request: LlmRequest) -> Step:
    """Looks the product up, then says what it found: price and name from the tool's result."""
    last = request.body["messages"][-1]
    if last["role"] != "tool":
        return CallTools(("search_products", {"query": "kopi susu"}))
    price = last["content"].split('"price":"')[1].split('"')[0]
    return Say(f"Kopi Susu {price} ya kak.")


def customer_lines(request: LlmRequest) -> list[str]:
    """What the model was given as the customer's own words, this turn and before."""
    return [
        part.split("</customer_message>")[0].strip()
        for message in request.body["messages"]
        if message["role"] == "user"
        for part in str(message["content"]).split("<customer_message>")[1:]
    ]


async def a_coffee_shop(stack: Stack, llm: FakeLlm, waha: FakeWaha, **options: object) -> Shop:
    product = a_product("Kopi Susu", 18_000, sku="KS-1")
    return await stack.a_shop("kopi", llm=llm, waha=waha, products=(product,), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_signed_message_gets_exactly_one_reply_through_the_right_session(
    stack: Stack, llm: FakeLlm, engine: Engine
) -> None:
    async with FakeWaha(engine=engine) as waha:
        llm.rule = price_seller
        shop = await a_coffee_shop(stack, llm, waha, engine=engine)
        await stack.a_shop("lain", llm=llm, waha=waha)
        message = shop.hooks.message("kopi susu berapa kak?")
        await shop.receives(message)
        await shop.receives(message)  # WAHA retries
        await waha.until(lambda: bool(waha.texts()), seconds=30)
        await until(lambda: _all_sent(shop))
        assert waha.texts(CUSTOMER) == ["Kopi Susu Rp18.000 ya kak."]
        [sent] = waha.sent[CUSTOMER]
        assert sent.session == shop.hooks.session
        paths = [
            path.rsplit("/", 1)[-1]
            for path in waha.paths("sendSeen", "startTyping", "stopTyping", "sendText")
        ]
        assert paths == ["sendSeen", "startTyping", "stopTyping", "sendText"]


async def test_a_changed_price_is_in_the_next_answer(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = price_seller
    shop = await a_coffee_shop(stack, llm, waha)
    await shop.receives(shop.hooks.message("berapa kopi susu?"))
    await waha.until(lambda: len(waha.texts(CUSTOMER)) == 1, seconds=30)
    await stack.database.execute(
        "UPDATE variants SET price = 21500 WHERE tenant_id = $1 AND sku = 'KS-1'", shop.id
    )
    await shop.receives(shop.hooks.message("sekarang berapa?"))
    await waha.until(lambda: len(waha.texts(CUSTOMER)) == 2, seconds=30)
    assert waha.texts(CUSTOMER) == ["Kopi Susu Rp18.000 ya kak.", "Kopi Susu Rp21.500 ya kak."]


async def test_twenty_bubbles_at_once_are_one_turn_and_none_is_lost(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = lambda request: Say("Siap kak, sudah kami catat semuanya.")
    shop = await a_coffee_shop(stack, llm, waha)
    lines = [f"pesan nomor-{letter}" for letter in "abcdefghijklmnopqrst"]
    now = int(time.time())
    await asyncio.gather(*(shop.receives(shop.hooks.message(line, at=now)) for line in lines))
    await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=30)
    await until(lambda: _all_sent(shop))
    assert len(waha.texts(CUSTOMER)) == 1
    heard = customer_lines(llm.requests[-1])
    assert sorted(heard) == sorted(lines)
    turns = await stack.database.fetchval(
        "SELECT count(*) FROM turns WHERE tenant_id = $1", shop.id
    )
    assert turns == 1
    waiting = await stack.database.fetchval(
        "SELECT count(*) FROM messages WHERE tenant_id = $1 AND answered_how IS DISTINCT FROM 'ai'",
        shop.id,
    )
    assert waiting == 0


async def test_a_bubble_that_arrives_while_the_model_thinks_is_answered_in_the_same_reply(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    def answer(request: LlmRequest) -> Step:
        heard = customer_lines(request)
        delay = 1.5 if len(heard) == 1 else 0.0
        return Say("Baik kak: " + " dan ".join(heard), delay=delay)

    llm.rule = answer
    shop = await a_coffee_shop(stack, llm, waha)
    await shop.receives(shop.hooks.message("kopi hitam"))
    await until(lambda: llm.requests)
    await shop.receives(shop.hooks.message("tanpa gula"))
    await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=30)
    await until(lambda: _all_sent(shop))
    assert waha.texts(CUSTOMER) == ["Baik kak: kopi hitam dan tanpa gula"]


async def test_two_shops_and_the_same_phone_never_mix(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = lambda request: Say("Halo kak, " + " ".join(customer_lines(request)))
    one = await a_coffee_shop(stack, llm, waha)
    two = await stack.a_shop("roti", llm=llm, waha=waha)
    await asyncio.gather(
        one.receives(one.hooks.message("rahasia-satu")),
        two.receives(two.hooks.message("rahasia-dua")),
    )
    await waha.until(lambda: len(waha.texts(CUSTOMER)) == 2, seconds=30)
    by_session = {sent.session: sent.text for sent in waha.sent[CUSTOMER]}
    assert by_session == {
        one.hooks.session: "Halo kak, rahasia-satu",
        two.hooks.session: "Halo kak, rahasia-dua",
    }
    [conversation] = await one.conversations()
    path = f"{two.base}/conversations/{conversation['id']}"
    await stack.call("GET", path, key=two.key, status=404)
    await stack.call("GET", one.base, key=two.key, status=404)
    for request in llm.requests:
        assert not ("rahasia-satu" in str(request.body) and "rahasia-dua" in str(request.body))


async def test_a_message_typed_on_the_phone_pauses_the_ai(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = lambda request: Say("Dari AI", delay=1.5)
    shop = await a_coffee_shop(stack, llm, waha)
    await shop.receives(shop.hooks.message("halo?"))
    await until(lambda: llm.requests)
    await shop.receives(shop.hooks.own("Saya jawab sendiri ya kak"))
    conversation = await until(lambda: _owned_by(shop, "paused"))
    await shop.receives(shop.hooks.message("oke, makasih"))
    await until(lambda: _message_count(shop, conversation, 3))
    await _no_turn_is_left(stack, shop)
    assert waha.texts(CUSTOMER) == []
    llm.rule = lambda request: Say("Sama-sama kak")
    await shop.call("POST", f"/conversations/{conversation['id']}/return-to-ai")
    await waha.until(lambda: waha.texts(CUSTOMER) == ["Sama-sama kak"], seconds=30)


async def test_staff_answer_in_the_inbox_and_the_ai_keeps_quiet(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = lambda request: Say("Dari AI", delay=1.5)
    shop = await a_coffee_shop(stack, llm, waha)
    await shop.receives(shop.hooks.message("halo?"))
    await until(lambda: llm.requests)
    [conversation] = await shop.conversations()
    path = f"/conversations/{conversation['id']}/messages"
    await shop.call("POST", path, {"text": "Halo kak, dengan Sari di sini."})
    await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=30)
    await _no_turn_is_left(stack, shop)
    assert waha.texts(CUSTOMER) == ["Halo kak, dengan Sari di sini."]


async def test_the_lid_twin_of_a_known_phone_is_the_same_message(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    llm.rule = lambda request: Say("Halo kak")
    shop = await a_coffee_shop(stack, llm, waha)
    native_id, lid = "3EB0TWIN0001", "99887766554433@lid"
    await shop.receives(shop.hooks.message("halo", native_id=native_id))
    await shop.receives(
        shop.hooks.message("halo", chat=lid, native_id=native_id, alternate=CUSTOMER)
    )
    await waha.until(lambda: bool(waha.texts()), seconds=30)
    await until(lambda: _inbox_done(stack, shop, 2))
    await _no_turn_is_left(stack, shop)
    stored = await stack.database.fetchval(
        "SELECT count(*) FROM messages WHERE tenant_id = $1", shop.id
    )
    assert stored == 1
    assert len(waha.texts()) == 1
    assert len(await shop.conversations()) == 1


async def test_groups_status_and_channels_are_never_answered(
    stack: Stack, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await a_coffee_shop(stack, llm, waha)
    chats = ("120363041234567890@g.us", "status@broadcast", "120363041234567891@newsletter")
    for chat in chats:
        await shop.receives(shop.hooks.message("promo!", chat=chat))
    await until(lambda: _inbox_done(stack, shop, len(chats)))
    assert await shop.conversations() == []
    assert llm.requests == []
    assert waha.texts() == []


async def test_a_forged_message_changes_nothing(stack: Stack, llm: FakeLlm, waha: FakeWaha) -> None:
    shop = await a_coffee_shop(stack, llm, waha)
    other = await stack.a_shop("lain", llm=llm, waha=waha)
    await shop.receives(other.hooks.message("halo"), status=401)
    count = await stack.database.fetchval(
        "SELECT count(*) FROM inbox_events WHERE tenant_id = $1", shop.id
    )
    assert count == 0


async def test_nothing_private_reaches_the_logs(stack: Stack, llm: FakeLlm, waha: FakeWaha) -> None:
    llm.rule = lambda request: Say("Jawaban kenari-keluar")
    shop = await a_coffee_shop(stack, llm, waha)
    await shop.receives(shop.hooks.message("kenari-masuk"))
    await waha.until(lambda: bool(waha.texts(CUSTOMER)), seconds=30)
    logs = stack.logs
    for private in (
        "kenari-masuk", "kenari-keluar", CUSTOMER.partition("@")[0], shop.key, shop.hooks.secret,
        waha.api_key, stack.operator_key,
    ):  # fmt: skip
        assert private not in logs


# -- waiting for what other processes do ------------------------------------------------------


async def _all_sent(shop: Shop) -> bool:
    open_sends = await shop.stack.database.fetchval(
        "SELECT count(*) FROM sends WHERE tenant_id = $1 AND state <> 'sent'", shop.id
    )
    return open_sends == 0


async def _owned_by(shop: Shop, owner: str) -> object:
    found = await shop.conversations()
    return next((conversation for conversation in found if conversation["owner"] == owner), None)


async def _message_count(shop: Shop, conversation: object, count: int) -> bool:
    return len(await shop.messages(conversation)) == count  # type: ignore[arg-type]


async def _inbox_done(stack: Stack, shop: Shop, count: int) -> bool:
    done = await stack.database.fetchval(
        "SELECT count(*) FROM inbox_events WHERE tenant_id = $1 AND state <> 'received'", shop.id
    )
    return done == count


async def _no_turn_is_left(stack: Stack, shop: Shop) -> None:
    """Until nothing is left to do for this shop: no work, no bubble on its way."""

    async def idle() -> bool:
        left = await stack.database.fetchval(
            "SELECT (SELECT count(*) FROM queue_messages WHERE tenant_id = $1) + "
            "(SELECT count(*) FROM sends WHERE tenant_id = $1 "
            " AND state IN ('pending', 'sending', 'unknown'))",
            shop.id,
        )
        return left == 0

    await until(idle)
