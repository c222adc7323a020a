"""The purge endpoints of the older protocol: what a phone should forget because it was purged (REPL-63a..c)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from api.access.rules import Scope
from api.auth import current_user
from api.keys import ACCESS, CONFIG, COUCH
from api.operations import Access, Operation, describe
from api.params import Param, WholeNumber
from api.proxy import forward
from api.replication.judge import judge
from api.replication.scope import user_scope
from api.replication.shapes import CheckpointStored, PurgedIds
from api.responses import json_response
from core.couch.client import Database
from core.errors import InvalidInput, NotFound
from core.purging import MARKER, purge_db_prefix, role_set_hash

CLIENT_HEADER = "medic-replication-id"
MARKS_AT_ONCE = 2000
HEADERS = {CLIENT_HEADER: "the phone's id of this replication, under which its checkpoint is kept"}
LIMIT = WholeNumber(name="limit", about="the most ids at once", default=100, least=1, most=10_000)
SEQ = Param(name="seq", about="the `last_seq` up to which the phone has forgotten, or `now`", required=True)


def purge_db(request: web.Request) -> Database | None:
    """The database of marks for the caller's roles, which may not exist; None for a caller without roles."""
    role_set = role_set_hash(current_user(request).roles)
    name = purge_db_prefix(request.config_dict[CONFIG].database)
    return None if role_set is None else request.config_dict[COUCH].db(name + role_set)


@describe(Operation(access=Access.OFFLINE, answers={200: dict[str, Any] | bool}, errors=(404,)))
async def get_purge_info(request: web.Request) -> web.StreamResponse:
    """GET /purging: CouchDB's information on the database of marks for the caller's roles; `false` where there is none.

    Offline users; for others the path does not exist.
    """
    if not current_user(request).offline:
        return await forward(request)
    db = purge_db(request)
    try:
        return json_response(False if db is None else await db.info())
    except NotFound:
        return json_response(False)


@describe(Operation(access=Access.OFFLINE, query=(LIMIT,), headers=HEADERS, answers={200: PurgedIds}, errors=(404,)))
async def get_purged(request: web.Request) -> web.StreamResponse:
    """GET /purging/changes: the caller's documents that were purged since the checkpoint, `limit` at the most.

    `{"purged_ids": [...], "last_seq": ...}`, or `{}` where nothing was ever purged for the caller's roles. No ids
    mean that there are no more. Offline users; for others the path does not exist.
    """
    user = current_user(request)
    if not user.offline:
        return await forward(request)
    replication_id, limit, db = client_of(request), LIMIT.read(request), purge_db(request)
    if db is None:
        return json_response({})
    try:
        checkpoint = await db.find(checkpoint_id(user.name, replication_id))
        found = await purged_since(request, db, str((checkpoint or {}).get("last_seq") or "0"), limit)
    except NotFound:
        return json_response({})
    return json_response(found)


@describe(
    Operation(access=Access.OFFLINE, query=(SEQ,), headers=HEADERS, answers={200: CheckpointStored}, errors=(404, 409))
)
async def store_checkpoint(request: web.Request) -> web.StreamResponse:
    """GET /purging/checkpoint: remember that the phone has forgotten all up to `seq`, which may be `now`.

    Offline users; for others the path does not exist.
    """
    user = current_user(request)
    if not user.offline:
        return await forward(request)
    replication_id, seq, db = client_of(request), SEQ.text(request), purge_db(request)
    if not seq:
        raise InvalidInput("Missing required parameter seq")
    if db is not None:
        try:
            last_seq = (await db.info())["update_seq"] if seq == "now" else seq
            await db.update(checkpoint_id(user.name, replication_id), lambda doc: {**(doc or {}), "last_seq": last_seq})
        except NotFound:
            pass  # nothing was purged, so there is nothing to remember
    return json_response({"success": True})


def client_of(request: web.Request) -> str:
    replication_id = request.headers.get(CLIENT_HEADER, "")
    if not replication_id:
        raise InvalidInput(f"Missing required header {CLIENT_HEADER}")
    return replication_id


def checkpoint_id(user_name: str, replication_id: str) -> str:
    """A note of its own for each user: nobody moves another one's checkpoint, or the database's own notes."""
    return f"_local/{user_name}:{replication_id}"


async def purged_since(request: web.Request, db: Database, since: str, limit: int) -> dict[str, Any]:
    """The ids marked after `since` that would be the caller's, and the sequence after the last of them."""
    scope = user_scope(request, current_user(request))
    found: list[str] = []
    while True:
        try:
            page = await db.changes(since, limit=MARKS_AT_ONCE)
        except InvalidInput:
            if since == "0":
                raise
            since = "0"  # the checkpoint is of a database that was deleted and made again
            continue
        rows = page["results"]
        marked = [str(row["id"]).removeprefix(MARKER) for row in rows if is_mark(row)]
        visible = await visible_of(request, scope, marked)
        for row in rows:
            doc_id = str(row["id"]).removeprefix(MARKER)
            if is_mark(row) and doc_id in visible:
                found.append(doc_id)
                if len(found) == limit:
                    return {"purged_ids": found, "last_seq": row["seq"]}
        since = str(page["last_seq"])
        if len(rows) < MARKS_AT_ONCE:
            return {"purged_ids": found, "last_seq": page["last_seq"]}


def is_mark(row: dict[str, Any]) -> bool:
    return str(row["id"]).startswith(MARKER) and not row.get("deleted")


async def visible_of(request: web.Request, scope: Scope, ids: Sequence[str]) -> set[str]:
    """Those that the caller could see were they not purged."""
    if not ids:
        return set()
    facts = list((await request.config_dict[ACCESS].stored_facts(ids)).values())
    verdicts = await judge(request, scope, facts)
    return {each.id for each, verdict in zip(facts, verdicts, strict=True) if verdict}


ROUTES = [
    web.get("/purging", get_purge_info),
    web.get("/purging/changes", get_purged),
    web.get("/purging/checkpoint", store_checkpoint),
]
