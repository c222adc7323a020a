"""Creating people: what is stored, and what is refused before anything is stored."""

from __future__ import annotations

from typing import Any

import pytest

from core.contacts import read_person
from core.couch.client import Database, Doc
from core.errors import Conflict, InvalidInput, NotFound
from core.people import create_person
from core.places import create_place
from core.settings import Settings

NOW_MS = 1_709_280_000_000
DEFAULT = Settings()
CONFIGURED = Settings(
    {
        "contact_types": [
            {"id": "district_hospital"},
            {"id": "area", "parents": ["district_hospital"]},
            {"id": "patient", "parents": ["area"], "person": True},
            {"id": "chp", "parents": ["area"], "person": True},
        ]
    }
)
DISTRICT = {"_id": "d-busia", "name": "Busia", "type": "district_hospital"}


class UntouchedDatabase(Database):
    """A database nobody may ask."""

    def __init__(self) -> None:
        pass

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        raise AssertionError(f"{method} {path} although the body is invalid")


async def stored_person(db: Database, settings: Settings, body: Any) -> Doc:
    rows = await create_person(db, settings, body, now_ms=NOW_MS)
    return await db.get(rows[0]["id"])


async def contacts_of(db: Database) -> list[Doc]:
    rows = await db.all_docs(include_docs=True)
    return [row["doc"] for row in rows if "name" in row["doc"] and row["doc"].get("type") != "translations"]


async def test_documented_person_with_a_new_place_tree(db: Database) -> None:
    body = {
        "name": "Hannah",
        "phone": "+2548277210095",
        "type": "contact",
        "contact_type": "patient",
        "place": {
            "name": "CHP Area One",
            "type": "health_center",
            "parent": {"name": "CHP Branch One", "type": "district_hospital"},
        },
    }

    rows = await create_person(db, CONFIGURED, body, now_ms=NOW_MS)

    person = await db.get(rows[0]["id"])
    place = await db.get(person["parent"]["_id"])
    district = await db.get(place["parent"]["_id"])
    assert len(rows) == 3
    assert {**person, "_id": 0, "_rev": 0} == {
        "_id": 0,
        "_rev": 0,
        "name": "Hannah",
        "phone": "+2548277210095",
        "type": "contact",
        "contact_type": "patient",
        "reported_date": NOW_MS,
        "parent": {"_id": place["_id"], "parent": {"_id": district["_id"]}},
    }  # EP-PPL-2, 4, 5
    assert (place["type"], place["name"]) == ("health_center", "CHP Area One")
    assert (district["type"], district["name"]) == ("district_hospital", "CHP Branch One")
    assert "parent" not in district


async def test_documented_person_in_an_existing_place(db: Database) -> None:
    await create_place(db, DEFAULT, DISTRICT, now_ms=NOW_MS)

    person = await stored_person(
        db, CONFIGURED, {"name": "Samuel", "place": "d-busia", "type": "contact", "contact_type": "chp"}
    )

    assert person["parent"] == {"_id": "d-busia"}
    assert "place" not in person


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({}, {"type": "person"}),
        ({"type": "person"}, {"type": "person"}),
        ({"type": "contact", "contact_type": "person"}, {"type": "person"}),
        ({"type": "patient"}, {"type": "contact", "contact_type": "patient"}),
        ({"type": "contact", "contact_type": "patient"}, {"type": "contact", "contact_type": "patient"}),
    ],
    ids=["default", "hard-coded", "hard-coded as contact_type", "configured id as type", "configured"],
)
def test_type_is_stored_as_documents_carry_it(given: Doc, stored: Doc) -> None:
    person = read_person(CONFIGURED.contact_types, {"name": "Asha", **given}, NOW_MS)

    assert {name: person[name] for name in ("type", "contact_type") if name in person} == stored  # EP-PPL-3, MOD-19


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (1352399720000, 1352399720000),
        ("1352399720000", 1352399720000),
        ("2012-11-08T18:35:20Z", 1352399720000),
        ("2012-11-08T18:35:20.000+00:00", 1352399720000),
        ("2012-11-08T21:35:20.125+03:00", 1352399720125),
        (None, NOW_MS),
    ],
)
def test_reported_date_is_stored_in_milliseconds(given: object, stored: int) -> None:
    person = read_person(DEFAULT.contact_types, {"name": "Asha", "reported_date": given}, NOW_MS)

    assert person["reported_date"] == stored  # EP-9, MOD-5


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (["Asha"], "Person must be an object."),
        ("Asha", "Person must be an object."),
        ({"name": "Asha", "type": "clinic"}, "Wrong type, this is not a person."),
        ({"name": "Asha", "type": "contact"}, "Wrong type, this is not a person."),
        ({"name": "Asha", "type": ["person"]}, "Wrong type, this is not a person."),
        ({"type": "nobody"}, "Wrong type, this is not a person."),  # MOD-20
        ({"phone": "1"}, 'Person is missing a "name" property.'),
        ({"name": "", "reported_date": "x"}, 'Person is missing a "name" property.'),
        ({"name": 5, "reported_date": "x"}, 'Property "name" must be a string.'),
        ({"name": "Asha", "reported_date": "yesterday"}, "Reported date is invalid: yesterday"),
        ({"name": "Asha", "reported_date": "2012-11-08"}, "Reported date is invalid: 2012-11-08"),
        ({"name": "Asha", "reported_date": "2012-13-08T18:35:20Z"}, "Reported date is invalid: 2012-13-08T18:35:20Z"),
        ({"name": "Asha", "reported_date": True}, "Reported date is invalid: true"),
        ({"name": "Asha", "_rev": "1-a"}, "Person must be a new object or string identifier (UUID)."),
        ({"name": "Asha", "place": 5}, "Place must be a new object or string identifier (UUID)."),
        ({"place": {"name": "Busia", "type": "district_hospital"}}, 'Person is missing a "name" property.'),
        (
            {"name": "Asha", "place": {"_rev": "1-a", "name": "B", "type": "district_hospital"}},
            "Place must be a new object or string identifier (UUID).",
        ),
        ({"name": "Asha", "place": {"type": "district_hospital"}}, 'Place  is missing a "name" property.'),
    ],
)
async def test_invalid_person_is_refused_before_the_database_is_asked(body: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await create_person(UntouchedDatabase(), DEFAULT, body, now_ms=NOW_MS)

    assert refused.value.message == message  # EP-PPL-5, EP-PPL-7, EP-PPL-9


async def test_a_place_that_is_missing_or_no_place_is_not_found(db: Database) -> None:
    await create_person(db, DEFAULT, {"_id": "p-1", "name": "Paul"}, now_ms=NOW_MS)

    for place in ("nowhere", "p-1", "settings"):
        with pytest.raises(NotFound, match=r"^Failed to find place\.$"):  # EP-PPL-4
            await create_person(db, DEFAULT, {"name": "Asha", "place": place}, now_ms=NOW_MS)


async def test_taken_id_is_a_conflict_and_leaves_nothing(db: Database) -> None:
    await create_person(db, DEFAULT, {"_id": "p-1", "name": "Paul"}, now_ms=NOW_MS)
    place = {"name": "Busia", "type": "district_hospital"}

    with pytest.raises(Conflict):
        await create_person(db, DEFAULT, {"_id": "p-1", "name": "Asha", "place": place}, now_ms=NOW_MS)

    assert [doc["name"] for doc in await contacts_of(db)] == ["Paul"]  # EP-PPL-8, EP-PPL-9


@pytest.mark.parametrize("doc_id", ["settings", "_local/x", "form:death", "org.couchdb.user:asha", "", 5])
def test_ids_of_other_documents_are_refused(doc_id: object) -> None:
    with pytest.raises(InvalidInput, match='"_id" must be a string that is free for contacts'):
        read_person(DEFAULT.contact_types, {"_id": doc_id, "name": "Asha"}, NOW_MS)


async def test_given_parent_is_minified(db: Database) -> None:
    parent = {"_id": "c-1", "name": "Odera", "parent": {"_id": "d-1", "name": "Busia", "parent": ""}}

    person = await stored_person(db, DEFAULT, {"name": "Asha", "parent": parent})

    assert person["parent"] == {"_id": "c-1", "parent": {"_id": "d-1"}}  # EP-PPL-8, MOD-40


async def test_unknown_members_are_kept(db: Database) -> None:
    person = await stored_person(db, DEFAULT, {"name": "Asha", "notes": {"a": [1, {"b": None}]}, "_deleted": True})

    assert person["notes"] == {"a": [1, {"b": None}]}  # EP-PPL-2, MOD-1
