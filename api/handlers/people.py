"""People, created alone or with the places they live in (EP-PPL-1..10)."""

from __future__ import annotations

from aiohttp import web

from api.auth import require
from api.bodies import now_ms, read_filled_json
from api.handlers.places import Stored
from api.infodocs import note_writes
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.params import require_json
from api.responses import json_response
from core.people import create_person
from core.shapes import NewPerson


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_create_people",),
        body=NewPerson,
        answers={200: Stored},
        errors=(404, 409),
    )
)
async def post_person(request: web.Request) -> web.Response:
    """POST /api/v1/people: store a person and answer `{id, rev}`.

    `place` is the id of an existing place, or a new place that is created with its parents.
    Permissions: can_create_people, and can_create_places when `place` is an object. 404 for an unknown place.
    """
    require_json(request)
    require(request, "can_create_people")
    body = await read_filled_json(request)
    if isinstance(body, dict) and isinstance(body.get("place"), dict):
        require(request, "can_create_places")
    rows = await create_person(request.config_dict[DB], request[REQUEST_SETTINGS], body, now_ms=now_ms())
    note_writes(request, (row["id"] for row in rows))
    return json_response({"id": rows[0]["id"], "rev": rows[0]["rev"]})


ROUTES = [web.post("/api/v1/people", post_person)]
