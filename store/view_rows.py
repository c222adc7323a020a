"""The rows of documents as an index file keeps them: sortable keys, and their order within one document."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson

from store.collation import raw_sort_key, sort_key
from store.erlang import term_order
from store.javascript import Row
from store.source import Winner
from store.view_group import ViewGroup
from store.view_query import SortKey

log = logging.getLogger(__name__)

IndexRow = tuple[int, bytes, str, int, str, str]  # view, sort key, document id, place among its rows, key, value


def index_rows(group: ViewGroup, winners: Sequence[Winner], mapped: Sequence[list[list[Row]]]) -> list[IndexRow]:
    """What to insert for some documents, given what each map emitted for each of them."""
    rows: list[IndexRow] = []
    sort_keys = [raw_sort_key if raw else sort_key for raw in group.raw]
    for winner, views in zip(winners, mapped, strict=True):
        for view, emitted in enumerate(views):
            sorts = [_sorted(sort_keys[view], row, winner.id) for row in emitted]
            if len(set(sorts)) < len(sorts):
                pairs = sorted(zip(sorts, emitted, strict=True), key=_by_value)
                sorts, emitted = [sort for sort, _ in pairs], [row for _, row in pairs]
            for n, (sort, row) in enumerate(zip(sorts, emitted, strict=True)):
                if sort:
                    rows.append((view, sort, winner.id, n, row.key.decode(), row.value.decode()))
    return rows


def _sorted(sort_key: SortKey, row: Row, doc_id: str) -> bytes:
    """Empty for a key that cannot be one."""
    try:
        return sort_key(orjson.loads(row.key))
    except ValueError as error:  # nested deeper than JSON readers go
        log.warning("no row for a key of document %s: %s", doc_id, error)
        return b""


def _by_value(pair: tuple[bytes, Row]) -> tuple[bytes, Any]:
    """Rows of one document with one key come in Erlang's order of their values, not in that of their emission."""
    sort, row = pair
    try:
        return sort, term_order(orjson.loads(row.value))
    except ValueError:
        return sort, term_order(None)
