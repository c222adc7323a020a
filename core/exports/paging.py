"""Documents of an export a page at a time, the next one read while this one is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from core.couch.client import Database
from core.documents import Doc
from core.exports.listing import Listing

T = TypeVar("T")

PAGE = 500  # documents read at once: what bounds the memory


async def documents(
    db: Database, listing: Listing, *, size: int = PAGE, descending: bool = False
) -> AsyncGenerator[list[Doc], None]:
    """The listed documents as they are now, in their order; those deleted since are left out."""
    async for ids in listing.pages(size, descending=descending):
        docs = await db.get_many(ids)
        yield [docs[each] for each in ids if each in docs]


async def read_ahead(source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The same, with the next one being made while the last one is dealt with."""
    coming: asyncio.Task[Any] | None = asyncio.ensure_future(following(source))
    try:
        while coming is not None and (found := await coming):
            coming = asyncio.ensure_future(following(source))
            yield found[0]
        coming = None
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError):
                await coming


async def following(source: AsyncIterator[T]) -> Sequence[T]:
    """The next one, alone in a list; nothing at the end."""
    async for found in source:
        return (found,)
    return ()
