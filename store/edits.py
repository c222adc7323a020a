"""Writing edits inside a transaction: grow each document's tree, store the body, move the document to a new seq."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import IO, Any, NamedTuple

import orjson

from store import doc_counts, reads, revtree
from store.documents import Edit, Incoming
from store.errors import Conflict, NotFound, StoreError
from store.revtree import Node, Tree
from store.spool import PIECE_BYTES
from store.writer import Transaction

Stored = dict[str, dict[str, Any]]  # attachments of a revision: {name: {content_type, revpos, digest, length}}


class Written(NamedTuple):
    """The revision an edit became."""

    id: str
    rev: str


Outcome = Written | StoreError


class _Doc:
    """A document while a transaction changes it."""

    __slots__ = ("changed", "deleted", "old_seq", "tree")

    def __init__(self, old_seq: int, deleted: bool, tree: Tree) -> None:
        self.old_seq = old_seq  # 0: not stored yet
        self.deleted = deleted
        self.tree = tree
        self.changed = False


class _Batch:
    """The rows that the edits of one job add."""

    __slots__ = ("bodies", "docs", "forgotten", "order")

    def __init__(self) -> None:
        self.docs: dict[str, _Doc] = {}
        self.order: dict[str, None] = {}  # ids in the order of their last change
        self.bodies: list[tuple[int, bytes | None, bytes]] = []
        self.forgotten: list[tuple[int]] = []


def apply_edits(tx: Transaction, edits: Sequence[Edit]) -> list[Outcome]:
    """Write each edit whole or not at all; one outcome per edit, in order. A refused edit is an error, never raised."""
    conn = tx.conn
    limit: int = conn.execute("SELECT revs_limit FROM info").fetchone()[0]
    batch = _Batch()
    _load(conn, batch, {edit.id for edit in edits if not edit.is_local})
    outcomes: list[Outcome] = []
    for edit in edits:
        try:
            if edit.is_local:
                outcomes.append(_write_local(conn, edit))
            else:
                outcomes.append(_write(tx, batch, edit))
        except StoreError as error:
            outcomes.append(error)
    _flush(tx, batch, limit)
    return outcomes


def _load(conn: sqlite3.Connection, batch: _Batch, ids: Iterable[str]) -> None:
    wanted = list(ids)
    columns = "SELECT seq, id, deleted, tree FROM docs WHERE id"
    if len(wanted) == 1:
        rows: Iterable[tuple[int, str, int, bytes]] = conn.execute(f"{columns} = ?", wanted)
    else:
        listed, asked = reads.among(wanted)
        rows = conn.execute(f"{columns} IN {listed}", (asked,))
    for seq, doc_id, deleted, tree in rows:
        batch.docs[doc_id] = _Doc(seq, deleted == 1, revtree.decode(tree))


def _write(tx: Transaction, batch: _Batch, edit: Edit) -> Written:
    doc = batch.docs.get(edit.id)
    if edit.path is None:
        parent = _parent(doc, edit)
        depth = revtree.generation(parent) + 1 if parent else 1
        history = revtree.history(doc.tree, parent) if doc is not None and parent else []
    else:
        if doc is not None and (known := doc.tree.get(edit.path[0])) is not None and known.body:
            if revtree.merge(doc.tree, edit.path, known.body, known.deleted):  # only ancestors we had not heard of
                doc.changed = True
                batch.order.setdefault(edit.id)
            return Written(edit.id, edit.path[0])
        parent = None
        depth = revtree.generation(edit.path[0])
        history = [rev for rev in edit.path if doc is not None and rev in doc.tree]
    attachments = _attach(tx.conn, batch, edit, doc.tree if doc is not None else {}, history, depth)
    num = tx.next_body
    if doc is None:
        doc = batch.docs[edit.id] = _Doc(0, False, {})
    if edit.path is None:
        digests = [f"{name}:{stored['digest']}" for name, stored in sorted(attachments.items())]
        rev = revtree.new_rev(parent, edit.deleted, edit.body, digests)
        doc.tree[rev] = Node(parent, num, edit.deleted)
    else:
        rev = edit.path[0]
        revtree.merge(doc.tree, edit.path, num, edit.deleted)
    tx.next_body = num + 1
    batch.bodies.append((num, orjson.dumps(attachments) if attachments else None, edit.body))
    doc.changed = True
    batch.order.pop(edit.id, None)
    batch.order[edit.id] = None
    if edit.is_design:
        tx.design_changed = True
    return Written(edit.id, rev)


def _parent(doc: _Doc | None, edit: Edit) -> str | None:
    """The leaf an edit made here builds on; raises Conflict when it builds on none."""
    if doc is None:
        if edit.rev is not None:
            raise Conflict
        return None
    leaves = revtree.leaves(doc.tree)
    if edit.rev is None:
        winner = leaves[0]
        if not winner.deleted or edit.deleted:
            raise Conflict
        return winner.rev
    if not any(leaf.rev == edit.rev for leaf in leaves):
        raise Conflict
    return edit.rev


def _attach(
    conn: sqlite3.Connection, batch: _Batch, edit: Edit, tree: Tree, history: Sequence[str], depth: int
) -> Stored:
    """Store new content and resolve stubs from the nearest known ancestor; raises 412 `missing_stub` without one."""
    if not edit.attachments:
        return {}
    kept: Stored | None = None
    result: Stored = {}
    for name, incoming in edit.attachments.items():
        if incoming.stub:
            if kept is None:
                kept = _ancestor_attachments(conn, batch, tree, history)
            if name not in kept:
                raise StoreError(f"Invalid attachment stub in {edit.id} for {name}", slug="missing_stub", status=412)
            result[name] = kept[name]
        else:
            result[name] = _store_content(conn, incoming, depth, replicated=edit.path is not None)
    return result


def _ancestor_attachments(conn: sqlite3.Connection, batch: _Batch, tree: Tree, history: Sequence[str]) -> Stored:
    found: Stored = {}
    for rev in history:
        num = tree[rev].body
        if not num:
            continue
        stored = next((body[1] for body in batch.bodies if body[0] == num), None)
        if stored is None:
            row = conn.execute("SELECT attachments FROM bodies WHERE num = ?", (num,)).fetchone()
            stored = row[0] if row else None
        if stored is not None:
            found = {**orjson.loads(stored), **found}
        if found:
            break
    return found


def _store_content(conn: sqlite3.Connection, incoming: Incoming, depth: int, *, replicated: bool) -> dict[str, Any]:
    if incoming.file is not None:
        _store_file(conn, incoming, incoming.file)
    elif incoming.data is not None:
        conn.execute("INSERT OR IGNORE INTO blobs (digest, data) VALUES (?, ?)", (incoming.digest, incoming.data))
    elif incoming.digest is None:
        raise StoreError("The data of an attachment is missing from the multipart body", slug="bad_request", status=400)
    elif not conn.execute("SELECT 1 FROM blobs WHERE digest = ?", (incoming.digest,)).fetchone():
        raise Conflict  # the revision it was taken from is compacted away
    revpos = incoming.revpos if replicated and incoming.revpos else depth
    return {
        "content_type": incoming.content_type,
        "revpos": min(revpos, depth),
        "digest": incoming.digest,
        "length": incoming.length,
    }


def _store_file(conn: sqlite3.Connection, incoming: Incoming, file: IO[bytes]) -> None:
    added = conn.execute(
        "INSERT OR IGNORE INTO blobs (digest, data) VALUES (?, zeroblob(?))", (incoming.digest, incoming.length)
    )
    if added.rowcount and added.lastrowid is not None:
        file.seek(0)
        with conn.blobopen("blobs", "data", added.lastrowid) as blob:
            while piece := file.read(PIECE_BYTES):
                blob.write(piece)


def _write_local(conn: sqlite3.Connection, edit: Edit) -> Written:
    """`_local` documents have no tree: the last write stands and counts up, as in CouchDB."""
    if edit.deleted:
        if conn.execute("DELETE FROM local_docs WHERE id = ?", (edit.id,)).rowcount == 0:
            raise NotFound("missing")
        return Written(edit.id, "0-0")
    number = (int(edit.rev[2:]) if edit.rev else 0) + 1
    conn.execute("INSERT OR REPLACE INTO local_docs VALUES (?, ?, ?)", (edit.id, number, edit.body))
    return Written(edit.id, f"0-{number}")


def _flush(tx: Transaction, batch: _Batch, limit: int) -> None:
    conn = tx.conn
    rows: list[tuple[int, str, str, bool, int, int, bytes]] = []
    moved: list[tuple[int]] = []
    first_seq = tx.update_seq + 1
    came: list[str] = []
    went: list[str] = []
    for doc_id in batch.order:
        doc = batch.docs[doc_id]
        batch.forgotten += [(num,) for num in revtree.stem(doc.tree, limit)]
        leaves = revtree.leaves(doc.tree)
        winner = leaves[0]
        tx.update_seq += 1
        rows.append(
            (tx.update_seq, doc_id, winner.rev, winner.deleted, len(leaves), winner.body, revtree.encode(doc.tree))
        )
        was_live = bool(doc.old_seq) and not doc.deleted
        if was_live == winner.deleted:
            (went if was_live else came).append(doc_id)
        if doc.old_seq:
            moved.append((doc.old_seq,))
            tx.doc_del_count -= doc.deleted
            tx.doc_count -= not doc.deleted
        tx.doc_del_count += winner.deleted
        tx.doc_count += not winner.deleted
    tx.replaced += len(moved)
    if moved:
        conn.executemany("DELETE FROM docs WHERE seq = ?", moved)
    conn.executemany("INSERT INTO docs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    conn.executemany("INSERT INTO bodies VALUES (?, ?, ?)", batch.bodies)
    if batch.forgotten:
        conn.executemany("DELETE FROM bodies WHERE num = ?", batch.forgotten)
    taken = range(first_seq, tx.update_seq + 1)
    doc_counts.change(conn, seqs_left=[seq for (seq,) in moved], seqs_taken=taken, came=came, went=went)
