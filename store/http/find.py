"""Mango over HTTP: `_find`, `_explain` and the `_index` family."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from aiohttp import web

from store import admission, erlang
from store.database import Database
from store.documents import check_id, parse_edit
from store.errors import BadRequest, MethodNotAllowed, NotFound, StoreError
from store.http.call import Call, answer
from store.mango_explain import explanation
from store.mango_find import Finding
from store.mango_index import Index, indexes_of, parse_index, with_index, without_indexes
from store.mango_options import FindOptions, parse_find
from store.mango_plan import Plan, plan, warnings
from store.permissions import require_reader_of_all


async def find(call: Call, database: Database) -> web.StreamResponse:
    """POST /{db}/_find: the documents that match a selector."""
    options, planned = await _query(call, database)
    finding = Finding(database, call.store.databases.views(database), options, planned)
    pages = finding.pages()
    try:
        first: list[bytes] = await anext(pages, [])  # what is wrong with the query shows before the answer begins
        return await call.stream(_found(finding, options, planned, first, pages))
    finally:
        await pages.aclose()


async def _found(
    finding: Finding, options: FindOptions, planned: Plan, first: list[bytes], pages: AsyncIterator[list[bytes]]
) -> AsyncIterator[bytes]:
    yield b'{"docs":['
    separator = b"\r\n"
    if first:
        yield separator + b",\r\n".join(first)
        separator = b",\r\n"
    async for page in pages:
        yield separator + b",\r\n".join(page)
        separator = b",\r\n"
    if planned.nothing:
        yield b"\r\n]}\r\n"
        return
    bookmark = finding.bookmark.encode() if finding.bookmark else "nil"
    tail: list[bytes] = [b'"bookmark": ' + orjson.dumps(bookmark)]
    statistics = finding.statistics
    if options.execution_stats:
        tail.append(b'"execution_stats": ' + orjson.dumps(statistics.as_json(quorum=options.r > 1)))
    told = warnings(finding.index, options, statistics.docs_examined, statistics.returned)
    if told:
        tail.append(b'"warning": ' + orjson.dumps("\n".join(told)))
    yield b"\r\n],\r\n" + b",\r\n".join(tail) + b"}\r\n"


async def explain(call: Call, database: Database) -> web.Response:
    """POST /{db}/_explain: which index a query would use, and why not the others."""
    options, planned = await _query(call, database)
    return answer(explanation(database.name, options, planned))


async def _query(call: Call, database: Database) -> tuple[FindOptions, Plan]:
    if call.rest:
        raise NotFound("missing")
    require_reader_of_all(call.user, database.name, database.security)
    options = parse_find(await call.json_body())
    return options, plan(_indexes(database), options)


def _indexes(database: Database) -> list[Index]:
    return indexes_of(ddoc.doc for ddoc in database.design_docs())


async def get_indexes(call: Call, database: Database) -> web.Response:
    """GET /{db}/_index: every index, `_all_docs` first; `skip` and `limit`."""
    if call.rest:
        raise NotFound("missing") if len(call.rest) < 3 else MethodNotAllowed("Only DELETE allowed")
    indexes = [index.as_json() for index in _indexes(database)]
    skip, limit = call.count("skip", 0), call.count("limit", len(indexes))
    if limit < 1:
        raise BadRequest("Index parameter ranges: limit > 1, skip > 0", slug="invalid_list_index_params")
    return answer({"total_rows": len(indexes), "indexes": indexes[skip : skip + limit]})


async def post_index(call: Call, database: Database) -> web.Response:
    """POST /{db}/_index: add an index, unless there is the same one of that name. Database admins only."""
    if call.rest:
        raise NotFound("missing")
    index = parse_index(await call.json_body())
    check_id(index.ddoc)
    before = _ddoc(database, index.ddoc)
    after = with_index(before, index)
    if after != before:
        await _write(call, database, after)
    result = "exists" if after == before else "created"
    return answer({"result": result, "id": index.ddoc, "name": index.name})


async def delete_index(call: Call, database: Database) -> web.Response:
    """DELETE /{db}/_index/{ddoc}/json/{name}, with or without `_design/` before the design document's name."""
    rest = list(call.rest)
    if rest[:1] == ["_design"]:
        rest = [f"_design/{rest[1]}", *rest[2:]] if len(rest) > 1 else rest
    if len(rest) != 3:
        raise NotFound("missing") if rest else MethodNotAllowed("Only GET,POST allowed")
    ddoc_id, kind, name = rest
    if kind != "json" or not await _remove(call, database, ddoc_id, name):
        raise NotFound("missing")
    return answer({"ok": True})


async def bulk_delete_indexes(call: Call, database: Database) -> web.Response:
    """POST /{db}/_index/_bulk_delete with {"docids": [...]}: the only index of each of these design documents."""
    docids = (await call.json_body()).get("docids")
    if not isinstance(docids, list):
        raise BadRequest(
            f"Bulk Delete requires an array of non-null docids. Docids: {erlang.term(docids)}", slug="invalid_bulk_docs"
        )
    for docid in docids:
        if not isinstance(docid, str):
            raise BadRequest(f"Invalid index name: {erlang.term(docid)}", slug="invalid_index_name")
    deleted: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for docid in docids:
        shown = docid if docid.startswith("_design/") else f"_design/{docid}"
        names = [index.name for index in _indexes(database) if index.ddoc == shown]
        if len(names) == 1 and await _remove(call, database, shown, names[0]):
            deleted.insert(0, {"id": shown, "ok": True})
        else:
            failed.insert(0, {"id": shown, "error": "not_found"})
    return answer({"success": deleted, "fail": failed})


async def _remove(call: Call, database: Database, ddoc_id: str, name: str) -> bool:
    ddoc_id = ddoc_id if ddoc_id.startswith("_design/") else f"_design/{ddoc_id}"
    if not any(index.ddoc == ddoc_id and index.name == name for index in _indexes(database)):
        return False
    before = database.design_doc(ddoc_id).doc
    after = without_indexes(before, [name])
    await _write(call, database, after or {"_id": ddoc_id, "_rev": before["_rev"], "_deleted": True})
    return True


def _ddoc(database: Database, ddoc_id: str) -> dict[str, Any] | None:
    return next((ddoc.doc for ddoc in database.design_docs() if ddoc.id == ddoc_id), None)


async def _write(call: Call, database: Database, ddoc: Mapping[str, Any]) -> None:
    [outcome] = await admission.write(call.store, database, call.user, [parse_edit(dict(ddoc))])
    if isinstance(outcome, StoreError):
        raise outcome
