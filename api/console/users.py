"""User accounts: found, made, changed, given a login link, ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from api.auth import require, require_online
from api.console.frame import Form, Page, allow, done, errors_by_field, read_form, show
from api.handlers.users import allow_creation, change, check_full_access, create, remove
from api.keys import DB, REQUEST_SETTINGS
from core.couch.client import Doc
from core.errors import DomainError
from core.new_users import UsernameTaken
from core.user_fields import ONLINE_ROLE
from core.user_list import find_user, page_of_users, user_with_roles
from core.users import user_id, users_db

PAGE = Page("users", any_of=("can_view_users",))
A_PAGE = 50
TEXTS = ("fullname", "phone", "email", "language")
FIELDS = ("username", *TEXTS, "roles", "place", "contact_name", "contact", "password", "token_login")


async def show_users(request: web.Request) -> web.Response:
    """GET /admin/users?find&start: accounts by name, fifty at a time."""
    allow(request, PAGE)
    search, start = request.query.get("find", "").strip(), request.query.get("start", "")
    users, after = await page_of_users(
        request.config_dict[DB], user_with_roles, start=start, search=search, limit=A_PAGE
    )
    kept = {"find": search} if search else {}
    return await show(
        request,
        PAGE,
        "users.html",
        users=[{**each, "path": path_of(each["username"])} for each in users if each.get("username")],
        find=search,
        first=start and str(request.rel_url.with_query(kept)),
        next=after and str(request.rel_url.with_query({**kept, "start": after})),
    )


def path_of(name: str) -> str:
    return f"{PAGE.path}/named/{quote(name, safe='')}"


# --- making -----------------------------------------------------------------------------------------------------------


async def show_new_user(request: web.Request) -> web.Response:
    """GET /admin/users/new?place: the form of a new account."""
    require_online(request)
    require(request, "can_create_users")
    return await show_form(request, None, {"place": request.query.get("place", "")}, [])


async def create_new_user(request: web.Request) -> web.Response:
    """POST /admin/users/new: make the account, as `POST /api/v1/users`."""
    require_online(request)
    allow_creation(request, [])
    sent = await read_form(request)
    body = new_user(sent)
    try:
        allow_creation(request, [body])
        await create(request, body, several_places=len(sent.text("place").split()) > 1)
    except UsernameTaken as error:
        told = {"username": "console.users.taken"}
        return await show_form(request, None, values_of(sent), sent.all("roles"), told, status=error.status)
    except DomainError as error:
        return await show_form(request, None, values_of(sent), sent.all("roles"), refusals(error), status=error.status)
    return done(request, path_of(body["username"]), "console.users.created", name=body["username"])


def new_user(sent: Form) -> Doc:
    """The body of a new user; what is empty is left out."""
    body: Doc = {name: sent.text(name) for name in ("username", *TEXTS, "contact") if sent.has(name)}
    body |= {"password": sent.raw("password")} if sent.raw("password") else {}
    places = sent.text("place").split()
    body |= {"place": places if len(places) > 1 else places[0]} if places else {}
    body |= {"roles": sent.all("roles")} if sent.all("roles") else {}
    if sent.has("contact_name"):
        body["contact"] = {"name": sent.text("contact_name")}
    if sent.has("token_login"):
        body["token_login"] = True
    return body


# --- changing ---------------------------------------------------------------------------------------------------------


async def show_user(request: web.Request) -> web.Response:
    """GET /admin/users/named/{username}: one account, and the form that changes it."""
    allow(request, PAGE)
    user = await find_user(request.config_dict[DB], request.match_info["username"], user_with_roles)
    return await show_form(request, user, stored_values(user), user["roles"])


async def change_user(request: web.Request) -> web.Response:
    """POST /admin/users/named/{username}: change what is different, as `POST /api/v3/users/...`, or delete it."""
    caller = allow(request, PAGE)
    name = request.match_info["username"]
    sent = await read_form(request)
    if sent.text("action") == "delete":
        require(request, "can_delete_users")
        await remove(request, name)
        return done(request, PAGE.path, "console.users.deleted", name=name)
    require(request, "can_update_users")
    user = await find_user(request.config_dict[DB], name, user_with_roles)
    body = changes_of(user, sent)
    if not body:
        return done(request, path_of(name), "console.users.unchanged")
    try:
        check_full_access(request, caller, body)
        await change(request, caller, name, body, several_places=len(body.get("place") or ()) > 1)
    except DomainError as error:
        return await show_form(request, user, values_of(sent), sent.all("roles"), refusals(error), status=error.status)
    return done(request, path_of(name), "console.users.saved", name=name)


def changes_of(user: Doc, sent: Form) -> Doc:
    """What the form would make different."""
    stored = stored_values(user)
    body: Doc = {name: sent.text(name) for name in TEXTS if sent.text(name) != stored[name]}
    roles = sent.all("roles")
    if roles != [role for role in user["roles"] if role != ONLINE_ROLE]:
        body["roles"] = roles
    if sent.text("place").split() != stored["place"].split():
        body["place"] = sent.text("place").split() or None
    if sent.text("contact") != stored["contact"]:
        body["contact"] = sent.text("contact") or None
    if sent.raw("password"):
        body["password"] = sent.raw("password")
    if sent.has("token_login"):
        body["token_login"] = True
    return body


def stored_values(user: Mapping[str, Any]) -> dict[str, str]:
    return {
        **{name: str(user.get(name) or "") for name in TEXTS},
        "username": user["username"],
        "place": " ".join(place["_id"] for place in user["place"] or ()),
        "contact": (user.get("contact") or {}).get("_id", ""),
    }


# --- the form ---------------------------------------------------------------------------------------------------------


def values_of(sent: Form) -> dict[str, str]:
    return {name: sent.text(name) for name in FIELDS if name != "password"}


def refusals(error: DomainError) -> dict[str, str]:
    return errors_by_field(error, FIELDS)


async def show_form(
    request: web.Request,
    user: Doc | None,
    values: Mapping[str, str],
    chosen: list[str],
    errors: Mapping[str, str] | None = None,
    *,
    status: int = 200,
) -> web.Response:
    """The form of a new user (`user` None) or of one that exists."""
    settings = request[REQUEST_SETTINGS]
    names = {
        role: str((isinstance(entry, dict) and entry.get("name")) or role) for role, entry in settings.roles.items()
    }
    names |= {role: role for role in (user or {}).get("roles", ()) if role not in names and role != ONLINE_ROLE}
    link = await link_of(request, user["username"]) if user else None
    return await show(
        request,
        PAGE,
        "user.html",
        status=status,
        errors=errors,
        account=user,
        values={**dict.fromkeys(FIELDS, ""), **values},
        roles=names,
        chosen=chosen,
        link=link,
        links=settings.section("token_login").get("enabled") is True,
    )


async def link_of(request: web.Request, name: str) -> Doc | None:
    """The login link of an account that was not used yet, without its secret."""
    account = await users_db(request.config_dict[DB]).find(user_id(name)) or {}
    link = account.get("token_login")
    return {"expires": link.get("expiration_date")} if isinstance(link, dict) and link.get("active") else None


ROUTES = [
    web.get(PAGE.path, show_users),
    web.get(f"{PAGE.path}/new", show_new_user),
    web.post(f"{PAGE.path}/new", create_new_user),
    web.get(f"{PAGE.path}/named/{{username}}", show_user),
    web.post(f"{PAGE.path}/named/{{username}}", change_user),
]
