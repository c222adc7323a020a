"""The access index as an API worker reads it: on threads, with short questions never behind long ones."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from api.access import feed, queries, schema
from api.access.contexts import Contexts
from api.access.feed import Found, Place
from api.access.listing import Counts, Listing, counts, listing
from api.access.queries import Row
from api.access.readers import READY_S, Readers, give_way
from api.access.rules import Context, Facts, Scope
from api.access.schema import State
from api.access.watch import Watch
from core.couch.client import Database
from core.errors import Unavailable
from core.hydration import Nearby

LONG_THREADS = 1  # whole lists computed at once by each worker; more wait their turn (REPL-150)
FEW_NAMES = 100  # answered in half a millisecond: those of a `_bulk_get`; a thread would not be quicker
SHORT_THREADS = 2
CATCH_UP_S = 1.0
RECOUNT_S = 60.0  # a pass over all shortcodes
LAG_PAGE = 200  # changes asked for when measuring how far the index is behind
MOST_WAITED_FOR = 5000  # an index that is further behind is being built, and waiting would not help


@dataclass(frozen=True, slots=True)
class Goal:
    """What CouchDB held when it was asked, and the index of that epoch at its change `begun` did not.

    The index has it all when it has come to change `change` and has applied the first of what it lacked, `news`: of a
    document that changes twice in a moment it may apply both revisions, where CouchDB counted one.
    """

    epoch: str
    begun: int
    change: int
    news: Sequence[tuple[str, str]]  # ids and revisions
    asked_at_s: float


class AccessIndex:
    """The reading side of the file at `path`, which may not exist yet and may be replaced at any time.

    Raises Unavailable where there is no index to read within a few seconds.
    """

    def __init__(self, path: Path, *, ready_s: float = READY_S) -> None:
        self.path = path
        self.watch = Watch(self.state, self.touched_names)
        self._contexts = Contexts()
        self._shared_shortcodes = (0, -math.inf)
        self._readers = Readers(path, schema.connect_reader, ready_s=ready_s)
        self._short = ThreadPoolExecutor(SHORT_THREADS, thread_name_prefix="access-short")
        self._long = ThreadPoolExecutor(LONG_THREADS, thread_name_prefix="access-long", initializer=give_way)

    async def close(self) -> None:
        await self.watch.close()
        for pool in (self._short, self._long):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        self._readers.close()

    async def state(self) -> State:
        return await self._readers.ask(None, schema.read_state)

    async def context(self, scope: Scope, names: Collection[str]) -> Context:
        """What the scope reaches of these names: enough to judge documents whose `names_of` they are."""
        reached = self._contexts.at(scope, await self.state())
        missing = reached.missing(names)
        if missing:
            pool = self._short if len(missing) > FEW_NAMES else None
            self._contexts.add(reached, missing, await self._readers.ask(pool, queries.resolve, scope, missing))
        return reached.context(scope, names)

    async def stored_facts(self, ids: Collection[str]) -> dict[str, Facts]:
        """The facts of documents as indexed; of deleted ones those of their last live body."""
        return await self._readers.ask(self._short, queries.stored_facts, ids)

    async def around(self, names: Collection[str]) -> Nearby:
        """What hydrating documents of those ids, or contacts of those shortcodes, needs; nothing without an index."""
        pool = self._short if len(names) > FEW_NAMES else None
        try:
            return await self._readers.ask_once(pool, queries.around, names)
        except (Unavailable, sqlite3.Error):  # the file may be replaced or removed under our hands
            return Nearby((), {})

    async def count_below(self, ids: Collection[str]) -> dict[str, queries.Below]:
        """How many contacts are below each of these places."""
        return await self._readers.ask(self._long, queries.count_below, ids)

    async def count_shared_shortcodes(self) -> int:
        """How many shortcodes several live contacts have, as it was within the last minute."""
        count, counted_s = self._shared_shortcodes
        if counted_s < time.monotonic() - RECOUNT_S:
            count = await self._readers.ask(self._long, queries.count_shared_shortcodes)
            self._shared_shortcodes = (count, time.monotonic())
        return count

    async def allowed(self, scope: Scope) -> Listing:
        """Every live document of the scope that is not purged for it, sorted by id (REPL-50).

        Small lists are short questions: they wait for nobody's large one.
        """
        return await self._readers.ask(await self._pool_for(scope), listing, scope)

    async def counts(self, scope: Scope) -> Counts:
        """How many documents `allowed` has."""
        return await self._readers.ask(await self._pool_for(scope), counts, scope)

    async def _pool_for(self, scope: Scope) -> ThreadPoolExecutor:
        return self._long if await self._readers.ask(None, queries.is_large, scope) else self._short

    async def changes(self, scope: Scope, place: Place, limit: int, *, deletions: bool) -> Found:
        """See `feed.changes`. Long only when the place is old."""
        pool = self._long if place.change < (await self.state()).change - feed.WINDOW else self._short
        return await self._readers.ask(pool, feed_changes, scope, place, limit, deletions)

    async def named_changes(self, scope: Scope, ids: Collection[str], at: State) -> list[Row] | None:
        """See `feed.named_changes`."""
        return await self._readers.ask(self._short, feed.named_changes, scope, ids, at)

    async def touched_names(self, after: int, upto: int) -> set[str]:
        return await self._readers.ask(self._short, feed.touched_names, after, upto)

    async def catch_up(self, db: Database, most_s: float = CATCH_UP_S) -> int:
        """Wait until the index has passed what is in CouchDB now; how many changes it is behind after `most_s`."""
        return await self.reach(await self.goal(db), most_s)

    async def goal(self, db: Database) -> Goal:
        """Where the index will be when it has passed what is in CouchDB now."""
        asked_at_s = time.monotonic()
        state = await self.state()
        answer = await db.changes(state.couch_seq, limit=LAG_PAGE)
        missing = len(answer["results"]) + int(answer.get("pending") or 0)
        news = [(row["id"], row["changes"][0]["rev"]) for row in answer["results"]]
        return Goal(state.epoch, state.change, state.change + missing, news, asked_at_s)

    async def lacks(self, goal: Goal) -> int:
        """How many changes the index is short of it."""
        state = await self.state()
        if state.epoch != goal.epoch:
            return state.pending or 1  # another file: nobody knows
        if state.change < goal.change:
            return goal.change - state.change
        return await self._readers.ask(None, queries.count_unapplied, goal.begun, goal.news)

    async def reach(self, goal: Goal, most_s: float) -> int:
        """Wait until the index is there; how many changes it is short of it after `most_s`."""
        until_s = time.monotonic() + most_s
        while True:
            change = (await self.state()).change
            missing = await self.lacks(goal)
            left_s = until_s - time.monotonic()
            if not 0 < missing <= MOST_WAITED_FOR or left_s <= 0:
                return missing
            await self.watch.wait_past(max(goal.change - 1, change), left_s)


def feed_changes(connection: sqlite3.Connection, scope: Scope, place: Place, limit: int, deletions: bool) -> Found:
    return feed.changes(connection, scope, place, limit, deletions=deletions)
