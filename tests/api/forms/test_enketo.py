"""The HTML and model of forms in the engine that shows them, as it is published, in a real browser (FORM-29)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from lxml import etree

from core.couch.client import Database
from tests.api.family import FAMILY, IN_KANGA
from tests.api.forms.projects import PNG, workbook_of

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright_api.expect

CLIENTS = Path(__file__).parents[2] / "clients"
MODULES = CLIENTS / "tools" / "node_modules"
FORMS = Path(__file__).parents[3] / "forms"
PROJECT = CLIENTS / "project" / "forms"
# What every client of the engine has in its own styles.
STYLE = ".disabled, [lang]:not(.active):is(.question-label, .option-label) { display: none }"

pytestmark = [
    pytest.mark.node,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the browser's pipes
    pytest.mark.skipif(
        shutil.which("node") is None or not (MODULES / "enketo-core").exists(),
        reason="Node or enketo-core is not here (scripts/test installs it where npm is present)",
    ),
]

Client = TestClient[Any, Any]
VISIT = """
| survey |
| | type | name | label::English (en) | label::Kiswahili (sw) | required | constraint | constraint_message::English (en) | relevant | calculation | media::image::English (en) |
| | date | day | When? | Lini? | yes | . <= today() | Not yet | | | |
| | select_one yn | sick | Anybody __sick__? | Mgonjwa? | yes | | | | | hut.png |
| | select_multiple signs | signs | Which signs? | Dalili? | | | | ${sick} = 'yes' | | |
| | integer | people | How many people? | Wangapi? | | . < 20 | Fewer than 20 | | | |
| | begin repeat | net | Net | Neti | | | | | | |
| | select_one color | colour | Colour | Rangi | | | | | | |
| | end repeat | | | | | | | | | |
| | begin group | house | House | Nyumba | | | | | | |
| | text | place_id | House number | Namba | | | | | | |
| | end group | | | | | | | | | |
| | image | photo | Photo | Picha | | | | | | |
| | calculate | nets | | | | | | | count(${net}) | |
| | calculate | missing | | | | | | | ${people} - ${nets} | |
| | note | summary | ${missing} nets are missing. | Neti ${missing}. | | | | | | |
| choices |
| | list_name | name | label::English (en) | label::Kiswahili (sw) |
| | yn | yes | Yes | Ndiyo |
| | yn | no | No | Hapana |
| | signs | fever | Fever | Homa |
| | signs | cough | Cough | Kikohozi |
| | color | blue | Blue | Bluu |
| | color | white | White | Nyeupe |
| settings |
| | form_id | form_title | version | default_language |
| | visit | Visit | 3 | English (en) |
"""  # noqa: E501


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine and the little page around it in one script."""
    script = tmp_path_factory.mktemp("enketo") / "enketo.js"
    command = [str(MODULES / ".bin" / "esbuild"), "enketo.js", "--bundle", "--format=iife", f"--outfile={script}"]
    alias = "--alias:enketo/file-manager=enketo-core/src/js/file-manager"
    made = subprocess.run(
        [*command, alias, "--log-level=error"],
        cwd=CLIENTS,
        env={"NODE_PATH": str(MODULES), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return script


class Filler:
    """A page that shows the forms of the server under test; `errors` are what the browser complained of."""

    def __init__(self, db: Database, page: Any) -> None:
        self.db, self.page = db, page
        self.errors: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def open(self, doc_id: str, record: str = "") -> None:
        """Show a form, which the engine must take without a complaint."""
        doc = await self.db.get(doc_id)
        html, model = [
            (await self.db.attachment(doc_id, name, doc["_rev"])).decode() for name in ("form.html", "model.xml")
        ]
        complaints = await self.page.evaluate("([...each]) => openForm(...each)", [html, model, record])
        assert complaints == [], complaints

    def field(self, path: str) -> Any:
        return self.page.locator(f"[name='{path}'], [data-name='{path}']")

    async def submitted(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.page.evaluate("submitted()")
        return found


@pytest.fixture
async def filler(client: Client, db: Database, browser: Any, engine: Path) -> AsyncIterator[Filler]:
    page = await browser.new_page()
    await page.route(
        "http://forms.example/", lambda route: route.fulfill(content_type="text/html", body=f"<style>{STYLE}</style>")
    )
    await page.goto("http://forms.example/")
    await page.add_script_tag(path=engine)
    filler = Filler(db, page)
    yield filler
    assert filler.errors == []
    await page.close()


async def test_a_form_filled_in_a_browser_is_the_report_it_says(
    client: Client, db: Database, filler: Filler, make_user: Any
) -> None:
    await db.bulk_docs([*FAMILY])
    asha = await make_user("asha", roles=["chw"], facility_id="hc-kanga", contact_id="p-asha")
    form = aiohttp.FormData()
    form.add_field("form", workbook_of(VISIT), filename="visit.xlsx")
    form.add_field("properties", '{"context":{"openrosa":true}}')
    form.add_field("media", PNG, filename="hut.png", content_type="image/png")
    stored = await client.post("/api/v1/forms", data=form)
    assert stored.status == 201, await stored.text()
    page = filler.page

    await filler.open("form:visit")
    await expect(page.locator("img")).to_have_attribute("data-media-src", "images/hut.png")  # FORM-25
    await expect(page.locator("strong")).to_have_text("sick")
    await filler.field("/data/day").first.evaluate(
        "(field) => { field.value = '2026-11-20'; field.dispatchEvent(new Event('change', {bubbles: true})) }"
    )
    await expect(page.get_by_text("Which signs?")).to_be_hidden()
    await page.get_by_label("Yes").check()
    await expect(page.get_by_text("Which signs?")).to_be_visible()
    for sign in ("Fever", "Cough"):
        await page.get_by_label(sign).check()
    await filler.field("/data/people").fill("25")
    await filler.field("/data/people").blur()
    refused = await filler.submitted()
    await filler.field("/data/people").fill("5")
    await page.get_by_label("Blue").check()
    await page.locator(".add-repeat-btn").click()
    await page.get_by_label("White").last.check()
    await filler.field("/data/house/place_id").fill("c-odera")
    await filler.field("/data/house/place_id").blur()
    await page.locator("input[type=file]").set_input_files({"name": "door.png", "mimeType": "image/png", "buffer": PNG})
    await expect(page.get_by_text("3 nets are missing.")).to_be_visible()
    done = await filler.submitted()

    assert (refused["valid"], done["valid"]) == (False, True)
    [[photo, _]] = done["files"]
    submission = aiohttp.FormData()
    submission.add_field("xml_submission_file", done["xml"], filename="visit.xml", content_type="text/xml")
    submission.add_field(photo, PNG, filename=photo, content_type="image/png")
    answer = await client.post("/openrosa/submission", data=submission, headers=asha)
    assert answer.status == 201, await answer.text()
    instance_id = etree.fromstring(done["xml"]).findtext("{*}meta/{*}instanceID")
    report = await db.get(instance_id.removeprefix("uuid:"))

    assert report["fields"] == {
        "day": "2026-11-20",
        "sick": "yes",
        "signs": "fever cough",
        "people": "5",
        "net": [{"colour": "blue"}, {"colour": "white"}],
        "house": {"place_id": "c-odera"},
        "photo": photo,
        "nets": "2",
        "missing": "3",
        "summary": "",
        "meta": {"instanceID": instance_id},
    }
    assert (report["form"], report["contact"]) == ("visit", {"_id": "p-asha", "parent": IN_KANGA})
    assert report["_attachments"].keys() == {f"user-file-{photo}"}

    await filler.open("form:visit", done["xml"])
    await expect(filler.field("/data/people")).to_have_value("5")
    assert await page.get_by_label("Blue").first.is_checked()
    await page.locator("#form-languages").select_option("Kiswahili (sw)")
    await expect(page.get_by_text("Wangapi?")).to_be_visible()
    await expect(page.get_by_text("How many people?")).to_be_hidden()


async def test_the_forms_that_come_with_the_server_are_shown(client: Client, filler: Filler) -> None:
    for path in sorted([*FORMS.glob("*.xml"), *PROJECT.glob("app/*.xml"), *PROJECT.glob("contact/*.xml")]):
        stored = await client.post("/api/v1/forms", data=path.read_bytes(), headers={"Content-Type": "application/xml"})
        told = await stored.json()

        assert stored.status in (200, 201), told
        await filler.open(told["id"])
        await expect(filler.page.locator("form.or .question:visible").first).to_be_visible()
