"""POST /api/v1/people over HTTP."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.conftest import basic, eventually

Client = TestClient[Any, Any]


async def test_person_is_answered_with_id_and_rev(client: Client, db: Database) -> None:
    answer = await client.post("/api/v1/people", json={"name": "Hannah", "phone": "+2548277210095"})

    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"  # EP-1
    body = await answer.json()
    assert set(body) == {"id", "rev"}  # EP-PPL-6
    assert (await db.get(body["id"]))["_rev"] == body["rev"]


async def test_written_documents_get_an_infodoc(client: Client, sentinel_db: Database) -> None:
    answer = await client.post("/api/v1/people", json={"name": "Hannah"})

    doc_id = (await answer.json())["id"]
    infodoc = await eventually(lambda: sentinel_db.find(f"{doc_id}-info"))
    assert infodoc["latest_replication_date"]  # EP-7, PROXY-15


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b" "])
async def test_empty_body_is_400(client: Client, data: bytes) -> None:
    answer = await client.post("/api/v1/people", data=data, headers={"Content-Type": "application/json"})

    assert answer.status == 400
    expected = "Request body is empty or Content-Type header was not set to application/json."
    assert await answer.text() == expected  # EP-3


async def test_refusals_are_told_as_text_or_json(client: Client) -> None:
    as_text = await client.post("/api/v1/people", json={"phone": "1"})
    as_json = await client.post("/api/v1/people", json={"phone": "1"}, headers={"Accept": "application/json"})

    assert (as_text.status, await as_text.text()) == (400, 'Person is missing a "name" property.')
    assert await as_json.json() == {"code": 400, "error": 'Person is missing a "name" property.'}


async def test_statuses_of_bad_requests(client: Client) -> None:
    async def status(**request: Any) -> int:
        return (await client.post("/api/v1/people", **request)).status

    assert await status(data=b'{"name":"A"}', headers={"Content-Type": "text/plain"}) == 400  # AUTH-14, EP-2
    assert await status(data=b'{"name":', headers={"Content-Type": "application/json"}) == 400
    assert await status(json={"name": "A", "place": "nowhere"}) == 404  # EP-PPL-4
    assert await status(json={"name": "A", "_id": "p-1"}) == 200
    assert await status(json={"name": "A", "_id": "p-1"}) == 409  # EP-PPL-8


async def test_permissions_for_people_and_the_places_they_bring(client: Client, make_user: Any) -> None:
    settings = {"permissions": {"can_create_people": ["data_entry"]}}
    assert (await client.put("/api/v1/settings", json=settings)).status == 200
    clerk = await make_user("clerk", roles=["data_entry"])
    gateway = await make_user("gateway", roles=["gateway"])
    place = {"name": "Busia", "type": "district_hospital"}

    async def status(login: Any, body: Any) -> int:
        return (await client.post("/api/v1/people", json=body, headers=login)).status

    assert await status(clerk, {"name": "A"}) == 200
    assert await status(clerk, {"name": "A", "place": place}) == 403  # EP-PPL-1
    assert await status(gateway, {"name": "A"}) == 403
    assert await status({**basic("nobody", "wrong"), "Accept": "application/json"}, {"name": "A"}) == 401


async def test_ids_made_by_the_server_are_random(client: Client) -> None:
    people = [await client.post("/api/v1/people", json={"name": "Hannah"}) for _ in range(2)]
    place = await client.post("/api/v1/places", json={"name": "Busia", "type": "district_hospital"})
    record = await client.post("/api/v2/records", data={"message": "hello", "from": "1"})

    ids = {(await answer.json())["id"] for answer in (*people, place, record)}
    assert len(ids) == 4  # EP-8
    assert all(re.fullmatch("[0-9a-f]{32}", each.replace("-", "")) for each in ids), ids


async def test_refusals_come_in_their_order(client: Client, make_user: Any) -> None:
    gateway = await make_user("gateway", roles=["gateway"])
    nobody = {"Authorization": ""}
    text, json = ({"Content-Type": kind, "Accept": "application/json"} for kind in ("text/plain", "application/json"))
    unknown_place = {"_id": "p-1", "name": "A", "place": "nowhere"}
    assert (await client.post("/api/v1/people", json={"_id": "p-1", "name": "A"})).status == 200

    async def status(headers: dict[str, str], body: Any) -> int:
        answer = await client.post("/api/v1/people", data=orjson.dumps(body), headers=headers)
        return answer.status

    assert await status({**nobody, **text}, {}) == 400  # EP-4
    assert await status({**nobody, **json}, {}) == 401
    assert await status({**gateway, **json}, {}) == 403
    assert await status(json, {**unknown_place, "name": 5}) == 400
    assert await status(json, unknown_place) == 404
    assert await status(json, {"_id": "p-1", "name": "A"}) == 409
