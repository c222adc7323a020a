"""Small endpoints about the server itself (10 §8)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypedDict

from aiohttp import web

from api.auth import current_user
from api.connected_users import CONNECTED
from api.keys import DB, SESSIONS
from api.operations import Access, Operation, describe
from api.proxy import forward
from api.responses import json_response
from core import __version__
from core.errors import DomainError


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
    ddoc = await request.config_dict[DB].find("_design/medic") or {}
    build = {"version": ddoc.get("version", "unknown"), **ddoc.get("build_info", {})}
    return json_response({**build, **ddoc.get("deploy_info", {}), "version": build["version"]})


ROUTES = [
    web.get("/dbinfo", get_dbinfo),
    web.get("/api/info", get_info),
    web.get("/setup/poll", poll_setup),
]
ROUTES_FOR_ANYONE_LOGGED_IN = [web.get("/api/deploy-info", get_deploy_info)]
