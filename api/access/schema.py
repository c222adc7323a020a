"""The access index's file: its tables, how it is made, and how a reader knows that it may read it."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.access.readers import open_reader

VERSION = 3

# A node is any name the rules compare: a document's id, a shortcode, a user. `rev` is null until a document of that
# name is seen. Keys of a deleted document are those of its last live body (REPL-36, REPL-76).
#
# node.subject    the first replication key; -n for what has none, also for contacts, whose place in the tree decides
#                 (REPL-43). Documents lie in the file by it, so that a list reads them in a row.
# node.change     the local number of the document's latest change
# signoff         further keys (REPL-17)
# contact.moved   the local number of the change that last gave the contact another chain or shortcode
# path            for each contact and each id of its embedded chain: the least depth (REPL-22)
# position        CouchDB's sequence after the change of that number
# purged          what the role set's purge database marks (REPL-56); role_set.couch_seq is how far the one with that
#                 identity was read
TABLES = """
CREATE TABLE node (
  subject INTEGER NOT NULL,
  n INTEGER NOT NULL UNIQUE,
  id TEXT NOT NULL UNIQUE,
  rev TEXT,
  flags INTEGER NOT NULL,
  submitter INTEGER,
  change INTEGER,
  PRIMARY KEY (subject, n)
) WITHOUT ROWID;
CREATE INDEX node_by_change ON node (change) WHERE change IS NOT NULL;
CREATE TABLE signoff (doc INTEGER, key INTEGER, PRIMARY KEY (doc, key)) WITHOUT ROWID;
CREATE INDEX signoff_by_key ON signoff (key);
CREATE TABLE contact (n INTEGER PRIMARY KEY, shortcode INTEGER, primary_contact INTEGER, moved INTEGER NOT NULL);
CREATE INDEX contact_by_shortcode ON contact (shortcode) WHERE shortcode IS NOT NULL;
CREATE INDEX contact_by_primary_contact ON contact (primary_contact) WHERE primary_contact IS NOT NULL;
CREATE INDEX contact_by_moved ON contact (moved);
CREATE TABLE path (
  ancestor INTEGER, depth INTEGER, contact INTEGER, PRIMARY KEY (ancestor, depth, contact)
) WITHOUT ROWID;
CREATE INDEX path_by_contact ON path (contact);
CREATE TABLE role_set (
  n INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, identity TEXT NOT NULL, couch_seq TEXT NOT NULL
);
CREATE TABLE purged (role_set INTEGER, doc INTEGER, PRIMARY KEY (role_set, doc)) WITHOUT ROWID;
CREATE TABLE position (change INTEGER PRIMARY KEY, couch_seq TEXT NOT NULL);
CREATE TABLE state (
  version INTEGER NOT NULL,
  identity TEXT NOT NULL,
  epoch TEXT NOT NULL,
  change INTEGER NOT NULL,
  moved INTEGER NOT NULL,
  couch_seq TEXT NOT NULL,
  pending INTEGER NOT NULL
);
"""

KIND_BITS = 7  # of node.flags: rules.Kind
DELETED = 8
PRIVATE = 16
ODD_TEXT = 32  # id or rev has characters that JSON escapes


@dataclass(frozen=True, slots=True)
class State:
    """Where the index stands: changes up to local number `change`, which is CouchDB's `couch_seq`, are in it.

    `moved` is the last change that altered the contact tree; `pending` how many changes CouchDB had left then.
    """

    identity: str
    epoch: str
    change: int
    moved: int
    couch_seq: str
    pending: int


def connect_writer(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    # Clients' sequences count the changes in this file. Were the last of them lost to a power cut, they would be read
    # from the feed again, but perhaps in another order, and a client would go on behind what it has never seen.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -131072")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Raises Unavailable while there is no index, or one of another version."""
    return open_reader(path, "access", VERSION, prepare_reader)


def prepare_reader(connection: sqlite3.Connection) -> None:
    """With `id_rev(id, rev)`, for texts that JSON escapes: a list's `{"id":"..","rev":".."}` without its ends.

    SQLite's own JSON functions cut at a NUL.
    """
    connection.execute("PRAGMA cache_size = -16384")
    connection.create_function(
        "id_rev", 2, lambda doc_id, rev: orjson.dumps({"id": doc_id, "rev": rev}).decode()[7:-2], deterministic=True
    )


def create(connection: sqlite3.Connection, identity: str) -> None:
    """An empty index of that database, with an epoch of its own."""
    connection.executescript(f"BEGIN IMMEDIATE; {TABLES}")
    values = (VERSION, identity, secrets.token_hex(6), 0, 0, "0", 0)
    connection.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    connection.execute("INSERT INTO position VALUES (0, '0')")
    connection.execute("COMMIT")


def read_state(connection: sqlite3.Connection) -> State:
    row = connection.execute("SELECT identity, epoch, change, moved, couch_seq, pending FROM state").fetchone()
    return State(*row)


def remove(path: Path) -> None:
    """Delete the file and SQLite's companions of it; readers notice and open the new one."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


NAMES_AT_ONCE = 500


def numbers_of(connection: sqlite3.Connection, names: Collection[str]) -> dict[str, int]:
    """The number of every name that is a node."""
    return dict(named_nodes(connection, names, "id, n"))


def named_nodes(connection: sqlite3.Connection, names: Collection[str], columns: str) -> Iterator[tuple[Any, ...]]:
    """The columns of every name that is a node. Bound one by one: SQLite's JSON functions cut texts at a NUL."""
    wanted = list(names)
    for start in range(0, len(wanted), NAMES_AT_ONCE):
        page = wanted[start : start + NAMES_AT_ONCE]
        marks = ",".join("?" * len(page))
        yield from connection.execute(f"SELECT {columns} FROM node WHERE id IN ({marks})", page)


def as_json(values: Iterable[int]) -> str:
    """Numbers as the argument of SQLite's `json_each`."""
    return orjson.dumps(list(values)).decode()
