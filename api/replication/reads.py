"""Reading single documents, attachments and `_bulk_get`: every body is judged by what it says itself (20 §11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson
from aiohttp import web

from api.access.bodies import LEAVES, Leaf, facts_in
from api.access.rules import Scope, facts_of
from api.auth import require
from api.errors import DocForbidden, StorageError
from api.infodocs import note_writes
from api.keys import DB
from api.proxy import ask, forward, pass_back
from api.replication.judge import judge
from api.replication.paths import doc_storage_path, storage_path
from api.replication.upstream import Answer, bad_request, fetch, parse_object
from api.responses import JSON_TYPE, Stream, json_response
from core.couch.client import Doc
from core.errors import InvalidInput, NotFound

BULK_GET_PAGE = 100  # documents asked of CouchDB at once: what a phone asks for, and what we hold in memory


async def get_doc(request: web.Request, scope: Scope, doc_id: str) -> web.Response:
    """GET /<db>/:id: the document; 403 when it is not the caller's or is missing (REPL-104..106)."""
    answer = await fetch(request, doc_storage_path(request, doc_id, without={"latest"}))
    if answer.status == 404 and "open_revs" in request.query:
        return json_response([])
    if answer.status == 404:
        raise DocForbidden
    if not answer.ok:
        return answer.respond()
    if answer.body.lstrip().startswith(b"["):
        return answer.respond(await allowed_leaves(request, scope, answer.body))
    if not all(await allowed_bodies(request, scope, [answer.body])):
        raise DocForbidden
    etag = answer.headers.get("ETag")
    if etag and etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers={"ETag": etag})
    return answer.respond()


async def allowed_leaves(request: web.Request, scope: Scope, body: bytes) -> bytes:
    """The leaves asked for, without those that are missing or not the caller's (REPL-105)."""
    docs = [leaf["ok"] for leaf in LEAVES.decode(body) if "ok" in leaf]
    verdicts = await allowed_bodies(request, scope, docs)
    return msgspec.json.encode([{"ok": doc} for doc, verdict in zip(docs, verdicts, strict=True) if verdict])


async def allowed_bodies(request: web.Request, scope: Scope, docs: Sequence[bytes | msgspec.Raw]) -> list[bool]:
    """Which of those bodies may go out. Pure deletion stubs may: they tell nothing (REPL-102)."""
    facts = [facts_in(doc) for doc in docs]
    verdicts = iter(await judge(request, scope, [each for each in facts if each is not None]))
    return [each is None or next(verdicts) for each in facts]


class Result(msgspec.Struct):
    """The revisions of one document, as `_bulk_get` answers them."""

    id: Any
    docs: list[Leaf]


class Results(msgspec.Struct):
    results: list[Result]


RESULTS = msgspec.json.Decoder(Results)


async def bulk_get(request: web.Request, scope: Scope) -> web.StreamResponse:
    """POST /<db>/_bulk_get: the revisions asked for, without what is missing or not the caller's (REPL-101..103)."""
    wanted = docs_asked_for(await request.read())
    path = storage_path(request, "_bulk_get", without={"latest"})
    if len(wanted) <= BULK_GET_PAGE:
        answer = await bulk_get_page(request, path, wanted)
        if not answer.ok:
            return answer.respond()
        results = RESULTS.decode(answer.body).results
        allowed = await allowed_results(request, scope, results)
        return answer.respond(None if allowed == results else msgspec.json.encode(Results(allowed)))
    response = Stream(headers={"Content-Type": JSON_TYPE})
    separator = b'{"results":['
    for start in range(0, len(wanted), BULK_GET_PAGE):
        answer = await bulk_get_page(request, path, wanted[start : start + BULK_GET_PAGE])
        if not answer.ok:
            if not response.prepared:
                return answer.respond()
            raise ConnectionError(f"CouchDB answered {answer.status} in the middle of a _bulk_get")
        allowed = await allowed_results(request, scope, RESULTS.decode(answer.body).results)
        if not response.prepared:
            await response.prepare(request)
        if allowed:
            await response.write(separator + msgspec.json.encode(allowed)[1:-1])
            separator = b","
    await response.write(b"]}" if separator == b"," else separator + b"]}")
    await response.write_eof()
    return response


def docs_asked_for(body: bytes) -> list[Any]:
    """The `docs` of the body. Errors: PROXY-22, PROXY-23."""
    members = parse_object(body) if body.strip() else {}
    if "docs" not in members:
        raise bad_request("Missing JSON list of `docs`.")
    if not isinstance(members["docs"], list):
        raise bad_request("`docs` parameter must be an array.")
    return members["docs"]


async def bulk_get_page(request: web.Request, path: str, wanted: list[Any]) -> Answer:
    return await fetch(request, path, body=orjson.dumps({"docs": wanted}))


async def allowed_results(request: web.Request, scope: Scope, results: Sequence[Result]) -> list[Result]:
    """The results with only allowed revisions; an id that has none left is left out."""
    verdicts = iter(
        await allowed_bodies(request, scope, [leaf["ok"] for result in results for leaf in result.docs if "ok" in leaf])
    )
    kept = (Result(each.id, [leaf for leaf in each.docs if "ok" in leaf and next(verdicts)]) for each in results)
    return [result for result in kept if result.docs]


async def attachment(request: web.Request, scope: Scope, doc_id: str, name: list[str]) -> web.StreamResponse:
    """GET, HEAD, PUT or DELETE of an attachment, judged by the document at `rev`, else its latest (REPL-107)."""
    if request.method not in ("GET", "HEAD", "PUT", "DELETE"):
        raise DocForbidden
    rev = request.query.get("rev") or request.headers.get("If-Match", "").strip().strip('"') or None
    doc = await doc_at(request, doc_id, rev)
    if doc is None or not all(await judge(request, scope, [facts_of(doc)])):
        if "rev" not in request.query:
            raise StorageError(404, "bad_request", "Invalid rev format")  # PouchDB tries again with one (PROXY-27)
        raise DocForbidden
    path = storage_path(request, doc_id, *name, without=request.query)
    if request.method in ("GET", "HEAD"):
        # Of the revision that was judged, although there be a newer one by now.
        return await forward(request, path=path, params={"rev": doc["_rev"]})
    require(request, "can_edit")
    async with ask(request, path=path, params={} if rev is None else {"rev": rev}) as answer:
        if answer.status in (200, 201, 202) and request.method == "PUT":
            note_writes(request, [doc_id])
        return await pass_back(request, answer)


async def doc_at(request: web.Request, doc_id: str, rev: str | None) -> Doc | None:
    try:
        return await request.config_dict[DB].get(doc_id, **({} if rev is None else {"rev": rev}))
    except (NotFound, InvalidInput):
        return None
