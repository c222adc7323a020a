"""User accounts as they are shown: all, those of a place or contact, or one (EP-USR-10..14)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api.auth import current_user, require
from api.keys import DB
from api.operations import Access, Operation, describe
from api.params import Param
from api.responses import json_response
from core.user_list import find_user, find_users, list_users, user_of, user_with_roles

FACILITY_ID = Param(name="facility_id", about="only the accounts of this place")
CONTACT_ID = Param(name="contact_id", about="only the accounts of this person")


@describe(Operation(access=Access.ACCOUNT, permissions=("can_view_users",), answers={200: list[dict[str, Any]]}))
async def get_users(request: web.Request) -> web.Response:
    """GET /api/v1/users: every account with its place and contact, by id. Permission: can_view_users."""
    require(request, "can_view_users")
    return json_response([user async for batch in list_users(request.config_dict[DB], user_of) for user in batch])


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_view_users",),
        query=(FACILITY_ID, CONTACT_ID),
        answers={200: list[dict[str, Any]]},
    )
)
async def get_users_with_roles(request: web.Request) -> web.Response:
    """GET /api/v2/users: every account with its `roles` and its places as a list, by id.

    ?facility_id, ?contact_id: only the accounts of that place and contact; none for unknown ids.
    Permission: can_view_users.
    """
    require(request, "can_view_users")
    db = request.config_dict[DB]
    facility_id, contact_id = FACILITY_ID.text(request) or None, CONTACT_ID.text(request) or None
    if facility_id or contact_id:
        batches = find_users(db, user_with_roles, facility_id=facility_id, contact_id=contact_id)
    else:
        batches = list_users(db, user_with_roles)
    return json_response([user async for batch in batches for user in batch])


@describe(Operation(access=Access.ACCOUNT, answers={200: dict[str, Any]}, errors=(404,)))
async def get_user(request: web.Request) -> web.Response:
    """GET /api/v2/users/{username}: one account. Permission: can_view_users, but for one's own. 404 when unknown."""
    name = request.match_info["username"]
    if current_user(request).name != name:
        require(request, "can_view_users")
    return json_response(await find_user(request.config_dict[DB], name, user_with_roles))


ROUTES: list[Any] = [
    web.get("/api/v1/users", get_users),
    web.get("/api/v2/users", get_users_with_roles),
    web.get("/api/v2/users/{username}", get_user),
]
