"""Purge: revisions forgotten as if they had never been, with a record of what was purged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sqlite3 import Connection
from typing import NamedTuple

import orjson

from store import doc_counts, reads, revtree
from store.writer import Transaction


class Purged(NamedTuple):
    """What a purge did: the revisions that were removed by document id, and the newest purge seq."""

    revs: dict[str, list[str]]
    purge_seq: int


def purge(tx: Transaction, asked: Mapping[str, Sequence[str]]) -> Purged:
    """Remove the leaves named, with the ancestors that no other leaf has. What is no leaf stays, as in CouchDB."""
    conn = tx.conn
    purge_seq, limit = conn.execute("SELECT purge_seq, purged_infos_limit FROM info").fetchone()
    rows = reads.find_many(conn, asked)
    removed: dict[str, list[str]] = {}
    for doc_id, revs in asked.items():
        row = rows.get(doc_id)
        removed[doc_id] = _purge_doc(tx, row, revs) if row is not None else []
        purge_seq += 1
        conn.execute("INSERT INTO purges VALUES (?, ?, ?)", (purge_seq, doc_id, orjson.dumps(revs)))
        if removed[doc_id] and doc_id.startswith("_design/"):
            tx.design_changed = True
    conn.execute("UPDATE info SET purge_seq = ?", (purge_seq,))
    conn.execute("DELETE FROM purges WHERE purge_seq <= ?", (purge_seq - limit,))
    return Purged(removed, purge_seq)


def _purge_doc(tx: Transaction, row: reads.Row, revs: Sequence[str]) -> list[str]:
    conn = tx.conn
    tree = revtree.decode(row.tree)
    removed: list[str] = []
    bodies: list[tuple[int]] = []
    for rev in sorted(set(revs), key=revtree.generation, reverse=True):
        if any(leaf.rev == rev for leaf in revtree.leaves(tree)):
            bodies += [(num,) for num in revtree.remove_leaf(tree, rev)]
            removed.append(rev)
    if not removed:
        return []
    conn.executemany("DELETE FROM bodies WHERE num = ?", bodies)
    conn.execute("DELETE FROM docs WHERE seq = ?", (row.seq,))
    tx.update_seq += 1
    tx.doc_del_count -= row.deleted
    tx.doc_count -= not row.deleted
    is_live = False
    if tree:
        leaves = revtree.leaves(tree)
        winner = leaves[0]
        stored = (tx.update_seq, row.id, winner.rev, winner.deleted, len(leaves), winner.body, revtree.encode(tree))
        conn.execute("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?)", stored)
        tx.doc_del_count += winner.deleted
        tx.doc_count += not winner.deleted
        is_live = not winner.deleted
    else:  # a view index learns from this that its rows are to go
        conn.execute("INSERT INTO purged_docs VALUES (?, ?)", (tx.update_seq, row.id))
    doc_counts.change(
        conn,
        seqs_left=[row.seq],
        seqs_taken=[tx.update_seq] if tree else [],
        came=[row.id] if row.deleted and is_live else [],
        went=[row.id] if not row.deleted and not is_live else [],
    )
    return removed


def set_limit(tx: Transaction, limit: int) -> None:
    """How many purges are remembered from now on."""
    tx.conn.execute("UPDATE info SET purged_infos_limit = ?", (limit,))


def infos(conn: Connection) -> list[dict[str, object]]:
    """The purges that are remembered, oldest first."""
    rows = conn.execute("SELECT id, revs FROM purges ORDER BY purge_seq")
    return [{"id": doc_id, "revs": orjson.loads(revs)} for doc_id, revs in rows]


def not_seen_at(conn: Connection, seq: int) -> int:
    """How many documents were purged whole after `seq`."""
    number: int = conn.execute("SELECT count(*) FROM purged_docs WHERE seq > ?", (seq,)).fetchone()[0]
    return number


def limit(conn: Connection) -> int:
    """How many purges are remembered."""
    number: int = conn.execute("SELECT purged_infos_limit FROM info").fetchone()[0]
    return number
