"""CouchDB's full-text search, as online web clients and tools ask it, from our own index (60 DDOC-74, DDOC-77)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from api.auth import require_online
from api.errors import StorageError
from api.keys import DB, SEARCH
from api.params import read_json
from api.replication.lists import lag_headers
from api.responses import JSON_TYPE, Stream, json_response
from api.search.index import Hit
from api.search.query import match_of
from api.search.tokens import Kind
from core.couch.client import Database
from core.deep_json import dumps
from core.errors import InvalidInput

DEFAULT_LIMIT = 25
MOST_HITS = 200_000
MOST_DOCS = 10_000
LONGEST_QUERY = 100_000  # characters
HITS_AT_ONCE = 500


@dataclass(frozen=True)
class Index:
    kind: Kind
    sort: str  # the one field hits can be sorted by, and that they bring


INDEXES = {
    "contacts_by_freetext": Index(Kind.CONTACT, "sort_order"),
    "reports_by_freetext": Index(Kind.REPORT, "reported_date"),
}


@dataclass(frozen=True)
class Search:
    """What a client asks of an index; `after` is the last hit it has."""

    match: str | None
    limit: int
    descending: bool
    include_docs: bool
    after: Hit | None


async def search(request: web.Request) -> web.StreamResponse:
    """GET and POST /<db>/_design/medic/_nouveau/{index}: the hits of a query, a few hundred in memory at a time.

    `q`, `limit`, `sort`, `bookmark` and `include_docs` from the query or the JSON body. Online users.
    """
    require_online(request)
    index = named_index(request)
    try:
        asked = read_search(await members(request), index)
    except InvalidInput as error:
        raise StorageError(400, "bad_request", error.message) from error
    engine = request.config_dict[SEARCH]
    behind = await engine.catch_up(request.config_dict[DB])
    page = await engine.page(index.kind, asked.match, asked.after, asked.limit, descending=asked.descending)
    last = page.hits[-1] if page.hits else asked.after
    head = {
        "total_hits_relation": "EQUAL_TO",
        "total_hits": page.total,
        "bookmark": None if last is None else write_bookmark(last),
    }
    response = Stream(headers={"Content-Type": JSON_TYPE, **lag_headers(behind)})
    await response.prepare(request)
    await response.write(orjson.dumps(head)[:-1] + b',"hits":[')
    separator = b""
    for start in range(0, len(page.hits), HITS_AT_ONCE):
        hits = [hit_object(hit, index) for hit in page.hits[start : start + HITS_AT_ONCE]]
        if asked.include_docs:
            hits = await with_docs(request.config_dict[DB], hits)
        if hits:
            await response.write(separator + dumps(hits)[1:-1])
            separator = b","
        await asyncio.sleep(0)  # a client that reads fast must not keep the others waiting
    await response.write(b"]}")
    await response.write_eof()
    return response


async def with_docs(db: Database, hits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The hits with their documents, but for those deleted a moment ago."""
    docs = await db.get_many(hit["id"] for hit in hits)
    return [{**hit, "doc": docs[hit["id"]]} for hit in hits if hit["id"] in docs]


async def search_info(request: web.Request) -> web.StreamResponse:
    """GET /<db>/_design/medic/_nouveau_info/{index}: size and position of an index. Online users."""
    require_online(request)
    index = named_index(request)
    engine = request.config_dict[SEARCH]
    state = await engine.state()
    found = {
        "num_docs": await engine.count(index.kind),
        "disk_size": await engine.size_bytes(),  # of both indexes
        "update_seq": state.couch_seq,
        "pending": state.pending,
    }
    return json_response({"name": f"_design/medic/{request.match_info['index']}", "search_index": found})


def named_index(request: web.Request) -> Index:
    found = INDEXES.get(request.match_info["index"])
    if found is None:
        raise StorageError(404, "not_found", "missing index; there are " + " and ".join(INDEXES))
    return found


async def members(request: web.Request) -> Mapping[str, Any]:
    """The body's members, over those of the query, where numbers, booleans and quoted texts are JSON."""
    asked: dict[str, Any] = {}
    for name, text in request.query.items():
        asked[name] = text if name in ("q", "bookmark") else decoded(text)
    if request.method == "POST":
        body = await read_json(request)
        if body is not None and not isinstance(body, dict):
            raise InvalidInput("Request body must be a JSON object")
        asked |= body or {}
    return asked


def decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def read_search(asked: Mapping[str, Any], index: Index) -> Search:
    """InvalidInput names the member and what was expected."""
    query = asked.get("q")
    if not isinstance(query, str) or not query or len(query) > LONGEST_QUERY:
        raise InvalidInput(f"`q` must be a query of 1 to {LONGEST_QUERY} characters")
    include_docs = asked.get("include_docs", False)
    if not isinstance(include_docs, bool):
        raise InvalidInput("`include_docs` must be true or false")
    limit, most = asked.get("limit", DEFAULT_LIMIT), MOST_DOCS if include_docs else MOST_HITS
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= most:
        raise InvalidInput(f"`limit` must be a whole number from 1 to {most}")
    return Search(
        match=match_of(query, index.kind),
        limit=limit,
        descending=read_sort(asked.get("sort"), index),
        include_docs=include_docs,
        after=read_bookmark(asked.get("bookmark"), index),
    )


def read_sort(sort: Any, index: Index) -> bool:
    """Whether the last come first."""
    if isinstance(sort, list) and len(sort) == 1:
        sort = sort[0]
    if sort not in (None, index.sort, f"-{index.sort}"):
        raise InvalidInput(f"`sort` must be {index.sort} or -{index.sort}")
    return sort is not None and sort != index.sort


def hit_object(hit: Hit, index: Index) -> dict[str, Any]:
    kind = "string" if index.kind is Kind.CONTACT else "double"
    order = [{"@type": kind, "value": hit.sort}, {"@type": "string", "value": hit.id}]
    return {"id": hit.id, "order": order, "fields": {index.sort: hit.sort}}


def write_bookmark(hit: Hit) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([hit.sort, hit.id])).decode()


def read_bookmark(text: Any, index: Index) -> Hit | None:
    if text is None:
        return None
    try:
        sort, doc_id = orjson.loads(base64.urlsafe_b64decode(text))
    except (ValueError, TypeError):
        raise bad_bookmark() from None
    fits = isinstance(sort, str) if index.kind is Kind.CONTACT else isinstance(sort, int | float)
    if not fits or not isinstance(doc_id, str):
        raise bad_bookmark()
    return Hit(doc_id, sort)


def bad_bookmark() -> InvalidInput:
    return InvalidInput("`bookmark` must be one that an answer of this index had")


def routes(database: str) -> list[web.RouteDef]:
    path = f"/{quote(database, safe='')}/_design/medic"
    return [
        web.get(f"{path}/_nouveau/{{index}}", search),
        web.post(f"{path}/_nouveau/{{index}}", search),
        web.get(f"{path}/_nouveau_info/{{index}}", search_info),
    ]
