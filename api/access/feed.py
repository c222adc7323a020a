"""What changed for a scope since a position: found by testing each change, or by way of the whole list."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import NamedTuple

from api.access.queries import (
    ROW,
    Ground,
    Row,
    allowed_rows,
    full_reach,
    ground_of,
    judge,
    rows_of,
    signoff_hits,
)
from api.access.rules import Kind, Scope
from api.access.schema import DELETED, KIND_BITS, as_json, numbers_of, read_state

WINDOW = 1000  # changes judged at once
WINDOWS_AT_MOST = 5  # further behind than this, listing all that is allowed is cheaper than testing every change


class Found(NamedTuple):
    """Visible changes after some position: documents by the change that brings them, and how far that looked."""

    rows: list[tuple[int, Row]]
    upto: int


def changes(connection: sqlite3.Connection, scope: Scope, since: int, limit: int, *, deletions: bool) -> Found:
    """Visible documents changed after `since`, in feed order, about `limit` of them; and the position after them.

    A contact that entered the scope after `since` brings its older documents with it, at its own change. They come
    all or none, so a page can be longer than `limit`.
    """
    connection.execute("BEGIN")
    try:
        ground = ground_of(connection, scope)
        last = read_state(connection).change
        if last - since > WINDOW * WINDOWS_AT_MOST:
            return listed_changes(connection, ground, since, last, limit, deletions=deletions)
        found: list[tuple[int, Row]] = []
        upto = since
        while upto < last and len(found) < limit:
            rows, upto = scanned_changes(connection, ground, since, upto, last, deletions=deletions)
            found += rows
        return page(found, upto, limit)
    finally:
        connection.execute("COMMIT")


def page(found: list[tuple[int, Row]], upto: int, limit: int) -> Found:
    """The first `limit` of the changes, and what else came with the last of them."""
    if len(found) <= limit:
        return Found(found, upto)
    cut = limit
    while cut < len(found) and found[cut][0] == found[cut - 1][0]:
        cut += 1
    return Found(found[:cut], upto if cut == len(found) else found[cut - 1][0])


def scanned_changes(
    connection: sqlite3.Connection, ground: Ground, since: int, after: int, last: int, *, deletions: bool
) -> tuple[list[tuple[int, Row]], int]:
    """The visible ones of the next `WINDOW` changes, each tested, and how far that was."""
    sql = f"SELECT {ROW} FROM node WHERE change > ? AND change <= ? ORDER BY change LIMIT {WINDOW}"
    rows = [Row(*row) for row in connection.execute(sql, (after, last))]
    seen = judge(connection, ground, rows)
    found = [(row.change, row) for row in seen if deletions or not row.deleted]
    if since:
        contacts = {row.n: row.change for row in seen if row.flags & KIND_BITS == Kind.CONTACT}
        found += backfill(connection, ground, since, contacts)
        found.sort(key=lambda each: each[0])
    return found, rows[-1].change if len(rows) == WINDOW else last


def backfill(
    connection: sqlite3.Connection, ground: Ground, since: int, contacts: Mapping[int, int]
) -> list[tuple[int, Row]]:
    """Documents not changed after `since` about those contacts which moved after it, at the contact's change."""
    at = subjects_of(connection, contacts, moved_after=since)
    return older_documents(connection, ground, since, at) if at else []


def subjects_of(connection: sqlite3.Connection, contacts: Mapping[int, int], *, moved_after: int) -> dict[int, int]:
    """The ids and shortcodes of those contacts that moved after a change, with the value given for the contact."""
    sql = "SELECT n, shortcode FROM json_each(?) CROSS JOIN contact ON n = value WHERE moved > ?"
    at: dict[int, int] = {}
    for n, shortcode in connection.execute(sql, (as_json(contacts), moved_after)):
        for subject in (n, shortcode):
            if subject is not None:
                at[subject] = max(contacts[n], at.get(subject, 0))
    return at


def older_documents(
    connection: sqlite3.Connection, ground: Ground, since: int, at: Mapping[int, int]
) -> list[tuple[int, Row]]:
    """Visible live documents unchanged since `since` with one of those keys, each at the number `at` gives the key."""
    keys = as_json(at)
    conditions = f"change <= {since:d} AND flags & {DELETED} = 0"
    sql = f"SELECT {ROW} FROM json_each(?) CROSS JOIN node ON subject = value WHERE {conditions}"
    candidates = rows_of(connection, sql, at)
    signoff = signoff_hits(connection, "key", keys)
    sql = f"SELECT {ROW} FROM json_each(?) CROSS JOIN node ON n = value WHERE {conditions}"
    candidates.update(rows_of(connection, sql, [n for n in signoff if n not in candidates]))
    return [
        (max(at[key] for key in (row.subject, *signoff.get(row.n, ())) if key in at), row)
        for row in judge(connection, ground, list(candidates.values()))
    ]


def listed_changes(
    connection: sqlite3.Connection, ground: Ground, since: int, last: int, limit: int, *, deletions: bool
) -> Found:
    """As scanning, by way of the whole list: its cost does not grow with the number of changes."""
    full = full_reach(connection, ground)
    rows = allowed_rows(connection, ground, full, deletions=deletions).values()
    found = [(row.change, row) for row in rows if row.change > since]
    if since:
        moved = {subject: at for subject, at in full.moved.items() if at > since}
        found += older_documents(connection, ground, since, moved) if moved else []
    found.sort(key=lambda each: each[0])
    return page(found, last, limit)


def position_before(connection: sqlite3.Connection, change: int) -> str:
    """A CouchDB sequence at which every change up to `change` has not yet been passed, but few more."""
    sql = "SELECT couch_seq FROM position WHERE change <= ? ORDER BY change DESC LIMIT 1"
    return str(connection.execute(sql, (change,)).fetchone()[0])


def touched_names(connection: sqlite3.Connection, after: int, upto: int) -> set[str]:
    """Whom those changes may concern: the documents, their keys, and every ancestor of the contacts these mean."""
    sql = """
    WITH changed (n, subject) AS MATERIALIZED (SELECT n, subject FROM node WHERE change > :after AND change <= :upto),
      key (n) AS MATERIALIZED (
        SELECT subject FROM changed WHERE subject IS NOT NULL
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


def named_changes(connection: sqlite3.Connection, scope: Scope, ids: Collection[str], upto: int) -> list[Row]:
    """Of the documents that another feed says have changed, the visible ones that were last changed by `upto`.

    With every contact come its older documents, since that feed cannot tell which contacts have moved.
    """
    connection.execute("BEGIN")
    try:
        ground = ground_of(connection, scope)
        numbers = numbers_of(connection, ids).values()
        sql = f"SELECT {ROW} FROM json_each(?) CROSS JOIN node ON node.n = value WHERE node.change <= {upto:d}"
        seen = {row.n: row for row in judge(connection, ground, list(rows_of(connection, sql, numbers).values()))}
        contacts = {row.n: row.change for row in seen.values() if row.flags & KIND_BITS == Kind.CONTACT}
        at = subjects_of(connection, contacts, moved_after=-1)
        for _, row in older_documents(connection, ground, upto, at) if at else []:
            seen.setdefault(row.n, row)
        return sorted(seen.values(), key=lambda row: row.change)
    finally:
        connection.execute("COMMIT")
