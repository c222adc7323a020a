"""Logging in by the link of an SMS (AUTH-80..84)."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from api.bodies import now_ms
from api.keys import DB, REQUEST_SETTINGS, SESSIONS, USER
from api.login_page import token_page
from api.login_session import LoggedIn, Refusal, form_fields, home_of, is_form, json_fields, log_in_anew, refused
from api.responses import json_response
from core.errors import DomainError
from core.token_login import LinkRefused, give_back, note_login, use_link
from core.users import user_id


async def show_token_login(request: web.Request) -> web.Response:
    """GET /<db>/login/token/<token>: a page that posts to its own address. Looking at it does not use the link."""
    return await token_page(request)


async def log_in_by_token(request: web.Request) -> web.Response:
    """POST /<db>/login/token/<token>: log in by the link, which works once (AUTH-82, AUTH-83).

    JSON, with an optional `locale`: 302 without Location, the target as text; errors are JSON `{"error", "reason"?}`.
    A form: 303 to the target, or the page with what was wrong.
    """
    form = is_form(request)
    try:
        sent = await (form_fields(request) if form else json_fields(request))
        user = request[USER]
        if user is not None:  # logged in already: the link stays for who comes without a session
            target = home_of(request, user) or "/"
            return (
                web.Response(status=303, headers={"Location": target})
                if form
                else web.Response(status=302, text=target)
            )
        outcome = await use_token(request, request.match_info.get("token", ""), sent.get("locale"))
    except DomainError as error:
        if not form:
            return refused(error)
        raise
    if isinstance(outcome, LoggedIn):
        return outcome.as_redirect(request) if form else outcome.as_text(request)
    if form:
        return await token_page(request, error=outcome.error, status=outcome.status)
    reason = REASONS.get(outcome.error)
    return json_response({"error": outcome.error, **({"reason": reason} if reason else {})}, status=outcome.status)


REASONS = {"disabled": "Token login disabled", "missing": "Missing required param"}


async def use_token(request: web.Request, token: str, locale: object) -> LoggedIn | Refusal:
    if not request[REQUEST_SETTINGS].section("token_login").get("enabled"):
        return Refusal(400, "disabled")
    if not token:
        return Refusal(400, "missing")
    db = request.config_dict[DB]
    try:
        name, password = await use_link(db, token, now_ms=now_ms())
    except LinkRefused as refusal:
        return Refusal(401, refusal.message)
    request.config_dict[SESSIONS].forget(name)
    outcome = await log_in_anew(request, name, password, locale=locale)
    if isinstance(outcome, Refusal):
        await give_back(db, user_id(name), token)
    else:
        await note_login(db, user_id(name), now_ms=now_ms())
    return outcome


def public_routes(database: str) -> list[web.RouteDef]:
    at = f"/{quote(database, safe='')}/login/token"
    return [web.get(f"{at}{token}", show_token_login) for token in ("", "/", "/{token}")]


def routes(database: str) -> list[web.RouteDef]:
    at = f"/{quote(database, safe='')}/login/token"
    return [web.post(f"{at}{token}", log_in_by_token) for token in ("", "/", "/{token}")]
