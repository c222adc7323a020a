"""The settings in a browser: refused for a named error, then accepted; never over somebody else's; put back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from core.config_history import ConfigHistory
from core.settings import SETTINGS_ID
from tests.api.console.conftest import ON_ONE_LOOP, Console

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP


async def edit(console: Console, **changes: Any) -> Any:
    page = await console.open("/admin/settings")
    values = json.loads(await page.get_by_label("Settings").input_value())
    await page.get_by_label("Settings").fill(json.dumps({**values, **changes}))
    await page.get_by_role("button", name="Check and show the changes").click()
    return page


async def settings(console: Console) -> Any:
    return await (await console.client.get("/api/v1/settings")).json()


async def test_an_edit_is_refused_for_a_named_error_and_then_accepted(console: Console) -> None:
    bad = [{"name": "ANC", "messages": [{"offset": "soon"}]}]
    page = await edit(console, schedules=bad)
    await expect(page.get_by_role("alert")).to_contain_text(
        "schedules[0].messages[0].offset must be a duration such as `3 days`"
    )
    await expect(page.get_by_role("button", name="Save these settings")).to_have_count(0)
    await console.assert_accessible()
    await page.get_by_role("button", name="Go on editing").click()
    text = await page.get_by_label("Settings").input_value()
    await page.get_by_label("Settings").fill(text.replace('"soon"', '"3 days"'))
    await page.get_by_role("button", name="Check and show the changes").click()
    await expect(page.get_by_role("region", name="What would change").locator("ins")).to_contain_text(["3 days"])
    await page.get_by_role("button", name="Save these settings").click()
    await expect(page.get_by_role("status")).to_have_text("The settings were saved.")
    await console.assert_accessible()

    assert (await settings(console))["schedules"][0]["messages"] == [{"offset": "3 days"}]


async def test_what_is_not_json_is_told_at_its_field(console: Console) -> None:
    page = await console.open("/admin/settings")
    await page.get_by_label("Settings").fill('{"locale": ')
    await page.get_by_role("button", name="Check and show the changes").click()

    await expect(page.locator("#settings-error")).to_contain_text("This is not JSON")
    await expect(page.get_by_label("Settings")).to_have_value('{"locale":')


async def test_what_somebody_else_changed_meanwhile_is_shown_first(console: Console) -> None:
    page = await edit(console, mine=True)
    assert (await console.client.put("/api/v1/settings", json={"theirs": 1})).status == 200
    await page.get_by_role("button", name="Save these settings").click()
    await expect(page.get_by_role("alert")).to_contain_text("Somebody else has changed the settings")
    await expect(page.locator("del").filter(has_text="theirs")).to_have_count(1)

    assert "mine" not in await settings(console)


async def test_a_version_is_restored(console: Console) -> None:
    history = ConfigHistory(console.db, lambda: datetime.now(UTC))
    before = await settings(console)
    await history.record([SETTINGS_ID])
    assert (await console.client.put("/api/v1/settings", json={"locale": "sw"})).status == 200
    await history.record([SETTINGS_ID])
    page = await console.open("/admin/settings/history")
    await console.assert_accessible()
    await page.get_by_role("row").nth(2).get_by_role("link").click()
    await expect(page.locator("del").filter(has_text='"locale": "sw"')).to_have_count(1)
    await console.assert_accessible()
    await page.locator("summary", has_text="Restore these settings").click()
    await page.get_by_role("button", name="Restore these settings").click()
    await expect(page.get_by_role("status")).to_contain_text("are in force again")

    assert await settings(console) == before
