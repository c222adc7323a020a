"""Everything a scope may see, as one SQL statement: whole lists cost what the user has, and Python touches no row."""

from __future__ import annotations

import sqlite3
from hashlib import blake2b
from typing import Any, NamedTuple

import orjson

from api.access.queries import IS_LIVE, ROW, Ground, Row, ground_of
from api.access.rules import UNLIMITED, Kind, Scope
from api.access.schema import DELETED, KIND_BITS, ODD_TEXT, PRIVATE, as_json

# The contacts in scope, and the whole subject set S with the least depth of each (REPL-31..35).
SUBJECTS = """
WITH inside (n, shortcode, primary_contact, depth) AS MATERIALIZED (
    SELECT contact.n, contact.shortcode, contact.primary_contact, path.depth
    FROM path CROSS JOIN contact ON contact.n = path.contact
    WHERE path.ancestor IN (SELECT value FROM json_each(:facilities)) AND (:limit < 0 OR path.depth <= :limit)
  ),
  reached (n, shortcode, depth) AS MATERIALIZED (SELECT n, shortcode, depth FROM inside {primary_contacts}),
  key (n, depth) AS (
    SELECT n, depth FROM reached WHERE {counts}
    UNION ALL SELECT shortcode, depth FROM reached WHERE shortcode IS NOT NULL AND {counts}
    UNION ALL SELECT value, 0 FROM json_each(:own_keys)
  ),
  subject (n, depth) AS MATERIALIZED (SELECT n, {least_depth} FROM key GROUP BY n)
"""
PRIMARY_CONTACTS = """
    UNION ALL SELECT contact.n, contact.shortcode, inside.depth
    FROM inside CROSS JOIN contact ON contact.n = inside.primary_contact
    WHERE {place_counts}
"""
# REPL-45 and REPL-46; `{key}` is the key by which the document was found.
NOT_SENSITIVE = f"""(
      node.flags & {PRIVATE} = 0 OR node.subject NOT IN (SELECT value FROM json_each(:sensitive))
      OR COALESCE(node.submitter, 0) IN (SELECT n FROM subject)
    )"""
NOT_TOO_DEEP = f"""(
      node.flags & {KIND_BITS} <> {Kind.REPORT:d} OR COALESCE(node.submitter, 0) = :contact
      OR {{key}} IN (SELECT n FROM subject WHERE depth <= :report_depth)
    )"""
# By its subject nearly everything; contacts and the user's own documents by their number; the rest by sign-off keys.
FOUND = """,
  signed (n) AS (
    SELECT node.n FROM subject CROSS JOIN signoff ON signoff.key = subject.n CROSS JOIN node ON node.n = signoff.doc
    WHERE ({not_sensitive} OR signoff.key = :everyone) AND {key_not_too_deep}
  ),
  found AS (
    SELECT {row} FROM subject CROSS JOIN node ON node.subject = subject.n
    WHERE {where} AND {by_subject}
    UNION ALL
    SELECT {row} FROM (SELECT n FROM reached UNION SELECT value FROM json_each(:own_ids)) AS listed
      CROSS JOIN node ON node.subject = -listed.n AND node.rev IS NOT NULL
    WHERE {where}
    UNION ALL
    SELECT {row} FROM (SELECT n FROM signed UNION SELECT value FROM json_each(:own_ids)) AS listed
      CROSS JOIN node ON node.n = listed.n AND node.subject > 0
    WHERE {where} AND NOT (node.subject IN (SELECT n FROM subject) AND {by_subject})
  )
"""
PURGED = "EXISTS (SELECT 1 FROM purged WHERE role_set = :role_set AND doc = found.n)"
LIVE = f"node.flags & {DELETED} = 0"


def visible_sql(ground: Ground, where: str) -> tuple[str, dict[str, Any]]:
    """A `WITH` clause whose table `found` has the documents that the scope may see (20 §6) and `where` admits.

    Restrictions are written only where the scope has them. `found` has the columns of `ROW`.
    """
    scope = ground.scope
    limited = scope.report_depth != UNLIMITED
    depth_of_subject, depth_of_key = (
        (NOT_TOO_DEEP.format(key="node.subject"), NOT_TOO_DEEP.format(key="signoff.key"))
        if limited
        else ("TRUE", "TRUE")
    )
    counts, place_counts = (
        ("TRUE", "TRUE") if scope.deleted_contacts else (IS_LIVE.format(n="reached.n"), IS_LIVE.format(n="inside.n"))
    )
    sql = SUBJECTS.format(
        primary_contacts=PRIMARY_CONTACTS.format(place_counts=place_counts) if scope.primary_contacts else "",
        counts=counts,
        least_depth="MIN(depth)" if limited else "0",
    ) + FOUND.format(
        row=ROW,
        where=where,
        not_sensitive=NOT_SENSITIVE,
        by_subject=f"{NOT_SENSITIVE} AND {depth_of_subject}",
        key_not_too_deep=depth_of_key,
    )
    return sql, {
        "facilities": ground.facilities,
        "limit": scope.contact_depth,
        "report_depth": scope.report_depth,
        "own_keys": as_json(ground.own_keys),
        "own_ids": as_json(ground.own_ids),
        "sensitive": as_json(ground.sensitive),
        "everyone": ground.everyone,
        "contact": ground.contact,
        "role_set": ground.role_set,
    }


def visible_rows(connection: sqlite3.Connection, ground: Ground, *, after: int = 0, deletions: bool) -> list[Row]:
    """The visible, unpurged documents changed after `after`, in feed order; deleted ones only if asked for."""
    where = f"node.change > {after:d}" + ("" if deletions else f" AND {LIVE}")
    sql, args = visible_sql(ground, where)
    sql += f"SELECT * FROM found WHERE NOT {PURGED} ORDER BY change"
    return [Row._make(row) for row in connection.execute(sql, args)]


class Listing(NamedTuple):
    """The live documents of a scope: how many, and as the members of a JSON array `{"id":..,"rev":..}`, by id.

    `purged` were left out of all the rest; `tasks` are among `total`. `subjects` is the size of the subject set.
    `digest` is the same for the same documents in the same revisions.
    """

    total: int
    tasks: int
    purged: int
    subjects: int
    text: bytes
    digest: str

    def rows(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = orjson.loads(b"[%b]" % self.text)
        return found


# Text is joined as little as possible: it is what a list costs most.
LIST = f"""
SELECT COUNT(*) FILTER (WHERE NOT purged), COUNT(*) FILTER (WHERE NOT purged AND task), COUNT(*) FILTER (WHERE purged),
  (SELECT COUNT(*) FROM subject),
  CAST(COALESCE(:before || GROUP_CONCAT(member, :between) FILTER (WHERE NOT purged) || :after, '') AS BLOB)
FROM (
  SELECT flags & {KIND_BITS} = {Kind.TASK:d} AS task, {{purged}} AS purged,
    CASE flags & {ODD_TEXT} WHEN 0 THEN id || '","rev":"' || rev ELSE id_rev(id, rev) END AS member
  FROM found ORDER BY id
)
"""
PUNCTUATION = {"before": '{"id":"', "between": '"},{"id":"', "after": '"}'}


def listing(connection: sqlite3.Connection, scope: Scope) -> Listing:
    """The scope's live documents but for those purged for its role set (REPL-50..52), sorted by id.

    SQLite writes the JSON: one step of one statement, during which other threads run.
    """
    connection.execute("BEGIN")
    try:
        ground = ground_of(connection, scope)
        sql, args = visible_sql(ground, LIVE)
        members = LIST.format(purged="FALSE" if ground.role_set is None else PURGED)
        total, tasks, purged, subjects, text = connection.execute(sql + members, args | PUNCTUATION).fetchone()
    finally:
        connection.execute("COMMIT")
    return Listing(total, tasks, purged, subjects, text, blake2b(text, digest_size=16).hexdigest())


class Counts(NamedTuple):
    """How many live documents a scope has, and how many of them are tasks."""

    total: int
    tasks: int


def counts(connection: sqlite3.Connection, scope: Scope) -> Counts:
    """Those of `listing`, without a row of it."""
    connection.execute("BEGIN")
    try:
        ground = ground_of(connection, scope)
        sql, args = visible_sql(ground, LIVE)
        sql += f"SELECT COUNT(*), COUNT(*) FILTER (WHERE flags & {KIND_BITS} = {Kind.TASK:d}) FROM found"
        if ground.role_set is not None:
            sql += f" WHERE NOT {PURGED}"
        return Counts(*connection.execute(sql, args).fetchone())
    finally:
        connection.execute("COMMIT")
