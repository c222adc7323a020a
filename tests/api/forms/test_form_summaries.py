"""What administrators are told of the forms, and of what is wrong with them (FORM-9, FORM-16, FORM-65)."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.forms.projects import BEDNET_XFORM, NET_VISIT, attachment, form_doc, md5_of, xform_of
from tests.conftest import eventually

Client = TestClient[Any, Any]
XFORM = xform_of(NET_VISIT)
BROKEN = XFORM.replace('nodeset="/data/sick"', 'nodeset="sick"')


async def test_every_form_is_told_with_what_is_wrong_with_it(client: Client, db: Database, sentinel: Any) -> None:
    collect = form_doc("collect", BEDNET_XFORM, context={"collect": True})
    collect["_attachments"]["net.png"] = attachment("image/png", b"x")
    nameless = {name: value for name, value in form_doc("nameless", XFORM).items() if name != "internalId"}
    clinic = {**form_doc("contact:clinic:create", XFORM), "title": [{"locale": "en", "content": "New home"}]}
    docs = [collect, nameless, clinic, form_doc("broken", BROKEN)]
    await db.bulk_docs([*docs, form_doc("unreadable", "<a>")])

    async def told() -> Any:
        forms = {each["id"]: each for each in await (await client.get("/api/v2/forms")).json()}
        is_done = "relative nodeset" in forms["form:broken"].get("problem", "")
        return is_done and "problem" not in forms["form:contact:clinic:create"] and forms

    forms = await eventually(told)
    doc = await db.get("form:broken")
    await db.put({**doc, "_attachments": {"xml": attachment("text/xml", XFORM.encode())}})

    assert forms["form:collect"] == {
        "id": "form:collect",
        "rev": forms["form:collect"]["rev"],
        "code": "collect",
        "title": "collect",
        "kind": "collect",
        "version": "2031020301",
        "uploaded": 1_927_000_000_000,
        "md5": md5_of(BEDNET_XFORM.encode()),
        "size": len(BEDNET_XFORM),
        "media": ["net.png"],
    }
    assert forms["form:contact:clinic:create"]["kind"] == "contact"  # FORM-9
    assert forms["form:contact:clinic:create"]["title"] == "New home"
    assert forms["form:nameless"]["problem"].startswith("internalId: ")  # FORM-16
    assert "not well-formed" in forms["form:unreadable"]["problem"]

    async def mended() -> bool:
        forms = {each["id"]: each for each in await (await client.get("/api/v2/forms")).json()}
        return "problem" not in forms["form:broken"]

    await eventually(mended)  # FORM-65


async def test_what_a_form_was_is_found_by_the_version_in_its_reports(
    client: Client, db: Database, sentinel: Any
) -> None:
    async def kept(digest: str) -> Any:
        answer = await client.get(f"/api/v1/forms/visit.xml?sha256={digest}")
        return answer.status == 200 and await answer.text()

    versions = [{"time": time, "sha256": f"ab{time}"} for time in (1, 2)]
    await db.put(form_doc("visit", XFORM, xmlVersion=versions[0]))
    await eventually(lambda: kept("ab1"))
    doc = await db.get("form:visit")
    changed = XFORM.replace("When?", "Which day?")
    attachments = {"xml": attachment("text/xml", changed.encode())}
    await db.put({**doc, "xmlVersion": versions[1], "_attachments": attachments})
    second = await eventually(lambda: kept("ab2"))

    assert (await kept("ab1"), second) == (XFORM, changed)  # FORM-62
    assert await kept("ab3") is False


async def test_the_summaries_are_for_administrators(client: Client, make_user: Any) -> None:
    answer = await client.get("/api/v2/forms", headers=await make_user("asha", roles=["chw"]))

    assert answer.status == 403
