"""A CouchDB that misbehaves on cue: it hangs, breaks off or goes away, where a real one cannot be made to."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


class ScriptedCouch:
    """Takes everybody for the administrator. Every feed is held open; `/medic/hang` and PUTs wait for `release`.

    `routes` go before its own.
    """

    def __init__(self, *routes: web.RouteDef) -> None:
        self.release = asyncio.Event()
        self.arrived = asyncio.Event()
        self.given_up = asyncio.Event()
        self.stored: list[str] = []
        app = web.Application()
        app.add_routes(
            [
                *routes,
                web.get("/_session", self.session),
                web.get("/medic/hang", self.hang),
                web.get("/medic/half", self.half),
                web.post("/medic/_bulk_docs", self.half),
                web.put("/medic/{doc}", self.store),
                web.route("*", "/{db}/_changes", self.feed),
                web.get("/{db}/{doc}", self.missing),
                web.get("/{db}", self.info),
            ]
        )
        self.server = TestServer(app)

    async def session(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True, "userCtx": {"name": "admin", "roles": ["_admin"]}})

    async def info(self, _: web.Request) -> web.Response:
        return web.json_response({"db_name": "medic", "update_seq": "0"})

    async def missing(self, _: web.Request) -> web.Response:
        return web.json_response({"error": "not_found", "reason": "missing"}, status=404)

    async def hang(self, _: web.Request) -> web.Response:
        self.arrived.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return web.json_response({})

    async def half(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(request)
        await response.write(b"half")
        await self.release.wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    async def feed(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"results":[\n')
        await asyncio.Event().wait()
        return response

    async def store(self, request: web.Request) -> web.Response:
        body: Any = await request.json()
        self.arrived.set()
        await self.release.wait()
        self.stored.append(request.match_info["doc"])
        return web.json_response({"ok": True, "id": request.match_info["doc"], "rev": "1-a", "n": body}, status=201)
