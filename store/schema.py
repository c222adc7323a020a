"""The SQLite file of one database: its tables, its numbered migrations and how connections to it are opened."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from store.errors import StoreError

# Each entry brings a file from version n to n + 1; entries are never edited once released.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE info (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        uuid TEXT NOT NULL,
        created_s INTEGER NOT NULL,
        update_seq INTEGER NOT NULL,
        doc_count INTEGER NOT NULL,
        doc_del_count INTEGER NOT NULL,
        revs_limit INTEGER NOT NULL,
        security TEXT
    );
    CREATE TABLE docs (          -- one row per document; it moves to the end of the table at every change
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        rev TEXT NOT NULL,       -- the winner
        deleted INTEGER NOT NULL,
        leaves INTEGER NOT NULL,
        body INTEGER NOT NULL,   -- of the winner, in bodies
        tree BLOB NOT NULL
    );
    CREATE UNIQUE INDEX docs_by_id ON docs (id, deleted, rev);  -- answers _all_docs alone
    CREATE TABLE bodies (
        num INTEGER PRIMARY KEY,
        attachments BLOB,        -- {name: {content_type, digest, length, revpos}} or NULL
        body BLOB NOT NULL       -- JSON object without the members that start with an underscore
    );
    CREATE TABLE blobs (
        num INTEGER PRIMARY KEY,
        digest TEXT NOT NULL UNIQUE,
        data BLOB NOT NULL
    );
    CREATE TABLE local_docs (
        id TEXT PRIMARY KEY,
        rev INTEGER NOT NULL,
        body BLOB NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE info ADD COLUMN purge_seq INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE info ADD COLUMN purged_infos_limit INTEGER NOT NULL DEFAULT 1000;
    CREATE TABLE purges (
        purge_seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        revs BLOB NOT NULL       -- JSON array of the revisions a client asked to purge
    );
    CREATE TABLE purged_docs (   -- documents of which nothing was left, at the seq of their purge
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE seq_counts (    -- of all documents, by their seq divided by 1024
        block INTEGER PRIMARY KEY,
        docs INTEGER NOT NULL
    );
    INSERT INTO seq_counts SELECT seq >> 10, count(*) FROM docs GROUP BY 1;
    CREATE TABLE id_counts (     -- of live documents, from an id to the next
        first TEXT PRIMARY KEY,
        docs INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX id_counts_to_divide ON id_counts (first) WHERE docs > 2000;
    CREATE INDEX id_counts_to_drop ON id_counts (first) WHERE docs = 0;
    WITH numbered AS (SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM docs WHERE deleted = 0)
    INSERT INTO id_counts
        SELECT CASE number / 1000 WHEN 0 THEN '' ELSE min(id) END, count(*) FROM numbered GROUP BY number / 1000;
    INSERT OR IGNORE INTO id_counts VALUES ('', 0);
    """,
)

_CACHE_KIB_WRITER = 8192
_CACHE_KIB_READER = 16384
_LOG_BYTES_KEPT = 64 * 1024 * 1024


def create(path: Path, revs_limit: int = 1000) -> None:
    """Make a new database file, whole or not at all, and have it on disk before returning."""
    for suffix in ("-wal", "-shm"):  # of a database of this name whose deletion was cut short
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    conn = sqlite3.connect(draft, isolation_level=None)
    try:
        conn.execute("PRAGMA synchronous = OFF")  # one fsync below covers it all
        conn.execute("PRAGMA auto_vacuum = INCREMENTAL")
        conn.execute("PRAGMA journal_mode = MEMORY")
        migrate(conn)
        conn.execute(
            "INSERT INTO info (one, uuid, created_s, update_seq, doc_count, doc_del_count, revs_limit)"
            " VALUES (1, ?, ?, 0, 0, 0, ?)",
            (uuid.uuid4().hex, int(time.time()), revs_limit),
        )
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        conn.close()
    _sync(draft)
    os.replace(draft, path)
    _sync(path.parent)


def migrate(conn: sqlite3.Connection) -> None:
    """Bring a file to the newest version, each step in a transaction of its own.

    Raises StoreError when the file was written by a newer program.
    """
    version: int = conn.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreError(f"The database file has version {version}; this program knows up to {len(MIGRATIONS)}.")
    for number in range(version, len(MIGRATIONS)):
        conn.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;")


def open_writer(path: Path) -> sqlite3.Connection:
    """The one writing connection: a commit is on disk when it returns."""
    with closed_on_failure(_connect(path)) as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute(f"PRAGMA cache_size = -{_CACHE_KIB_WRITER}")
        conn.execute("PRAGMA wal_autocheckpoint = 4000")
        conn.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES_KEPT}")  # a long attachment leaves a long log behind
        conn.execute("PRAGMA secure_delete = OFF")
        conn.execute("PRAGMA temp_store = MEMORY")
        migrate(conn)
        return conn


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; used from one thread at a time."""
    with closed_on_failure(_connect(path)) as conn:
        conn.execute("PRAGMA query_only = ON")
        conn.execute(f"PRAGMA cache_size = -{_CACHE_KIB_READER}")
        conn.execute("PRAGMA temp_store = MEMORY")
        return conn


@contextmanager
def closed_on_failure(conn: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """The connection, which nobody will have when what is done with it fails."""
    try:
        yield conn
    except BaseException:
        conn.close()
        raise


def _connect(path: Path) -> sqlite3.Connection:
    """An existing file only: a database deleted a moment ago must not come back empty."""
    address = f"file:{quote(str(path))}?mode=rw"
    return sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=30
    )


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
