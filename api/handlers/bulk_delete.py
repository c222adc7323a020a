"""Deleting many documents in one request whose answer tells how far it is (EP-BLK-1..9)."""

from __future__ import annotations

from collections import Counter
from typing import Any, NotRequired, TypedDict

import orjson
from aiohttp import web

from api.auth import current_user, require, require_online
from api.errors import StorageError
from api.infodocs import note_writes
from api.keys import DB
from api.operations import Access, Operation, describe
from api.params import read_json, require_json
from api.responses import Stream
from core.bulk_delete import bulk_delete
from core.shapes import Name

MOST_NAMED = 20  # duplicates listed in an error


class DocToDelete(TypedDict):
    _id: Name


class DocsToDelete(TypedDict):
    docs: list[DocToDelete]


class DeletedRow(TypedDict):
    """What became of one document, or of a place whose contact went."""

    id: str
    ok: NotRequired[bool]
    rev: NotRequired[str]
    error: NotRequired[str]
    reason: NotRequired[str]
    status: NotRequired[int]


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_edit",),
        body=DocsToDelete,
        answers={200: list[list[DeletedRow]]},
    )
)
async def post_bulk_delete(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/bulk-delete `{"docs": [{"_id": ...}]}`: an array of results for each 100 documents, as they go.

    Online users with can_edit. 400 before anything is deleted; a failure later cuts the connection.
    """
    require_json(request)
    require_online(request)
    require(request, "can_edit")
    doc_ids = checked_ids(await read_json(request))
    response = Stream(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b"[")
    comma = b""
    async for rows in bulk_delete(request.config_dict[DB], doc_ids, as_admin=current_user(request).is_admin):
        written = {row["id"] for row in rows if row.get("ok")}
        note_writes(request, written.difference(doc_ids))
        await response.write(comma + orjson.dumps(rows))
        comma = b","
    await response.write_eof(b"]")
    return response


def checked_ids(body: Any) -> list[str]:
    """The ids to delete, each once (EP-BLK-7, EP-BLK-8)."""
    if not isinstance(body, dict) or "docs" not in body:
        raise StorageError(400, "bad_request", "POST body must include `docs` parameter.")
    docs = body["docs"]
    if not isinstance(docs, list):
        raise StorageError(400, "bad_request", "`docs` parameter must be an array.")
    for place, doc in enumerate(docs):
        if not isinstance(doc, dict) or not isinstance(doc.get("_id"), str) or not doc["_id"]:
            raise StorageError(400, "bad_request", f"`docs[{place}]` must be an object with a text `_id`.")
    doc_ids = [doc["_id"] for doc in docs]
    repeated = [doc_id for doc_id, count in Counter(doc_ids).items() if count > 1]
    if repeated:
        raise StorageError(400, "bad_request", f"Duplicate documents when deleting: {','.join(repeated[:MOST_NAMED])}")
    return doc_ids


ROUTES = [web.post("/api/v1/bulk-delete", post_bulk_delete)]
