"""The search index as an API worker reads it: pages of hits in an order that stays, on threads."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from api.access.index import CATCH_UP_S, LAG_PAGE, MOST_WAITED_FOR
from api.access.readers import READY_S, Readers, give_way
from api.search import schema
from api.search.schema import State
from api.search.tokens import Kind
from core.couch.client import Database

THREADS = 2  # searches at once; more wait their turn
POLL_S = 0.03

Sort = str | float

FOUND = "FROM words CROSS JOIN doc ON doc.n = words.rowid WHERE words MATCH :match AND kind = :kind"
EVERY = "FROM doc WHERE kind = :kind"


class Hit(NamedTuple):
    id: str
    sort: Sort  # a contact's order value, or a report's `reported_date` in ms


@dataclass(frozen=True)
class Page:
    """Part of the hits in their order, and how many there are in all."""

    hits: list[Hit]
    total: int


class SearchIndex:
    """The reading side of the file at `path`, which may not exist yet and may be replaced at any time.

    `match` is what `query.py` makes of a client's words; None finds every document of the kind. Raises Unavailable
    where there is no index to read within a few seconds.
    """

    def __init__(self, path: Path, *, ready_s: float = READY_S) -> None:
        self._readers = Readers(path, schema.connect_reader, ready_s=ready_s)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="search", initializer=give_way)

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        self._readers.close()

    async def state(self) -> State:
        return await self._readers.ask(None, schema.read_state)

    async def count(self, kind: Kind) -> int:
        """How many documents of the kind are in the index."""
        return await self._readers.ask(self._pool, count_hits, kind, None)

    async def size_bytes(self) -> int:
        """Of the whole file, with what has not been moved into it yet."""
        return await self._readers.ask(None, file_size)

    async def ids(self, kind: Kind, match: str | None, start: str | None, limit: int) -> list[str]:
        """The ids of the hits in their order, from `start` on."""
        return await self._readers.ask(self._pool, find_ids, kind, match, start, limit)

    async def page(self, kind: Kind, match: str | None, after: Hit | None, limit: int, *, descending: bool) -> Page:
        """The hits after one of them, by `sort` and, where that is the same, by id."""
        return await self._readers.ask(self._pool, find_page, kind, match, after, limit, descending)

    async def catch_up(self, db: Database, most_s: float = CATCH_UP_S) -> int:
        """Wait until the index has passed what is in CouchDB now; how many changes it is behind after `most_s`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + most_s
        while True:
            couch_seq = (await self.state()).couch_seq
            answer = await db.changes(couch_seq, limit=LAG_PAGE)
            missing = len(answer["results"]) + int(answer.get("pending") or 0)
            if not 0 < missing <= MOST_WAITED_FOR:
                return missing
            while (await self.state()).couch_seq == couch_seq:
                if loop.time() > deadline_s:
                    return missing
                await asyncio.sleep(POLL_S)


def file_size(connection: sqlite3.Connection) -> int:
    (pages,), (page_bytes,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    return int(pages * page_bytes)


def find_ids(connection: sqlite3.Connection, kind: Kind, match: str | None, start: str | None, limit: int) -> list[str]:
    sql = f"SELECT id {EVERY if match is None else FOUND} AND id >= :start ORDER BY id LIMIT :limit"
    args = {"match": match, "kind": int(kind), "start": start or "", "limit": limit}
    return [row[0] for row in connection.execute(sql, args)]


def find_page(
    connection: sqlite3.Connection, kind: Kind, match: str | None, after: Hit | None, limit: int, descending: bool
) -> Page:
    beyond, direction = ("<", "DESC") if descending else (">", "ASC")
    rest = "" if after is None else f" AND (sort {beyond} :sort OR (sort = :sort AND id > :id))"
    sql = f"SELECT id, sort {EVERY if match is None else FOUND}{rest} ORDER BY sort {direction}, id LIMIT :limit"
    args: dict[str, Sort | None] = {"match": match, "kind": int(kind), "limit": limit}
    if after is not None:
        args |= {"sort": after.sort, "id": after.id}
    connection.execute("BEGIN")
    try:
        hits = [Hit._make(row) for row in connection.execute(sql, args)]
        whole = after is None and len(hits) < limit
        return Page(hits, len(hits) if whole else count_hits(connection, kind, match))
    finally:
        connection.execute("COMMIT")


def count_hits(connection: sqlite3.Connection, kind: Kind, match: str | None) -> int:
    sql = f"SELECT COUNT(*) {EVERY if match is None else FOUND}"
    (count,) = connection.execute(sql, {"match": match, "kind": int(kind)}).fetchone()
    return int(count)
