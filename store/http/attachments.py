"""Attachments by their own address: read (with ranges), write, delete."""

from __future__ import annotations

import re
from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any
from urllib.parse import quote

from aiohttp import web

from store import reads
from store.content import Piece, Stored, at_hand
from store.database import Database
from store.documents import Edit, Incoming, check_attachment_name, check_id
from store.errors import BadRequest, Conflict, NotFound
from store.http.call import STANDARD_HEADERS, Call, answer
from store.http.documents import etag_matches, given_rev, not_modified, write_one
from store.http.uploads import read_attachment
from store.revtree import parse_rev
from store.user_docs import require_readable

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


async def get_attachment(call: Call, database: Database, doc_id: str, name: str) -> web.StreamResponse:
    """GET /{db}/{docid}/{attachment}: its bytes, whole or a range; `rev` names a revision."""
    if database.name == "_users":
        require_readable(call.user, doc_id)
    rev = given_rev(call) if "rev" in call.query else None
    named = parse_rev(rev) if rev is not None else None
    wanted = call.request.headers.get("Range") if call.method == "GET" else None

    def work(conn: Connection) -> tuple[dict[str, Any], tuple[int, int] | None, Sequence[Piece]]:
        row = reads.find(conn, doc_id)
        revision = reads.open_revision(conn, row, doc_id, named, latest=False)
        stored = revision.attachments.get(name)
        if stored is None:
            raise NotFound("Document is missing attachment")
        length: int = stored["length"]
        span = _range(wanted, length)
        first, last = span or (0, length - 1)
        if call.method == "HEAD" or etag_matches(call, stored["digest"][4:]) or first >= length or first > last:
            return stored, span, [b""]
        return stored, span, at_hand(conn, [Stored(stored["digest"], first, last + 1 - first)])

    stored, span, pieces = await database.read(work)
    etag, length = stored["digest"][4:], stored["length"]
    if etag_matches(call, etag):
        return not_modified(etag)
    headers = {
        "ETag": f'"{etag}"',
        "Content-Type": stored["content_type"],
        "Content-MD5": etag,
        "Accept-Ranges": "bytes",
        "Content-Security-Policy": "sandbox",  # a page somebody attached must not act as its reader
    }
    if call.method == "HEAD":
        return web.Response(headers={**STANDARD_HEADERS, **headers, "Content-Length": str(length)})
    if span is None:
        return await call.send(database, pieces, headers)
    first, last = span
    if first >= length or first > last:
        failure = {"error": "requested_range_not_satisfiable", "reason": "Requested range not satisfiable"}
        return answer(failure, 416, {"Content-Range": f"bytes */{length}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{length}"
    return await call.send(database, pieces, headers, 206)


def _range(header: str | None, length: int) -> tuple[int, int] | None:
    """First and last byte of a single range; None to send everything."""
    match = _RANGE.match(header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, length - int(match[2])), length - 1
    return int(match[1]), min(int(match[2]), length - 1) if match[2] else length - 1


async def put_attachment(call: Call, database: Database, doc_id: str, name: str) -> web.Response:
    """PUT /{db}/{docid}/{attachment}?rev=: add or replace one; without a document it makes one."""
    check_id(doc_id)
    check_attachment_name(name)
    incoming = Incoming(content_type=call.request.headers.get("Content-Type", "application/octet-stream"))
    if not incoming.content_type.isprintable():  # as it is not when its bytes are no UTF-8
        raise BadRequest("Content-Type is not text")
    try:
        await read_attachment(call, incoming)
        return await _change(call, database, doc_id, name, incoming)
    finally:
        if incoming.file is not None:
            incoming.file.close()


async def delete_attachment(call: Call, database: Database, doc_id: str, name: str) -> web.Response:
    """DELETE /{db}/{docid}/{attachment}?rev=."""
    return await _change(call, database, doc_id, name, None)


async def _change(call: Call, database: Database, doc_id: str, name: str, incoming: Incoming | None) -> web.Response:
    """A new revision of the document with one attachment more, another, or fewer; the rest of it stays."""
    if database.name == "_users":
        require_readable(call.user, doc_id)
    rev = given_rev(call)
    named = parse_rev(rev) if rev is not None else None
    row = reads.find(database.conn, doc_id)
    edit = Edit(doc_id, rev=named)
    kept: dict[str, Incoming] = {}
    if row is not None and (named is not None or not row.deleted):
        if named is None:
            raise Conflict
        try:
            revision = reads.open_revision(database.conn, row, doc_id, named, latest=False)
        except NotFound:
            raise Conflict from None
        edit.body = revision.body
        kept = {each: Incoming(stub=True) for each in revision.attachments}
    elif named is not None:
        raise Conflict
    if incoming is None:
        if name not in kept:
            raise NotFound("Document is missing attachment" if row is not None else "missing")
        del kept[name]
    else:
        kept[name] = incoming
    edit.attachments = kept
    result = await write_one(call, database, edit)
    location = call.url(*(quote(segment, safe="") for segment in (database.name, doc_id, name)))
    created = incoming is not None
    headers = {"ETag": f'"{result.rev}"', **({"Location": location} if created else {})}
    return answer({"ok": True, "id": result.id, "rev": result.rev}, 201 if created else 200, headers)
