"""What changed for a scope since a position: found by testing each change, or by way of the whole list."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from api.access.listing import visible_rows
from api.access.queries import (
    ROW,
    Ground,
    Row,
    ground_of,
    judge,
    rows_of,
    signoff_hits,
)
from api.access.rules import Kind, Scope
from api.access.schema import DELETED, KIND_BITS, State, as_json, numbers_of, read_state

WINDOW = 1000  # changes judged at once
WINDOWS_AT_MOST = 2  # further behind than this, listing all that is allowed is cheaper than testing every change


@dataclass(frozen=True, slots=True)
class Place:
    """How far a client has come: it has what it may see of every change up to `change`.

    While it works through more than one page it also remembers `whole`, the change up to which it was complete before,
    and `seen`, where the index stood when these pages began: only contacts that moved after that can bring documents
    which an earlier page should not have had.
    """

    change: int
    whole: int
    seen: int

    @classmethod
    def at(cls, change: int) -> Place:
        """Of a client that is complete up to there."""
        return cls(change, change, change)


class Found(NamedTuple):
    """Visible documents, each by the number of the change that brings it, and the client's place after them.

    `on_the_way` is the place of a client that has them only in part, but for its `change`. All of it was true of the
    index of that `epoch` at one moment; what CouchDB's own feed has up to `since_seq` a client had before, and what it
    has up to `seq` a client has with these.
    """

    rows: list[tuple[int, Row]]
    place: Place
    on_the_way: Place
    epoch: str
    since_seq: str
    seq: str


def changes(connection: sqlite3.Connection, scope: Scope, place: Place, limit: int, *, deletions: bool) -> Found:
    """Visible documents changed after `place`, in feed order, about `limit` of them; and the place after them.

    A contact that entered the scope brings its older documents with it, at its own change. They come all or none, so
    a page can be longer than `limit`.
    """
    connection.execute("BEGIN")
    try:
        ground = ground_of(connection, scope)
        state = read_state(connection)
        last = state.change
        on_the_way = place if place.change != place.whole else Place(place.change, place.whole, last)
        if last - place.change > WINDOW * WINDOWS_AT_MOST:
            found, upto = listed_changes(connection, ground, on_the_way, last, limit, deletions=deletions)
        else:
            found, upto = scanned_changes(connection, ground, on_the_way, last, limit, deletions=deletions)
        found, upto = cut_to(limit, found, upto)
        since_seq, seq = (position_before(connection, change) for change in (place.change, upto))
    finally:
        connection.execute("COMMIT")
    reached = Place.at(last) if upto == last else replace(on_the_way, change=upto)
    return Found(found, reached, on_the_way, state.epoch, since_seq, seq)


def cut_to(limit: int, found: list[tuple[int, Row]], upto: int) -> tuple[list[tuple[int, Row]], int]:
    """The first ones, at least one, with all that the last of their changes brings; and how far they go."""
    cut = limit
    while cut < len(found) and found[cut][0] == found[cut - 1][0]:
        cut += 1
    return (found, upto) if cut >= len(found) else (found[:cut], found[cut - 1][0])


def scanned_changes(
    connection: sqlite3.Connection, ground: Ground, place: Place, last: int, limit: int, *, deletions: bool
) -> tuple[list[tuple[int, Row]], int]:
    """Test every change after the place, window by window, until enough are visible; and how far that was."""
    sql = f"SELECT {ROW} FROM node WHERE change > ? AND change <= ? ORDER BY change LIMIT {WINDOW}"
    found: list[tuple[int, Row]] = []
    upto = place.change
    while upto < last and len(found) < limit:
        rows = [Row._make(row) for row in connection.execute(sql, (upto, last))]
        found += with_backfill(connection, ground, place, judge(connection, ground, rows), deletions=deletions)
        upto = rows[-1].change if len(rows) == WINDOW else last
    return found, upto


def listed_changes(
    connection: sqlite3.Connection, ground: Ground, place: Place, last: int, limit: int, *, deletions: bool
) -> tuple[list[tuple[int, Row]], int]:
    """As scanning, by way of all that the scope may have: its cost does not grow with the number of changes."""
    rows = visible_rows(connection, ground, after=place.change, deletions=deletions)
    found: list[tuple[int, Row]] = []
    step = min(WINDOW, max(100, 2 * limit))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        found += with_backfill(connection, ground, place, part, deletions=deletions)
        if len(found) >= limit and start + step < len(rows):
            return found, part[-1].change
    return found, last


def with_backfill(
    connection: sqlite3.Connection, ground: Ground, place: Place, seen: Sequence[Row], *, deletions: bool
) -> list[tuple[int, Row]]:
    """The visible rows with the older documents of those contacts among them that have moved, in feed order."""
    found = [(row.change, row) for row in seen if deletions or not row.deleted]
    contacts = {row.n: row.change for row in seen if row.flags & KIND_BITS == Kind.CONTACT}
    if place.change and contacts:
        found += older_documents(connection, ground, place, contacts)
        found.sort(key=lambda each: each[0])
    return found


def older_documents(
    connection: sqlite3.Connection, ground: Ground, place: Place, contacts: Mapping[int, int]
) -> list[tuple[int, Row]]:
    """Visible live documents about contacts that moved, unchanged since before the client could have had them.

    `contacts` maps each contact to the change at which its documents come.
    """
    sql = "SELECT n, shortcode, moved FROM json_each(?) CROSS JOIN contact ON n = value WHERE moved > ?"
    at: dict[int, int] = {}
    upto: dict[int, int] = {}
    for n, shortcode, moved in connection.execute(sql, (as_json(contacts), place.whole)):
        oldest_missing = place.change if moved > place.seen else place.whole
        for subject in (n, shortcode):
            if subject is not None:
                at[subject] = max(contacts[n], at.get(subject, 0))
                upto[subject] = max(oldest_missing, upto.get(subject, 0))
    if not any(upto.values()):
        return []
    older = f"node.change <= {max(upto.values()):d} AND flags & {DELETED} = 0"
    sql = f"SELECT {ROW} FROM json_each(?) CROSS JOIN node ON subject = value AND {older}"
    candidates = rows_of(connection, sql, at)
    signoff = signoff_hits(connection, "key", as_json(at))
    sql = f"SELECT {ROW} FROM json_each(?) CROSS JOIN node ON n = value AND {older}"
    candidates.update(rows_of(connection, sql, [n for n in signoff if n not in candidates]))
    found = []
    for row in judge(connection, ground, list(candidates.values())):
        keys = [key for key in (row.subject, *signoff.get(row.n, ())) if key in at]
        if any(row.change <= upto[key] for key in keys):
            found.append((max(at[key] for key in keys), row))
    return found


def position_before(connection: sqlite3.Connection, change: int) -> str:
    """A CouchDB sequence at which every change up to `change` has not yet been passed, but few more."""
    sql = "SELECT couch_seq FROM position WHERE change <= ? ORDER BY change DESC LIMIT 1"
    return str(connection.execute(sql, (change,)).fetchone()[0])


def touched_names(connection: sqlite3.Connection, after: int, upto: int) -> set[str]:
    """Whom those changes may concern: the documents, their keys, and every ancestor of the contacts these mean."""
    sql = """
    WITH changed (n, subject) AS MATERIALIZED (SELECT n, subject FROM node WHERE change > :after AND change <= :upto),
      key (n) AS MATERIALIZED (
        SELECT subject FROM changed WHERE subject > 0
        UNION SELECT signoff.key FROM changed CROSS JOIN signoff ON doc = changed.n
        UNION SELECT contact.n FROM changed CROSS JOIN contact ON contact.n = changed.n
      ),
      meant (n) AS MATERIALIZED (
        SELECT n FROM key UNION SELECT contact.n FROM key CROSS JOIN contact ON contact.shortcode = key.n
      ),
      place (n) AS MATERIALIZED (
        SELECT n FROM meant UNION SELECT contact.n FROM meant CROSS JOIN contact ON contact.primary_contact = meant.n
      ),
      touched (n) AS (
        SELECT n FROM key UNION SELECT n FROM changed
        UNION SELECT ancestor FROM place CROSS JOIN path ON path.contact = place.n
      )
    SELECT node.id FROM touched CROSS JOIN node ON node.n = touched.n
    """
    return {row[0] for row in connection.execute(sql, {"after": after, "upto": upto})}


def named_changes(connection: sqlite3.Connection, scope: Scope, ids: Collection[str], at: State) -> list[Row] | None:
    """Of the documents that another feed says have changed, the visible ones that were last changed by that state.

    With every contact come its older documents, since that feed cannot tell which contacts have moved. None when the
    state is that of another file, which has been replaced.
    """
    upto = at.change
    connection.execute("BEGIN")
    try:
        if read_state(connection).epoch != at.epoch:
            return None
        ground = ground_of(connection, scope)
        numbers = numbers_of(connection, ids).values()
        sql = f"SELECT {ROW} FROM json_each(?) CROSS JOIN node ON node.n = value WHERE node.change <= {upto:d}"
        seen = {row.n: row for row in judge(connection, ground, list(rows_of(connection, sql, numbers).values()))}
        contacts = {row.n: row.change for row in seen.values() if row.flags & KIND_BITS == Kind.CONTACT}
        for _, row in older_documents(connection, ground, Place(upto, -1, -1), contacts):
            seen.setdefault(row.n, row)
        return sorted(seen.values(), key=lambda row: row.change)
    finally:
        connection.execute("COMMIT")
