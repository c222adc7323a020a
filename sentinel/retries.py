"""Changes that failed, kept in the sentinel database until they succeed or have failed too often (40 SEN-14)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.couch.client import Database
from core.couch.errors import from_row
from core.dates import ms_of
from core.documents import Doc
from core.errors import Conflict, Unavailable

log = logging.getLogger(__name__)

PREFIX = "task:transition:"
MOST_ATTEMPTS = 6
FIRST_WAIT_MS = 10_000
WAIT_GROWTH = 4
LONGEST_WAIT_MS = FIRST_WAIT_MS * WAIT_GROWTH**MOST_ATTEMPTS
PAGE_ROWS = 1000


@dataclass(frozen=True)
class Failure:
    """Why a change has to be tried again, `wait_ms` later or, the oftener it failed, longer after that.

    `counts` False: it only has to wait, and may wait as long as it must.
    """

    doc_id: str
    rev: str | None
    error: str
    counts: bool = True
    wait_ms: int = FIRST_WAIT_MS


class Retries:
    """The retry documents, with an index of them in memory: `waiting` by due time in milliseconds, and `failed`.

    Only the holder of the lease writes them, so the index that `load` reads stays true.
    """

    def __init__(self, sentinel_db: Database, now: Callable[[], datetime]) -> None:
        self.db = sentinel_db
        self.now = now
        self.waiting: dict[str, int] = {}
        self.failed: set[str] = set()

    async def load(self) -> None:
        self.waiting, self.failed = {}, set()
        start = PREFIX
        while True:
            rows = await self.db.all_docs(startkey=start, endkey=PREFIX + "\ufff0", include_docs=True, limit=PAGE_ROWS)
            for row in rows:
                self._index(row["doc"])
            if len(rows) < PAGE_ROWS:
                return
            start = rows[-1]["id"] + "\0"

    def due(self, limit: int) -> list[str]:
        """The ids of documents whose next attempt is due, the longest waiting first."""
        now_ms = ms_of(self.now())
        ready = sorted((due_ms, doc_id) for doc_id, due_ms in self.waiting.items() if is_over(due_ms, now_ms))
        return [doc_id for _, doc_id in ready[:limit]]

    def is_due(self, doc_id: str) -> bool:
        """Whether the document has waited as long as it had to."""
        return doc_id in self.waiting and is_over(self.waiting[doc_id], ms_of(self.now()))

    async def record(self, failures: Sequence[Failure]) -> None:
        """Store another failed attempt of each. Raises when one could not be stored: do not move on then."""
        if not failures:
            return
        now_ms = ms_of(self.now())
        known = await self.db.get_many(PREFIX + failure.doc_id for failure in failures)
        docs = [after(known.get(PREFIX + failure.doc_id), failure, now_ms) for failure in failures]
        for failure, doc, row in zip(failures, docs, await self.db.bulk_docs(docs), strict=True):
            if problem := from_row(row):
                raise Unavailable(f"{doc['_id']} could not be stored: {problem.message}")
            self._index(doc)
            if doc["state"] == "failed":
                log.error("gave up on %s after %d attempts: %s", doc["doc_id"], doc["attempts"], doc["error"])
            else:
                level = logging.WARNING if failure.counts else logging.INFO
                log.log(level, "%s will be tried again: %s", doc["doc_id"], doc["error"])

    async def settle(self, doc_ids: Iterable[str]) -> None:
        """Forget those that went well after all."""
        ours = [doc_id for doc_id in doc_ids if doc_id in self.waiting or doc_id in self.failed]
        if not ours:
            return
        known = await self.db.get_many(PREFIX + doc_id for doc_id in ours)
        gone = [{"_id": doc["_id"], "_rev": doc["_rev"], "_deleted": True} for doc in known.values()]
        for row in await self.db.bulk_docs(gone):
            problem = from_row(row)
            if problem is not None and not isinstance(problem, Conflict):
                raise problem
        for doc_id in ours:
            self.waiting.pop(doc_id, None)
            self.failed.discard(doc_id)

    def _index(self, doc: Doc) -> None:
        if doc.get("state") == "failed":
            self.waiting.pop(doc["doc_id"], None)
            self.failed.add(doc["doc_id"])
        else:
            self.failed.discard(doc["doc_id"])
            self.waiting[doc["doc_id"]] = int(doc.get("next_attempt") or 0)


def is_over(due_ms: int, now_ms: int) -> bool:
    """Whether a wait is over; so is one that was set by a clock far ahead of ours."""
    return not 0 < due_ms - now_ms <= LONGEST_WAIT_MS


def after(known: Doc | None, failure: Failure, now_ms: int) -> Doc:
    """The retry document after one more failure: the next attempt waits four times as long as the one before."""
    attempts = int((known or {}).get("attempts") or 0) + int(failure.counts)
    gives_up = attempts >= MOST_ATTEMPTS
    return {
        "created": now_ms,
        **(known or {}),
        "_id": PREFIX + failure.doc_id,
        "type": "task:transition",
        "doc_id": failure.doc_id,
        "rev": failure.rev,
        "attempts": attempts,
        "error": failure.error,
        "state": "failed" if gives_up else "waiting",
        "next_attempt": None if gives_up else now_ms + failure.wait_ms * WAIT_GROWTH ** max(attempts - 1, 0),
    }
