"""/api/v1/target."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from core.paging import Position, write_cursor

Client = TestClient[Any, Any]


def target(period: str, contact: str, user: str = "asha") -> dict[str, Any]:
    doc_id = f"target~{period}~{contact}~org.couchdb.user:{user}"
    return {"_id": doc_id, "type": "target", "owner": contact, "reporting_period": period, "targets": []}


TARGETS = [target("2024-03", "p1"), target("2024-03", "p1", "ben"), target("2024-03", "p12"), target("2024-04", "p1")]


@pytest.fixture
async def stored(client: Client, db: Database) -> Client:
    await db.bulk_docs([*TARGETS, {"_id": "p1", "type": "person"}])
    return client


async def ask(client: Client, path: str, **query: str) -> tuple[int, Any]:
    answer = await client.get(f"/api/v1/target{path}", params=query)
    return answer.status, await answer.json()


async def test_one_target(stored: Client) -> None:
    status, doc = await ask(stored, f"/{TARGETS[0]['_id']}")

    assert (status, doc["owner"]) == (200, "p1")  # EP-CON-8, MOD-58
    for other in ("p1", "nothing"):
        assert await ask(stored, f"/{other}") == (404, {"code": 404, "error": "Target not found"})


async def test_targets_of_a_month(stored: Client) -> None:
    _, one = await ask(stored, "", reporting_period="2024-03", contact_id="p1")
    _, first = await ask(stored, "", reporting_period="2024-03", contact_ids="p12,p1", limit="2")
    _, second = await ask(
        stored, "", reporting_period="2024-03", contact_ids="p12,p1", limit="2", cursor=first["cursor"]
    )

    ids = [doc["_id"] for doc in TARGETS]
    assert ([doc["_id"] for doc in one["data"]], one["cursor"]) == (ids[:2], None)  # EP-CON-9
    assert [doc["_id"] for doc in first["data"] + second["data"]] == [ids[2], *ids[:2]]  # EP-CON-10
    assert second["cursor"] is None


async def test_a_cursor_leads_to_targets_alone(stored: Client) -> None:
    for cursor in (Position(0, ""), Position(0, "p0"), Position(0, "zzz"), Position(7, "p0")):
        query = {"reporting_period": "2024-03", "contact_id": "p12", "cursor": write_cursor(cursor)}
        status, page = await ask(stored, "", **query)

        assert status == 200
        assert [doc["_id"] for doc in page["data"]] in ([], [TARGETS[2]["_id"]]), cursor  # EP-CON-10


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"contact_id": "p1"}, "Query param reporting_period must be a month as YYYY-MM, not []"),
        (
            {"contact_id": "p1", "reporting_period": "2024-13"},
            "Query param reporting_period must be a month as YYYY-MM, not [2024-13]",
        ),
        ({"reporting_period": "2024-03"}, "Either query param contact_id or contact_ids is required"),
    ],
)
async def test_bad_queries(client: Client, query: dict[str, str], error: str) -> None:
    assert await ask(client, "", **query) == (400, {"code": 400, "error": error})


async def test_targets_are_for_online_users(client: Client, make_user: Any) -> None:
    chw = await make_user("chw", roles=["chw"])
    clerk = await make_user("clerk", roles=["data_entry"])

    assert (await client.get("/api/v1/target/x", headers=chw)).status == 403  # 10 §5.3
    assert (await client.get("/api/v1/target/x", headers=clerk)).status == 404
