"""The one writing thread of a database: requests that arrive while a commit runs are committed together."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from store import schema
from store.errors import StoreError, insufficient_storage

log = logging.getLogger(__name__)

T = TypeVar("T")
_MOST_JOBS_PER_COMMIT = 256


class Transaction:
    """The open transaction of a writer, with the counters that every write moves."""

    __slots__ = ("conn", "design_changed", "doc_count", "doc_del_count", "next_body", "replaced", "update_seq")

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.conn = conn
        self.design_changed = False
        self.replaced = 0  # documents that were written before: each may have left an old body behind
        self.update_seq, self.doc_count, self.doc_del_count = conn.execute(
            "SELECT update_seq, doc_count, doc_del_count FROM info"
        ).fetchone()
        self.next_body: int = conn.execute("SELECT coalesce(max(num), 0) + 1 FROM bodies").fetchone()[0]

    def save(self) -> None:
        """Store the counters; the last thing before the commit."""
        self.conn.execute(
            "UPDATE info SET update_seq = ?, doc_count = ?, doc_del_count = ?",
            (self.update_seq, self.doc_count, self.doc_del_count),
        )


class Committed:
    """What a commit changed, told to the event loop before any of its requests is answered."""

    __slots__ = ("design_changed", "doc_count", "doc_del_count", "replaced", "update_seq")

    def __init__(self, tx: Transaction) -> None:
        self.update_seq: int = tx.update_seq
        self.doc_count: int = tx.doc_count
        self.doc_del_count: int = tx.doc_del_count
        self.design_changed = tx.design_changed
        self.replaced = tx.replaced


class _Job:
    __slots__ = ("future", "outcome", "work")

    def __init__(self, work: Callable[[Transaction], Any], future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.outcome: Any = None


class Writer:
    """Runs jobs in order, each whole or not at all, and answers only when they are on disk."""

    def __init__(self, path: Path, on_commit: Callable[[Committed], None]) -> None:
        self._path = path
        self._on_commit = on_commit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop = asyncio.get_running_loop()
        self._closed = False

    def submit(self, work: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run `work` in the writing thread; the future ends after its commit. What `work` raises undoes only `work`."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            future.set_exception(StoreError("The database is closing.", slug="service_unavailable", status=503))
            return future
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"write {self._path.stem}", daemon=True)
            self._thread.start()
        self._jobs.put(_Job(work, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, move the log into the file and end the thread; blocks, so call it in a thread."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        conn: sqlite3.Connection | None = None
        last = False
        while not last:
            jobs: list[_Job] = []
            job = self._jobs.get()
            while True:
                if job is None:
                    last = True
                    break
                jobs.append(job)
                if len(jobs) >= _MOST_JOBS_PER_COMMIT:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            if not jobs:
                continue
            committed = None
            try:
                if conn is None:
                    conn = schema.open_writer(self._path)
                committed = _commit(conn, jobs)
            except Exception as error:
                failure = _failure(error)
                if failure.status == 507:
                    log.error("commit failed in %s: %s", self._path.name, failure.reason)
                else:
                    log.exception("commit failed in %s", self._path.name)
                for failed in jobs:
                    failed.outcome = failure
                conn = _rolled_back(conn)
            try:
                self._loop.call_soon_threadsafe(self._deliver, jobs, committed)
            except RuntimeError:  # the loop is gone: nobody waits any more
                break
        if conn is not None:
            conn.close()

    def _deliver(self, jobs: list[_Job], committed: Committed | None) -> None:
        if committed is not None:
            self._on_commit(committed)
        for job in jobs:
            if job.future.done():  # the client went away
                continue
            if isinstance(job.outcome, Exception):
                job.future.set_exception(job.outcome)
            else:
                job.future.set_result(job.outcome)


def _failure(error: Exception) -> StoreError:
    """What the client is told: 507 when the disk is full, else 500."""
    return insufficient_storage(error) or StoreError(f"The write could not be stored: {error}")


def _rolled_back(conn: sqlite3.Connection | None) -> sqlite3.Connection | None:
    """The connection without the transaction that failed; None when even that fails, so that the next one is new."""
    if conn is None or not conn.in_transaction:
        return conn
    try:
        conn.execute("ROLLBACK")
    except sqlite3.Error:
        log.exception("a failed commit could not be rolled back")
        conn.close()
        return None
    return conn


def _commit(conn: sqlite3.Connection, jobs: list[_Job]) -> Committed:
    conn.execute("BEGIN IMMEDIATE")
    tx = Transaction(conn)
    for job in jobs:
        before = (tx.update_seq, tx.doc_count, tx.doc_del_count, tx.next_body)
        conn.execute("SAVEPOINT job")
        try:
            job.outcome = job.work(tx)
        except Exception as error:
            if not conn.in_transaction:  # SQLite gave the whole transaction up, as it does when the disk is full
                raise
            conn.execute("ROLLBACK TO job")
            tx.update_seq, tx.doc_count, tx.doc_del_count, tx.next_body = before
            if not isinstance(error, StoreError):
                log.exception("a write failed")
                error = _failure(error)
            job.outcome = error
        conn.execute("RELEASE job")
    tx.save()
    conn.execute("COMMIT")
    return Committed(tx)
