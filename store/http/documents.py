"""Single documents: read with every option, write, delete, copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from sqlite3 import Connection
from typing import Any
from urllib.parse import quote

import orjson
from aiohttp import web

from store import admission, multipart, reads, replicator_docs, revtree
from store.content import Piece, at_hand
from store.database import Database
from store.documents import Edit, check_id, load_json, load_object, parse_edit, parse_local_rev, splice
from store.edits import Written
from store.errors import BadRequest, Conflict, NotFound, StoreError
from store.http.call import STANDARD_HEADERS, Call, answer
from store.http.uploads import read_related
from store.permissions import is_db_admin
from store.reads import PLAIN, DocOptions, Revision, Row
from store.revtree import parse_rev
from store.user_docs import require_readable

PARSE_IN_THREAD_BYTES = 256 * 1024  # larger bodies would hold up the event loop
_OPTION_NAMES = frozenset(
    {"rev", "revs", "revs_info", "open_revs", "conflicts", "deleted_conflicts", "meta", "local_seq", "attachments",
     "atts_since", "att_encoding_info", "latest"}
)  # fmt: skip


def doc_options(call: Call, database: Database) -> DocOptions:
    """The computed members a query asks for, without what the caller may not see."""
    hide = credentials_hidden(call, database)
    if not call.query and hide is None:
        return PLAIN
    meta = call.flag("meta")
    since = None
    if "atts_since" in call.query:
        since = tuple(_revs(call.json_param("atts_since"), "atts_since"))
    return DocOptions(
        revs=call.flag("revs"),
        revs_info=call.flag("revs_info") or meta,
        conflicts=call.flag("conflicts") or meta,
        deleted_conflicts=call.flag("deleted_conflicts") or meta,
        local_seq=call.flag("local_seq"),
        attachments=call.flag("attachments"),
        atts_since=since,
        att_encoding_info=call.flag("att_encoding_info"),
        latest=call.flag("latest"),
        hide=hide,
    )


def credentials_hidden(call: Call, database: Database) -> Callable[[bytes], bytes] | None:
    """What takes the credentials out of the body of another user's replication; None where nothing is hidden."""
    if database.name != replicator_docs.DATABASE or is_db_admin(call.user, database.security):
        return None
    name = call.user.name
    return lambda body: body if replicator_docs.owner(body) == name else replicator_docs.without_credentials(body)


def _revs(value: Any, name: str) -> list[str]:
    if not isinstance(value, list):
        raise BadRequest(f"{name} must be a JSON array of revisions")
    return [parse_rev(rev) for rev in value]


def given_rev(call: Call) -> str | None:
    """The revision a client names by `rev`, `If-Match` or not at all; raises BadRequest when the two differ."""
    query = call.query.get("rev")
    header = call.request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"') or None
    if header == "*":
        header = None
    if query is not None and header and query != header:
        raise BadRequest("Document rev and etag have different values")
    return header if query is None else query


def takes_multipart(call: Call, media_type: str) -> bool:
    """Whether the answer may be multipart: CouchDB prefers it unless `Accept` leaves it out, as PouchDB's does."""
    header = call.request.headers.get("Accept")
    if header is None:
        return True
    accepted = {each.partition(";")[0].strip() for each in header.split(",")}
    return not accepted.isdisjoint((media_type, "multipart/*", "*/*"))


def etag_matches(call: Call, etag: str) -> bool:
    """Whether the client has this very content already (`If-None-Match`)."""
    header = call.request.headers.get("If-None-Match")
    if header is None:
        return False
    return any(given.strip().removeprefix("W/") in (f'"{etag}"', "*") for given in header.split(","))


def not_modified(etag: str) -> web.Response:
    return web.Response(status=304, headers={**STANDARD_HEADERS, "ETag": f'"{etag}"'})


async def get_document(call: Call, database: Database, doc_id: str) -> web.StreamResponse:
    """GET /{db}/{docid}: the winner, or the revision named, with the members asked for."""
    if database.name == "_users":
        require_readable(call.user, doc_id)
    private = database.name == replicator_docs.DATABASE
    if (
        not private
        and _OPTION_NAMES.isdisjoint(call.query)
        and "multipart" not in call.request.headers.get("Accept", "")
    ):
        found = reads.plain_winner(database.conn, doc_id)
        if found is None:
            raise NotFound("deleted" if reads.find(database.conn, doc_id) else "missing")
        rev, body = found
        return not_modified(rev) if etag_matches(call, rev) else answer(body, 200, {"ETag": f'"{rev}"'})
    options = doc_options(call, database)
    if "open_revs" in call.query:
        return await _get_open_revs(call, database, doc_id, options)
    named = given_rev(call) if "rev" in call.query else None
    named = parse_rev(named) if named is not None else None
    with_data = options.attachments or options.atts_since is not None
    as_multipart = with_data and takes_multipart(call, "multipart/related")

    boundary = multipart.new_boundary()

    def work(conn: Connection) -> tuple[str, bytes, Sequence[Piece]]:
        row = reads.find(conn, doc_id)
        revision = reads.open_revision(conn, row, doc_id, named, latest=options.latest)
        assert row is not None
        if as_multipart and revision.attachments:
            pieces = related(conn, database.mark, row, revision, options, boundary)
            return revision.rev, b"", at_hand(conn, pieces)
        return revision.rev, reads.render(conn, database.mark, row, revision, options), ()

    rev, body, pieces = await database.read(work)
    if pieces:
        content_type = f'multipart/related; boundary="{boundary}"'
        return await call.send(database, pieces, {"Content-Type": content_type, "ETag": f'"{rev}"'})
    if not (options.revs_info or options.local_seq or options.conflicts or options.deleted_conflicts):
        if etag_matches(call, rev):
            return not_modified(rev)
        return answer(body, 200, {"ETag": f'"{rev}"'})
    return answer(body)


async def _get_open_revs(call: Call, database: Database, doc_id: str, options: DocOptions) -> web.StreamResponse:
    asked = call.query["open_revs"]
    revs = None if asked == "all" else _revs(load_json(asked.encode()), "open_revs")
    mixed = takes_multipart(call, "multipart/mixed")
    if mixed:
        options = replace(options, attachments=True)
    boundary = multipart.new_boundary()

    def one(conn: Connection, row: Row, revision: Revision) -> list[Piece]:
        if mixed and revision.attachments:  # they follow whether asked for or not: CouchDB's replicator relies on it
            inner = multipart.new_boundary()
            head = f'\r\nContent-Type: multipart/related; boundary="{inner}"\r\n\r\n'
            return [head.encode(), *related(conn, database.mark, row, revision, options, inner)]
        doc = reads.render(conn, database.mark, row, revision, options)
        return [b"\r\nContent-Type: application/json\r\n\r\n", doc] if mixed else [b'{"ok":', doc, b"}"]

    def work(conn: Connection) -> Sequence[Piece]:
        row = reads.find(conn, doc_id)
        found = reads.open_revs(conn, row, doc_id, revs, latest=options.latest)
        if row is None and revs is None:
            raise NotFound("missing")
        pieces: list[Piece] = []
        for number, each in enumerate(found):
            pieces.append(f"--{boundary}".encode() if mixed else b"," if number else b"[")
            if isinstance(each, str):
                pieces.append(multipart.error_part(each) if mixed else orjson.dumps({"missing": each}))
            else:
                assert row is not None
                pieces += one(conn, row, each)
            if mixed:
                pieces.append(b"\r\n")
        if mixed:
            return at_hand(conn, [*pieces, f"--{boundary}--".encode()])
        return [b"".join([*pieces, b"]" if pieces else b"[]"])]  # type: ignore[list-item]

    pieces = await database.read(work)
    if mixed:
        return await call.send(database, pieces, {"Content-Type": f'multipart/mixed; boundary="{boundary}"'})
    return answer(pieces[0])


def related(
    conn: Connection, mark: str, row: Row, revision: Revision, options: DocOptions, boundary: str
) -> list[Piece]:
    """A revision whose attachments follow it as parts of their own instead of base64."""
    tree = revtree.decode(row.tree)
    sent = reads.with_data(tree, revision, options)
    shown = {
        name: {**stored, "follows": True} if name in sent else {**stored, "stub": True}
        for name, stored in revision.attachments.items()
    }
    bare = revision._replace(attachments={})
    doc = reads.render(conn, mark, row, bare, options)
    if shown:
        doc = doc[:-1] + b',"_attachments":' + orjson.dumps(shown) + b"}"
    followers = [(name, stored) for name, stored in revision.attachments.items() if name in sent]
    return multipart.related(doc, followers, boundary)


async def put_document(call: Call, database: Database, doc_id: str) -> web.Response:
    """PUT /{db}/{docid}: write a document, JSON or multipart/related; `rev`, `If-Match`, `new_edits`, `batch`."""
    check_id(doc_id)
    new_edits = call.flag("new_edits", True)
    rev = given_rev(call)
    edit = await _read_edit(call, doc_id, rev, new_edits=new_edits)
    try:
        if rev is not None and new_edits and edit.rev != (parse_local_rev(rev) if edit.is_local else parse_rev(rev)):
            where = "from request body and query string" if "rev" in call.query else "and etag"
            raise BadRequest(f"Document rev {where} have different values")
        result = await write_one(call, database, edit)
        return written(call, database, result, status=200 if edit.deleted else 201)
    finally:
        edit.close()


async def _read_edit(call: Call, doc_id: str, rev: str | None, *, new_edits: bool) -> Edit:
    if call.request.content_type == "multipart/related":
        return await read_related(call, doc_id, rev, new_edits=new_edits)
    edit = await _parse(call, doc_id, rev, new_edits=new_edits)
    for name, item in edit.attachments.items():
        if item.follows:
            raise BadRequest(f"Attachment {name} follows, but the body is not multipart/related")
    return edit


async def _parse(call: Call, doc_id: str | None, rev: str | None = None, *, new_edits: bool) -> Edit:
    raw = await call.body()

    def parse() -> Edit:
        return parse_edit(load_object(raw, "Document"), doc_id=doc_id, rev=rev, new_edits=new_edits)

    return await call.in_thread(parse) if len(raw) > PARSE_IN_THREAD_BYTES else parse()


async def post_document(call: Call, database: Database) -> web.Response:
    """POST /{db}: write a document whose id is in it, or made here."""
    call.require_json()
    edit = await _parse(call, None, new_edits=call.flag("new_edits", True))
    return written(call, database, await write_one(call, database, edit))


async def delete_document(call: Call, database: Database, doc_id: str) -> web.Response:
    """DELETE /{db}/{docid}?rev=: a deleted revision on top of the one named."""
    check_id(doc_id)
    rev = given_rev(call)
    edit = Edit(doc_id, deleted=True)
    if edit.is_local:
        edit.rev = parse_local_rev(rev) if rev is not None else None
    else:
        edit.rev = parse_rev(rev) if rev is not None else None
        row = reads.find(database.conn, doc_id)
        if row is None or row.deleted:
            raise NotFound("missing" if row is None else "deleted")
        if edit.rev is None:
            raise Conflict
    if database.name == "_users":
        require_readable(call.user, doc_id)
    result = await write_one(call, database, edit)
    return written(call, database, result, status=200, located=False)


async def write_one(call: Call, database: Database, edit: Edit) -> Written:
    """Write one edit; a refusal is raised."""
    [outcome] = await admission.write(call.store, database, call.user, [edit])
    if isinstance(outcome, StoreError):
        raise outcome
    return outcome


def written(
    call: Call, database: Database, result: Written, *, status: int = 201, located: bool = True
) -> web.Response:
    """The answer to a write: the status (202 for `batch=ok`) with the new revision, and where it is."""
    if call.query.get("batch") == "ok":
        return answer({"ok": True, "id": result.id}, 202)
    headers: Mapping[str, str] = {"ETag": f'"{result.rev}"'}
    if located:
        headers = {**headers, "Location": call.url(quote(database.name, safe=""), quote(result.id, safe=""))}
    return answer({"ok": True, "id": result.id, "rev": result.rev}, status, headers)


async def get_local(call: Call, database: Database, doc_id: str) -> web.Response:
    """GET /{db}/_local/{id}: a document that is not replicated."""
    row = database.conn.execute("SELECT rev, body FROM local_docs WHERE id = ?", (check_id(doc_id),)).fetchone()
    if row is None:
        raise NotFound("missing")
    return answer(splice(doc_id, f"0-{row[0]}", row[1]))
