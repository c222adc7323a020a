"""Documents of an export a page at a time, the next ones read while one is written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from core.couch.client import Database
from core.documents import Doc
from core.exports.listing import Listing

PAGE = 250  # documents read at once, and
AHEAD = 2  # pages read before they are needed: what bounds the memory


async def documents(db: Database, listing: Listing, *, descending: bool = False) -> AsyncGenerator[list[Doc], None]:
    """The listed documents as they are now, in their order; those deleted since are left out."""
    coming: deque[tuple[list[str], asyncio.Task[dict[str, Doc]]]] = deque()
    try:
        async for ids in listing.pages(PAGE, descending=descending):
            coming.append((ids, asyncio.ensure_future(db.get_many(ids))))
            if len(coming) > AHEAD:
                yield await first(coming)
        while coming:
            yield await first(coming)
    finally:
        for _, task in coming:
            task.cancel()
        await asyncio.gather(*(task for _, task in coming), return_exceptions=True)


async def first(coming: deque[tuple[list[str], asyncio.Task[dict[str, Doc]]]]) -> list[Doc]:
    ids, task = coming[0]
    docs = await task
    coming.popleft()
    return [docs[each] for each in ids if each in docs]
