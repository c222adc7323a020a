"""Compaction: forget the bodies of old revisions and the attachments nobody refers to, a little at a time."""

from __future__ import annotations

import logging
import sqlite3
from functools import partial

import orjson

from store import revtree
from store.errors import NotFound
from store.registry import Databases
from store.writer import Transaction

log = logging.getLogger(__name__)

_DOCS_PER_STEP = 500
_PAGES_PER_STEP = 2000


async def compact(databases: Databases, name: str) -> None:
    """Compact one database beside its readers and writers; each step is a short transaction of its own."""
    try:
        async with databases.use(name) as database:
            if database.compacting:
                return
            database.compacting = True
            database.replaced = 0
            try:
                after, newest = 0, database.update_seq
                while after < newest and not database.deleted:
                    after = await database.write(partial(_forget_bodies, after=after))
                await database.write(_forget_blobs)
                while await database.write(_give_back_pages):
                    pass
            finally:
                database.compacting = False
    except NotFound:
        log.info("database %s was deleted while it was compacted", name)


def _forget_bodies(tx: Transaction, after: int) -> int:
    """Forget old bodies of the next documents; returns the seq it came to, the newest at the end."""
    conn = tx.conn
    rows = conn.execute("SELECT seq, tree FROM docs WHERE seq > ? ORDER BY seq LIMIT ?", (after, _DOCS_PER_STEP))
    last: int = tx.update_seq
    number = 0
    newest: int = tx.update_seq
    gone: list[tuple[int]] = []
    slimmer: list[tuple[bytes, int]] = []
    for seq, stored in rows.fetchall():
        number, last = number + 1, seq
        tree = revtree.decode(stored)
        kept = {leaf.rev for leaf in revtree.leaves(tree)}
        old = [node for rev, node in tree.items() if node.body and rev not in kept]
        if old:
            gone += [(node.body,) for node in old]
            for node in old:
                node.body = 0
            slimmer.append((revtree.encode(tree), seq))
    conn.executemany("DELETE FROM bodies WHERE num = ?", gone)
    conn.executemany("UPDATE docs SET tree = ? WHERE seq = ?", slimmer)
    return last if number == _DOCS_PER_STEP else newest


def _forget_blobs(tx: Transaction) -> None:
    conn = tx.conn
    used = {
        stored["digest"]
        for (attachments,) in conn.execute("SELECT attachments FROM bodies WHERE attachments IS NOT NULL")
        for stored in orjson.loads(attachments).values()
    }
    unused = [(digest,) for (digest,) in conn.execute("SELECT digest FROM blobs").fetchall() if digest not in used]
    conn.executemany("DELETE FROM blobs WHERE digest = ?", unused)


def _give_back_pages(tx: Transaction) -> bool:
    """Shorten the file a little; True while there is more to give back."""
    conn: sqlite3.Connection = tx.conn
    free: int = conn.execute("PRAGMA freelist_count").fetchone()[0]
    conn.execute(f"PRAGMA incremental_vacuum({_PAGES_PER_STEP})").fetchall()
    return free > _PAGES_PER_STEP
