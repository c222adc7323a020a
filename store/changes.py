"""The rows of `_changes`: each document once, at its latest seq, read batch by batch in a worker thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from sqlite3 import Connection
from typing import Any, NamedTuple

import orjson

from store import doc_counts, reads, revtree
from store.reads import DocOptions, Revision
from store.selector_paths import project

Passes = Callable[[Sequence[bytes]], Awaitable[list[bool]]]  # a filter: one verdict for each document

ROWS_PER_BATCH = 1000
ROWS_PER_BATCH_WITH_DOCS = 200


@dataclass(frozen=True, slots=True)
class FeedParams:
    """What the rows hold. `doc_ids` restricts the feed in the query itself."""

    all_leaves: bool = False
    include_docs: bool = False
    options: DocOptions = reads.PLAIN
    doc_ids: tuple[str, ...] | None = None
    design_only: bool = False
    needs_doc: bool = False  # a filter function reads the document
    fields: tuple[Sequence[str], ...] | None = None  # the paths of what `include_docs` shows; None: everything


class Change(NamedTuple):
    """One row as JSON, with what a filter function has to see: the winner, or each leaf where each has its rev."""

    seq: int
    row: bytes
    docs: tuple[bytes, ...] = ()
    revs: tuple[str, ...] = ()

    def passing(self, verdicts: Sequence[bool]) -> Change | None:
        """The row with the revisions that pass a filter; None when none does. One verdict for each of `docs`."""
        if all(verdicts):
            return self
        revs = [rev for rev, passes in zip(self.revs, verdicts, strict=True) if passes]
        if not revs:
            return None
        return self._replace(row=self.row.replace(_changes_member(self.revs), _changes_member(revs), 1))


async def filtered(changes: Sequence[Change], passes: Passes) -> list[Change]:
    """The changes of which a filter lets any revision pass, with those revisions."""
    verdicts = iter(await passes([doc for change in changes for doc in change.docs]))
    judged = [change.passing(list(islice(verdicts, len(change.docs)))) for change in changes]
    return [change for change in judged if change is not None]


def read_changes(
    conn: Connection, mark: str, params: FeedParams, after: int, until: int, limit: int, descending: bool = False
) -> list[Change]:
    """At most `limit` changes with `after` < seq <= `until`, in seq order or from the newest."""
    where = "d.seq > ? AND d.seq <= ?"
    arguments: list[Any] = [after, until]
    if params.doc_ids is not None:
        listed, asked = reads.among(params.doc_ids)
        where += f" AND d.id IN {listed}"
        arguments.append(asked)
    elif params.design_only:
        where += " AND d.id >= '_design/' AND d.id < '_design0'"
    order = "DESC" if descending else "ASC"
    with_body = params.include_docs or params.needs_doc
    columns = "d.seq, d.id, d.rev, d.deleted, d.leaves"
    source = "docs d"
    if with_body:
        columns += ", d.tree, b.body, b.attachments"
        source += " LEFT JOIN bodies b ON b.num = d.body"
    elif params.all_leaves:
        columns += ", CASE WHEN d.leaves > 1 THEN d.tree END"
    rows = conn.execute(
        f"SELECT {columns} FROM {source} WHERE {where} ORDER BY d.seq {order} LIMIT {limit}", arguments
    ).fetchall()
    return [_change(conn, mark, params, row) for row in rows]


def _change(conn: Connection, mark: str, params: FeedParams, row: Sequence[Any]) -> Change:
    seq, doc_id, rev, deleted, leaves = row[:5]
    others: list[revtree.Leaf] = []
    if leaves > 1 and params.all_leaves:
        others = revtree.leaves(revtree.decode(row[5]))[1:]
    revs = (rev, *(leaf.rev for leaf in others))
    text = b'{"seq":"%d-%b","id":%b%b' % (seq, mark.encode(), orjson.dumps(doc_id), _changes_member(revs))
    if deleted:
        text += b',"deleted":true'
    docs: tuple[bytes, ...] = ()
    if params.include_docs or params.needs_doc:
        revision = Revision(doc_id, rev, deleted == 1, row[6] or b"{}", orjson.loads(row[7]) if row[7] else {})
        whole = reads.Row(seq, doc_id, rev, deleted, leaves, 0, row[5])
        doc = reads.render(conn, mark, whole, revision, params.options)
        if params.include_docs:
            shown = doc if params.fields is None else orjson.dumps(project(orjson.loads(doc), params.fields))
            text += b',"doc":' + shown
        if params.needs_doc:
            docs = (doc, *(_leaf_doc(conn, mark, whole, leaf, params.options) for leaf in others))
    return Change(seq, text + b"}", docs, revs)


def _changes_member(revs: Sequence[str]) -> bytes:
    return b',"changes":[' + ",".join(f'{{"rev":"{rev}"}}' for rev in revs).encode() + b"]"


def _leaf_doc(conn: Connection, mark: str, row: reads.Row, leaf: revtree.Leaf, options: DocOptions) -> bytes:
    body, attachments = reads.body_of(conn, leaf.body) or (b"{}", {})
    return reads.render(conn, mark, row, Revision(row.id, leaf.rev, leaf.deleted, body, attachments), options)


def count_pending(conn: Connection, params: FeedParams, after: int) -> int:
    """How many changes a client at `after` still has to read."""
    where = "seq > ?"
    arguments: list[Any] = [after]
    if params.doc_ids is not None:
        listed, asked = reads.among(params.doc_ids)
        where += f" AND id IN {listed}"
        arguments.append(asked)
    elif params.design_only:
        where += " AND id >= '_design/' AND id < '_design0'"
    else:
        return doc_counts.docs_after(conn, after)
    number: int = conn.execute(f"SELECT count(*) FROM docs WHERE {where}", arguments).fetchone()[0]
    return number
