"""Views over HTTP, and what else hangs below a design document."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from store import purging
from store.database import Database
from store.documents import load_object
from store.errors import BadRequest, NotFound
from store.http.call import Call, answer
from store.http.listing import read_queries
from store.permissions import require_reader_of_all
from store.view_query import ViewParams
from store.views import ViewResult


async def query_view(call: Call, database: Database, ddoc_id: str) -> web.StreamResponse:
    """GET or POST /{db}/_design/{ddoc}/_view/{view}, and POST .../queries with several queries at once."""
    if not call.rest or len(call.rest) > 2 or (len(call.rest) == 2 and call.rest[1] != "queries"):
        raise NotFound("missing")
    require_reader_of_all(call.user, database.name, database.security)
    ddoc = database.design_doc(ddoc_id)
    views = call.store.databases.views(database)
    body = await _body(call)
    if len(call.rest) == 2:
        several = [ViewParams.parse(call.query.items(), query) for query in read_queries(body)]
        first = [await views.query(ddoc.doc, call.rest[0], params) for params in several[:1]]
        return await call.stream(_results(call, database, ddoc.doc, several, first))
    if "queries" in body:
        raise BadRequest("The `queries` parameter is no longer supported at this endpoint")
    result = await views.query(ddoc.doc, call.rest[0], ViewParams.parse(call.query.items(), body))
    try:
        return await call.stream(result.body(_shown_seq(database, result)))
    finally:
        result.close()


async def _results(
    call: Call, database: Database, ddoc: dict[str, Any], several: list[ViewParams], first: list[ViewResult]
) -> AsyncIterator[bytes]:
    views = call.store.databases.views(database)
    yield b'{"results":['
    for number, params in enumerate(several):
        if number:
            yield b","
        result = first.pop() if first else await views.query(ddoc, call.rest[0], params)
        try:
            async for piece in result.body(_shown_seq(database, result)):
                yield piece
        finally:
            result.close()
    yield b"]}\n"


def _shown_seq(database: Database, result: ViewResult) -> str | None:
    return None if result.update_seq is None else f"{result.update_seq}-{database.mark}"


async def _body(call: Call) -> dict[str, Any]:
    if call.method != "POST":
        return {}
    raw = await call.body()
    if not raw.strip():
        return {}
    call.require_json()
    return load_object(raw)


async def design_info(call: Call, database: Database, ddoc_id: str) -> web.Response:
    """GET /{db}/_design/{ddoc}/_info: the state of its index."""
    ddoc = database.design_doc(ddoc_id)
    info = await call.store.databases.views(database).info(ddoc.doc)
    waiting = await database.read(lambda conn: purging.not_seen_at(conn, info["update_seq"]))
    info["purge_seq"] = max(database.purge_seq - waiting, 0) if info["update_seq"] else 0
    return answer({"name": ddoc_id.removeprefix("_design/"), "view_index": info})
