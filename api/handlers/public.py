"""Small endpoints about the server itself (10 §8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, TypedDict

import orjson
from aiohttp import web

from api.auth import current_user
from api.connected_users import CONNECTED
from api.keys import DB, SESSIONS
from api.operations import Access, Operation, describe
from api.proxy import forward
from api.responses import JSON_TYPE, json_response
from core import __version__
from core.couch.client import Database
from core.deep_json import dumps
from core.documents import Doc
from core.errors import DomainError, NotFound


class Version(TypedDict):
    version: str


@describe(Operation(access=Access.PUBLIC, answers={200: Version}))
async def get_info(request: web.Request) -> web.Response:
    """GET /api/info: the version (AUTH-120)."""
    return json_response({"version": __version__})


async def poll_setup(request: web.Request) -> web.Response:
    """GET /setup/poll: the server answers (AUTH-121)."""
    return json_response(
        {
            "ready": True,
            "handler": "medic-api",
            "version": __version__,
            "detail": "All required services are running normally",
        }
    )


async def get_dbinfo(request: web.Request) -> web.StreamResponse:
    """GET /dbinfo: CouchDB's welcome (AUTH-127)."""
    with suppress(DomainError):  # who calls matters to the monitoring only
        user = await request.config_dict[SESSIONS].resolve(request)
        if user is not None:
            await request.config_dict[CONNECTED].note(user.name)
    return await forward(request, path="/")


@describe(Operation(access=Access.ACCOUNT, answers={200: dict[str, Any]}))
async def get_deploy_info(request: web.Request) -> web.Response:
    """GET /api/deploy-info: what is deployed, for any account (AUTH-130): `version`, and by whom and when.

    `version` begins with the CHT version whose clients find here what they ask for: they choose their requests by it
    (CONF-7, DDOC-3).
    """
    current_user(request)
    return web.Response(body=await request.config_dict[DEPLOYED].read(), headers={"Content-Type": JSON_TYPE})


class Deployed:
    """What is deployed, ready to be sent: the design document is read again only when it has another revision."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rev: str | None = None
        self._ready = ready_info({})

    async def read(self) -> bytes:
        headers = {"If-None-Match": f'"{self._rev}"'} if self._rev else {}
        try:
            changed = await self._db.couch.request_bytes("GET", f"{self._db.path}/_design/medic", headers=headers)
        except NotFound:
            self._rev, self._ready = None, ready_info({})
        else:
            if changed:  # there is nothing in a 304
                ddoc = orjson.loads(changed)
                self._rev, self._ready = ddoc["_rev"], ready_info(ddoc)
        return self._ready


def ready_info(ddoc: Doc) -> bytes:
    build = {"version": ddoc.get("version", "unknown"), **ddoc.get("build_info", {})}
    return dumps({**build, **ddoc.get("deploy_info", {}), "version": build["version"]})


DEPLOYED = web.AppKey("deployed", Deployed)


async def open_deployed(app: web.Application) -> AsyncIterator[None]:
    app[DEPLOYED] = Deployed(app[DB])
    yield


ROUTES = [
    web.get("/dbinfo", get_dbinfo),
    web.get("/api/info", get_info),
    web.get("/setup/poll", poll_setup),
]
ROUTES_FOR_ANYONE_LOGGED_IN = [web.get("/api/deploy-info", get_deploy_info)]
