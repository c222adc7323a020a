"""Lists of everything the caller may have: get-ids, get-deletes, `_all_docs` and counts (20 §10, §11.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any

import orjson
from aiohttp import web

from api.access.index import AccessIndex
from api.access.listing import Counts, Listing
from api.access.rules import Scope, facts_of
from api.auth import current_user
from api.keys import ACCESS, CONFIG, COUCH, DB, LAG
from api.params import Param
from api.replication.judge import deleted_facts, judge
from api.replication.kept_lists import KEPT_LISTS
from api.replication.logs import LIMIT, REPLICATION_LOG
from api.replication.scope import user_scope
from api.replication.tokens import LIST_MARK, Position, list_of
from api.replication.upstream import bad_request, read_object
from api.request_metrics import REQUEST_METRICS
from api.responses import JSON_TYPE, Stream, json_response
from api.sessions import User
from core.couch.client import Doc
from core.deep_json import dumps
from core.errors import NotFound
from core.purging import MARKER, purge_db_prefix, role_set_hash

ROWS_AT_ONCE = 2000
BYTES_AT_ONCE = 262_144
DOCS_AT_ONCE = 200
LAG_HEADER = "X-Replication-Lag"
SINCE = Param(name="since", about="`last_seq` of an earlier answer to such a request, or empty: only what has changed")

# The bounds of a range, by their spelling in the query.
STARTS = frozenset({"startkey", "start_key", "startkey_docid", "start_key_doc_id"})
ENDS = frozenset({"endkey", "end_key", "endkey_docid", "end_key_doc_id"})


async def count_docs(access: AccessIndex, scope: Scope) -> Counts:
    """The number of documents of get-ids (EP-USI-6, EP-USI-7). A scope without a user counts one for its settings."""
    total, tasks = await access.counts(scope)
    return Counts(total + (scope.user_id is None), tasks)


def lag_headers(behind: int) -> dict[str, str]:
    return {LAG_HEADER: str(behind)} if behind else {}


async def get_ids(request: web.Request, user: User) -> web.StreamResponse:
    """GET get-ids: id and rev of every document the phone should have, streamed in order of ids (REPL-85..89).

    304 to a client that has this very list; its `last_seq` is then the older one, which is as good. With `since`, the
    `last_seq` of an answer to such a request, what has changed after it, or everything with `full` (REPL-147).
    """
    with request.config_dict[REPLICATION_LOG].attempt(request, user) as attempt:
        access = request.config_dict[ACCESS]
        behind = await request.config_dict[LAG].behind(user.name)
        state = await access.state()
        found = attempt.listing = await access.allowed(user_scope(request, user))
        listed = found.total - found.tasks
        request.config_dict[REQUEST_METRICS].list_documents.observe(listed)
        etag = f'"{found.digest}"'
        headers = {"ETag": f"W/{etag}", "Cache-Control": "private, no-cache", **lag_headers(behind)}
        if etag in request.headers.get("If-None-Match", ""):
            return web.Response(status=304, headers=headers)  # REPL-147
        head = {
            "last_seq": str(Position.at_end(state)),
            "warn_docs": listed,
            "warn": listed >= LIMIT,
            "limit": LIMIT,
        }
        since = SINCE.text(request)
        if since is not None:
            return json_response(await changes_of_list(request, user, since, found, head), headers=headers)
        response = Stream(headers={"Content-Type": JSON_TYPE, **headers})
        await response.prepare(request)
        await response.write(orjson.dumps(head)[:-1] + b',"doc_ids_revs":[')
        for start in range(0, len(found.text), BYTES_AT_ONCE):
            await response.write(found.text[start : start + BYTES_AT_ONCE])
        await response.write(b"]}")
        await response.write_eof()
        return response


async def changes_of_list(
    request: web.Request, user: User, since: str, found: Listing, head: dict[str, Any]
) -> dict[str, Any]:
    """What to add to the list of an earlier answer and what to take from it; `full` when that list is not known."""
    change = await request.config_dict[KEPT_LISTS].since(user.name, list_of(since), found)
    added, removed = change or (found.rows(), ())
    return {
        **head,
        "last_seq": f"{head['last_seq']}{LIST_MARK}{found.digest}",
        "full": change is None,
        "added": added,
        "removed": removed,
    }


async def get_deletes(request: web.Request, user: User) -> web.Response:
    """POST get-deletes: which of these documents are deleted or purged for the caller.

    Those that never existed are neither (REPL-90..92). Every id is answered, also what was never the caller's: a phone
    must learn of the deletion of what it had to keep when it lost sight of it (REPL-93).
    """
    body = await read_object(request)
    asked = body.get("doc_ids")
    if not isinstance(asked, list):
        raise bad_request("`doc_ids` must be an array of document ids.")
    ids = list(dict.fromkeys(each for each in asked if isinstance(each, str) and each))
    rows, purged = await asyncio.gather(known_rows(request, ids), purged_ids(request, user, ids))
    gone = {row["id"] for row in rows if row["value"].get("deleted")} | purged
    answer = {"doc_ids": [doc_id for doc_id in ids if doc_id in gone]}
    if body.get("include_revoked") is True:  # REPL-136
        live = [row["id"] for row in rows if row["id"] not in gone]
        visible = await allowed_rows(request, user_scope(request, user), live)
        answer["revoked_ids"] = [doc_id for doc_id in live if doc_id not in visible]
    return json_response(answer)


async def known_rows(request: web.Request, ids: Sequence[str]) -> list[dict[str, Any]]:
    """CouchDB's rows, in order, of those documents that exist or did."""
    rows = await request.config_dict[DB].all_docs(ids) if ids else []
    return [row for row in rows if row.get("value")]


async def purged_ids(request: web.Request, user: User, ids: Sequence[str]) -> set[str]:
    """Those marked in the purge database of the caller's roles, as CouchDB has it now; none where there is none."""
    role_set = role_set_hash(user.roles)
    if role_set is None or not ids:
        return set()
    name = purge_db_prefix(request.config_dict[CONFIG].database) + role_set
    try:
        rows = await request.config_dict[COUCH].db(name).all_docs(MARKER + doc_id for doc_id in ids)
    except NotFound:
        return set()
    return {row["id"].removeprefix(MARKER) for row in rows if "deleted" not in (row.get("value") or {"deleted": True})}


async def all_docs(request: web.Request, scope: Scope) -> web.StreamResponse:
    """GET or POST /<db>/_all_docs: the rows of the caller's documents, by ids or all in order (REPL-95..99)."""
    ids = await requested_ids(request)
    if ids is not None:
        return await stream_rows(request, b'{"rows":[', requested_rows(request, scope, ids))
    access = request.config_dict[ACCESS]
    behind = await request.config_dict[LAG].behind(current_user(request).name)
    # Purged documents are in this list (REPL-97).
    rows = (await access.allowed(replace(scope, role_set=None))).rows()
    total = len(rows)
    skip, limit = whole(request, "skip", 0), whole(request, "limit", total)
    rows = in_range(request, rows)[skip : skip + limit]
    head = orjson.dumps({"total_rows": total, "offset": skip})[:-1] + b',"rows":['
    return await stream_rows(request, head, listed_rows(request, scope, rows), lag_headers(behind))


async def requested_ids(request: web.Request) -> list[Any] | None:
    """The ids of query `keys`, body `keys` or `key`; None for the whole list. Errors: PROXY-24, PROXY-25."""
    body = await read_object(request) if request.method == "POST" else {}
    if "keys" in request.query:
        keys = json_value(request.query["keys"])
        if not isinstance(keys, list):
            raise bad_request("`keys` parameter must be an array.")
        return keys
    if "keys" in body:
        if not isinstance(body["keys"], list):
            raise bad_request("`keys` body member must be an array.")
        return body["keys"]
    return [json_value(request.query["key"])] if "key" in request.query else None


def json_value(text: str) -> Any:
    """A query value decoded where it is JSON and kept as text where it is not (AUTH-6)."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def whole(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise bad_request(f"`{name}` must be a whole number.")
    return int(text)


def in_range(request: web.Request, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows between the bounds of the query; of several spellings of one bound the last counts (REPL-97)."""
    start = end = None
    for name, text in request.query.items():
        if name in STARTS:
            start = str(json_value(text))
        elif name in ENDS:
            end = str(json_value(text))
    inclusive = request.query.get("inclusive_end") != "false"
    if start is not None:
        rows = [row for row in rows if row["id"] >= start]
    if end is not None:
        rows = [row for row in rows if row["id"] < end or (inclusive and row["id"] == end)]
    return rows


async def stream_rows(
    request: web.Request, head: bytes, pages: AsyncIterator[list[dict[str, Any]]], headers: dict[str, str] | None = None
) -> web.StreamResponse:
    """`head`, the rows page by page, and the end of the object."""
    response = Stream(headers={"Content-Type": JSON_TYPE, **(headers or {})})
    separator = b""
    async for rows in pages:
        if not response.prepared:
            await response.prepare(request)
            await response.write(head)
        if rows:
            await response.write(separator + dumps(rows)[1:-1])
            separator = b","
    if not response.prepared:
        await response.prepare(request)
        await response.write(head)
    await response.write(b"]}")
    await response.write_eof()
    return response


def includes_docs(request: web.Request) -> bool:
    return request.query.get("include_docs") == "true"


def doc_options(request: web.Request) -> dict[str, Any]:
    """What of the query shapes the documents themselves."""
    names = ("conflicts", "attachments", "att_encoding_info")
    return {name: True for name in names if request.query.get(name) == "true"}


async def requested_rows(request: web.Request, scope: Scope, ids: Sequence[Any]) -> AsyncIterator[list[dict[str, Any]]]:
    """One row for each id in order; all that the caller may not see looks alike (REPL-96, REPL-98)."""
    for start in range(0, len(ids), DOCS_AT_ONCE):
        page = ids[start : start + DOCS_AT_ONCE]
        found = await allowed_rows(request, scope, [each for each in page if isinstance(each, str)])
        rows = (found.get(each) if isinstance(each, str) else None for each in page)
        yield [row or {"id": each, "error": "forbidden"} for each, row in zip(page, rows, strict=True)]


async def allowed_rows(request: web.Request, scope: Scope, ids: list[str]) -> dict[str, dict[str, Any]]:
    """CouchDB's rows of those documents that the caller may see, each judged by its body."""
    if not ids:
        return {}
    options = doc_options(request)
    rows = await request.config_dict[DB].all_docs(list(dict.fromkeys(ids)), include_docs=True, **options)
    found = {row["id"]: row for row in rows if "value" in row}
    tombstones: dict[str, Doc] = {
        doc_id: {"_id": doc_id, "_rev": row["value"]["rev"], "_deleted": True}
        for doc_id, row in found.items()
        if row["value"].get("deleted")
    }
    facts = {doc_id: facts_of(row["doc"]) for doc_id, row in found.items() if row.get("doc")}
    facts |= await deleted_facts(request, tombstones)
    verdicts = await judge(request, scope, list(facts.values()))
    seen = (doc_id for doc_id, verdict in zip(facts, verdicts, strict=True) if verdict)
    members = {"id", "key", "value", "doc"} if includes_docs(request) else {"id", "key", "value"}
    return {doc_id: {name: value for name, value in found[doc_id].items() if name in members} for doc_id in seen}


async def listed_rows(
    request: web.Request, scope: Scope, listed: Sequence[dict[str, str]]
) -> AsyncIterator[list[dict[str, Any]]]:
    """The rows of a part of the list; with documents only those that are still there and still the caller's."""
    if not includes_docs(request):
        for start in range(0, len(listed), ROWS_AT_ONCE):
            yield [plain_row(row) for row in listed[start : start + ROWS_AT_ONCE]]
        return
    for start in range(0, len(listed), DOCS_AT_ONCE):
        found = await allowed_rows(request, scope, [row["id"] for row in listed[start : start + DOCS_AT_ONCE]])
        yield live(found.values())


def plain_row(row: dict[str, str]) -> dict[str, Any]:
    return {"id": row["id"], "key": row["id"], "value": {"rev": row["rev"]}}


def live(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if not row["value"].get("deleted")]
