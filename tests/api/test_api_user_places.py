"""Users with several places, and the newer listing that shows them (EP-USR-13, 14, 70, 65 CONF-21, CONF-36)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Couch, Database

Client = TestClient[Any, Any]
SEVERAL = {"permissions": {"can_have_multiple_places": ["chw_supervisor"]}}


@pytest.fixture
def name(new_name: str) -> str:
    return new_name


@pytest.fixture
async def places(client: Client, db: Database) -> None:
    """The districts d-1 and d-2, each with a person, p-1 and p-2; supervisors may have several places."""
    for number in (1, 2, 3):
        await db.put({"_id": f"d-{number}", "type": "district_hospital", "name": f"District {number}"})
        await db.put({"_id": f"p-{number}", "type": "person", "name": f"P{number}", "parent": {"_id": f"d-{number}"}})
    assert (await client.put("/api/v1/settings", json=SEVERAL)).status == 200


def supervisor(name: str, **members: Any) -> dict[str, Any]:
    return {"username": name, "password": "secret", "roles": ["chw_supervisor"], **members}


async def test_a_user_of_several_places(client: Client, db: Database, couch: Couch, places: None, name: str) -> None:
    answer = await client.post("/api/v3/users", json=supervisor(name, place=["d-1", "d-2"], contact="p-2"))

    members = await answer.json()
    assert answer.status == 200, members  # EP-USR-70
    assert members["contact"]["id"] == "p-2"
    for doc in (await db.get(f"org.couchdb.user:{name}"), await couch.db("_users").get(f"org.couchdb.user:{name}")):
        assert (doc["facility_id"], doc["contact_id"]) == (["d-1", "d-2"], "p-2")  # MOD-62
    [shown] = await (await client.get("/api/v2/users?facility_id=d-2&contact_id=p-2")).json()
    assert [place["_id"] for place in shown["place"]] == ["d-1", "d-2"]


@pytest.mark.parametrize(
    ("members", "status", "message"),
    [
        ({"place": [], "contact": "p-1"}, 400, "Missing required fields: place"),
        ({"place": [1], "contact": "p-1"}, 400, "Invalid facilities list"),
        ({"place": {"name": "A", "type": "district_hospital"}, "contact": "p-1"}, 400, "Invalid facilities list"),
        ({"place": ["d-1", "gone"], "contact": "p-1"}, 404, "Failed to find place gone"),
        ({"place": ["p-1"], "contact": "p-1"}, 404, "Failed to find place p-1"),
        ({"place": ["d-1"], "contact": "gone"}, 404, "Contact not found [gone]."),
        ({"place": "d-1", "contact": {"name": "New"}}, 400, 'Property "contact" must be the id of an existing person.'),
        ({"place": ["d-1", "d-3"], "contact": "p-2"}, 400, "Contact is not within place."),
        ({"place": ["d-1", "d-2"], "contact": "p-2", "roles": ["chw"]}, 400, "This user cannot have multiple places"),
    ],
)
async def test_what_a_user_of_several_places_cannot_have(
    client: Client, couch: Couch, places: None, name: str, members: Any, status: int, message: str
) -> None:
    answer = await client.post("/api/v3/users", json=supervisor(name, **members))

    assert (answer.status, await answer.text()) == (status, message)  # EP-USR-70
    assert await couch.db("_users").find(f"org.couchdb.user:{name}") is None


async def test_version_1_takes_a_single_place(client: Client, db: Database, places: None, name: str) -> None:
    several = await client.post("/api/v1/users", json=supervisor(name, place=["d-1", "d-2"], contact="p-1"))
    single = await client.post("/api/v1/users", json=supervisor(name, place=["d-1"], contact="p-1"))

    assert (several.status, await several.text()) == (400, "Only one place can be given here, not several")
    assert single.status == 200  # EP-USR-70
    assert (await db.get(f"org.couchdb.user:{name}"))["facility_id"] == "d-1"


async def test_places_of_an_account_are_changed(client: Client, db: Database, places: None, name: str) -> None:
    await client.post("/api/v3/users", json=supervisor(name, place="d-1", contact="p-1"))

    async def change(version: str, **members: Any) -> tuple[int, str]:
        answer = await client.post(f"/api/{version}/users/{name}", json=members)
        return answer.status, await answer.text()

    async def facility() -> Any:
        return (await db.get(f"org.couchdb.user:{name}"))["facility_id"]

    assert (await change("v3", place=["d-1", "d-2", "d-3"], contact="p-3"))[0] == 200  # EP-USR-70
    assert await facility() == ["d-1", "d-2", "d-3"]
    assert await change("v3", place=["gone"]) == (404, "Failed to find place gone")
    assert await change("v3", contact="gone") == (404, "Contact not found [gone].")
    assert await change("v3", place=[]) == (400, "Invalid facilities list")
    assert await change("v3", place=["d-1", "d-2"], roles=["chw"]) == (400, "This user cannot have multiple places")
    assert (await change("v1", username=name, place=["d-2", "d-3"]))[0] == 200  # CONF-21
    assert await facility() == ["d-2", "d-3"]
    assert await change("v1", place=["d-1", "d-3"]) == (400, "Only one place can be given here, not several")
    assert (await change("v1", place=["d-3"]))[0] == 200
    assert await facility() == "d-3"


async def test_version_2_shows_roles_and_a_list_of_places(client: Client, places: None, name: str) -> None:
    body = supervisor(name, place="d-1", contact="p-1", language="sw", fullname="Tom")
    rev = (await (await client.post("/api/v1/users", json=body)).json())["user"]["rev"]

    answer = await client.get(f"/api/v2/users/{name}")

    shown = await answer.json()
    assert (answer.status, shown.pop("contact")["_id"], [each["_id"] for each in shown.pop("place")]) == (
        200,
        "p-1",
        ["d-1"],
    )
    assert shown == {
        "id": f"org.couchdb.user:{name}",
        "rev": rev,
        "username": name,
        "fullname": "Tom",
        "roles": ["chw_supervisor"],
    }  # EP-USR-14


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("?facility_id=d-1", True),
        ("?contact_id=p-1", True),
        ("?facility_id=d-1&contact_id=p-1", True),
        ("?facility_id=d-2&contact_id=p-1", False),
        ("?facility_id=unknown", False),
        ("?contact_id=unknown", False),
        ("", True),
    ],
)
async def test_users_are_found_by_place_and_contact(
    client: Client, places: None, name: str, query: str, is_found: bool
) -> None:
    await client.post("/api/v1/users", json=supervisor(name, place="d-1", contact="p-1"))

    answer = await client.get(f"/api/v2/users{query}")

    found = [user["username"] for user in await answer.json()]
    assert (answer.status, name in found) == (200, is_found)  # EP-USR-14, CONF-36
    assert not query or found in ([], [name])


async def test_a_user_without_places_has_null(client: Client, name: str) -> None:
    await client.post("/api/v1/users", json={"username": name, "password": "secret", "roles": ["data_entry"]})

    assert (await (await client.get(f"/api/v2/users/{name}")).json())["place"] is None  # EP-USR-14


async def test_one_may_look_at_oneself(client: Client, make_user: Any) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])
    other = await make_user("other", roles=["data_entry"])

    own = await client.get(f"/api/v2/users/{clerk.name}", headers=clerk)
    others = await client.get(f"/api/v2/users/{other.name}", headers=clerk)
    all_of_them = await client.get("/api/v2/users", headers=clerk)
    unknown = await client.get("/api/v2/users/nobody")

    assert (own.status, (await own.json())["username"]) == (200, clerk.name)  # EP-USR-14
    assert (others.status, all_of_them.status) == (403, 403)
    text = "Failed to find user with name [nobody] in the [users] database."
    assert (unknown.status, await unknown.text()) == (404, text)
