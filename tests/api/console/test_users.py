"""User accounts in a browser: one made by hand, many from a CSV file with a bad row, one changed and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.api.console.conftest import ON_ONE_LOOP, Console

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP


def csv_file(content: bytes) -> dict[str, str | bytes]:
    return {"name": "users.csv", "mimeType": "text/csv", "buffer": content}


HEADINGS = "username,password,roles,place,contact.name"


@pytest_asyncio.fixture(loop_scope="module")
async def unique(console: Console) -> AsyncIterator[str]:
    """An ending for the names of accounts, which are taken away afterwards."""
    ending = console.config.database[-6:]
    yield ending
    users = console.couch.db("_users")
    rows = await users.all_docs(startkey="org.couchdb.user:", endkey="org.couchdb.user:\ufff0")
    for row in rows:
        if row["id"].endswith(ending):
            await users.delete(row["id"], row["value"]["rev"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(console: Console) -> str:
    answer = await console.client.post("/api/v1/places", json={"name": "Kisumu", "type": "district_hospital"})
    return str((await answer.json())["id"])


async def test_a_user_is_made_changed_found_and_deleted(console: Console, unique: str, place: str) -> None:
    name = f"asha-{unique}"
    page = await console.open("/admin/users/new")
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Full name").fill("Asha Otieno")
    await page.get_by_role("checkbox", name="chw", exact=True).check()
    await page.get_by_role("button", name="Create the user").click()
    errors = page.get_by_role("alert")
    await expect(errors).to_contain_text("Missing required fields: password, place, contact")  # EP-USR-25
    await expect(errors).to_be_focused()
    await expect(page.get_by_label("Place")).to_have_attribute("aria-invalid", "true")
    await console.assert_accessible()
    await expect(page.get_by_label("Full name")).to_have_value("Asha Otieno")  # what was typed stays
    await page.get_by_label("Place").fill(place)
    await page.get_by_label("Name of a new contact").fill("Asha Otieno")
    await page.get_by_label("Password", exact=True).fill(" Green-boat-12 ")
    await page.get_by_role("button", name="Create the user").click()
    await expect(page.get_by_role("status")).to_have_text(f"The user {name} was created.")
    await page.get_by_label("Phone").fill("+254711000111")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("status")).to_have_text(f"The user {name} was changed.")
    await console.open("/admin/users")
    await page.get_by_label("Name, full name or phone").fill("OTIENO")
    await page.keyboard.press("Enter")
    row = page.get_by_role("row").filter(has_text=name)
    await expect(row).to_contain_text("+254711000111")
    await expect(row).to_contain_text("Kisumu")
    await console.assert_accessible()
    account = await (await console.client.get(f"/api/v2/users/{name}")).json()
    assert (account["roles"], account["contact"]["name"]) == (["chw"], "Asha Otieno")
    login = await console.client.post("/medic/login", json={"user": name, "password": " Green-boat-12 "})
    assert login.status == 302  # the password is as it was typed
    await row.get_by_role("link").click()
    await page.locator("summary", has_text="Delete the user").click()
    await page.get_by_role("button", name="Delete the user").click()

    await expect(page.get_by_role("status")).to_have_text(f"The user {name} was deleted.")
    assert (await console.client.get(f"/api/v2/users/{name}")).status == 404


async def test_users_from_a_csv_file_with_a_bad_row(console: Console, unique: str, place: str) -> None:
    rows = [
        f"mary-{unique},Green-boat-12,chw,{place},Mary Anyango",
        f"bad-{unique},Green-boat-12,chw,no-such-place,Nobody",
        f"juma-{unique},Green-boat-12,data_entry,,",
    ]
    page = await console.open("/admin/users/imports")
    await console.assert_accessible()
    await page.get_by_role("button", name="Create the users").click()
    await expect(page.get_by_role("alert")).to_contain_text("Choose a CSV file.")
    content = "\n".join([HEADINGS, *rows]).encode()
    await page.get_by_label("CSV file").set_input_files(csv_file(content))
    await page.get_by_role("button", name="Create the users").click()

    await expect(page.locator("#import")).to_contain_text("finished 3 of 3 rows")  # the page follows by itself
    await expect(page.get_by_role("row").filter(has_text=f"bad-{unique}")).to_contain_text("Failed to find place.")
    await console.assert_accessible()
    names = [each["username"] for each in await (await console.client.get("/api/v2/users")).json()]
    assert {f"mary-{unique}", f"juma-{unique}"} <= set(names)
    assert f"bad-{unique}" not in names
    [told] = await (await console.client.get("/api/v1/user-imports")).json()
    assert (told["status"], told["progress"]["saving"]["failed"]) == ("finished", 1)


async def test_a_file_that_is_no_csv_is_refused_at_its_field(console: Console) -> None:
    page = await console.open("/admin/users/imports")
    content = b"username,username\na,b"
    await page.get_by_label("CSV file").set_input_files(csv_file(content))
    await page.get_by_role("button", name="Create the users").click()

    await expect(page.locator("#file-error")).to_have_text("CSV line 1: the column username is there more than once")


async def test_a_link_to_log_in_is_sent_instead_of_a_password(console: Console, unique: str) -> None:
    token_login = {"enabled": True, "message": "Tap this link"}
    assert (await console.client.put("/api/v1/settings", json={"token_login": token_login})).status == 200
    name = f"guest-{unique}"
    form = {"username": name, "roles": "data_entry", "phone": "+254711000222", "token_login": "yes", "action": "create"}
    made = await console.client.post("/admin/users/new", data=form, allow_redirects=False)
    page = await (await console.client.get(f"/admin/users/named/{name}")).text()

    assert (made.status, made.headers["Location"]) == (303, f"/admin/users/named/{name}")
    assert "A link to log in is valid until" in page
    assert "Send a new link to log in by SMS" in page
