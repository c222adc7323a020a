"""Keep the access index up with the main database: the one process that follows its feed and writes the file."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from api.access.identity import identity_of
from api.access.last_live import last_live_docs
from api.access.purges import apply_purges, follow_purges
from api.access.rules import facts_of
from api.access.writer import Entry, IndexWriter
from api.search.follower import SearchFollower
from core.config import Config
from core.couch.changes import Batch, Change, follow, read_backlog
from core.couch.client import Couch, connect
from core.errors import DomainError

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

BATCH = 500  # changes, with their documents, read and applied at once
CONNECTIONS = 24  # enough for all requests of a page of the backlog
LONGEST_WAIT_S = 10.0
STAND_BY_S = 1.0
LOOK_EVERY_S = 0.5  # whether the file is still there
REPORT_EVERY_S = 10.0


async def run_indexer(config: Config, stop: asyncio.Event) -> None:
    """Follow the main database until `stop`; begins again from nothing when the file or the database was replaced."""
    work = asyncio.create_task(keep_indexing(config))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (work, stopped):
            task.cancel()
        results = await asyncio.gather(work, stopped, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]


async def keep_indexing(config: Config) -> None:
    wait_s, stands_by = 0.1, False
    async with connect(config, connections=CONNECTIONS) as couch:
        while True:
            try:
                async with Indexer(config, couch) as indexer:
                    wait_s, stands_by = 0.1, False
                    await indexer.follow()
            except BlockingIOError:
                if not stands_by:
                    log.info("another process writes the access index; standing by")
                stands_by = True
                await asyncio.sleep(STAND_BY_S)
            except DomainError as error:
                log.warning("access index: %s; trying again in %.1f s", error.message, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def close_unused(opening: Future[IndexWriter]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class Indexer:
    """One open index file and the feed that fills it. SQLite works on a thread of its own."""

    def __init__(self, config: Config, couch: Couch, path: Path | None = None) -> None:
        self.path = path or config.access_index
        self.search_path = config.search_index
        self.heartbeat_s = config.feed_heartbeat_s
        self.couch = couch
        self.db = couch.db(config.database)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="access-index")
        self._inode = 0
        self._reported_at_s = 0.0

    async def __aenter__(self) -> Indexer:
        identity = await identity_of(self.db)
        opening = self._thread.submit(IndexWriter.open, self.path, identity)
        try:
            self.writer = await asyncio.wrap_future(opening)
        except BaseException:
            self._thread.submit(close_unused, opening)  # told to stop meanwhile: the thread may open it yet
            self._thread.shutdown(wait=False)
            raise
        self._inode = self.path.stat().st_ino
        state = self.writer.state
        log.info("access index at change %d, following %s from %s", state.change, self.db.name, state.couch_seq[:24])
        return self

    async def __aexit__(self, *_: object) -> None:
        closing = asyncio.wrap_future(self._thread.submit(self.writer.close))
        self._thread.shutdown(wait=False)
        await asyncio.shield(closing)  # who is told to stop meanwhile does not leave the file locked

    async def follow(self) -> None:
        """Apply the feed, batch after batch, and offer each to the search index.

        Returns when the file is not the one at the path any more.
        """
        state = self.writer.state
        purges = follow_purges(self.couch, self.db.name, self.writer, self._run)
        search = SearchFollower(self.db, self.search_path, state.identity)
        works = (self._apply_feed(search), purges, search.run(state.couch_seq), self._removed())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def catch_up(self, tell: Callable[[int, int], None]) -> None:
        """Apply all that there is, the feed and the purges. `tell` hears how many changes are in and left."""
        async with aclosing(read_backlog(self.db, self.writer.state.couch_seq, all_leaves=True)) as pages:
            async for batch in pages:
                await self._apply(batch)
                tell(self.writer.state.change, batch.pending)
        await apply_purges(self.couch, self.db.name, self.writer, self._run)

    async def _apply_feed(self, search: SearchFollower) -> None:
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                state = self.writer.state
                if batch.changes or batch.last_seq != state.couch_seq or batch.pending != state.pending:
                    await self._apply(batch)
                    search.offer(batch)
                self._report(batch)

    async def _batches(self) -> AsyncGenerator[Batch, None]:
        """All that there is, then whatever comes, without end."""
        position = self.writer.state.couch_seq
        wishes: dict[str, Any] = {"include_docs": True, "all_leaves": True, "heartbeat_s": self.heartbeat_s}
        while True:
            async with aclosing(read_backlog(self.db, position, all_leaves=True)) as pages:
                async for batch in pages:
                    position = batch.last_seq
                    yield batch
            async with aclosing(follow(self.db, position, limit=BATCH, **wishes)) as feed:
                async for batch in feed:
                    position = batch.last_seq
                    yield batch
                    if batch.pending > BATCH:
                        break

    async def _removed(self) -> None:
        while self._is_in_place():  # noqa: ASYNC110  the file system sends no event
            await asyncio.sleep(LOOK_EVERY_S)
        log.warning("the access index was removed; building it again")

    async def _apply(self, batch: Batch) -> None:
        before = await self._bodies_before(batch.changes)
        await self._run(self._write, batch, before)

    async def _bodies_before(self, changes: tuple[Change, ...]) -> dict[str, dict[str, object]]:
        """The last live bodies of deleted documents that the index has never seen alive."""
        deleted = {change.id: change for change in changes if change.deleted}
        if not deleted:
            return {}
        unknown = await self._run(self.writer.unknown, deleted)
        tombstones = {
            doc_id: {**(deleted[doc_id].doc or {}), "_id": doc_id, "_rev": deleted[doc_id].rev} for doc_id in unknown
        }
        return await last_live_docs(self.db, tombstones)

    def _write(self, batch: Batch, before: dict[str, dict[str, object]]) -> None:
        entries = [entry_of(change, before.get(change.id)) for change in batch.changes]
        self.writer.apply(entries, batch.last_seq, batch.pending)

    def _is_in_place(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _report(self, batch: Batch) -> None:
        now_s = time.monotonic()
        if batch.pending and now_s - self._reported_at_s > REPORT_EVERY_S:
            self._reported_at_s = now_s
            log.info("access index: %d changes in, %d to go", self.writer.state.change, batch.pending)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """On the index's thread, in order: what was begun is finished before the file is closed."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


def entry_of(change: Change, before: dict[str, object] | None) -> Entry:
    if change.deleted:
        facts = None if before is None else facts_of(before, change.id)
        return Entry(change.id, change.rev, True, facts, only_leaf=change.leaves == 1)
    return Entry(change.id, change.rev, False, facts_of(change.doc or {}, change.id), only_leaf=change.leaves == 1)
