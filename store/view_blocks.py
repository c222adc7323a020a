"""Blocks of a view's rows with their counts and reductions, so that positions and ranges are not counted row by row.

A block begins at a (sort key, document id) and ends where the next begins; a view's first begins before all its rows.
Counts are exact at every commit. Reductions are forgotten when a row of the block changes, and made again at the end of
the update; a reader that meets a forgotten one reads the rows of that block.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from store.view_query import Bound, KeyRange

BLOCK_ROWS = 512  # a block is divided at twice that; about the best for some 100,000 rows

BlockKey = tuple[int, bytes, str]  # view, sort key and document id of where it begins


class Where(NamedTuple):
    """A condition on rows or blocks, and its values."""

    sql: str
    values: tuple[Any, ...]


class Block(NamedTuple):
    """One block; `reduced` is a JSON array with one member for each stored reduction, None when it is not known."""

    sort: bytes
    id: str
    rows: int
    reduced: str | None

    @property
    def start(self) -> Bound:
        return Bound(self.sort, self.id, True)

    @property
    def end_of_previous(self) -> Bound:
        return Bound(self.sort, self.id, False)


def where(view: int, key_range: KeyRange) -> Where:
    """The rows of a view within a range, or the blocks that begin there."""
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
    return Where(f"(sort, id) {sign}{equal} (?, ?)", (bound.sort, bound.id))


def blocks_in(connection: sqlite3.Connection, view: int, key_range: KeyRange) -> list[Block]:
    """The blocks that begin within a range: all of them lie within it, but perhaps the last."""
    condition = where(view, key_range)
    found = connection.execute(
        f"SELECT sort, id, rows, reduced FROM blocks WHERE {condition.sql} ORDER BY sort, id", condition.values
    )
    return [Block(*row) for row in found]


def count_rows(connection: sqlite3.Connection, view: int, key_range: KeyRange) -> int:
    """The number of rows within a range."""
    condition = where(view, key_range)
    last = connection.execute(
        f"SELECT sort, id, rows, reduced FROM blocks WHERE {condition.sql} ORDER BY sort DESC, id DESC LIMIT 1",
        condition.values,
    ).fetchone()
    if last is None:
        return _count_directly(connection, view, key_range)
    block = Block(*last)
    count = int(
        connection.execute(f"SELECT total(rows) FROM blocks WHERE {condition.sql}", condition.values).fetchone()[0]
    )
    if key_range.high is not None:
        count += _count_directly(connection, view, KeyRange(block.start, key_range.high)) - block.rows
    if key_range.low is not None:
        first = connection.execute(
            f"SELECT sort, id, rows, reduced FROM blocks WHERE {condition.sql} ORDER BY sort, id LIMIT 1",
            condition.values,
        ).fetchone()
        count += _count_directly(connection, view, KeyRange(key_range.low, Block(*first).end_of_previous))
    return count


def _count_directly(connection: sqlite3.Connection, view: int, key_range: KeyRange) -> int:
    condition = where(view, key_range)
    return int(connection.execute(f"SELECT count(*) FROM rows WHERE {condition.sql}", condition.values).fetchone()[0])


# --- keeping them -----------------------------------------------------------------------------------------------------


def create_blocks(connection: sqlite3.Connection, views: int) -> None:
    """Blocks for the rows of all views; a view without rows has one, which is empty."""
    connection.execute(
        "CREATE TABLE blocks (view INTEGER NOT NULL, sort BLOB NOT NULL, id TEXT NOT NULL, rows INTEGER NOT NULL,"
        " reduced TEXT, PRIMARY KEY (view, sort, id)) WITHOUT ROWID"
    )
    connection.execute("CREATE INDEX blocks_to_reduce ON blocks (view, sort, id) WHERE reduced IS NULL")
    for view in range(views):
        _divide(connection, (view, b"", ""))


def change_blocks(connection: sqlite3.Connection, changes: Iterable[tuple[int, bytes, str, int]]) -> None:
    """Count rows that came (1) or went (-1), given as (view, sort key, document id, 1 or -1)."""
    deltas: dict[BlockKey, int] = {}
    for view, sort, id_, delta in changes:
        block = connection.execute(
            "SELECT view, sort, id FROM blocks WHERE view = ? AND (sort, id) <= (?, ?)"
            " ORDER BY sort DESC, id DESC LIMIT 1",
            (view, sort, id_),
        ).fetchone()
        deltas[block] = deltas.get(block, 0) + delta
    for block, delta in deltas.items():
        [(rows,)] = connection.execute(
            "UPDATE blocks SET rows = rows + ?, reduced = NULL WHERE view = ? AND sort = ? AND id = ? RETURNING rows",
            (delta, *block),
        ).fetchall()
        if rows > 2 * BLOCK_ROWS:
            _divide(connection, block)
        elif rows == 0 and block[1]:
            connection.execute("DELETE FROM blocks WHERE view = ? AND sort = ? AND id = ?", block)


def blocks_to_reduce(connection: sqlite3.Connection, view: int) -> list[tuple[BlockKey, KeyRange]]:
    """The blocks of a view without known reductions, and the range of each."""
    keys = connection.execute(
        "SELECT view, sort, id FROM blocks WHERE view = ? AND reduced IS NULL AND rows > 0", (view,)
    ).fetchall()
    return [(key, _range_of(connection, key)) for key in keys]


def store_reduced(connection: sqlite3.Connection, reduced: Iterable[tuple[str, BlockKey]]) -> None:
    """Keep the reductions of blocks, each a JSON array."""
    connection.executemany(
        "UPDATE blocks SET reduced = ? WHERE view = ? AND sort = ? AND id = ?",
        [(text, *key) for text, key in reduced],
    )


def _range_of(connection: sqlite3.Connection, key: BlockKey) -> KeyRange:
    following = connection.execute(
        "SELECT sort, id FROM blocks WHERE view = ? AND (sort, id) > (?, ?) ORDER BY sort, id LIMIT 1", key
    ).fetchone()
    return KeyRange(Bound(key[1], key[2], True), Bound(following[0], following[1], False) if following else None)


def _divide(connection: sqlite3.Connection, key: BlockKey) -> None:
    """Write a block anew as blocks of the usual size; rows of one key and document stay together."""
    view, *start = key
    condition = where(view, _range_of(connection, key))
    rows = connection.execute(f"SELECT sort, id FROM rows WHERE {condition.sql} ORDER BY sort, id", condition.values)
    count, previous = 0, None
    divided: list[tuple[Any, ...]] = []
    for position in rows:
        if count >= BLOCK_ROWS and position != previous:
            divided.append((view, *start, count))
            start, count = position, 0
        count += 1
        previous = position
    divided.append((view, *start, count))
    connection.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?, NULL)", divided)
