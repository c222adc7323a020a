"""Many documents in one request: `_bulk_docs`, `_bulk_get`, `_revs_diff`, `_missing_revs`."""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import Any

import orjson
from aiohttp import web

from store import admission, reads, revtree
from store.database import Database
from store.documents import Edit, load_object, parse_edit
from store.edits import Outcome
from store.errors import BadRequest, StoreError
from store.http.call import Call, answer
from store.http.documents import PARSE_IN_THREAD_BYTES, doc_options
from store.permissions import require_db_admin
from store.revtree import parse_rev


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


async def bulk_get(call: Call, database: Database) -> web.Response:
    """POST /{db}/_bulk_get with {"docs": [{"id", "rev"?}]}: each document's revisions, in order, found or not."""
    body = await call.json_body()
    docs = body.get("docs")
    if not isinstance(docs, list):
        raise BadRequest("Missing JSON list of 'docs'.")
    options = doc_options(call)
    _require_readable(call, database)

    def work(conn: Connection) -> bytes:
        ids = [doc["id"] for doc in docs if isinstance(doc, dict) and isinstance(doc.get("id"), str)]
        rows = reads.find_many(conn, ids)
        results = [_bulk_get_row(conn, database.mark, doc, rows, options) for doc in docs]
        return b'{"results":[' + b",".join(results) + b"]}"

    return answer(await database.read(work))


def _bulk_get_row(
    conn: Connection, mark: str, doc: Any, rows: dict[str, reads.Row], options: reads.DocOptions
) -> bytes:
    doc_id = doc.get("id") if isinstance(doc, dict) else None
    if not isinstance(doc_id, str):
        return _bulk_get_error(doc_id, None, "bad_request", "document id missed")
    rev = doc.get("rev")
    try:
        revs = None if rev is None else [parse_rev(rev)]
    except BadRequest as error:
        return _bulk_get_error(doc_id, rev, error.slug, error.reason)
    row = rows.get(doc_id)
    parts: list[bytes] = []
    for each in reads.open_revs(conn, row, doc_id, revs, latest=options.latest):
        if isinstance(each, str):
            parts.append(_error_member(doc_id, each, "not_found", "missing"))
        else:
            assert row is not None
            parts.append(b'{"ok":' + reads.render(conn, mark, row, each, options) + b"}")
    if not parts:
        parts.append(_error_member(doc_id, "undefined", "not_found", "missing"))
    return b'{"id":' + orjson.dumps(doc_id) + b',"docs":[' + b",".join(parts) + b"]}"


def _bulk_get_error(doc_id: Any, rev: Any, slug: str, reason: str) -> bytes:
    return b'{"id":' + orjson.dumps(doc_id) + b',"docs":[' + _error_member(doc_id, rev, slug, reason) + b"]}"


def _error_member(doc_id: Any, rev: Any, slug: str, reason: str) -> bytes:
    return orjson.dumps({"error": {"id": doc_id, "rev": rev, "error": slug, "reason": reason}})


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
