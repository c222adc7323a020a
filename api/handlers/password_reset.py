"""Choosing a password of one's own, at the first login or at any time (AUTH-90..93)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from api.keys import CONFIG, DB, SESSIONS
from api.login_limits import FAILED_LOGIN
from api.login_page import password_page
from api.login_session import (
    LoggedIn,
    Refusal,
    form_fields,
    has_sso,
    is_form,
    json_fields,
    log_in_anew,
    refused,
    start_session,
    text_field,
)
from api.responses import json_response
from core.errors import DomainError, InvalidInput, NotFound
from core.passwords import LEAST_SCORE, SHORTEST, password_score
from core.users import change_own_password, is_server_admin

ADMIN = "Admin passwords must be changed manually in the database"


async def show_password_reset(request: web.Request) -> web.Response:
    """GET /<db>/password-reset: the page, public."""
    return await password_page(request, user=request.query.get("username", ""))


async def reset_password(request: web.Request) -> web.Response:
    """POST /<db>/password-reset: replace `currentPassword` of `username` by `password`, and log in (AUTH-93).

    JSON: 302 without Location, the target as text; 400 `{"error": key, "params"?}`. A form: 303 to the target, or the
    page with what was wrong.
    """
    form = is_form(request)
    try:
        sent = await (form_fields(request) if form else json_fields(request))
        outcome = await change_password(request, sent)
    except DomainError as error:
        if not form:
            return refused(error)
        raise
    if isinstance(outcome, LoggedIn):
        return outcome.as_redirect(request) if form else outcome.as_text(request)
    if form:
        user = str(sent.get("username", ""))
        return await password_page(request, error=outcome.error, user=user, status=outcome.status)
    params = {"params": {"minimum": SHORTEST}} if outcome.error == "password-short" else {}
    return json_response({"error": outcome.error, **params}, status=outcome.status)


async def change_password(request: web.Request, sent: Mapping[str, Any]) -> LoggedIn | Refusal:
    name, current = text_field(sent, "username"), text_field(sent, "currentPassword")
    password = text_field(sent, "password")
    if len(password) < SHORTEST:
        return Refusal(400, "password-short")
    if password_score(password) < LEAST_SCORE:
        return Refusal(400, "password-weak")
    session = await start_session(request, name, current)
    if isinstance(session, Refusal):
        if session.status != 401:
            return session
        request[FAILED_LOGIN] = True
        return Refusal(400, "current-password-incorrect")
    if await has_sso(request, name):
        raise InvalidInput("Password Reset Not Permitted For SSO Users")
    if password == current:
        return Refusal(400, "password-same")
    db = request.config_dict[DB]
    if name == request.config_dict[CONFIG].couch_admin[0] or await is_server_admin(db, name):
        raise InvalidInput(ADMIN)
    try:
        await change_own_password(db, name, password)
    except NotFound as error:
        raise InvalidInput(ADMIN) from error
    request.config_dict[SESSIONS].forget(name)
    return await log_in_anew(request, name, password, redirect=sent.get("redirect"), locale=sent.get("locale"))


def public_routes(database: str) -> list[web.RouteDef]:
    at = f"/{quote(database, safe='')}/password-reset"
    return [web.get(at, show_password_reset), web.post(at, reset_password)]
