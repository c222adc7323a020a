"""Documents of an export some at a time, the next ones read while earlier ones are written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

import msgspec
import orjson

from core.couch.client import Database, winner
from core.documents import Doc
from core.exports.listing import AT_ONCE, Listing

T = TypeVar("T")

PAGE = 250  # documents read at once, while it is not known how long they are
PAGE_BYTES = 2**20  # about what is read at once, and
AHEAD = 2  # pages read before they are needed: what bounds the memory

Results = Sequence[msgspec.Raw]  # of a `_bulk_get`, as they came


class Answer(msgspec.Struct):
    """Of `_bulk_get`."""

    results: list[msgspec.Raw]


async def documents(db: Database, listing: Listing, count: int) -> AsyncGenerator[list[Doc], None]:
    """The listed documents as they are now, in their order and so many at a time; those deleted since are left out.

    They are parsed when it is their turn: what a page holds is many times longer as objects than as text.
    """

    async def as_read(results: Results) -> Results:
        return results

    async with aclosing(ahead(db, listing, as_read)) as pages:
        async for results in pages:
            for start in range(0, len(results), count):
                yield docs_of(results[start : start + count])


async def prepared(
    db: Database, listing: Listing, made_of: Callable[[list[Doc]], Awaitable[T]]
) -> AsyncGenerator[T, None]:
    """What is made of the same documents, ahead as well: for what needs further reads."""
    async with aclosing(ahead(db, listing, lambda results: made_of(docs_of(results)))) as pages:
        async for made in pages:
            yield made


def docs_of(results: Results) -> list[Doc]:
    found = orjson.loads(b"[%b]" % b",".join(results))
    return [doc for result in found if (doc := winner(result["docs"])) is not None]


async def ahead(db: Database, listing: Listing, made_of: Callable[[Results], Awaitable[T]]) -> AsyncGenerator[T, None]:
    """What is made of each page, while the next ones are read; how many documents are one depends on their length."""
    size = PAGE
    coming: deque[asyncio.Task[tuple[T, int]]] = deque()

    async def read(ids: Sequence[str]) -> tuple[T, int]:
        answer = await db.bulk_get(ids)
        fitting = max(1, min(AT_ONCE, PAGE_BYTES * len(ids) // len(answer)))
        return await made_of(msgspec.json.decode(answer, type=Answer).results), fitting

    try:
        async for ids in listing.pages():
            start = 0
            while start < len(ids):
                coming.append(asyncio.create_task(read(ids[start : start + size])))
                start += size
                if len(coming) > AHEAD:
                    made, size = await coming[0]
                    coming.popleft()
                    yield made
        while coming:
            made, size = await coming[0]
            coming.popleft()
            yield made
    finally:
        for task in coming:
            task.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
