"""Apply batches of changes to the search index: one transaction each, with the sequence it brings the index to."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import IO, Self

from api.access.readers import version_of
from api.access.schema import connect_writer, remove
from api.access.writer import lock_file
from api.search import schema
from api.search.schema import SEPARATOR, State
from api.search.tokens import Content

log = logging.getLogger(__name__)

FEWEST_FORGOTTEN = 100_000  # numbers out of use that are worth a new file, when they are more than those in use
IDS_AT_ONCE = 500


class SearchWriter:
    """The only writer of the file. Not for use by two threads at once."""

    def __init__(self, connection: sqlite3.Connection, lock: IO[bytes]) -> None:
        self.connection = connection
        self.state = schema.read_state(connection)
        self._lock = lock

    @classmethod
    def open(cls, path: Path, identity: str) -> Self:
        """The index of that database; one of another database or version, a broken one, or one that is mostly made of
        what documents said long ago, makes way for an empty one. BlockingIOError while another process writes it."""
        lock = lock_file(path)
        try:
            connection = open_fitting(path, identity)
            if connection is None:
                remove(path)
                connection = connect(path)
                schema.create(connection, identity)
            return cls(connection, lock)
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        self.connection.close()
        self._lock.close()

    def apply(self, contents: Mapping[str, Content | None], couch_seq: str, pending: int) -> State:
        """Let each document have that content, or None, and move the index to `couch_seq`. All or nothing."""
        stored = self._stored(contents)
        number = self.state.next
        gone: list[tuple[int]] = []
        docs: list[tuple[object, ...]] = []
        words: list[tuple[int, str]] = []
        for doc_id, content in contents.items():
            before = stored.get(doc_id)
            text = "" if content is None else SEPARATOR.join(sorted(content.tokens))
            sign = None if content is None else signature(content, text)
            if before is not None and before[1] == sign:
                continue
            if before is not None:
                gone.append((before[0],))
            if content is not None:
                docs.append((number, doc_id, int(content.kind), content.sort, sign))
                words.append((number, text))
                number += 1
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self.connection.executemany("DELETE FROM doc WHERE n = ?", gone)
            self.connection.executemany("INSERT INTO doc VALUES (?, ?, ?, ?, ?)", docs)
            self.connection.executemany("INSERT INTO words (rowid, tokens) VALUES (?, ?)", words)
            self.connection.execute(
                "UPDATE state SET next = ?, couch_seq = ?, pending = ?", (number, couch_seq, pending)
            )
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.state = State(self.state.identity, number, couch_seq, pending)
        return self.state

    def _stored(self, ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Number and signature of those documents that are in the index."""
        asked = list(ids)
        found: dict[str, tuple[int, int]] = {}
        for start in range(0, len(asked), IDS_AT_ONCE):
            page = asked[start : start + IDS_AT_ONCE]
            sql = f"SELECT id, n, content FROM doc WHERE id IN ({','.join('?' * len(page))})"
            found.update((doc_id, (n, content)) for doc_id, n, content in self.connection.execute(sql, page))
        return found


def signature(content: Content, text: str) -> int:
    whole = f"{content.kind}{SEPARATOR}{content.sort}{SEPARATOR}{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(whole, digest_size=8).digest(), "big", signed=True)


def connect(path: Path) -> sqlite3.Connection:
    connection = connect_writer(path)
    connection.execute("PRAGMA cache_size = -32768")
    return connection


def open_fitting(path: Path, identity: str) -> sqlite3.Connection | None:
    """The file at `path` if it is a whole index of that database in today's format, not yet worn out."""
    if not path.exists():
        return None
    connection = None
    try:
        connection = connect(path)
        if version_of(connection) == schema.VERSION:
            state = schema.read_state(connection)
            if state.identity == identity and not is_worn(connection, state):
                return connection
    except sqlite3.DatabaseError as error:
        log.info("no search index to go on with: %s", error)
    if connection is not None:
        connection.close()
    return None


def is_worn(connection: sqlite3.Connection, state: State) -> bool:
    (used,) = connection.execute("SELECT COUNT(*) FROM doc").fetchone()
    forgotten = state.next - 1 - int(used)
    return forgotten > max(FEWEST_FORGOTTEN, int(used))
