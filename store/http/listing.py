"""`_all_docs`, `_design_docs` and `_local_docs`, by GET, POST and several queries at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from sqlite3 import Connection
from typing import Any

import orjson
from aiohttp import web

from store.database import Database
from store.documents import load_json
from store.errors import BadRequest, QueryParseError
from store.http.call import Call, answer
from store.listing import (
    KeysReader,
    ListingParams,
    RangeReader,
    count_before,
    count_design_docs,
    local_rows,
    only_design,
    parse_listing,
)
from store.permissions import require_db_admin, require_reader_of_all

_JSON_PARAMS = frozenset({"key", "keys", "startkey", "start_key", "endkey", "end_key"})
_FLAGS = frozenset(
    {"descending", "include_docs", "conflicts", "attachments", "att_encoding_info", "inclusive_end", "update_seq"}
)
_COUNTS = frozenset({"skip", "limit"})


async def all_docs(call: Call, database: Database) -> web.StreamResponse:
    """GET or POST /{db}/_all_docs."""
    return await _listing(call, database, await _params(call))


async def design_docs(call: Call, database: Database) -> web.StreamResponse:
    """GET or POST /{db}/_design_docs: the same for design documents."""
    return await _listing(call, database, only_design(await _params(call)))


async def local_docs(call: Call, database: Database) -> web.Response:
    """GET or POST /{db}/_local_docs. Database admins only."""
    require_db_admin(call.user, database.security)
    params = await _params(call)
    return answer(await database.read(lambda conn: _local(conn, params)))


def _local(conn: Connection, params: ListingParams) -> bytes:
    return b'{"total_rows":null,"offset":null,"rows":[\n' + b",\n".join(local_rows(conn, params)) + b"\n]}"


async def all_docs_queries(call: Call, database: Database) -> web.StreamResponse:
    """POST /{db}/_all_docs/queries with {"queries": [...]}: an answer to each."""
    return await _several(call, database, await _queries(call))


async def design_docs_queries(call: Call, database: Database) -> web.StreamResponse:
    """POST /{db}/_design_docs/queries: the same about design documents."""
    return await _several(call, database, [only_design(params) for params in await _queries(call)])


async def local_docs_queries(call: Call, database: Database) -> web.Response:
    """POST /{db}/_local_docs/queries: the same about `_local` documents. Database admins only."""
    require_db_admin(call.user, database.security)
    several = await _queries(call)
    results = [await database.read(lambda conn, params=params: _local(conn, params)) for params in several]  # type: ignore[misc]
    return answer(b'{"results":[' + b",".join(results) + b"]}")


async def _queries(call: Call) -> list[ListingParams]:
    shared = _query(call)
    return [parse_listing(shared | query) for query in read_queries(await call.json_body())]


async def _several(call: Call, database: Database, several: Sequence[ListingParams]) -> web.StreamResponse:
    require_reader_of_all(call.user, database.name, database.security)

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"results":['
        for number, params in enumerate(several):
            if number:
                yield b","
            async for chunk in _chunks(database, params):
                yield chunk
        yield b"]}\n"

    return await call.stream(chunks())


def read_queries(body: dict[str, Any]) -> list[dict[str, Any]]:
    """`queries` of a body; raises BadRequest unless it is an array of objects."""
    if "queries" not in body:
        raise BadRequest("POST body must include `queries` parameter.")
    queries = body["queries"]
    if not isinstance(queries, list) or not all(isinstance(query, dict) for query in queries):
        raise BadRequest("`queries` member must be an array of objects.")
    return queries


async def _params(call: Call) -> ListingParams:
    given = _query(call)
    if call.method == "POST":
        given |= await call.json_body()
    return parse_listing(given)


def _query(call: Call) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in call.query.items():
        if name in _JSON_PARAMS:
            try:
                given[name] = load_json(value.encode())
            except BadRequest:
                raise QueryParseError(f"Invalid JSON in {name}") from None
        elif name in _FLAGS:
            given[name] = call.flag(name)
        elif name in _COUNTS:
            given[name] = call.count(name, 0)
        elif name in ("group", "reduce") and call.flag(name):
            raise QueryParseError(f"`{name}` is invalid here: documents are not reduced")
    return given


async def _listing(call: Call, database: Database, params: ListingParams) -> web.StreamResponse:
    require_reader_of_all(call.user, database.name, database.security)
    return await call.stream(_with_newline(_chunks(database, params)))


async def _with_newline(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
    yield b"\n"


async def _chunks(database: Database, params: ListingParams) -> AsyncIterator[bytes]:
    reader: KeysReader | RangeReader
    offset: int | None
    if params.keys is not None:
        reader, offset = KeysReader(params), None
    else:
        reader = RangeReader(params)
        first = params.high if params.descending else params.low
        offset = await database.read(lambda conn: count_before(conn, params)) if first is not None else 0
    total = await database.read(count_design_docs) if params.design_only else database.doc_count
    if offset is not None:
        offset = min(offset + params.skip, total)
    head = f'{{"total_rows":{total},'
    if params.update_seq:
        head += f'"update_seq":"{database.update_seq}-{database.mark}",'
    separator = f'{head}"offset":{orjson.dumps(offset).decode()},"rows":[\n'.encode()
    while rows := await database.read(reader.page):
        yield separator + b",\n".join(rows)
        separator = b",\n"
    yield b"\n]}" if separator == b",\n" else separator + b"\n]}"
