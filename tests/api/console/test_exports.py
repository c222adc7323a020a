"""Exports started in a browser: the file is that of the API, with the filters that were filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.console.conftest import ON_ONE_LOOP, Console

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

pytestmark = ON_ONE_LOOP

DAY_MS = 86_400_000
NOON_MS = 1_795_348_800_000  # of 22 November 2026, UTC


async def test_reports_of_a_day_and_a_form(console: Console, tmp_path: Path) -> None:
    report = {"type": "data_record", "fields": {}, "content_type": "xml"}
    docs = [
        {"_id": f"{form}-{day}", **report, "form": form, "reported_date": NOON_MS + day * DAY_MS}
        for form in ("visit", "delivery")
        for day in range(3)
    ]
    await console.db.bulk_docs(docs)
    page = await console.open("/admin/exports")
    await console.assert_accessible()
    form = page.get_by_role("form", name="Reports")
    await form.get_by_label("From").fill("2026-11-23")
    await form.get_by_label("To").fill("2026-11-23")
    await form.get_by_label("Forms").fill("visit")
    async with page.expect_download() as downloading:
        await form.get_by_role("button", name="Download").click()
    download = await downloading.value
    path = tmp_path / "reports.csv"
    await download.save_as(path)

    assert download.suggested_filename.startswith("reports-")
    assert [line.split(",")[0].strip('"') for line in path.read_text().splitlines()[1:]] == ["visit-1"]


async def test_what_cannot_be_read_is_told_at_its_field(console: Console) -> None:
    page = await console.open("/admin/exports/dhis?dhis_set=x&dhis_month=soon")

    await expect(page.locator("#dhis_month-error")).to_have_text("This is not a month, such as 2026-11.")
    await console.open("/admin/exports/dhis?dhis_month=2026-11")
    await expect(page.locator("#dhis_set-error")).to_contain_text("dhis_data_sets")
    await console.open("/admin/exports/reports?reports_from=yesterday")
    await expect(page.locator("#reports_from-error")).to_contain_text("This is not a date")
    await console.open("/admin/exports/reports?reports_to=9999-12-31")
    await expect(page.locator("#reports_to-error")).to_contain_text("This is not a date")


async def test_a_data_value_set_has_ids_unless_somebody_wants_to_read_it(console: Console) -> None:
    page = await console.open("/admin/exports")
    dhis = page.get_by_role("form", name="Targets for DHIS2")

    await expect(dhis.get_by_role("checkbox")).not_to_be_checked()
    await expect(dhis.get_by_text("Names in place of ids")).to_be_visible()


async def test_filters_of_contacts_reach_the_api(console: Console) -> None:
    query = "contacts_types=clinic&contacts_types=person&contacts_parent=hc&contacts_search=&contacts_format=csv"
    answer = await console.client.get(f"/admin/exports/contacts?{query}", allow_redirects=False)

    assert answer.status == 303
    assert answer.headers["Location"] == (
        "/api/v2/export/contacts?filters%5Btypes%5D%5Bselected%5D%5B%5D=clinic"
        "&filters%5Btypes%5D%5Bselected%5D%5B%5D=person&filters%5Bparent%5D=hc&format=csv"
    )
