"""The browser's login: page, password check, identity, logout (AUTH-50..72)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import web

from api.cookies import set_year_cookie, user_context
from api.errors import LOGOUT_HEADER
from api.keys import USER
from api.login_page import asset, login_page
from api.login_session import LoggedIn, Refusal, home_of, log_in_with, page, refuse_other_sites
from api.params import read_json
from api.responses import json_response
from core.errors import DomainError, InvalidInput


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
        outcome = await attempt.log_in(request)
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
    outcome = await attempt_of(fields).log_in(request)
    if isinstance(outcome, Refusal):
        return await login_page(request, wrong=True, user=fields.get("user", ""), redirect=fields.get("redirect", ""))
    response = web.Response(status=303, headers={"Location": quote(outcome.target, safe="/?#&=%:;,+@!$'()*~[]")})
    outcome.set_cookies(request, response)
    return response


@dataclass(frozen=True)
class Attempt:
    user: str
    password: str
    redirect: Any = None
    locale: Any = None

    async def log_in(self, request: web.Request) -> LoggedIn | Refusal:
        return await log_in_with(request, self.user, self.password, redirect=self.redirect, locale=self.locale)


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
    return Attempt(body["user"], body["password"], body.get("redirect"), body.get("locale"))


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
