"""Debian's Chromium, driven by Playwright, and what went wrong on a page."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """One browser; skips where none is installed."""
    if not CHROMIUM.exists():
        pytest.skip("chromium is not installed")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*_ARGUMENTS, *sandbox]
        )
        yield opened
        await opened.close()


@asynccontextmanager
async def looking(
    browser: Browser, url: str, **context: Any
) -> AsyncIterator[tuple[Page, list[str]]]:
    """A page as an Indonesian customer's browser shows it, and everything that went wrong on it."""
    troubles: list[str] = []
    surroundings = await browser.new_context(locale="id-ID", timezone_id="Asia/Jakarta", **context)
    page = await surroundings.new_page()
    page.on("console", lambda said: troubles.append(f"{said.type}: {said.text}"))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "response",
        lambda answer: (
            troubles.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        ),
    )
    try:
        await page.goto(url, wait_until="load")
        yield page, troubles
    finally:
        await surroundings.close()
