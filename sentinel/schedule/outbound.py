"""Push queued documents to other services, in order, again until it succeeds (40 §12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from core.couch.client import Database
from core.dates import ms_of
from core.documents import Doc
from core.errors import DomainError, InvalidInput, Unavailable
from core.hydration import hydrate
from core.outbound import payload_hash, payload_of, pushes
from core.settings import Settings
from core.sms_tasks import objects
from core.timetables import Timetable
from sentinel.schedule.destinations import Secret, send
from sentinel.transitions.mark_for_outbound import QUEUED
from sentinel.transitions.notes import Edit, fill_infodoc, find_infodocs, info_id, save_notes

log = logging.getLogger(__name__)

PAGE_ROWS = 1000
GROUP_SIZE = 20
NEAR = timedelta(minutes=5)
FIRST_WAIT_MS = 5 * 60_000
LONGEST_WAIT_MS = 6 * 3_600_000
MOST_ATTEMPTS = 30
# A service that did not answer so often in a row is left alone for the rest of the run.
MOST_UNANSWERED = 3


@dataclass
class Result:
    """How one push of one document went: with `entry` it was sent, with `error` it failed, with neither it was not
    needed. `rev` is what the queue asked for when it was read."""

    name: str
    rev: Any
    entry: Doc | None = None
    error: str | None = None


@dataclass
class Item:
    """A document in the queue, hydrated as it is now."""

    queued: Doc
    doc: Doc | None
    info: Doc
    results: list[Result] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        queue = self.queued.get("queue")
        return [str(name) for name in queue] if isinstance(queue, list) else []

    def attempt(self, name: str) -> Doc:
        """How the last attempt at that push failed, empty when none did."""
        attempts = self.queued.get("attempts")
        attempt = attempts.get(name) if isinstance(attempts, dict) else None
        return attempt if isinstance(attempt, dict) else {}


@dataclass
class Run:
    """One pass over the queue. `unanswered` counts, for each push, the failures in a row for want of an answer."""

    db: Database
    sentinel_db: Database
    configured: Mapping[str, Mapping[str, Any]]
    due: frozenset[str]
    client: httpx.AsyncClient
    secret: Secret
    now: Callable[[], datetime]
    may_write: Callable[[], None]
    is_whole: bool = False
    unanswered: dict[str, int] = field(default_factory=dict)
    summary: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def over(self, ids: Sequence[str]) -> None:
        """A group at a time; what was sent is noted even when we are stopped in the middle."""
        for start in range(0, len(ids), GROUP_SIZE):
            items = await self.items(ids[start : start + GROUP_SIZE])
            ends: list[BaseException | None] = []
            try:
                pushing = (self.push_in_order(name, items) for name in sorted(self.due))
                ends = await asyncio.gather(*pushing, return_exceptions=True)
            finally:
                await self.save(items)
            for end in ends:
                if end is not None:
                    raise end
            if self.is_whole:
                self.count_left(items)

    async def items(self, ids: Sequence[str]) -> list[Item]:
        queued = [doc for doc in (await self.sentinel_db.get_many(ids)).values() if doc.get("doc_id")]
        doc_ids = [str(doc["doc_id"]) for doc in queued]
        stored, infos = await asyncio.gather(self.db.get_many(doc_ids), find_infodocs(self.sentinel_db, doc_ids))
        found = {doc["_id"]: doc for doc in await hydrate(self.db, list(stored.values()))}
        return [
            Item(doc, found.get(doc_id), infos.get(doc_id) or {}) for doc, doc_id in zip(queued, doc_ids, strict=True)
        ]

    async def push_in_order(self, name: str, items: Iterable[Item]) -> None:
        """To one service, one after the other, those that were queued first before the others (OUT-9)."""
        for item in items:
            if item.doc is None or name not in item.names or self.must_wait(item, name):
                continue
            if self.unanswered.get(name, 0) >= MOST_UNANSWERED:
                return
            self.may_write()
            item.results.append(await self.push(name, item, item.doc))

    def count_left(self, items: Iterable[Item]) -> None:
        """What is left in the queue, to be tried or given up, and why the first of it failed."""
        for item in items:
            tried = {result.name: result.error for result in item.results}
            for name in item.names:
                if name not in self.configured or item.doc is None or (name in tried and tried[name] is None):
                    continue
                counts, attempt = self.counts(name), item.attempt(name)
                what = "given_up" if attempt.get("state") == "failed" else "waiting"
                counts[what] = counts.get(what, 0) + 1
                if counts["error"] is None and (error := tried.get(name) or attempt.get("error")):
                    counts["error"] = f"{item.doc['_id']}: {error}"

    def must_wait(self, item: Item, name: str) -> bool:
        attempt = item.attempt(name)
        left_ms = int(attempt.get("next_attempt") or 0) - ms_of(self.now())
        # What is longer than any wait was set by a clock that was ahead.
        return attempt.get("state") == "failed" or 0 < left_ms <= LONGEST_WAIT_MS

    async def push(self, name: str, item: Item, doc: Doc) -> Result:
        """Send it as it is now, unless that was the last thing sent (OUT-4, OUT-8)."""
        push, rev = self.configured[name], revs_of(item.queued).get(name)
        try:
            payload = await payload_of(doc, push)
            digest = payload_hash(payload)
            if last_hash(item.info, name) == digest:
                return Result(name, rev)
            await send(self.client, push, payload, self.secret)
        except DomainError as error:
            waits = isinstance(error, Unavailable)
            self.unanswered[name] = self.unanswered.get(name, 0) + 1 if waits else 0
            log.warning("outbound %s of %s: %s", name, doc["_id"], error.message)
            self.count(name, "failed", f"{doc['_id']}: {error.message}")
            return Result(name, rev, error=error.message)
        except Exception as error:  # whatever a document or its settings do to one push, the others go on
            log.exception("outbound %s of %s", name, doc["_id"])
            self.count(name, "failed", f"{doc['_id']}: {type(error).__name__}: {error}")
            return Result(name, rev, error=f"{type(error).__name__}: {error}")
        self.unanswered[name] = 0
        self.count(name, "sent", None)
        entry = {"type": "outbound", "name": name, "timestamp": ms_of(self.now()), "hash": digest}
        return Result(name, rev, entry=entry)

    def count(self, name: str, what: str, error: str | None) -> None:
        counts = self.counts(name)
        counts[what] += 1
        counts["error"] = error or counts["error"]

    def counts(self, name: str) -> dict[str, Any]:
        return self.summary.setdefault(name, {"sent": 0, "failed": 0, "error": None})

    async def save(self, items: Iterable[Item]) -> None:
        """What was sent into the infodocs, and then what is left into the queue (OUT-6, OUT-7)."""
        infos: dict[str, Edit] = {}
        queue: dict[str, Edit] = {}
        for item in items:
            doc_id = str(item.queued["doc_id"])
            entries = [result.entry for result in item.results if result.entry is not None]
            if entries:
                infos[info_id(doc_id)] = add_completed(doc_id, entries)
            unknown = [name for name in item.names if name not in self.configured]
            if unknown:
                log.warning("outbound: %s of %s is not configured any more", ", ".join(unknown), doc_id)
            if item.results or unknown or item.doc is None:
                queue[item.queued["_id"]] = after_run(item, unknown, ms_of(self.now()))
        await save_notes(self.sentinel_db, infos)
        await save_notes(self.sentinel_db, queue)


async def push_queued(
    db: Database,
    sentinel_db: Database,
    settings: Settings,
    client: httpx.AsyncClient,
    secret: Secret,
    now: Callable[[], datetime],
    may_write: Callable[[], None] = lambda: None,
    only: Iterable[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Push what waits, or only these queue documents: for each push `{sent, failed, error}`, of this run.

    With the whole queue also `waiting` and `given_up`, the numbers of documents left in it, where there are any.

    A push with a `cron` is due within five minutes of it, any other always. Documents keep the order in which they
    were queued, service by service; services are pushed to side by side.
    """
    configured = pushes(settings)
    due = frozenset(name for name, push in configured.items() if is_due(name, push, now()))
    run = Run(db, sentinel_db, configured, due, client, secret, now, may_write, is_whole=only is None)
    await run.over(list(only) if only is not None else await queue_in_order(sentinel_db))
    return run.summary


def is_due(name: str, push: Mapping[str, Any], now: datetime) -> bool:
    if not push.get("cron"):
        return True
    try:
        timetable = Timetable.from_config({"cron": push["cron"]})
    except InvalidInput as error:
        log.error("outbound.%s.%s", name, error.message)
        return False
    return timetable is not None and timetable.is_near(now, NEAR)


async def queue_in_order(sentinel_db: Database) -> list[str]:
    """The ids of all queue documents, the oldest first; nothing else of them is kept."""
    found: list[tuple[int, str]] = []
    start = QUEUED
    while True:
        rows = await sentinel_db.all_docs(startkey=start, endkey=QUEUED + "\ufff0", include_docs=True, limit=PAGE_ROWS)
        for row in rows:
            created = row["doc"].get("created")
            found.append((created if isinstance(created, int) else 0, row["id"]))
        if len(rows) < PAGE_ROWS:
            return [doc_id for _, doc_id in sorted(found)]
        start = rows[-1]["id"] + "\0"


def revs_of(queued: Doc) -> Doc:
    revs = queued.get("revs")
    return revs if isinstance(revs, dict) else {}


def last_hash(info: Doc, name: str) -> str | None:
    """The hash of what was last sent by that push (OUT-4)."""
    tasks = objects(info.get("completed_tasks"))
    sent = [task for task in tasks if task.get("type") == "outbound" and task.get("name") == name]
    return sent[-1].get("hash") if sent else None


def add_completed(doc_id: str, entries: Sequence[Doc]) -> Edit:
    def edit(info: Doc) -> None:
        fill_infodoc(info, doc_id)
        known = objects(info.get("completed_tasks"))
        info["completed_tasks"] = [*known, *(entry for entry in entries if entry not in known)]

    return edit


def after_run(item: Item, unknown: Sequence[str], now_ms: int) -> Edit:
    """Take out what is done, unless the document was queued anew meanwhile, and note when to try the rest again."""

    def edit(queued: Doc) -> None:
        done = {each.name for each in item.results if each.error is None and revs_of(queued).get(each.name) == each.rev}
        queue = queued.get("queue")
        left = [name for name in queue if name not in done and name not in unknown] if isinstance(queue, list) else []
        if item.doc is None or not left:
            if "_rev" in queued:
                queued["_deleted"] = True
            return
        attempts = queued.get("attempts")
        attempts = dict(attempts) if isinstance(attempts, dict) else {}
        for each in item.results:
            if each.error is not None:
                attempts[each.name] = next_attempt(attempts.get(each.name), each.error, now_ms)
        queued["queue"] = left
        queued["revs"] = {name: rev for name, rev in revs_of(queued).items() if name in left}
        queued["attempts"] = {name: attempt for name, attempt in attempts.items() if name in left}

    return edit


def next_attempt(known: Any, error: str, now_ms: int) -> Doc:
    """Twice as long after every failure, five minutes to six hours; given up at last, until the document changes."""
    count = int(known.get("count") or 0) + 1 if isinstance(known, dict) else 1
    if count >= MOST_ATTEMPTS:
        return {"count": count, "error": error, "state": "failed", "next_attempt": None}
    wait_ms = min(FIRST_WAIT_MS * 2 ** (count - 1), LONGEST_WAIT_MS)
    return {"count": count, "error": error, "state": "waiting", "next_attempt": now_ms + wait_ms}
