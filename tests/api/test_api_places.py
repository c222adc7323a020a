"""POST /api/v1/places and /api/v1/places/{id} over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database

Client = TestClient[Any, Any]
BRANCH = {"name": "CHP Branch One", "type": "district_hospital"}
AREA = {"name": "CHP Area One", "type": "health_center", "parent": BRANCH}


async def test_documented_place_and_its_update(client: Client, db: Database) -> None:
    created = await client.post("/api/v1/places", json={**AREA, "contact": {"name": "Paul", "phone": "+254883720611"}})
    body = await created.json()
    updated = await client.post(f"/api/v1/places/{body['id']}", json={"name": "CHP Area Two"})

    assert (created.status, set(body)) == (200, {"id", "rev"})  # EP-PLC-6
    assert (updated.status, set(await updated.json())) == (200, {"id", "rev"})  # EP-PLC-12
    place = await db.get(body["id"])
    assert (place["name"], place["_rev"]) == ("CHP Area Two", (await updated.json())["rev"])


async def test_wrong_structure_is_told_in_plain_text(client: Client) -> None:
    answer = await client.post("/api/v1/places", json={**AREA, "parent": AREA})

    assert answer.status == 400
    assert answer.content_type == "text/plain"
    assert await answer.text() == 'Health Centers should have "district_hospital" parent type.'  # EP-PLC-7, DIV-10


async def test_statuses_of_bad_requests(client: Client) -> None:
    place = await (await client.post("/api/v1/places", json={**BRANCH, "_id": "d-1"})).json()

    async def post(path: str, body: Any) -> tuple[int, str]:
        answer = await client.post(f"/api/v1/places{path}", json=body)
        return answer.status, await answer.text()

    fields = "One of the following fields are required: name, parent, contact, place_id"
    assert await post(f"/{place['id']}", {"foo": 1}) == (400, fields)  # EP-PLC-10
    assert await post("/nowhere", {"name": "X"}) == (404, "Failed to find place.")
    assert await post("", {**AREA, "parent": "nowhere"}) == (404, "Failed to find place.")
    assert await post("", {**BRANCH, "_id": "d-1"}) == (409, "Document update conflict.")
    assert (await post("", {}))[0] == 400
    assert (await post("/d-1", {}))[0] == 400


async def test_hard_coded_types_keep_their_rules_beside_configured_ones(client: Client) -> None:
    types = [{"id": "region"}, {"id": "area", "parents": ["region"]}, {"id": "member", "person": True}]
    assert (await client.put("/api/v1/settings", json={"contact_types": types})).status == 200
    region = {"name": "North", "type": "region"}
    bodies = ({"name": "One", "type": "area", "parent": region}, AREA, {**AREA, "parent": region})

    statuses = [(await client.post("/api/v1/places", json=body)).status for body in bodies]

    assert statuses == [200, 200, 400]  # EP-PLC-3, MOD-17, MOD-18


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (BRANCH, True),
        ({**BRANCH, "contact": {"name": "Paul"}}, False),
        ({**AREA, "parent": {**BRANCH, "contact": {"name": "Paul"}}}, False),
    ],
    ids=["place alone", "with a new person", "with a new person further up"],
)
async def test_new_people_need_their_own_permission(client: Client, make_user: Any, body: Any, allowed: bool) -> None:
    settings = {"permissions": {"can_create_places": ["data_entry"], "can_create_people": []}}
    assert (await client.put("/api/v1/settings?replace=true", json=settings)).status == 200
    clerk = await make_user("clerk", roles=["data_entry"])

    answer = await client.post("/api/v1/places", json=body, headers=clerk)

    assert answer.status == (200 if allowed else 403)  # EP-PLC-1


async def test_update_needs_its_permission(client: Client, make_user: Any) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])
    await client.post("/api/v1/places", json={**BRANCH, "_id": "d-1"})

    answer = await client.post("/api/v1/places/d-1", json={"name": "X"}, headers=clerk)

    assert (answer.status, await answer.text()) == (403, "Insufficient privileges")  # EP-PLC-10, PERM-21
