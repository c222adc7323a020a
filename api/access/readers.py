"""Read an index file that another process writes, and may replace: on threads, waiting a moment for it to be there."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from core.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Question = Callable[Concatenate[sqlite3.Connection, P], T]

READY_S = 5.0
NICENESS = 5


class Readers:
    """One connection for each thread to the file that is at the path now.

    `connect` opens it, and raises Unavailable while it cannot be read.
    """

    def __init__(self, path: Path, connect: Callable[[Path], sqlite3.Connection], *, ready_s: float = READY_S) -> None:
        self._path = path
        self._connect = connect
        self._ready_s = ready_s
        self._connections = threading.local()
        self._opened: list[sqlite3.Connection] = []

    def close(self) -> None:
        """When no thread asks any more."""
        for connection in self._opened:
            connection.close()

    async def ask(
        self, pool: ThreadPoolExecutor | None, question: Question[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The answer, found on a thread of the pool; without one here and now, where a thread would take longer.

        Raises Unavailable where there is no index to read within a few seconds.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._ready_s
        while True:
            try:
                return await self.ask_once(pool, question, *args, **kwargs)
            except Unavailable:
                if loop.time() > deadline_s:
                    raise
                await asyncio.sleep(0.05)

    async def ask_once(
        self, pool: ThreadPoolExecutor | None, question: Question[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `ask`, but Unavailable at once: for what can be answered otherwise."""
        try:
            if pool is None:
                return question(self._connection(), *args, **kwargs)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, lambda: question(self._connection(), *args, **kwargs))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:  # the low byte of all its kinds
                raise
            raise Unavailable("The index is locked for a moment; try again") from error

    def _connection(self) -> sqlite3.Connection:
        local = self._connections
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            inode = None
        if inode is None or getattr(local, "inode", None) != inode:
            if getattr(local, "inode", None) is not None:
                local.connection.close()
            local.inode = None
            local.connection = self._connect(self._path)
            local.inode = inode
            self._opened.append(local.connection)
        connection: sqlite3.Connection = local.connection
        return connection


def open_reader(
    path: Path, name: str, version: int, prepare: Callable[[sqlite3.Connection], None] = lambda connection: None
) -> sqlite3.Connection:
    """Raises Unavailable while there is no index, or one of another version. `prepare` is told of the connection."""
    not_ready = f"The {name} index is not ready yet; try again in a moment"
    try:
        # Closed at the end by another thread than the one that used it. Who asks waits for locks, not the thread: it
        # may be the one that answers everybody.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=0, check_same_thread=False
        )
    except sqlite3.OperationalError as error:
        raise Unavailable(not_ready) from error
    try:
        connection.execute("PRAGMA mmap_size = 4294967296")
        prepare(connection)
        if version_of(connection) == version:
            return connection
    except sqlite3.DatabaseError:
        pass  # not made yet, or about to be made again
    connection.close()
    raise Unavailable(not_ready)


def version_of(connection: sqlite3.Connection) -> int | None:
    row = connection.execute("SELECT version FROM state").fetchone()
    return None if row is None else int(row[0])


def give_way() -> None:
    """Let everything else of this machine go before this thread, where the system has priorities of threads."""
    thread = threading.get_native_id()
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)
