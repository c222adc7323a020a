"""Which documents a scope sees, asked of the access index as SQL over one connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from api.access.rules import ALL, UNLIMITED, Context, Facts, Kind, Scope
from api.access.schema import DELETED, KIND_BITS, PRIVATE, as_json, named_nodes, numbers_of
from core.hydration import Nearby

ROW = "node.n, node.id, node.rev, node.flags, node.subject, node.submitter, node.change"

CONTACTS_OF_A_SMALL_SCOPE = 500  # with some 2,000 documents, which are listed in about 5 ms


class Row(NamedTuple):
    """A document in the index, in its columns' order."""

    n: int
    id: str
    rev: str
    flags: int
    subject: int  # negative: none
    submitter: int | None
    change: int

    @property
    def deleted(self) -> bool:
        return bool(self.flags & DELETED)

    @property
    def is_task(self) -> bool:
        return self.flags & KIND_BITS == Kind.TASK


@dataclass(frozen=True)
class Ground:
    """A scope in the index's own numbers. Names the index has never met have none and match nothing."""

    scope: Scope
    facilities: str  # a JSON list, for json_each
    own_keys: dict[int, int]  # number -> depth 0
    own_ids: frozenset[int]
    everyone: int | None
    contact: int | None
    sensitive: frozenset[int]
    role_set: int | None  # that has a purge database


def ground_of(connection: sqlite3.Connection, scope: Scope) -> Ground:
    home = [*scope.facilities, *([scope.contact_id] if scope.contact_id else [])]
    numbers = numbers_of(connection, {*home, *scope.own_keys, *scope.own_ids})
    sensitive = {numbers[name] for name in home if name in numbers}
    shortcodes = "SELECT shortcode FROM json_each(?) CROSS JOIN contact ON n = value WHERE shortcode IS NOT NULL"
    sensitive |= {row[0] for row in connection.execute(shortcodes, (as_json(sensitive),))}
    return Ground(
        scope=scope,
        facilities=as_json(numbers[name] for name in scope.facilities if name in numbers),
        own_keys={numbers[key]: 0 for key in scope.own_keys if key in numbers},
        own_ids=frozenset(numbers[name] for name in scope.own_ids if name in numbers),
        everyone=numbers.get(ALL),
        contact=numbers.get(scope.contact_id) if scope.contact_id else None,
        sensitive=frozenset(sensitive),
        role_set=role_set_of(connection, scope),
    )


def role_set_of(connection: sqlite3.Connection, scope: Scope) -> int | None:
    found = connection.execute("SELECT n FROM role_set WHERE hash = ?", (scope.role_set,)).fetchone()
    return None if found is None else int(found[0])


def is_large(connection: sqlite3.Connection, scope: Scope) -> bool:
    """Whether so many contacts are in scope that a list of all its documents takes long."""
    facilities = as_json(numbers_of(connection, scope.facilities).values())
    within = "" if scope.contact_depth == UNLIMITED else "AND depth <= :limit"  # in the order of the table's key
    sql = f"""SELECT 1 FROM json_each(:facilities) AS facility CROSS JOIN path ON ancestor = facility.value {within}
        LIMIT 1 OFFSET :most"""
    args = {"facilities": facilities, "limit": scope.contact_depth, "most": CONTACTS_OF_A_SMALL_SCOPE}
    return connection.execute(sql, args).fetchone() is not None


def resolve(connection: sqlite3.Connection, scope: Scope, names: Collection[str]) -> Context:
    """The context of a scope as far as these names go: enough to judge documents that carry no other keys."""
    connection.execute("BEGIN")
    try:
        ground = ground_of(connection, scope)
        numbers = numbers_of(connection, names)
        depths, primary = reach(connection, ground, numbers.values())
        texts = {n: name for name, n in numbers.items()}
        sensitive = connection.execute(
            "SELECT node.id FROM json_each(?) CROSS JOIN node ON n = value", (as_json(ground.sensitive),)
        )
        home = [*scope.facilities, *([scope.contact_id] if scope.contact_id else [])]
        return Context(
            scope=scope,
            subjects={texts[n]: depth for n, depth in depths.items() if n in texts} | dict.fromkeys(scope.own_keys, 0),
            sensitive=frozenset({*home, *(row[0] for row in sensitive)}),
            primary_contacts=frozenset(texts[n] for n in primary if n in texts),
        )
    finally:
        connection.execute("COMMIT")


class Below(NamedTuple):
    """How many contacts are below a place."""

    directly: int
    all: int


BELOW = f"""
SELECT path.ancestor, SUM(path.depth = 1), COUNT(*)
FROM json_each(?) AS place
CROSS JOIN path ON path.ancestor = place.value AND path.depth > 0
CROSS JOIN node ON node.n = path.contact AND node.rev IS NOT NULL AND node.flags & {DELETED} = 0
GROUP BY path.ancestor
"""


def count_below(connection: sqlite3.Connection, names: Collection[str]) -> dict[str, Below]:
    """The counts of the places of those ids, each once; those with nothing below are left out."""
    numbers = numbers_of(connection, names)
    texts = {n: name for name, n in numbers.items()}
    return {texts[n]: Below(directly, every) for n, directly, every in connection.execute(BELOW, (as_json(texts),))}


SHARED_SHORTCODES = f"""
WITH shared (code) AS (
  SELECT shortcode FROM contact WHERE shortcode IS NOT NULL GROUP BY shortcode HAVING COUNT(*) > 1
)
SELECT COUNT(*) FROM shared WHERE 1 < (
  SELECT COUNT(*) FROM contact CROSS JOIN node USING (n) WHERE contact.shortcode = code AND flags & {DELETED} = 0
)
"""


def count_shared_shortcodes(connection: sqlite3.Connection) -> int:
    """How many shortcodes several live contacts have: what is reported about them is taken for the first one's."""
    return int(connection.execute(SHARED_SHORTCODES).fetchone()[0])


# A subject is a contact in scope or its shortcode: from names to the contacts they may mean, and up their paths.
REACH = """
WITH asked (n) AS MATERIALIZED (SELECT value FROM json_each(:names)),
  meant (name, n) AS (
    SELECT n, n FROM asked
    UNION ALL SELECT asked.n, contact.n FROM asked CROSS JOIN contact ON contact.shortcode = asked.n
  )
SELECT meant.name, MIN(path.depth) FROM meant CROSS JOIN path ON path.contact = meant.n
WHERE path.ancestor IN (SELECT value FROM json_each(:facilities)) AND (:limit < 0 OR path.depth <= :limit) {live}
GROUP BY meant.name
"""
# REPL-35: the same for primary contacts of the contacts in scope, who may live anywhere.
REACH_PRIMARY = """
WITH asked (n) AS MATERIALIZED (SELECT value FROM json_each(:names)),
  meant (name, n) AS (
    SELECT n, n FROM asked
    UNION ALL SELECT asked.n, contact.n FROM asked CROSS JOIN contact ON contact.shortcode = asked.n
  )
SELECT meant.name, MIN(path.depth), meant.n, {subject}
FROM meant CROSS JOIN contact AS place ON place.primary_contact = meant.n CROSS JOIN path ON path.contact = place.n
WHERE path.ancestor IN (SELECT value FROM json_each(:facilities)) AND (:limit < 0 OR path.depth <= :limit)
  AND EXISTS (SELECT 1 FROM contact WHERE contact.n = meant.n) {live}
GROUP BY meant.name, meant.n
"""
# REPL-36 switched off: a deleted contact is still itself visible, so that its deletion is told, but is no subject.
IS_LIVE = f"EXISTS (SELECT 1 FROM node WHERE node.n = {{n}} AND flags & {DELETED} = 0)"


def reach(
    connection: sqlite3.Connection, ground: Ground, numbers: Iterable[int]
) -> tuple[dict[int, int], frozenset[int]]:
    """Which of these subjects the scope reaches, with their least depth; and the primary contacts among them."""
    args = {"names": as_json(numbers), "facilities": ground.facilities, "limit": ground.scope.contact_depth}
    deleted_count = ground.scope.deleted_contacts
    sql = REACH.format(live="" if deleted_count else f"AND {IS_LIVE.format(n='meant.n')}")
    depths: dict[int, int] = dict(connection.execute(sql, args))
    primary = set()
    if ground.scope.primary_contacts:
        sql = REACH_PRIMARY.format(
            subject="TRUE" if deleted_count else IS_LIVE.format(n="meant.n"),
            live="" if deleted_count else f"AND {IS_LIVE.format(n='place.n')}",
        )
        for name, depth, contact, is_subject in connection.execute(sql, args):
            if is_subject:
                depths[name] = min(depth, depths.get(name, depth))
            primary.add(contact)
    return depths | ground.own_keys, frozenset(primary)


def rows_of(connection: sqlite3.Connection, sql: str, numbers: Iterable[int]) -> dict[int, Row]:
    return {row[0]: Row._make(row) for row in connection.execute(sql, (as_json(numbers),))}


def signoff_hits(connection: sqlite3.Connection, column: str, numbers: str) -> dict[int, list[int]]:
    """The sign-off keys of documents, found by `doc` or by `key`."""
    hits: dict[int, list[int]] = {}
    sql = f"SELECT signoff.doc, signoff.key FROM json_each(?) CROSS JOIN signoff ON signoff.{column} = value"
    for doc, key in connection.execute(sql, (numbers,)):
        hits.setdefault(doc, []).append(key)
    return hits


def admits(row: Row, signoff: Sequence[int], depths: Mapping[int, int], ground: Ground) -> bool:
    """REPL-42 and REPL-44..48 for a document that is no contact, in the index's numbers; see `rules.visible`."""
    if ground.everyone is not None and (row.subject == ground.everyone or ground.everyone in signoff):
        return True
    matching = [depths[key] for key in (row.subject, *signoff) if key in depths]
    if not matching:
        return False
    if row.flags & PRIVATE and row.subject in ground.sensitive and row.submitter not in depths:
        return False
    report_depth = ground.scope.report_depth
    if report_depth == UNLIMITED or row.flags & KIND_BITS != Kind.REPORT:
        return True
    own = row.submitter is not None and row.submitter == ground.contact
    return own or min(matching) <= report_depth


def judge(connection: sqlite3.Connection, ground: Ground, rows: Sequence[Row]) -> list[Row]:
    """Those of the rows that the scope may see and are not purged. Cost: the rows and the depth of the tree."""
    signoff = signoff_hits(connection, "doc", as_json(row.n for row in rows))
    names = {row.subject for row in rows if row.subject > 0}
    names.update(key for keys in signoff.values() for key in keys)
    names.update(row.submitter for row in rows if row.flags & PRIVATE and row.submitter is not None)
    contacts = {row.n for row in rows if row.flags & KIND_BITS == Kind.CONTACT}
    depths, primary = reach(connection, ground, names | contacts)
    inside = contacts_inside(connection, ground, contacts) | primary
    found = [
        row
        for row in rows
        if row.n in ground.own_ids
        or (row.n in inside if row.n in contacts else admits(row, signoff.get(row.n, ()), depths, ground))
    ]
    purged = purged_of(connection, ground, found)
    return [row for row in found if row.n not in purged] if purged else found


def purged_of(connection: sqlite3.Connection, ground: Ground, rows: Iterable[Row]) -> set[int]:
    """Which of them are hidden from the scope's role set (REPL-56, REPL-78)."""
    if ground.role_set is None:
        return set()
    sql = "SELECT doc FROM json_each(?) CROSS JOIN purged ON doc = value AND role_set = ?"
    return {row[0] for row in connection.execute(sql, (as_json(row.n for row in rows), ground.role_set))}


def contacts_inside(connection: sqlite3.Connection, ground: Ground, contacts: Collection[int]) -> set[int]:
    """Those contacts whose own chain leads into the scope (REPL-43); a name they share with another does not count."""
    sql = """SELECT DISTINCT contact FROM json_each(:contacts) AS asked CROSS JOIN path ON contact = asked.value
        WHERE ancestor IN (SELECT value FROM json_each(:facilities)) AND (:limit < 0 OR depth <= :limit)"""
    limit = ground.scope.contact_depth
    args = {"contacts": as_json(contacts), "facilities": ground.facilities, "limit": limit}
    return {row[0] for row in connection.execute(sql, args)}


def stored_facts(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, Facts]:
    """What the index knows of those documents: of deleted ones their last live body's facts."""
    numbers = numbers_of(connection, ids)
    listed = as_json(numbers.values())
    sql = """SELECT node.n, node.id, node.flags, subject.id, submitter.id, shortcode.id, main.id
        FROM json_each(?) CROSS JOIN node ON node.n = value
        LEFT JOIN node AS subject ON subject.n = node.subject
        LEFT JOIN node AS submitter ON submitter.n = node.submitter
        LEFT JOIN contact ON contact.n = node.n
        LEFT JOIN node AS shortcode ON shortcode.n = contact.shortcode
        LEFT JOIN node AS main ON main.n = contact.primary_contact
        WHERE node.rev IS NOT NULL"""
    documents = connection.execute(sql, (listed,)).fetchall()
    chains: dict[int, list[tuple[str, int]]] = {}
    sql = """SELECT path.contact, node.id, path.depth FROM json_each(?) CROSS JOIN path ON contact = value
        CROSS JOIN node ON node.n = ancestor ORDER BY depth"""
    for n, ancestor, depth in connection.execute(sql, (listed,)):
        chains.setdefault(n, []).append((ancestor, depth))
    signoff: dict[int, list[str]] = {}
    sql = """SELECT signoff.doc, node.id FROM json_each(?) CROSS JOIN signoff ON signoff.doc = value
        CROSS JOIN node ON node.n = signoff.key"""
    for n, key in connection.execute(sql, (listed,)):
        signoff.setdefault(n, []).append(key)
    return {
        doc_id: Facts(
            doc_id,
            Kind(flags & KIND_BITS),
            subject=doc_id if flags & KIND_BITS == Kind.CONTACT else subject,
            signoff=tuple(signoff.get(n, ())),
            submitter=submitter,
            private=bool(flags & PRIVATE),
            chain=tuple(chains.get(n, ())),
            shortcode=shortcode,
            primary_contact=primary,
        )
        for n, doc_id, flags, subject, submitter, shortcode, primary in documents
    }


def count_unapplied(connection: sqlite3.Connection, begun: int, news: Sequence[tuple[str, str]]) -> int:
    """How many of these ids and revisions are neither in the index nor replaced there after change `begun`."""
    found = named_nodes(connection, [doc_id for doc_id, _ in news], "id, rev, change")
    applied = {doc_id: (rev, change or 0) for doc_id, rev, change in found}
    unknown = (None, 0)
    known = ((rev, *applied.get(doc_id, unknown)) for doc_id, rev in news)
    return sum(rev != indexed_rev and change <= begun for rev, indexed_rev, change in known)


# From documents and shortcodes to the contacts they mean or name, up the paths of these, and to the primary contacts.
AROUND = f"""
WITH named (n) AS (SELECT value FROM json_each(:named)),
  meant (n) AS (
    SELECT n FROM named
    UNION SELECT contact.n FROM named CROSS JOIN contact ON contact.shortcode = named.n
  ),
  near (n) AS (
    SELECT n FROM meant
    UNION SELECT path.ancestor FROM meant CROSS JOIN path ON path.contact = meant.n
  ),
  wanted (n) AS (
    SELECT n FROM near
    UNION SELECT primary_contact FROM near CROSS JOIN contact USING (n) WHERE primary_contact IS NOT NULL
  )
SELECT node.id FROM wanted CROSS JOIN node USING (n) WHERE rev IS NOT NULL AND flags & {DELETED} = 0
"""
OWNERS = f"""
SELECT code.id, owner.id FROM json_each(:named) CROSS JOIN contact ON shortcode = value
CROSS JOIN node AS code ON code.n = value CROSS JOIN node AS owner ON owner.n = contact.n
WHERE owner.flags & {DELETED} = 0 ORDER BY owner.id
"""


def around(connection: sqlite3.Connection, names: Collection[str]) -> Nearby:
    """What hydrating the documents of those ids, or the contacts of those shortcodes, needs."""
    found = named_nodes(connection, names, "n, subject, submitter")
    named = as_json({n for row in found for n in row if n is not None and n > 0})
    ids = [row[0] for row in connection.execute(AROUND, {"named": named})]
    owners: dict[str, list[str]] = {}
    for shortcode, owner in connection.execute(OWNERS, {"named": named}):
        owners.setdefault(shortcode, []).append(owner)
    return Nearby(ids, owners)
