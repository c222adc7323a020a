"""How far the access index is behind CouchDB, for answers that must not wait for CouchDB to tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from contextlib import suppress

from api.access.index import CATCH_UP_S, AccessIndex, Goal
from api.access.last_writes import LastWrites
from core.couch.client import Database
from core.errors import DomainError
from core.hydration import Nearby

ASKED_EVERY_S = 1.0
MOMENT_S = 0.01  # CouchDB answers within it, or is too busy to be waited for


class Lag:
    """The indexer follows the feed by itself, so CouchDB is asked once a second at most, beside the answers.

    Who has written through this machine is answered when the index has passed that. Others' writes, and those of other
    machines, are in the answer as soon as the feed has brought them.
    """

    def __init__(self, index: AccessIndex, db: Database, writes: LastWrites) -> None:
        self.writes = writes
        self._index = index
        self._db = db
        self._goal: Goal | None = None  # the latest that CouchDB told
        self._passed_s = 0.0  # what was written before this moment is in the index
        self._asking: set[asyncio.Task[Goal]] = set()
        self._asked_at_s = 0.0  # when the latest question began
        self._latest: asyncio.Task[Goal] | None = None

    async def close(self) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def behind(self, name: str) -> int:
        """How many changes the index lacks, as far as is known, when it has passed what that user wrote.

        CouchDB is asked how far that is, and the index is waited for CATCH_UP_S at most. DomainError where CouchDB does
        not answer that.
        """
        written_at_s = self.writes.at_s(name)
        missing = await self._missing()
        if written_at_s > self._passed_s:
            await self._pass(await self._goal_after(written_at_s))
            missing = await self._missing()
            return missing if written_at_s <= self._passed_s else max(1, missing)
        if time.monotonic() - self._asked_at_s > ASKED_EVERY_S and not self._asking:
            with suppress(TimeoutError, DomainError):
                async with asyncio.timeout(MOMENT_S):
                    await asyncio.shield(self._ask())
            missing = await self._missing()
        return missing

    async def around(self, name: str, names: Collection[str]) -> Nearby:
        """What the index knows around those names, for that user; nothing without an index.

        Of shortcodes nothing while it lacks what the user wrote: that contact may have one of them too.
        """
        if not self._index.path.exists():
            return Nearby((), {})
        await self.behind(name)
        found = await self._index.around(names)
        return Nearby(found.ids, {}) if self.writes.at_s(name) > self._passed_s else found

    async def _missing(self) -> int:
        """By what CouchDB said last, to us or to the indexer."""
        state, goal = await self._index.state(), self._goal
        if goal is None or goal.epoch != state.epoch or goal.asked_at_s <= self._passed_s:
            return state.pending
        missing = await self._index.lacks(goal)
        if not missing:
            self._passed_s = goal.asked_at_s
        return max(missing, state.pending)

    async def _pass(self, goal: Goal) -> None:
        """Wait until the index is there, whatever CouchDB tells meanwhile."""
        if await self._index.reach(goal, CATCH_UP_S) == 0:
            self._passed_s = max(self._passed_s, goal.asked_at_s)

    async def _goal_after(self, moment_s: float) -> Goal:
        """What CouchDB said when it was asked after that moment."""
        state, goal = await self._index.state(), self._goal
        if goal is not None and goal.epoch == state.epoch and goal.asked_at_s > moment_s:
            return goal
        task = self._latest
        if task is None or task.done() or self._asked_at_s <= moment_s:
            task = self._ask()
        return await asyncio.shield(task)

    def _ask(self) -> asyncio.Task[Goal]:
        self._asked_at_s = time.monotonic()
        self._latest = task = asyncio.create_task(self._index.goal(self._db))
        self._asking.add(task)
        task.add_done_callback(self._heard)
        return task

    def _heard(self, task: asyncio.Task[Goal]) -> None:
        self._asking.discard(task)
        if task.cancelled() or task.exception() is not None:
            return
        goal = task.result()
        if self._goal is None or goal.asked_at_s > self._goal.asked_at_s:
            self._goal = goal
