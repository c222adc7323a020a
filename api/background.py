"""Work beside requests: tasks that go on through failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from core.errors import DomainError

log = logging.getLogger(__name__)

RETRY_S = 1.0


@asynccontextmanager
async def running(name: str, run: Callable[[], Awaitable[None]], retry_s: float = RETRY_S) -> AsyncIterator[None]:
    """Keep a background task going, through failures, while the block lasts."""
    task = asyncio.create_task(keep_running(name, run, retry_s), name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def keep_running(name: str, run: Callable[[], Awaitable[None]], retry_s: float) -> None:
    while True:
        try:
            await run()
        except DomainError as error:
            log.warning("%s: %s; trying again", name, error.message)
        except Exception:
            log.exception("%s failed; trying again", name)
        await asyncio.sleep(retry_s)
