"""The rows of `_changes`: each document once, at its latest seq, read batch by batch in a worker thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection
from typing import Any, NamedTuple

import orjson

from store import reads, revtree
from store.reads import DocOptions, Revision

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


class Change(NamedTuple):
    """One row as JSON; `doc` is set when a filter function has to see the document."""

    seq: int
    row: bytes
    doc: bytes | None


def read_changes(
    conn: Connection, mark: str, params: FeedParams, after: int, until: int, limit: int, descending: bool = False
) -> list[Change]:
    """At most `limit` changes with `after` < seq <= `until`, in seq order or from the newest."""
    where = "d.seq > ? AND d.seq <= ?"
    arguments: list[Any] = [after, until]
    if params.doc_ids is not None:
        where += " AND d.id IN (SELECT value FROM json_each(?))"
        arguments.append(orjson.dumps(params.doc_ids).decode())
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
    changes = f'{{"rev":"{rev}"}}'
    if leaves > 1 and params.all_leaves:
        changes = ",".join(f'{{"rev":"{leaf.rev}"}}' for leaf in revtree.leaves(revtree.decode(row[5])))
    text = b'{"seq":"%d-%b","id":%b,"changes":[%b]' % (seq, mark.encode(), orjson.dumps(doc_id), changes.encode())
    if deleted:
        text += b',"deleted":true'
    doc = None
    if params.include_docs or params.needs_doc:
        revision = Revision(doc_id, rev, deleted == 1, row[6] or b"{}", orjson.loads(row[7]) if row[7] else {})
        whole = reads.Row(seq, doc_id, rev, deleted, leaves, 0, row[5])
        doc = reads.render(conn, mark, whole, revision, params.options)
        if params.include_docs:
            text += b',"doc":' + doc
    return Change(seq, text + b"}", doc if params.needs_doc else None)


def count_pending(conn: Connection, params: FeedParams, after: int) -> int:
    """How many changes a client at `after` still has to read."""
    where, arguments = "seq > ?", [after]
    if params.doc_ids is not None:
        where += " AND id IN (SELECT value FROM json_each(?))"
        arguments.append(orjson.dumps(params.doc_ids).decode())  # type: ignore[arg-type]
    elif params.design_only:
        where += " AND id >= '_design/' AND id < '_design0'"
    number: int = conn.execute(f"SELECT count(*) FROM docs WHERE {where}", arguments).fetchone()[0]
    return number
