"""Reading the rows of a view index, as pieces of CouchDB's JSON answer. Blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from store.view_blocks import count_rows, where
from store.view_group import View
from store.view_query import Bound, KeyRange, ViewParams

PAGE_ROWS = 500  # rows of one piece of an answer
FEW_ROWS = 100  # so many are read and written faster than a thread is woken for them
_FEW_OF = 1_000_000  # rows of a view, beyond which even counting its blocks takes a while

DocRef = str | tuple[str, str]  # a document by its id, or a revision of it
ReadDocs = Callable[[Sequence[DocRef], ViewParams], Mapping[Any, bytes | None]]


class Head(NamedTuple):
    """The members of the answer before its rows; None for a reduction."""

    total_rows: int | None
    offset: int | None


def read_rows(connection: sqlite3.Connection, view: View, params: ViewParams, read_docs: ReadDocs) -> Iterator[Any]:
    """First the Head, then pieces of rows, each row a JSON object, joined by commas."""
    ranges = params.ranges(view.sort_key)
    if params.descending:
        ranges.reverse()  # `keys` from the last to the first; CouchDB keeps their order where it reduces
    total = count_rows(connection, view.map_index, KeyRange())
    yield Head(total, min(total, _rows_before(connection, view, ranges, params, total) + params.skip))
    skip, left = params.skip, params.limit
    page: list[tuple[str, str, str]] = []
    for key_range in ranges:
        if left == 0:
            break
        if skip and len(ranges) > 1:
            count = count_rows(connection, view.map_index, key_range)
            if count <= skip:
                skip -= count
                continue
        rows = _selected(connection, view, key_range, params.descending, -1 if left is None else left, skip)
        skip = 0
        while found := rows.fetchmany(PAGE_ROWS - len(page)):
            page += found
            if left is not None:
                left -= len(found)
            if len(page) >= PAGE_ROWS:
                yield _written(page, params, read_docs)
                page = []
    if page:
        yield _written(page, params, read_docs)


def read_few(
    connection: sqlite3.Connection, view: View, params: ViewParams, total: int
) -> tuple[Head, list[bytes]] | None:
    """The whole answer, when it has few rows and no documents, quick enough for an event loop; None otherwise.

    `total` are the rows of the view.
    """
    if params.include_docs or params.skip or params.keys is not None or total > _FEW_OF:
        return None
    [key_range] = ranges = params.ranges(view.sort_key)
    most = FEW_ROWS + 1 if params.limit is None else min(params.limit, FEW_ROWS + 1)
    rows = _selected(connection, view, key_range, params.descending, most).fetchall()
    if len(rows) > FEW_ROWS:
        return None
    head = Head(total, min(total, _rows_before(connection, view, ranges, params, total)))
    return head, [_written(rows, params)] if rows else []


def _selected(
    connection: sqlite3.Connection, view: View, key_range: KeyRange, descending: bool, limit: int, skip: int = 0
) -> sqlite3.Cursor:
    condition = where(view.map_index, key_range)
    order = "sort DESC, id DESC, n" if descending else "sort, id, n"  # CouchDB never reverses rows of one key
    return connection.execute(
        f"SELECT id, key, value FROM rows WHERE {condition.sql} ORDER BY {order} LIMIT ? OFFSET ?",
        (*condition.values, limit, skip),
    )


def _written(page: Sequence[tuple[str, str, str]], params: ViewParams, read_docs: ReadDocs | None = None) -> bytes:
    ids = [orjson.dumps(row[0]).decode() for row in page]
    rows = [f'{{"id":{id_},"key":{row[1]},"value":{row[2]}' for id_, row in zip(ids, page, strict=True)]
    if not params.include_docs or read_docs is None:
        return ("},\r\n".join(rows) + "}").encode()
    wanted = [_linked(row[0], row[2]) for row in page]
    docs = read_docs([ref for ref in dict.fromkeys(wanted) if ref is not None], params)
    shown = [(docs.get(ref) if ref is not None else None) or b"null" for ref in wanted]
    return b",\r\n".join([row.encode() + b',"doc":' + doc + b"}" for row, doc in zip(rows, shown, strict=True)])


def _linked(doc_id: str, value: str) -> DocRef | None:
    """What `include_docs` shows beside a row: its document, or what its value's `_id` and `_rev` point to."""
    if not value.startswith("{") or ('"_id"' not in value and '"_rev"' not in value):
        return doc_id
    found = orjson.loads(value)
    linked, rev = found.get("_id", doc_id), found.get("_rev")
    if not isinstance(linked, str):
        return None
    if "_rev" not in found:
        return linked
    return (linked, rev) if isinstance(rev, str) else None


def _rows_before(
    connection: sqlite3.Connection, view: View, ranges: Sequence[KeyRange], params: ViewParams, total: int
) -> int:
    """How many rows come before the first range, in the order asked for."""
    start = None
    if ranges:
        start = ranges[0].high if params.descending else ranges[0].low
    if start is None:
        return 0
    if params.descending:
        return total - count_rows(connection, view.map_index, KeyRange(high=start))
    return count_rows(connection, view.map_index, KeyRange(high=Bound(start.sort, start.id, not start.inclusive)))
