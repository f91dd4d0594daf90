"""The whole path in a real browser: write, see the shop read and type, see its answer."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import looking, open_browser
from tests.support.fake_llm import FakeLlm, Say
from tests.support.stack import Stack, a_product

pytestmark = pytest.mark.browser

PATIENCE = 30_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack that types as slowly as people can see."""
    settings = {"TYPING_SECONDS_PER_CHARACTER": "0.02", "TYPING_MAX_SECONDS": "2"}
    async with Stack(tmp_path_factory.mktemp("stack"), settings=settings) as started:
        yield started


async def test_a_customer_writes_sees_typing_and_gets_a_grounded_answer(
    stack: Stack, browser: Browser
) -> None:
    products = (a_product("Kopi Susu Senja", 18_500), a_product("Kopi Hitam", 12_000))
    shop = await stack.a_shop("senja", products=products)
    url = f"{stack.base_url}/simulator/{shop.slug}"
    async with looking(browser, url, viewport={"width": 1280, "height": 800}) as (page, troubles):
        await page.get_by_text("offline demo model", exact=True).wait_for()
        await page.evaluate(
            """() => {
                window.typingSeen = false;
                const typing = document.getElementById("typing");
                new MutationObserver(() => { window.typingSeen ||= !typing.hidden; })
                    .observe(typing, { attributes: true });
            }"""
        )
        await page.get_by_label("Message", exact=True).fill("halo, ada kopi apa?")
        await page.keyboard.press("Enter")
        answer = page.locator(".row.in .text").first
        await answer.wait_for(timeout=PATIENCE)
        await page.locator(".row.out .tick.seen").first.wait_for()
        text = await page.locator(".row.in").all_inner_texts()
        assert "Kopi Susu Senja" in " ".join(text)
        assert "Rp18.500" in " ".join(text)
        assert "Rp12.000" in " ".join(text)
        assert await page.evaluate("window.typingSeen") is True
        assert troubles == []


async def test_the_page_shows_when_a_person_answers(
    stack: Stack, browser: Browser, llm: FakeLlm
) -> None:
    llm.rule = lambda request: Say("Halo dari AI")
    shop = await stack.a_shop("senja", llm=llm)
    url = f"{stack.base_url}/simulator/{shop.slug}"
    async with looking(browser, url, viewport={"width": 390, "height": 844}) as (page, troubles):
        thread = page.get_by_role("log", name="Messages")
        await page.get_by_label("Message", exact=True).fill("halo")
        await page.keyboard.press("Enter")
        await thread.get_by_text("Halo dari AI").wait_for(timeout=PATIENCE)
        [conversation] = await shop.conversations()
        path = f"/conversations/{conversation['id']}/messages"
        await shop.call("POST", path, {"text": "Halo, saya Sari."})
        await thread.get_by_text("Halo, saya Sari.").wait_for(timeout=PATIENCE)
        assert troubles == []
