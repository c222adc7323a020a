"""Running a planned query: read a range of an index, load the documents, keep what matches up to the limit."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from sqlite3 import Connection
from typing import Any

import orjson

from store.database import Database
from store.errors import BadRequest
from store.listing import KeysReader, ListingParams, RangeReader, parse_listing
from store.mango_options import FindOptions
from store.mango_plan import Plan, range_keys, rows_tell_all
from store.mango_range import HIGHEST_TEXT
from store.reads import DocOptions
from store.selector_match import matcher
from store.selector_paths import field_path, project
from store.view_query import ViewParams
from store.views import Views

_FEWEST, _MOST = 25, 200  # documents read at a time: few at first, since often few are wanted
_HIGHEST_KEY = {HIGHEST_TEXT * 8: None}  # sorts after every key that begins the same
_HIGHEST_ID = "\U0010ffff"


@dataclass(frozen=True)
class Bookmark:
    """The last row a query answered from, where the next page goes on."""

    key: Any
    id: str

    def encode(self) -> str:
        """The text that clients send back."""
        return base64.urlsafe_b64encode(orjson.dumps([self.key, self.id])).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Bookmark:
        """BadRequest `invalid_bookmark` for a text that is none of ours."""
        try:
            key, doc_id = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
            if isinstance(doc_id, str):
                return cls(key, doc_id)
        except (binascii.Error, ValueError, TypeError):
            pass
        raise BadRequest(f"Invalid bookmark value: {orjson.dumps(text).decode()}", slug="invalid_bookmark")


@dataclass
class Statistics:
    """What a query cost, as `execution_stats` shows it."""

    keys_examined: int = 0
    docs_examined: int = 0
    returned: int = 0
    started_s: float = field(default_factory=time.perf_counter)

    def as_json(self, *, quorum: bool) -> dict[str, Any]:
        return {
            "total_keys_examined": self.keys_examined,
            "total_docs_examined": 0 if quorum else self.docs_examined,
            "total_quorum_docs_examined": self.docs_examined if quorum else 0,
            "results_returned": self.returned,
            "execution_time_ms": round((time.perf_counter() - self.started_s) * 1000, 3),
        }


@dataclass(frozen=True)
class _Row:
    """One row of an index. `doc` is None for a document that has gone meanwhile."""

    id: str
    key: Any
    doc: dict[str, Any] | None


class Finding:
    """One query while it runs. Read `pages` to the end, then `bookmark` and `statistics`."""

    def __init__(self, database: Database, views: Views, options: FindOptions, planned: Plan) -> None:
        """BadRequest for a bookmark that is none."""
        if planned.index is None:
            raise BadRequest("No index exists for this sort, try indexing by the sort fields.", slug="no_usable_index")
        self.index = planned.index
        self.statistics = Statistics()
        self.bookmark = Bookmark.decode(options.bookmark) if options.bookmark else None
        self._database = database
        self._views = views
        self._options = options
        self._plan = planned
        self._matches = matcher(options.selector)
        self._paths = None if options.fields is None else [field_path(each) for each in options.fields]
        self._doc_options = DocOptions(conflicts=options.conflicts)
        self._covered = rows_tell_all(self.index, options) and options.r == 1
        self._skip, self._left = options.skip, options.limit

    async def pages(self) -> AsyncGenerator[list[bytes], None]:
        """The documents found, as JSON, some at a time."""
        if self._plan.nothing or self._left == 0:
            return
        reading = self._all_docs() if self.index.ddoc is None else self._by_view(self.index.ddoc)
        async with aclosing(reading):
            async for page in reading:
                if page:
                    yield page
                if self._left == 0:
                    return

    async def _all_docs(self) -> AsyncGenerator[list[bytes], None]:
        reader = RangeReader(self._listing())

        def read_page(conn: Connection) -> list[bytes] | None:
            listed = reader.page(conn)
            rows = [orjson.loads(row) for row in listed]
            return self._kept([_Row(row["id"], row["id"], row["doc"]) for row in rows]) if listed else None

        while (page := await self._database.read(read_page)) is not None:
            yield page

    def _listing(self) -> ListingParams:
        given: dict[str, Any] = {"include_docs": True, "conflicts": self._options.conflicts}
        [bounds] = self._plan.ranges
        low = self.bookmark.id if self.bookmark and not self._options.descending else bounds.low
        high = self.bookmark.id if self.bookmark and self._options.descending else bounds.high
        if isinstance(high, str) and high.endswith(HIGHEST_TEXT):
            high = high.removesuffix(HIGHEST_TEXT) + _HIGHEST_ID
        start, end = ("endkey", "startkey") if self._options.descending else ("startkey", "endkey")
        if isinstance(low, str):  # every id is above whatever is not a string
            given[start] = low
        if high is not None or bounds.has_high:
            given[end] = high
        return parse_listing({**given, "descending": self._options.descending, "skip": 1 if self.bookmark else 0})

    async def _by_view(self, ddoc_id: str) -> AsyncGenerator[list[bytes], None]:
        ddoc = self._database.design_doc(ddoc_id)
        result = await self._views.query(ddoc.doc, self.index.name, self._view_params())
        size = max(_FEWEST, min(self._skip + self._left, _MOST))
        try:
            async for piece in result.pages():
                rows = orjson.loads(b"[" + piece + b"]")
                while rows and self._left:
                    chunk, rows = rows[:size], rows[size:]
                    size = min(2 * size, _MOST)
                    yield await (self._from_keys(chunk) if self._covered else self._from_documents(chunk))
                if not self._left:
                    return
        finally:
            result.close()

    def _view_params(self) -> ViewParams:
        low, high = range_keys(self._plan)
        start, end = low, [*high, _HIGHEST_KEY]
        if self._options.descending:
            start, end = end, start
        params = ViewParams(
            start_key=start,
            end_key=end,
            descending=self._options.descending,
            reduce=False,
            update="true" if self._options.updates_index else "false",
        )
        if self.bookmark is None:
            return params
        return replace(params, start_key=self.bookmark.key, start_key_doc_id=self.bookmark.id, skip=1)

    async def _from_keys(self, rows: Sequence[dict[str, Any]]) -> list[bytes]:
        """Documents put together from what the index knows of them."""
        paths = [field_path(column) for column in self.index.columns]

        def build() -> list[bytes]:
            return self._kept([_Row(row["id"], row["key"], _derived(row["id"], row["key"], paths)) for row in rows])

        return await self._database.run(build)

    async def _from_documents(self, rows: Sequence[dict[str, Any]]) -> list[bytes]:
        keys = tuple(row["id"] for row in rows)

        def load(conn: Connection) -> list[bytes]:
            reader = KeysReader(ListingParams(keys=keys, include_docs=True, options=self._doc_options))
            docs: dict[str, Any] = {}
            while page := reader.page(conn):
                docs |= {row["key"]: row.get("doc") for row in map(orjson.loads, page)}
            return self._kept([_Row(row["id"], row["key"], docs.get(row["id"])) for row in rows])

        return await self._database.read(load)

    def _kept(self, rows: Sequence[_Row]) -> list[bytes]:
        """The rows that match, skipped and limited, as they are answered. Moves bookmark and statistics on."""
        kept: list[bytes] = []
        for row in rows:
            if self._left == 0:
                break
            self.statistics.keys_examined += 1
            if row.doc is None:
                continue
            self.statistics.docs_examined += not self._covered
            if (self.index.ddoc is None and row.id.startswith("_design/")) or not self._matches(row.doc):
                continue
            self.bookmark = Bookmark(row.key, row.id)
            if self._skip:
                self._skip -= 1
                continue
            self._left -= 1
            self.statistics.returned += 1
            kept.append(orjson.dumps(row.doc if self._paths is None else project(row.doc, self._paths)))
        return kept


def _derived(doc_id: str, values: Sequence[Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    doc: dict[str, Any] = {}
    for path, value in zip(paths, values, strict=True):
        place = doc
        for name in path[:-1]:
            place = place.setdefault(name, {})
        place[path[-1]] = value
    return {**doc, "_id": doc_id}
