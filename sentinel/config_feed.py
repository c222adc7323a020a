"""One feed for all who care for single documents of the main database, since CouchDB answers each on every write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from core.couch.changes import Change, follow
from core.couch.client import Database

LIMIT = 2000
MANY = 50  # an answer of so many changes is followed by a pause: while much is written, one tells of many writes
PAUSE_S = 0.3


class ConfigFeed:
    """Each listener gets the changes that concern it, in feed order, from `start` on; one that is slow holds up nobody.

    Meant for settings, translations and forms, which are few: what was not taken yet waits in memory.
    """

    def __init__(self, db: Database) -> None:
        self.db = db
        self._position = "0"
        self._listeners: list[tuple[Callable[[str], bool], asyncio.Queue[Change]]] = []

    async def start(self) -> None:
        """Take the position: what a listener reads afterwards is not older."""
        self._position = str((await self.db.info())["update_seq"])

    def listen(self, concerns: Callable[[str], bool]) -> AsyncIterator[list[Change]]:
        """The changes of documents whose id `concerns` says yes to, as many at a time as have come. Before `follow`."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        self._listeners.append((concerns, queue))
        return taken_from(queue)

    async def follow(self, heartbeat_s: float) -> None:
        async for batch in follow(self.db, self._position, limit=LIMIT, heartbeat_s=heartbeat_s):
            for change in batch.changes:
                for concerns, queue in self._listeners:
                    if concerns(change.id):
                        queue.put_nowait(change)
            if MANY <= len(batch.changes) < LIMIT:
                await asyncio.sleep(PAUSE_S)


async def taken_from(queue: asyncio.Queue[Change]) -> AsyncIterator[list[Change]]:
    while True:
        changes = [await queue.get()]
        while not queue.empty():
            changes.append(queue.get_nowait())
        yield changes
