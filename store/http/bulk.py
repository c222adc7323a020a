"""Many documents in one request: `_bulk_docs`, `_bulk_get`, `_revs_diff`, `_missing_revs`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from sqlite3 import Connection
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from store import admission, multipart, reads, revtree
from store.content import Piece, at_hand, chunks
from store.database import Database
from store.documents import Edit, load_object, parse_edit
from store.edits import Outcome
from store.errors import BadRequest, StoreError
from store.http.call import Call, answer
from store.http.documents import PARSE_IN_THREAD_BYTES, doc_options, related, takes_multipart
from store.permissions import require_db_admin
from store.revtree import parse_rev

_DOCS_AT_ONCE = 500  # of `_bulk_get`: a longer answer is read as it is sent
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")  # have no place in a header


async def bulk_docs(call: Call, database: Database) -> web.Response:
    """POST /{db}/_bulk_docs with {"docs": [...], "new_edits"?}: one transaction, one result per document in order.

    With `new_edits: false` only the documents that were refused are answered.
    """
    call.require_json()
    raw = await call.body()
    if len(raw) > PARSE_IN_THREAD_BYTES:
        edits, new_edits = await call.in_thread(lambda: _read_edits(raw))
    else:
        edits, new_edits = _read_edits(raw)
    outcomes = await admission.write(call.store, database, call.user, edits)
    rows = [
        _result_row(edit, outcome)
        for edit, outcome in zip(edits, outcomes, strict=True)
        if new_edits or isinstance(outcome, StoreError)
    ]
    return answer(b"[" + b",".join(rows) + b"]", 201)


def _read_edits(raw: bytes) -> tuple[list[Edit], bool]:
    body = load_object(raw)
    docs = body.get("docs")
    if "docs" not in body:
        raise BadRequest("POST body must include `docs` parameter.")
    if not isinstance(docs, list):
        raise BadRequest("`docs` parameter must be an array.")
    if body.get("all_or_nothing") is True:
        raise StoreError("all_or_nothing is not supported", slug="not_implemented", status=417)
    new_edits = body.get("new_edits", True)
    if not isinstance(new_edits, bool):
        raise BadRequest("`new_edits` parameter must be a boolean.")
    edits = [parse_edit(doc, new_edits=new_edits) for doc in docs]
    for edit in edits:
        for name, item in edit.attachments.items():
            if item.follows:
                raise BadRequest(f"Attachment {name} of {edit.id} cannot follow in _bulk_docs")
    return edits, new_edits


def _result_row(edit: Edit, outcome: Outcome) -> bytes:
    if isinstance(outcome, StoreError):
        failure = {"id": edit.id, "error": outcome.slug, "reason": outcome.reason}
        if edit.path:
            failure["rev"] = edit.path[0]
        return orjson.dumps(failure)
    return b'{"ok":true,"id":%b,"rev":%b}' % (orjson.dumps(outcome.id), orjson.dumps(outcome.rev))


async def bulk_get(call: Call, database: Database) -> web.StreamResponse:
    """POST /{db}/_bulk_get with {"docs": [{"id", "rev"?}]}: each document's revisions, in order, found or not.

    Multipart for those who take nothing else.
    """
    docs = (await call.json_body()).get("docs")
    if not isinstance(docs, list):
        raise BadRequest("Missing JSON list of 'docs'.")
    options = doc_options(call, database)
    _require_readable(call, database)
    mixed = takes_multipart(call, "multipart/mixed")
    as_multipart = not _takes_json(call) and (mixed or takes_multipart(call, "multipart/related"))

    groups = [docs[at : at + _DOCS_AT_ONCE] for at in range(0, len(docs), _DOCS_AT_ONCE)]
    if as_multipart:
        boundary = multipart.new_boundary()
        content_type = f'multipart/{"mixed" if mixed else "related"}; boundary="{boundary}"'
        return await call.stream(_in_parts(database, groups, options, boundary), content_type=content_type)
    listed = _listed(database, groups, options)
    if len(groups) > 1:
        return await call.stream(listed)
    return answer(b"".join([piece async for piece in listed]))


async def _listed(database: Database, groups: Sequence[list[Any]], options: reads.DocOptions) -> AsyncIterator[bytes]:
    separator = b'{"results":['
    for docs in groups:
        rows = await database.read(lambda conn, docs=docs: _bulk_get_rows(conn, database.mark, docs, options))  # type: ignore[misc]
        yield separator + b",".join(rows)
        separator = b","
    yield b"]}\n" if groups else separator + b"]}\n"


async def _in_parts(
    database: Database, groups: Sequence[list[Any]], options: reads.DocOptions, boundary: str
) -> AsyncIterator[bytes]:
    def read(conn: Connection, docs: list[Any]) -> Sequence[Piece]:
        rows = reads.find_many(conn, [doc["id"] for doc in docs if _has_id(doc)], contents=True)
        results = [_opened(conn, doc, rows, options) for doc in docs]
        return at_hand(conn, _bulk_get_parts(conn, database.mark, results, boundary))

    for docs in groups:
        async for chunk in chunks(database, await database.read(lambda conn, docs=docs: read(conn, docs))):  # type: ignore[misc]
            yield chunk
    if groups:
        yield f"\r\n--{boundary}--\r\n".encode()


class _Absent(NamedTuple):
    """What `_bulk_get` has in the place of a revision that it cannot give."""

    rev: Any
    slug: str
    reason: str


class _Opened(NamedTuple):
    """The revisions that one member of `docs` asks for, with what to show of them."""

    doc_id: Any
    options: reads.DocOptions
    found: list[tuple[reads.Row, reads.Revision] | _Absent]


def _takes_json(call: Call) -> bool:
    accepted = call.request.headers.get("Accept", "*/*")
    return any(media_type in accepted for media_type in ("application/json", "application/*", "*/*"))


def _opened(conn: Connection, doc: Any, rows: dict[str, reads.Row], options: reads.DocOptions) -> _Opened:
    doc_id = doc.get("id") if isinstance(doc, dict) else None
    if not isinstance(doc_id, str):
        return _Opened(doc_id, options, [_Absent(None, "bad_request", "document id missed")])
    rev, since = doc.get("rev"), doc.get("atts_since")
    try:
        revs = None if rev is None else [parse_rev(rev)]
        if isinstance(since, list) and since:
            options = replace(options, atts_since=tuple(parse_rev(each) for each in since))
    except BadRequest as error:
        return _Opened(doc_id, options, [_Absent(rev, error.slug, error.reason)])
    row = rows.get(doc_id)
    opened = _Opened(doc_id, options, [])
    for each in reads.open_revs(conn, row, doc_id, revs, latest=options.latest):
        if isinstance(each, str) or row is None:
            opened.found.append(_Absent(each, "not_found", "missing"))
        else:
            opened.found.append((row, each))
    if not opened.found:
        opened.found.append(_Absent("undefined", "not_found", "missing"))
    return opened


def _bulk_get_rows(conn: Connection, mark: str, docs: list[Any], options: reads.DocOptions) -> list[bytes]:
    ids = [doc["id"] for doc in docs if _has_id(doc)]
    lone = reads.lone_leaves(conn, ids, revs=options.revs) if options.adds_only_revisions else {}
    rows: list[bytes] = []
    others: list[tuple[int, Any]] = []
    for doc in docs:
        doc_id = doc.get("id") if isinstance(doc, dict) else None
        rev, json = lone.get(doc_id, ("", b"")) if isinstance(doc_id, str) else ("", b"")
        if rev and doc.get("rev", rev) == rev and "atts_since" not in doc:
            rows.append(b'{"id":%b,"docs":[{"ok":%b}]}' % (orjson.dumps(doc_id), json))
        else:
            others.append((len(rows), doc))
            rows.append(b"")
    if others:
        found = reads.find_many(conn, {doc["id"] for _, doc in others if _has_id(doc)}, contents=True)
        for at, doc in others:
            rows[at] = _opened_row(conn, mark, _opened(conn, doc, found, options))
    return rows


def _has_id(doc: Any) -> bool:
    return isinstance(doc, dict) and isinstance(doc.get("id"), str)


def _opened_row(conn: Connection, mark: str, opened: _Opened) -> bytes:
    parts: list[bytes] = []
    for each in opened.found:
        if isinstance(each, _Absent):
            parts.append(b'{"error":' + _error(opened.doc_id, each) + b"}")
        else:
            parts.append(b'{"ok":' + reads.render(conn, mark, *each, opened.options) + b"}")
    return b'{"id":' + orjson.dumps(opened.doc_id) + b',"docs":[' + b",".join(parts) + b"]}"


def _bulk_get_parts(conn: Connection, mark: str, results: Sequence[_Opened], boundary: str) -> list[Piece]:
    """Every revision as a part of its own, its attachments as parts of that."""
    between = f"\r\n--{boundary}\r\n".encode()
    parts: list[Piece] = []
    for doc_id, options, found in results:
        for each in found:
            if isinstance(each, _Absent):
                parts += (between, b'Content-Type: application/json; error="true"\r\n\r\n', _error(doc_id, each))
                continue
            row, revision = each
            if not revision.attachments:
                body = reads.render(conn, mark, row, revision, options)
                parts += (between, b"Content-Type: application/json\r\n\r\n", body)
                continue
            inner = multipart.new_boundary()
            head = f"X-Doc-Id: {_CONTROLS.sub('', doc_id)}\r\nX-Rev-Id: {revision.rev}\r\n"
            head += f'Content-Type: multipart/related; boundary="{inner}"\r\n\r\n'
            with_data = replace(options, attachments=True)
            parts += (between, head.encode(), *related(conn, mark, row, revision, with_data, inner))
    return parts


def _error(doc_id: Any, absent: _Absent) -> bytes:
    return orjson.dumps({"id": doc_id, "rev": absent.rev, "error": absent.slug, "reason": absent.reason})


async def revs_diff(call: Call, database: Database) -> web.Response:
    """POST /{db}/_revs_diff with {id: [revs]}: which of them are not here, and what they may have grown from."""
    _require_readable(call, database)
    asked = _asked_revs(await call.json_body())
    found = await database.read(lambda conn: _missing(conn, asked))
    shown = {
        doc_id: {"missing": absent, **({"possible_ancestors": ancestors} if ancestors else {})}
        for doc_id, (absent, ancestors) in found.items()
    }
    return answer(shown)


async def missing_revs(call: Call, database: Database) -> web.Response:
    """POST /{db}/_missing_revs with {id: [revs]}: which of them are not here."""
    _require_readable(call, database)
    asked = _asked_revs(await call.json_body())
    found = await database.read(lambda conn: _missing(conn, asked))
    return answer({"missing_revs": {doc_id: absent for doc_id, (absent, _) in found.items()}})


def _require_readable(call: Call, database: Database) -> None:
    if database.name == "_users":  # whose documents are each user's own secret
        require_db_admin(call.user, database.security)


def _asked_revs(body: dict[str, Any]) -> dict[str, Sequence[str]]:
    asked: dict[str, Sequence[str]] = {}
    for doc_id, revs in body.items():
        if not isinstance(revs, list):
            raise BadRequest("Request body must map each document id to an array of revisions")
        asked[doc_id] = [parse_rev(rev) for rev in revs]
    return asked


def _missing(conn: Connection, asked: dict[str, Sequence[str]]) -> dict[str, tuple[list[str], list[str]]]:
    rows = reads.find_many(conn, asked)
    found: dict[str, tuple[list[str], list[str]]] = {}
    for doc_id, revs in asked.items():
        row = rows.get(doc_id)
        absent, ancestors = (list(revs), []) if row is None else revtree.missing(revtree.decode(row.tree), revs)
        if absent:
            found[doc_id] = absent, ancestors
    return found
