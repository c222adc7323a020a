"""A browser's login once its password is known: the session, its cookies, and where to go (AUTH-60..67)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import orjson
from aiohttp import ClientError, ClientTimeout, web

from api.auth import holds
from api.cookies import set_session_cookie, set_year_cookie, user_context
from api.credentials import Credentials, IssuedSession, check_own_account
from api.errors import TooManyRequests
from api.forwarded import forwarding_headers, host
from api.keys import CONFIG, COUCH, DB, REQUEST_SETTINGS, SESSIONS
from api.params import read_json
from api.proxy import UPSTREAM
from api.responses import json_response
from api.sessions import USER_PREFIX, Account, User
from core.couch.errors import from_network
from core.errors import Conflict, DomainError, Forbidden, InvalidInput, Unauthorized

LOCALE = re.compile(r"[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*")
MOST_DECODINGS = 10
NOT_LOGGED_IN = "Not logged in"
MOST_TRIES, RETRY_S = 10, 0.01


@dataclass(frozen=True)
class Refusal:
    status: int
    error: str


@dataclass(frozen=True)
class LoggedIn:
    """`session` is None for who must choose a new password first (AUTH-90)."""

    user: User
    session: IssuedSession | None
    locale: str
    home: str | None
    target: str

    def set_cookies(self, request: web.Request, response: web.Response) -> None:
        if self.session is not None:
            set_session_cookie(request, response, self.session)
        set_year_cookie(request, response, "userCtx", user_context(self.user, self.home))
        set_year_cookie(request, response, "locale", self.locale)
        response.del_cookie("login", path="/")

    def as_text(self, request: web.Request) -> web.Response:
        """302 without Location, the target as text: what scripts expect (AUTH-61)."""
        return self._with_cookies(request, web.Response(status=302, text=self.target))

    def as_redirect(self, request: web.Request) -> web.Response:
        """303 to the target, for a form."""
        location = quote(self.target, safe="/?#&=%:;,+@!$'()*~[]")
        return self._with_cookies(request, web.Response(status=303, headers={"Location": location}))

    def _with_cookies(self, request: web.Request, response: web.Response) -> web.Response:
        self.set_cookies(request, response)
        return response


async def log_in_with(
    request: web.Request, name: str, password: str, *, redirect: Any = None, locale: Any = None
) -> LoggedIn | Refusal:
    """Ask CouchDB for a session, then learn who it belongs to. `redirect` and `locale` are the client's wishes."""
    session = await start_session(request, name, password)
    if isinstance(session, Refusal):
        return session
    if await has_sso(request, name):
        return Refusal(401, "Password Login Not Permitted For SSO Users")
    return await logged_in(request, name, session, redirect=redirect, locale=locale)


async def logged_in(
    request: web.Request, name: str, session: IssuedSession, *, redirect: Any = None, locale: Any = None
) -> LoggedIn | Refusal:
    """What a login with this session tells the client."""
    try:
        account = await request.config_dict[SESSIONS].check(Credentials(cookie=session.value))
        if account is not None and "_admin" in account.roles:
            await ensure_admin_docs(request, account)
        profile = await request.config_dict[DB].find(USER_PREFIX + name)
        must_change = account is not None and await must_change_password(request, account.name)
    except DomainError:
        account = None
    if account is None:
        return Refusal(401, "Error getting authCtx")
    user = request.config_dict[SESSIONS].as_user(account)
    wishes = (locale, (profile or {}).get("language"), request[REQUEST_SETTINGS].get("locale"), "en")
    home = home_of(request, user)
    return LoggedIn(
        user=user,
        session=None if must_change else session,
        locale=next(each for each in wishes if isinstance(each, str) and LOCALE.fullmatch(each)),
        home=home,
        target=page(request, "password-reset") if must_change else redirect_target(redirect, home or "/"),
    )


async def start_session(request: web.Request, name: str, password: str) -> IssuedSession | Refusal:
    """A session of CouchDB's for the password. TooManyRequests while CouchDB has the account locked."""
    try:
        check_own_account(request.config_dict[CONFIG].couch_admin, name, password)
    except Unauthorized:
        return Refusal(401, NOT_LOGGED_IN)
    url = f"{request.config_dict[COUCH].server_url}/_session"
    body = orjson.dumps({"name": name, "password": password})
    headers = {"Content-Type": "application/json", "Accept": "application/json", **forwarding_headers(request)}
    timeout = ClientTimeout(total=request.config_dict[CONFIG].request_timeout_s, sock_connect=10)
    try:
        async with request.config_dict[UPSTREAM].post(url, data=body, headers=headers, timeout=timeout) as answer:
            await answer.read()
            session = IssuedSession.of(answer)
    except (ClientError, TimeoutError, OSError) as error:
        raise from_network(error) from error
    if answer.status == 403:  # after too many wrong passwords
        raise TooManyRequests
    if answer.status != 200 or session is None:
        return Refusal(answer.status if answer.status >= 400 else 401, NOT_LOGGED_IN)
    return session


async def log_in_anew(request: web.Request, name: str, password: str, **wishes: Any) -> LoggedIn | Refusal:
    """As `log_in_with`, with a password that was stored just now, which every part of CouchDB must learn first."""
    for _ in range(MOST_TRIES):
        outcome = await log_in_with(request, name, password, **wishes)
        if isinstance(outcome, LoggedIn) or outcome.status != 401:
            return outcome
        await asyncio.sleep(RETRY_S)
    return Refusal(408, f"Login failed after {MOST_TRIES} retries")


async def has_sso(request: web.Request, name: str) -> bool:
    """Whether the account is one of the identity provider's, whose users have no password to use (AUTH-110)."""
    login = await request.config_dict[COUCH].db("_users").find(USER_PREFIX + name)
    return bool(login and login.get("oidc_username"))


async def must_change_password(request: web.Request, name: str) -> bool:
    if not request.config_dict[CONFIG].force_password_change:
        return False
    login = await request.config_dict[COUCH].db("_users").find(USER_PREFIX + name)
    return bool(login and login.get("password_change_required"))


def home_of(request: web.Request, user: User) -> str | None:
    """Where the user begins; None for the application itself (AUTH-63)."""
    return "/admin/" if not user.offline and holds(request, user, "can_configure") else None


def page(request: web.Request, name: str) -> str:
    """The path of one of the pages below the main database."""
    return f"/{quote(request.config_dict[CONFIG].database, safe='')}/{name}"


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


def redirect_target(redirect: Any, home: str) -> str:
    """Path, query and hash of `redirect` on this host, else `home` (AUTH-64).

    Scheme and host are dropped. A path that hides `//` or a backslash under any number of percent-encodings could lead
    to another host and is refused.
    """
    try:
        parts = urlsplit(redirect if isinstance(redirect, str) else "")
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
    """A form is only taken from our own pages: another site must not act in its visitor's name, nor log them in.

    Browsers say where a form came from, `Sec-Fetch-Site` over HTTPS whatever proxies do to the host, `Origin` always.
    `null`, the origin of a sandboxed frame, is another site too. What is no browser says neither.
    """
    fetched, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if fetched is not None:
        own = fetched in ("same-origin", "none")
    else:
        own = not origin or urlsplit(origin).netloc == host(request)
    if not own:
        raise Forbidden("The form must be sent from this server's own page")


def is_form(request: web.Request) -> bool:
    """Whether one of our pages sends its form as it is, scripts being off."""
    return request.content_type == "application/x-www-form-urlencoded"


async def form_fields(request: web.Request) -> dict[str, str]:
    refuse_other_sites(request)
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


async def json_fields(request: web.Request) -> dict[str, Any]:
    """The members of a JSON body; none where it is empty."""
    if request.content_type != "application/json":
        raise InvalidInput("Content-Type must be application/json")
    body = await read_json(request)
    if not isinstance(body, dict | None):
        raise InvalidInput("The request body must be a JSON object")
    return body or {}


def text_field(sent: Mapping[str, Any], name: str) -> str:
    value = sent.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"`{name}` is required and must be text")
    return value


def refused(error: DomainError | Refusal) -> web.Response:
    """An error of a login for scripts, JSON whatever the client prefers (AUTH-68)."""
    if isinstance(error, Refusal):
        return json_response({"error": error.error}, status=error.status)
    if error.status >= 500:
        return json_response({"error": "Unexpected error logging in"}, status=500)
    return json_response({"error": error.message}, status=error.status)
