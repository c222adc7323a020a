"""What several tests of the API start from."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from core.couch.client import Couch

BROWSER = Path(__file__).parents[1] / "clients" / "browser"
UNPACKED = BROWSER / "unpacked"
PATIENCE_MS = 30_000  # with a page: on a busy machine the indexes of an upgrade take their time


@pytest.fixture
async def new_name(couch: Couch) -> AsyncIterator[str]:
    """A user name of the test's own, whose account is removed afterwards."""
    name = f"mary-{secrets.token_hex(4)}"
    yield name
    users = couch.db("_users")
    account = await users.find(f"org.couchdb.user:{name}")
    if account:
        await users.delete(account["_id"], account["_rev"])


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    async with chromium() as browser:
        yield browser


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """A headless Chromium: that of the machine, else the one that scripts/test installs. Skips where there is none."""
    playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    program, env = shutil.which("chromium"), dict(os.environ)
    if program is None and (UNPACKED / "chromium").exists():
        program = str(UNPACKED / "chromium")
        env |= {"LD_LIBRARY_PATH": str(UNPACKED / "al2023" / "lib"), "FONTCONFIG_FILE": str(BROWSER / "fonts.conf")}
    if program is None:
        pytest.skip("chromium is not installed")
    playwright_api.expect.set_options(timeout=PATIENCE_MS)
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], env=env)
        yield browser
        await browser.close()
