"""What every page of the console stands in: navigation, languages, who may see which page, where forms come from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from api.console.pages import CONSOLE_PAGES
from api.console.texts import ENGLISH
from tests.api.console.conftest import ON_ONE_LOOP, Console

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP

API = Path(__file__).parents[3] / "api"
ANONYMOUS = {"Authorization": ""}
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "text/html,*/*;q=0.8"}
KEY = re.compile(r"""["'](console\.(?!css|js)[\w.]*\w)["']""")
BEGINNING = re.compile(r"""["'](console\.[\w.]*\.)["'] ~|f"(console\.[\w.]*\.)\{""")


async def test_every_page_is_in_the_navigation_and_says_where_one_is(console: Console) -> None:
    page = await console.open("/admin/overview")
    links = page.get_by_role("navigation", name="Pages of the console").get_by_role("link")

    assert await links.evaluate_all("all => all.map(each => each.pathname)") == [each.path for each in CONSOLE_PAGES]
    await expect(page.locator(".pages [aria-current=page]")).to_have_text("Overview")
    await console.assert_accessible()
    await page.emulate_media(color_scheme="dark")
    await console.assert_accessible()
    await page.emulate_media(color_scheme="light")


async def test_the_keyboard_skips_the_navigation(console: Console) -> None:
    page = await console.open("/admin/overview")
    await page.keyboard.press("Tab")
    await expect(page.locator(":focus")).to_have_text("Skip to the content")
    await page.keyboard.press("Enter")

    await expect(page.locator("#main")).to_be_focused()


async def test_the_language_is_chosen_on_any_page(console: Console) -> None:
    swahili = {"console.overview.title": "Muhtasari", "console.logout": "Ondoka"}
    doc = {"type": "translations", "code": "sw", "name": "Kiswahili", "enabled": True, "custom": swahili}
    await console.db.put({"_id": "messages-sw", **doc})
    languages = [{"locale": "en", "enabled": True}, {"locale": "sw", "enabled": True}]
    assert (await console.client.put("/api/v1/settings", json={"languages": languages})).status == 200
    page = await console.open("/admin/overview")
    await page.get_by_label("Language").select_option("sw")

    await expect(page.get_by_role("heading", level=1)).to_have_text("Muhtasari")
    await expect(page.locator("html")).to_have_attribute("lang", "sw")
    await expect(page.locator("#wrong")).to_have_text("What needs attention")  # not translated: English
    await page.get_by_label("Language").select_option("en")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


async def test_who_is_not_logged_in_comes_back_after_the_login(console: Console) -> None:
    answer = await console.client.get("/admin/overview", headers={**ANONYMOUS, **BROWSER}, allow_redirects=False)

    assert (answer.status, "login?redirect=%2Fadmin%2Foverview" in answer.headers["Location"]) == (302, True)


async def test_offline_users_see_no_page(console: Console, user: Any) -> None:
    chw = await user("chw", ["chw"])
    answers = [await console.client.get(page.path, headers={**chw, **BROWSER}) for page in CONSOLE_PAGES]

    assert {answer.status for answer in answers} == {403}


async def test_a_user_sees_the_pages_of_their_permissions_alone(console: Console, user: Any) -> None:
    clerk = await user("clerk", ["data_entry"])
    home = await (await console.client.get("/admin/overview", headers={**clerk, **BROWSER})).text()

    for page in CONSOLE_PAGES:
        answer = await console.client.get(page.path, headers={**clerk, **BROWSER})
        may = not page.any_of
        assert (page.name, answer.status) == (page.name, 200 if may else 403)
        assert (page.name, f'href="{page.path}"' in home) == (page.name, may)
        if not may:
            assert "Insufficient privileges" in await answer.text()  # PERM-21, told within the frame
            assert answer.content_type == "text/html"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    ],
    ids=str,
)
async def test_forms_of_other_sites_are_refused(console: Console, headers: dict[str, str]) -> None:
    form = {"locale": "en", "back": "/admin/overview"}
    refused = await console.client.post("/admin/language", data=form, headers=headers)
    own = await console.client.post("/admin/language", data=form, allow_redirects=False)

    assert (refused.status, "The form must be sent from" in await refused.text()) == (403, True)
    assert (own.status, own.headers["Location"]) == (303, "/admin/overview")


async def test_every_text_is_written_and_used() -> None:
    sources = [*(API / "console").glob("*.py"), *(API / "templates" / "console").glob("*.html")]
    text = "\n".join(path.read_text() for path in sources)
    keys = set(KEY.findall(text)) | {f"console.{page.name}.title" for page in CONSOLE_PAGES}
    beginnings = tuple(a or b for a, b in BEGINNING.findall(text))

    assert sorted(keys - ENGLISH.keys()) == []
    assert [key for key in ENGLISH if key not in keys and not key.startswith(beginnings)] == []
