"""POST and PUT of /api/v1/person and /api/v1/place."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.family import FAMILY, IN_KANGA, IN_ODERA

Client = TestClient[Any, Any]
AMA = {"type": "person", "name": "Ama", "parent": "c-odera"}
CLINIC = {"type": "clinic", "name": "Okello", "parent": "hc-kanga"}
MISSING = "The [{}] field must have a [string] value."
WRONG = "The [{}] field must have the type [string]."
DATE = (
    "Invalid reported_date. Expected format to be 'YYYY-MM-DDTHH:mm:ssZ', 'YYYY-MM-DDTHH:mm:ss.SSSZ', or a Unix epoch."
)


@pytest.fixture
async def family(client: Client, db: Database) -> Client:
    await db.bulk_docs(FAMILY)
    return client


async def send(client: Client, method: str, path: str, body: Any) -> tuple[int, Any]:
    answer = await client.request(method, f"/api/v1/{path}", json=body)
    return answer.status, await answer.json()


async def test_a_person_is_stored_and_answered(family: Client, db: Database) -> None:
    born = {"date_of_birth": "1996-05-01", "reported_date": "2024-03-01T08:00:00Z", "extra": {"a": [1]}}
    status, doc = await send(family, "POST", "person", {**AMA, **born})

    assert status == 200  # EP-CON-12
    assert doc == await db.get(doc["_id"])
    assert (doc["type"], doc["name"], doc["parent"], doc["extra"]) == ("person", "Ama", IN_ODERA, {"a": [1]})
    assert doc["reported_date"] == 1_709_280_000_000


async def test_a_place_is_stored_with_its_contact(family: Client, db: Database) -> None:
    status, doc = await send(family, "POST", "place", {**CLINIC, "contact": "p-asha", "place_id": "70007"})

    assert status == 200  # EP-CON-12, EP-CON-16
    assert doc == await db.get(doc["_id"])
    assert (doc["parent"], doc["contact"]) == (IN_KANGA, {"_id": "p-asha", "parent": IN_KANGA})
    assert isinstance(doc["reported_date"], int)


async def test_a_configured_type_is_stored_as_contact(family: Client) -> None:
    types = [
        {"id": "clinic"},
        {"id": "patient", "person": True, "parents": ["clinic"]},
        {"id": "ward", "parents": ["clinic"]},
    ]
    await family.put("/api/v1/settings?replace=true", json={"contact_types": types})
    _, patient = await send(family, "POST", "person", {**AMA, "type": "patient"})
    _, ward = await send(family, "POST", "place", {"type": "ward", "name": "W", "parent": {"_id": "c-odera", "x": 1}})

    assert (patient["type"], patient["contact_type"]) == ("contact", "patient")  # EP-CON-16, MOD-19
    assert (ward["type"], ward["contact_type"], ward["parent"]) == ("contact", "ward", IN_ODERA)


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("person", [], "Person must be a JSON object."),
        ("person", {}, MISSING.format("type")),
        ("person", {"type": "person"}, MISSING.format("name")),
        ("person", {**AMA, "name": 3}, MISSING.format("name")),
        ("person", {"type": "person", "name": "A"}, MISSING.format("parent")),
        ("person", {**AMA, "phone": 7}, WRONG.format("phone")),
        ("person", {**AMA, "patient_id": 7}, WRONG.format("patient_id")),
        ("person", {**AMA, "sex": []}, WRONG.format("sex")),
        ("person", {**AMA, "date_of_birth": "soon"}, "The [date_of_birth] field must have a [date] value."),
        ("person", {**AMA, "date_of_birth": 3}, "The [date_of_birth] field must have a [date] value."),
        ("person", {**AMA, "_id": "x"}, "The [_id] field must not be set."),
        ("person", {**AMA, "_rev": "x"}, "The [_rev] field must not be set."),
        ("person", {**AMA, "reported_date": "today"}, DATE),
        ("person", {**AMA, "reported_date": 1.5}, DATE),
        ("person", {**AMA, "type": "clinic"}, "[clinic] is not a valid person type."),
        ("person", {**AMA, "parent": "nowhere"}, "Parent contact [nowhere] not found."),
        ("person", {**AMA, "parent": "r-visit"}, "Parent contact [r-visit] not found."),
        ("person", {**AMA, "parent": "p-asha"}, "Parent contact of type [person] is not allowed for type [person]."),
        ("place", {**CLINIC, "name": ""}, MISSING.format("name")),
        ("place", {**CLINIC, "parent": 3}, WRONG.format("parent")),
        ("place", {**CLINIC, "contact": 3}, WRONG.format("contact")),
        ("place", {**CLINIC, "place_id": 3}, WRONG.format("place_id")),
        ("place", {**CLINIC, "type": "person"}, "[person] is not a valid place type."),
        ("place", {"type": "clinic", "name": "C"}, "Place type [clinic] requires a parent contact."),
        (
            "place",
            {"type": "district_hospital", "name": "C", "parent": "d-busia"},
            "Place type [district_hospital] does not support having a parent contact.",
        ),
        (
            "place",
            {**CLINIC, "parent": "d-busia"},
            "Parent contact of type [district_hospital] is not allowed for type [clinic].",
        ),
        ("place", {**CLINIC, "contact": "c-odera"}, "Primary contact [c-odera] not found."),
    ],
)
async def test_what_cannot_be_created_is_told(family: Client, db: Database, path: str, body: Any, error: str) -> None:
    before = (await db.info())["doc_count"]

    assert await send(family, "POST", path, body) == (400, {"code": 400, "error": error})  # EP-CON-12, EP-CON-13
    assert (await db.info())["doc_count"] == before


async def test_a_person_is_replaced_by_its_hydrated_document(family: Client, db: Database) -> None:
    whole = await (await family.get("/api/v1/person/p-neema?with_lineage=true")).json()
    del whole["patient_id"]
    status, doc = await send(family, "PUT", "person/p-neema", {**whole, "name": "Neema O.", "_deleted": True})

    stored = await db.get("p-neema")
    assert (status, doc) == (200, stored)  # EP-CON-15
    assert (stored["name"], stored["parent"]) == ("Neema O.", IN_ODERA)  # EP-CON-16
    assert "patient_id" not in stored


async def test_a_place_gets_another_contact(family: Client, db: Database) -> None:
    place = await db.get("c-odera")
    status, doc = await send(family, "PUT", "place/c-odera", {**place, "contact": "p-omar"})
    again, kept = await send(family, "PUT", "place/c-odera", {**doc, "name": "Odera's"})

    assert (status, doc["contact"]) == (200, {"_id": "p-omar", "parent": IN_ODERA})  # EP-CON-15
    assert (again, kept["contact"], kept["name"]) == (200, doc["contact"], "Odera's")


async def test_attachments_stay(family: Client, db: Database) -> None:
    note = {"note": {"content_type": "text/plain", "data": "aGk="}}
    await db.put({**(await db.get("p-omar")), "_attachments": note})
    doc = await db.get("p-omar")
    doc.pop("_attachments")
    status, after = await send(family, "PUT", "person/p-omar", {**doc, "name": "Omar B."})

    assert (status, list(after["_attachments"])) == (200, ["note"])
    assert list((await db.get("p-omar"))["_attachments"]) == ["note"]


IDENTITY = "Valid _id, _rev, and type fields must be provided."


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"_id": None}, IDENTITY),
        ({"_id": "p-omar"}, IDENTITY),
        ({"_rev": None}, IDENTITY),
        ({"type": 3}, IDENTITY),
        ({"_rev": "1-x"}, "The [_rev] fields must not be changed."),
        ({"_rev": "1-x", "reported_date": 5}, "The [_rev, reported_date] fields must not be changed."),
        ({"type": "clinic"}, "The [type] fields must not be changed."),
        ({"name": None}, MISSING.format("name")),
        ({"phone": 3}, WRONG.format("phone")),
        ({"parent": None}, "Parent lineage does not match."),
        ({"parent": "hc-kanga"}, "Parent lineage does not match."),
        ({"parent": IN_KANGA}, "Parent lineage does not match."),
    ],
)
async def test_what_must_not_change_in_a_person(family: Client, db: Database, change: Any, error: str) -> None:
    stored = await db.get("p-neema")

    answer = await send(family, "PUT", "person/p-neema", {**stored, **change})

    assert answer == (400, {"code": 400, "error": error})  # EP-CON-15
    assert await db.get("p-neema") == stored


async def test_a_configured_type_must_not_change(family: Client, db: Database) -> None:
    types = [{"id": "clinic"}, {"id": "ward", "parents": ["clinic"]}, {"id": "home", "parents": ["clinic"]}]
    await family.put("/api/v1/settings?replace=true", json={"contact_types": types})
    _, ward = await send(family, "POST", "place", {"type": "ward", "name": "W", "parent": "c-odera"})

    answer = await send(family, "PUT", f"place/{ward['_id']}", {**ward, "contact_type": "home"})

    assert answer == (400, {"code": 400, "error": "The [contact_type] fields must not be changed."})  # EP-CON-15
    assert await db.get(ward["_id"]) == ward


@pytest.mark.parametrize(
    ("contact", "error"),
    [
        (None, "A contact must be provided."),
        ({"name": "x"}, "A contact must be provided."),
        ("nobody", "No valid contact found for [nobody]."),
        ({"_id": "r-visit"}, "No valid contact found for [r-visit]."),
        (
            {"_id": "p-omar", "parent": {"_id": "hc-kanga"}},
            "The given contact lineage does not match the current lineage for that contact.",
        ),
    ],
)
async def test_the_contact_of_a_place_is_checked(family: Client, db: Database, contact: Any, error: str) -> None:
    place = await db.get("c-odera")

    assert await send(family, "PUT", "place/c-odera", {**place, "contact": contact}) == (
        400,
        {"code": 400, "error": error},
    )  # EP-CON-15


@pytest.mark.parametrize(("path", "label"), [("person/c-odera", "Person"), ("place/nowhere", "Place")])
async def test_only_what_is_there_can_be_updated(family: Client, path: str, label: str) -> None:
    doc_id = path.partition("/")[2]
    answer = await send(family, "PUT", path, {"_id": doc_id, "_rev": "1-a", "type": "clinic", "name": "x"})

    assert answer == (404, {"code": 404, "error": f"{label} record [{doc_id}] not found."})  # EP-CON-15


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", "person", "can_create_people"),
        ("POST", "place", "can_create_places"),
        ("POST", "report", "can_create_records"),
        ("PUT", "person/x", "can_update_people"),
        ("PUT", "place/x", "can_update_places"),
        ("PUT", "report/x", "can_update_reports"),
    ],
)
async def test_writes_need_one_of_two_permissions(
    client: Client, make_user: Any, method: str, path: str, permission: str
) -> None:
    nobody = {name: [] for name in ("can_create_records", "can_update_reports")}
    permissions = {**nobody, permission: ["analytics"], "can_edit": ["gateway"]}
    await client.put("/api/v1/settings", json={"permissions": permissions})
    statuses = {}
    for role in ("analytics", "gateway", "data_entry", "chw"):
        user = await make_user(role, roles=[role])
        statuses[role] = (await client.request(method, f"/api/v1/{path}", json={}, headers=user)).status

    assert statuses == {"analytics": 400, "gateway": 400, "data_entry": 403, "chw": 403}  # 30 §8
