"""User accounts made, changed and ended (EP-USR-20..70); version 3 lets them have several places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NotRequired, TypedDict

from aiohttp import web

from api.auth import current_user, holds, require
from api.bodies import now_ms, read_filled_json
from api.credentials import Credentials, read_basic
from api.errors import InsufficientPrivileges, message_of
from api.forwarded import client_address, origin
from api.handlers.places import Stored, brings_person
from api.infodocs import note_writes
from api.keys import CONFIG, DB, REQUEST_SETTINGS, SESSIONS
from api.operations import Access, Operation, describe
from api.params import read_json, require_json
from api.responses import json_response
from api.sessions import User
from core.couch.client import Doc, Row
from core.errors import DomainError, Forbidden, Unauthorized
from core.new_users import UsernameTaken, create_user
from core.settings import Settings
from core.shapes import NewUser, UserChanges
from core.user_csv import UserRow
from core.user_fields import InvalidUser, forbidden_to_self
from core.user_imports import ImportLog, create_users
from core.users import delete_user, update_user, user_id

OWN_MEMBERS = ("fullname", "email", "phone", "language", "known", "password", "token_login")


class TokenLogin(TypedDict, total=False):
    expiration_date: int


UserWritten = TypedDict(
    "UserWritten",
    {
        "user": Stored,
        "user-settings": Stored,
        "contact": NotRequired[Stored],
        "token_login": NotRequired[TokenLogin],
    },
)


CREATION = Operation(
    access=Access.ACCOUNT,
    permissions=("can_create_users",),
    body=NewUser | list[NewUser],
    answers={200: UserWritten | list[dict[str, Any]]},
    errors=(404, 409),
)
CHANGE = Operation(access=Access.ACCOUNT, body=UserChanges, answers={200: UserWritten}, errors=(404, 409))


@describe(CREATION)
async def post_user(request: web.Request) -> web.Response:
    """POST /api/v1/users: make an account, and the place and contact that come as objects.

    Answers `{"contact", "user-settings", "user"}`, each `{id, rev}`; for a list of users a list of answers, `{"error"}`
    among them. Permissions: can_create_users, can_create_places when `place` is an object, can_create_people when
    `contact` is one. 409 when the name is taken.
    """
    return await make_users(request, several_places=False)


@describe(CREATION)
async def post_user_of_places(request: web.Request) -> web.Response:
    """POST /api/v3/users: as version 1, of a `contact` and a `place` that exist; `place` may be a list of ids.

    Permission: can_create_users. Several places need roles with can_have_multiple_places.
    """
    return await make_users(request, several_places=True)


async def make_users(request: web.Request, *, several_places: bool) -> web.Response:
    require_json(request)
    allow_creation(request, [])
    body = await read_json(request)
    if not isinstance(body, list):
        allow_creation(request, [] if several_places else [body])
        return json_response(await create(request, body, several_places=several_places))
    allow_creation(request, [] if several_places else body)
    return json_response(await create_each(request, [UserRow(each) for each in body], several_places=several_places))


def allow_creation(request: web.Request, bodies: Iterable[Any]) -> User:
    """Refuse who may not make users, or the places and people that come with these (EP-USR-22)."""
    user = require(request, "can_create_users")
    for body in bodies:
        members = body if isinstance(body, dict) else {}
        if isinstance(members.get("place"), dict):
            require(request, "can_create_places")
        if isinstance(members.get("contact"), dict) or brings_person(members.get("place")):
            require(request, "can_create_people")
    return user


def settings_of(request: web.Request) -> Settings:
    """The settings, with the password policy of the profile where they name none (EP-USR-40, DIV-15)."""
    settings = request[REQUEST_SETTINGS]
    if request.config_dict[CONFIG].compat != "cht" or "password_policy" in settings.values:
        return settings
    return Settings({**settings.values, "password_policy": "cht"}, settings.rev)


async def create(request: web.Request, body: Any, *, several_places: bool = False) -> Doc:
    config = request.config_dict[CONFIG]
    try:
        answer, rows = await create_user(
            request.config_dict[DB],
            settings_of(request),
            body,
            now_ms=now_ms(),
            app_url=origin(request),
            force_password_change=config.force_password_change,
            several_places=several_places,
        )
    except UsernameTaken as taken:
        if config.compat != "cht":
            raise
        name = body["username"]
        raise InvalidUser(f'Username "{name}" already taken.', "username.taken", username=name) from taken  # DIV-12
    note_writes(request, (row["id"] for row in rows))
    return answer


async def create_each(
    request: web.Request, rows: Sequence[UserRow], import_log: ImportLog | None = None, *, several_places: bool = False
) -> list[Doc]:
    """The answers of many creations, each made when the one before is done (EP-USR-31)."""

    async def create_one(body: Any) -> Doc:
        return await create(request, body, several_places=several_places)

    outcomes = await create_users(rows, create_one, import_log)
    return [{"error": message_of(each)} if isinstance(each, DomainError) else each for each in outcomes]


@describe(CHANGE)
async def post_user_changes(request: web.Request) -> web.Response:
    """POST /api/v1/users/{username}: change an account; `{"user", "user-settings"}`, each `{id, rev}`.

    Permission: can_update_users (can_update_places and can_update_people to move it), or one's own account within
    limits: no roles, place or contact, and a new password only with Basic credentials. 404 for an unknown user.
    """
    return await change_user(request, several_places=False)


@describe(CHANGE)
async def post_user_changes_of_places(request: web.Request) -> web.Response:
    """POST /api/v3/users/{username}: as version 1, and `place` may be a list of ids."""
    return await change_user(request, several_places=True)


async def change_user(request: web.Request, *, several_places: bool) -> web.Response:
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
    return json_response(await change(request, user, name, body, several_places=several_places))


async def change(request: web.Request, user: User, name: str, body: Any, *, several_places: bool) -> Doc:
    """Change an account in the caller's name, whose permissions have been looked at."""
    config = request.config_dict[CONFIG]
    answer = await update_user(
        request.config_dict[DB],
        settings_of(request),
        name,
        body,
        now_ms=now_ms(),
        by_self=user.name == name,
        app_url=origin(request),
        force_password_change=config.force_password_change,
        server_admins=(config.couch_admin[0],),
        several_places=several_places,
    )
    forget(request, name, written=(user_id(name),))
    return answer


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_delete_users",),
        answers={200: list[dict[str, Any]]},
        errors=(400, 404, 409),
    )
)
async def remove_user(request: web.Request) -> web.Response:
    """DELETE /api/v1/users/{username}: end an account and its sessions; its person and place stay.

    Answers the results of both writes. Permission: can_delete_users. 404 for an unknown user.
    """
    require(request, "can_delete_users")
    return json_response(await remove(request, request.match_info["username"]))


async def remove(request: web.Request, name: str) -> list[Row]:
    rows = await delete_user(request.config_dict[DB], name, now_ms=now_ms())
    forget(request, name, written=(user_id(name),))
    return rows


async def basic_login(request: web.Request) -> str | None:
    """The user name of valid Basic credentials, None when the request has none. Unauthorized for wrong ones.

    Checked even where a cookie says who is calling: they prove that the password is known now (EP-USR-51).
    """
    header = request.headers.get("Authorization", "")
    if header[:6].lower() != "basic ":
        return None
    read_basic(header)
    credentials = Credentials(authorization=header, address=client_address(request))
    account = await request.config_dict[SESSIONS].check(credentials)
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
    web.post("/api/v1/users", post_user),
    web.post("/api/v3/users", post_user_of_places),
    web.post("/api/v1/users/{username}", post_user_changes),
    web.post("/api/v3/users/{username}", post_user_changes_of_places),
    web.delete("/api/v1/users/{username}", remove_user),
]
