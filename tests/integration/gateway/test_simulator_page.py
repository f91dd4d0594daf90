"""The simulator's page in a real browser: it shows what the shop says and runs nothing of it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from tests.integration.gateway.conftest import Shop, a_key, settings_for
from tests.integration.gateway.test_serve import a_free_port, serving
from tests.support.browser import looking, open_browser
from tests.support.postgres import TestDatabase

pytestmark = pytest.mark.browser

HOSTILE = (
    "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\"> "
    "*tebal* _miring_ ~coret~ ```kode``` *_dua_* https://kopi.example/menu?a=1&b=2 "
    "javascript:alert(1) \u202etxet {{7*7}}"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


async def the_shop_says(database: TestDatabase, shop: Shop, text: str) -> None:
    """What the messenger does, once the customer has written."""
    await database.execute(
        "INSERT INTO simulator_messages (tenant_id, channel_id, native_id, address, from_customer,"
        " body) SELECT tenant_id, channel_id, 'SIM' || native_id, address, false, $2"
        " FROM simulator_messages WHERE tenant_id = $1 AND from_customer"
        " ORDER BY created_at DESC LIMIT 1",
        shop.id,
        text,
    )


async def acknowledged(database: TestDatabase, shop: Shop) -> None:
    async with asyncio.timeout(15):
        while not await database.fetchval(
            "SELECT count(*) FROM inbox_events WHERE tenant_id = $1"
            " AND convert_from(body, 'UTF8') LIKE '%message.ack%'",
            shop.id,
        ):
            await asyncio.sleep(0.05)


async def a_person_takes_over(database: TestDatabase, shop: Shop) -> None:
    await database.execute(
        "WITH customer AS (INSERT INTO customers (tenant_id, id) VALUES ($1, gen_random_uuid())"
        " RETURNING id) INSERT INTO conversations (tenant_id, id, channel_id, customer_id, address,"
        " owner) SELECT $1, gen_random_uuid(), $2, customer.id, phone.address, 'person'"
        " FROM customer, simulator_customers phone WHERE phone.tenant_id = $1",
        shop.id,
        shop.channel_id,
    )


async def test_a_chat_is_written_answered_and_safe(
    browser: Browser, gateway_db: TestDatabase, shop: Shop
) -> None:
    settings = settings_for(gateway_db, http_port=a_free_port())
    async with serving(settings) as (http, _):
        url = f"{http.base_url}/simulator/{shop.slug}"
        async with looking(browser, url, viewport={"width": 1280, "height": 800}) as (page, bad):
            await page.get_by_text("offline demo model", exact=True).wait_for()
            await page.get_by_label("Message", exact=True).fill("halo, ada kopi apa?")
            await page.keyboard.press("Enter")
            await page.locator(".row.out .tick.sent").wait_for()
            await the_shop_says(gateway_db, shop, HOSTILE)
            bubble = page.locator(".row.in .text")
            await bubble.wait_for()

            text = await bubble.inner_text()
            assert "<script>document.title='hacked'</script>" in text
            assert "{{7*7}}" in text
            assert await bubble.locator("strong").all_inner_texts() == ["tebal", "dua"]
            assert await bubble.locator("em").all_inner_texts() == ["miring", "dua"]
            assert await bubble.locator("s").all_inner_texts() == ["coret"]
            assert await bubble.locator("code").all_inner_texts() == ["kode"]
            (link,) = await bubble.locator("a").all()
            assert await link.get_attribute("href") == "https://kopi.example/menu?a=1&b=2"
            assert "noopener" in (await link.get_attribute("rel") or "")
            assert await bubble.locator("img, script").count() == 0
            assert "hacked" not in await page.title()
            await acknowledged(gateway_db, shop)

            await a_person_takes_over(gateway_db, shop)
            owner = page.locator("#owner", has_text="Staff")
            await owner.wait_for()
            box = await owner.bounding_box()
            assert box is not None
            assert box["width"] < 120
            assert bad == []


async def test_what_was_typed_is_shown_once_also_when_the_news_is_quicker_than_the_answer(
    browser: Browser, gateway_db: TestDatabase, shop: Shop
) -> None:
    settings = settings_for(gateway_db, http_port=a_free_port())
    async with (
        serving(settings) as (http, _),
        looking(browser, f"{http.base_url}/simulator/{shop.slug}") as (page, bad),
    ):
        may_answer = asyncio.Event()

        async def answer_late(route: Route) -> None:
            if route.request.method != "POST":
                await route.continue_()
                return
            answer = await route.fetch()
            await may_answer.wait()
            await route.fulfill(response=answer)

        await page.route("**/messages", answer_late)
        await page.locator("#suggestions .chip").first.click()
        await page.locator(".row.out[data-status=sent]").wait_for()
        assert await page.locator(".row.out").count() == 1
        async with page.expect_response(lambda answer: answer.request.method == "POST"):
            may_answer.set()
        await page.locator("#text").fill("halo lagi")
        await page.keyboard.press("Enter")
        await page.locator(".row.out[data-status=sent]").nth(1).wait_for()
        assert await page.locator(".row.out").count() == 2
        assert bad == []


async def test_it_fits_a_phone(browser: Browser, gateway_db: TestDatabase, shop: Shop) -> None:
    settings = settings_for(gateway_db, http_port=a_free_port())
    async with serving(settings) as (http, _):
        url = f"{http.base_url}/simulator/{shop.slug}"
        phone = {"width": 390, "height": 844}
        async with looking(browser, url, viewport=phone, is_mobile=True, has_touch=True) as (
            page,
            bad,
        ):
            await page.locator("#suggestions .chip").first.click()
            await page.locator(".row.out").wait_for()
            box = await page.locator("#composer").bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= phone["height"]
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= phone["width"]
            await page.get_by_label("Customers", exact=True).click()
            await page.get_by_role("button", name="New customer").click()
            await page.get_by_role("button", name="Start chat").click()
            await page.locator(".row.out").wait_for(state="detached")
            assert bad == []


async def test_elsewhere_it_asks_for_a_key(
    browser: Browser, gateway_db: TestDatabase, shop: Shop
) -> None:
    key = (await a_key(gateway_db, shop, "simulator"))["authorization"].removeprefix("Bearer ")
    settings = settings_for(gateway_db, http_port=a_free_port(), http_host="0.0.0.0")
    async with (
        serving(settings) as (http, _),
        looking(browser, f"{http.base_url}/simulator") as (page, bad),
    ):
        await page.locator("#key-dialog input").fill("aip_wrong")
        await page.get_by_role("button", name="Continue").click()
        await page.get_by_text("send an API key").wait_for()
        await page.locator("#key-dialog input").fill(key)
        await page.get_by_role("button", name="Continue").click()
        await page.locator(".person").wait_for()
        assert await page.locator("#shop-name").inner_text() == f"Toko {shop.slug}"
        await page.get_by_label("Message", exact=True).fill("halo")
        await page.keyboard.press("Enter")
        await page.locator(".row.out .tick.sent").wait_for()
        assert all("401" in trouble for trouble in bad)


async def test_the_documentation_page_works_without_breaking_its_policy(
    browser: Browser, gateway_db: TestDatabase
) -> None:
    settings = settings_for(gateway_db, http_port=a_free_port())
    async with (
        serving(settings) as (http, _),
        looking(browser, f"{http.base_url}/docs") as (page, bad),
    ):
        await page.locator(".opblock").first.wait_for()
        assert bad == []
