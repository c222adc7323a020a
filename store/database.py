"""One database: its file, its writer, its readers, and the few facts about it that are kept in memory."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from store import purging, reads, schema
from store.documents import Edit, splice, stubs
from store.edits import Outcome, apply_edits
from store.errors import NotFound, StoreError
from store.seqs import seq_mark
from store.writer import Committed, Transaction, Writer

T = TypeVar("T")

# Half of the bodies in a file may be old ones, as in a CouchDB with its default automatic compaction; small files wait.
_REPLACED_BEFORE_COMPACTION = 2000

ADMINS_ONLY: dict[str, Any] = {"members": {"roles": ["_admin"]}, "admins": {"roles": ["_admin"]}}  # CouchDB 3's default


@dataclass(frozen=True, slots=True)
class DesignDoc:
    """A live design document: its JSON with `_id` and `_rev`, parsed once."""

    id: str
    rev: str
    source: bytes
    doc: dict[str, Any]


class Database:
    """An open database. Methods are for the event loop's thread unless they say otherwise."""

    def __init__(
        self,
        name: str,
        path: Path,
        executor: ThreadPoolExecutor,
        wants_compaction: Callable[[Database], None],
        updated: Callable[[Database], None],
    ) -> None:
        """Opens the file; blocks, and is to be called in a thread through `open_database`."""
        self.name = name
        self.path = path
        self.users = 0  # requests that hold it; the registry closes only what nobody holds
        self.deleted = False
        self.compacting = False
        self.replaced = 0  # documents written again since the last compaction, or since it was opened
        self._executor = executor
        self._wants_compaction = wants_compaction
        self._updated = updated
        self._closed = False
        self._idle_readers: list[sqlite3.Connection] = []
        self._writer: Writer
        self._changed = asyncio.Event()
        self._design_docs: tuple[DesignDoc, ...] | None = None
        schema.open_writer(path).close()  # migrates, and recovers a log that a crash left behind
        self._conn = schema.open_reader(path)
        with schema.closed_on_failure(self._conn):
            row = self._conn.execute(
                "SELECT uuid, created_s, update_seq, doc_count, doc_del_count, revs_limit, security, purge_seq"
                " FROM info"
            ).fetchone()
        self.uuid: str = row[0]
        self.created_s: int = row[1]
        self.update_seq: int = row[2]
        self.doc_count: int = row[3]
        self.doc_del_count: int = row[4]
        self.revs_limit: int = row[5]
        self.security: dict[str, Any] = orjson.loads(row[6]) if row[6] else ADMINS_ONLY
        self.purge_seq: int = row[7]
        self.mark = seq_mark(self.uuid)

    def start(self) -> None:
        """Give the database its writer, which answers to the running loop."""
        self._writer = Writer(self.path, self._committed)

    @property
    def conn(self) -> sqlite3.Connection:
        """The event loop's own reader, for reads by key only: those take microseconds, a thread hop takes more."""
        return self._conn

    # -- reading

    @contextlib.contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A reading connection for a worker thread; raises NotFound when the database was deleted."""
        self._check_exists()
        try:
            try:
                conn = self._idle_readers.pop()
            except IndexError:
                conn = schema.open_reader(self.path)
            try:
                yield conn
            finally:
                self._idle_readers.append(conn)
                if self._closed:
                    self._close_idle_readers()
        except sqlite3.Error:
            self._check_exists()
            raise

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a longer read in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._read, work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self.reader() as conn:
            return work(conn)

    async def run(self, work: Callable[[], T]) -> T:
        """Run other blocking work of this database in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def design_docs(self) -> tuple[DesignDoc, ...]:
        """The live design documents, in id order; read again only after one of them changed."""
        if self._design_docs is None:
            rows = self._conn.execute(
                "SELECT d.id, d.rev, b.body, b.attachments FROM docs d JOIN bodies b ON b.num = d.body"
                " WHERE d.id >= '_design/' AND d.id < '_design0' AND d.deleted = 0 ORDER BY d.id"
            ).fetchall()
            found = []
            for doc_id, rev, body, attachments in rows:
                extra = [(b"_attachments", stubs(orjson.loads(attachments)))] if attachments else []
                source = splice(doc_id, rev, body, extra=extra)
                found.append(DesignDoc(doc_id, rev, source, orjson.loads(source)))
            self._design_docs = tuple(found)
        return self._design_docs

    def design_doc(self, doc_id: str) -> DesignDoc:
        """One live design document; raises NotFound `missing` or `deleted`."""
        for ddoc in self.design_docs():
            if ddoc.id == doc_id:
                return ddoc
        raise NotFound("deleted" if reads.find(self._conn, doc_id) else "missing")

    # -- writing

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in the writing thread; returns when it is on disk."""
        self._check_exists()
        try:
            return await self._writer.submit(work)
        except StoreError:
            self._check_exists()
            raise

    async def update(self, edits: Sequence[Edit]) -> list[Outcome]:
        """Write edits in one transaction; one outcome per edit, in order, durable on return."""
        return await self.write(lambda tx: apply_edits(tx, edits))

    async def set_security(self, security: dict[str, Any]) -> None:
        """Replace the security object."""
        stored = orjson.dumps(security).decode()
        await self.write(lambda tx: tx.conn.execute("UPDATE info SET security = ?", (stored,)) and None)
        self.security = security

    async def set_revs_limit(self, limit: int) -> None:
        """Replace the number of ancestors kept; existing trees are cut at their next write."""
        await self.write(lambda tx: tx.conn.execute("UPDATE info SET revs_limit = ?", (limit,)) and None)
        self.revs_limit = limit

    async def purge(self, asked: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Forget revisions by document id; returns those that were leaves and are gone."""
        purged = await self.write(lambda tx: purging.purge(tx, asked))
        self.purge_seq = max(self.purge_seq, purged.purge_seq)
        return purged.revs

    def _check_exists(self) -> None:
        if self.deleted:
            raise NotFound("Database does not exist.")

    def size_bytes(self) -> int:
        """Bytes on disk, with the log that is not yet moved into the file."""
        total = 0
        for file in (self.path, Path(f"{self.path}-wal")):
            with contextlib.suppress(FileNotFoundError):
                total += file.stat().st_size
        return total

    # -- news

    def _committed(self, committed: Committed) -> None:
        moved = committed.update_seq != self.update_seq
        self.update_seq = committed.update_seq
        self.doc_count = committed.doc_count
        self.doc_del_count = committed.doc_del_count
        self.replaced += committed.replaced
        if self.replaced > max(_REPLACED_BEFORE_COMPACTION, self.doc_count) and not self.compacting:
            self._wants_compaction(self)
        if committed.design_changed:
            self._design_docs = None
        if moved:
            self.wake()
            self._updated(self)

    def wake(self) -> None:
        """Let everyone who waits for news look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def news(self, seq: int, timeout_s: float | None) -> bool:
        """True as soon as something newer than `seq` is committed; False when the time is over or the wait is cut."""
        if self.update_seq > seq or self.deleted:
            return not self.deleted
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return self.update_seq > seq and not self.deleted

    def close(self) -> None:
        """Finish the writes in hand and close every connection; blocks, so call it in a thread."""
        self._writer.close()
        self._closed = True
        self._close_idle_readers()
        self._conn.close()

    def _close_idle_readers(self) -> None:
        """From any thread: one that still reads gives its connection back when the others are closed."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle_readers.pop().close()
