"""What the API says of itself: its OpenAPI document, and a page to browse it by without any other server."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

import orjson
from aiohttp import web

from api.login_page import PAGE_POLICY, asset, templates
from api.openapi import api_routes, document
from api.operations import Access, Operation, describe
from api.responses import JSON_TYPE

CACHED = "public, max-age=300"


class Description:
    """The document and the page, the same for all who ask; made once, when somebody does."""

    def __init__(self, app: web.Application) -> None:
        self.app = app

    @cached_property
    def openapi(self) -> bytes:
        return orjson.dumps(document(api_routes(self.app)))

    @cached_property
    def page(self) -> str:
        described = orjson.loads(self.openapi)
        return templates.get_template("docs.html").render(api=described, groups=by_tag(described))


DESCRIPTION = web.AppKey("description", Description)


@describe(Operation(access=Access.PUBLIC, answers={200: dict[str, Any]}))
async def get_openapi(request: web.Request) -> web.Response:
    """GET /api/openapi.json: this description of the API, made of what stands beside the handlers."""
    description = request.config_dict[DESCRIPTION]
    body = await asyncio.to_thread(lambda: description.openapi)
    return web.Response(body=body, headers={"Content-Type": JSON_TYPE, "Cache-Control": CACHED})


@describe(Operation(access=Access.PUBLIC, answers={200: {"text/html": str}}))
async def get_docs(request: web.Request) -> web.Response:
    """GET /api/docs: a page that shows this description and tries operations; it needs no other server."""
    description = request.config_dict[DESCRIPTION]
    return web.Response(
        text=await asyncio.to_thread(lambda: description.page),
        content_type="text/html",
        headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": CACHED},
    )


@describe(Operation(access=Access.PUBLIC, answers={200: {"application/javascript": str}}))
async def get_docs_script(request: web.Request) -> web.Response:
    """GET /api/docs/docs.js: the script of the page."""
    return asset("docs.js")


@describe(Operation(access=Access.PUBLIC, answers={200: {"text/css": str}}))
async def get_docs_style(request: web.Request) -> web.Response:
    """GET /api/docs/docs.css: the style of the page."""
    return asset("docs.css")


def by_tag(described: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The operations of each resource, `{method, path, ...}`."""
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in described["tags"]}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            groups[operation["tags"][0]].append({"method": method.upper(), "path": path, **operation})
    return groups


ROUTES = [
    web.get("/api/openapi.json", get_openapi),
    web.get("/api/docs", get_docs),
    web.get("/api/docs/docs.js", get_docs_script),
    web.get("/api/docs/docs.css", get_docs_style),
]
