"""Places, created with the places above them and the person in charge, and updated (EP-PLC-1..12)."""

from __future__ import annotations

from typing import Any, TypedDict

from aiohttp import web

from api.auth import require
from api.bodies import now_ms, read_filled_json
from api.infodocs import note_writes
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.params import require_json
from api.responses import json_response
from core.lineage import DEEPEST
from core.places import create_place, update_place
from core.shapes import PlaceChanges, PlaceTree


class Stored(TypedDict):
    """The id and revision of what was stored."""

    id: str
    rev: str


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_create_places",),
        body=PlaceTree,
        answers={200: Stored},
        errors=(404, 409),
    )
)
async def post_place(request: web.Request) -> web.Response:
    """POST /api/v1/places: store a place and answer `{id, rev}`.

    `parent` is the id of an existing place or a new one, `contact` the id of an existing person or a new one.
    Permissions: can_create_places, and can_create_people when a contact is an object. 404 for an unknown id.
    """
    require_json(request)
    require(request, "can_create_places")
    body = await read_filled_json(request)
    if brings_person(body):
        require(request, "can_create_people")
    rows = await create_place(request.config_dict[DB], request[REQUEST_SETTINGS], body, now_ms=now_ms())
    note_writes(request, (row["id"] for row in rows))
    return json_response({"id": rows[0]["id"], "rev": rows[0]["rev"]})


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_update_places",),
        body=PlaceChanges,
        answers={200: Stored},
        errors=(404, 409),
    )
)
async def post_place_changes(request: web.Request) -> web.Response:
    """POST /api/v1/places/{id}: change a place's name, parent, contact or place_id; `{id, rev}`.

    Permissions: can_update_places, and those of what is created with it. 404 for an unknown place.
    """
    require_json(request)
    require(request, "can_update_places")
    body = await read_filled_json(request)
    if brings_person(body):
        require(request, "can_create_people")
    if isinstance(body, dict) and isinstance(body.get("parent"), dict):
        require(request, "can_create_places")
    place_id = request.match_info["id"]
    rows = await update_place(request.config_dict[DB], request[REQUEST_SETTINGS], place_id, body, now_ms=now_ms())
    note_writes(request, (row["id"] for row in rows))
    return json_response({"id": rows[0]["id"], "rev": rows[0]["rev"]})


def brings_person(place: Any) -> bool:
    """Whether the place, or a new place above it, comes with a new person."""
    for _ in range(DEEPEST):
        if not isinstance(place, dict):
            return False
        if isinstance(place.get("contact"), dict):
            return True
        place = place.get("parent")
    return False


ROUTES = [
    web.post("/api/v1/places", post_place),
    web.post("/api/v1/places/{id}", post_place_changes),
]
