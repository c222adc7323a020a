"""The catch-all: what no other route claims goes to CouchDB, for those who may have it (10 §7.1)."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any
from urllib.parse import unquote

import msgspec
import orjson
from aiohttp import web

from api.auth import current_user, require
from api.errors import DocForbidden, MalformedJson, OfflineFirewall, StorageError
from api.form_writes import with_forms_converted, with_xform_replaced
from api.infodocs import note_writes, written_revs
from api.keys import CONFIG, DB
from api.params import check_depth
from api.proxy import ask, forward, read_whole, response_headers
from api.replication import answer
from api.sessions import User
from core.couch.client import doc_path

log = logging.getLogger(__name__)

READS = frozenset({"GET", "HEAD", "OPTIONS"})
# POSTs that only read, or that touch nothing but the client's own checkpoints (PROXY-10).
FREE_POSTS = frozenset(
    {
        "_all_docs",
        "_bulk_get",
        "_changes",
        "_design_docs",
        "_explain",
        "_find",
        "_local_docs",
        "_missing_revs",
        "_revs_diff",
    }
)
# Our own notes among the checkpoints of clients: whoever could change them could mislead the server.
OUR_NOTES = tuple(f"_local/{name}" for name in ("access-identity", "sms-offers"))
ESCAPED_ASCII = re.compile(rb"\\u00([0-7][0-9A-Fa-f])")
DOT_SEGMENTS = frozenset({".", ".."})
FREE_DDOC_POSTS = frozenset({"_view", "_list", "_show"})


async def serve_storage(request: web.Request) -> web.StreamResponse:
    """Any method, any path without a route of its own.

    Online users reach all of CouchDB, which decides by its own rules (PROXY-1), and need can_edit to write to the main
    database. Offline users reach the main database through their filters, and their meta database.
    """
    user = current_user(request)
    database = request.config_dict[CONFIG].database
    name, *rest = (unquote(part) for part in request.rel_url.raw_path.split("/")[1:])
    if any(DOT_SEGMENTS.intersection(part.split("/")) for part in (name, *rest)):
        # A server behind us could take them for directories.
        raise OfflineFirewall if user.offline and name != database else DocForbidden
    if name == database:
        return await serve_main_database(request, user, rest)
    if runs_rewrites(rest) and not user.is_admin:
        raise OfflineFirewall if user.offline else DocForbidden
    if name.startswith(f"{database}-user-") and name.endswith("-meta") and (rest or not user.offline):
        return await forward(request)  # its security object decides (PROXY-41)
    if user.offline:
        raise OfflineFirewall
    if name == "_session":  # with more slashes than its route: logins that nobody counts
        raise StorageError(404, "not_found", "missing")
    if name == "_users" and not user.is_admin and request.method not in READS:
        raise DocForbidden  # accounts change through the users API only (PROXY-2)
    if name == "_replicate" and not user.is_admin:
        raise DocForbidden  # it would have CouchDB call any address, within its own network too
    return await forward(request)


def runs_rewrites(rest: list[str]) -> bool:
    """Whether CouchDB would ask the rewrites of a design document what to do, as the caller, anywhere.

    They pass us by: whoever may write design documents in some database, as everybody may in the own meta database,
    could have any document of the main one.
    """
    return {"_design", "_rewrite"}.issubset("/".join(rest).split("/"))


async def serve_main_database(request: web.Request, user: User, rest: list[str]) -> web.StreamResponse:
    """`rest` is the path below the database, decoded: empty for `/<db>`, one empty text for `/<db>/`."""
    if not user.is_admin and ("/".join(rest).startswith(OUR_NOTES) or copy_target(request).startswith(OUR_NOTES)):
        raise DocForbidden
    if request.method in ("GET", "HEAD") and (not rest or (len(rest) == 3 and rest[2] == "_rewrite")):
        raise web.HTTPFound(request.rel_url.with_path(request.rel_url.raw_path + "/", encoded=True, keep_query=True))
    if user.offline:
        return await answer(request, user)
    while len(rest) > 1 and not rest[-1]:
        rest = rest[:-1]  # CouchDB takes no notice of slashes at the end
    if not is_write(request.method, rest):
        return await forward(request)
    user = require(request, "can_edit")
    return await write(request, user, rest)


def is_write(method: str, rest: list[str]) -> bool:
    """Whether a request below the main database needs can_edit (PROXY-10)."""
    head = rest[0] if rest else ""
    if method in READS:
        return False
    if head == "_local" or head.startswith("_local/"):
        return method == "COPY"  # to a document
    if method == "POST" and head in FREE_POSTS:
        return False
    return not (method == "POST" and head == "_design" and len(rest) > 3 and rest[2] in FREE_DDOC_POSTS)


async def write(request: web.Request, user: User, rest: list[str]) -> web.StreamResponse:
    """Pass a write on and, when it succeeds, record its time for each document written (PROXY-15)."""
    whole = request.method in ("POST", "PUT") and rest in ([], [""], ["_bulk_docs"], rest[:1])
    body = await request.read() if whole and is_json(request) else None
    replaced: dict[str, Any] = {}
    if body is not None:
        await asyncio.to_thread(refuse_too_deep, body)
        if not user.is_admin and await asyncio.to_thread(may_hold_notes, body):
            raise DocForbidden
        body = await with_forms_converted(request, rest, body)
    elif (form := await with_xform_replaced(request, rest)) is not None:
        path = request.config_dict[DB].path + doc_path(rest[0])
        replaced = {"body": form, "path": path, "params": {}, "headers": {"Content-Type": "application/json"}}
    async with ask(request, **{"body": body, **replaced}) as stored:
        data = await read_whole(stored)
        headers = response_headers(request, stored)
        headers.pop("Content-Length", None)
    if stored.status in (200, 201, 202):
        note_writes(request, revs_written(request.method, rest, body, data))
    return web.Response(body=data, status=stored.status, reason=stored.reason, headers=headers)


def refuse_too_deep(body: bytes) -> None:
    """One document that nobody can read again would stop every follower of the feed."""
    try:
        check_depth(body)
    except MalformedJson as error:
        raise StorageError(400, "bad_request", error.message) from error


def copy_target(request: web.Request) -> str:
    """The id of the document that a COPY would write."""
    return unquote(request.headers.get("Destination", "")).lstrip("/ ") if request.method == "COPY" else ""


def may_hold_notes(body: bytes) -> bool:
    """Whether one of our notes is named in a JSON body, however it is spelt and wherever it stands."""
    if b"\\u00" in body:
        body = ESCAPED_ASCII.sub(lambda found: bytes.fromhex(found[1].decode()), body)
    if b"_local" not in body:
        return False
    body = body.replace(b"\\/", b"/")
    return any(note.encode() in body for note in OUR_NOTES)


def is_json(request: web.Request) -> bool:
    """Whether CouchDB may take the body for JSON; for that of a document it does whatever the content type says."""
    return not request.content_type.startswith("multipart/")


class Member(msgspec.Struct):
    """What we look for in a document that passes by."""

    id: Any = msgspec.field(name="_id", default=None)
    rev: Any = msgspec.field(name="_rev", default=None)
    deleted: Any = msgspec.field(name="_deleted", default=False)


class Bulk(msgspec.Struct):
    docs: list[Member]
    new_edits: Any = True


def revs_written(method: str, rest: list[str], body: bytes | None, answer_body: bytes) -> dict[str, str | None]:
    """Id and revision of the documents that a successful request stored and did not delete."""
    try:
        if rest == ["_bulk_docs"]:
            bulk = msgspec.json.decode(body or b"", type=Bulk)
            docs = [{"_id": member.id, "_rev": member.rev, "_deleted": member.deleted} for member in bulk.docs]
            return written_revs(docs, orjson.loads(answer_body), new_edits=bulk.new_edits is not False)
        deleted = body is not None and bool(msgspec.json.decode(body, type=Member).deleted)
        if deleted or (method == "DELETE" and len(rest) == 1) or rest[:1] == ["_design"]:
            return {}
        stored = orjson.loads(answer_body)
        return {stored["id"]: stored.get("rev")} if isinstance(stored.get("id"), str) else {}
    except (msgspec.DecodeError, orjson.JSONDecodeError, AttributeError):
        log.warning("a write was stored, but its documents could not be read for their infodocs")
        return {}


ROUTES = [web.route("*", "/{path:.*}", serve_storage)]
