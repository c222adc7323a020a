"""The browser's login: page, password check, identity, logout (AUTH-50..72)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import orjson
from aiohttp import ClientError, ClientTimeout, web

from api.auth import holds
from api.cookies import set_session_cookie, set_year_cookie, user_context
from api.errors import LOGOUT_HEADER
from api.keys import CONFIG, COUCH, DB, REQUEST_SETTINGS, SESSIONS, USER
from api.login_page import asset, login_page
from api.params import read_json
from api.proxy import UPSTREAM
from api.responses import json_response
from api.sessions import USER_PREFIX, Account, Credentials, IssuedSession, User
from core.couch.errors import from_network
from core.errors import Conflict, DomainError, Forbidden, InvalidInput

LOCALE = re.compile(r"[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*")
MOST_DECODINGS = 10


async def show_login(request: web.Request) -> web.Response:
    """GET /<db>/login: the page, with the deployment's branding, in its languages (AUTH-50)."""
    return await login_page(request)


async def log_in(request: web.Request) -> web.Response:
    """POST /<db>/login: check `user` and `password`, set the cookies, and say where to go (AUTH-60..68).

    JSON: 302 without Location, the target as text; errors are JSON `{"error"}`. A form, as the page sends it where
    scripts are off: 303 to the target, or the page again with what was wrong.
    """
    if request.content_type == "application/x-www-form-urlencoded":
        return await log_in_by_form(request)
    try:
        attempt = await read_attempt(request)
        outcome = await check_password(request, attempt)
    except DomainError as error:
        status = error.status if error.status < 500 else 500
        return json_response({"error": error.message if status < 500 else "Unexpected error logging in"}, status=status)
    if isinstance(outcome, Refusal):
        return json_response({"error": outcome.error}, status=outcome.status)
    response = web.Response(status=302, text=outcome.target)
    outcome.set_cookies(request, response)
    return response


async def log_in_by_form(request: web.Request) -> web.Response:
    refuse_other_sites(request)
    fields = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    outcome = await check_password(request, attempt_of(fields))
    if isinstance(outcome, Refusal):
        return await login_page(request, wrong=True, user=fields.get("user", ""), redirect=fields.get("redirect", ""))
    response = web.Response(status=303, headers={"Location": quote(outcome.target, safe="/?#&=%:;,+@!$'()*~[]")})
    outcome.set_cookies(request, response)
    return response


@dataclass(frozen=True)
class Attempt:
    user: str
    password: str
    redirect: str | None = None
    locale: str | None = None


@dataclass(frozen=True)
class Refusal:
    status: int
    error: str


@dataclass(frozen=True)
class LoggedIn:
    user: User
    session: IssuedSession
    locale: str
    home: str | None
    target: str

    def set_cookies(self, request: web.Request, response: web.Response) -> None:
        set_session_cookie(request, response, self.session)
        set_year_cookie(request, response, "userCtx", user_context(self.user, self.home))
        set_year_cookie(request, response, "locale", self.locale)
        response.del_cookie("login", path="/")


async def read_attempt(request: web.Request) -> Attempt:
    if request.content_type != "application/json":
        raise InvalidInput("Content-Type must be application/json")
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidInput("The request body must be an object with `user` and `password`")
    return attempt_of(body)


def attempt_of(body: dict[str, Any]) -> Attempt:
    for name in ("user", "password"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise InvalidInput(f"`{name}` is required and must be text")
    redirect, locale = body.get("redirect"), body.get("locale")
    return Attempt(
        user=body["user"],
        password=body["password"],
        redirect=redirect if isinstance(redirect, str) else None,
        locale=locale if isinstance(locale, str) and LOCALE.fullmatch(locale) else None,
    )


async def check_password(request: web.Request, attempt: Attempt) -> LoggedIn | Refusal:
    """Ask CouchDB for a session, then learn who it belongs to."""
    url = f"{request.config_dict[COUCH].server_url}/_session"
    body = orjson.dumps({"name": attempt.user, "password": attempt.password})
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    timeout = ClientTimeout(total=request.config_dict[CONFIG].request_timeout_s, sock_connect=10)
    try:
        async with request.config_dict[UPSTREAM].post(url, data=body, headers=headers, timeout=timeout) as answer:
            await answer.read()
            session = IssuedSession.of(answer)
    except (ClientError, TimeoutError, OSError) as error:
        raise from_network(error) from error
    if answer.status != 200 or session is None:
        return Refusal(answer.status if answer.status >= 400 else 401, "Not logged in")
    try:
        account = await request.config_dict[SESSIONS].check(Credentials(cookie=session.value))
        if account is not None and "_admin" in account.roles:
            await ensure_admin_docs(request, account)
    except DomainError:
        account = None
    if account is None:
        return Refusal(401, "Error getting authCtx")
    user = request.config_dict[SESSIONS].as_user(account)
    home = "/admin/" if not user.offline and holds(request, user, "can_configure") else None
    locale = attempt.locale or account.language or request[REQUEST_SETTINGS].get("locale")
    return LoggedIn(
        user=user,
        session=session,
        locale=locale if isinstance(locale, str) and LOCALE.fullmatch(locale) else "en",
        home=home,
        target=redirect_target(attempt.redirect, home or "/"),
    )


async def ensure_admin_docs(request: web.Request, account: Account) -> None:
    """The account documents of a server administrator, who comes from CouchDB's configuration (AUTH-21)."""
    doc_id = USER_PREFIX + account.name
    doc = {"_id": doc_id, "name": account.name, "roles": ["admin", "mm-online"]}
    users, main = request.config_dict[COUCH].db("_users"), request.config_dict[DB]
    for db, doc_type in ((users, "user"), (main, "user-settings")):
        if await db.find(doc_id) is None:
            try:
                await db.put({**doc, "type": doc_type})
            except Conflict:
                continue  # somebody was quicker


def redirect_target(redirect: str | None, home: str) -> str:
    """Path, query and hash of `redirect` on this host, else `home` (AUTH-64).

    Scheme and host are dropped. A path that hides `//` or a backslash under any number of percent-encodings could lead
    to another host and is refused.
    """
    try:
        parts = urlsplit(redirect or "")
    except ValueError:
        return home
    if not (parts.path or parts.query or parts.fragment):
        return home
    path = decoded = parts.path if parts.path.startswith("/") else f"/{parts.path}"
    for _ in range(MOST_DECODINGS):
        if "//" in decoded or "\\" in decoded or any(ord(character) < 32 for character in decoded):
            return home
        decoded, before = unquote(decoded), decoded
        if decoded == before:
            return urlunsplit(("", "", path, parts.query, parts.fragment))
    return home


def refuse_other_sites(request: web.Request) -> None:
    """A form is only taken from our own page: another site must not log its visitor in as somebody else."""
    origin = request.headers.get("Origin")
    if origin and origin != "null" and urlsplit(origin).netloc != request.host:
        raise Forbidden("The login form must be sent from this server's own login page")


async def show_identity(request: web.Request) -> web.Response:
    """GET /<db>/login/identity: a fresh `userCtx` cookie for the session; 401 with an empty body without one."""
    user = request[USER]
    if user is None:
        return web.Response(status=401, headers={**LOGOUT_HEADER, "Content-Type": "application/json; charset=utf-8"})
    home = "/admin/" if not user.offline and holds(request, user, "can_configure") else None
    response = json_response({"success": True})
    set_year_cookie(request, response, "userCtx", user_context(user, home))
    return response


async def log_out(request: web.Request) -> web.Response:
    """GET or POST /<db>/logout: forget the cookies and show the login page (AUTH-72)."""
    database = quote(request.config_dict[CONFIG].database, safe="")
    response = web.Response(status=302, headers={"Location": f"/{database}/login"})
    response.del_cookie("AuthSession", path="/")
    response.del_cookie("userCtx", path="/")
    response.set_cookie("login", "force", path="/", samesite="Lax")
    return response


async def get_asset(request: web.Request) -> web.Response:
    """GET /login/script.js and /login/style.css."""
    return asset(request.match_info["name"])


def public_routes(database: str) -> list[web.RouteDef]:
    at = f"/{quote(database, safe='')}"
    return [
        web.get(f"{at}/login", show_login),
        web.post(f"{at}/login", log_in),
        web.get(f"{at}/logout", log_out),
        web.post(f"{at}/logout", log_out),
        web.get("/login/{name:script[.]js|style[.]css}", get_asset),
    ]


def routes(database: str) -> list[web.RouteDef]:
    return [web.get(f"/{quote(database, safe='')}/login/identity", show_identity)]
