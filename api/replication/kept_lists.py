"""Lists that phones were given, kept so that the next ones can be told as what changed since (REPL-147)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import orjson
from aiohttp import web

from api.access.listing import Listing
from api.keys import CONFIG

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

LEVEL = 1  # of zlib: ids and revisions are mostly random
KEPT_FOR_EACH = 2  # the one that was just given, and the one before where its answer was lost
KEPT_S = 60 * 86_400
BUSY_S = 5.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
    user TEXT NOT NULL, digest TEXT NOT NULL, at_s INTEGER NOT NULL, list BLOB NOT NULL, PRIMARY KEY (user, digest)
);
CREATE INDEX IF NOT EXISTS kept_by_age ON kept (at_s);
"""


class Difference(NamedTuple):
    """What to add to an older list, `{id, rev}` each, and the ids to take from it."""

    added: Sequence[dict[str, str]]
    removed: Sequence[str]


NOTHING = Difference((), ())


class KeptLists:
    """In a file of this machine that its processes share; only lists of clients that ask for changes are in it.

    The file may be removed at any time, and may be unusable: then whole lists are given.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kept-lists")

    async def close(self) -> None:
        if self._connection is not None:
            await self._on_thread(self._connection.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def since(self, user: str, digest: str, now: Listing) -> Difference | None:
        """What leads from the list of that digest, if it was the user's, to the one now, which is kept from here on.

        None when it is not known any more.
        """
        if digest == now.digest:
            return NOTHING
        try:
            return await self._on_thread(self._compare, user, digest, now)
        except sqlite3.Error as error:
            log.warning("%s: %s; a whole list is given", self._path, error)
            return None

    def _compare(self, user: str, digest: str, now: Listing) -> Difference | None:
        connection = self._opened()
        sql = "SELECT list FROM kept WHERE user = ? AND digest = ?"
        found = connection.execute(sql, (user, digest)).fetchone()
        at_s = int(time.time())
        packed = zlib.compress(now.text, LEVEL)
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)", (user, now.digest, at_s, packed))
            connection.execute(
                "DELETE FROM kept WHERE user = :user AND digest NOT IN (:digest, :now) AND digest NOT IN"
                " (SELECT digest FROM kept WHERE user = :user ORDER BY at_s DESC, rowid DESC LIMIT :most)",
                {"user": user, "digest": digest, "now": now.digest, "most": KEPT_FOR_EACH},
            )
            connection.execute("DELETE FROM kept WHERE at_s < ?", (at_s - KEPT_S,))
        return None if found is None else difference(zlib.decompress(found[0]), now.text)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None or not self._path.exists():
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = opened(self._path)
        return self._connection

    async def _on_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def difference(before: bytes, now: bytes) -> Difference:
    """Of two lists as JSON, `{"id":..,"rev":..},...`."""
    lost = {row["id"]: row["rev"] for row in rows_of(before)}
    added = [row for row in rows_of(now) if lost.pop(row["id"], None) != row["rev"]]
    return Difference(added, list(lost))


def rows_of(text: bytes) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = orjson.loads(b"[" + text + b"]")
    return rows


KEPT_LISTS = web.AppKey("kept_lists", KeptLists)


async def open_kept_lists(app: web.Application) -> AsyncIterator[None]:
    app[KEPT_LISTS] = KeptLists(app[CONFIG].kept_lists)
    yield
    await app[KEPT_LISTS].close()
