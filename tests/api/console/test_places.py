"""The tree of places in a browser, and by the API: levels, counts, words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.console.conftest import ON_ONE_LOOP, Console
from tests.conftest import eventually

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP


async def store_family(console: Console) -> None:
    district = {"_id": "d", "type": "district_hospital", "name": "Kisumu"}
    center = {"_id": "hc", "type": "health_center", "name": "Ahero", "parent": {"_id": "d"}, "contact": {"_id": "asha"}}
    clinics = [
        {"_id": f"c{n}", "type": "clinic", "name": f"Household {n}", "parent": {"_id": "hc", "parent": {"_id": "d"}}}
        for n in range(3)
    ]
    chain = {"_id": "c0", "parent": {"_id": "hc", "parent": {"_id": "d"}}}
    people = [{"_id": f"p{n}", "type": "person", "name": f"Child {n}", "parent": chain} for n in range(2)]
    asha = {
        "_id": "asha",
        "type": "person",
        "name": "Asha Otieno",
        "phone": "+254711000111",
        "parent": center["parent"],
    }
    gone = {"_id": "gone", "type": "clinic", "name": "Gone", "parent": {"_id": "hc", "parent": {"_id": "d"}}}
    rows = await console.db.bulk_docs([district, center, *clinics, *people, asha, gone])
    await console.db.delete("gone", rows[-1]["rev"])

    async def counted() -> bool:
        answer = await (await console.client.get("/api/v1/contact-tree")).json()
        return bool(answer["data"] and answer["data"][0]["below"] == 7)

    await eventually(counted)


async def test_the_tree_is_walked_level_by_level(console: Console) -> None:
    await store_family(console)
    page = await console.open("/admin/places")
    row = page.get_by_role("row").filter(has_text="Kisumu")
    await expect(row.get_by_role("cell")).to_have_text(["district_hospital", "", "2", "7"])
    await row.get_by_role("link").click()
    row = page.get_by_role("row").filter(has_text="Ahero")
    await expect(row.get_by_role("cell")).to_have_text(["health_center", "Asha Otieno", "3", "5"])
    await row.get_by_role("link").click()
    await expect(page.get_by_role("navigation", name="Where this is").get_by_role("link")).to_have_text(
        ["All places", "Kisumu"]
    )
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ahero")
    await console.assert_accessible()
    await page.get_by_role("link", name="New user here").click()
    await expect(page.get_by_label("Place")).to_have_value("hc")


async def test_words_find_places_and_people(console: Console) -> None:
    page = await console.open("/admin/places")
    await page.get_by_label("Words of a name, phone or id").fill("ASHA oti")

    async def found() -> bool:
        await page.get_by_role("button", name="Find").click()
        return bool(await page.get_by_role("row").filter(has_text="Asha Otieno").count())

    await eventually(found)
    await page.get_by_role("link", name="Asha Otieno").click()
    await expect(page.get_by_text("+254711000111")).to_be_visible()
    await console.open("/admin/places?at=nowhere")
    await expect(page.get_by_text("There is no place or person 'nowhere'")).to_be_visible()


async def test_pages_of_the_tree_bring_everything_once(console: Console, user: Any) -> None:
    clerk = await user("clerk", ["data_entry"])
    seen, cursor = [], ""
    while cursor is not None:
        params = {"parent": "d", "limit": "1", "cursor": cursor}
        answer = await (await console.client.get("/api/v1/contact-tree", params=params)).json()
        seen += [each["id"] for each in answer["data"]]
        cursor = answer["cursor"]

    assert seen == ["hc", "asha"]  # places before people
    assert (await console.client.get("/api/v1/contact-tree", headers=clerk)).status == 403
    assert (await console.client.get("/api/v1/contact-tree?limit=x")).status == 400
