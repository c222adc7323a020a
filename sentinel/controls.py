"""What an operator may tell a running worker: stop and go on with changes, do all timed work now (40 SEN-17)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

log = logging.getLogger(__name__)


class Controls:
    """Signals end here; everything answers at its next step, within a second."""

    def __init__(self) -> None:
        self._going = asyncio.Event()
        self._going.set()
        self._changed = asyncio.Event()
        self._rung = asyncio.Event()
        self.rings = 0  # how often all jobs were asked for

    @property
    def paused(self) -> bool:
        return not self._going.is_set()

    def toggle(self) -> None:
        """Stop processing changes, or go on. Timed work is not concerned."""
        if self.paused:
            self._going.set()
        else:
            self._going.clear()
        log.warning("changes are %s", "not processed until further notice" if self.paused else "processed again")
        self._changed.set()
        self._changed = asyncio.Event()

    def run_jobs(self) -> None:
        """Do all timed work now; what is running is not begun again."""
        log.info("all jobs are to run now")
        self.rings += 1
        self._rung.set()
        self._rung = asyncio.Event()

    async def going(self) -> None:
        """Wait while changes are not to be processed."""
        await self._going.wait()

    async def changed(self) -> None:
        await self._changed.wait()

    async def until_rung(self, timeout_s: float, rings: int | None = None) -> None:
        """Wait that long, or until all jobs are to run; not at all when that was asked for after so many `rings`."""
        if rings is not None and rings != self.rings:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()

    async def until_rung_or(self, event: asyncio.Event, timeout_s: float) -> bool:
        """Wait for the event, but no longer than `until_rung` does; whether that ended it."""
        rung = asyncio.ensure_future(self.until_rung(max(timeout_s, 0)))
        happened = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((rung, happened), return_when=asyncio.FIRST_COMPLETED)
            return rung.done()
        finally:
            for each in (rung, happened):
                each.cancel()
            await asyncio.gather(rung, happened, return_exceptions=True)
