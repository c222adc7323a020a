"""One server, one Chromium and one administrator logged into the console for all tests of a file.

Such tests share an event loop: `pytestmark = ON_ONE_LOOP`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Couch, Database
from tests.api.conftest import PATIENCE_MS, chromium
from tests.conftest import basic, indexing, new_config, prepared, serving

ON_ONE_LOOP = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the browser's pipes
]
AXE = Path(__file__).parents[2] / "clients" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}


@dataclass
class Console:
    """The console as the administrator `admin` sees it; `page` is their browser's tab, `client` calls the API."""

    client: TestClient[Any, Any]
    couch: Couch
    db: Database
    config: Config
    page: Any
    complaints: list[str] = field(default_factory=list)  # of the browser's own console

    def address(self, path: str) -> str:
        return str(self.client.make_url("/")).rstrip("/") + path

    async def open(self, path: str) -> Any:
        await self.page.goto(self.address(path))
        return self.page

    async def assert_accessible(self) -> None:
        """axe-core finds nothing serious on the page as it is, on a desktop or a phone, and it fits a phone's width."""
        await assert_accessible(self.page)
        wide = self.page.viewport_size
        await self.page.set_viewport_size(PHONE)
        await assert_accessible(self.page)
        width = await self.page.evaluate("document.documentElement.scrollWidth")
        await self.page.set_viewport_size(wide)
        assert width <= PHONE["width"], "the page is wider than a phone"


async def assert_accessible(page: Any) -> None:
    """axe-core finds no serious or critical violation."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed (scripts/test installs it where npm is present)")
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text())  # by the debugger: the page's policy lets no script of others in
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    grave = [
        (each["id"], each["help"], [node["html"] for node in each["nodes"]])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def console(couch_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Console]:
    config = new_config(couch_url, tmp_path_factory.mktemp("console"))
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(chromium())
        couch = await stack.enter_async_context(prepared(config))
        await stack.enter_async_context(indexing(config))
        client = await stack.enter_async_context(serving(config))
        context = await browser.new_context(locale="en-GB", timezone_id="UTC")
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        console = Console(client, couch, couch.db(config.database), config, page)
        page.on("console", lambda told: console.complaints.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: console.complaints.append(str(error)))
        user, password = config.couch_admin
        await page.goto(console.address("/medic/login?redirect=%2Fadmin%2F"))
        await page.fill("#user", user)
        await page.fill("#password", password)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/admin/overview")
        yield console
        await context.close()
    refusals = [each for each in console.complaints if "Failed to load resource" not in each]
    assert not refusals  # nothing that the content security policy had to stop, no script that failed


@pytest_asyncio.fixture(loop_scope="module")
async def user(console: Console) -> AsyncIterator[Any]:
    """`await user("clerk", ["data_entry"])` makes an account and returns the header that logs it in."""
    made: list[str] = []

    async def make(name: str, roles: list[str]) -> dict[str, str]:
        doc_id = f"org.couchdb.user:{name}-{console.config.database[-6:]}"
        shared = {"_id": doc_id, "name": doc_id.partition(":")[2], "roles": roles}
        await console.couch.db("_users").put({**shared, "type": "user", "password": "secret-12"})
        await console.db.put({**shared, "type": "user-settings"})
        made.append(doc_id)
        return basic(shared["name"], "secret-12")

    yield make
    for db in (console.couch.db("_users"), console.db):
        for doc in (await db.get_many(made)).values():
            await db.delete(doc["_id"], doc["_rev"])
