"""A browser's login once its password is known: the session, its cookies, and where to go (AUTH-60..67)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import orjson
from aiohttp import ClientError, ClientTimeout, web

from api.auth import holds
from api.cookies import set_session_cookie, set_year_cookie, user_context
from api.credentials import Credentials, IssuedSession
from api.forwarded import host
from api.keys import CONFIG, COUCH, DB, REQUEST_SETTINGS, SESSIONS
from api.proxy import UPSTREAM
from api.sessions import USER_PREFIX, Account, User
from core.couch.errors import from_network
from core.errors import Conflict, DomainError, Forbidden

LOCALE = re.compile(r"[A-Za-z]{2,8}([_-][A-Za-z0-9]{1,8})*")
MOST_DECODINGS = 10


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


async def log_in_with(
    request: web.Request, name: str, password: str, *, redirect: Any = None, locale: Any = None
) -> LoggedIn | Refusal:
    """Ask CouchDB for a session, then learn who it belongs to. `redirect` and `locale` are the client's wishes."""
    session = await start_session(request, name, password)
    if isinstance(session, Refusal):
        return session
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
    """A session of CouchDB's for the password."""
    url = f"{request.config_dict[COUCH].server_url}/_session"
    body = orjson.dumps({"name": name, "password": password})
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
    return session


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
    """A form is only taken from our own page: another site must not log its visitor in as somebody else."""
    origin = request.headers.get("Origin")
    if origin and origin != "null" and urlsplit(origin).netloc != host(request):
        raise Forbidden("The login form must be sent from this server's own login page")
