"""A proxy in front of CouchDB that cuts the connection at one of the writes that pass through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.config import Config
from core.couch.client import Database, connect

READS = ("/_bulk_get", "/_all_docs")


class CuttingProxy:
    """Cuts at the write of that number, before it is passed on or before it is answered; away from then on, or not."""

    def __init__(self, target: str, *, at: int, answered: bool, stays_away: bool) -> None:
        self.target = target
        self.at = at
        self.written_first = answered
        self.stays_away = stays_away
        self.writes = 0
        self.before_bulk: Callable[[], Awaitable[object]] | None = None
        self.after_bulk: Callable[[], Awaitable[object]] | None = None
        self.session = aiohttp.ClientSession(auto_decompress=False)
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self.answer)
        self.server = TestServer(app)

    @property
    def has_cut(self) -> bool:
        return self.writes >= self.at

    async def answer(self, request: web.Request) -> web.Response:
        if self.has_cut and self.stays_away:
            return self.cut(request)
        is_write = request.method in ("PUT", "POST", "DELETE") and not request.path.endswith(READS)
        self.writes += is_write
        is_cut = is_write and self.writes == self.at
        if is_cut and not self.written_first:
            return self.cut(request)
        is_bulk = request.path.endswith("/_bulk_docs")
        if is_bulk and self.before_bulk is not None:
            await self.before_bulk()
        answer = await self.pass_on(request)
        if is_bulk and self.after_bulk is not None:
            await self.after_bulk()
        if is_cut:
            return self.cut(request)
        return answer

    async def pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name not in ("Host", "Content-Length")}
        async with self.session.request(
            request.method, f"{self.target}{request.raw_path}", data=BytesIO(await request.read()), headers=headers
        ) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")

    def cut(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()  # goes nowhere


@asynccontextmanager
async def cutting(
    config: Config, *, at: int, answered: bool, stays_away: bool
) -> AsyncIterator[tuple[Database, CuttingProxy]]:
    """The main database through a proxy."""
    proxy = CuttingProxy(config.server_url, at=at, answered=answered, stays_away=stays_away)
    await proxy.server.start_server()
    name, password = config.couch_admin
    url = f"http://{name}:{password}@127.0.0.1:{proxy.server.port}/{config.database}"
    try:
        async with connect(config.with_couch_url(url)) as couch:
            yield couch.db(config.database), proxy
    finally:
        await proxy.server.close()
        await proxy.session.close()
