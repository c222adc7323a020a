"""Single sign-on: to the identity provider and back (AUTH-110)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from urllib.parse import quote, urlencode

from aiohttp import web

from api.forwarded import is_https, origin
from api.keys import CONFIG, COUCH, REQUEST_SETTINGS, SESSIONS
from api.login_session import LoggedIn, Refusal, logged_in, page, refused
from api.responses import weighted
from api.sso import ATTEMPT_S, SECRET_KEY, Attempt, Provider, SsoRefused
from core.credentials import find_credential
from core.errors import DomainError, NotFound
from core.users import USER_PREFIX

log = logging.getLogger(__name__)

COOKIE = "oidc"
USER_INVALID, LOGIN_ERROR = "ssouserinvalid", "loginerror"


async def authorize(request: web.Request) -> web.Response:
    """GET /<db>/login/oidc/authorize: 302, its text the provider's page; `Location` too for a browser that goes there.

    `?redirect` is where the user wants to be afterwards. 404 where no provider is configured.
    """
    try:
        provider = configured(request)
        attempt = Attempt.new(request.query.get("redirect", ""))
        url = await provider.authorization_url(attempt, redirect_uri(request))
    except NotFound:
        raise
    except DomainError as error:
        log.warning("single sign-on: %s", error.message)
        return failed(request, LOGIN_ERROR) if navigates(request) else refused(error)
    response = web.Response(status=302, text=url, headers={"Location": url} if navigates(request) else {})
    response.set_cookie(
        COOKIE,
        attempt.sealed(key(request), time.time()),
        path=page(request, "login/oidc"),
        max_age=ATTEMPT_S,
        httponly=True,
        samesite="Lax",
        secure=is_https(request) or None,
    )
    return response


async def come_back(request: web.Request) -> web.Response:
    """GET /<db>/login/oidc?code=..&state=..: 302 to the app with a session, or to the login page with `sso_error`."""
    provider = configured(request)
    try:
        attempt = Attempt.unsealed(request.cookies.get(COOKIE, ""), key(request))
        if not hmac.compare_digest(request.query.get("state", "").encode(), attempt.state.encode()):
            raise SsoRefused("the state is not of this login")
        code = request.query.get("code")
        if not code:
            raise SsoRefused(f"the provider gave no code: {request.query.get('error', '')[:100]!r}")
        secret = await find_credential(
            request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("vault")), SECRET_KEY
        )
        username = await provider.username(attempt, code, redirect_uri(request), secret)
        outcome = await log_in_as(request, username, attempt.redirect)
    except DomainError as error:
        log.warning("single sign-on: %s", error.message)
        return failed(request, LOGIN_ERROR)
    if isinstance(outcome, Refusal):
        log.warning("single sign-on: %s", outcome.error)
        return failed(request, outcome.error if outcome.error == USER_INVALID else LOGIN_ERROR)
    response = outcome.as_redirect(request)
    response.set_status(302)
    response.del_cookie(COOKIE, path=page(request, "login/oidc"))
    return response


async def log_in_as(request: web.Request, username: str, redirect: str) -> LoggedIn | Refusal:
    """A session for the one account with that `oidc_username`."""
    rows = (
        await request.config_dict[COUCH].db("_users").view("users", "users_by_field", key=["oidc_username", username])
    )
    if len(rows) != 1:
        return Refusal(401, USER_INVALID)
    name = str(rows[0]["id"]).removeprefix(USER_PREFIX)
    session = await request.config_dict[SESSIONS].issue(name)
    if session is None:
        return Refusal(401, "CouchDB takes no session of ours for this account")
    return await logged_in(request, name, session, redirect=redirect)


def configured(request: web.Request) -> Provider:
    provider = Provider.from_settings(request[REQUEST_SETTINGS])
    if provider is None:
        raise NotFound("Single sign-on is not configured")
    return provider


def key(request: web.Request) -> bytes:
    """Every process of a deployment knows it, and no client."""
    return hashlib.sha256(b"oidc\0" + request.config_dict[CONFIG].authorization.encode()).digest()


def redirect_uri(request: web.Request) -> str:
    base = str(request[REQUEST_SETTINGS].get("app_url") or origin(request)).rstrip("/")
    return base + page(request, "login/oidc")


def failed(request: web.Request, error: str) -> web.Response:
    response = web.Response(
        status=302, headers={"Location": f"{page(request, 'login')}?{urlencode({'sso_error': error})}"}
    )
    response.set_cookie("login", "force", path="/", samesite="Lax")
    response.del_cookie(COOKIE, path=page(request, "login/oidc"))
    return response


def navigates(request: web.Request) -> bool:
    """Whether a browser follows a link, rather than a script that reads the answer."""
    return any(name == "text/html" for name, _ in weighted(request.headers.get("Accept", "")))


def public_routes(database: str) -> list[web.RouteDef]:
    at = f"/{quote(database, safe='')}/login/oidc"
    return [web.get(at, come_back), web.get(f"{at}/authorize", authorize)]
