"""The documentation's examples of people and places, as printed (seed 004, lines 311-523)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.seed.conftest import AREA_PARENT
from tests.api.seed.printed import printed_shape, send, shape

Client = TestClient[Any, Any]
pytestmark = pytest.mark.usefixtures("contacts")

WRITTEN = """{
  "id": "71df9d25ed6732ea3b4435862510d115",
  "rev": "1-a4060843d78f46a60a6f41051e40e3b5"
}"""  # lines 379-382 and 483-486


async def stored(client: Client, db: Database, text: str) -> Any:
    answer = await send(client, text)
    assert (answer.status, answer.content_type) == (200, "application/json"), await answer.text()
    body = await answer.json()
    assert shape(body) == printed_shape(WRITTEN)
    doc = await db.get(body["id"])
    assert doc["_rev"] == body["rev"]
    return doc


async def test_person_with_a_place_hierarchy(client: Client, db: Database) -> None:
    """Lines 344-360."""
    person = await stored(
        client,
        db,
        """POST /api/v1/people
Content-Type: application/json

{
  "name": "Hannah",
  "phone": "+2548277210095",
  "type": "contact",
  "contact_type": "patient",
  "place": {
    "name": "CHP Area One",
    "type": "health_center",
    "parent": {
      "name": "CHP Branch One",
      "type": "district_hospital"
    }
  }
}""",
    )

    area = await db.get(person["parent"]["_id"])
    branch = await db.get(person["parent"]["parent"]["_id"])
    assert (person["type"], person["contact_type"], person["phone"]) == ("contact", "patient", "+2548277210095")
    assert (area["name"], branch["name"], area["parent"]) == (
        "CHP Area One",
        "CHP Branch One",
        {"_id": branch["_id"]},
    )


async def test_person_of_an_existing_place(client: Client, db: Database) -> None:
    """Lines 364-382."""
    person = await stored(
        client,
        db,
        """POST /api/v1/people
Content-Type: application/json

{
 "name": "Samuel",
 "place": "1d83f2b4a27eceb40df9e9f9ad06d137",
 "type": "contact",
 "contact_type": "chp"
}""",
    )

    assert (person["contact_type"], person["parent"]) == ("chp", {"_id": AREA_PARENT, "parent": {"_id": "branch"}})


async def test_place_of_an_existing_parent(client: Client, db: Database) -> None:
    """Lines 422-429."""
    place = await stored(
        client,
        db,
        """POST /api/v1/places
Content-Type: application/json

{
 "name": "Busia Clinic",
 "type": "clinic",
 "parent": "1d83f2b4a27eceb40df9e9f9ad06d137"
}""",
    )

    assert (place["type"], place["parent"]["_id"]) == ("clinic", AREA_PARENT)


async def test_child_and_parent_places(client: Client, db: Database) -> None:
    """Lines 433-443."""
    place = await stored(
        client,
        db,
        """POST /api/v1/places
Content-Type: application/json

{
  "name": "CHP Area One",
  "type": "health_center",
  "parent": {
    "name": "CHP Branch One",
    "type": "district_hospital"
  }
}""",
    )

    assert (await db.get(place["parent"]["_id"]))["name"] == "CHP Branch One"


async def test_place_that_creates_its_contact(client: Client, db: Database) -> None:
    """Lines 447-461."""
    place = await stored(
        client,
        db,
        """POST /api/v1/places
Content-Type: application/json

{
  "name": "CHP Area One",
  "type": "health_center",
  "parent": {
    "name": "CHP Branch One",
    "type": "district_hospital"
  },
  "contact": {
    "name": "Paul",
    "phone": "+254883720611"
  }
}""",
    )

    paul = await db.get(place["contact"]["_id"])
    assert (paul["name"], paul["phone"], paul["type"]) == ("Paul", "+254883720611", "person")
    assert paul["parent"] == {"_id": place["_id"], "parent": place["parent"]}


async def test_place_that_is_assigned_its_contact(client: Client, db: Database) -> None:
    """Lines 465-486."""
    place = await stored(
        client,
        db,
        """POST /api/v1/places
Content-Type: application/json

{
  "name": "CHP Area One",
  "type": "health_center",
  "parent": {
    "name": "CHP Branch One",
    "type": "district_hospital"
  },
  "contact": "71df9d25ed6732ea3b4435862510ef8e"
}""",
    )

    assert place["contact"]["_id"] == "71df9d25ed6732ea3b4435862510ef8e"


async def test_place_of_a_wrong_parent(client: Client) -> None:
    """Lines 488-493: the answer is printed, the request is not."""
    answer = await send(
        client,
        """POST /api/v1/places
Content-Type: application/json

{"name": "CHP Area One", "type": "health_center", "parent": "1d83f2b4a27eceb40df9e9f9ad06d137"}""",
    )

    assert (answer.status, answer.content_type) == (400, "text/plain")
    assert await answer.text() == 'Health Centers should have "district_hospital" parent type.'


async def test_contact_of_a_place_is_updated(client: Client, db: Database) -> None:
    """Lines 509-521."""
    place = await stored(
        client,
        db,
        """POST /api/v1/places/1d83f2b4a27eceb40df9e9f9ad06d137
Content-Type: application/json

{
 "contact": "71df9d25ed6732ea3b4435862505f7a9"
}""",
    )

    assert (place["_id"], place["contact"]["_id"]) == (AREA_PARENT, "71df9d25ed6732ea3b4435862505f7a9")
