"""A whole upgrade in a browser: looked at, staged, watched, completed; another is warned about and aborted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from core.upgrades.runner import UpgradeRunner
from tests.api.console.conftest import ON_ONE_LOOP, Console
from tests.upgrading import put_build

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def builds(console: Console) -> AsyncIterator[Path]:
    """The folder of builds, with a newer and an older one, and somebody who carries upgrades out."""
    folder = console.config.data / "builds"
    folder.mkdir()
    put_build(folder, "9.1.0")
    put_build(folder, "4.9.0")
    await console.db.put({"_id": "p", "type": "person", "name": "Ama"})
    work = asyncio.create_task(UpgradeRunner(console.couch, console.config).run(25))
    yield folder
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


async def version(console: Console) -> Any:
    return (await console.db.get("_design/medic"))["version"]


async def test_an_upgrade_is_watched_to_its_end(console: Console, builds: Path) -> None:
    page = await console.open("/admin/upgrades")
    await console.assert_accessible()
    await page.get_by_role("link", name="9.1.0").click()
    await expect(page.get_by_role("row").filter(has_text="medic-client")).to_contain_text("other views")
    await console.assert_accessible()

    await page.get_by_role("button", name="Stage").click()
    await expect(page.get_by_role("status")).to_have_text("Staging was asked for.")
    await page.get_by_role("button", name="Complete").click()  # it appears when all is indexed
    await expect(page.get_by_role("heading", name="Upgrade to 9.1.0")).to_contain_text("done")

    await console.assert_accessible()
    await expect(page.get_by_role("row").filter(has_text="exchanging design documents")).to_be_visible()
    assert await version(console) == "9.1.0"


async def test_an_older_build_is_warned_about_and_aborted(console: Console, builds: Path) -> None:
    page = await console.open("/admin/upgrades")
    await page.get_by_role("link", name="4.9.0").click()
    await expect(page.get_by_text("4.9.0 is older than")).to_be_visible()
    await page.get_by_role("button", name="Stage").click()
    await expect(page.get_by_role("button", name="Complete")).to_be_visible()

    await page.get_by_role("button", name="Abort").click()

    await expect(page.get_by_role("heading", name="Upgrade to 4.9.0")).to_contain_text("aborted")
    assert await version(console) != "4.9.0"


async def test_a_build_that_is_not_there_is_named(console: Console, builds: Path) -> None:
    page = await console.open("/admin/upgrades?build=9.9.9")

    await expect(page.get_by_role("alert")).to_contain_text("There is no build medic:medic:9.9.9")


async def test_a_second_upgrade_is_refused_on_the_page(console: Console, builds: Path) -> None:
    page = await console.open("/admin/upgrades?build=4.9.0")
    await page.get_by_role("button", name="Stage").click()
    await expect(page.get_by_role("button", name="Complete")).to_be_visible()

    await console.open("/admin/upgrades?build=4.9.0")
    await page.get_by_role("button", name="Stage").click()

    await expect(page.get_by_role("alert")).to_contain_text("The upgrade to 4.9.0 is unfinished (indexed)")
    await console.assert_accessible()
