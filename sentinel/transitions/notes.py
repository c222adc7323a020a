"""Change documents of the sentinel database that several writers share: infodocs and queued pushes (40 §2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import orjson

from core.couch.client import Database
from core.couch.errors import from_row
from core.documents import Doc
from core.errors import Conflict

# Other writers own other members and are few: more rounds than this means that something is broken.
ATTEMPTS = 20

# A change made in place, safe to make twice; a document that is not there yet has its `_id` alone.
Edit = Callable[[Doc], None]


def info_id(doc_id: str) -> str:
    return f"{doc_id}-info"


async def find_infodocs(sentinel_db: Database, doc_ids: Iterable[str]) -> dict[str, Doc]:
    """The infodocs that are stored, by the ids of the documents they are about."""
    ids = list(doc_ids)
    found = await sentinel_db.get_many(map(info_id, ids))
    return {doc_id: found[info_id(doc_id)] for doc_id in ids if info_id(doc_id) in found}


def fill_infodoc(info: Doc, doc_id: str) -> None:
    """What a new infodoc has; nobody knows when the document came (INF-3)."""
    info.setdefault("type", "info")
    info.setdefault("doc_id", doc_id)
    for name in ("initial_replication_date", "latest_replication_date"):
        info.setdefault(name, "unknown")


async def save_notes(sentinel_db: Database, edits: Mapping[str, Edit]) -> None:
    """Make the edits in one read and one write; what another writer changed meanwhile is read again (INF-1)."""
    pending = dict(edits)
    for _ in range(ATTEMPTS):
        if not pending:
            return
        found = await sentinel_db.get_many(pending)
        docs = []
        for doc_id, edit in pending.items():
            doc = found.get(doc_id) or {"_id": doc_id}
            before = orjson.dumps(doc)
            edit(doc)
            if orjson.dumps(doc) != before:
                docs.append(doc)
        refused = {}
        for doc, row in zip(docs, await sentinel_db.bulk_docs(docs), strict=True):
            failure = from_row(row)
            if isinstance(failure, Conflict):
                refused[doc["_id"]] = pending[doc["_id"]]
            elif failure is not None:
                raise failure
        pending = refused
    if pending:
        raise Conflict(f"{next(iter(pending))} is being written by others all the time")
