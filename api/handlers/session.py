"""CouchDB's own login, open to everybody (AUTH-40..43)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from api.connected_users import CONNECTED
from api.cookies import set_year_cookie
from api.credentials import check_own_account
from api.errors import StorageError, TooManyRequests
from api.keys import CONFIG
from api.proxy import ask, read_whole, response_headers
from core.errors import Unauthorized


async def serve_session(request: web.Request) -> web.Response:
    """/_session: log in, ask who I am, log out.

    A `userCtx` cookie is given again for another year, so that clients in use stay logged in (AUTH-43).
    """
    sent, as_json = None, {}
    if request.method == "POST":
        login = read_login(request.headers.get("Content-Type", ""), await request.read())
        for name in (login.get("name"), login.get("username")):
            if isinstance(name, str):
                check_own_account(request.config_dict[CONFIG].couch_admin, name, str(login.get("password", "")))
        sent, as_json = orjson.dumps(login), {"Content-Type": "application/json"}
    async with ask(request, body=sent, headers=as_json, unauthorized_as_is=True) as answer:
        body = await read_whole(answer)
        if sent is not None and answer.status == 403:  # locked after too many wrong passwords
            raise TooManyRequests
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


def read_login(content_type: str, body: bytes) -> dict[str, Any]:
    """`name` (or `username`) and `password` as a client sent them; what we judge is what CouchDB is asked.

    Empty in a type that CouchDB reads no login from. StorageError 400 for what is no JSON object.
    """
    if content_type.startswith("application/json"):
        try:
            sent = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise StorageError(400, "bad_request", "invalid UTF-8 JSON") from error
        if not isinstance(sent, dict):
            raise StorageError(400, "bad_request", "Request body must be a JSON object")
        return sent
    if content_type.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return {}


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
