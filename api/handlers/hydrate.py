"""Documents with everything they refer to in full, by their ids (EP-HYD-1..4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NotRequired, TypedDict

from aiohttp import web

from api.auth import current_user, require_online
from api.errors import StorageError
from api.keys import DB, LAG
from api.operations import Access, Operation, describe
from api.params import JsonParam, read_json, require_json
from api.responses import JSON_TYPE, Stream, json_response
from core.contacts import shown
from core.couch.client import Row
from core.deep_json import dumps
from core.hydration import Foresee, hydrate_ids

TEXTS = {"type": "array", "items": {"type": "string"}}
DOC_IDS = JsonParam(name="doc_ids", about="a JSON array of document ids", schema=TEXTS)


class AskedDocIds(TypedDict):
    doc_ids: list[str]


class HydratedRow(TypedDict):
    """A document with all it refers to, or that there is none."""

    id: str
    doc: NotRequired[dict[str, Any]]
    error: NotRequired[str]


@describe(Operation(access=Access.ONLINE, query=(DOC_IDS,), answers={200: list[HydratedRow]}))
async def get_hydrated(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/hydrate?doc_ids=["a","b"]: `[{id, doc} or {id, error: "not_found"}]` in the order of the ids.

    Online users only. 400 when `doc_ids` is not a JSON array of texts.
    """
    require_online(request)
    return await answer_hydrated(request, DOC_IDS.read(request))


@describe(Operation(access=Access.ONLINE, query=(DOC_IDS,), body=AskedDocIds, answers={200: list[HydratedRow]}))
async def post_hydrated(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/hydrate `{"doc_ids": [...]}`: as GET, for lists too long for a URL. The query wins."""
    require_json(request)
    require_online(request)
    asked = DOC_IDS.read(request)
    if asked is None:
        body = await read_json(request)
        asked = body.get("doc_ids") if isinstance(body, dict) else None
    return await answer_hydrated(request, asked)


async def answer_hydrated(request: web.Request, asked: Any) -> web.StreamResponse:
    """The first batch decides whether an error can still be told; what does not fit in it is streamed."""
    doc_ids = checked_ids(asked)
    batches = hydrate_ids(request.config_dict[DB], doc_ids, foresight(request))
    first: list[Row] = await anext(batches, [])
    if len(first) == len(doc_ids):
        return json_response(first)
    return await stream_batches(request, first, batches)


def foresight(request: web.Request) -> Foresee:
    """What the caller's request can know beforehand, with all that the caller has written."""
    return partial(request.config_dict[LAG].around, current_user(request).name)


def checked_ids(asked: Any) -> list[str]:
    if not isinstance(asked, list):
        raise StorageError(400, "bad_request", "`doc_ids` parameter must be a json array.")
    for each in asked:
        if not isinstance(each, str):
            raise StorageError(400, "bad_request", f"`doc_ids` must hold document ids as texts, not {shown(each)}")
    return asked


async def stream_batches(request: web.Request, first: list[Row], rest: AsyncIterator[list[Row]]) -> web.StreamResponse:
    """One JSON array, a batch at a time."""
    response = Stream(headers={"Content-Type": JSON_TYPE})
    await response.prepare(request)
    await response.write(dumps(first)[:-1])
    async for batch in rest:
        await response.write(b"," + dumps(batch)[1:-1])
    await response.write_eof(b"]")
    return response


ROUTES = [
    web.get("/api/v1/hydrate", get_hydrated),
    web.post("/api/v1/hydrate", post_hydrated),
]
