"""`_bulk_get` as multipart: documents in parts, attachments streamed through as CouchDB holds them (20 §11.2)."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
import orjson
from aiohttp import web

from api.access.rules import Scope
from api.proxy import ask, next_chunk
from api.replication.paths import doc_storage_path, storage_path
from api.replication.reads import BULK_GET_PAGE, RESULTS, allowed_results, bulk_get_page, docs_asked_for
from api.responses import Stream, weighted

MIXED, RELATED = "multipart/mixed", "multipart/related"
JSON_PART = b"Content-Type: application/json\r\n\r\n"
RAW = {"Accept": RELATED, "Accept-Encoding": "identity", "If-None-Match": '"-"'}


class Part(msgspec.Struct):
    """What of a revision says where its attachments are."""

    id: str = msgspec.field(name="_id")
    rev: str = msgspec.field(name="_rev")
    attachments: Any = msgspec.field(name="_attachments", default=None)


PART = msgspec.json.Decoder(Part)


def asked_type(request: web.Request) -> str | None:
    """The multipart type that the client names and answers are given in; None where it takes JSON too."""
    accepted = [name for name, weight in weighted(request.headers.get("Accept", "")) if weight > 0]
    if {"application/json", "application/*", "*/*"}.intersection(accepted):
        return None
    if RELATED in accepted and MIXED not in accepted:
        return RELATED
    return MIXED if {MIXED, "multipart/*"}.intersection(accepted) else None


async def bulk_get(request: web.Request, scope: Scope, kind: str) -> web.StreamResponse:
    """POST /<db>/_bulk_get: the caller's among the revisions asked for, a part each; see `reads.bulk_get`.

    A document with attachments is a `multipart/related` part where `attachments=true` asks for them.
    """
    wanted = docs_asked_for(await request.read())
    boundary = secrets.token_hex(16)
    response = Stream(headers={"Content-Type": f'{kind}; boundary="{boundary}"'})
    path = storage_path(request, "_bulk_get", without={"latest", "attachments"})
    with_attachments = request.query.get("attachments") == "true"
    for start in range(0, len(wanted), BULK_GET_PAGE) or (0,):
        page = wanted[start : start + BULK_GET_PAGE]
        answer = await bulk_get_page(request, path, page)
        if not answer.ok:
            if not response.prepared:
                return answer.respond()
            raise ConnectionError(f"CouchDB answered {answer.status} in the middle of a _bulk_get")
        known = {each["id"]: each["atts_since"] for each in page if isinstance(each, dict) and each.get("atts_since")}
        if not response.prepared:
            await response.prepare(request)
        for result in await allowed_results(request, scope, RESULTS.decode(answer.body).results):
            for leaf in result.docs:
                await response.write(f"\r\n--{boundary}\r\n".encode())
                part = PART.decode(leaf["ok"])
                if with_attachments and part.attachments:
                    await write_with_attachments(request, response, part, known.get(part.id))
                else:
                    await response.write(JSON_PART + bytes(leaf["ok"]))
    await response.write(f"\r\n--{boundary}--".encode())
    await response.write_eof()
    return response


async def write_with_attachments(request: web.Request, response: Stream, part: Part, atts_since: Any) -> None:
    """A part with that revision as CouchDB sends it. It was judged, and a revision never changes."""
    path = doc_storage_path(request, part.id, without=request.query)
    params: dict[str, Any] = {"rev": part.rev, "attachments": True}
    params.update((name, True) for name in ("revs", "att_encoding_info") if request.query.get(name) == "true")
    if isinstance(atts_since, list):
        params["atts_since"] = orjson.dumps(atts_since).decode()
    async with ask(request, method="GET", path=path, params=params, body=b"", headers=RAW) as answer:
        if answer.status != 200:
            raise ConnectionError(f"CouchDB answered {answer.status} for a revision that it had a moment ago")
        kind = answer.headers.get("Content-Type", "application/json")
        head = f"X-Doc-Id: {part.id}\r\nX-Rev-Id: {part.rev}\r\n" if part.id.isprintable() else ""
        await response.write(f"{head}Content-Type: {kind}\r\n\r\n".encode())
        while chunk := await next_chunk(answer):
            await response.write(chunk)
