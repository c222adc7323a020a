"""Attachments by their own address: read (with ranges), write, delete."""

from __future__ import annotations

import re
from sqlite3 import Connection
from typing import Any
from urllib.parse import quote

from aiohttp import web

from store import reads
from store.database import Database
from store.documents import Edit, Incoming, check_attachment_name, check_id
from store.errors import Conflict, NotFound
from store.http.call import STANDARD_HEADERS, Call, answer
from store.http.documents import given_rev, not_modified, write_one
from store.multipart import fill
from store.revtree import parse_rev
from store.user_docs import require_readable

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


async def get_attachment(call: Call, database: Database, doc_id: str, name: str) -> web.Response:
    """GET /{db}/{docid}/{attachment}: its bytes, whole or a range; `rev` names a revision."""
    if database.name == "_users":
        require_readable(call.user, doc_id)
    rev = given_rev(call) if "rev" in call.query else None
    named = parse_rev(rev) if rev is not None else None
    has_it = call.request.headers.get("If-None-Match", "")

    def work(conn: Connection) -> tuple[dict[str, Any], bytes]:
        row = reads.find(conn, doc_id)
        revision = reads.open_revision(conn, row, doc_id, named, latest=False)
        stored = revision.attachments.get(name)
        if stored is None:
            raise NotFound("Document is missing attachment")
        wanted = call.method != "HEAD" and f'"{stored["digest"][4:]}"' != has_it
        return stored, reads.blob(conn, stored["digest"]) if wanted else b""

    stored, data = await database.read(work)
    etag = stored["digest"][4:]
    headers = {
        **STANDARD_HEADERS,
        "ETag": f'"{etag}"',
        "Content-Type": stored["content_type"],
        "Content-MD5": etag,
        "Accept-Ranges": "bytes",
    }
    if has_it == f'"{etag}"':
        return not_modified(etag)
    if call.method == "HEAD":
        return web.Response(headers={**headers, "Content-Length": str(stored["length"])})
    span = _range(call.request.headers.get("Range"), len(data))
    if span is None:
        return web.Response(body=data, headers=headers)
    first, last = span
    if first >= len(data):
        failure = {"error": "requested_range_not_satisfiable", "reason": "Requested range not satisfiable"}
        return answer(failure, 416, {"Content-Range": f"bytes */{len(data)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return web.Response(status=206, body=data[first : last + 1], headers=headers)


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
    limit = call.store.config.max_attachment_bytes
    incoming = Incoming(content_type=call.request.headers.get("Content-Type", "application/octet-stream"))
    data = await call.body(limit)
    await call.in_thread(lambda: fill(incoming, data, limit))
    return await _change(call, database, doc_id, name, incoming)


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
