"""Process one batch of changes from their documents to their infodocs (40 §1, §4)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import orjson

from core.couch.changes import Change as FeedChange
from core.couch.client import Database
from core.couch.errors import from_row
from core.dates import local_zone, moment_of
from core.documents import Doc
from core.errors import Conflict
from core.shortcodes import ShortcodeSource
from sentinel.retries import Failure, Retries
from sentinel.transitions import Transitions
from sentinel.transitions.change import Change, PutOff
from sentinel.transitions.infodocs import new_infodoc, result_of, save_infodocs, unmark, with_new_infodocs
from sentinel.transitions.mark_for_outbound import QUEUED
from sentinel.transitions.notes import find_infodocs, save_notes
from sentinel.transitions.run import carry_out, concerns_all, in_waves, is_due, storable, write

log = logging.getLogger(__name__)

OLD_TOMBSTONE = re.compile(r".+____.+____tombstone")

MOST_SETTLED = 10_000

# INF-7: about half a second in all. The API needs a few milliseconds, so the first looks come soon.
MARKER_WAITS_S = (0.01, 0.04, 0.1, 0.15, 0.2)
MARKER_LIFE = timedelta(minutes=2)
API_WAIT_MS = 1000  # until a document is looked at again that the API took longer over


class Processor:
    """Everything between a batch of the feed and the checkpoint. `may_write` raises once the lease is lost."""

    def __init__(
        self,
        db: Database,
        sentinel_db: Database,
        retries: Retries,
        *,
        now: Callable[[], datetime],
        may_write: Callable[[], None] = lambda: None,
    ) -> None:
        self.db = db
        self.sentinel_db = sentinel_db
        self.retries = retries
        self.now = now
        self.may_write = may_write
        # Queue documents of pushes to other services that were written and that nobody took notice of yet.
        self.queued: dict[str, None] = {}
        self.has_queued = asyncio.Event()
        self.settled = Settled()
        self.shortcodes = ShortcodeSource()

    async def close(self) -> None:
        await self.shortcodes.close()

    def take_queued(self) -> list[str]:
        """The queue documents written since the last call, in their order."""
        taken, self.queued = list(self.queued), {}
        self.has_queued.clear()
        return taken

    async def process(self, feed: Sequence[FeedChange], transitions: Transitions) -> None:
        """Every change of the batch is done or has a retry document when this returns; else it raises (SEN-12)."""
        seqs = {
            change.id: change.seq
            for change in feed
            if not change.deleted
            and is_processed(change.id)
            and not self.settled.takes(change.id, change.rev, transitions)
        }
        if seqs:
            await self.process_docs(seqs, transitions)
        if gone := [change.id for change in feed if change.deleted]:
            self.may_write()
            await self.retries.settle(gone)

    async def retry(self, transitions: Transitions, limit: int = 100) -> bool:
        """Try again what is due; False when nothing was."""
        due = self.retries.due(limit)
        if due:
            await self.process_docs(dict.fromkeys(due), transitions)
        return bool(due)

    async def process_docs(self, seqs: Mapping[str, str | None], transitions: Transitions) -> None:
        """Process the current revision of each document; one that is gone needs nothing (its deletion comes)."""
        duplicates = transitions.tools.messenger.duplicates
        (docs, unreadable), found, _ = await asyncio.gather(
            read_apart(self.db, list(seqs)), find_infodocs(self.sentinel_db, seqs), duplicates.pull(self.sentinel_db)
        )
        infos, busy = await self.unmarked(with_new_infodocs(found, docs.values(), self.now()))
        changes = [
            Change(doc_id, doc, infos[doc_id], seqs[doc_id], can_wait=not self.retries.is_due(doc_id))
            for doc_id, doc in docs.items()
            if doc_id not in busy
        ]
        for wave in in_waves(changes, transitions.ordered):
            await self.process_apart(wave, transitions)
        await duplicates.push(self.sentinel_db)
        failures = [
            Failure(change.id, change.original["_rev"], problem, counts=not isinstance(change.failure, PutOff))
            for change in changes
            if (problem := problem_of(change))
        ]
        failures += [Failure(doc_id, None, f"it cannot be read: {reason}") for doc_id, reason in unreadable.items()]
        waiting = [
            Failure(doc_id, docs[doc_id]["_rev"], "the API is writing it", counts=False, wait_ms=API_WAIT_MS)
            for doc_id in busy
        ]
        unsettled = {failure.doc_id for failure in (*failures, *waiting)}
        self.may_write()
        await self.retries.record([*failures, *waiting])
        await self.retries.settle(doc_id for doc_id in seqs if doc_id not in unsettled)

    async def process_apart(self, wave: Sequence[Change], transitions: Transitions) -> None:
        """Process a wave; when something unforeseen ends it, one by one, so that only the cause of it fails."""
        try:
            await self.process_wave(wave, transitions)
        except Exception as error:  # a bug of ours must cost one change, not stop the worker at it for ever
            if concerns_all(error):
                raise
            if len(wave) > 1:
                for change in wave:
                    await self.process_apart([change], transitions)
            else:
                log.exception("%s cannot be processed", wave[0].id)
                wave[0].failure = error

    async def process_wave(self, wave: Sequence[Change], transitions: Transitions) -> None:
        """Run, save the changed documents in one write, then their infodocs in another (TRN-7, INF-4)."""
        self.may_write()
        await carry_out(
            wave,
            transitions.ordered,
            transitions.tools,
            self.db,
            may_write=self.may_write,
            reserve=self.shortcodes.reserve,
        )
        self.may_write()
        docs = [(change, doc) for change in wave if (doc := storable(change)) is not None]
        rows = await write(self.db, [doc for _, doc in docs])
        overtaken = set()
        stored: list[tuple[Change, str]] = []
        for (change, _), row in zip(docs, rows, strict=True):
            problem = from_row(row)
            if isinstance(problem, Conflict):
                # A newer revision is there and comes as a change of its own (TRN-10).
                overtaken.add(change.id)
            elif problem is not None:
                change.failure = problem
            else:
                stored.append((change, row["rev"]))
        done = [change for change in wave if change.failure is None and change.id not in overtaken]
        notes = {doc_id: edit for change in done for doc_id, edit in change.notes.items()}
        await save_notes(self.sentinel_db, notes)
        self.queued.update(dict.fromkeys(doc_id for doc_id in notes if doc_id.startswith(QUEUED)))
        if self.queued:
            self.has_queued.set()
        newcomers = [each for change in done for each in self.newcomers(change, transitions)]
        edits = [(each.info, edit) for each in (*done, *newcomers) if (edit := result_of(each, self.now()))]
        await save_infodocs(self.sentinel_db, edits)
        for change, rev in (*stored, *((each, each.doc["_rev"]) for each in newcomers)):
            self.settled.add(change, rev, transitions)

    def newcomers(self, change: Change, transitions: Transitions) -> Iterator[Change]:
        """The contacts the change created, as they will come in the feed, where every transition leaves them alone."""
        for doc_id, doc in change.created.items():
            newcomer = Change(doc_id, doc, new_infodoc(doc, self.now()), can_wait=True)
            if not any(is_due(transition, newcomer) for transition in transitions.ordered):
                yield newcomer

    async def unmarked(self, infos: dict[str, Doc]) -> tuple[dict[str, Doc], set[str]]:
        """The infodocs when the API is done with them, and the ids of documents that it is still writing (INF-7)."""
        marked = {doc_id for doc_id, info in infos.items() if info.get("transitions_started")}
        for wait_s in MARKER_WAITS_S:
            marked -= {doc_id for doc_id in marked if not info_is_marked(infos[doc_id])}
            forgotten = {doc_id for doc_id in marked if self.is_forgotten(infos[doc_id])}
            if forgotten:
                self.may_write()
                await save_infodocs(self.sentinel_db, [(infos[doc_id], unmark) for doc_id in forgotten])
                marked -= forgotten
            if not marked:
                break
            await asyncio.sleep(wait_s)
            infos |= await find_infodocs(self.sentinel_db, marked)
        return infos, {doc_id for doc_id in marked if info_is_marked(infos[doc_id])}

    def is_forgotten(self, info: Doc) -> bool:
        """Whether the API died between the marker and its removal."""
        started = moment_of(info.get("transitions_started"), local_zone())
        return started is None or self.now() - started > MARKER_LIFE


class Settled:
    """Revisions that we wrote and that every transition would leave alone: their own changes need no second look.

    Kept in memory, for one state of the settings; a change that is not found here is processed as any other.
    """

    def __init__(self) -> None:
        self._revs: dict[str, str] = {}
        self._transitions: Transitions | None = None

    def add(self, change: Change, rev: str, transitions: Transitions) -> None:
        if transitions is not self._transitions:
            self._revs, self._transitions = {}, transitions
        after = Change(change.id, {**change.doc, "_rev": rev}, change.info)
        if any(is_due(transition, after) for transition in transitions.ordered):
            return
        self._revs[change.id] = rev
        while len(self._revs) > MOST_SETTLED:
            del self._revs[next(iter(self._revs))]

    def takes(self, doc_id: str, rev: str, transitions: Transitions) -> bool:
        """Whether this change needs nothing; asked once."""
        return transitions is self._transitions and self._revs.pop(doc_id, None) == rev


async def read_apart(db: Database, ids: Sequence[str]) -> tuple[dict[str, Doc], dict[str, str]]:
    """The documents, and for those of which no sense can be made, each on its own, why.

    CouchDB stores some that JSON libraries refuse: nested a thousand levels deep, for instance.
    """
    try:
        return await db.get_many(ids), {}
    except orjson.JSONDecodeError as error:
        if len(ids) == 1:
            return {}, {ids[0]: str(error)}
    half = len(ids) // 2
    (docs, unreadable), (others, more) = await read_apart(db, ids[:half]), await read_apart(db, ids[half:])
    return docs | others, unreadable | more


def info_is_marked(info: Doc) -> bool:
    return bool(info.get("transitions_started"))


def is_processed(doc_id: str) -> bool:
    """Design documents, infodocs and the tombstones of old releases are not (SEN-9, SEN-21)."""
    return not (doc_id.startswith("_design/") or doc_id.endswith("-info") or OLD_TOMBSTONE.fullmatch(doc_id))


def problem_of(change: Change) -> str | None:
    """Why a change has to be tried again."""
    if change.failure is not None:
        return f"{type(change.failure).__name__}: {change.failure}"
    return "; ".join(change.thrown) or None
