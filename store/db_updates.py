"""Which databases were created, changed or deleted, for `_db_updates`; kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from store.seqs import parse_seq


class Update(NamedTuple):
    """The last event of its kind of one database. `kind` is `created`, `updated` or `deleted`."""

    seq: int
    name: str
    kind: str


class DatabaseUpdates:
    """Every database's last events in order. At each start `mark` is another one: an old `since` means everything."""

    def __init__(self, mark: str, names: Iterable[str]) -> None:
        self.mark = mark
        self.seq = 0
        self._events: dict[tuple[str, str], int] = {}  # in seq order
        self._changed = asyncio.Event()
        for name in names:
            self.note(name, "updated")

    def note(self, name: str, kind: str) -> None:
        """Something happened to a database."""
        self.seq += 1
        self._events.pop((name, kind), None)
        self._events[name, kind] = self.seq
        self.wake()

    def since(self, seq: int) -> list[Update]:
        """What happened after `seq`, oldest first."""
        found: list[Update] = []
        for (name, kind), at in reversed(self._events.items()):
            if at <= seq:
                break
            found.append(Update(at, name, kind))
        return found[::-1]

    def parse(self, since: object) -> int:
        """The number in a `since` a client sent back; raises BadRequest."""
        return parse_seq(since, self.mark, self.seq)

    def shown(self, seq: int) -> str:
        return f"{seq}-{self.mark}"

    def wake(self) -> None:
        """Let everyone who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def news(self, seq: int, timeout_s: float | None) -> bool:
        """True as soon as something newer than `seq` happened; False when the time is over or the wait is cut."""
        if self.seq > seq:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return self.seq > seq
