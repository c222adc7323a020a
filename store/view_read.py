"""Reading a view index: rows of ranges, counts and reductions, as pieces of CouchDB's JSON answer. Blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from store.collation import HIGHEST, array_prefix
from store.javascript import JavaScript
from store.reducers import Reducer, built_in, number_json, stats_json
from store.view_group import View
from store.view_query import EXACT, Bound, KeyRange, ViewParams

_PAGE = 500  # rows of one piece of an answer
_REDUCED_AT_ONCE = 200  # rows given to a JavaScript reduce in one call

ReadDocs = Callable[[Sequence[str], ViewParams], dict[str, bytes | None]]


class Head(NamedTuple):
    """The members of the answer before its rows; None for a reduction."""

    total_rows: int | None
    offset: int | None


@dataclass(frozen=True)
class JavaScriptReducer:
    """A reduce function of the design document."""

    engine: JavaScript
    source: str
    lib: bytes

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        pairs = b",".join(b"[%b,%b]" % (key, orjson.dumps(id_)) for key, id_ in zip(keys, ids, strict=True))
        listed = b"[" + b",".join(values) + b"]"
        return self.engine.reduce(self.source, self.lib, b"[" + pairs + b"]", listed, rereduce=False).result()

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        listed = b"[" + b",".join(partials) + b"]"
        return self.engine.reduce(self.source, self.lib, b"null", listed, rereduce=True).result()


def reducer_of(view: View, lib: bytes, engine: JavaScript) -> Reducer:
    if view.reduce is None:
        raise ValueError("the view has no reduce function")
    if view.reduce.startswith("_"):
        return built_in(view.reduce)
    return JavaScriptReducer(engine, view.reduce, lib)


class Where(NamedTuple):
    """A condition on rows and its values."""

    sql: str
    values: tuple[Any, ...]


def where(view: int, key_range: KeyRange) -> Where:
    """The rows of one view within a range."""
    sql, values = ["view = ?"], [view]
    for bound, sign in ((key_range.low, ">"), (key_range.high, "<")):
        if bound is not None:
            condition = _beyond(bound, sign)
            sql.append(condition.sql)
            values += condition.values
    return Where(" AND ".join(sql), tuple(values))


def _beyond(bound: Bound, sign: str) -> Where:
    equal = "=" if bound.inclusive else ""
    if bound.id is None:
        return Where(f"sort {sign}{equal} ?", (bound.sort,))
    return Where(f"sort {sign}= ? AND (sort {sign} ? OR id {sign}{equal} ?)", (bound.sort, bound.sort, bound.id))


def read_rows(connection: sqlite3.Connection, view: View, params: ViewParams, read_docs: ReadDocs) -> Iterator[Any]:
    """First the Head, then pieces of rows, each row a JSON object, joined by commas."""
    ranges = params.ranges()
    total = _total(connection, view)
    yield Head(total, min(total, _rows_before(connection, view, ranges, params.descending) + params.skip))
    skip, left = params.skip, params.limit
    order = "sort DESC, id DESC, n DESC" if params.descending else "sort, id, n"
    page: list[tuple[str, str, str]] = []
    for key_range in ranges:
        if left == 0:
            break
        condition = where(view.map_index, key_range)
        if skip and len(ranges) > 1:
            count = _count(connection, condition)
            if count <= skip:
                skip -= count
                continue
        rows = connection.execute(
            f"SELECT id, key, value FROM rows WHERE {condition.sql} ORDER BY {order} LIMIT ? OFFSET ?",
            (*condition.values, -1 if left is None else left, skip),
        )
        skip = 0
        while found := rows.fetchmany(_PAGE - len(page)):
            page += found
            if left is not None:
                left -= len(found)
            if len(page) >= _PAGE:
                yield _written(page, params, read_docs)
                page = []
    if page:
        yield _written(page, params, read_docs)


def _written(page: Sequence[tuple[str, str, str]], params: ViewParams, read_docs: ReadDocs) -> bytes:
    ids = [orjson.dumps(row[0]).decode() for row in page]
    rows = [f'{{"id":{id_},"key":{row[1]},"value":{row[2]}' for id_, row in zip(ids, page, strict=True)]
    if not params.include_docs:
        return ("},\r\n".join(rows) + "}").encode()
    wanted = [_linked_id(row[2]) or row[0] for row in page]
    docs = read_docs(list(dict.fromkeys(wanted)), params)
    return b",\r\n".join(
        [row.encode() + b',"doc":' + (docs.get(id_) or b"null") + b"}" for row, id_ in zip(rows, wanted, strict=True)]
    )


def _linked_id(value: str) -> str | None:
    """The document that a value `{"_id": ...}` points to."""
    if not value.startswith("{") or '"_id"' not in value:
        return None
    linked = orjson.loads(value).get("_id")
    return linked if isinstance(linked, str) else None


def _total(connection: sqlite3.Connection, view: View) -> int:
    row = connection.execute("SELECT rows FROM totals WHERE view = ?", (view.map_index,)).fetchone()
    return int(row[0]) if row else 0


def _count(connection: sqlite3.Connection, condition: Where) -> int:
    return int(connection.execute(f"SELECT count(*) FROM rows WHERE {condition.sql}", condition.values).fetchone()[0])


def _rows_before(connection: sqlite3.Connection, view: View, ranges: Sequence[KeyRange], descending: bool) -> int:
    if not ranges:
        return 0
    start = ranges[0].high if descending else ranges[0].low
    if start is None:
        return 0
    outside = Bound(start.sort, start.id, not start.inclusive)
    before = KeyRange(low=outside) if descending else KeyRange(high=outside)
    return _count(connection, where(view.map_index, before))


# --- reductions -------------------------------------------------------------------------------------------------------


def read_reductions(connection: sqlite3.Connection, view: View, params: ViewParams, reducer: Reducer) -> Iterator[Any]:
    """First the Head, then pieces of reduced rows, one for each group."""
    yield Head(None, None)
    groups = _groups(connection, view, params, reducer)
    skip, left = params.skip, params.limit
    page: list[bytes] = []
    while left is None or left > 0:
        group = next(groups, None)
        if group is None:
            break
        if skip:
            skip -= 1
            continue
        page.append(b'{"key":%b,"value":%b}' % group)
        if left is not None:
            left -= 1
        if len(page) >= _PAGE:
            yield b",\r\n".join(page)
            page = []
    if page:
        yield b",\r\n".join(page)


def _groups(
    connection: sqlite3.Connection, view: View, params: ViewParams, reducer: Reducer
) -> Iterator[tuple[bytes, bytes]]:
    """(key, value) of each group, in the order asked for."""
    for key_range in params.ranges():
        if params.group_level == 0:
            value = _reduced(connection, view, key_range, reducer)
            if value is not None:
                yield b"null", value
        elif params.group_level == EXACT:
            yield from _exact_groups(connection, view, key_range, params.descending, reducer)
        else:
            yield from _prefix_groups(connection, view, key_range, params, reducer)


def _exact_groups(
    connection: sqlite3.Connection, view: View, key_range: KeyRange, descending: bool, reducer: Reducer
) -> Iterator[tuple[bytes, bytes]]:
    condition = where(view.map_index, key_range)
    order = "DESC" if descending else "ASC"
    aggregate = _AGGREGATES.get(view.reduce or "")
    if aggregate is not None:
        rows = connection.execute(
            f"SELECT key, sort, {aggregate} FROM rows WHERE {condition.sql} GROUP BY sort ORDER BY sort {order}",
            condition.values,
        )
        for key, sort, *results in rows:
            value = _from_aggregate(view.reduce, results)
            if value is None:
                value = _folded(connection, view, _narrowed(key_range, Span(sort, sort)), reducer)
            if value is not None:
                yield key.encode(), value
        return
    rows = connection.execute(
        f"SELECT sort, key, id, value FROM rows WHERE {condition.sql} ORDER BY sort {order}, id {order}, n {order}",
        condition.values,
    )
    for _, group in groupby(rows, key=itemgetter(0)):
        first = next(group)
        value = _fold((row[1:] for row in chain((first,), group)), reducer)
        if value is not None:
            yield first[1].encode(), value


def _prefix_groups(
    connection: sqlite3.Connection, view: View, key_range: KeyRange, params: ViewParams, reducer: Reducer
) -> Iterator[tuple[bytes, bytes]]:
    """Groups by the first members of array keys, found by jumping from each group's end to the next group."""
    order = "DESC" if params.descending else "ASC"
    while True:
        condition = where(view.map_index, key_range)
        row = connection.execute(
            f"SELECT sort, key FROM rows WHERE {condition.sql} ORDER BY sort {order} LIMIT 1", condition.values
        ).fetchone()
        if row is None:
            return
        sort, key_json = row
        key = orjson.loads(key_json)
        span = Span(sort, sort)
        if isinstance(key, list) and len(key) >= params.group_level:
            prefix = array_prefix(key[: params.group_level])
            span = Span(prefix, prefix + HIGHEST)
            key_json = number_json(key[: params.group_level]).decode()
        value = _reduced(connection, view, _narrowed(key_range, span), reducer)
        if value is not None:
            yield key_json.encode(), value
        if params.descending:
            key_range = KeyRange(key_range.low, Bound(span.low, None, False))
        else:
            key_range = KeyRange(Bound(span.high, None, False), key_range.high)


class Span(NamedTuple):
    """Sort keys from `low` to `high`, both included."""

    low: bytes
    high: bytes


def _narrowed(key_range: KeyRange, span: Span) -> KeyRange:
    low, high = key_range
    if low is None or low.sort < span.low:
        low = Bound(span.low, None, True)
    if high is None or high.sort > span.high:
        high = Bound(span.high, None, True)
    return KeyRange(low, high)


def _reduced(connection: sqlite3.Connection, view: View, key_range: KeyRange, reducer: Reducer) -> bytes | None:
    """The reduction of a range, None when it has no rows."""
    aggregate = _AGGREGATES.get(view.reduce or "")
    if aggregate is not None:
        condition = where(view.map_index, key_range)
        results = connection.execute(f"SELECT {aggregate} FROM rows WHERE {condition.sql}", condition.values).fetchone()
        if not results[0]:
            return None
        value = _from_aggregate(view.reduce, results)
        if value is not None:
            return value
    return _folded(connection, view, key_range, reducer)


def _folded(connection: sqlite3.Connection, view: View, key_range: KeyRange, reducer: Reducer) -> bytes | None:
    condition = where(view.map_index, key_range)
    rows = connection.execute(
        f"SELECT key, id, value FROM rows WHERE {condition.sql} ORDER BY sort, id, n", condition.values
    )
    return _fold(rows, reducer)


def _fold(rows: Iterable[tuple[str, str, str]], reducer: Reducer) -> bytes | None:
    """Reduce some rows at a time and the results again, so that no call gets more than a few hundred."""
    partials: list[bytes] = []
    rows = iter(rows)
    while chunk := list(islice(rows, _REDUCED_AT_ONCE)):
        keys, ids, values = zip(*chunk, strict=True)
        partials.append(reducer.reduce([key.encode() for key in keys], ids, [value.encode() for value in values]))
        if len(partials) == _REDUCED_AT_ONCE:
            partials = [reducer.rereduce(partials)]
    if len(partials) > 1:
        return reducer.rereduce(partials)
    return partials[0] if partials else None


# What SQLite can compute by itself. A JSON text is a number exactly when it begins with a digit or "-".
_NUMBERS = "sum(value >= '-' AND value < ':')"
_AGGREGATES = {
    "_count": "count(*)",
    "_approx_count_distinct": "count(DISTINCT sort)",
    "_sum": f"count(*), {_NUMBERS}, sum(CAST(value AS REAL))",
    "_stats": f"count(*), {_NUMBERS}, sum(CAST(value AS REAL)), min(CAST(value AS REAL)), max(CAST(value AS REAL)),"
    " sum(CAST(value AS REAL) * CAST(value AS REAL))",
}


def _from_aggregate(reduce: str | None, results: Sequence[Any]) -> bytes | None:
    """The JSON of an aggregate's value; None when some value is not a number, so that rows must be read one by one."""
    if reduce in ("_count", "_approx_count_distinct"):
        return b"%d" % results[0]
    count, numbers, total = results[:3]
    if count != numbers:
        return None
    if reduce == "_sum":
        return number_json(total)
    return stats_json(total, count, *results[3:])
