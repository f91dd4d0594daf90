"""The staff's console in a real browser, on the whole platform."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.support.browser import looking, open_browser
from tests.support.fake_llm import CallTools, FakeLlm, LlmRequest, Say, Step
from tests.support.fake_waha import FakeWaha
from tests.support.stack import Shop, Stack, a_product, until
from tests.support.waha_webhooks import CUSTOMER

pytestmark = pytest.mark.browser

PATIENCE = 30_000
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
ANSWER = "*Kopi Susu* Rp18.000 ya kak."


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


def price_seller(request: LlmRequest) -> Step:
    if request.body["messages"][-1]["role"] != "tool":
        return CallTools(("search_products", {"query": "kopi susu"}))
    return Say(ANSWER)


async def a_shop(stack: Stack, llm: FakeLlm, waha: FakeWaha) -> Shop:
    llm.rule = price_seller
    product = a_product("Kopi Susu", 18_000, description=HOSTILE)
    return await stack.a_shop("kopi", llm=llm, waha=waha, products=(product,))


async def sign_in(page: Page, shop: str, key: str) -> None:
    await page.get_by_label("Shop").fill(shop)
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in").click()


async def test_a_refused_key_is_told_and_leaves_nothing_in_the_tab(
    stack: Stack, browser: Browser
) -> None:
    shop = await stack.a_shop("kopi")
    other = await stack.a_shop("lain")
    async with looking(browser, f"{stack.base_url}/console") as (page, troubles):
        await sign_in(page, shop.slug, "aip_wrong")
        await page.get_by_text("The API key was refused.").wait_for()
        await sign_in(page, shop.slug, other.key)
        await page.get_by_text("This key opens no shop of that name.").wait_for()
        assert await page.evaluate("sessionStorage.length") == 0
        await sign_in(page, str(shop.id), shop.key)
        await page.get_by_text("No conversations here yet.").wait_for()
        assert await page.locator("#model").inner_text() == "offline demo model"
        await page.reload()
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_role("button", name="Sign in").wait_for()
        assert await page.evaluate("sessionStorage.length") == 0
        assert await page.evaluate("localStorage.length") == 0
        assert all("401" in trouble or "404" in trouble for trouble in troubles)


async def test_staff_read_why_the_ai_answered_then_answer_and_give_back(
    stack: Stack, browser: Browser, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await a_shop(stack, llm, waha)
    async with looking(browser, f"{stack.base_url}/console", viewport=DESK) as (page, troubles):
        await sign_in(page, shop.slug, shop.key)
        await page.get_by_text("No conversations here yet.").wait_for()
        await shop.receives(shop.hooks.message("kopi susu berapa kak?"))
        await page.locator(".person", has_text="Budi").click(timeout=PATIENCE)
        thread = page.get_by_role("log", name="Messages")
        await thread.get_by_text("kopi susu berapa kak?").wait_for()
        reply = thread.locator(".by-ai")
        await reply.locator(".tick.sent").wait_for(timeout=PATIENCE)
        assert await reply.locator("strong").all_inner_texts() == ["Kopi Susu"]

        await reply.get_by_role("button", name="Why this reply?").click()
        why = page.get_by_role("complementary", name="Why this reply?")
        await why.get_by_text("search_products").wait_for()
        said = await why.inner_text()
        for part in ("fake-model", "search_products", '"query": "kopi susu"', "Rp18.000"):
            assert part in said
        assert HOSTILE.split(" ")[0] in said
        assert await why.locator("img, script").count() == 0
        await page.keyboard.press("Escape")
        await why.wait_for(state="hidden")

        owner = page.locator("#owner")
        assert await owner.inner_text() == "AI"
        field = page.get_by_label("Answer as staff")
        await field.fill("Halo kak,")
        await field.press("Shift+Enter")
        await field.press_sequentially("saya Sari.")
        await field.press("Enter")
        await waha.until(
            lambda: waha.texts(CUSTOMER) == [ANSWER, "Halo kak,\nsaya Sari."], seconds=30
        )
        await page.locator("#owner.by-person").wait_for()
        assert await owner.inner_text() == "Person"
        assert await field.input_value() == ""
        await thread.locator(".by-staff .tick.sent").wait_for(timeout=PATIENCE)
        assert (await shop.conversations())[0]["owner"] == "person"

        await page.get_by_role("group", name="Who answers").get_by_text("AI").click()
        await page.get_by_text("No conversations here yet.").wait_for()
        await page.get_by_role("button", name="Return to AI").click()
        await page.locator("#owner.by-ai").wait_for()
        await page.locator(".person .owner.by-ai").wait_for()
        await page.get_by_role("button", name="Take over").click()
        await page.locator("#owner.by-person").wait_for()
        assert troubles == []


async def test_what_customers_write_runs_nothing_and_a_hand_over_says_why(
    stack: Stack, browser: Browser, llm: FakeLlm, waha: FakeWaha
) -> None:
    shop = await a_shop(stack, llm, waha)
    summary = f"Wants a person. {HOSTILE}"
    llm.script(
        CallTools(("hand_over_to_human", {"reason": "customer_asked", "summary": summary})),
        "Baik kak, saya panggilkan.",
    )
    await shop.receives(shop.hooks.message(HOSTILE))
    await until(lambda: _handed_over(shop))
    async with looking(browser, f"{stack.base_url}/console", viewport=PHONE) as (page, troubles):
        await sign_in(page, shop.slug, shop.key)
        person = page.locator(".person")
        await person.wait_for()
        assert await page.locator(".person .owner").inner_text() == "Person"
        await person.click()
        bubble = page.locator(".row.in .text")
        await bubble.wait_for()
        assert await bubble.inner_text() == HOSTILE
        assert HOSTILE in await page.locator("#handover").inner_text()
        assert await page.locator("#conversation :is(img, script)").count() == 0
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"]
        box = await page.locator("#composer").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= PHONE["height"]
        assert await person.is_hidden()
        await page.get_by_label("Back to the conversations").click()
        await person.wait_for()
        assert "hacked" not in await page.title()
        assert troubles == []


async def test_more_conversations_are_shown_when_asked_for(stack: Stack, browser: Browser) -> None:
    shop = await stack.a_shop("ramai")
    await stack.database.execute(
        "WITH made AS (INSERT INTO customers (tenant_id, id, name) SELECT $1, gen_random_uuid(),"
        " 'Customer ' || n FROM generate_series(1, 51) AS n RETURNING id)"
        " INSERT INTO conversations (tenant_id, id, channel_id, customer_id, address, owner)"
        " SELECT $1, gen_random_uuid(), $2, id, id || '@c.us', 'ai' FROM made",
        shop.id,
        shop.channel_id,
    )
    async with looking(browser, f"{stack.base_url}/console", viewport=DESK) as (page, troubles):
        await sign_in(page, shop.slug, shop.key)
        await page.locator(".person").nth(49).wait_for()
        assert await page.locator(".person").count() == 50
        more = page.get_by_role("button", name="Load more")
        await more.click()
        await page.locator(".person").nth(50).wait_for()
        assert await more.is_hidden()
        assert troubles == []


async def _handed_over(shop: Shop) -> bool:
    return any(each["handover"] for each in await shop.conversations())
