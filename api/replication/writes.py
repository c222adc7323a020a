"""Writing as an offline user: what is stored and what would be stored must both be hers (20 §12)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from api.access.rules import Facts, Kind, Scope, facts_of, is_deletion_stub, visible
from api.auth import require
from api.errors import DocForbidden, StorageError
from api.infodocs import note_writes, written_revs
from api.replication.judge import context_for, stored_versions, with_contacts, without_contacts
from api.replication.paths import doc_storage_path, storage_path
from api.replication.upstream import Answer, bad_request, fetch, parse_object
from core.couch.client import Doc

FORBIDDEN = {"error": "forbidden"}


async def put_doc(request: web.Request, scope: Scope, doc_id: str) -> web.Response:
    """PUT /<db>/:id: refused unless the stored and the new document are the caller's (REPL-110, REPL-123)."""
    body = await request.read()
    doc = parse_object(body) if body.strip() else None
    if doc is None:
        raise DocForbidden
    return await write_one(request, scope, doc_id, doc, doc_storage_path(request, doc_id))


async def post_doc(request: web.Request, scope: Scope) -> web.Response:
    """POST /<db>/: as PUT, with the id in the body or made by CouchDB (REPL-111)."""
    refuse_forms(request)
    body = await request.read()
    if not body.strip():
        raise DocForbidden
    doc = parse_object(body)
    doc_id = doc.get("_id")
    if doc_id is not None and (not isinstance(doc_id, str) or not doc_id or doc_id.startswith("_")):
        raise DocForbidden
    return await write_one(request, scope, doc_id, doc, storage_path(request, ""))


def refuse_forms(request: web.Request) -> None:
    """As CouchDB does: a page of another site can post, with our cookies, whatever is no JSON by name."""
    if request.content_type != "application/json":
        raise StorageError(415, "bad_content_type", "Content-Type must be application/json")


async def write_one(request: web.Request, scope: Scope, doc_id: str | None, doc: Doc, path: str) -> web.Response:
    doc = doc if doc_id is None else {**doc, "_id": doc_id}
    if not (await accepted(request, scope, [doc]))[0]:
        raise DocForbidden
    require(request, "can_edit")
    # Written anew, so that CouchDB reads what was judged, whatever a member's second spelling says (PROXY-13).
    answer = await fetch(request, path, body=orjson.dumps(doc))
    if answer.status in (200, 201, 202) and not doc.get("_deleted"):
        stored = answer.json()
        note_writes(request, {stored["id"]: stored.get("rev")})
    return answer.respond()


async def delete_doc(request: web.Request, scope: Scope, doc_id: str) -> web.Response:
    """DELETE /<db>/:id?rev=: refused unless the stored document is the caller's (REPL-112)."""
    if not (await accepted(request, scope, [{"_id": doc_id, "_deleted": True}]))[0]:
        raise DocForbidden
    require(request, "can_edit")
    answer = await fetch(request, doc_storage_path(request, doc_id), body=b"")
    return answer.respond()


async def bulk_docs(request: web.Request, scope: Scope) -> web.Response:
    """POST /<db>/_bulk_docs: what is the caller's goes on, the rest is refused in its place (REPL-117..122)."""
    refuse_forms(request)
    body = await request.read()
    if not body.strip():
        raise bad_request("invalid UTF-8 JSON")
    members = parse_object(body)
    if "docs" not in members:
        raise bad_request("POST body must include `docs` parameter.")
    docs = members["docs"]
    if not isinstance(docs, list):
        raise bad_request("`docs` parameter must be an array.")
    if not all(isinstance(doc, dict) for doc in docs):
        raise bad_request("Every member of `docs` must be a JSON object.")
    verdicts = await accepted(request, scope, docs)
    require(request, "can_edit")
    sent = [doc for doc, verdict in zip(docs, verdicts, strict=True) if verdict]
    path = storage_path(request, "_bulk_docs")
    answer = await fetch(request, path, body=orjson.dumps({**members, "docs": sent}))
    rows = answer.json() if answer.ok else None
    if not isinstance(rows, list):
        return answer.respond()
    new_edits = members.get("new_edits") is not False
    note_writes(request, written_revs(sent, rows, new_edits=new_edits))
    return bulk_answer(answer, docs, verdicts, rows, new_edits=new_edits)


def bulk_answer(
    answer: Answer, docs: Sequence[Doc], verdicts: Sequence[bool], rows: list[Any], *, new_edits: bool
) -> web.Response:
    """CouchDB's rows with a stub for each refused document in its place (REPL-120, REPL-121)."""
    if all(verdicts):
        return answer.respond()
    stubs = [{"id": doc["_id"], **FORBIDDEN} if "_id" in doc else FORBIDDEN for doc in docs]
    if new_edits:
        stored = iter(rows)
        merged = [next(stored, stub) if verdict else stub for verdict, stub in zip(verdicts, stubs, strict=True)]
    else:
        merged = [stub for verdict, stub in zip(verdicts, stubs, strict=True) if not verdict] + rows
    return answer.respond(orjson.dumps(merged))


async def accepted(request: web.Request, scope: Scope, docs: Sequence[Doc]) -> list[bool]:
    """A verdict on each write, all of them together.

    An accepted contact brings its id and shortcode for the other documents of the request, whatever their order; a
    refused one takes its own away (REPL-117). A contact that is stored counts only if its stored version is the
    caller's too, so that nobody reaches a foreign contact's documents by pretending to own it.
    """
    stored = await stored_versions(request, [doc["_id"] for doc in docs if is_storable_id(doc.get("_id"))])
    facts = [facts_of(doc, doc_id_of(doc)) for doc in docs]
    context = await context_for(request, scope, [*facts, *stored.values()])

    def owned(doc: Doc, new: Facts) -> bool:
        old = stored.get(new.id)
        if old is not None and not visible(old, context):
            return False
        if is_deletion_stub(doc):
            return old is not None  # REPL-122
        if old is None and doc.get("type") == "feedback":
            return True  # REPL-114
        return visible(new, context)

    contacts = [(each, owned(doc, each)) for doc, each in zip(docs, facts, strict=True) if each.kind is Kind.CONTACT]
    context = without_contacts(context, (each for each, verdict in contacts if not verdict))
    context = with_contacts(context, (each for each, verdict in contacts if verdict))
    return [is_acceptable_id(doc) and owned(doc, each) for doc, each in zip(docs, facts, strict=True)]


def is_storable_id(doc_id: Any) -> bool:
    return isinstance(doc_id, str) and bool(doc_id) and not doc_id.startswith("_")


def is_acceptable_id(doc: Doc) -> bool:
    """Offline users write no design documents, and none whose id is not one (REPL-108, 10 §7.1)."""
    return "_id" not in doc or is_storable_id(doc["_id"])


def doc_id_of(doc: Doc) -> str:
    return doc["_id"] if is_storable_id(doc.get("_id")) else ""
