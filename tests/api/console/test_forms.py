"""Forms in a browser: a table with a mistake is refused by its cell, mended, stored and shown."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp
import pytest

from tests.api.console.conftest import ON_ONE_LOOP, Console
from tests.api.forms.projects import PNG, workbook_of

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TABLE = """
| survey |
| | type | name | label | constraint | media::image |
| | text | name | What is your name? | | |
| | select_one yn | married | Are you married? | | |
| | {type} | age | How __old__ are you? | {constraint} | hut.png |
| choices |
| | list_name | name | label |
| | yn | yes | Certainly |
| settings |
| | form_id | form_title | version |
| | hello | Hello | 7 |
"""


def table(kind: str = "integer", constraint: str = ". < 120") -> dict[str, Any]:
    data = workbook_of(TABLE.replace("{type}", kind).replace("{constraint}", constraint))
    return {"name": "hello.xlsx", "mimeType": XLSX, "buffer": data}


async def upload(console: Console, file: Any, media: Any = None) -> Any:
    page = await console.open("/admin/forms")
    await page.get_by_label("XLSForm (.xlsx) or XForm (.xml)").set_input_files(file)
    if media:
        await page.get_by_label("Pictures and other files").set_input_files(media)
    await page.get_by_role("button", name="Upload a form").click()
    return page


async def test_a_table_with_mistakes_is_told_by_its_cells_then_mended_and_shown(console: Console) -> None:
    page = await upload(console, table("intger", ". < ("))
    rows = page.get_by_role("region", name="What is wrong in the table").locator("tbody tr")
    await expect(page.get_by_role("alert")).to_contain_text("The form was not stored")
    await expect(rows.nth(0)).to_contain_text(
        "survey D4 The expression '. < (' is not valid XPath", use_inner_text=True
    )
    await expect(rows.nth(1).get_by_role("rowheader")).to_have_text("A4")
    await expect(rows.nth(1)).to_contain_text("Unknown question type 'intger'")
    await console.assert_accessible()
    assert await console.db.find("form:hello") is None

    await upload(console, table(), {"name": "hut.png", "mimeType": "image/png", "buffer": PNG})
    await expect(page.get_by_role("status")).to_have_text("The form was stored.")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Hello")
    preview = page.frame_locator("iframe.preview")
    await expect(preview.get_by_text("What is your name?")).to_be_visible()
    await expect(preview.get_by_text("Certainly")).to_be_visible()
    await expect(preview.locator("strong")).to_have_text("old")
    assert await preview.locator("img").evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1
    await console.assert_accessible()

    await console.open("/admin/forms")
    row = page.get_by_role("row").filter(has_text="hello")
    await expect(row).to_contain_text("ready")
    await console.assert_accessible()


async def test_what_works_but_not_as_meant_is_told(console: Console) -> None:
    page = await upload(console, {**table(), "buffer": workbook_of(TABLE.replace("hello", "lonely"))})
    await expect(page.get_by_role("alert")).to_contain_text("The form was not stored")
    lonely = TABLE.replace("hello", "lonely").replace("{type}", "integer").replace("{constraint}", "")
    await upload(console, {**table(), "buffer": workbook_of(lonely)})

    await expect(page.get_by_role("status")).to_contain_text("The form names images/hut.png, which it has no file for.")


async def test_without_a_file_or_with_wrong_properties_nothing_is_stored(console: Console) -> None:
    page = await console.open("/admin/forms")
    await page.get_by_role("button", name="Upload a form").click()
    await expect(page.locator("#form-error")).to_have_text("Choose a file first.")
    await page.get_by_label("XLSForm (.xlsx) or XForm (.xml)").set_input_files(table())
    await page.get_by_text("Properties", exact=True).click()
    await page.get_by_label("Properties as JSON").fill('{"icons": "x"}')
    await page.get_by_role("button", name="Upload a form").click()

    await expect(page.locator("#properties-error")).to_contain_text("'icons' is not one of")
    await page.get_by_label("XLSForm (.xlsx) or XForm (.xml)").set_input_files(table())
    await page.get_by_label("Properties as JSON").fill("{")
    await page.get_by_role("button", name="Upload a form").click()
    await expect(page.locator("#properties-error")).to_contain_text("not valid JSON")


async def test_a_file_that_is_too_large_is_told_on_the_page(console: Console) -> None:
    form = aiohttp.FormData()
    form.add_field("form", bytes(33 * 2**20), filename="large.xlsx")
    answer = await console.client.post("/admin/forms", data=form, headers={"Accept": "text/html"})

    assert answer.status == 413
    assert "must not be larger than 32 MiB" in await answer.text()


async def test_nothing_in_a_preview_acts(console: Console) -> None:
    doc = {"_id": "form:evil", "type": "form", "internalId": "evil", "_attachments": {}}
    page = "<form><script>top.hacked = 1</script><img src='x' onerror='top.hacked = 1'></form>"
    for name, text in (("xml", "<a/>"), ("form.html", page), ("model.xml", "<model/>")):
        data = base64.b64encode(text.encode()).decode()
        doc["_attachments"][name] = {"content_type": "text/plain", "data": data}  # type: ignore[index]
    await console.db.put(doc)
    answer = await console.client.get("/admin/forms/evil/preview", headers={"Accept": "text/html"})
    shown = await console.open("/admin/forms/evil")
    await shown.frame_locator("iframe.preview").locator("form").wait_for()

    assert "sandbox allow-same-origin" in answer.headers["Content-Security-Policy"]
    assert await shown.evaluate("'hacked' in window") is False
    console.complaints.clear()  # the policy says that it has stopped them
