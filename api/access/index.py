"""The access index as an API worker reads it: on threads, with short questions never behind long ones."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from api.access import feed, queries, schema
from api.access.feed import Found, Place
from api.access.listing import Listing, listing
from api.access.queries import Row
from api.access.rules import Context, Facts, Scope
from api.access.schema import State
from api.access.watch import Watch
from core.couch.client import Database
from core.errors import Unavailable

P = ParamSpec("P")
T = TypeVar("T")
Question = Callable[Concatenate[sqlite3.Connection, P], T]

LONG_THREADS = 2  # whole lists computed at once; more wait their turn (REPL-150)
LONG_NICENESS = 5
FEW_NAMES = 12  # answered in a tenth of a millisecond
SHORT_THREADS = 2
CATCH_UP_S = 1.0
READY_S = 5.0
LAG_PAGE = 200  # changes asked for when measuring how far the index is behind
MOST_WAITED_FOR = 5000  # an index that is further behind is being built, and waiting would not help


class AccessIndex:
    """The reading side of the file at `path`, which may not exist yet and may be replaced at any time.

    Raises Unavailable where there is no index to read within a few seconds.
    """

    def __init__(self, path: Path, *, ready_s: float = READY_S) -> None:
        self.path = path
        self.ready_s = ready_s
        self.watch = Watch(self)
        self._connections = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._short = ThreadPoolExecutor(SHORT_THREADS, thread_name_prefix="access-short")
        self._long = ThreadPoolExecutor(LONG_THREADS, thread_name_prefix="access-long", initializer=give_way)

    async def close(self) -> None:
        await self.watch.close()
        for pool in (self._short, self._long):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        for connection in self._opened:
            connection.close()

    async def state(self) -> State:
        return await self._ask(None, schema.read_state)

    async def context(self, scope: Scope, names: Collection[str]) -> Context:
        """What the scope reaches of these names: enough to judge documents whose `names_of` they are."""
        return await self._ask(self._short if len(names) > FEW_NAMES else None, queries.resolve, scope, names)

    async def stored_facts(self, ids: Collection[str]) -> dict[str, Facts]:
        """The facts of documents as indexed; of deleted ones those of their last live body."""
        return await self._ask(self._short, queries.stored_facts, ids)

    async def allowed(self, scope: Scope) -> Listing:
        """Every live document of the scope that is not purged for it, sorted by id (REPL-50)."""
        return await self._ask(self._long, listing, scope)

    async def changes(self, scope: Scope, place: Place, limit: int, *, deletions: bool) -> Found:
        """See `feed.changes`. Long only when the place is old."""
        pool = self._long if place.change < (await self.state()).change - feed.WINDOW else self._short
        return await self._ask(pool, feed_changes, scope, place, limit, deletions)

    async def named_changes(self, scope: Scope, ids: Collection[str], upto: int) -> list[Row]:
        """See `feed.named_changes`."""
        return await self._ask(self._short, feed.named_changes, scope, ids, upto)

    async def position_before(self, change: int) -> str:
        """The CouchDB sequence up to which a client that has every change up to `change` misses nothing."""
        return await self._ask(self._short, feed.position_before, change)

    async def touched_names(self, after: int, upto: int) -> set[str]:
        return await self._ask(self._short, feed.touched_names, after, upto)

    async def catch_up(self, db: Database, most_s: float = CATCH_UP_S) -> int:
        """Wait until the index has passed what is in CouchDB now; how many changes it is behind after `most_s`.

        So that whoever wrote through any worker sees it in the next answer of every worker.
        """
        state = await self.state()
        answer = await db.changes(state.couch_seq, limit=LAG_PAGE)
        missing = len(answer["results"]) + int(answer.get("pending") or 0)
        if not 0 < missing <= MOST_WAITED_FOR:
            return missing
        wanted = state.change + missing
        reached = await self.watch.wait_past(wanted - 1, most_s)
        return max(0, wanted - reached)

    async def _ask(
        self, pool: ThreadPoolExecutor | None, question: Question[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The answer, found on a thread of the pool; without one here and now, where a thread would take longer."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self.ready_s
        while True:
            try:
                if pool is None:
                    return question(self._connection(), *args, **kwargs)
                return await loop.run_in_executor(pool, lambda: question(self._connection(), *args, **kwargs))
            except Unavailable:
                if loop.time() > deadline_s:
                    raise
                await asyncio.sleep(0.05)

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection to the file that is at the path now."""
        local = self._connections
        try:
            inode = self.path.stat().st_ino
        except FileNotFoundError as error:
            raise schema.not_ready() from error
        if getattr(local, "inode", None) != inode:
            if getattr(local, "inode", None) is not None:
                local.connection.close()
            local.inode = None
            local.connection = schema.connect_reader(self.path)
            local.inode = inode
            self._opened.append(local.connection)
        connection: sqlite3.Connection = local.connection
        return connection


def give_way() -> None:
    """Let everything else of this machine go before this thread, where the system has priorities of threads."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LONG_NICENESS)


def feed_changes(connection: sqlite3.Connection, scope: Scope, place: Place, limit: int, deletions: bool) -> Found:
    return feed.changes(connection, scope, place, limit, deletions=deletions)
