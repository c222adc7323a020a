"""COPY: a document, or a `_local` one, under another id."""

from __future__ import annotations

from sqlite3 import Connection

from aiohttp import web

from store import reads
from store.database import Database
from store.documents import Edit, Incoming, check_id, parse_local_rev
from store.errors import BadRequest, NotFound
from store.http.call import Call
from store.http.documents import credentials_hidden, write_one, written
from store.reads import Revision
from store.revtree import parse_rev
from store.user_docs import require_readable


async def copy_document(call: Call, database: Database, doc_id: str) -> web.Response:
    """COPY /{db}/{docid}[?rev=] with `Destination: other-id[?rev=...]`; the attachments come along."""
    edit = _target(call)
    if database.name == "_users":
        require_readable(call.user, doc_id)
    source_rev = call.query.get("rev")

    def work(conn: Connection) -> Revision:
        named = parse_rev(source_rev) if source_rev else None
        return reads.open_revision(conn, reads.find(conn, doc_id), doc_id, named, latest=False)

    revision = await database.read(work)
    hide = credentials_hidden(call, database)
    edit.body = revision.body if hide is None else hide(revision.body)
    if not edit.is_local:
        edit.attachments = {
            name: Incoming(stored["content_type"], digest=stored["digest"], length=stored["length"])
            for name, stored in revision.attachments.items()
        }
    return written(call, database, await write_one(call, database, edit))


async def copy_local(call: Call, database: Database, doc_id: str) -> web.Response:
    """COPY /{db}/_local/{id} with `Destination: other-id[?rev=...]`."""
    edit = _target(call)
    row = database.conn.execute("SELECT body FROM local_docs WHERE id = ?", (check_id(doc_id),)).fetchone()
    if row is None:
        raise NotFound("missing")
    edit.body = row[0]
    return written(call, database, await write_one(call, database, edit))


def _target(call: Call) -> Edit:
    """The edit that the `Destination` header names, still without a body; raises BadRequest."""
    destination = call.request.headers.get("Destination")
    if not destination:
        raise BadRequest("Destination header is mandatory for COPY.")
    if "://" in destination:
        raise BadRequest("Destination URL must be relative.")
    try:
        target, rev = call.destination(destination)
    except UnicodeDecodeError:
        raise BadRequest("Document id must be valid UTF-8", slug="illegal_docid") from None
    edit = Edit(check_id(target))
    if rev:
        edit.rev = parse_local_rev(rev) if edit.is_local else parse_rev(rev)
    return edit
