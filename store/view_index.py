"""One view index: a SQLite file with the rows of a view group, kept in step with its database.

An index is made in a file beside its own, which takes its place when it is complete; later changes are transactions
that hold the rows and the seq they come from. So whenever the process dies, the file is either absent or right.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import orjson

from store.errors import StoreError
from store.javascript import JavaScript, MapProgram, Row
from store.schema import closed_on_failure
from store.source import DocSource, Winner
from store.view_blocks import change_blocks, create_blocks
from store.view_group import ViewGroup
from store.view_reduce import store_reductions
from store.view_rows import index_rows

log = logging.getLogger(__name__)

_BATCH = 200  # documents mapped at a time
_BATCHES_AHEAD = 2  # batches in the engine while the rows of an earlier one are being written
_IDLE_READERS = 4
_STOP_NOTICED_S = 0.2

_ROWS = "view INTEGER NOT NULL, sort BLOB NOT NULL, id TEXT NOT NULL, n INTEGER NOT NULL, key TEXT, value TEXT"


class Stopped(StoreError):
    """503: the index was closed while it was being brought up to date."""

    status = 503
    slug = "service_unavailable"


class Mapper(Protocol):
    """What computes the rows of documents."""

    def map_docs(self, program: MapProgram, docs: Sequence[bytes]) -> Future[list[list[list[Row]]]]:
        """For each document and each map of the program its rows, in emission order."""
        ...


class ViewIndex:
    """The index of one view group. `seq` is what its file has reached, -1 while there is no file."""

    def __init__(
        self, folder: Path, group: ViewGroup, source: DocSource, engine: JavaScript, mapper: Mapper | None = None
    ) -> None:
        """`mapper` maps the documents of groups that are not in JavaScript."""
        self.group = group
        self.path = folder / f"{group.signature}.view"
        self._source = source
        self._engine = engine
        self._mapper = mapper or engine
        self._readers: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.changes_done = 0
        self.total_changes = 0
        self.started_s = 0.0
        self.updated_s = 0.0
        self.seq = self._stored_seq()
        self._totals: tuple[int, dict[int, int]] = (-1, {})  # a seq, and the rows that maps had then

    # --- reading --------------------------------------------------------------------------------------------------

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the index for as long as it is held."""
        with self._lock:
            connection = self._readers.pop() if self._readers else None
        with self._stopped_rather_than_broken():
            if connection is None:
                connection = _connect(self.path, "query_only = ON")
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.rollback()
                with self._lock:
                    keep = len(self._readers) < _IDLE_READERS and not self._stop.is_set()
                    if keep:
                        self._readers.append(connection)
                if not keep:
                    connection.close()

    @contextmanager
    def _stopped_rather_than_broken(self) -> Iterator[None]:
        """A file that is gone because the index was closed is no broken file."""
        try:
            yield
        except sqlite3.Error as error:
            if self._stop.is_set():
                raise Stopped("The database is being closed.") from error
            raise

    def note_total(self, seq: int, map_index: int, total: int) -> None:
        """Remember how many rows a map has at a seq, until the next one; from any thread."""
        known_seq, totals = self._totals
        self._totals = (seq, {**totals, map_index: total} if known_seq == seq else {map_index: total})

    def known_total(self, seq: int, map_index: int) -> int | None:
        """The number that was noted, if the index is still at that seq."""
        known_seq, totals = self._totals
        return totals.get(map_index) if known_seq == seq else None

    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    # --- keeping up -----------------------------------------------------------------------------------------------

    def update(self) -> None:
        """Bring the index to the seq its database has now. Blocks; one thread at a time."""
        with self._stopped_rather_than_broken():
            self._update()

    def _update(self) -> None:
        target = self._source.update_seq()
        self.started_s = self.updated_s = time.time()
        self.changes_done, self.total_changes = 0, target - max(self.seq, 0)
        if self.seq < 0:
            self._build(target)
        if self.seq < target:
            with _closing(_connect(self.path)) as connection:
                for winners, mapped in self._mapped(self.seq):
                    self._apply(connection, winners, mapped)
                    if self.seq >= target:
                        break
                with connection:
                    connection.execute("BEGIN IMMEDIATE")
                    store_reductions(connection, self.group, self._engine)
                    connection.execute("UPDATE state SET seq = max(seq, ?)", (target,))
            self.seq = max(self.seq, target)

    def stop(self) -> None:
        """Make a running update end soon, and close idle connections."""
        self._stop.set()
        with self._lock:
            while self._readers:
                self._readers.pop().close()

    def _delete(self) -> None:
        for suffix in ("", "-wal", "-shm", ".building"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _stored_seq(self) -> int:
        if not self.path.exists():
            return -1
        try:
            with _closing(_connect(self.path)) as connection:
                seq = int(connection.execute("SELECT seq FROM state").fetchone()[0])
        except (sqlite3.DatabaseError, TypeError):
            log.warning("view index %s cannot be read and is built anew", self.path.name)
            seq = -1
        if not 0 <= seq <= self._source.update_seq():  # beyond the database's: made from another one
            self._delete()
            return -1
        return seq

    def _build(self, target: int) -> None:
        """Write all rows into a bare table and sort them into place, which is far faster than one by one."""
        building = Path(f"{self.path}.building")
        building.unlink(missing_ok=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _closing(sqlite3.connect(building, isolation_level=None)) as connection:
            for pragma in ("page_size = 8192", "journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("ATTACH '' AS loading")
            connection.execute("PRAGMA loading.journal_mode = OFF")
            connection.execute(f"CREATE TABLE loading.unsorted ({_ROWS})")
            connection.execute(f"CREATE TABLE rows ({_ROWS}, PRIMARY KEY (view, sort, id, n)) WITHOUT ROWID")
            connection.execute("CREATE TABLE state (seq INTEGER NOT NULL)")
            seq = 0
            connection.execute("BEGIN")
            for winners, mapped in self._mapped(0, target):
                rows = index_rows(self.group, winners, mapped)
                connection.executemany("INSERT INTO loading.unsorted VALUES (?, ?, ?, ?, ?, ?)", rows)
                seq = winners[-1].seq
                self._advance(len(winners))
            connection.execute("INSERT INTO rows SELECT * FROM loading.unsorted ORDER BY view, sort, id, n")
            connection.execute("CREATE INDEX rows_of_doc ON rows (id)")
            connection.execute("INSERT INTO state VALUES (?)", (max(seq, target),))
            create_blocks(connection, len(self.group.program.maps))
            store_reductions(connection, self.group, self._engine)
            connection.execute("COMMIT")
            # Readers find the file in WAL mode: two that switched it at once would lock each other out.
            connection.execute("PRAGMA main.journal_mode = WAL")
        with building.open("rb+") as file:
            os.fsync(file.fileno())
        building.replace(self.path)
        self.seq = max(seq, target)

    def _apply(
        self, connection: sqlite3.Connection, winners: Sequence[Winner], mapped: Sequence[list[list[Row]]]
    ) -> None:
        """Replace the rows of some documents, in one transaction with the seq."""
        rows = index_rows(self.group, winners, mapped)
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            changes = [(view, sort, id_, 1) for view, sort, id_, *_ in rows]
            for winner in winners:
                gone = connection.execute("DELETE FROM rows WHERE id = ? RETURNING view, sort", (winner.id,))
                changes += [(view, sort, winner.id, -1) for view, sort in gone]
            connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)", rows)
            change_blocks(connection, changes)
            connection.execute("UPDATE state SET seq = ?", (winners[-1].seq,))
        self.seq = winners[-1].seq
        self._advance(len(winners))

    def _mapped(self, seq: int, target: int | None = None) -> Iterator[tuple[list[Winner], list[list[list[Row]]]]]:
        """Batches of changes after `seq` with their rows by view; the engine works ahead on the next ones."""
        ahead: deque[tuple[list[Winner], list[int], Future[list[list[list[Row]]]]]] = deque()
        more = True
        try:
            while True:
                while more and len(ahead) < _BATCHES_AHEAD:
                    winners = self._source.winners_since(seq, _BATCH)
                    if winners and target is not None and winners[-1].seq > target:
                        winners = [winner for winner in winners if winner.seq <= target]
                        more = False
                    if not winners:
                        more = False
                        break
                    seq = winners[-1].seq
                    live = [at for at, winner in enumerate(winners) if self._is_mapped(winner)]
                    docs = [self._body(winners[at]) for at in live]
                    ahead.append((winners, live, self._mapper.map_docs(self.group.program, docs)))
                if not ahead:
                    return
                winners, live, future = ahead.popleft()
                mapped: list[list[list[Row]]] = [[] for _ in winners]
                for at, views in zip(live, self._result(future), strict=True):
                    mapped[at] = views
                yield winners, mapped
        finally:
            for *_, future in ahead:
                future.cancel()

    def _result(self, future: Future[list[list[list[Row]]]]) -> list[list[list[Row]]]:
        """The rows of a batch; raises Stopped rather than wait for functions that take their time."""
        while not self._stop.is_set():
            if wait([future], timeout=_STOP_NOTICED_S).done:
                return future.result()
        future.cancel()
        raise Stopped("The database is being closed.")

    def _is_mapped(self, winner: Winner) -> bool:
        return not winner.deleted and (self.group.include_design or not winner.id.startswith("_design/"))

    def _body(self, winner: Winner) -> bytes:
        body = winner.body
        if winner.conflicts:
            body = body[:-1] + b',"_conflicts":' + orjson.dumps(winner.conflicts) + b"}"
        if self.group.local_seq:
            body = body[:-1] + b',"_local_seq":%d}' % winner.seq
        return body

    def _advance(self, count: int) -> None:
        self.changes_done += count
        self.updated_s = time.time()


def _connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    """An existing file only: one that was removed a moment ago must not come back empty."""
    address = f"file:{quote(str(path))}?mode=rw"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=60)
    with closed_on_failure(connection):
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "cache_size = -8192", *pragmas):
            connection.execute(f"PRAGMA {pragma}")
    return connection


@contextmanager
def _closing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    finally:
        connection.close()
