"""The overview in a browser: what is wrong comes first, and a day in plots that need not be seen."""

from __future__ import annotations

import re
import time

import pytest

from api.samples import Samples
from tests.api.console.conftest import ON_ONE_LOOP, Console

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP

MINUTE_MS = 60_000
NUMBERS = ("backlog", "retries", "due", "scheduled", "failed", "muted", "sync_requests", "sync_p50_ms", "sync_p95_ms")


async def test_a_day_is_shown_in_plots_and_in_words(console: Console) -> None:
    samples, now_ms = Samples(console.config.samples), int(time.time() * 1000)
    for hours in range(23, -1, -1):
        at_ms = now_ms - hours * 60 * MINUTE_MS
        samples.add(at_ms, {**dict.fromkeys(NUMBERS, 24 - hours), "conflicts": 0, "index_behind": 0})
    page = await console.open("/admin/overview")
    plots = page.locator(".plot [role=img]")

    await expect(plots).to_have_count(7)
    await expect(plots.first).to_have_attribute(
        "aria-label", re.compile("^waiting: now 24, highest 24 at .*to be tried again")
    )
    await page.locator(".plot summary").first.click()
    await expect(page.locator(".plot").first.get_by_role("row")).to_have_count(25)
    await console.assert_accessible()


async def test_what_is_wrong_comes_first(console: Console) -> None:
    db = console.couch.db(console.config.db_name("sentinel"))
    job = {"error": "x", "last_run": "2026-11-30T08:00:00.000Z", "next_run": None, "duration_ms": 1}
    state = {"errors": ["muting: no such form"], "failed": 3, "jobs": {"purging": job}}
    await db.put_local("worker-state", state)
    samples, now_ms = Samples(console.config.samples), int(time.time() * 1000)
    for minute in range(6):
        samples.add(now_ms - (5 - minute) * MINUTE_MS, {"index_behind": 10 + minute})
    forgotten = {"messages": [{"uuid": "u", "to": "+254700000001", "message": "Come"}], "state": "pending"}
    await console.db.put({"_id": "unsent", "type": "data_record", "reported_date": 1000, "tasks": [forgotten]})
    await console.db.view("medic", "messages_by_state", limit=1, reduce=False)  # its index has the message then
    logs = console.couch.db(console.config.db_name("logs"))
    await logs.put({"_id": "replication-count-asha", "user": "asha", "count": 9000})
    page = await console.open("/admin/overview")
    wrong = page.locator(".wrongs li")

    await expect(wrong.first).to_contain_text("no worker is active")
    for text in (
        "a transition has a wrong setting",
        "Jobs that failed at their last run: 1",
        "is behind by 15 changes",
        "no gateway has come for any within the last hour: 1",
    ):
        await expect(wrong.filter(has_text=text)).to_have_count(1)
    await expect(page.get_by_role("row").filter(has_text="asha")).to_contain_text("9000")
    await console.assert_accessible()
    await wrong.first.get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sentinel")
