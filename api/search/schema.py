"""The search index's file: its tables, how it is made, and how a reader knows that it may read it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from api.access.readers import open_reader

VERSION = 1
SEPARATOR = "\x1f"  # between the tokens of a document, which are split before they get here

# Every ASCII character but letters and digits, which are part of tokens anyway, and the separator. Others always are.
TOKEN_CHARACTERS = "".join(chr(code) for code in range(1, 128) if chr(code) != SEPARATOR and not chr(code).isalnum())


def quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


TOKENIZER = quoted("ascii tokenchars " + quoted(TOKEN_CHARACTERS, "'"), '"')

# doc.n       changes with every change of what can be searched: FTS5 cannot forget the words of a contentless row, so
#             those of a number that is in `doc` no more find nothing (until the file is begun anew, see the writer)
# doc.content a hash of kind, sort and tokens: most writes change none of them
# words       only which document has which token: no positions, no texts, no sizes
# state.next  the next free number
TABLES = (
    "CREATE TABLE doc (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind INTEGER NOT NULL, sort NOT NULL, "
    "content INTEGER NOT NULL)",
    f"CREATE VIRTUAL TABLE words USING fts5(tokens, content = '', columnsize = 0, detail = none, "
    f"tokenize = {TOKENIZER})",
    "CREATE TABLE state (version INTEGER NOT NULL, identity TEXT NOT NULL, next INTEGER NOT NULL, "
    "couch_seq TEXT NOT NULL, pending INTEGER NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class State:
    """Where the index stands: all changes up to CouchDB's `couch_seq` are in it; `pending` were left then."""

    identity: str
    next: int
    couch_seq: str
    pending: int


def create(connection: sqlite3.Connection, identity: str) -> None:
    """An empty index of that database."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO state VALUES (?, ?, 1, '0', 0)", (VERSION, identity))
    connection.execute("COMMIT")


def connect_reader(path: Path) -> sqlite3.Connection:
    """Raises Unavailable while there is no index, or one of another version."""
    return open_reader(path, "search", VERSION)


def read_state(connection: sqlite3.Connection) -> State:
    return State(*connection.execute("SELECT identity, next, couch_seq, pending FROM state").fetchone())
