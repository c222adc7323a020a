"""Infodocs date what was written through the API (PROXY-15, INF-1, INF-2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.infodocs import Infodocs, written_revs
from core.couch.client import Couch, Database
from core.errors import DomainError


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2031, 2, 3, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_first_write_creates_and_later_ones_move_the_latest_date(sentinel_db: Database) -> None:
    clock = Clock()
    infodocs = Infodocs(sentinel_db, clock)
    infodocs.note(["r1", "_design/x", "_local/y"])
    await infodocs.flush()
    clock.now += timedelta(days=1)
    infodocs.note(["r1"])
    await infodocs.flush()

    stored = await sentinel_db.get("r1-info")
    assert {name: value for name, value in stored.items() if name != "_rev"} == {
        "_id": "r1-info",
        "type": "info",
        "doc_id": "r1",
        "initial_replication_date": "2031-02-03T08:00:00.000Z",
        "latest_replication_date": "2031-02-04T08:00:00.000Z",
    }  # MOD-90
    assert await sentinel_db.get_many(["_design/x-info", "_local/y-info"]) == {}


async def test_members_of_other_writers_stay(sentinel_db: Database) -> None:
    await sentinel_db.put(
        {"_id": "r1-info", "type": "info", "initial_replication_date": "unknown", "transitions": {"x": 1}}
    )
    infodocs = Infodocs(sentinel_db, Clock())
    infodocs.note(["r1"])
    await infodocs.flush()

    stored = await sentinel_db.get("r1-info")
    assert stored["transitions"] == {"x": 1}
    assert stored["initial_replication_date"] == "unknown"
    assert stored["latest_replication_date"] == "2031-02-03T08:00:00.000Z"


async def test_many_writes_are_stored_in_bulk_and_all_of_them(sentinel_db: Database) -> None:
    infodocs = Infodocs(sentinel_db, Clock())
    infodocs.note(f"r{number}" for number in range(1200))
    await infodocs.flush()

    assert len(await sentinel_db.get_many(f"r{number}-info" for number in range(1200))) == 1200


async def test_what_could_not_be_stored_stays_noted(couch: Couch) -> None:
    db = couch.db("medic-without-such-a-database")
    infodocs = Infodocs(db, Clock())
    infodocs.note(["r1"])
    with pytest.raises(DomainError):
        await infodocs.flush()
    await db.create()
    try:
        await infodocs.flush()

        assert await db.find("r1-info") is not None
    finally:
        await db.delete_database()


@pytest.mark.parametrize(
    ("docs", "rows", "new_edits", "expected"),
    [
        ([{"_id": "a"}, {"_id": "b"}], [{"ok": True, "id": "a"}, {"id": "b", "error": "conflict"}], True, ["a"]),
        ([{"_id": "a", "_deleted": True}], [{"ok": True, "id": "a"}], True, []),
        ([{"name": "x"}], [{"ok": True, "id": "made"}], True, ["made"]),
        ([{"_id": "a"}, {"_id": "b", "_deleted": True}, {}, 5], [], False, ["a"]),
        ([], [], True, []),
    ],
    ids=["failures", "deletions", "ids-made-by-couchdb", "without-new-edits", "nothing"],
)
def test_which_members_of_a_bulk_count_as_written(
    docs: list[object], rows: list[object], new_edits: bool, expected: list[str]
) -> None:
    assert list(written_revs(docs, rows, new_edits=new_edits)) == expected
