"""Notice within moments that the access index has moved, and wake only those whom the new changes may concern."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Iterable

from api.access.schema import State
from core.errors import Unavailable

log = logging.getLogger(__name__)

POLL_S = 0.03  # only while somebody waits
MOST_TOUCHING = 2000  # changes looked at one by one; after more of them everybody is woken


class Waiter:
    """Somebody who waits for changes that touch any of some names."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self.woken = asyncio.Event()


class Watch:
    """One poll for all waiters of a worker; it runs only while there are any.

    `state` tells where the index stands, `touched_names` whom the changes after one number up to another may concern.
    """

    def __init__(
        self,
        state: Callable[[], Awaitable[State]],
        touched_names: Callable[[int, int], Awaitable[Collection[str]]],
    ) -> None:
        self._state = state
        self._touched_names = touched_names
        self._waiters: dict[str, set[Waiter]] = {}
        self._count = 0
        self._past: set[tuple[int, asyncio.Future[int]]] = set()
        self._task: asyncio.Task[None] | None = None
        self._at: tuple[str, int] | None = None

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def join(self, names: Iterable[str]) -> Waiter:
        """Be woken by every change from now on that may concern one of the names. Call `leave` in the end."""
        waiter = Waiter(names)
        for name in waiter.names:
            self._waiters.setdefault(name, set()).add(waiter)
        self._count += 1
        self._start()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        for name in waiter.names:
            waiters = self._waiters[name]
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[name]
        self._count -= 1

    def wake_all(self) -> None:
        """Let everybody look around, whatever has changed."""
        self._wake(waiter for waiters in self._waiters.values() for waiter in waiters)

    async def wait_past(self, change: int, most_s: float) -> int:
        """Wait, at most `most_s`, until the index has applied more than `change`; the number it has reached."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        entry = (change, future)
        self._past.add(entry)
        self._start()
        try:
            async with asyncio.timeout(most_s):
                return await future
        except TimeoutError:
            return (await self._state()).change
        finally:
            self._past.discard(entry)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._at = None
            self._task = asyncio.create_task(self._poll())

    async def _poll(self) -> None:
        while self._count or self._past:
            try:
                await self._look()
            except Unavailable:
                self._at = None
            except sqlite3.Error as error:  # the file may be replaced or removed under our hands
                log.warning("watching the access index: %s; looking again", error)
                self._at = None
            await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        state = await self._state()
        for change, future in list(self._past):
            if state.change > change and not future.done():
                future.set_result(state.change)
        here = (state.epoch, state.change)
        before, self._at = self._at, here
        if before == here or not self._waiters:
            return
        # After a gap in watching, or in another file, nobody knows what was missed.
        if before is None or before[0] != state.epoch or state.change - before[1] > MOST_TOUCHING:
            self.wake_all()
            return
        touched = await self._touched_names(before[1], state.change)
        self._wake(waiter for name in touched for waiter in self._waiters.get(name, ()))

    def _wake(self, waiters: Iterable[Waiter]) -> None:
        for waiter in set(waiters):
            waiter.woken.set()
