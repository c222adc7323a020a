"""The cookies we set, each with the attributes clients rely on (AUTH-62)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from api.credentials import IssuedSession
from api.forwarded import is_https
from api.sessions import User

YEAR_S = 31_536_000


def set_year_cookie(request: web.Request, response: web.StreamResponse, name: str, value: str) -> None:
    """A cookie that scripts may read, for a year, sent over HTTPS only where the client uses it."""
    response.set_cookie(name, value, path="/", max_age=YEAR_S, samesite="Lax", secure=is_https(request) or None)


def set_session_cookie(request: web.Request, response: web.StreamResponse, session: IssuedSession) -> None:
    response.set_cookie(
        "AuthSession",
        session.value,
        path="/",
        max_age=session.lifetime_s or YEAR_S,
        httponly=True,
        samesite="Lax",
        secure=is_https(request) or None,
    )


def user_context(user: User, home: str | None) -> str:
    """The value of the `userCtx` cookie."""
    context: dict[str, Any] = {"name": user.name, "roles": list(user.roles)}
    if home:
        context["home"] = home
    return quote(orjson.dumps(context), safe="")
