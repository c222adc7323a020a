"""GET /api/v1/users-info over HTTP."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from api.keys import ACCESS
from core.couch.client import Database

Client = TestClient[Any, Any]


async def load_district(client: Client, db: Database) -> None:
    """Two health centers of one district, each with a person and two reports about that person; a task of asha."""
    docs: list[dict[str, Any]] = [{"_id": "d", "type": "district_hospital", "name": "D"}]
    for each in ("a", "b"):
        parent = {"_id": f"hc-{each}", "parent": {"_id": "d"}}
        docs.append({"_id": f"hc-{each}", "type": "health_center", "name": each, "parent": {"_id": "d"}})
        docs.append({"_id": f"p-{each}", "type": "person", "name": each, "parent": parent})
        docs += [
            {
                "_id": f"r-{each}-{number}",
                "type": "data_record",
                "form": "V",
                "fields": {"patient_id": f"p-{each}"},
                "contact": {"_id": f"p-{each}", "parent": parent},
            }
            for number in range(2)
        ]
    rows = await db.bulk_docs(docs)
    assert all("error" not in row for row in rows)
    await level(client, db)


async def level(client: Client, db: Database) -> None:
    assert await client.app[ACCESS].catch_up(db, most_s=30) == 0


async def test_offline_caller_gets_her_own_count(client: Client, db: Database, make_user: Any) -> None:
    await load_district(client, db)
    asha = await make_user("asha", roles=["chw"], facility_id="hc-a", contact_id="p-a")
    user_id = f"org.couchdb.user:{asha.name}"
    task = {"_id": f"task~{user_id}~x~1", "type": "task", "user": user_id, "owner": "p-a", "requester": "p-a"}
    await db.put({**task, "state": "Ready", "emission": {}})
    await level(client, db)

    answer = await client.get("/api/v1/users-info?facility_id=hc-b&role=nonsense", headers=asha)
    ids = await client.get("/api/v1/replication/get-ids", headers=asha)

    listed = (await ids.json())["doc_ids_revs"]
    assert "r-a-1" in {each["id"] for each in listed}
    assert await answer.json() == {
        "total_docs": len(listed),
        "warn": False,
        "limit": 10000,
        "warn_docs": len(listed) - 1,
    }  # EP-USI-1, EP-USI-2


async def test_online_caller_asks_for_an_account_to_be(client: Client, db: Database, make_user: Any) -> None:
    await load_district(client, db)
    asha = await make_user("asha", roles=["chw"], facility_id="hc-a", contact_id="p-a")
    own = (await (await client.get("/api/v1/users-info", headers=asha)).json())["total_docs"]

    async def total(query: str) -> int:
        answer = await client.get(f"/api/v1/users-info?{query}")
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["total_docs"])

    assert await total("facility_id=hc-a&role=chw&contact_id=p-a") == own  # EP-USI-3, EP-USI-6
    assert await total('facility_id=hc-a&role=["chw","nurse"]') == own  # EP-USI-4
    assert await total("facility_id=hc-a&facility_id=hc-b&role=chw") == own + 4
    assert await total("facility_id=nowhere&role=chw") == own - 4


REFUSALS = {
    "": "Missing required query params: role and/or facility_id",
    "role=chw": "Missing required query params: role and/or facility_id",
    "role=data_entry": "Missing required query params: role and/or facility_id",
    "facility_id=hc-a": "Missing required query params: role and/or facility_id",
    "facility_id=&role=": "Missing required query params: role and/or facility_id",
    "facility_id=hc-a&role=5": "Role parameter must be either a string or a JSON encoded array",
    "facility_id=hc-a&role={}": "Role parameter must be either a string or a JSON encoded array",
    'facility_id=hc-a&role=["chw",5]': "All roles should be strings",
    "facility_id=hc-a&role=data_entry": "Provided role is not offline",
    "facility_id=hc-a&role=unheard-of": "Provided role is not offline",
    "facility_id=hc-a&role=[]": "Provided role is not offline",
}


async def test_refusals_are_json_even_where_text_is_asked_for(client: Client) -> None:
    for query, message in REFUSALS.items():
        answer = await client.get(f"/api/v1/users-info?{query}", headers={"Accept": "text/plain"})

        assert (answer.status, await answer.json()) == (400, {"code": 400, "error": message}), query  # EP-USI-5, ERR-14


async def test_others_counts_need_a_permission(client: Client, make_user: Any) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])

    answer = await client.get("/api/v1/users-info?facility_id=hc-a&role=chw", headers=clerk)

    assert (answer.status, await answer.json()) == (403, {"code": 403, "error": "Insufficient privileges"})  # EP-USI-3
