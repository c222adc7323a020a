"""CouchDB's own login, open to everybody (AUTH-40..43)."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from api.connected_users import CONNECTED
from api.cookies import set_year_cookie
from api.proxy import ask, read_whole, response_headers
from core.errors import Unauthorized


async def serve_session(request: web.Request) -> web.Response:
    """/_session: log in, ask who I am, log out.

    A `userCtx` cookie is given again for another year, so that clients in use stay logged in (AUTH-43).
    """
    sent = await request.read() if request.method == "POST" else None
    async with ask(request, body=sent, unauthorized_as_is=True) as answer:
        body = await read_whole(answer)
        headers = response_headers(request, answer)
        headers.pop("Content-Length", None)
    name = name_told(body) if answer.status == 200 else None
    if request.method == "GET" and name is None:
        raise Unauthorized("not logged in")
    if name is not None:
        await request.config_dict[CONNECTED].note(name)
    response = web.Response(body=body, status=answer.status, reason=answer.reason, headers=headers)
    user_context = request.cookies.get("userCtx")
    if user_context:
        set_year_cookie(request, response, "userCtx", user_context)
    return response


def name_told(body: bytes) -> str | None:
    """The user of an answer of `_session`: in `userCtx` of a GET, at the top of a POST."""
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    context = answer.get("userCtx", answer) if isinstance(answer, dict) else None
    name = context.get("name") if isinstance(context, dict) else None
    return name if isinstance(name, str) and name else None


ROUTES = [web.route("*", "/_session", serve_session)]
