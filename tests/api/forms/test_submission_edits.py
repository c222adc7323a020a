"""Instances that replace a former one, and what is kept of each (OR-30, OR-36, XR-11)."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.forms.submitting import E1, INSTANCE_ID, NEWBORN, PHOTO, submit

Client = TestClient[Any, Any]
SECOND, THIRD, FOURTH = (f"{n * 8}-2222-4333-8444-555555555555" for n in "234")


def edit(xml: str, new: str, old: str) -> str:
    """The instance once more under a new id, in place of the old one."""
    meta = f"<meta><instanceID>uuid:{new}</instanceID><deprecatedID>uuid:{old}</deprecatedID></meta>"
    return xml[: xml.index("<meta>")] + meta + "</bn>"


async def test_an_edit_takes_the_place_of_the_answers(client: Client, asha: Any, db: Database) -> None:
    await submit(client, asha, E1.replace("<meta>", "<photo>a.jpg</photo><meta>"), a__jpg=PHOTO)
    before = await db.update(INSTANCE_ID, lambda doc: {**(doc or {}), "errors": ["kept"]})
    changed = E1.replace("blue", "red").replace("<meta>", "<photo>b.jpg</photo><meta>")
    status, text = await submit(client, asha, edit(changed, SECOND, INSTANCE_ID), b__jpg=PHOTO)
    again, _ = await submit(client, asha, edit(changed, SECOND, INSTANCE_ID))
    late, _ = await submit(client, asha, E1)
    report = await db.get(INSTANCE_ID)

    assert (status, again, late) == (201, 201, 201)  # OR-30
    assert INSTANCE_ID in text
    assert report["_rev"].startswith("3-")
    assert [each["colour"] for each in report["fields"]["net"]] == ["red", "white"]
    assert report["fields"]["newborn"]["source_report"] == INSTANCE_ID
    assert report["fields"]["child_ref"] == NEWBORN
    kept = ("reported_date", "from", "contact", "errors", "form")
    assert before is not None
    assert {name: report[name] for name in kept} == {name: before[name] for name in kept}  # XR-11
    assert report["_attachments"].keys() == {"user-file-b.jpg"}  # XR-10
    openrosa = report["openrosa"]
    assert openrosa["instance_ids"] == [f"uuid:{INSTANCE_ID}", f"uuid:{SECOND}"]
    assert openrosa["instance_id"] == f"uuid:{SECOND}"
    assert await db.find(SECOND) is None


async def test_an_edit_may_be_edited(client: Client, asha: Any, db: Database) -> None:
    await submit(client, asha, E1)
    await submit(client, asha, edit(E1.replace("blue", "red"), SECOND, INSTANCE_ID))
    status, _ = await submit(client, asha, edit(E1.replace("blue", "green"), THIRD, SECOND))
    twice, _ = await submit(client, asha, edit(E1.replace("blue", "green"), THIRD, SECOND))
    other, text = await submit(client, asha, edit(E1.replace("blue", "pink"), FOURTH, INSTANCE_ID))
    report = await db.get(INSTANCE_ID)

    assert (status, twice) == (201, 201)
    assert report["fields"]["net"][0]["colour"] == "green"
    assert len(report["openrosa"]["instance_ids"]) == 3
    assert (other, "replaced already" in text) == (409, True)  # OR-30


async def test_an_edit_of_what_never_came_is_a_report_of_its_own(client: Client, asha: Any, db: Database) -> None:
    status, _ = await submit(client, asha, edit(E1, SECOND, INSTANCE_ID))

    assert status == 201
    assert (await db.get(SECOND))["fields"]["meta"]["deprecatedID"] == f"uuid:{INSTANCE_ID}"


async def test_edits_are_for_those_who_may_write_the_report(
    client: Client, asha: Any, db: Database, make_user: Any
) -> None:
    plain = E1.replace('db-doc="true"', "")
    await submit(client, asha, plain)
    clerk = await make_user("clerk", roles=["data_entry"], contact_id="p-asha")
    await db.put({"_id": "hc-far", "type": "health_center", "name": "Far", "parent": {"_id": "d-busia"}})
    far = await make_user("far", roles=["chw"], facility_id="hc-far", contact_id="p-asha")
    results = [await submit(client, login, edit(plain, SECOND, INSTANCE_ID)) for login in (clerk, far)]

    assert [status for status, _ in results] == [403, 403]
    assert (await db.get(INSTANCE_ID))["_rev"].startswith("1-")


async def test_the_submitted_xml_is_kept_where_the_form_says_so(client: Client, asha: Any, db: Database) -> None:
    context = {"collect": True, "keep_xml": True}
    await db.update("form:bednet_visit", lambda doc: {**(doc or {}), "context": context})
    await submit(client, asha, E1)
    first = await db.get(INSTANCE_ID)
    changed = edit(E1, SECOND, INSTANCE_ID)
    await submit(client, asha, changed)
    second = await db.get(INSTANCE_ID)

    assert await db.attachment(INSTANCE_ID, "submission.xml", first["_rev"]) == E1.encode()  # OR-36
    assert await db.attachment(INSTANCE_ID, "submission.xml", second["_rev"]) == changed.encode()
