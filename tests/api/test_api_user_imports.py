"""Many users at once: /api/v1/users with a list, /api/v2/users with JSON and CSV (EP-USR-31, 71..74)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Couch, Database

Client = TestClient[Any, Any]
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
async def prefix(couch: Couch) -> AsyncIterator[str]:
    """What the names of all users of the test begin with; their accounts are removed afterwards."""
    prefix = f"imported-{secrets.token_hex(4)}"
    yield prefix
    users = couch.db("_users")
    rows = await users.all_docs(
        startkey=f"org.couchdb.user:{prefix}", endkey=f"org.couchdb.user:{prefix}\ufff0", include_docs=True
    )
    for row in rows:
        await users.delete(row["id"], row["doc"]["_rev"])


@pytest.fixture
async def kanga(db: Database) -> str:
    await db.put({"_id": "d-busia", "type": "district_hospital", "name": "Busia"})
    await db.put({"_id": "hc-kanga", "type": "health_center", "name": "Kanga", "parent": {"_id": "d-busia"}})
    return "hc-kanga"


@pytest.fixture
def logs_db(couch: Couch, config: Config) -> Database:
    return couch.db(config.db_name("logs"))


async def log_doc(logs_db: Database) -> Any:
    [row] = await logs_db.all_docs(startkey="bulk-user-upload-", endkey="bulk-user-upload-\ufff0", include_docs=True)
    return row["doc"]


def clerk(name: str, **members: Any) -> dict[str, Any]:
    return {"username": name, "password": "secret", "roles": ["data_entry"], **members}


async def test_imports_are_listed_and_one_that_is_silent_was_cut_off(client: Client, logs_db: Database) -> None:
    counts = {"total": 2, "failed": 0, "successful": 2}
    progress = {"status": "saving", "parsing": counts, "saving": {**counts, "successful": 1, "ignored": 0}}
    doc = {"bulk_uploaded_by": "admin", "bulk_uploaded_on": "2026-11-30T08:00:00.000Z", "progress": progress}
    row = {"username": "mary", "import": {"status": "imported", "message": "Imported"}}
    await logs_db.put({"_id": "bulk-user-upload-1795304279708", **doc, "data": [row]})
    at = "/api/v1/user-imports"
    [listed] = await (await client.get(at)).json()
    one = await (await client.get(f"{at}/{listed['id']}")).json()

    assert (listed["status"], listed["by"], "data" in listed) == ("cut off", "admin", False)
    assert one == {**listed, "data": [row]}
    assert (await client.get(f"{at}/settings")).status == 404


async def test_a_list_of_users_is_answered_by_a_list(client: Client, couch: Couch, prefix: str) -> None:
    bodies = [clerk(f"{prefix}-1"), {"username": f"{prefix}-2"}, clerk(f"{prefix}-1"), "x", clerk(f"{prefix}-3")]

    answer = await client.post("/api/v1/users", json=bodies)

    first, incomplete, taken, wrong, last = await answer.json()
    assert answer.status == 200  # EP-USR-31
    assert (set(first), set(last)) == ({"user", "user-settings"}, {"user", "user-settings"})
    assert incomplete["error"]["translationKey"] == "fields.required"
    assert taken == {"error": "Document update conflict."}
    assert wrong == {"error": "User must be an object."}
    assert await couch.db("_users").find(f"org.couchdb.user:{prefix}-2") is None


@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
async def test_an_empty_list_makes_nobody(client: Client, version: str) -> None:
    answer = await client.post(f"/api/{version}/users", json=[])

    assert (answer.status, await answer.json()) == (200, [])


async def test_one_failing_row_does_not_stop_the_rest(
    client: Client, db: Database, kanga: str, prefix: str, logs_db: Database
) -> None:
    text = (
        "username,password,roles,phone,place.name,place.type,place.parent,place,contact.name,import.status:excluded,note:excluded\n"
        f'{prefix}-1,"Green, boat 12",chw,0711,Area 1,health_center,d-busia,,Mary A.,,x\n'
        f"{prefix}-2,secret,chw,,,,,nowhere,Juma,,x\n"
        f"{prefix}-3,secret,chw,,,,,{kanga},Asha,imported,x\n"
        f"{prefix}-4,secret,chw,,,,,{kanga},Omar,error,x,y\n"
        "\n"
        f"{prefix}-5,secret,chw:chw_supervisor,,,,,{kanga},Neema,,\n"
    )

    answer = await client.post("/api/v2/users", data=text.encode(), headers=CSV)

    made, unknown, skipped, wrong, last = await answer.json()
    assert answer.status == 200  # EP-USR-71..74
    assert set(made) == set(last) == {"contact", "user", "user-settings"}
    assert unknown == {"error": "Failed to find place."}
    assert "imported" in skipped["error"]
    assert "12 cells" in wrong["error"]
    profile = await db.get(f"org.couchdb.user:{prefix}-5")
    assert (profile["roles"], profile["facility_id"]) == (["chw", "chw_supervisor"], kanga)
    area = await db.get((await db.get(f"org.couchdb.user:{prefix}-1"))["facility_id"])
    assert (area["name"], area["parent"]) == ("Area 1", {"_id": "d-busia"})
    assert await db.find(f"org.couchdb.user:{prefix}-3") is None

    log = await log_doc(logs_db)
    assert log["progress"] == {
        "status": "finished",
        "parsing": {"total": 5, "failed": 1, "successful": 4},
        "saving": {"total": 4, "failed": 1, "successful": 2, "ignored": 1},
    }  # MOD-97
    assert [row["import"]["status"] for row in log["data"]] == ["imported", "error", "skipped", "error", "imported"]
    assert log["data"][1]["import"]["message"] == "Failed to find place."
    assert log["data"][0]["username"] == f"{prefix}-1"
    assert not [row for row in log["data"] if "password" in row]
    assert (log["bulk_uploaded_by"], log["bulk_uploaded_on"][-1]) == ("admin", "Z")


async def test_json_is_imported_too(client: Client, prefix: str, logs_db: Database) -> None:
    answer = await client.post("/api/v2/users", json=clerk(prefix))

    [made] = await answer.json()
    assert made["user"]["id"] == f"org.couchdb.user:{prefix}"
    assert (await log_doc(logs_db))["progress"]["saving"]["successful"] == 1


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("text/plain", "username\nmary", "Content-Type must be application/json or text/csv"),
        ("text/csv", "", "CSV is empty."),
        ("text/csv", 'username\n"mary', "CSV line 2: unexpected end of data"),
        ("application/json", "3", "Users must be an object or a list of objects."),
        ("application/json", "{", "The request body is not valid JSON"),
    ],
)
async def test_what_cannot_be_read_is_400(client: Client, kind: str, body: str, reason: str) -> None:
    answer = await client.post("/api/v2/users", data=body, headers={"Content-Type": kind})

    assert answer.status == 400  # EP-USR-71
    assert (await answer.text()).startswith(reason)


async def test_permissions_are_asked_for_before_the_first_row(
    client: Client, make_user: Any, kanga: str, prefix: str, couch: Couch
) -> None:
    settings = {"permissions": {"can_create_users": ["data_entry"], "can_create_people": []}}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200
    some_clerk = await make_user("clerk", roles=["data_entry"])
    nobody = await make_user("nobody", roles=["analytics"])
    text = (
        f"username,password,roles,place,contact.name\n{prefix}-1,secret,data_entry,,\n{prefix}-2,secret,chw,{kanga},N\n"
    )

    refused = await client.post("/api/v2/users", data=text, headers={**CSV, **some_clerk})
    unread = await client.post("/api/v2/users", data="", headers={**CSV, **nobody})

    assert (refused.status, unread.status) == (403, 403)  # EP-USR-22
    assert await couch.db("_users").find(f"org.couchdb.user:{prefix}-1") is None
