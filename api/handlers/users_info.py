"""How many documents a phone would replicate, before somebody hands out the account (EP-USI-1..7)."""

from __future__ import annotations

from typing import Any, TypedDict

import orjson
from aiohttp import web

from api.access.rules import Scope
from api.auth import current_user, require
from api.json_errors import answer_errors
from api.keys import ACCESS, LAG, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.params import JsonParam, Param
from api.replication.lists import count_docs, lag_headers
from api.replication.logs import LIMIT
from api.replication.scope import account_scope, user_scope
from api.responses import json_response
from core.errors import InvalidInput
from core.settings import Settings

ROLE = JsonParam(name="role", about="a role, or a JSON array of roles; needed for the counts of others")
FACILITY_ID = Param(name="facility_id", about="the id of a place, a JSON array of ids, or several times an id")
CONTACT_ID = Param(name="contact_id", about="the id of the person")


class ReplicationSize(TypedDict):
    total_docs: int
    warn: bool
    limit: int
    warn_docs: int


@describe(
    Operation(
        access=Access.ACCOUNT,
        query=(ROLE, FACILITY_ID, CONTACT_ID),
        answers={200: ReplicationSize},
        summary="How many documents a phone would replicate",
    )
)
async def get_users_info(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/users-info: `{total_docs, warn, limit, warn_docs}` of the caller, who is offline, or of an account
    with `role` (a text or a JSON array), `facility_id` (may be repeated) and `contact_id`.

    Permission for others' counts: can_update_users. Errors are always JSON.
    """
    response: web.StreamResponse = await answer_errors(request, count_for_caller)
    return response


async def count_for_caller(request: web.Request) -> web.Response:
    user = current_user(request)
    if user.offline:
        scope = user_scope(request, user)
    else:
        require(request, "can_update_users")
        scope = asked_scope(request)
    access = request.config_dict[ACCESS]
    behind = await request.config_dict[LAG].behind(user.name)
    counts = await count_docs(access, scope)
    answer = {
        "total_docs": counts.total,
        "warn": counts.total >= LIMIT,
        "limit": LIMIT,
        "warn_docs": counts.total - counts.tasks,
    }
    return json_response(answer, headers=lag_headers(behind))


def asked_scope(request: web.Request) -> Scope:
    """The scope of the account the query describes, which has no name (EP-USI-3..6)."""
    facilities = asked_facilities(request)
    if not facilities or not ROLE.text(request):
        raise InvalidInput("Missing required query params: role and/or facility_id")
    settings = request[REQUEST_SETTINGS]
    roles = asked_roles(request, settings)
    return account_scope(settings, None, roles, facilities, CONTACT_ID.text(request) or None)


def asked_facilities(request: web.Request) -> tuple[str, ...]:
    """The ids of `facility_id`, given once, repeated, or as a JSON array."""
    ids: list[str] = []
    for text in FACILITY_ID.texts(request):
        ids += text_list(text) or [text]
    return tuple(dict.fromkeys(each for each in ids if each))


def text_list(text: str) -> list[str] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, list) and all(isinstance(each, str) for each in value) else None


def asked_roles(request: web.Request, settings: Settings) -> tuple[str, ...]:
    value: Any = ROLE.read(request)
    roles = [value] if isinstance(value, str) else value
    if not isinstance(roles, list):
        raise InvalidInput("Role parameter must be either a string or a JSON encoded array")
    if not all(isinstance(role, str) for role in roles):
        raise InvalidInput("All roles should be strings")
    # The documentation asks for a role configured as offline; an unknown one would only be treated like it.
    configured = [settings.roles.get(role) for role in roles]
    if not settings.is_offline(roles) or not any(isinstance(each, dict) and each.get("offline") for each in configured):
        raise InvalidInput("Provided role is not offline")
    return tuple(roles)


ROUTES = [web.get("/api/v1/users-info", get_users_info)]
