"""Forms over HTTP: lists, downloads and validation (FORM-30..41, EP-FRM-1..11)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from lxml import etree

from core.couch.client import Database
from tests.api.forms.projects import BEDNET_XFORM, NET_VISIT, attachment, form_doc, md5_of, xform_of

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
OPENROSA = {"X-OpenRosa-Version": "1.0"}
LISTED = "{http://openrosa.org/xforms/xformsList}"


@pytest.fixture
async def forms(db: Database) -> None:
    await db.bulk_docs(
        [
            form_doc("net_visit", xform_of(NET_VISIT)),
            form_doc("bednet_visit", BEDNET_XFORM, context={"collect": True}),
            {"_id": "form:empty", "type": "form", "internalId": "empty"},
            {**form_doc("other", BEDNET_XFORM), "type": "something"},
        ]
    )


async def test_the_list_names_every_form(client: Client, forms: None) -> None:
    await client.put("/api/v1/settings", json={"forms": {"OFF": {"meta": {"code": "OFF"}}}})
    answers = [await client.get(path) for path in ("/api/v1/forms", "/api/v1/forms/")]

    assert [answer.status for answer in answers] == [200, 200]  # FORM-30
    assert answers[0].headers["Content-Type"] == "application/json; charset=utf-8"
    assert await answers[0].json() == ["bednet_visit.xml", "net_visit.xml", "OFF.json"]  # FORM-1, FORM-35
    assert await answers[1].json() == await answers[0].json()


async def test_the_openrosa_list_has_the_collect_forms(client: Client, forms: None) -> None:
    answer = await client.get("/api/v1/forms", headers=OPENROSA)
    [listed] = etree.fromstring(await answer.read())

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")  # FORM-31
    assert answer.headers["X-OpenRosa-Version"] == "1.0"
    url = f"http://127.0.0.1:{client.port}/api/v1/forms/bednet_visit.xml"
    assert {child.tag.removeprefix(LISTED): child.text for child in listed} == {  # OR-4
        "name": "Bed nets",
        "formID": "bednet_visit",
        "version": "2031020301",
        "hash": f"md5:{md5_of(BEDNET_XFORM.encode())}",
        "downloadUrl": url,
    }


async def test_a_form_is_downloaded_as_it_was_uploaded(client: Client, forms: None) -> None:
    for name in ("net_visit", "Net_Visit"):
        answer = await client.get(f"/api/v1/forms/{name}.xml")

        assert (answer.status, answer.content_type) == (200, "application/xml")  # FORM-32
        assert await answer.text() == xform_of(NET_VISIT)


async def test_a_form_is_found_by_the_id_in_its_xml(client: Client, db: Database) -> None:
    await db.put(form_doc("bednets", BEDNET_XFORM))
    answer = await client.get("/api/v1/forms/bednet_visit.xml")

    assert await answer.text() == BEDNET_XFORM  # FORM-33


async def test_a_json_form_is_downloaded_from_the_settings(client: Client) -> None:
    definition = {"meta": {"code": "NPYY"}, "fields": {"x": {"type": "string"}}}
    await client.put("/api/v1/settings", json={"forms": {"NPYY": definition}})
    answers = [await client.get(f"/api/v1/forms/{name}.json") for name in ("NPYY", "npyy")]
    missing = await client.get("/api/v1/forms/nope.json")

    assert [await answer.json() for answer in answers] == [definition] * 2  # FORM-35
    assert (missing.status, await missing.text()) == (404, "Form not found: nope (json)")


WRONG_NAMES = {
    ".xml": (400, 'Invalid form name (form="", format="xml")'),
    "net_visit": (400, 'Invalid form name (form="", format="net_visit")'),
    "net_visit.pdf": (400, 'Invalid file format (format="pdf")'),
    "nope.xml": (404, "Form not found: nope (xml)"),
}


async def test_wrong_names_are_told(client: Client) -> None:
    for name, (status, message) in WRONG_NAMES.items():
        answer = await client.get(f"/api/v1/forms/{name}")
        as_json = await client.get(f"/api/v1/forms/{name}", headers=JSON)

        assert (answer.status, await answer.text()) == (status, message)  # FORM-32
        assert await as_json.json() == {"code": status, "error": message}  # FORM-36


async def test_forms_are_for_accounts(client: Client, forms: None, make_user: Any) -> None:
    paths = ("/api/v1/forms", "/api/v1/forms/net_visit.xml")
    asha = {**await make_user("asha", roles=["chw"]), **JSON}
    anonymous = [await client.get(path, headers={"Authorization": "", **JSON}) for path in paths]
    offline = [await client.get(path, headers=asha) for path in paths]

    assert [answer.status for answer in anonymous] == [401, 401]  # EP-FRM-8, DIV-25
    assert [answer.status for answer in offline] == [200, 200]


async def test_a_new_revision_is_served_at_once(client: Client, db: Database, forms: None) -> None:
    before = await client.get("/api/v1/forms", headers=OPENROSA)
    doc = await db.get("form:bednet_visit")
    changed = BEDNET_XFORM.replace("Bed nets", "Nets")
    await db.put({**doc, "_attachments": {"xml": attachment("text/xml", changed.encode())}})
    after = await client.get("/api/v1/forms", headers=OPENROSA)
    download = await client.get("/api/v1/forms/bednet_visit.xml")

    assert md5_of(BEDNET_XFORM.encode()) in await before.text()  # FORM-34
    assert md5_of(changed.encode()) in await after.text()
    assert await download.text() == changed


# --- validation -------------------------------------------------------------------------------------------------------


async def validate(client: Client, body: str | bytes, headers: Any = None) -> tuple[int, Any]:
    headers = {"Content-Type": "application/xml", **(headers or {})}
    answer = await client.post("/api/v1/forms/validate", data=body, headers=headers)
    return answer.status, await answer.json()


async def test_a_good_form_is_valid(client: Client) -> None:
    assert await validate(client, xform_of(NET_VISIT)) == (200, {"ok": True, "warnings": []})  # FORM-40


async def test_warnings_are_no_errors(client: Client) -> None:
    status, answer = await validate(client, BEDNET_XFORM.replace("<meta><instanceID/></meta>", "<place_id/>"))

    assert (status, answer["ok"]) == (200, True)  # FORM-41
    assert answer["warnings"] == [
        "The bind of /bn/photo has no node in the instance.",
        "There is no meta/instanceID: a report sent twice is stored twice.",
        "/bn/place_id is there more than once.",
    ]


BAD_FORMS = {
    "<a><b></a>": "not well-formed",
    "": "not well-formed",
    "<a/>": "must hold h:html/h:head/model/instance",
    '<!DOCTYPE a [<!ENTITY b "c">]><a/>': "must not declare a DOCTYPE or external entities",
    "<!doctype a><a/>": "must not declare a DOCTYPE or external entities",
    "<g>" * 10_000 + "</g>" * 10_000: "not well-formed",
    BEDNET_XFORM.replace('nodeset="/bn/place_id"', 'nodeset="place_id"'): "relative nodeset",
}


async def test_a_bad_form_is_refused_with_its_reason(client: Client) -> None:
    answers = [await validate(client, body) for body in BAD_FORMS]

    assert [status for status, _ in answers] == [400] * len(BAD_FORMS)  # FORM-41, FORM-20
    for (_, answer), message in zip(answers, BAD_FORMS.values(), strict=True):
        assert message in answer["error"]


async def test_validation_needs_can_configure(client: Client, make_user: Any) -> None:
    anonymous, _ = await validate(client, BEDNET_XFORM, {"Authorization": ""})
    status, answer = await validate(client, BEDNET_XFORM, await make_user("asha", roles=["chw"]))

    assert anonymous == 401  # FORM-40
    assert (status, set(answer)) == (403, {"error"})
