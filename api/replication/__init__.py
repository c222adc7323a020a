"""The phone's protocols: everything an offline user may send below the main database, and the lists of protocol N."""

from __future__ import annotations

from aiohttp import web

from api.access.rules import CLIENT_DDOC, Scope
from api.auth import current_user
from api.errors import DocForbidden, OfflineFirewall
from api.keys import DB
from api.operations import Access, Operation, describe
from api.proxy import forward
from api.replication import lists, multipart, purging, reads, writes
from api.replication.changes import answer_changes
from api.replication.paths import parts_below_database, storage_path
from api.replication.scope import user_scope
from api.replication.shapes import AskedDeletes, Deletes, IdsAndRevs
from api.responses import json_response
from api.sessions import User

APP_DDOC = "medic"


async def answer(request: web.Request, user: User) -> web.StreamResponse:
    """Answer an offline user's request below `/<db>/` (10 §7.1, column Offline).

    Raises OfflineFirewall for what is no part of the protocols (ERR-11), DocForbidden for documents that are not the
    caller's (ERR-12).
    """
    parts = parts_below_database(request)
    while len(parts) > 1 and parts[-1] == "":
        parts.pop()
    head = parts[0] if parts else ""
    scope = user_scope(request, user)
    if head == "" and len(parts) <= 1:
        return await answer_database(request, scope)
    if head == "_design":
        return await answer_design(request, scope, parts)
    if head == "_local" and len(parts) > 1:
        if request.method not in ("GET", "HEAD", "PUT", "DELETE"):
            raise DocForbidden  # a COPY would write any document
        path = storage_path(request, "_local", *parts[1:])
        return await forward(request, path=path, params={}, body=await request.read())
    if head.startswith("_"):
        return await answer_special(request, user, scope, parts)
    if not head:
        raise OfflineFirewall
    if len(parts) > 1:
        return await reads.attachment(request, scope, head, parts[1:])
    match request.method:
        case "GET":
            return await reads.get_doc(request, scope, head)
        case "PUT":
            return await writes.put_doc(request, scope, head)
        case "DELETE":
            return await writes.delete_doc(request, scope, head)
    raise DocForbidden  # PROXY-26


async def answer_database(request: web.Request, scope: Scope) -> web.StreamResponse:
    """POST /<db>/ writes a document; GET tells a replicating PouchDB the least that it asks for."""
    if request.method == "POST":
        return await writes.post_doc(request, scope)
    if request.method == "GET":
        info = await request.config_dict[DB].info()
        told = ("db_name", "update_seq", "instance_start_time")
        return json_response({**{name: info[name] for name in told if name in info}, "doc_count": 0})
    raise OfflineFirewall


async def answer_design(request: web.Request, scope: Scope, parts: list[str]) -> web.StreamResponse:
    """Only the client's design document may be read (REPL-108), and what the app's own rewrites to."""
    name = parts[1] if len(parts) > 1 else ""
    if len(parts) > 2:
        if name == APP_DDOC and parts[2] == "_rewrite":
            return await forward(request, path=storage_path(request, *parts), params={})
        raise OfflineFirewall
    if request.method == "GET" and f"_design/{name}" == CLIENT_DDOC:
        return await reads.get_doc(request, scope, CLIENT_DDOC)
    raise DocForbidden


async def answer_special(request: web.Request, user: User, scope: Scope, parts: list[str]) -> web.StreamResponse:
    """The database's own endpoints that phones use; trailing parts do not get past them (PROXY-3)."""
    if len(parts) > 1:
        raise OfflineFirewall
    match request.method, parts[0]:
        case (("GET" | "POST"), "_changes"):
            return await answer_changes(request, user)
        case (("GET" | "POST"), "_all_docs"):
            return await lists.all_docs(request, scope)
        case "POST", "_bulk_get":
            kind = multipart.asked_type(request)
            return await (multipart.bulk_get(request, scope, kind) if kind else reads.bulk_get(request, scope))
        case "POST", "_bulk_docs":
            return await writes.bulk_docs(request, scope)
        case "POST", ("_revs_diff" | "_missing_revs"):
            return await forward(request, body=await request.read())  # REPL-126
    raise OfflineFirewall


@describe(Operation(access=Access.OFFLINE, query=(lists.SINCE,), answers={200: IdsAndRevs, 304: None}, errors=(404,)))
async def get_ids(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/replication/get-ids: id and rev of every document the caller's phone should have.

    With `since` only what has changed after an earlier answer to such a request; all of it, and `full`, where that is
    not known any more or `since` is empty.
    304 for an `If-None-Match` with the `ETag` of the answer before, when the list is the same. Offline users; for
    others the path does not exist. The older path with `initial-replication` answers the same.
    """
    user = current_user(request)
    return await lists.get_ids(request, user) if user.offline else await forward(request)


@describe(Operation(access=Access.OFFLINE, body=AskedDeletes, answers={200: Deletes}, errors=(404,)))
async def get_deletes(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/replication/get-deletes: which of the phone's documents are deleted.

    Body `{"doc_ids": [...]}`; 400 when it is missing or no array. Offline users; for others the path does not exist.
    """
    user = current_user(request)
    return await lists.get_deletes(request, user) if user.offline else await forward(request)


ROUTES = [
    web.get("/api/v1/replication/get-ids", get_ids),
    web.get("/api/v1/initial-replication/get-ids", get_ids),
    web.post("/api/v1/replication/get-deletes", get_deletes),
    *purging.ROUTES,
]
