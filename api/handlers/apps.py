"""The browser's applications: the app's shell, the administration, what is left of the old address (PROXY-36, 37)."""

from __future__ import annotations

from urllib.parse import quote, unquote

from aiohttp import web

from api.auth import current_user, require_online
from api.console import overview
from api.errors import DocForbidden, is_human
from api.handlers.app_files import APP_DDOC, attachment
from api.handlers.public import get_dbinfo
from api.handlers.storage import runs_rewrites
from api.keys import DB
from api.login_page import PAGE_POLICY, templates
from api.operations import Access, Operation, describe
from api.proxy import ask
from api.responses import json_response, prefers_json
from core.couch.client import Doc
from core.errors import NotFound

ADMIN_DDOC = "_design/medic-admin"
SHELL = "index.html"


async def get_root(request: web.Request) -> web.StreamResponse:
    """GET /: the shell of the app, where one is installed; CouchDB's welcome for who prefers JSON (PROXY-37).

    The shell is `index.html` of `_design/medic`. People log in first.
    """
    if not prefers_json(request):
        app = await request.config_dict[DB].find(APP_DDOC) or {}
        if SHELL in (app.get("_attachments") or {}):
            if is_human(request):
                current_user(request)
            return await file_of(request, app, SHELL)
    return await get_dbinfo(request)


async def get_admin_file(request: web.Request) -> web.StreamResponse:
    """GET /admin/*: a file of the administration, an attachment of `_design/medic-admin`; online users only.

    Without one `/admin/` leads to the console of our own, whose pages are always there (docs/console.md).
    """
    require_online(request)
    path = request.match_info["path"]
    app = await request.config_dict[DB].find(ADMIN_DDOC) or {}
    if (path or SHELL) in (app.get("_attachments") or {}):
        return await file_of(request, app, path or SHELL)
    if path:
        raise NotFound("There is no such file in the administration")
    raise web.HTTPFound(overview.PAGE.path)


async def go_to_admin(request: web.Request) -> web.Response:
    """GET /admin: to the same with a slash, where relative addresses are right."""
    require_online(request)
    raise web.HTTPFound("/admin/")


async def file_of(request: web.Request, app: Doc, name: str) -> web.Response:
    digest = str(app["_attachments"][name].get("digest"))
    headers = {"ETag": f'"{digest}"', "Cache-Control": "no-cache"}
    if any(each.value in (digest, "*") for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    found = await attachment(request, app, name)
    if found is None:
        raise NotFound(f"{name} is no attachment")
    return web.Response(body=found[0], headers={**headers, "Content-Type": found[1]})


async def leave_app_cache(request: web.Request) -> web.Response:
    """GET /medic/_design/medic/_rewrite/: where the app was once; browsers forget it and go on to `/` (PROXY-36)."""
    headers = {"Content-Security-Policy": PAGE_POLICY, "Clear-Site-Data": '"cache"', "Cache-Control": "no-store"}
    return web.Response(text=templates.get_template("moved.html").render(), content_type="text/html", headers=headers)


@describe(
    Operation(
        access=Access.ONLINE,
        answers={200: dict[str, int], 403: {"text/plain": str, "application/json": dict[str, str | int]}},
    )
)
async def get_access(request: web.Request) -> web.Response:
    """GET /api/auth/{path}: whether CouchDB lets the caller read that path, `{"status"}` (AUTH-132).

    403 `Forbidden` where it answers 4xx. Offline users would learn of documents that are not theirs.
    """
    require_online(request)
    path = "/" + request.rel_url.raw_path.removeprefix("/api/auth/")
    if runs_rewrites([unquote(part) for part in path.split("/")]):
        raise DocForbidden  # to anything, and by any method
    async with ask(request, method="HEAD", path=path, params={}, unauthorized_as_is=True) as answer:
        status = answer.status
    return web.Response(text="Forbidden", status=403) if 400 <= status < 500 else json_response({"status": status})


def public_routes(database: str) -> list[web.RouteDef]:
    return [web.get(f"/{quote(database, safe='')}/_design/medic/_rewrite/", leave_app_cache)]


ROUTES = [
    web.get("/", get_root),
    web.get("/admin", go_to_admin),
    web.get("/admin/{path:.*}", get_admin_file),
    web.get("/api/auth/{path:.+}", get_access),
]
