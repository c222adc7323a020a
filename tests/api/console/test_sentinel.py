"""The worker in a browser: what failed is processed again, changes are paused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.console.conftest import ON_ONE_LOOP, Console

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP


async def asked(console: Console) -> dict[str, Any]:
    db = console.couch.db(console.config.db_name("sentinel"))
    return await db.get_local("operator") or {}


async def test_failures_are_shown_and_processed_again(console: Console) -> None:
    db = console.couch.db(console.config.db_name("sentinel"))
    failed = {"type": "task:transition", "state": "failed", "attempts": 6, "error": "registration: no such schedule"}
    await db.put({"_id": "task:transition:r1", "doc_id": "r1", **failed})
    waits = {**failed, "state": "waiting", "attempts": 1, "next_attempt": 1795304279708}
    await db.put({"_id": "task:transition:r2", "doc_id": "r2", **waits})
    job = {"last_run": "2026-11-30T08:00:00.000Z", "next_run": "2026-11-30T08:05:00.000Z", "duration_ms": 12}
    await db.put_local(
        "worker-state", {"jobs": {"purging": {**job, "error": None}, "reminders": {**job, "error": "x"}}}
    )
    page = await console.open("/admin/sentinel")
    await expect(page.get_by_text("No worker is active")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="r1")
    await expect(row).to_contain_text("no such schedule")
    await expect(row).to_contain_text("given up")
    await expect(page.get_by_role("row").filter(has_text="purging")).to_contain_text("done in 12 ms")
    await console.assert_accessible()
    await row.get_by_role("checkbox").check()
    await page.get_by_role("button", name="Process again").first.click()

    await expect(page.get_by_role("status")).to_have_text("Documents to be processed again: 1")
    assert (await asked(console))["replay"] == ["r1"]
    await page.get_by_label("Ids of documents").fill("a\nb")
    await page.get_by_role("button", name="Process again").last.click()
    await expect(page.get_by_role("status")).to_have_text("Documents to be processed again: 2")
    assert (await asked(console))["replay"] == ["r1", "a", "b"]


async def test_changes_are_paused_and_jobs_run(console: Console) -> None:
    page = await console.open("/admin/sentinel")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_text("Pausing was asked for.")).to_be_visible()
    assert (await asked(console))["paused"] is True
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_role("button", name="Run all jobs now").click()

    await expect(page.get_by_role("status")).to_have_text("All jobs run now.")
    assert ((await asked(console))["paused"], (await asked(console))["jobs"]) == (False, 1)


async def test_scripts_may_do_the_same(console: Console, user: Any) -> None:
    clerk = await user("clerk", ["data_entry"])
    client, at = console.client, "/api/v1/sentinel"
    status = await (await client.get(at)).json()
    assert (status["active"], status["paused"], status["asked"]["paused"]) == (False, False, False)
    assert [each["doc_id"] for each in status["failures"]] == ["r1", "r2"]
    page = await (await client.get(f"{at}/failures?limit=1")).json()
    rest = await (await client.get(f"{at}/failures", params={"cursor": page["cursor"]})).json()
    assert [each["doc_id"] for each in [*page["data"], *rest["data"]]] == ["r1", "r2"]
    for name in ("pause", "resume", "jobs"):
        assert (await client.post(f"{at}/{name}")).status == 202
        assert (await client.post(f"{at}/{name}", headers=clerk)).status == 403
    assert (await client.post(f"{at}/replay", json={"docs": ["c"], "forget": True})).status == 202
    assert "c" in (await asked(console))["replay"]
    for body, name in (({}, "docs"), ({"docs": [1]}, "docs"), ({"docs": ["a"], "forget": 1}, "forget")):
        answer = await client.post(f"{at}/replay", json=body)
        assert (answer.status, name in await answer.text()) == (400, True)
