"""Reducing the rows of a view index over ranges and groups, from stored reductions of blocks where it can. Blocks."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
import orjson

from store.collation import HIGHEST, array_prefix
from store.errors import StoreError
from store.javascript import JavaScript
from store.reducers import Reducer, built_in, number_json, stats_json
from store.view_blocks import Block, blocks_in, blocks_to_reduce, count_rows, store_reduced, where
from store.view_group import View, ViewGroup
from store.view_query import EXACT, Bound, KeyRange, ViewParams
from store.view_read import PAGE_ROWS, Head

log = logging.getLogger(__name__)

_SMALL_BYTES = 5000  # reductions up to this need not shrink
_REDUCED_AT_ONCE = 200  # rows given to a JavaScript reduce in one call


class ReduceOverflow(StoreError):
    """`reduce_overflow_error`, a row of the answer: a reduction is not much smaller than what it is made of."""

    slug = "reduce_overflow_error"


@dataclass(frozen=True)
class JavaScriptReducer:
    """A reduce function of the design document."""

    engine: JavaScript
    source: str
    lib: bytes

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        pairs = b",".join(b"[%b,%b]" % (key, orjson.dumps(id_)) for key, id_ in zip(keys, ids, strict=True))
        listed = b"[" + b",".join(values) + b"]"
        reduced = self.engine.reduce(self.source, self.lib, b"[" + pairs + b"]", listed, rereduce=False).result()
        return self._checked(reduced, len(pairs) + len(listed))

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        listed = b"[" + b",".join(partials) + b"]"
        reduced = self.engine.reduce(self.source, self.lib, b"null", listed, rereduce=True).result()
        return self._checked(reduced, len(listed))

    def _checked(self, reduced: bytes, input_bytes: int) -> bytes:
        """A reduction that hardly reduces would make every index and answer of it huge."""
        if len(reduced) <= _SMALL_BYTES or 2 * len(reduced) <= input_bytes or self.engine.reduce_limit == "false":
            return reduced
        reason = f"Reduce output must shrink more rapidly: input size: {input_bytes} output size: {len(reduced)}"
        if self.engine.reduce_limit != "log":
            raise ReduceOverflow(reason)
        log.warning("%s", reason)
        return reduced


class Span(NamedTuple):
    """Sort keys from `low` to `high`, both included: the rows of one group."""

    low: bytes
    high: bytes

    def within(self, key_range: KeyRange) -> KeyRange:
        low, high = key_range
        if low is None or low.sort < self.low:
            low = Bound(self.low, None, True)
        if high is None or high.sort > self.high:
            high = Bound(self.high, None, True)
        return KeyRange(low, high)


@dataclass(frozen=True)
class Reduction:
    """One view's reduction over one state of its index; `slot` is its place in the blocks' stored reductions."""

    connection: sqlite3.Connection
    view: View
    reducer: Reducer
    slot: int | None

    def read(self, params: ViewParams) -> Iterator[Any]:
        """First the Head, then pieces of reduced rows, one for each group."""
        yield Head(None, None)
        end = None if params.limit is None else params.skip + params.limit
        groups = islice(self._groups(params), params.skip, end)
        page: list[bytes] = []
        try:
            for group in groups:
                page.append(b'{"key":%b,"value":%b}' % group)
                if len(page) == PAGE_ROWS:
                    yield b",\r\n".join(page)
                    page = []
        except ReduceOverflow as error:  # as in CouchDB a row among the others, and the last one
            page.append(orjson.dumps({"key": None, "error": error.slug, "reason": error.reason}))
        if page:
            yield b",\r\n".join(page)

    def value(self, key_range: KeyRange) -> bytes | None:
        """The reduction of a range, None when it has no rows."""
        if self.view.reduce == "_count":
            count = count_rows(self.connection, self.view.map_index, key_range)
            return b"%d" % count if count else None
        blocks = blocks_in(self.connection, self.view.map_index, key_range) if self.slot is not None else []
        if len(blocks) < 2:
            return self.value_of_rows(key_range)
        partials = []
        if key_range.low is not None:
            partials.append(self.value_of_rows(KeyRange(key_range.low, blocks[0].end_of_previous)))
        for block, following in pairwise(blocks):
            partials.append(self._stored(block) or self.value_of_rows(KeyRange(block.start, following.end_of_previous)))
        partials.append(self.value_of_rows(KeyRange(blocks[-1].start, key_range.high)))
        return self._merged([partial for partial in partials if partial is not None])

    def value_of_rows(self, key_range: KeyRange) -> bytes | None:
        """The same from the rows alone."""
        condition = where(self.view.map_index, key_range)
        aggregate = _AGGREGATES.get(self.view.reduce or "")
        if aggregate is not None:
            results = self.connection.execute(
                f"SELECT {aggregate} FROM rows WHERE {condition.sql}", condition.values
            ).fetchone()
            if not results[0]:
                return None
            value = _from_aggregate(self.view.reduce, results)
            if value is not None:
                return value
        rows = self.connection.execute(
            f"SELECT key, id, value FROM rows WHERE {condition.sql} ORDER BY sort, id, n", condition.values
        )
        return self._folded(rows)

    def _stored(self, block: Block) -> bytes | None:
        if block.reduced is None or self.slot is None:
            return None
        stored = bytes(_decode_stored(block.reduced)[self.slot])
        return None if stored == b"null" else stored

    def _groups(self, params: ViewParams) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of each group, in the order asked for."""
        for key_range in params.ranges(self.view.sort_key):
            if params.group_level == 0:
                value = self.value(key_range)
                if value is not None:
                    yield b"null", value
            elif params.group_level != EXACT or self._has_large_groups(key_range):
                yield from self._groups_by_jumping(key_range, params)
            else:
                yield from self._groups_by_reading(key_range, params)

    def _has_large_groups(self, key_range: KeyRange) -> bool:
        """Whether many keys have rows enough to fill whole blocks."""
        blocks = blocks_in(self.connection, self.view.map_index, key_range)
        return 2 * len({block.sort for block in blocks}) < len(blocks)

    def _groups_by_reading(self, key_range: KeyRange, params: ViewParams) -> Iterator[tuple[bytes, bytes]]:
        """One group for each key, from all rows of the range."""
        condition = where(self.view.map_index, key_range)
        order = "DESC" if params.descending else "ASC"
        aggregate = _AGGREGATES.get(self.view.reduce or "")
        if aggregate is not None:
            groups = self.connection.execute(
                f"SELECT key, sort, {aggregate} FROM rows WHERE {condition.sql} GROUP BY sort ORDER BY sort {order}",
                condition.values,
            )
            for key, sort, *results in groups:
                value = _from_aggregate(self.view.reduce, results)
                if value is None:
                    value = self.value_of_rows(Span(sort, sort).within(key_range))
                if value is not None:
                    yield key.encode(), value
            return
        rows = self.connection.execute(
            f"SELECT sort, key, id, value FROM rows WHERE {condition.sql} ORDER BY sort {order}, id, n",
            condition.values,
        )
        for _, group in groupby(rows, key=itemgetter(0)):
            first = next(group)
            value = self._folded(row[1:] for row in chain((first,), group))
            if value is not None:
                yield first[1].encode(), value

    def _groups_by_jumping(self, key_range: KeyRange, params: ViewParams) -> Iterator[tuple[bytes, bytes]]:
        """Groups by key, or by the first members of array keys: from each group's end on to the next group."""
        order = "DESC" if params.descending else "ASC"
        while True:
            condition = where(self.view.map_index, key_range)
            first = self.connection.execute(
                f"SELECT sort, key FROM rows WHERE {condition.sql} ORDER BY sort {order} LIMIT 1", condition.values
            ).fetchone()
            if first is None:
                return
            sort, shown = first
            span = Span(sort, sort)
            if params.group_level != EXACT:
                key = orjson.loads(shown)
                if isinstance(key, list) and len(key) > params.group_level:
                    key = key[: params.group_level]
                    shown = number_json(key).decode()
                if isinstance(key, list) and len(key) == params.group_level:
                    prefix = array_prefix(key, self.view.sort_key)
                    span = Span(prefix, prefix + HIGHEST)
            value = self.value(span.within(key_range))
            if value is not None:
                yield shown.encode(), value
            if params.descending:
                key_range = KeyRange(key_range.low, Bound(span.low, None, False))
            else:
                key_range = KeyRange(Bound(span.high, None, False), key_range.high)

    def _folded(self, rows: Iterable[tuple[str, str, str]]) -> bytes | None:
        """Reduce some rows at a time and then the results, so that no call gets more than a few hundred."""
        rows = iter(rows)
        partials: list[bytes] = []
        while chunk := list(islice(rows, _REDUCED_AT_ONCE)):
            keys, ids, values = zip(*chunk, strict=True)
            partials.append(self.reducer.reduce([key.encode() for key in keys], ids, [v.encode() for v in values]))
        return self._merged(partials)

    def _merged(self, partials: list[bytes]) -> bytes | None:
        while len(partials) > 1:
            chunks = range(0, len(partials), _REDUCED_AT_ONCE)
            partials = [self.reducer.rereduce(partials[at : at + _REDUCED_AT_ONCE]) for at in chunks]
        return partials[0] if partials else None


def reduction(connection: sqlite3.Connection, group: ViewGroup, view: View, engine: JavaScript) -> Reduction:
    """The reduction of a view that has one."""
    if view.reduce is None:
        raise ValueError("the view has no reduce function")
    reducer: Reducer
    if view.reduce.startswith("_"):
        reducer = built_in(view.reduce)
    else:
        reducer = JavaScriptReducer(engine, view.reduce, group.program.lib)
    stored = group.stored_reduces[view.map_index]
    return Reduction(connection, view, reducer, stored.index(view.reduce) if view.reduce in stored else None)


def store_reductions(connection: sqlite3.Connection, group: ViewGroup, engine: JavaScript) -> None:
    """Reduce the blocks whose reductions are not known."""
    for map_index, reduces in enumerate(group.stored_reduces):
        if not reduces:
            continue
        reductions = [reduction(connection, group, View(map_index, reduce), engine) for reduce in reduces]
        store_reduced(
            connection,
            [
                (f"[{b','.join([_value_or_null(each, key_range) for each in reductions]).decode()}]", key)
                for key, key_range in blocks_to_reduce(connection, map_index)
            ],
        )


def _value_or_null(one: Reduction, key_range: KeyRange) -> bytes:
    try:
        return one.value_of_rows(key_range) or b"null"
    except StoreError:  # raised again for whoever asks for it
        return b"null"


_decode_stored = msgspec.json.Decoder(list[msgspec.Raw]).decode

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
