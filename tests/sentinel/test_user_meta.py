"""What phones reported of themselves is gathered from users' own databases (40 JOB-REP-1, REPL-128)."""

from __future__ import annotations

import pytest

from core.couch.client import Couch, Database
from sentinel.schedule.user_meta import gather, gather_when_due
from tests.sentinel.conftest import Clock


@pytest.fixture
async def bea(couch: Couch, db: Database) -> Database:
    meta = couch.db(f"{db.name}-user-bea-meta")
    await meta.create()
    return meta


@pytest.fixture
def everybody(couch: Couch, db: Database) -> Database:
    return couch.db(f"{db.name}-users-meta")


async def ids(db: Database) -> list[str]:
    return [row["id"] for row in await db.all_docs() if not row["id"].startswith("_design/")]


async def test_reports_of_phones_are_moved_and_the_rest_stays(
    couch: Couch, db: Database, bea: Database, everybody: Database
) -> None:
    names = ["telemetry-1", "feedback-1", "interaction-1", "read:report:r1"]
    await bea.bulk_docs([{"_id": name, "n": 1} for name in [*names, "telemetry-deleted"]])
    await bea.delete("telemetry-deleted", (await bea.get("telemetry-deleted"))["_rev"])
    rev = (await bea.get("feedback-1"))["_rev"]

    assert await gather(couch, db.name) == 3

    assert await ids(everybody) == ["feedback-1", "interaction-1", "telemetry-1"]
    assert (await everybody.get("feedback-1"))["_rev"] == rev
    assert await ids(bea) == ["read:report:r1"]
    feed = [row["id"] for row in (await bea.changes())["results"]]
    assert not {"telemetry-1", "feedback-1"} & set(feed)  # purged, not deleted
    assert (await bea.get_local("purge_log") or {})["seq"]  # MOD-104


async def test_run_that_ended_before_the_purge_is_repeated(
    couch: Couch, db: Database, bea: Database, everybody: Database
) -> None:
    await bea.put({"_id": "telemetry-1", "n": 1})
    stored = await bea.get("telemetry-1", revs=True)
    await everybody.bulk_docs([stored], new_edits=False)

    await gather(couch, db.name)
    await gather(couch, db.name)

    assert await ids(bea) == []
    assert await everybody.get("telemetry-1") == {"_id": "telemetry-1", "_rev": stored["_rev"], "n": 1}


async def test_many_documents_are_moved_in_batches(
    couch: Couch, db: Database, bea: Database, everybody: Database
) -> None:
    await bea.bulk_docs([{"_id": f"telemetry-{n:03}"} for n in range(250)])

    assert await gather(couch, db.name) == 250
    assert len(await ids(everybody)) == 250
    assert await gather(couch, db.name) == 0


async def test_it_is_done_once_after_two_at_night(couch: Couch, db: Database, bea: Database) -> None:
    clock = Clock()  # at 10:00
    assert await gather_when_due(couch, db.name, clock) == 0
    await bea.put({"_id": "telemetry-1"})
    clock.move(hours=15.9)
    assert await gather_when_due(couch, db.name, clock) == 0
    clock.move(hours=0.2)
    assert await gather_when_due(couch, db.name, clock) == 1
    await bea.put({"_id": "telemetry-2"})
    assert await gather_when_due(couch, db.name, clock) == 0
    clock.move(days=1)
    assert await gather_when_due(couch, db.name, clock) == 1


async def test_clock_that_was_ahead_does_not_put_it_off(couch: Couch, db: Database, bea: Database) -> None:
    clock = Clock()
    clock.move(days=300)
    await gather_when_due(couch, db.name, clock)
    clock.move(days=-300)
    await gather_when_due(couch, db.name, clock)
    await bea.put({"_id": "telemetry-1"})
    clock.move(days=1)

    assert await gather_when_due(couch, db.name, clock) == 1
