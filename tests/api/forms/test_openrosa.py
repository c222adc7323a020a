"""What OpenRosa clients may fetch (OR-1..9, OR-40), and a form's whole way from pyxform to a report."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient
from lxml import etree

from core.couch.client import Database
from tests.api.family import FAMILY, IN_KANGA
from tests.api.forms.projects import BEDNET_XFORM, FORM_VERSION, NET_VISIT, PNG, attachment, form_doc, md5_of, xform_of

Client = TestClient[Any, Any]
LISTED = "{http://openrosa.org/xforms/xformsList}"
MANIFEST = "{http://openrosa.org/xforms/xformsManifest}"
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "text/html,application/xhtml+xml"}
PICTURE = bytes(range(256)) * 100


@pytest.fixture
async def forms(client: Client, db: Database) -> None:
    with_media = BEDNET_XFORM.replace("<bind ", '<instance id="v" src="jr://file-csv/villages.csv"/><bind ', 1)
    collect = form_doc("bednet_visit", with_media, context={"collect": True})
    collect["_attachments"]["images/net.png"] = attachment("image/png", PICTURE)
    docs = [
        *FAMILY,
        collect,
        form_doc("net_visit", xform_of(NET_VISIT), context={"openrosa": True, "permission": "can_fill_in"}),
        form_doc("inside", xform_of(NET_VISIT)),
        {
            "_id": "resources",
            "resources": {"villages.csv": "v.csv"},
            "_attachments": {"v.csv": attachment("text/csv", b"name\nKanga\n")},
        },
    ]
    await db.bulk_docs(docs)
    await client.put("/api/v1/settings", json={"permissions": {"can_fill_in": ["chw"]}})


def told(element: Any, namespace: str) -> dict[str, str]:
    return {child.tag.removeprefix(namespace): child.text for child in element}


def path_of(client: Client, url: str) -> str:
    """The path of an address on the server itself."""
    server = f"http://127.0.0.1:{client.port}"
    assert url.startswith(f"{server}/openrosa/forms/")  # OR-5
    return url.removeprefix(server)


async def listed(client: Client, path: str = "/openrosa/formList", headers: Any = None) -> list[dict[str, str]]:
    answer = await client.get(path, headers=headers)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")  # OR-3
    assert answer.headers["X-OpenRosa-Version"] == "1.0"  # OR-2
    assert answer.headers["Date"].endswith(" GMT")
    root = etree.fromstring(await answer.read())
    assert root.tag == f"{LISTED}xforms"
    return [told(each, LISTED) for each in root]


@pytest.mark.parametrize("path", ["/openrosa/formList", "/formList"])
async def test_the_list_leads_to_the_very_bytes_and_their_media(client: Client, forms: None, path: str) -> None:
    [form, _] = await listed(client, path)
    xml = await (await client.get(path_of(client, form["downloadUrl"]))).read()
    manifest = etree.fromstring(await (await client.get(path_of(client, form["manifestUrl"]))).read())
    files = {file["filename"]: file for file in (told(each, MANIFEST) for each in manifest)}
    downloads = {name: await client.get(path_of(client, file["downloadUrl"])) for name, file in files.items()}
    media = {name: await answer.read() for name, answer in downloads.items()}

    assert {answer.headers["X-OpenRosa-Version"] for answer in downloads.values()} == {"1.0"}  # OR-2
    assert {name: form[name] for name in ("name", "formID", "version")} == {  # OR-4
        "name": "Bed nets",
        "formID": "bednet_visit",
        "version": "2031020301",
    }
    assert "descriptionText" not in form
    assert form["hash"] == f"md5:{md5_of(xml)}"  # OR-7, OR-62
    assert media == {"net.png": PICTURE, "villages.csv": b"name\nKanga\n"}  # OR-8
    assert {name: file["hash"] for name, file in files.items()} == {
        name: f"md5:{md5_of(data)}" for name, data in media.items()
    }


async def test_the_list_holds_what_the_caller_may_fill_in(client: Client, forms: None, make_user: Any) -> None:
    asha = await make_user("asha", roles=["chw"])
    analyst = await make_user("analyst", roles=["analytics"])

    assert [form["formID"] for form in await listed(client, headers=asha)] == ["bednet_visit", "net_visit"]  # OR-6
    assert [form["formID"] for form in await listed(client, headers=analyst)] == ["bednet_visit"]
    refused = await client.get("/openrosa/forms/net_visit.xml", headers=analyst)
    hidden = await client.get("/openrosa/forms/inside.xml", headers=asha)
    assert (refused.status, hidden.status) == (404, 404)


async def test_one_form_may_be_asked_for(client: Client, forms: None) -> None:
    found = await listed(client, "/formList?formID=net_visit&verbose=true&deviceID=x&listAllVersions=true")

    assert [form["formID"] for form in found] == ["net_visit"]  # OR-3
    assert "descriptionText" in found[0]
    assert "manifestUrl" not in found[0]
    assert await listed(client, "/formList?formID=nope") == []  # OR-61


async def test_a_form_without_media_has_an_empty_manifest(client: Client, forms: None) -> None:
    answer = await client.get("/openrosa/forms/net_visit/manifest")

    assert len(etree.fromstring(await answer.read())) == 0  # OR-8


async def test_a_form_that_is_known_is_not_sent_again(client: Client, forms: None) -> None:
    first = await client.get("/openrosa/forms/net_visit.xml")
    again = await client.get("/openrosa/forms/net_visit.xml", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["ETag"] == f'"{md5_of(await first.read())}"'  # OR-9
    assert (again.status, await again.read()) == (304, b"")


async def test_who_brings_no_login_is_asked_for_it(client: Client) -> None:
    reads = ("formList", "forms/net_visit.xml", "forms/net_visit/manifest", "forms/net_visit/media/x")
    requests = [
        *(("GET", f"/openrosa/{path}") for path in reads),
        *((method, "/openrosa/submission") for method in ("HEAD", "POST")),
        ("GET", "/formList"),
        ("POST", "/submission"),
    ]
    headers = {"Authorization": "", **BROWSER}
    answers = [await client.request(*each, headers=headers, allow_redirects=False) for each in requests]

    assert [answer.status for answer in answers] == [401] * len(requests)  # OR-40, OR-60
    assert all(answer.headers["WWW-Authenticate"].startswith("Basic realm=") for answer in answers)
    assert all(answer.headers["X-OpenRosa-Version"] == "1.0" for answer in answers)
    assert "not logged in" in await answers[0].text()


# --- from a table to a report -----------------------------------------------------------------------------------------

FILLED = """<data xmlns:orx="http://openrosa.org/xforms" id="net_visit" version="2031020301">
  <visit_date>2026-11-20</visit_date><sick>yes</sick><how_many>3</how_many>
  <net><colour>blue</colour></net><net><colour>white</colour></net>
  <house><place_id>c-odera</place_id></house><photo>1700000000000.png</photo><total>4</total><summary/>
  <meta><instanceID>uuid:5f2b7c0e-0000-4000-8000-000000000001</instanceID></meta></data>"""
DOC_ID = "5f2b7c0e-0000-4000-8000-000000000001"


def filled() -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("xml_submission_file", FILLED, filename="net_visit.xml", content_type="text/xml")
    name = "1700000000000.png"
    form.add_field(name, io.BytesIO(PNG), filename=name, content_type="image/png")
    return form


@pytest.fixture
async def asha(client: Client, forms: None, make_user: Any) -> dict[str, str]:
    login: dict[str, str] = await make_user("asha", roles=["chw"], facility_id="hc-kanga", contact_id="p-asha")
    return login


async def test_a_form_of_a_table_comes_back_as_a_report(client: Client, db: Database, asha: Any) -> None:
    [form] = await listed(client, "/openrosa/formList?formID=net_visit", asha)
    xml = await (await client.get(path_of(client, form["downloadUrl"]), headers=asha)).read()
    answer = await client.post("/openrosa/submission", data=filled(), headers=asha)
    report = await db.get(DOC_ID)

    assert xml.decode() == xform_of(NET_VISIT)
    assert form["hash"] == f"md5:{md5_of(xml)}"
    assert answer.status == 201
    assert {name: report[name] for name in report.keys() - {"_attachments", "_rev", "openrosa", "reported_date"}} == {
        "_id": DOC_ID,
        "type": "data_record",
        "form": "net_visit",
        "content_type": "xml",
        "from": "+254711000111",
        "contact": {"_id": "p-asha", "parent": IN_KANGA},
        "form_version": FORM_VERSION,
        "hidden_fields": [],
        "fields": {
            "visit_date": "2026-11-20",
            "sick": "yes",
            "how_many": "3",
            "net": [{"colour": "blue"}, {"colour": "white"}],
            "house": {"place_id": "c-odera"},
            "photo": "1700000000000.png",
            "total": "4",
            "summary": "",
            "meta": {"instanceID": f"uuid:{DOC_ID}"},
        },
    }
    stub = report["_attachments"]["user-file-1700000000000.png"]
    assert (stub["content_type"], stub["length"]) == ("image/png", len(PNG))
    assert await db.attachment(DOC_ID, "user-file-1700000000000.png", report["_rev"]) == PNG


async def test_a_submission_that_was_cut_is_resumed_as_one_report(client: Client, db: Database, asha: Any) -> None:
    payload = filled()()
    whole = bytes(await payload.as_bytes())
    headers = {**asha, "Content-Type": payload.content_type}
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": len(whole)}.items())
    writer.write(f"POST /openrosa/submission HTTP/1.1\r\nHost: h\r\n{head}\r\n".encode() + whole[: len(whole) // 2])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    again = await client.post("/openrosa/submission", data=whole, headers=headers)
    twice = await client.post("/openrosa/submission", data=whole, headers=headers)
    rows = await db.view("medic-client", "reports_by_form", reduce=False, key=["net_visit"])

    assert (again.status, twice.status) == (201, 201)
    assert [row["id"] for row in rows] == [DOC_ID]
