"""Equal messages are counted by all processes together (40 MSG-10)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from core.couch.client import Database
from core.duplicates import SHARED, DuplicateGuard


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2031, 2, 3, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


async def counted(guard: DuplicateGuard, db: Database, times: int = 1, text: str = "hi") -> int:
    """The number the last of so many messages gets, each written in an exchange of its own."""
    number = 0
    for _ in range(times):
        await guard.pull(db)
        number = guard.count("+254711000111", text)
        await guard.push(db)
    return number


async def test_what_one_process_wrote_counts_for_the_next(sentinel_db: Database) -> None:
    clock = Clock()
    await counted(DuplicateGuard(clock), sentinel_db, 3)

    assert await counted(DuplicateGuard(clock), sentinel_db) == 4


async def test_two_processes_count_as_one(sentinel_db: Database) -> None:
    clock = Clock()
    api, worker = DuplicateGuard(clock), DuplicateGuard(clock)
    await counted(api, sentinel_db, 2)
    await counted(worker, sentinel_db, 2)
    await asyncio.gather(counted(api, sentinel_db), counted(worker, sentinel_db))

    assert await counted(api, sentinel_db) == 7
    assert await counted(worker, sentinel_db) == 8
    assert await counted(worker, sentinel_db, text="another") == 1


async def test_counts_are_forgotten_half_an_hour_after_the_last(sentinel_db: Database) -> None:
    clock = Clock()
    guard = DuplicateGuard(clock)
    await counted(guard, sentinel_db, 3)
    clock.moment += timedelta(minutes=31)

    assert await counted(DuplicateGuard(clock), sentinel_db) == 1
    assert await counted(guard, sentinel_db, 2) == 2
    assert await counted(DuplicateGuard(clock), sentinel_db) == 3


async def test_counts_of_a_clock_that_was_ahead_are_forgotten(sentinel_db: Database) -> None:
    clock = Clock()
    guard = DuplicateGuard(clock)
    await counted(guard, sentinel_db, 3)
    clock.moment -= timedelta(days=300)

    assert await counted(DuplicateGuard(clock), sentinel_db) == 1
    assert await counted(guard, sentinel_db) == 1


async def test_texts_are_not_kept_and_single_messages_cost_no_write(sentinel_db: Database) -> None:
    guard = DuplicateGuard(Clock())
    for n in range(20):
        await counted(guard, sentinel_db, text=f"only once {n}")
    assert await sentinel_db.find(SHARED) is None

    await counted(guard, sentinel_db, 2, text="secret")
    stored = await sentinel_db.find(SHARED) or {}
    assert [count for count, _ in stored["entries"].values()] == [2]
    assert "secret" not in str(stored)
