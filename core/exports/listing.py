"""The ids of an export in its order, on disk: what is exported is decided once, however long the writing takes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CACHE_KIB = 8192
AT_ONCE = 1000  # ids read, and documents at most
UNKNOWN = float("-inf")  # of a document without a date: before all others


class Listing:
    """Each id once, with the value it is sorted by, in a database of its own that goes with it."""

    def __init__(self, *, descending: bool = False) -> None:
        # An empty name is a temporary file that SQLite removes, kept in memory while it is small.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="export")
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA temp_store = FILE")
        self._connection.execute("CREATE TABLE listed (id TEXT PRIMARY KEY, sort) WITHOUT ROWID")
        self._direction = "DESC" if descending else "ASC"

    def close(self) -> None:
        """After what the thread is doing yet."""
        self._thread.submit(self._connection.close)
        self._thread.shutdown(wait=False)

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Around what fills it: where that fails, nobody will ask for its pages."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    async def add(self, ids: Iterable[tuple[str, Any]]) -> None:
        """Ids with what they are sorted by, a number or a text; an id that is there already stays as it is."""
        await self._on_thread(
            self._connection.executemany,
            "INSERT OR IGNORE INTO listed VALUES (?, ?)",
            [(each, sort_value(sort)) for each, sort in ids],
        )

    async def without(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that are not listed yet."""
        return await self._on_thread(self._unlisted, list(dict.fromkeys(ids)))

    def _unlisted(self, ids: list[str]) -> list[str]:
        found = "SELECT 1 FROM listed WHERE id = ?"
        return [each for each in ids if self._connection.execute(found, (each,)).fetchone() is None]

    async def pages(self) -> AsyncIterator[list[str]]:
        """The ids by their sort value and, where that is the same, by themselves, in the same direction."""
        sql = f"SELECT id FROM listed ORDER BY sort {self._direction}, id {self._direction}"
        rows = await self._on_thread(self._connection.execute, sql)
        while page := await self._on_thread(rows.fetchmany, AT_ONCE):
            yield [row[0] for row in page]

    async def _on_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))


def sort_value(value: Any) -> str | float:
    if isinstance(value, str):
        return value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else UNKNOWN
