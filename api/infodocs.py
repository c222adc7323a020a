"""Record when each document was last written through the API, in its infodoc, after the answer has gone out (INF-2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from api.audit import audit_writes
from api.keys import CONFIG, COUCH, NOW
from core.couch.client import Database, Doc
from core.dates import iso_of
from core.storing import storing

BATCH = 500  # infodocs read and written at once
MOST_WAITING = 200_000  # documents remembered while CouchDB is away


class Infodocs:
    """Collects what was written and stores it in bulk; `note` never waits and never fails."""

    def __init__(self, sentinel_db: Database, now: Callable[[], datetime]) -> None:
        self.db = sentinel_db
        self.now = now
        self._waiting: dict[str, str] = {}
        self.noted = asyncio.Event()

    def note(self, doc_ids: Iterable[str]) -> None:
        """Remember that these documents were written now. Local and design documents have no infodoc."""
        date = iso_of(self.now())
        for doc_id in doc_ids:
            if not doc_id.startswith("_"):
                self._waiting.pop(doc_id, None)
                self._waiting[doc_id] = date
        while len(self._waiting) > MOST_WAITING:
            self._waiting.pop(next(iter(self._waiting)))
        if self._waiting:
            self.noted.set()

    async def flush(self) -> None:
        """Store everything noted so far. What fails stays noted."""
        while self._waiting:
            batch = dict(list(self._waiting.items())[:BATCH])
            await record_writes(self.db, batch)
            for doc_id, date in batch.items():
                if self._waiting.get(doc_id) == date:
                    del self._waiting[doc_id]
        self.noted.clear()


async def record_writes(db: Database, dates: dict[str, str]) -> None:
    """Set `latest_replication_date` of each document's infodoc; one that is missing is created (INF-1, INF-2).

    Conflicting writers own other members, so a conflict is answered by reading again, until it is stored.
    """
    left = dates
    while left:
        stored = await db.get_many(f"{doc_id}-info" for doc_id in left)
        infodocs = [written_infodoc(stored.get(f"{doc_id}-info"), doc_id, date) for doc_id, date in left.items()]
        rows = await db.bulk_docs(infodocs)
        conflicting = {row["id"] for row in rows if row.get("error") == "conflict"}
        left = {doc_id: date for doc_id, date in left.items() if f"{doc_id}-info" in conflicting}


def written_infodoc(stored: Doc | None, doc_id: str, date: str) -> Doc:
    if stored is not None:
        return {**stored, "latest_replication_date": date}
    return {
        "_id": f"{doc_id}-info",
        "type": "info",
        "doc_id": doc_id,
        "initial_replication_date": date,
        "latest_replication_date": date,
    }


def written_revs(docs: Iterable[Any], rows: Iterable[Any], *, new_edits: bool) -> dict[str, str | None]:
    """Id and revision of what a `_bulk_docs` has written: no deletions, and only those that were stored.

    With `new_edits: false` CouchDB reports failures alone, so every live member that has an id counts (INF-2).
    """
    live = [doc for doc in docs if isinstance(doc, dict) and not doc.get("_deleted")]
    if not new_edits:
        return {doc["_id"]: text_or_none(doc.get("_rev")) for doc in live if isinstance(doc.get("_id"), str)}
    deleted = {doc["_id"] for doc in docs if isinstance(doc, dict) and doc.get("_deleted") and "_id" in doc}
    stored = [row for row in rows if isinstance(row, dict) and row.get("ok") and isinstance(row.get("id"), str)]
    return {row["id"]: text_or_none(row.get("rev")) for row in stored if row["id"] not in deleted}


def text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


INFODOCS = web.AppKey("infodocs", Infodocs)


async def infodoc_lifespan(app: web.Application) -> AsyncIterator[None]:
    """A `cleanup_ctx` to come after the one that opens CouchDB: stores in the background, and the rest at the end."""
    app[INFODOCS] = infodocs = Infodocs(app[COUCH].db(app[CONFIG].db_name("sentinel")), app[NOW])
    async with storing("infodocs", infodocs):
        yield


def note_writes(request: web.Request, written: Iterable[str]) -> None:
    """Fire and forget: the documents a successful write through the API has stored; a mapping tells their revisions."""
    revs = written if isinstance(written, Mapping) else dict.fromkeys(written)
    request.config_dict[INFODOCS].note(revs)
    audit_writes(request, revs)
