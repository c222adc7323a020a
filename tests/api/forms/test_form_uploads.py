"""Forms uploaded as XLSForms and XForms, with media and properties (FORM-63, 65 CONF-60..68)."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
import orjson
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from core.xforms.archive import LARGEST_BYTES
from tests.api.forms.projects import NET_VISIT, workbook_of, xform_of

Client = TestClient[Any, Any]
XLSX = {"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
XML = {"Content-Type": "application/xml"}
JSON = {"Accept": "application/json"}
PARTS = {"xml", "form.html", "model.xml"}
SHOWN = """
| survey |
| | type | name | label | media::image |
| | note | hut | A hut | hut.png |
| settings |
| | form_id | form_title |
| | shown | Shown |
"""


def parts(form: bytes, *, name: str = "f.xlsx", properties: Any = None, **files: bytes) -> aiohttp.FormData:
    """What a browser sends; `__` in a file's name stands for a dot."""
    data = aiohttp.FormData(quote_fields=False)
    data.add_field("form", form, filename=name, content_type="application/octet-stream")
    if properties is not None:
        data.add_field("properties", orjson.dumps(properties).decode())
    for file, content in files.items():
        filename = file.replace("__", ".")
        data.add_field("media", io.BytesIO(content), filename=filename, content_type="image/png")
    return data


async def upload(client: Client, body: Any, headers: Any = None) -> tuple[int, Any]:
    answer = await client.post("/api/v1/forms", data=body, headers={**JSON, **(headers or {})})
    return answer.status, await answer.json()


async def test_a_table_becomes_a_form_with_all_its_parts(client: Client, db: Database) -> None:
    status, told = await upload(client, workbook_of(NET_VISIT), XLSX)
    doc = await db.get("form:net_visit")

    assert (status, told) == (
        201,
        {
            "ok": True,
            "id": "form:net_visit",
            "rev": doc["_rev"],
            "code": "net_visit",
            "title": "Bed net visit",
            "changed": True,
            "warnings": [
                "survey!row 11: Use the max-pixels parameter to speed up submission sending and save storage space."
            ],
        },
    )
    assert told["warnings"][0].startswith("survey!row 11: Use the max-pixels parameter")
    assert doc["_rev"].startswith("1-")  # FORM-60
    assert doc["_attachments"].keys() == PARTS
    assert (doc["type"], doc["internalId"], doc["title"]) == ("form", "net_visit", "Bed net visit")  # FORM-2, MOD-10
    assert doc["xmlVersion"].keys() == {"time", "sha256"}
    assert b'name="/data/sick"' in await db.attachment("form:net_visit", "form.html", doc["_rev"])


async def test_the_same_table_again_writes_nothing(client: Client, db: Database) -> None:
    await upload(client, workbook_of(NET_VISIT), XLSX)
    status, told = await upload(client, workbook_of(NET_VISIT), XLSX)
    changed = await upload(client, workbook_of(NET_VISIT.replace("When?", "Which day?")), XLSX)

    assert (status, told["changed"], told["rev"][:2]) == (200, False, "1-")
    assert (changed[0], changed[1]["changed"], changed[1]["rev"][:2]) == (200, True, "2-")


async def test_an_xform_is_stored_as_it_is(client: Client, db: Database) -> None:
    status, _ = await upload(client, xform_of(NET_VISIT), XML)
    doc = await db.get("form:net_visit")

    assert status == 201
    assert await db.attachment("form:net_visit", "xml", doc["_rev"]) == xform_of(NET_VISIT).encode()


async def test_media_and_properties_come_with_the_form_and_stay(client: Client, db: Database) -> None:
    properties = {"context": {"person": True}, "icon": "icon-hut", "hidden_fields": ["hut"]}
    _, first = await upload(client, parts(workbook_of(SHOWN), properties=properties))
    _, second = await upload(client, parts(workbook_of(SHOWN), hut__png=b"png"))
    _, third = await upload(client, parts(workbook_of(SHOWN.replace("A hut", "The hut"))))
    doc = await db.get("form:shown")

    assert first["warnings"] == ["The form names images/hut.png, which it has no file for."]
    assert (second["warnings"], third["warnings"]) == ([], [])
    assert doc["_attachments"].keys() == {*PARTS, "images/hut.png"}
    assert {name: doc[name] for name in properties} == properties
    assert doc["_rev"].startswith("3-")


async def test_a_title_of_the_table_follows_it_and_another_stays(client: Client, db: Database) -> None:
    await upload(client, workbook_of(SHOWN), XLSX)
    await upload(client, workbook_of(SHOWN.replace("| Shown |", "| Huts |")), XLSX)
    derived = (await db.get("form:shown"))["title"]
    await upload(client, parts(workbook_of(SHOWN), properties={"title": "Ours"}))
    await upload(client, workbook_of(SHOWN.replace("A hut", "The hut")), XLSX)

    assert (derived, (await db.get("form:shown"))["title"]) == ("Huts", "Ours")


async def test_forms_for_collectors_keep_their_xform_alone(client: Client, db: Database) -> None:
    await upload(client, parts(workbook_of(NET_VISIT), properties={"context": {"collect": True}}))

    assert (await db.get("form:net_visit"))["_attachments"].keys() == {"xml"}  # FORM-10


async def test_what_stays_decides_what_a_table_becomes(client: Client, db: Database) -> None:
    properties = {"context": {"collect": True}, "hidden_fields": ["hut"]}
    await upload(client, parts(workbook_of(SHOWN), properties=properties))
    status, told = await upload(client, workbook_of(SHOWN), XLSX)
    xform = await db.attachment("form:shown", "xml", told["rev"])

    assert (status, told["changed"]) == (200, False)
    assert b'<hut tag="hidden"' in xform  # CONF-62


async def test_the_files_name_is_the_id_where_the_table_has_none(client: Client) -> None:
    table = SHOWN.replace("| | form_id | form_title |\n| | shown | Shown |", "| | form_title |\n| | Shown |")
    status, told = await upload(client, parts(workbook_of(table), name="huts.xlsx"))

    assert (status, told["id"]) == (201, "form:huts")


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_a_broken_row_is_told_by_its_cell(client: Client, db: Database) -> None:
    broken = workbook_of(NET_VISIT.replace("| date |", "| dat |"))
    status, told = await upload(client, broken, XLSX)
    checked = await client.post("/api/v1/forms/validate", data=broken, headers=XLSX)
    place = {"sheet": "survey", "row": 2, "column": "type", "cell": "A2"}

    assert (status, told["error"]) == (400, "survey!A2: Unknown question type 'dat'.")
    assert told["details"]["problems"] == [{"message": "Unknown question type 'dat'.", **place}]
    assert (checked.status, (await checked.json())["problems"]) == (400, told["details"]["problems"])
    assert await db.find("form:net_visit") is None


async def test_a_good_table_is_valid(client: Client, db: Database) -> None:
    answer = await client.post("/api/v1/forms/validate", data=workbook_of(SHOWN), headers=XLSX)

    assert (answer.status, await answer.json()) == (200, {"ok": True, "warnings": []})  # FORM-40
    assert await db.find("form:shown") is None


WRONG_UPLOADS: list[tuple[Any, dict[str, str], int, str]] = [
    (b"", XLSX, 400, "must be an .xlsx file"),
    (b"hello", XLSX, 400, "must be an .xlsx file"),
    (b"PK\x03\x04", XLSX, 400, "must be an .xlsx file"),
    (b"<a", XML, 400, "not well-formed"),
    (xform_of(SHOWN).replace('id="shown"', 'id="a b"'), XML, 400, "The form's id"),
    (lambda: io.BytesIO(bytes(LARGEST_BYTES + 1)), XLSX, 413, "must not be larger than"),
    (b"{}", {"Content-Type": "application/json"}, 415, "The body must be"),
    (lambda: parts(b""), {}, 400, "There must be a part named form"),
    (lambda: parts(b"<a/>", properties=[]), {}, 400, "properties: must be a JSON object"),
    (lambda: parts(b"<a/>", properties={"_id": "x"}), {}, 400, "properties: '_id' is not one of"),
    (lambda: parts(b"<a/>", properties={"icon": 1}), {}, 400, "properties.icon: must be a text"),
    (lambda: parts(b"<a/>", properties={"title": [{"locale": "en"}]}), {}, 400, "properties.title: must be"),
    (lambda: parts(b"<a/>", model__xml=b"x"), {}, 400, "cannot hold a file of the name"),
    (lambda: parts(b"<a/>", **{"../x__png": b"x"}), {}, 400, "cannot hold a file of the name"),
]


async def test_what_is_no_form_is_refused(client: Client) -> None:
    for body, headers, status, message in WRONG_UPLOADS:
        told = await upload(client, body() if callable(body) else body, headers)

        assert (told[0], message in str(told[1])) == (status, True), (message, told)


async def test_uploads_need_can_configure(client: Client, db: Database, make_user: Any) -> None:
    anonymous, _ = await upload(client, workbook_of(SHOWN), {**XLSX, "Authorization": ""})
    refused, _ = await upload(client, workbook_of(SHOWN), {**XLSX, **(await make_user("asha", roles=["chw"]))})
    manager = await make_user("manager", roles=["national_admin"])
    await client.put("/api/v1/settings", json={"permissions": {"can_configure": ["national_admin"]}})
    stored, _ = await upload(client, workbook_of(SHOWN), {**XLSX, **manager})

    assert (anonymous, refused, stored) == (401, 403, 201)
