"""The databases of a data folder: their names and files, and which of them are open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, unquote

from store import schema
from store.database import Database
from store.errors import NotFound, PreconditionFailed, StoreError, insufficient_storage
from store.javascript import JavaScriptPool
from store.views import Views
from store.winners import Winners

T = TypeVar("T")

SYSTEM_DATABASES = frozenset({"_users", "_replicator", "_global_changes"})
_NAME = re.compile(r"[a-z][a-z0-9_$()+/-]*\Z")
_LONGEST_FILE_NAME = 230  # bytes; leaves room for the suffixes SQLite adds
FILE_SUFFIX = ".sqlite"


def check_name(name: str) -> str:
    """The database name, when CouchDB would accept it; raises 400 `illegal_database_name`."""
    if name not in SYSTEM_DATABASES and not _NAME.match(name):
        raise StoreError(
            f"Name: '{name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters"
            " _, $, (, ), +, -, and / are allowed. Must begin with a letter.",
            slug="illegal_database_name",
            status=400,
        )
    if len(_file_stem(name)) > _LONGEST_FILE_NAME:
        raise StoreError(f"Name: '{name}' is too long.", slug="database_name_too_long", status=400)
    return name


def _file_stem(name: str) -> str:
    return quote(name, safe="")


class Databases:
    """All databases below one folder. One process may have it open."""

    def __init__(
        self, folder: Path, executor: ThreadPoolExecutor, javascript: JavaScriptPool, *, most_open: int = 100
    ) -> None:
        self._files = folder / "databases"
        self._indexes = folder / "indexes"
        self._executor = executor
        self._javascript = javascript
        self._most_open = most_open
        self.wants_compaction: Callable[[str], None] = lambda name: None
        self.told: Callable[[str, str], None] = lambda name, kind: None  # name, and created, updated or deleted
        self._open: dict[str, Database] = {}  # least recently used first
        self._views: dict[Database, Views] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._openings: dict[str, asyncio.Task[Database]] = {}
        self._files.mkdir(parents=True, exist_ok=True)
        self._indexes.mkdir(parents=True, exist_ok=True)
        self._names: set[str] = set()
        for entry in os.scandir(self._files):
            if entry.name.endswith(FILE_SUFFIX):
                self._names.add(unquote(entry.name[: -len(FILE_SUFFIX)]))
            elif entry.name.endswith((".deleted", ".new")):  # left by a crash in the middle
                os.unlink(entry.path)

    def names(self) -> list[str]:
        """Every database's name, sorted."""
        return sorted(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @contextlib.asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[Database]:
        """The open database of this name, kept open meanwhile; raises NotFound."""
        database = self._open.get(name)
        if database is None:
            database = await self._opened(name)
        else:  # it is the most recently used one now
            del self._open[name]
            self._open[name] = database
        database.users += 1
        try:
            yield database
        finally:
            database.users -= 1
            if database.deleted and database.users == 0:
                await self._close(database)

    async def create(self, name: str) -> None:
        """Make an empty database; raises PreconditionFailed `file_exists`."""
        check_name(name)
        async with self._lock(name):
            if name in self._names:
                raise PreconditionFailed(
                    "The database could not be created, the file already exists.", slug="file_exists"
                )
            await self._run(lambda: schema.create(self._path(name)))
            self._names.add(name)
            self.told(name, "created")

    async def delete(self, name: str) -> None:
        """Remove a database for good; raises NotFound. Requests that still hold it end with errors or an ended feed."""
        async with self._lock(name):
            if name not in self._names:
                raise NotFound("Database does not exist.")
            self._names.discard(name)
            self.told(name, "deleted")
            if (opening := self._openings.get(name)) is not None:
                await asyncio.wait((opening,))
            database = self._open.pop(name, None)
            if database is not None:
                database.deleted = True
                database.wake()
            path = self._path(name)
            gone = path.with_suffix(f".{os.urandom(4).hex()}.deleted")
            await self._run(lambda: os.replace(path, gone))
            if database is not None:
                await self._close_views(database)  # no index build may end in the folder of the next of this name
                if database.users == 0:
                    await self._close(database)
            await self._run(lambda: self._remove(name, path, gone))

    def views(self, database: Database) -> Views:
        """The view indexes of an open database."""
        views = self._views.get(database)
        if views is None:
            folder = self._indexes / _file_stem(database.name)
            winners = Winners(database)
            views = self._views[database] = Views(winners, folder, self._javascript, winners.read_docs)
        return views

    def open_views(self) -> list[tuple[str, Views]]:
        """The view indexes that are in use now, with the names of their databases."""
        return [(database.name, views) for database, views in self._views.items()]

    def open_count(self) -> int:
        """How many databases are open."""
        return len(self._open)

    def wake(self) -> None:
        """Let every held feed look whether it should end."""
        for database in self._open.values():
            database.wake()

    async def close(self) -> None:
        """Close every database; what was acknowledged is in the main files afterwards."""
        await asyncio.gather(*self._openings.values(), return_exceptions=True)
        while self._open:
            _, database = self._open.popitem()
            await self._close(database)

    def _wants_compaction(self, database: Database) -> None:
        self.wants_compaction(database.name)

    def _updated(self, database: Database) -> None:
        self.told(database.name, "updated")

    def _path(self, name: str) -> Path:
        return self._files / f"{_file_stem(name)}{FILE_SUFFIX}"

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _opened(self, name: str) -> Database:
        if name not in self._names:
            raise NotFound("Database does not exist.")
        async with self._lock(name):
            database = self._open.get(name)
            if database is not None:
                return database
            if name not in self._names:
                raise NotFound("Database does not exist.")
            if name not in self._openings:
                self._openings[name] = asyncio.create_task(self._open_file(name))
                self._openings[name].add_done_callback(lambda task: task.cancelled() or task.exception())
            database = await asyncio.shield(self._openings[name])
        if len(self._open) > self._most_open:
            database.users += 1  # for whoever opens another one meanwhile it is not idle
            try:
                await self._close_idle()
            finally:
                database.users -= 1
        return database

    async def _open_file(self, name: str) -> Database:
        """A task of its own: who asked may go away meanwhile, and the thread opens the file all the same."""
        path = self._path(name)
        try:
            database = await self._run(
                lambda: Database(name, path, self._executor, self._wants_compaction, self._updated)
            )
            database.start()
            self._open[name] = database
            return database
        finally:
            del self._openings[name]

    async def _close_idle(self) -> None:
        """Close what nobody uses, the least recently used first, until no more are open than may be."""
        while len(self._open) > self._most_open:
            idle = next((each for each in self._open.values() if each.users == 0), None)
            if idle is None:
                return
            async with self._lock(idle.name):
                if idle.users == 0 and self._open.get(idle.name) is idle:
                    del self._open[idle.name]
                    await self._close(idle)

    async def _close_views(self, database: Database) -> None:
        views = self._views.pop(database, None)
        if views is not None:
            await views.close()

    async def _close(self, database: Database) -> None:
        await self._close_views(database)
        await self._run(database.close)

    def _remove(self, name: str, path: Path, gone: Path) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        gone.unlink(missing_ok=True)
        shutil.rmtree(self._indexes / _file_stem(name), ignore_errors=True)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (sqlite3.Error, OSError) as error:
            if (full := insufficient_storage(error)) is not None:
                raise full from error
            raise
