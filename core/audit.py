"""Who wrote each document, when, and as which revision, in the audit database (MOD-95, 40 SEN-22)."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from core.couch.client import Database, Doc
from core.couch.errors import from_row
from core.dates import iso_of
from core.errors import Conflict

log = logging.getLogger(__name__)

BATCH = 500  # entries stored at once
MOST_WAITING = 200_000  # entries remembered while CouchDB is away
LONGEST_HISTORY = 10


@dataclass(frozen=True)
class Entry:
    """One write; `rev` is None where the writer was not told, and is then what is stored when the entry is."""

    doc_id: str
    rev: str | None
    request_id: str | None
    user: str | None
    date: str

    def told(self, revs: Mapping[str, str], service: str) -> Doc:
        rev = self.rev or revs.get(self.doc_id)
        return {
            "rev": rev,
            "request_id": self.request_id,
            "user": self.user,
            "date": self.date,
            "service": service,
        }


class Audit:
    """Collects entries of `service` and stores them in bulk; `note` never waits and never fails."""

    def __init__(self, db: Database, main: Database, now: Callable[[], datetime], service: str) -> None:
        self.db = db
        self.main = main
        self.service = service
        self.now = now
        self.noted = asyncio.Event()
        self._waiting: deque[Entry] = deque()

    def note(self, revs: Mapping[str, str | None], *, request_id: str | None, user: str | None) -> None:
        """Remember that these documents were written now, each as that revision."""
        date = iso_of(self.now())
        for doc_id, rev in revs.items():
            if len(self._waiting) >= MOST_WAITING:
                log.warning("audit: too much waits for CouchDB; a write of %s is not recorded", doc_id)
            elif not doc_id.startswith("_"):
                self._waiting.append(Entry(doc_id, rev, request_id, user, date))
        if self._waiting:
            self.noted.set()

    async def flush(self) -> None:
        """Store everything noted so far, oldest first. What fails stays noted."""
        while self._waiting:
            batch = list(islice(self._waiting, BATCH))
            await self.store(batch)
            for _ in batch:
                self._waiting.popleft()
        self.noted.clear()

    async def store(self, batch: Sequence[Entry]) -> None:
        unknown = {entry.doc_id for entry in batch if entry.rev is None}
        rows = await self.main.all_docs(unknown) if unknown else []
        revs = {row["id"]: row["value"]["rev"] for row in rows if row.get("value")}
        left: dict[str, list[Doc]] = defaultdict(list)
        for entry in batch:
            left[entry.doc_id].append(entry.told(revs, self.service))
        while left:
            stored = await self.db.get_many(left)
            docs, full = [], []
            for doc_id, entries in left.items():
                doc, moved = appended(stored.get(doc_id, {"_id": doc_id}), entries)
                docs.append(doc)
                full += moved
            await self.put_all(full)  # first: what is moved is nowhere missing
            conflicting = await self.put_all(docs)
            left = {doc_id: left[doc_id] for doc_id in conflicting}

    async def put_all(self, docs: Sequence[Doc]) -> list[str]:
        """Write the documents; the ids of those that somebody else has written meanwhile."""
        rows = await self.db.bulk_docs(docs) if docs else []
        failures = {row["id"]: failure for row in rows if (failure := from_row(row))}
        for failure in failures.values():
            if not isinstance(failure, Conflict):
                raise failure
        return list(failures)


def appended(doc: Doc, entries: Sequence[Doc]) -> tuple[Doc, list[Doc]]:
    """The document with the entries, and the documents to which a full history is moved, `<id>:<last rev>`."""
    history, moved = list(doc.get("history") or []), []
    for entry in entries:
        if len(history) >= LONGEST_HISTORY:
            moved.append({"_id": f"{doc['_id']}:{history[-1]['rev']}", "history": history})
            history = []
        history.append(entry)
    return {**doc, "history": history}, moved
