"""The documentation's examples of users and users-info, as printed (seed 004, lines 525-763)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Couch, Database
from tests.api.seed.printed import printed_shape, send, shape
from tests.conftest import basic

Client = TestClient[Any, Any]

MARY = """POST /api/v1/users
Content-Type: application/json

{
  "password": "secret",
  "username": "mary",
  "type": "district-manager",
  "place": {
    "name": "Mary's Area",
    "type": "health_center",
    "parent": "d14e1c3d557761320b13a77e7806e8f8"
  },
  "contact": {
    "name": "Mary Anyango",
    "phone": "+2868917046"
  }
}"""  # lines 615-631
MARY_MADE = """{
  "contact": {
    "id": "65416b8ceb53ff88ac1847654501aeb3",
    "rev": "1-0b74d219ae13137c1a06f03a0a52e187"
  },
  "user-settings": {
    "id": "org.couchdb.user:mary",
    "rev": "1-6ac1d36b775143835f4af53f9895d7ae"
  },
  "user": {
    "id": "org.couchdb.user:mary",
    "rev": "1-c3b82a0b47cfe68edd9284c89bebbae4"
  }
}"""  # lines 635-648
DEMO = """{
    "id": "org.couchdb.user:demo",
    "rev": "14-8758c8493edcc6dac50366173fc3e24a",
    "type": "district-manager",
    "fullname": "Example User",
    "username": "demo",
    "language": {
      "code": "en"
    },
    "place": {
      "_id": "eeb17d6d-5dde-c2c0-62c4a1a0ca17d38b",
      "type": "district_hospital",
      "name": "Sample District",
      "contact": {
        "_id": "eeb17d6d-5dde-c2c0-62c4a1a0ca17fd17",
        "type": "person",
        "name": "Paul",
        "phone": "+2868917046"
      }
    },
    "contact": {
      "_id": "eeb17d6d-5dde-c2c0-62c4a1a0ca17fd17",
      "type": "person",
      "name": "Paul",
      "phone": "+2868917046"
    }
  }"""  # lines 574-598
DISTRICT = {"_id": "eeb17d6d-5dde-c2c0-62c4a1a0ca17d38b", "type": "district_hospital", "name": "Sample District"}
PAUL = {
    "_id": "eeb17d6d-5dde-c2c0-62c4a1a0ca17fd17",
    "type": "person",
    "name": "Paul",
    "phone": "+2868917046",
}


@pytest.fixture
async def district(db: Database, no_mary: None) -> None:
    await db.put({"_id": "d14e1c3d557761320b13a77e7806e8f8", "type": "district_hospital", "name": "District"})


def printed_members(value: Any, printed: Any) -> Any:
    """The value with only those members that are printed; `_rev` and the like are cut from the page's examples."""
    if isinstance(value, dict) and isinstance(printed, dict):
        return {name: printed_members(value.get(name), each) for name, each in printed.items()}
    return value


async def test_list_of_users(client: Client, db: Database, couch: Couch, no_mary: None) -> None:
    """Lines 560-599."""
    await db.put({**DISTRICT, "contact": {"_id": PAUL["_id"]}})
    await db.put(PAUL)
    doc_id, shared = "org.couchdb.user:demo", {"facility_id": DISTRICT["_id"], "contact_id": PAUL["_id"]}
    account = {"_id": doc_id, "name": "demo", "type": "user", "password": "secret", "roles": ["district-manager"]}
    await couch.db("_users").put({**account, **shared})
    await db.put({"_id": doc_id, "type": "user-settings", "fullname": "Example User", "language": "en", **shared})

    answer = await send(client, "GET /api/v1/users")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    [demo] = [user for user in await answer.json() if user["username"] == "demo"]
    expected = printed_shape(DEMO)
    assert shape(printed_members(demo, expected)) == expected
    assert set(demo) == set(expected)
    assert (demo["type"], demo["language"]) == ("district-manager", {"code": "en"})


async def test_user_without_place_and_contact(client: Client, db: Database, couch: Couch, new_name: str) -> None:
    """Lines 565-573: an administrator, of whom little is known."""
    account = {"_id": f"org.couchdb.user:{new_name}", "name": new_name, "type": "user", "roles": ["admin"]}
    await couch.db("_users").put({**account, "password": "secret"})
    await db.put({"_id": account["_id"], "type": "user-settings", "name": new_name, "language": "en"})

    [admin] = [user for user in await (await send(client, "GET /api/v1/users")).json() if user["username"] == new_name]

    assert {name: value for name, value in admin.items() if name != "rev"} == {
        "id": account["_id"],
        "type": "admin",
        "username": new_name,
        "language": {"code": "en"},
    }


async def test_user_with_a_place_and_a_contact(client: Client, db: Database, district: None) -> None:
    """Lines 615-648; `secret` is taken as a password (DIV-15)."""
    answer = await send(client, MARY)

    made = await answer.json()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert shape(made) == printed_shape(MARY_MADE)
    assert made["user"]["id"] == made["user-settings"]["id"] == "org.couchdb.user:mary"
    place = await db.get((await db.get("org.couchdb.user:mary"))["facility_id"])
    assert (place["name"], place["contact"]["_id"]) == ("Mary's Area", made["contact"]["id"])
    assert (await client.get("/api/v1/settings", headers=basic("mary", "secret"))).status == 200


async def test_user_whose_name_is_taken(client: Client, district: None) -> None:
    """Lines 652-657."""
    await send(client, MARY)

    answer = await send(client, MARY)

    assert (answer.status, answer.content_type) == (409, "text/plain")
    assert await answer.text() == "Document update conflict."


async def test_user_is_changed(client: Client, db: Database, district: None) -> None:
    """Lines 680-699."""
    await send(client, MARY)
    await db.put({"_id": "eeb17d6d-5dde-c2c0-62c4a1a0ca17e342", "type": "district_hospital", "name": "Other"})

    answer = await send(
        client,
        """POST /api/v1/users/mary
Content-Type: application/json

{
  "password": "secret",
  "place": "eeb17d6d-5dde-c2c0-62c4a1a0ca17e342"
}""",
    )

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert shape(await answer.json()) == printed_shape("""{
  "user": {
    "id": "org.couchdb.user:mary",
    "rev": "23-858e01fafdfa0d367d798fe5b44751ff"
  },
  "user-settings": {
    "id": "org.couchdb.user:mary",
    "rev": "17-c6d03b86d2d5d70f7270c85e67fea96d"
  }
}""")
    assert (await db.get("org.couchdb.user:mary"))["facility_id"] == "eeb17d6d-5dde-c2c0-62c4a1a0ca17e342"


async def test_user_is_deleted(client: Client, db: Database, district: None) -> None:
    """Lines 716-717."""
    await send(client, MARY)

    answer = await send(client, "DELETE /api/v1/users/mary")

    assert answer.status == 200
    assert (await db.get("org.couchdb.user:mary"))["inactive"] is True


COUNT = """{
  "total_docs": 5678,
  "warn": false,
  "limit": 10000
}"""  # lines 730-734 and 748-752, but for a quote the page lost (DIV-26)


async def test_users_info_of_an_offline_user(client: Client, db: Database, make_user: Any) -> None:
    """Lines 726-734."""
    await db.put(DISTRICT)
    asha = await make_user("asha", roles=["chw"], facility_id=DISTRICT["_id"])
    session = await client.post(
        "/_session", json={"name": asha.name, "password": asha.password}, headers={"Authorization": ""}
    )
    token = session.cookies["AuthSession"].value
    client.session.cookie_jar.clear()

    login = {"Cookie": f"AuthSession={token};", "Authorization": ""}
    answer = await send(client, "GET /api/v1/users-info", login)

    told = await answer.json()
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert shape(printed_members(told, printed_shape(COUNT))) == printed_shape(COUNT)
    assert set(told) == {"total_docs", "warn", "limit", "warn_docs"}  # EP-USI-1


async def test_users_info_of_an_account_to_be(client: Client, db: Database) -> None:
    """Lines 744-752."""
    await db.put(DISTRICT)

    answer = await send(
        client, f"GET /api/v1/users-info?facility_id={DISTRICT['_id']}&role=chw&contact_id={PAUL['_id']}"
    )

    told = await answer.json()
    assert (answer.status, told["limit"], told["warn"]) == (200, 10000, False)
    assert shape(printed_members(told, printed_shape(COUNT))) == printed_shape(COUNT)


async def test_users_info_without_a_facility(client: Client) -> None:
    """Lines 756-763."""
    answer = await send(client, "GET /api/v1/users-info?role=data_entry")

    assert (answer.status, answer.content_type) == (400, "application/json")
    assert await answer.json() == {"code": 400, "error": "Missing required query params: role and/or facility_id"}
