"""User accounts: listed, made, changed and ended (EP-USR-10..59)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from api.auth import current_user, holds, require
from api.bodies import now_ms, read_filled_json
from api.credentials import Credentials, check_basic
from api.errors import InsufficientPrivileges
from api.forwarded import origin
from api.handlers.places import brings_person
from api.infodocs import note_writes
from api.keys import CONFIG, DB, REQUEST_SETTINGS, SESSIONS
from api.params import read_json, require_json
from api.responses import json_response
from api.sessions import User
from core.couch.client import Doc
from core.errors import Forbidden, Unauthorized
from core.new_users import create_user
from core.user_fields import forbidden_to_self
from core.user_list import list_users
from core.users import delete_user, update_user, user_id

OWN_MEMBERS = ("fullname", "email", "phone", "language", "known", "password", "token_login")


async def get_users(request: web.Request) -> web.Response:
    """GET /api/v1/users: every account with its place and contact, by id. Permission: can_view_users."""
    require(request, "can_view_users")
    users = [user async for batch in list_users(request.config_dict[DB]) for user in batch]
    return json_response(users)


async def post_user(request: web.Request) -> web.Response:
    """POST /api/v1/users: make an account, and the place and contact that come as objects.

    Answers `{"contact", "user-settings", "user"}`, each `{id, rev}`. Permissions: can_create_users, can_create_places
    when `place` is an object, can_create_people when `contact` is one. 409 when the name is taken.
    """
    require_json(request)
    require(request, "can_create_users")
    body = await read_json(request)
    members = body if isinstance(body, dict) else {}
    if isinstance(members.get("place"), dict):
        require(request, "can_create_places")
    if isinstance(members.get("contact"), dict) or brings_person(members.get("place")):
        require(request, "can_create_people")
    answer, rows = await create_user(
        request.config_dict[DB],
        request[REQUEST_SETTINGS],
        body,
        now_ms=now_ms(),
        app_url=origin(request),
        force_password_change=request.config_dict[CONFIG].force_password_change,
    )
    note_writes(request, (row["id"] for row in rows))
    return json_response(answer)


async def post_user_changes(request: web.Request) -> web.Response:
    """POST /api/v1/users/{username}: change an account; `{"user", "user-settings"}`, each `{id, rev}`.

    Permission: can_update_users (can_update_places and can_update_people to move it), or one's own account within
    limits: no roles, place or contact, and a new password only with Basic credentials. 404 for an unknown user.
    """
    require_json(request)
    user = current_user(request)
    login = await basic_login(request)
    name = request.match_info["username"]
    full_access = holds(request, user, "can_update_users")
    if not full_access and not (user.name == name and login in (None, name)):
        raise Forbidden("You do not have permissions to modify this person")
    body = await read_filled_json(request)
    members = body if isinstance(body, dict) else {}
    if full_access:
        check_full_access(request, user, members)
    else:
        check_own_account(members, has_basic=login is not None)
    config = request.config_dict[CONFIG]
    answer = await update_user(
        request.config_dict[DB],
        request[REQUEST_SETTINGS],
        name,
        body,
        now_ms=now_ms(),
        by_self=user.name == name,
        app_url=origin(request),
        force_password_change=config.force_password_change,
        server_admins=(config.couch_admin[0],),
    )
    forget(request, name, written=(user_id(name),))
    return json_response(answer)


async def remove_user(request: web.Request) -> web.Response:
    """DELETE /api/v1/users/{username}: end an account and its sessions; its person and place stay.

    Answers the results of both writes. Permission: can_delete_users. 404 for an unknown user.
    """
    require(request, "can_delete_users")
    name = request.match_info["username"]
    rows = await delete_user(request.config_dict[DB], name, now_ms=now_ms())
    forget(request, name, written=(user_id(name),))
    return json_response(rows)


async def basic_login(request: web.Request) -> str | None:
    """The user name of valid Basic credentials, None when the request has none. Unauthorized for wrong ones.

    Checked even where a cookie says who is calling: they prove that the password is known now (EP-USR-51).
    """
    header = request.headers.get("Authorization", "")
    if header[:6].lower() != "basic ":
        return None
    check_basic(header)
    account = await request.config_dict[SESSIONS].check(Credentials(authorization=header))
    if account is None:
        raise Unauthorized("Bad username / password")
    return account.name


def check_full_access(request: web.Request, user: User, body: Doc) -> None:
    """Moving an account needs the permissions for places and people as well (EP-USR-51)."""
    for member, permission in (("place", "can_update_places"), ("contact", "can_update_people")):
        if member in body and not holds(request, user, permission):
            raise InsufficientPrivileges


def check_own_account(body: Doc, *, has_basic: bool) -> None:
    if "password" in body and not has_basic:
        raise Forbidden("You must authenticate with Basic Auth to modify your password")
    refused = forbidden_to_self(body, OWN_MEMBERS)
    if refused:
        raise Unauthorized(f"You do not have permission to modify: {','.join(refused)}")


def forget(request: web.Request, name: str, *, written: Sequence[str]) -> None:
    """What was remembered of the account is old."""
    request.config_dict[SESSIONS].forget(name)
    note_writes(request, written)


ROUTES: list[Any] = [
    web.get("/api/v1/users", get_users),
    web.post("/api/v1/users", post_user),
    web.post("/api/v1/users/{username}", post_user_changes),
    web.delete("/api/v1/users/{username}", remove_user),
]
