"""Fill the search index from what the access indexer reads of the feed, after it and never in its way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import aclosing, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from api.access.readers import give_way
from api.search.tokens import Content, content_of
from api.search.writer import SearchWriter
from core.couch.changes import Batch, read_backlog
from core.couch.client import Database
from core.errors import DomainError

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

BATCH = 500  # changes, with their documents, read at once where this index reads by itself
KEPT = 4  # batches that wait for this index; more are dropped and read again
LOOK_EVERY_S = 0.5  # whether the file is still there
REPORT_EVERY_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 10.0


class SearchFollower:
    """Takes the batches that the access index has applied (`offer`). Where it was away or too slow, it reads what it
    missed by itself, when the access index is level; until then nothing but its own answers suffers."""

    def __init__(self, db: Database, path: Path, identity: str) -> None:
        self.db = db
        self.path = path
        self.identity = identity
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="search-index", initializer=give_way)
        self._offers: deque[Batch] = deque()
        self._news = asyncio.Event()
        self._missed = False  # what is offered does not begin where this index ends
        self._access_is_behind = False
        self._reported_at_s = 0.0

    def offer(self, batch: Batch) -> None:
        """Hear of a batch that the access index has applied. Never waits."""
        self._access_is_behind = batch.pending > 0
        if len(self._offers) < KEPT:
            self._offers.append(batch)
        else:
            self._offers.clear()
            self._missed = True
        self._news.set()

    async def run(self, access_seq: str) -> None:
        """Keep the index up until cancelled, whatever happens. `access_seq`: after which the first offer begins."""
        wait_s = FIRST_WAIT_S
        joins: str | None = access_seq
        try:
            while True:
                try:
                    await self._keep_open(joins)
                    wait_s = FIRST_WAIT_S
                except BlockingIOError:
                    log.info("another process writes the search index; standing by")
                except DomainError as error:
                    log.warning("search index: %s; trying again in %.1f s", error.message, wait_s)
                except Exception:
                    log.exception("the search index failed; trying again in %.1f s", wait_s)
                joins = None
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        finally:
            self._thread.shutdown(wait=False)

    async def _keep_open(self, joins: str | None) -> None:
        """Open the file and keep it up until it is not the one at the path any more.

        All batches since `joins` have been offered; None where some may not.
        """
        opening = self._thread.submit(SearchWriter.open, self.path, self.identity)
        try:
            writer = await asyncio.wrap_future(opening)
        except BaseException:
            self._thread.submit(close_unused, opening)  # told to stop meanwhile: the thread may open it yet
            raise
        try:
            inode = self.path.stat().st_ino
            self._missed |= writer.state.couch_seq != joins
            log.info("search index follows %s from %s", self.db.name, writer.state.couch_seq[:24])
            while self._is_in_place(inode):
                if self._missed and not self._access_is_behind:
                    await self._read_on(writer, inode)
                elif self._offers and not self._missed:
                    await self._apply(writer, self._offers.popleft())
                else:
                    self._news.clear()
                    await self._wait_for_news()
            log.warning("the search index was removed; building it again")
        finally:
            self._thread.submit(writer.close)

    async def _wait_for_news(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._news.wait()

    async def _read_on(self, writer: SearchWriter, inode: int) -> None:
        """Read by itself while the access index is level. Whatever is offered from the last page's request on joins on.

        Such a batch may repeat what the page had; what is older in it is put right by the next one.
        """
        self._offers.clear()
        self._missed = False
        complete = False
        try:
            async with aclosing(read_backlog(self.db, writer.state.couch_seq, limit=BATCH)) as pages:
                async for batch in pages:
                    if batch.pending:  # the next page has just been asked for
                        self._offers.clear()
                        self._missed = False
                    await self._apply(writer, batch)
                    complete = not batch.pending
                    if self._access_is_behind or not self._is_in_place(inode):
                        break
        finally:
            self._missed |= not complete

    async def _apply(self, writer: SearchWriter, batch: Batch) -> None:
        await self._on_thread(write, writer, batch)
        now_s = time.monotonic()
        if batch.pending and now_s - self._reported_at_s > REPORT_EVERY_S:
            self._reported_at_s = now_s
            log.info("search index: %d changes to go", batch.pending)

    def _is_in_place(self, inode: int) -> bool:
        try:
            return self.path.stat().st_ino == inode
        except FileNotFoundError:
            return False

    async def _on_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In order: what was begun is finished before the file is closed."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


def write(writer: SearchWriter, batch: Batch) -> None:
    contents: dict[str, Content | None] = {}
    for change in batch.changes:
        contents[change.id] = None if change.deleted or change.doc is None else content_of(change.doc)
    writer.apply(contents, batch.last_seq, batch.pending)


def close_unused(opening: Future[SearchWriter]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
