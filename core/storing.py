"""What follows a piece of work and nobody waits for, stored in bulk, a little later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from core.errors import DomainError

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
LAST_FLUSH_S = 2.0


class Notes(Protocol):
    """What waits to be stored; `noted` is set while there is something."""

    noted: asyncio.Event

    async def flush(self) -> None:
        """Store everything noted so far. What fails stays noted."""


async def keep_storing(what: str, notes: Notes) -> None:
    """Store what is noted, for ever; a CouchDB that is away is waited for."""
    pause_s = FIRST_PAUSE_S
    while True:
        await notes.noted.wait()
        try:
            await notes.flush()
            pause_s = FIRST_PAUSE_S
        except DomainError as error:
            log.warning("%s: %s; trying again in %.1f s", what, error.message, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


@asynccontextmanager
async def storing(what: str, notes: Notes) -> AsyncIterator[None]:
    """Keep storing while the block lasts, and the rest at its end."""
    task = asyncio.create_task(keep_storing(what, notes))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_FLUSH_S):
                await notes.flush()
        except (DomainError, TimeoutError) as error:
            log.warning("some %s were not stored: %s", what, error)
