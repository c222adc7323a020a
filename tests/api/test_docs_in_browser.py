"""The page of the API's description in a real browser, which may speak with no other server."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the browser's pipes
]


async def test_an_operation_is_found_opened_and_tried(client: TestClient[Any, Any], browser: Any) -> None:
    home = str(client.make_url("/")).rstrip("/")
    asked: list[str] = []
    errors: list[str] = []
    page = await browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.goto(f"{home}/api/docs")

    await page.get_by_role("searchbox", name="Find").fill("/api/v2/monitoring")
    await expect(page.locator(".operation:visible")).to_have_count(1)
    await page.locator(".operation:visible summary").click()
    await page.get_by_role("textbox", name="connected_user_interval").fill("30")
    await page.get_by_role("button", name="Send").click()

    await expect(page.locator(".answer:visible")).to_contain_text("/api/v2/monitoring?connected_user_interval=30")
    await expect(page.locator(".answer:visible")).to_contain_text('"replication_failure"')

    assert errors == []
    assert [url for url in asked if not url.startswith(home)] == []
