"""The server's own resources: welcome, health, sessions, ids, running tasks."""

from __future__ import annotations

import uuid
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from store.documents import load_object
from store.errors import BadRequest, StoreError, Unauthorized
from store.http.call import STANDARD_HEADERS, Call, answer, parse_count
from store.http.replicate import REPLICATIONS
from store.permissions import require_server_admin

COUCHDB_VERSION = "3.5.0"
VENDOR = "Outpost embedded store"
_MOST_UUIDS = 1000


async def welcome(call: Call) -> web.Response:
    """GET /: what this server is."""
    return answer(
        {
            "couchdb": "Welcome",
            "version": COUCHDB_VERSION,
            "git_sha": "0000000",
            "uuid": call.store.uuid,
            "features": ["quickjs", "access-ready", "scheduler"],
            "vendor": {"name": VENDOR},
        }
    )


async def up(call: Call) -> web.Response:
    """GET /_up: the server answers."""
    return answer({"status": "ok", "seeds": {}})


async def all_dbs(call: Call) -> web.Response:
    """GET /_all_dbs: names in order; startkey, endkey, inclusive_end, limit, skip, descending. Server admins only."""
    require_server_admin(call.user)
    return answer(_page(call, call.store.databases.names()))


async def get_dbs_info(call: Call) -> web.Response:
    """GET /_dbs_info: all_dbs with each database's information."""
    require_server_admin(call.user)
    return answer(await _infos(call, _page(call, call.store.databases.names())))


async def post_dbs_info(call: Call) -> web.Response:
    """POST /_dbs_info with {"keys": [names]}: information on those, `{"key", "error"}` for what is not there."""
    require_server_admin(call.user)
    keys = (await call.json_body()).get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadRequest("`keys` member must exist and be an array of database names.")
    if len(keys) > 100:
        raise BadRequest("`keys` exceeds 100 names.")
    return answer(await _infos(call, keys))


async def _infos(call: Call, names: list[str]) -> list[dict[str, Any]]:
    from store.http.databases import database_info

    found: list[dict[str, Any]] = []
    for name in names:
        if name in call.store.databases:
            async with call.store.databases.use(name) as database:
                found.append({"key": name, "info": database_info(database)})
        else:
            found.append({"key": name, "error": "not_found"})
    return found


def _page(call: Call, names: list[str]) -> list[str]:
    low = call.json_param("startkey" if "startkey" in call.query else "start_key") if _has(call, "start") else None
    high = call.json_param("endkey" if "endkey" in call.query else "end_key") if _has(call, "end") else None
    last = high
    if call.flag("descending"):
        names.reverse()
        low, high = high, low
    names = [name for name in names if (low is None or name >= str(low)) and (high is None or name <= str(high))]
    if not call.flag("inclusive_end", True):
        names = [name for name in names if name != last]
    skip = call.count("skip", 0)
    return names[skip : skip + call.count("limit", len(names))]


def _has(call: Call, which: str) -> bool:
    return f"{which}key" in call.query or f"{which}_key" in call.query


async def uuids(call: Call) -> web.Response:
    """GET /_uuids?count=: fresh document ids."""
    number = parse_count("count", call.query.get("count", "1"))
    if number > _MOST_UUIDS:
        raise BadRequest("count parameter too large")
    response = answer({"uuids": [uuid.uuid4().hex for _ in range(number)]})
    response.headers["Cache-Control"] = "no-cache, must-revalidate"
    return response


async def active_tasks(call: Call) -> web.Response:
    """GET /_active_tasks: index builds and replications that are running. Server admins only."""
    require_server_admin(call.user)
    node = call.store.node
    builds = [
        {**task, "node": node, "database": name}
        for name, views in call.store.databases.open_views()
        for task in views.tasks()
    ]
    return answer([*builds, *call.request.app[REPLICATIONS].tasks()])


async def get_session(call: Call) -> web.Response:
    """GET /_session: who the server takes the caller for."""
    if call.user.name is None and call.flag("basic"):
        raise Unauthorized("Please login.")
    info: dict[str, Any] = {"authentication_handlers": ["cookie", "default"]}
    if call.user.method is not None:
        info["authenticated"] = call.user.method
    return answer({"ok": True, "userCtx": call.user.context(), "info": info})


async def post_session(call: Call) -> web.Response:
    """POST /_session with name and password (JSON or form): a session cookie."""
    name, password = await _credentials(call)
    try:
        user = await call.store.accounts.by_password(name, password)
    except Unauthorized as error:
        refused = answer({"error": error.slug, "reason": error.reason}, 401)
        _drop_cookie(refused)
        return refused
    follow = call.query.get("next", "")
    if follow.startswith("/") and not follow.startswith("//"):
        response = web.Response(status=302, headers={**STANDARD_HEADERS, "Location": follow})
    else:
        response = answer({"ok": True, "name": user.name, "roles": list(user.roles)})
    set_cookie(call, response, await call.store.accounts.new_cookie(name))
    return response


async def delete_session(call: Call) -> web.Response:
    """DELETE /_session: forget the cookie."""
    response = answer({"ok": True})
    _drop_cookie(response)
    return response


def set_cookie(call: Call, response: web.StreamResponse, value: str) -> None:
    """Hand out a session cookie as CouchDB spells it."""
    age_s = call.store.accounts.cookie_timeout_s
    expires = formatdate(call.store.accounts.now() + age_s, usegmt=True)
    secure = "; Secure" if call.request.secure else ""
    response.headers.add(
        "Set-Cookie",
        f"AuthSession={value}; Version=1; Expires={expires}; Max-Age={age_s}; Path=/; HttpOnly{secure}",
    )


def _drop_cookie(response: web.StreamResponse) -> None:
    response.headers.add("Set-Cookie", "AuthSession=; Version=1; Path=/; HttpOnly")


async def _credentials(call: Call) -> tuple[str, str]:
    kind = call.request.content_type
    if kind == "application/x-www-form-urlencoded":
        form = dict(parse_qsl((await call.body(1 << 20)).decode("utf-8", "replace"), keep_blank_values=True))
        name, password = form.get("name", form.get("username")), form.get("password", "")
    elif kind == "application/json":
        body = load_object(await call.body(1 << 20))
        name, password = body.get("name", body.get("username")), body.get("password", "")
    else:
        raise StoreError(
            "Content-Type must be application/x-www-form-urlencoded or application/json",
            slug="bad_content_type",
            status=415,
        )
    if not isinstance(name, str) or not isinstance(password, str):
        raise BadRequest("name and password must be strings")
    return name, password
