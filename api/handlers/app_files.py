"""Files that browsers and phones ask a server for by well-known names (AUTH-122..126, AUTH-131)."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

from aiohttp import web

from api.auth import current_user
from api.keys import COUCH, DB, REQUEST_SETTINGS
from api.login_page import asset_bytes, policy_page
from api.operations import Access, Operation, describe
from api.responses import json_response
from api.safe_html import safe_html
from core.couch.client import Doc
from core.errors import DomainError, NotFound, Unauthorized

APP_DDOC = "_design/medic"
WEEK = "public, max-age=604800"
SETUP = "Setup services are not currently available"
# What CouchDB compresses where its configuration does not say.
ATTACHMENTS = {
    "compressible_types": "text/*, application/javascript, application/json, application/xml",
    "compression_level": "8",
}


async def refuse_setup(request: web.Request) -> web.Response:
    """Any method on /setup and /setup/password: what older clients expect of a server that is set up (AUTH-122)."""
    return web.Response(text=SETUP, status=503)


async def finish_setup(request: web.Request) -> web.Response:
    return web.Response(text=SETUP)


async def get_assetlinks(request: web.Request) -> web.Response:
    """GET /.well-known/assetlinks.json: `settings.assetlinks`, by which Android trusts the app (AUTH-123)."""
    links = request[REQUEST_SETTINGS].get("assetlinks")
    if not links:
        raise NotFound("No assetlinks.json configured")
    return json_response(links)


async def get_favicon(request: web.Request) -> web.Response:
    """GET /favicon.ico: the one of the `branding` document, else ours (AUTH-124)."""
    branding = await request.config_dict[DB].find("branding") or {}
    resources = branding.get("resources")
    found = await attachment(request, branding, resources.get("favicon") if isinstance(resources, dict) else None)
    body, content_type = found or (asset_bytes("favicon.svg"), "image/svg+xml")
    return web.Response(body=body, headers={"Content-Type": content_type, "Cache-Control": WEEK})


async def get_service_worker(request: web.Request) -> web.Response:
    """GET /service-worker.js: the one of the app's design document; 404 without an app (AUTH-125)."""
    app = await request.config_dict[DB].find(APP_DDOC) or {}
    found = await attachment(request, app, "service-worker.js")
    if found is None:
        raise NotFound("No service worker is installed")
    return web.Response(
        body=found[0], headers={"Content-Type": "application/javascript; charset=utf-8", "Cache-Control": "max-age=0"}
    )


async def get_privacy_policy(request: web.Request) -> web.Response:
    """GET /<db>/privacy-policy: the policy in the language of the cookie `locale`, else English, else the first.

    Only plain HTML of it. 404 when there is none; with `?back` the page leads back to the application (AUTH-126).
    """
    doc = await request.config_dict[DB].find("privacy-policies") or {}
    policies = doc.get("privacy_policies")
    named: dict[str, Any] = policies if isinstance(policies, dict) else {}
    for locale in (request.cookies.get("locale", ""), "en", *named):
        found = await attachment(request, doc, named.get(locale))
        if found is not None:
            text = await asyncio.to_thread(safe_html, found[0].decode("utf-8", "replace"))
            return await policy_page(request, text, locale, back="back" in request.query)
    raise NotFound("There is no privacy policy")


async def attachment(request: web.Request, doc: Doc, name: Any) -> tuple[bytes, str] | None:
    """Bytes and content type of an attachment; None when the document has none of that name."""
    stubs = doc.get("_attachments")
    stub = stubs.get(name) if isinstance(stubs, dict) and isinstance(name, str) else None
    if not isinstance(stub, dict):
        return None
    body = await request.config_dict[DB].attachment(doc["_id"], name, doc["_rev"])
    return body, str(stub.get("content_type") or "application/octet-stream")


@describe(Operation(access=Access.ADMIN, answers={200: dict[str, str]}))
async def get_couch_config_attachments(request: web.Request) -> web.Response:
    """GET /api/couch-config-attachments: how CouchDB compresses attachments, for upload tools (AUTH-131).

    Server administrators only; anybody else is told 401.
    """
    if not current_user(request).is_admin:
        raise Unauthorized("not logged in")
    try:
        configured = await request.config_dict[COUCH].request("GET", "/_node/_local/_config/attachments")
    except DomainError:
        configured = {}
    return json_response({**ATTACHMENTS, **configured})


def public_routes(database: str) -> list[web.RouteDef]:
    return [
        *(web.route("*", path, refuse_setup) for path in ("/setup", "/setup/password")),
        web.route("*", "/setup/finish", finish_setup),
        web.get("/.well-known/assetlinks.json", get_assetlinks),
        web.get("/favicon.ico", get_favicon),
        web.get("/service-worker.js", get_service_worker),
        web.get(f"/{quote(database, safe='')}/privacy-policy", get_privacy_policy),
    ]


ROUTES = [web.get("/api/couch-config-attachments", get_couch_config_attachments)]
