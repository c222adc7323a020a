"""Apply batches of changes to the access index: one transaction each, with the sequence it brings the index to."""

from __future__ import annotations

import fcntl
import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from api.access import schema
from api.access.readers import version_of
from api.access.rules import Facts, Kind
from api.access.schema import DELETED, ODD_TEXT, PRIVATE, State, as_json, numbers_of

log = logging.getLogger(__name__)

NAMES_REMEMBERED = 300_000  # numbers of names kept in memory; a memory bound, not a limit
ESCAPED = re.compile(r'["\\\x00-\x1f]')
INSERT_NODE = "INSERT INTO node VALUES (?, ?, ?, ?, ?, ?, ?)"
POSITION_STEP = 1000  # changes between the positions that are kept for tokens of old rows


@dataclass(frozen=True, slots=True)
class Entry:
    """A document as a change left it. `facts` of a deleted one are its last live body's; None keeps what is known.

    `only_leaf`: it has no conflicting revisions, so the same revision once more is no news.
    """

    id: str
    rev: str
    deleted: bool
    facts: Facts | None
    only_leaf: bool = False


class IndexWriter:
    """The only writer of the file. Not for use by two threads at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.state = schema.read_state(connection)
        self._lock: IO[bytes] | None = None
        self._numbers: dict[str, int] = {}
        self._next_number = next_number(connection)

    @classmethod
    def open(cls, path: Path, identity: str) -> Self:
        """The index of that database; one of another database or version, or a broken one, makes way for an empty one.

        BlockingIOError while another process writes the file.
        """
        lock = lock_file(path)
        connection = open_fitting(path, identity)
        if connection is None:
            schema.remove(path)
            connection = schema.connect_writer(path)
            schema.create(connection, identity)
        writer = cls(connection)
        writer._lock = lock
        return writer

    def close(self) -> None:
        self.connection.close()
        if self._lock is not None:
            self._lock.close()

    def unknown(self, ids: Iterable[str]) -> set[str]:
        """Those ids of which no document has been applied."""
        wanted = set(ids)
        numbers = numbers_of(self.connection, wanted)
        sql = "SELECT node.id FROM json_each(?) CROSS JOIN node ON n = value WHERE rev IS NOT NULL"
        return wanted - {row[0] for row in self.connection.execute(sql, (as_json(numbers.values()),))}

    def apply(self, entries: Sequence[Entry], couch_seq: str, pending: int) -> State:
        """Apply the changes in their order and move the index to `couch_seq`. All or nothing."""
        entries = list({entry.id: entry for entry in entries}.values())
        with self._transaction():
            state = self._apply(entries, couch_seq, pending)
        self.state = state
        return state

    def role_sets(self) -> dict[str, tuple[str, str]]:
        """The identity of each role set's purge database and how far it has been read, by the role set's hash."""
        sql = "SELECT hash, identity, couch_seq FROM role_set"
        return {role_set: (identity, seq) for role_set, identity, seq in self.connection.execute(sql)}

    def apply_marks(self, role_set: str, identity: str, marks: Mapping[str, bool], couch_seq: str) -> None:
        """Hide or show again those documents to a role set, as its purge database says up to `couch_seq`."""
        with self._transaction():
            sql = """INSERT INTO role_set (hash, identity, couch_seq) VALUES (:hash, :identity, :seq)
                ON CONFLICT (hash) DO UPDATE SET identity = :identity, couch_seq = :seq"""
            self.connection.execute(sql, {"hash": role_set, "identity": identity, "seq": couch_seq})
            (number,) = self.connection.execute("SELECT n FROM role_set WHERE hash = ?", (role_set,)).fetchone()
            numbers, new = self._number(set(marks))
            self.connection.executemany(INSERT_NODE, (bare_name(numbers[name], name) for name in new))
            pairs = [(number, numbers[doc_id]) for doc_id, marked in marks.items() if marked]
            self.connection.executemany("INSERT OR IGNORE INTO purged VALUES (?, ?)", pairs)
            pairs = [(number, numbers[doc_id]) for doc_id, marked in marks.items() if not marked]
            self.connection.executemany("DELETE FROM purged WHERE role_set = ? AND doc = ?", pairs)

    def forget_role_set(self, role_set: str) -> None:
        """Nothing is purged for a role set whose database is gone (REPL-57)."""
        with self._transaction():
            sql = "DELETE FROM purged WHERE role_set = (SELECT n FROM role_set WHERE hash = ?)"
            self.connection.execute(sql, (role_set,))
            self.connection.execute("DELETE FROM role_set WHERE hash = ?", (role_set,))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing; what is remembered of the file is forgotten with it."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            self._numbers.clear()
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            self._next_number = next_number(self.connection)
            raise

    def _apply(self, entries: Sequence[Entry], couch_seq: str, pending: int) -> State:
        numbers, new = self._number(names_in(entries))
        change = self.state.change
        inserts: list[tuple[object, ...]] = []
        updates: list[tuple[object, ...]] = []
        updated: list[int] = []
        deletions: list[tuple[object, ...]] = []
        signoffs: list[tuple[int, int]] = []
        changes: dict[int, tuple[int, Facts]] = {}
        stored = self._stored_revs(numbers[entry.id] for entry in entries if entry.id not in new)
        for entry in entries:
            change += 1
            n = numbers[entry.id]
            if entry.only_leaf and stored.get(n) == (entry.rev, entry.deleted):
                continue  # a cluster's feed may repeat itself
            facts = entry.facts
            if facts is None and entry.id not in new:
                deletions.append((entry.rev, DELETED, change, n))
                continue
            facts = facts or Facts(entry.id, Kind.OTHER)
            subject = -n if facts.kind is Kind.CONTACT or facts.subject is None else numbers[facts.subject]
            submitter = None if facts.submitter is None else numbers[facts.submitter]
            flags = facts.kind | (DELETED if entry.deleted else 0) | (PRIVATE if facts.private else 0) | oddity(entry)
            if entry.id in new:
                new.discard(entry.id)
                inserts.append((subject, n, entry.id, entry.rev, flags, submitter, change))
            else:
                updates.append((subject, entry.rev, flags, submitter, change, n))
                updated.append(n)
            signoffs += ((n, numbers[key]) for key in facts.signoff)
            changes[n] = (change, facts)
        inserts += (bare_name(numbers[name], name) for name in new)
        inserts.sort()  # pages of the file are visited in their order
        self.connection.executemany(INSERT_NODE, inserts)
        self.connection.executemany(
            "UPDATE node SET subject = ?, rev = ?, flags = ?, submitter = ?, change = ? WHERE n = ?", updates
        )
        self.connection.executemany("UPDATE node SET rev = ?, flags = flags | ?, change = ? WHERE n = ?", deletions)
        self.connection.executemany("DELETE FROM signoff WHERE doc = ?", [(n,) for n in updated])
        self.connection.executemany("INSERT INTO signoff VALUES (?, ?)", signoffs)
        revived = {n for n in changes if n in stored and stored[n][1]}
        moved = self._move_contacts(changes, numbers, updated, revived)
        return self._move_state(change, max(moved, self.state.moved), couch_seq, pending)

    def _stored_revs(self, numbers: Iterable[int]) -> dict[int, tuple[str, bool]]:
        sql = f"SELECT n, rev, flags & {DELETED} FROM json_each(?) CROSS JOIN node ON n = value WHERE rev IS NOT NULL"
        return {n: (rev, bool(deleted)) for n, rev, deleted in self.connection.execute(sql, (as_json(numbers),))}

    def _number(self, names: set[str]) -> tuple[dict[str, int], set[str]]:
        """The number of each name, and which names are new to the index."""
        numbers = {name: self._numbers[name] for name in names if name in self._numbers}
        asked = [name for name in names if name not in numbers]
        numbers.update(numbers_of(self.connection, asked))
        new = {name for name in asked if name not in numbers}
        for name in new:
            numbers[name] = self._next_number
            self._next_number += 1
        if len(self._numbers) > NAMES_REMEMBERED:
            self._numbers.clear()
        self._numbers.update(numbers)
        return numbers, new

    def _move_contacts(
        self, changes: dict[int, tuple[int, Facts]], numbers: dict[str, int], updated: list[int], revived: set[int]
    ) -> int:
        """Bring the contact tree in line with the changed documents; the last change that altered it, or 0.

        `revived` were deleted: where deleted contacts are no subjects, their documents come with them again.
        """
        stored = self._stored_contacts(updated)
        gone: list[tuple[int]] = []
        contacts: list[tuple[object, ...]] = []
        paths: list[tuple[int, int, int]] = []
        moved = 0
        for n, (change, facts) in changes.items():
            before = stored.get(n)
            if facts.kind is not Kind.CONTACT:
                if before is not None:
                    gone.append((n,))
                    moved = change
                continue
            chain = {numbers[ancestor]: depth for ancestor, depth in facts.chain}
            shortcode = None if facts.shortcode is None else numbers[facts.shortcode]
            primary = None if facts.primary_contact is None else numbers[facts.primary_contact]
            if before == (chain, shortcode, primary) and n not in revived:
                continue
            if before is not None:
                gone.append((n,))
            moved = change
            contacts.append((n, shortcode, primary, change))
            paths += ((ancestor, depth, n) for ancestor, depth in chain.items())
        self.connection.executemany("DELETE FROM contact WHERE n = ?", gone)
        self.connection.executemany("DELETE FROM path WHERE contact = ?", gone)
        self.connection.executemany("INSERT INTO contact VALUES (?, ?, ?, ?)", contacts)
        self.connection.executemany("INSERT INTO path VALUES (?, ?, ?)", paths)
        return moved

    def _stored_contacts(self, numbers: list[int]) -> dict[int, tuple[dict[int, int], int | None, int | None]]:
        asked = as_json(numbers)
        sql = "SELECT n, shortcode, primary_contact FROM json_each(?) CROSS JOIN contact ON n = value"
        stored: dict[int, tuple[dict[int, int], int | None, int | None]]
        stored = {n: ({}, shortcode, primary) for n, shortcode, primary in self.connection.execute(sql, (asked,))}
        sql = "SELECT contact, ancestor, depth FROM json_each(?) CROSS JOIN path ON contact = value"
        for n, ancestor, depth in self.connection.execute(sql, (asked,)):
            stored[n][0][ancestor] = depth
        return stored

    def _move_state(self, change: int, moved: int, couch_seq: str, pending: int) -> State:
        before = self.state
        self.connection.execute(
            "UPDATE state SET change = ?, moved = ?, couch_seq = ?, pending = ?", (change, moved, couch_seq, pending)
        )
        # The latest position and one for every so many changes: enough to restart a token of any age nearby.
        if before.change // POSITION_STEP == change // POSITION_STEP and before.change % POSITION_STEP:
            self.connection.execute("DELETE FROM position WHERE change = ?", (before.change,))
        self.connection.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", (change, couch_seq))
        return State(before.identity, before.epoch, change, moved, couch_seq, pending)


def open_fitting(path: Path, identity: str) -> sqlite3.Connection | None:
    """The file at `path` if it is a whole index of that database in today's format."""
    if not path.exists():
        return None
    connection = None
    try:
        connection = schema.connect_writer(path)
        if version_of(connection) == schema.VERSION and schema.read_state(connection).identity == identity:
            return connection
    except sqlite3.DatabaseError as error:
        log.info("no access index to go on with: %s", error)
    if connection is not None:
        connection.close()
    return None


def lock_file(path: Path) -> IO[bytes]:
    """Held open, it keeps any other process from writing the index. BlockingIOError while one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    return lock


def next_number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT COALESCE(MAX(n), 0) + 1 FROM node").fetchone()[0])


def bare_name(n: int, name: str) -> tuple[object, ...]:
    """The node of a name of which no document has been seen."""
    return (-n, n, name, None, 0, None, None)


def oddity(entry: Entry) -> int:
    """The flag ODD_TEXT where id or rev cannot stand in JSON as they are."""
    return ODD_TEXT if ESCAPED.search(entry.id) or ESCAPED.search(entry.rev) else 0


def names_in(entries: Iterable[Entry]) -> set[str]:
    names: set[str] = set()
    for entry in entries:
        names.add(entry.id)
        facts = entry.facts
        if facts is None:
            continue
        if facts.kind is Kind.CONTACT:
            names.update(ancestor for ancestor, _ in facts.chain)
            optional = (facts.shortcode, facts.primary_contact)
        else:
            names.update(facts.signoff)
            optional = (facts.subject, facts.submitter)
        names.update(name for name in optional if name is not None)
    return names
