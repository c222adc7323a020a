"""The search index keeps up with the feed, whatever happens to its file, and never holds the access index up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.access.index import AccessIndex
from api.access.indexer import run_indexer
from api.search.follower import KEPT, SearchFollower
from api.search.index import SearchIndex
from api.search.query import match_of
from api.search.schema import VERSION
from api.search.tokens import Kind
from api.search.writer import SearchWriter, is_worn
from core.config import Config
from core.couch.changes import Batch
from core.couch.client import Database
from core.errors import Unavailable
from tests.conftest import eventually


@pytest.fixture
async def index(config: Config) -> AsyncIterator[SearchIndex]:
    index = SearchIndex(config.search_index)
    yield index
    await index.close()


def people(*names: str) -> list[dict[str, Any]]:
    return [{"_id": name, "type": "person", "name": f"{name} Otieno"} for name in names]


async def found(index: SearchIndex, db: Database, query: str = "otieno") -> list[str]:
    assert await index.catch_up(db, most_s=30) == 0
    return await index.ids(Kind.CONTACT, match_of(query, Kind.CONTACT), None, 1000)


async def test_it_follows_the_feed(indexer: Any, index: SearchIndex, db: Database) -> None:
    await db.bulk_docs(people("ann", "ben"))
    assert await found(index, db) == ["ann", "ben"]

    await db.bulk_docs(people("cat"))
    assert await found(index, db) == ["ann", "ben", "cat"]


async def test_it_goes_on_where_it_was_after_a_stop(
    indexer: Any, config: Config, index: SearchIndex, db: Database
) -> None:
    await db.bulk_docs(people("ann"))
    assert await found(index, db) == ["ann"]
    await indexer.close()
    await db.bulk_docs(people("ben"))

    stop = asyncio.Event()
    task = asyncio.create_task(run_indexer(config, stop))
    assert await found(index, db) == ["ann", "ben"]
    stop.set()
    await task


@pytest.mark.parametrize("spoil", ["removed", "broken", "older version"])
async def test_it_is_built_again_beside_an_access_index_that_is_level(
    indexer: Any, config: Config, index: SearchIndex, db: Database, spoil: str
) -> None:
    await db.bulk_docs(people("ann", "ben"))
    assert await found(index, db) == ["ann", "ben"]
    await indexer.close()
    path = config.search_index
    if spoil == "older version":
        writer = SearchWriter.open(path, (await index.state()).identity)
        writer.connection.execute("DELETE FROM doc")
        writer.connection.execute("UPDATE state SET version = ?", (VERSION - 1,))
        writer.close()
    else:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if spoil == "broken":
            path.write_bytes(b"this is no database, " * 1000)

    stop = asyncio.Event()
    task = asyncio.create_task(run_indexer(config, stop))
    await eventually(lambda: has(index, "ann"))
    assert await found(index, db) == ["ann", "ben"]
    await db.bulk_docs(people("cat"))
    assert await found(index, db) == ["ann", "ben", "cat"]
    stop.set()
    await task


async def has(index: SearchIndex, doc_id: str) -> bool:
    try:
        return doc_id in await index.ids(Kind.CONTACT, None, None, 10)
    except Unavailable:
        return False


async def test_a_file_that_is_deleted_under_it_comes_back(
    indexer: Any, config: Config, index: SearchIndex, db: Database
) -> None:
    await db.bulk_docs(people("ann"))
    assert await found(index, db) == ["ann"]
    inode = config.search_index.stat().st_ino
    for suffix in ("", "-wal", "-shm"):
        config.search_index.with_name(config.search_index.name + suffix).unlink(missing_ok=True)

    await eventually(lambda: replaced(config, inode))
    assert await found(index, db) == ["ann"]
    await db.bulk_docs(people("ben"))
    assert await found(index, db) == ["ann", "ben"]


async def replaced(config: Config, inode: int) -> bool:
    return config.search_index.exists() and config.search_index.stat().st_ino != inode


async def test_batches_that_come_too_fast_are_read_again(config: Config, db: Database, index: SearchIndex) -> None:
    """What is offered while it cannot keep up is dropped, so the access index never waits and memory stays small."""
    await db.bulk_docs(people("ann"))
    follower = SearchFollower(db, config.search_index, "identity")
    for number in range(KEPT + 1):
        follower.offer(Batch((), f"{number}", 0))

    task = asyncio.create_task(follower.run("0"))
    assert await found(index, db) == ["ann"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_waits_until_the_access_index_is_level(config: Config, db: Database, index: SearchIndex) -> None:
    await db.bulk_docs(people("ann"))
    follower = SearchFollower(db, config.search_index, "identity")
    for _ in range(KEPT + 1):
        follower.offer(Batch((), "1", 1000))

    task = asyncio.create_task(follower.run("0"))
    await eventually(index.state)
    assert await index.count(Kind.CONTACT) == 0
    follower.offer(Batch((), "2", 0))
    assert await found(index, db) == ["ann"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_search_index_that_fails_leaves_the_access_index_alone(
    indexer: Any, config: Config, db: Database
) -> None:
    await indexer.close()
    for suffix in ("", "-wal", "-shm", ".lock"):
        config.search_index.with_name(config.search_index.name + suffix).unlink(missing_ok=True)
    config.search_index.mkdir()

    stop = asyncio.Event()
    task = asyncio.create_task(run_indexer(config, stop))
    await db.bulk_docs(people("ann"))
    access = AccessIndex(config.access_index)
    assert await access.catch_up(db, most_s=30) == 0
    await access.close()
    stop.set()
    await task


def test_what_documents_said_long_ago_is_cleared_away_in_the_end(config: Config) -> None:
    writer = SearchWriter.open(config.search_index, "identity")
    writer.connection.execute("UPDATE state SET next = 100002")
    writer.close()

    again = SearchWriter.open(config.search_index, "identity")

    assert again.state.next == 1
    assert not is_worn(again.connection, again.state)
    again.close()
