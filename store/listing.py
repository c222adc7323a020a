"""`_all_docs` and its kin: documents in id order, read page by page so that no long answer holds a snapshot open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import Any

import orjson

from store import doc_counts, reads
from store.documents import splice
from store.errors import QueryParseError
from store.reads import PLAIN, DocOptions, Revision

_ROWS_PER_PAGE = 500
_ROWS_PER_PAGE_WITH_DOCS = 100
_UNLIMITED = 2**62
_DESIGN, _BEHIND_DESIGN = "_design/", "_design0"
_ONE_RANGE = frozenset({"key", "startkey", "start_key", "endkey", "end_key"})


@dataclass(frozen=True, slots=True)
class ListingParams:
    """What to list. Bounds are document ids; `empty` says that a bound of another type excludes everything.

    With `design_only` other documents are as if they were not there.
    """

    low: str | None = None
    high: str | None = None
    low_inclusive: bool = True
    high_inclusive: bool = True
    keys: tuple[Any, ...] | None = None
    descending: bool = False
    skip: int = 0
    limit: int = _UNLIMITED
    include_docs: bool = False
    options: DocOptions = PLAIN
    update_seq: bool = False
    empty: bool = False
    design_only: bool = False


def parse_listing(given: dict[str, Any]) -> ListingParams:
    """Parameters of a query (values parsed) or of a POST body; raises QueryParseError naming the wrong one."""
    descending = _flag(given, "descending")
    params = ListingParams(
        descending=descending,
        skip=_count(given, "skip", 0),
        limit=_count(given, "limit", _UNLIMITED),
        include_docs=_flag(given, "include_docs"),
        update_seq=_flag(given, "update_seq"),
        options=DocOptions(
            conflicts=_flag(given, "conflicts"),
            attachments=_flag(given, "attachments"),
            att_encoding_info=_flag(given, "att_encoding_info"),
        ),
    )
    if "keys" in given:
        keys = given["keys"]
        if not isinstance(keys, list):
            raise QueryParseError("`keys` parameter must be an array.")
        if not given.keys().isdisjoint(_ONE_RANGE):
            raise QueryParseError("`keys` is incompatible with `key`, `start_key` and `end_key`")
        return replace(params, keys=tuple(keys))
    if "key" in given:
        key = given["key"]
        if not isinstance(key, str):
            return replace(params, empty=True)
        return replace(params, low=key, high=key)
    inclusive_end = _flag(given, "inclusive_end", True)
    start_below, start = _bound(given, "startkey", "start_key")
    end_below, end = _bound(given, "endkey", "end_key")
    if descending:
        return replace(params, low=end, high=start, low_inclusive=inclusive_end, empty=start_below)
    return replace(params, low=start, high=end, high_inclusive=inclusive_end, empty=end_below)


def _bound(given: dict[str, Any], *names: str) -> tuple[bool, str | None]:
    """(whether the bound is below all ids, the bound): all other types are below strings in Erlang's order."""
    for name in names:
        if name in given:
            value = given[name]
            return (False, value) if isinstance(value, str) else (True, None)
    return False, None


def _flag(given: dict[str, Any], name: str, default: bool = False) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise QueryParseError(f"Invalid value for boolean parameter: {orjson.dumps(value).decode()}")
    return value


def _count(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _UNLIMITED:
        raise QueryParseError(f"Invalid value for {name}: {orjson.dumps(value).decode()}; expected a number from 0 up")
    return value


def only_design(params: ListingParams) -> ListingParams:
    """The same question about design documents alone."""
    low, high, high_inclusive = params.low, params.high, params.high_inclusive
    if low is None or low < _DESIGN:
        low = _DESIGN
    if high is None or high >= _BEHIND_DESIGN:
        high, high_inclusive = _BEHIND_DESIGN, False
    keys = params.keys
    if keys is not None:
        keys = tuple(key for key in keys if isinstance(key, str) and key.startswith(_DESIGN))
    return replace(params, low=low, high=high, high_inclusive=high_inclusive, keys=keys, design_only=True)


def count_design_docs(conn: Connection) -> int:
    """`total_rows` of `_design_docs`."""
    number: int = conn.execute(
        "SELECT count(*) FROM docs WHERE deleted = 0 AND id >= ? AND id < ?", (_DESIGN, _BEHIND_DESIGN)
    ).fetchone()[0]
    return number


def count_before(conn: Connection, params: ListingParams) -> int:
    """How many live documents precede the first bound: the `offset` of the answer, before `skip`.

    CouchDB counts all documents before it, for `_design_docs` too.
    """
    first = params.high if params.descending else params.low
    if first is None:
        return 0
    if not params.descending:
        return doc_counts.live_before(conn, first)
    live: int = conn.execute("SELECT doc_count FROM info").fetchone()[0]
    return live - doc_counts.live_before(conn, first, inclusive=True)


class RangeReader:
    """Reads a range page by page."""

    def __init__(self, params: ListingParams) -> None:
        self._params = params
        self._left = 0 if params.empty else params.limit
        self._skip = params.skip
        self._page = _ROWS_PER_PAGE_WITH_DOCS if params.include_docs else _ROWS_PER_PAGE

    def page(self, conn: Connection) -> list[bytes]:
        """The next rows as JSON; none at the end. For a worker thread."""
        params = self._params
        size = min(self._page, self._left)
        if size == 0:
            return []
        where, arguments = ["d.deleted = 0"], []
        if params.low is not None:
            where.append(f"d.id {'>=' if params.low_inclusive else '>'} ?")
            arguments.append(params.low)
        if params.high is not None:
            where.append(f"d.id {'<=' if params.high_inclusive else '<'} ?")
            arguments.append(params.high)
        order = "DESC" if params.descending else "ASC"
        sql = f"WHERE {' AND '.join(where)} ORDER BY d.id {order} LIMIT {size} OFFSET {self._skip}"
        rows, last = _rows(conn, sql, arguments, params)
        self._left = self._left - len(rows) if len(rows) == size else 0
        self._skip = 0
        if params.descending:
            self._params = replace(params, high=last, high_inclusive=False)
        else:
            self._params = replace(params, low=last, low_inclusive=False)
        return rows


def local_rows(conn: Connection, params: ListingParams) -> list[bytes]:
    """`_local_docs`: the documents that are not replicated."""
    found = conn.execute("SELECT id, rev, body FROM local_docs ORDER BY id").fetchall()
    if params.keys is not None:
        known = {row[0]: row for row in found}
        found = [known.get(key, (key, None, None)) for key in params.keys if isinstance(key, str)]
    rows: list[bytes] = []
    for doc_id, rev, body in found:
        if rev is None:
            rows.append(_absent_row(doc_id))
            continue
        if (params.low is not None and doc_id < params.low) or (params.high is not None and doc_id > params.high):
            continue
        rows.append(_row(doc_id, f"0-{rev}", splice(doc_id, f"0-{rev}", body) if params.include_docs else None))
    if params.descending:
        rows.reverse()
    return [] if params.empty else rows[params.skip :][: params.limit]


def _rows(
    conn: Connection, sql: str, arguments: Sequence[str], params: ListingParams
) -> tuple[list[bytes], str | None]:
    if not params.include_docs:
        found = conn.execute(f"SELECT d.id, d.rev FROM docs d {sql}", arguments).fetchall()
        return [_row(row[0], row[1]) for row in found], found[-1][0] if found else None
    found = conn.execute(
        "SELECT d.id, d.rev, d.seq, d.leaves, d.tree, b.body, b.attachments"
        f" FROM docs d JOIN bodies b ON b.num = d.body {sql}",
        arguments,
    ).fetchall()
    rows = [_row(row[0], row[1], _document(conn, row, params.options)) for row in found]
    return rows, found[-1][0] if found else None


def _row(doc_id: str, rev: str, doc: bytes | None = None) -> bytes:
    quoted = orjson.dumps(doc_id)
    tail = b"" if doc is None else b',"doc":' + doc
    return b'{"id":%b,"key":%b,"value":{"rev":"%b"}%b}' % (quoted, quoted, rev.encode(), tail)


def _absent_row(key: Any) -> bytes:
    return b'{"key":%b,"error":"not_found"}' % orjson.dumps(key)


def _document(conn: Connection, row: Any, options: DocOptions) -> bytes:
    doc_id, rev, seq, leaves, tree, body, attachments = row
    if options is PLAIN and attachments is None:
        return splice(doc_id, rev, body)
    stored = orjson.loads(attachments) if attachments else {}
    whole = reads.Row(seq, doc_id, rev, 0, leaves, 0, tree)
    return reads.render(conn, "", whole, Revision(doc_id, rev, False, body, stored), options)


class KeysReader:
    """Reads one row per key, in the order of the keys; unknown ones are rows with an error."""

    def __init__(self, params: ListingParams) -> None:
        keys = list(params.keys or ())
        if params.descending:
            keys.reverse()
        self._params = params
        self._keys = keys[params.skip :][: params.limit]
        self._at = 0

    def page(self, conn: Connection) -> list[bytes]:
        """The next rows as JSON; none at the end. For a worker thread."""
        size = _ROWS_PER_PAGE_WITH_DOCS if self._params.include_docs else _ROWS_PER_PAGE
        chosen = self._keys[self._at : self._at + size]
        self._at += size
        return _key_rows(conn, chosen, self._params) if chosen else []


def _key_rows(conn: Connection, keys: Sequence[Any], params: ListingParams) -> list[bytes]:
    listed, asked = reads.among(key for key in keys if isinstance(key, str))
    found = {
        row[0]: row
        for row in conn.execute(
            "SELECT d.id, d.rev, d.seq, d.leaves, d.tree, b.body, b.attachments, d.deleted"
            f" FROM docs d JOIN bodies b ON b.num = d.body WHERE d.id IN {listed}"
            if params.include_docs
            else f"SELECT d.id, d.rev, 0, 0, 0, 0, 0, d.deleted FROM docs d WHERE d.id IN {listed}",
            (asked,),
        )
    }
    rows: list[bytes] = []
    for key in keys:
        row = found.get(key) if isinstance(key, str) else None
        if row is None:
            rows.append(_absent_row(key))
        elif row[7]:
            quoted = orjson.dumps(key)
            tail = b',"doc":null' if params.include_docs else b""
            rows.append(
                b'{"id":%b,"key":%b,"value":{"rev":"%b","deleted":true}%b}' % (quoted, quoted, row[1].encode(), tail)
            )
        else:
            rows.append(_row(row[0], row[1], _document(conn, row[:7], params.options) if params.include_docs else None))
    return rows
