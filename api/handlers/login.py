"""The browser's login: page, password check, identity, logout (AUTH-50..72)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from api.cookies import set_year_cookie, user_context
from api.errors import LOGOUT_HEADER
from api.keys import USER
from api.login_page import asset, login_page
from api.login_session import (
    LoggedIn,
    Refusal,
    form_fields,
    home_of,
    is_form,
    json_fields,
    log_in_with,
    page,
    refused,
    text_field,
)
from api.responses import json_response
from core.errors import DomainError


async def show_login(request: web.Request) -> web.Response:
    """GET /<db>/login: the page, with the deployment's branding, in its languages (AUTH-50)."""
    return await login_page(request)


async def log_in(request: web.Request) -> web.Response:
    """POST /<db>/login: check `user` and `password`, set the cookies, and say where to go (AUTH-60..68).

    JSON: 302 without Location, the target as text; errors are JSON `{"error"}`. A form, as the page sends it where
    scripts are off: 303 to the target, or the page again with what was wrong.
    """
    if is_form(request):
        return await log_in_by_form(request)
    try:
        outcome = await check_password(request, await json_fields(request))
    except DomainError as error:
        return refused(error)
    return refused(outcome) if isinstance(outcome, Refusal) else outcome.as_text(request)


async def log_in_by_form(request: web.Request) -> web.Response:
    sent = await form_fields(request)
    outcome = await check_password(request, sent)
    if isinstance(outcome, LoggedIn):
        return outcome.as_redirect(request)
    user, redirect = sent.get("user", ""), sent.get("redirect", "")
    return await login_page(request, error=outcome.error, user=user, redirect=redirect, status=outcome.status)


async def check_password(request: web.Request, sent: Mapping[str, Any]) -> LoggedIn | Refusal:
    user, password = text_field(sent, "user"), text_field(sent, "password")
    return await log_in_with(request, user, password, redirect=sent.get("redirect"), locale=sent.get("locale"))


async def show_identity(request: web.Request) -> web.Response:
    """GET /<db>/login/identity: a fresh `userCtx` cookie for the session; 401 with an empty body without one."""
    user = request[USER]
    if user is None:
        return web.Response(status=401, headers={**LOGOUT_HEADER, "Content-Type": "application/json; charset=utf-8"})
    response = json_response({"success": True})
    set_year_cookie(request, response, "userCtx", user_context(user, home_of(request, user)))
    return response


async def log_out(request: web.Request) -> web.Response:
    """GET or POST /<db>/logout: forget the cookies and show the login page (AUTH-72)."""
    response = web.Response(status=302, headers={"Location": page(request, "login")})
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
