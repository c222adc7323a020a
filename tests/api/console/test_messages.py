"""The message queue in a browser."""

from __future__ import annotations

import pytest

from tests.api.console.conftest import ON_ONE_LOOP, Console

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP


async def test_a_failed_message_is_tried_again(console: Console) -> None:
    message = {"uuid": "u1", "to": "+254700000001", "message": "Please visit Mary"}
    failed = {"messages": [message], "state": "failed", "state_details": {"reason": "no credit"}}
    history = [{"state": "failed", "timestamp": "2026-11-30T08:00:00.000Z"}]
    other = {"messages": [{**message, "uuid": "u2", "to": "+254700000002"}], "state": "failed"}
    record = {"_id": "record", "type": "data_record", "reported_date": 1000}
    await console.db.put({**record, "tasks": [{**failed, "state_history": history}, other]})
    page = await console.open("/admin/messages")
    row = page.get_by_role("row").filter(has_text="no credit")
    await expect(row).to_contain_text("Please visit Mary")
    await console.assert_accessible()
    await page.get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("status")).to_have_text("No message was chosen.")
    await row.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Try again").click()

    await expect(page.get_by_role("status")).to_have_text("1 of 1 chosen messages will be tried again.")
    await expect(row).to_have_count(0)
    assert [each["state"] for each in (await console.db.get("record"))["tasks"]] == ["pending", "failed"]
    await page.get_by_label("State").select_option("pending-or-forwarded")
    await expect(page.get_by_role("row").filter(has_text="+254700000001")).to_have_count(1)
    await page.get_by_label("All on this page").check()
    await page.get_by_role("button", name="Mute").click()
    await expect(page.get_by_role("status")).to_have_text("1 of 1 chosen messages are muted.")


async def test_everything_works_without_scripts(console: Console) -> None:
    message = {"uuid": "u9", "to": "+254700000009", "message": "Without scripts"}
    task = {"messages": [message], "state": "muted", "state_history": []}
    await console.db.put({"_id": "plain", "type": "data_record", "reported_date": 2000, "tasks": [task]})
    state = await console.page.context.storage_state()
    context = await console.page.context.browser.new_context(java_script_enabled=False, storage_state=state)
    try:
        page = await context.new_page()
        await page.goto(console.address("/admin/messages"))
        await page.get_by_label("State").select_option("muted")
        await page.get_by_role("button", name="Show").click()
        row = page.get_by_role("row").filter(has_text="Without scripts")
        await row.get_by_role("checkbox").check()
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_role("status")).to_have_text("1 of 1 chosen messages will be tried again.")
    finally:
        await context.close()
    assert (await console.db.get("plain"))["tasks"][0]["state"] == "pending"
