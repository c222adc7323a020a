"""Creating and updating places: what is stored, and what is refused before anything is stored."""

from __future__ import annotations

from typing import Any

import pytest

from core.couch.client import Database, Doc
from core.errors import Conflict, InvalidInput, NotFound
from core.people import create_person
from core.places import create_place, update_place
from core.settings import Settings

NOW_MS = 1_709_280_000_000
DEFAULT = Settings()
CONFIGURED = Settings(
    {
        "contact_types": [
            {"id": "region"},
            {"id": "area", "parents": ["region", "sub_region"]},
            {"id": "clinic", "parents": ["area"]},
            {"id": "chp", "parents": ["area"], "person": True},
        ]
    }
)
DISTRICT = {"name": "CHP Branch One", "type": "district_hospital"}
HEALTH_CENTER = {"name": "CHP Area One", "type": "health_center", "parent": DISTRICT}


class UntouchedDatabase(Database):
    """A database nobody may ask."""

    def __init__(self) -> None:
        pass

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        raise AssertionError(f"{method} {path} although the body is invalid")


async def make(db: Database, body: Any, settings: Settings = DEFAULT) -> Doc:
    rows = await create_place(db, settings, body, now_ms=NOW_MS)
    return await db.get(rows[0]["id"])


async def change(db: Database, place_id: str, body: Any, settings: Settings = DEFAULT) -> Doc:
    rows = await update_place(db, settings, place_id, body, now_ms=NOW_MS + 1)
    assert rows[0]["id"] == place_id
    return await db.get(place_id)


async def names(db: Database) -> list[str]:
    rows = await db.all_docs(include_docs=True)
    return sorted(row["doc"]["name"] for row in rows if row["doc"].get("reported_date"))


async def test_documented_place_with_an_existing_parent(db: Database) -> None:
    health_center = await make(db, HEALTH_CENTER)

    clinic = await make(db, {"name": "Busia Clinic", "type": "clinic", "parent": health_center["_id"]})

    assert clinic["parent"] == {"_id": health_center["_id"], "parent": health_center["parent"]}  # EP-PLC-4
    assert clinic["reported_date"] == NOW_MS


async def test_documented_place_with_its_parent_and_contact(db: Database) -> None:
    rows = await create_place(
        db, DEFAULT, {**HEALTH_CENTER, "contact": {"name": "Paul", "phone": "+254883720611"}}, now_ms=NOW_MS
    )

    place = await db.get(rows[0]["id"])
    person = await db.get(place["contact"]["_id"])
    lineage = {"_id": place["_id"], "parent": place["parent"]}
    assert rows[0]["rev"] == place["_rev"]  # EP-PLC-6
    assert place["contact"] == {"_id": person["_id"], "parent": lineage}  # EP-PLC-5, DIV-14
    assert {**person, "_rev": 0} == {
        "_id": person["_id"],
        "_rev": 0,
        "name": "Paul",
        "phone": "+254883720611",
        "type": "person",
        "reported_date": NOW_MS,
        "parent": lineage,
    }
    assert await names(db) == ["CHP Area One", "CHP Branch One", "Paul"]


async def test_documented_place_with_an_existing_contact(db: Database) -> None:
    district = await make(db, DISTRICT)
    await create_person(db, DEFAULT, {"_id": "p-1", "name": "Paul", "place": district["_id"]}, now_ms=NOW_MS)

    place = await make(db, {**HEALTH_CENTER, "contact": "p-1"})

    assert place["contact"] == {"_id": "p-1", "parent": {"_id": district["_id"]}}


async def test_configured_types_are_stored_as_contacts(db: Database) -> None:
    place = await make(db, {"name": "A", "type": "area", "parent": {"name": "R", "type": "region"}}, CONFIGURED)
    region = await db.get(place["parent"]["_id"])

    assert (place["type"], place["contact_type"]) == ("contact", "area")  # MOD-19
    assert (region["type"], region["contact_type"]) == ("contact", "region")


async def test_national_office_may_stand_above(db: Database) -> None:
    office = await make(db, {"name": "Nairobi", "type": "national_office"})
    district = await make(db, {**DISTRICT, "parent": office["_id"]})

    assert district["parent"] == {"_id": office["_id"]}  # EP-PLC-2


@pytest.mark.parametrize(
    ("settings", "body", "message"),
    [
        (DEFAULT, ["x"], "Place must be an object."),
        (DEFAULT, {"name": "A", "type": "person"}, "Wrong type, object  is not a place."),
        (DEFAULT, {"_id": "x", "name": "A"}, "Wrong type, object x is not a place."),
        (DEFAULT, {"type": "clinic"}, 'Place  is missing a "name" property.'),
        (DEFAULT, {"_id": "x", "type": "clinic"}, 'Place x is missing a "name" property.'),
        (DEFAULT, {**DISTRICT, "reported_date": "soon"}, "Reported date on place  is invalid: soon"),
        (DEFAULT, {"name": 7, "type": "clinic"}, 'Property "name" on place  must be a string.'),
        (DEFAULT, {"name": "A", "type": "clinic"}, 'Place  is missing a "parent" property.'),
        (
            DEFAULT,
            {"name": "A", "type": "clinic", "parent": 5},
            "Place must be a new object or string identifier (UUID).",
        ),
        (
            DEFAULT,
            {"name": "A", "type": "clinic", "parent": DISTRICT},
            'Clinics should have "health_center" parent type.',
        ),
        (
            DEFAULT,
            {"name": "A", "type": "health_center", "parent": HEALTH_CENTER},
            'Health Centers should have "district_hospital" parent type.',
        ),
        (
            CONFIGURED,
            {"_id": "x", "name": "A", "type": "area", "parent": DISTRICT},
            'area "x" should have one of the following parent types: "region,sub_region".',
        ),
        (
            CONFIGURED,
            {"name": "A", "type": "clinic", "parent": DISTRICT},
            'clinic "" should have one of the following parent types: "area".',
        ),
        (DEFAULT, {**DISTRICT, "contact": 5}, 'Property "contact" on place  must be an object or string.'),
        (
            DEFAULT,
            {**DISTRICT, "contact": {"name": "P", "_rev": "1-a"}},
            "Person must be a new object or string identifier (UUID).",
        ),
        (DEFAULT, {**DISTRICT, "contact": {"phone": "1"}}, 'Person is missing a "name" property.'),
        (
            DEFAULT,
            {**HEALTH_CENTER, "name": "", "parent": {"type": "district_hospital"}},
            'Place  is missing a "name" property.',
        ),
        (
            DEFAULT,
            {**HEALTH_CENTER, "parent": {**DISTRICT, "_rev": "1-a"}},
            "Place must be a new object or string identifier (UUID).",
        ),
    ],
)
async def test_invalid_place_is_refused_before_the_database_is_asked(
    settings: Settings, body: Any, message: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await create_place(UntouchedDatabase(), settings, body, now_ms=NOW_MS)

    assert refused.value.message == message  # EP-PLC-7..9


async def test_a_hierarchy_without_end_is_refused() -> None:
    body: Doc = {"name": "A", "type": "district_hospital"}
    for _ in range(60):
        body = {"name": "A", "type": "district_hospital", "parent": body}

    with pytest.raises(InvalidInput, match="more than 50 places"):
        await create_place(UntouchedDatabase(), DEFAULT, body, now_ms=NOW_MS)


async def test_existing_parent_of_the_wrong_type_is_refused_and_nothing_stored(db: Database) -> None:
    district = await make(db, DISTRICT)

    with pytest.raises(InvalidInput, match=r'^Clinics should have "health_center" parent type\.$'):
        await make(db, {"name": "A", "type": "clinic", "parent": district["_id"], "contact": {"name": "P"}})

    assert await names(db) == ["CHP Branch One"]


async def test_unknown_references_are_not_found_and_nothing_stored(db: Database) -> None:
    with pytest.raises(NotFound, match=r"^Failed to find place\.$"):
        await make(db, {"name": "A", "type": "clinic", "parent": "nowhere", "contact": {"name": "P"}})
    with pytest.raises(NotFound, match=r"^Failed to find person\.$"):
        await make(db, {**HEALTH_CENTER, "contact": "nobody"})

    assert await names(db) == []  # EP-PLC-9, EP-PPL-10


async def test_taken_id_is_a_conflict_and_leaves_nothing(db: Database) -> None:
    await make(db, {**DISTRICT, "_id": "d-1"})

    with pytest.raises(Conflict, match=r"^Document update conflict\.$"):
        await make(db, {"name": "A", "type": "health_center", "parent": {**DISTRICT, "_id": "d-1"}})

    assert await names(db) == ["CHP Branch One"]


async def test_update_changes_the_editable_members_only(db: Database) -> None:
    place = await make(db, {**DISTRICT, "rc_code": "B"})

    changed = await change(db, place["_id"], {"name": "Busia", "place_id": "70001", "rc_code": "X", "type": "clinic"})

    assert changed == {**place, "_rev": changed["_rev"], "name": "Busia", "place_id": "70001"}  # EP-PLC-10


async def test_update_assigns_an_existing_or_a_new_contact(db: Database) -> None:
    place = await make(db, HEALTH_CENTER)
    lineage = {"_id": place["_id"], "parent": place["parent"]}
    await create_person(db, DEFAULT, {"_id": "p-1", "name": "Paul", "place": place["_id"]}, now_ms=NOW_MS)

    assigned = await change(db, place["_id"], {"contact": "p-1"})
    assert assigned["contact"] == {"_id": "p-1", "parent": lineage}  # EP-PLC-11

    created = await change(db, place["_id"], {"contact": {"name": "Mary"}})
    person = await db.get(created["contact"]["_id"])
    assert (person["name"], person["parent"]) == ("Mary", lineage)


async def test_update_moves_a_place_below_a_new_parent_and_leaves_its_descendants(db: Database) -> None:
    place = await make(db, HEALTH_CENTER)
    clinic = await make(db, {"name": "C", "type": "clinic", "parent": place["_id"]})

    moved = await change(db, place["_id"], {"parent": {"name": "Kisumu", "type": "district_hospital"}})

    parent = await db.get(moved["parent"]["_id"])
    assert (parent["name"], moved["parent"]) == ("Kisumu", {"_id": parent["_id"]})
    assert await db.get(clinic["_id"]) == clinic  # EP-PLC-11


async def test_refused_updates_leave_the_place_as_it_was(db: Database) -> None:
    place = await make(db, HEALTH_CENTER)
    clinic = await make(db, {"name": "C", "type": "clinic", "parent": place["_id"]})
    refusals = {
        "One of the following fields are required: name, parent, contact, place_id": {"foo": 1},
        f'Place {place["_id"]} is missing a "name" property.': {"name": None},
        f'Property "name" on place {place["_id"]} must be a string.': {"name": 5},
        f'Place {place["_id"]} is missing a "parent" property.': {"parent": None},
        'Health Centers should have "district_hospital" parent type.': {"parent": clinic["_id"]},
        f'Property "contact" on place {place["_id"]} must be an object or string.': {"contact": None},
        f'Property "place_id" on place {place["_id"]} must be a string.': {"place_id": 5},
    }

    for message, body in refusals.items():
        with pytest.raises(InvalidInput) as refused:
            await change(db, place["_id"], body)
        assert refused.value.message == message

    assert await db.get(place["_id"]) == place


async def test_update_of_what_is_no_place_is_not_found(db: Database) -> None:
    await create_person(db, DEFAULT, {"_id": "p-1", "name": "Paul"}, now_ms=NOW_MS)

    for place_id in ("nowhere", "p-1"):
        with pytest.raises(NotFound, match=r"^Failed to find place\.$"):  # EP-PLC-10
            await change(db, place_id, {"name": "X"})


async def test_a_place_cannot_be_moved_below_itself(db: Database) -> None:
    outer = await make(db, {"name": "Outer", "type": "region"}, CONFIGURED)
    inner = await make(db, {"name": "Inner", "type": "region", "parent": outer["_id"]}, CONFIGURED)

    with pytest.raises(InvalidInput, match="must not be placed below itself"):
        await change(db, outer["_id"], {"parent": inner["_id"]}, CONFIGURED)
