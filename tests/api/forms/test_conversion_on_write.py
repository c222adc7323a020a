"""Forms always have their HTML and model, however they are written (FORM-7, FORM-22, FORM-23, FORM-60)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.forms.projects import BEDNET_XFORM, NET_VISIT, attachment, form_doc, xform_of
from tests.conftest import eventually

Client = TestClient[Any, Any]
XFORM = xform_of(NET_VISIT)
BROKEN = XFORM.replace("<model", "<!DOCTYPE model><model", 1)
GENERATED = {"form.html", "model.xml"}


async def test_a_form_has_all_its_parts_in_its_first_revision(client: Client, db: Database) -> None:
    answer = await client.put("/medic/form%3Anet_visit", json=form_doc("net_visit", XFORM))
    doc = await db.get("form:net_visit")

    assert answer.status == 201  # FORM-7
    assert doc["_rev"] == (await answer.json())["rev"]
    assert doc["_attachments"].keys() == {"xml", *GENERATED}
    assert doc["_attachments"]["form.html"]["content_type"] == "text/html"
    assert doc["_attachments"]["model.xml"]["content_type"] == "text/xml"
    html = await db.attachment(doc["_id"], "form.html", doc["_rev"])
    assert html.startswith(b'<form autocomplete="off" novalidate="novalidate" class="or clearfix"')
    assert (await db.attachment(doc["_id"], "model.xml", doc["_rev"])).startswith(b"<model")


async def test_a_new_upload_replaces_all_parts_at_once(client: Client, db: Database) -> None:
    await client.put("/medic/form%3Anet_visit", json=form_doc("net_visit", XFORM))
    before = await db.get("form:net_visit")
    changed = form_doc("net_visit", XFORM.replace("When?", "Which day?"), _rev=before["_rev"])
    answer = await client.put("/medic/form%3Anet_visit", json=changed)
    after = await db.get("form:net_visit")

    assert answer.status == 201
    assert b"Which day?" in await db.attachment(after["_id"], "form.html", after["_rev"])


async def test_bulk_writes_and_posts_convert_too(client: Client, db: Database) -> None:
    docs = [form_doc("net_visit", XFORM), {"_id": "other", "n": 1}]
    bulk = await client.post("/medic/_bulk_docs", json={"docs": docs})
    single = await client.post("/medic/", json=form_doc("again", XFORM))
    found = await db.get_many(["form:net_visit", "form:again", "other"])

    assert [row["ok"] for row in await bulk.json()] == [True, True]
    assert single.status == 201
    assert found["form:net_visit"]["_attachments"].keys() == {"xml", *GENERATED}
    assert found["form:again"]["_attachments"].keys() == {"xml", *GENERATED}
    assert found["other"]["n"] == 1


async def test_an_xform_put_alone_brings_the_other_parts(client: Client, db: Database) -> None:
    first = await client.put("/medic/form%3Anet_visit", json={**form_doc("net_visit", XFORM), "_attachments": {}})
    rev = (await first.json())["rev"]
    headers = {"Content-Type": "application/xml"}
    answer = await client.put(f"/medic/form%3Anet_visit/xml?rev={rev}", data=XFORM, headers=headers)
    doc = await db.get("form:net_visit")

    assert (answer.status, (await answer.json())["rev"]) == (201, doc["_rev"])
    assert doc["_rev"].startswith("2-")
    assert doc["_attachments"].keys() == {"xml", *GENERATED}
    assert await db.attachment(doc["_id"], "xml", doc["_rev"]) == XFORM.encode()


async def test_a_form_kept_by_its_stub_is_converted_again(client: Client, db: Database) -> None:
    await client.put("/medic/form%3Anet_visit", json=form_doc("net_visit", XFORM))
    doc = await db.get("form:net_visit")
    stub = {"xml": doc["_attachments"]["xml"]}
    answer = await client.put("/medic/form%3Anet_visit", json={**doc, "title": "Nets", "_attachments": stub})

    assert answer.status == 201
    assert (await db.get("form:net_visit"))["_attachments"].keys() == {"xml", *GENERATED}


@pytest.mark.parametrize("path", ["form%3Anet_visit", "_bulk_docs"])
async def test_a_form_that_cannot_be_converted_is_refused(client: Client, db: Database, path: str) -> None:
    doc = form_doc("net_visit", BROKEN)
    body = {"docs": [{"_id": "other"}, doc]} if path == "_bulk_docs" else doc
    answer = await client.request("POST" if path == "_bulk_docs" else "PUT", f"/medic/{path}", json=body)
    told = await answer.json()

    assert (answer.status, told["error"]) == (400, "bad_request")
    assert told["reason"].startswith("form:net_visit: Form XML must not declare a DOCTYPE")
    assert await db.find("other") is None


async def test_forms_for_collectors_are_not_converted(client: Client, db: Database) -> None:
    doc = form_doc("bednet_visit", BEDNET_XFORM, context={"collect": True})
    await client.put("/medic/form%3Abednet_visit", json=doc)

    assert (await db.get("form:bednet_visit"))["_attachments"].keys() == {"xml"}  # FORM-10


# --- the worker -------------------------------------------------------------------------------------------------------


async def parts(db: Database, doc_id: str) -> set[str]:
    return set((await db.get(doc_id))["_attachments"])


async def test_the_worker_converts_what_is_there_and_what_comes(
    db: Database, sentinel_before: None, sentinel: Any
) -> None:
    async def has_all(doc_id: str) -> bool:
        return await parts(db, doc_id) >= GENERATED

    await eventually(lambda: has_all("form:old"))  # FORM-22
    await db.put(form_doc("new", XFORM))
    await eventually(lambda: has_all("form:new"))
    old = await db.get("form:old")
    await db.put({**old, "_attachments": {"xml": attachment("text/xml", XFORM.replace("Bed", "New").encode())}})
    await eventually(lambda: has_all("form:old"))
    doc = await db.get("form:old")

    assert b"New net visit" in await db.attachment("form:old", "form.html", doc["_rev"])
    assert await parts(db, "form:broken") == {"xml"}
    assert (await db.get("form:new"))["_rev"].startswith("2-")  # FORM-23: once, not again and again


@pytest.fixture
async def sentinel_before(db: Database) -> None:
    """What is in the database when the worker starts."""
    await db.bulk_docs([form_doc("broken", BROKEN), form_doc("old", XFORM)])


async def test_what_was_converted_on_its_way_is_left_alone(client: Client, db: Database, sentinel: Any) -> None:
    await client.put("/medic/form%3Afirst", json=form_doc("first", XFORM))
    await db.put(form_doc("second", XFORM))

    async def second_is_done() -> bool:
        return await parts(db, "form:second") >= GENERATED

    await eventually(second_is_done)

    assert (await db.get("form:first"))["_rev"].startswith("1-")  # FORM-23
