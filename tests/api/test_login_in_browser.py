"""The pages of the login in a real browser, with scripts and without (AUTH-50..53, 81, 93, 110)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.startup import StartUp, create_startup_app
from core.couch.client import Couch, Database
from tests.api.oidc_provider import CLIENT_SECRET, OidcProvider

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the browser's pipes
]

Client = TestClient[Any, Any]
SWAHILI = {
    "_id": "messages-sw",
    "type": "translations",
    "code": "sw",
    "name": "Kiswahili",
    "enabled": True,
    "custom": {
        "login": "Ingia",
        "User Name": "Jina la mtumiaji",
        "login.incorrect": "Jina au nenosiri si sahihi.",
        "login.token.invalid": "Kiungo hiki si sahihi.",
    },
}


class Visit:
    """A page of the server under test; `errors` are what the browser's console complained of."""

    def __init__(self, client: Client, page: Any, *, scripts: bool = True) -> None:
        self.client = client
        self.scripts = scripts
        self.page = page
        self.errors: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def open(self, path: str) -> Any:
        await self.page.goto(str(self.client.make_url("/")).rstrip("/") + path)
        return self.page

    def address(self, path: str) -> str:
        return str(self.client.make_url("/")).rstrip("/") + path

    async def cookies(self) -> dict[str, Any]:
        return {cookie["name"]: cookie for cookie in await self.page.context.cookies()}


@pytest.fixture(params=[True, False], ids=["scripts", "no scripts"])
async def visit(request: pytest.FixtureRequest, client: Client, browser: Any) -> AsyncIterator[Visit]:
    context = await browser.new_context(java_script_enabled=request.param, locale="en-GB")
    visit = Visit(client, await context.new_page(), scripts=request.param)
    yield visit
    await context.close()
    refusals = [error for error in visit.errors if "Failed to load resource" not in error]
    assert not refusals  # nothing that the content security policy had to stop, no script that failed


@pytest.fixture
async def scripted(client: Client, browser: Any) -> AsyncIterator[Visit]:
    context = await browser.new_context(locale="en-GB")
    yield Visit(client, await context.new_page())
    await context.close()


async def test_log_in_by_keyboard_alone(visit: Visit, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    page = await visit.open("/medic/login?redirect=%2Fdbinfo")
    await expect(page.locator("#user")).to_be_focused()
    await page.keyboard.type(asha.name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(asha.password)
    await page.keyboard.press("Enter")
    await page.wait_for_url(visit.address("/dbinfo"))

    cookies = await visit.cookies()
    assert cookies["AuthSession"]["httpOnly"] is True  # AUTH-62
    assert cookies["AuthSession"]["sameSite"] == "Lax"
    assert asha.name in unquote(cookies["userCtx"]["value"])


async def test_every_control_can_be_reached_by_tab(scripted: Visit) -> None:
    page = await scripted.open("/medic/login")
    seen = []
    for _ in range(4):
        seen.append(await page.evaluate("document.activeElement.name || document.activeElement.textContent"))
        await page.keyboard.press("Tab")

    assert seen == ["user", "password", "Show password", "Log in"]


async def test_a_wrong_password_is_told_and_the_name_stays(visit: Visit, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    page = await visit.open("/medic/login")
    await page.fill("#user", asha.name)
    await page.fill("#password", "wrong")
    await page.click("#submit")

    await expect(page.get_by_role("alert")).to_have_text("The user name or the password is wrong. Please try again.")
    await expect(page.locator("#user")).to_have_value(asha.name)
    assert "AuthSession" not in await visit.cookies()
    await page.fill("#password", asha.password)
    await page.click("#submit")
    await page.wait_for_url(visit.address("/"))


async def test_the_name_is_trimmed_and_lower_case(scripted: Visit, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    page = await scripted.open("/medic/login")
    await page.fill("#user", f" {asha.name.upper()} ")
    await page.fill("#password", asha.password)
    await page.keyboard.press("Enter")
    await page.wait_for_url(scripted.address("/"))

    assert "AuthSession" in await scripted.cookies()  # AUTH-53


async def test_the_language_is_switched_in_place(scripted: Visit, client: Client, db: Database) -> None:
    await db.put(SWAHILI)
    enabled = [{"locale": "en", "enabled": True}, {"locale": "sw", "enabled": True}]
    assert (await client.put("/api/v1/settings", json={"languages": enabled})).status == 200
    page = await scripted.open("/medic/login")
    await expect(page.locator("#submit")).to_have_text("Log in")
    await page.select_option("#locale", "sw")

    await expect(page.locator("#submit")).to_have_text("Ingia")  # AUTH-50
    await expect(page.locator("label[for=user]")).to_have_text("Jina la mtumiaji")
    await expect(page.locator("label[for=password]")).to_have_text("Password")  # not translated: English
    await expect(page.locator("html")).to_have_attribute("lang", "sw")
    await page.fill("#user", "nobody")
    await page.fill("#password", "wrong")
    await page.click("#submit")
    await expect(page.get_by_role("alert")).to_have_text("Jina au nenosiri si sahihi.")


async def test_the_password_can_be_shown(scripted: Visit) -> None:
    page = await scripted.open("/medic/login")
    await page.click("text=Show password")
    await expect(page.locator("#password")).to_have_attribute("type", "text")
    await page.click("text=Hide password")

    await expect(page.locator("#password")).to_have_attribute("type", "password")


async def test_who_is_logged_in_skips_the_page_unless_forced(scripted: Visit, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    page = await scripted.open("/medic/login")
    await page.fill("#user", asha.name)
    await page.fill("#password", asha.password)
    await page.keyboard.press("Enter")
    await page.wait_for_url(scripted.address("/"))
    await scripted.open("/medic/login?redirect=%2Fapi%2Finfo")
    await page.wait_for_url(scripted.address("/api/info"))  # AUTH-52
    await scripted.open("/medic/logout")
    await page.wait_for_url("**/login")

    await expect(page.locator("#user")).to_be_visible()  # AUTH-72


async def test_a_redirect_to_another_site_stays_here(scripted: Visit, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    page = await scripted.open("/medic/login?redirect=https%3A%2F%2Fevil.example%2Fapi%2Finfo")
    await page.fill("#user", asha.name)
    await page.fill("#password", asha.password)
    await page.keyboard.press("Enter")

    await page.wait_for_url(scripted.address("/api/info"))  # AUTH-64


async def test_a_link_logs_in_once(visit: Visit, client: Client, couch: Couch, db: Database) -> None:
    await client.put("/api/v1/settings", json={"token_login": {"enabled": True}})
    name = f"guest-{db.name[-6:]}"
    body = {"username": name, "roles": ["data_entry"], "token_login": True, "phone": "+254711000111"}
    assert (await client.post("/api/v1/users", json=body)).status == 200
    account = await couch.db("_users").get(f"org.couchdb.user:{name}")
    link = f"/medic/login/token/{account['token_login']['token']}"
    page = await visit.open(link)
    if not visit.scripts:
        await page.click("#submit")
    await page.wait_for_url(visit.address("/"))
    assert name in unquote((await visit.cookies())["userCtx"]["value"])  # AUTH-82
    await page.context.clear_cookies()
    await visit.open(link)
    if not visit.scripts:
        await page.click("#submit")

    await expect(page.get_by_role("alert")).to_contain_text("This link is not valid")  # AUTH-83
    account = await couch.db("_users").get(f"org.couchdb.user:{name}")
    await couch.db("_users").delete(account["_id"], account["_rev"])


async def test_a_password_is_chosen(visit: Visit, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    page = await visit.open(f"/medic/password-reset?username={asha.name}")
    await page.fill("#currentPassword", asha.password)
    await page.fill("#password", "aaaaaaaa")
    await page.click("#submit")
    await expect(page.get_by_role("alert")).to_contain_text("too easy to guess")
    await page.fill("#currentPassword", asha.password)
    await page.fill("#password", "Green-boat-12")
    await page.click("#submit")
    await page.wait_for_url(visit.address("/"))

    assert "AuthSession" in await visit.cookies()  # AUTH-93


async def test_a_redirect_made_for_one_user_is_not_followed_by_another(scripted: Visit, make_user: Any) -> None:
    asha = await make_user("asha", roles=["data_entry"])
    for meant_for, target in (("somebody", "/"), (asha.name, "/api/info")):
        page = await scripted.open(f"/medic/login?redirect=%2Fapi%2Finfo&username={meant_for}")
        await page.fill("#user", asha.name)
        await page.fill("#password", asha.password)
        await page.keyboard.press("Enter")
        await page.wait_for_url(scripted.address(target))  # AUTH-51
        await page.context.clear_cookies()


async def test_single_sign_on_from_the_page(visit: Visit, client: Client, make_user: Any) -> None:
    provider = OidcProvider()
    provider.email = f"asha-{secrets.token_hex(4)}@example.org"
    async with provider.server:
        assert (await client.put("/api/v1/settings", json={"oidc_provider": provider.settings})).status == 200
        assert (await client.put("/api/v1/credentials/oidc:client-secret", data=CLIENT_SECRET)).status == 200
        page = await visit.open("/medic/login?redirect=%2Fapi%2Finfo")
        await page.get_by_role("link", name="Log in with single sign-on").click()
        await expect(page.locator("#error")).to_have_text(
            "There is no account here for this identity. Please ask your administrator."
        )
        asha = await make_user("asha", roles=["data_entry"], oidc_username=provider.email)
        await visit.open("/medic/login?redirect=%2Fapi%2Finfo")
        await page.get_by_role("link", name="Log in with single sign-on").click()
        await page.wait_for_url(visit.address("/api/info"))  # AUTH-110

    cookies = await visit.cookies()
    assert cookies["AuthSession"]["httpOnly"] is True
    assert asha.name in unquote(cookies["userCtx"]["value"])


async def test_the_page_of_a_starting_server_shows_its_steps(browser: Any) -> None:
    start_up = StartUp()
    start_up.begin("checks")
    async with TestServer(create_startup_app(start_up)) as server:
        page = await (await browser.new_context(locale="en-GB")).new_page()
        await page.goto(str(server.make_url("/anything")))
        await expect(page.locator("[aria-current]")).to_have_text("Waiting for the database")
        start_up.begin("config")
        await expect(page.locator("[aria-current]")).to_have_text("Loading the configuration")  # AUTH-19, UPG-2
        await expect(page.locator("#checks")).to_have_text("Waiting for the database ✓")
        await page.context.close()
