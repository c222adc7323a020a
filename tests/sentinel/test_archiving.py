"""Documents that are moved into the archive database (40 §13)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from core.archive_jobs import create_jobs
from core.couch.client import Database, Doc
from core.errors import InvalidInput, NotFound
from core.settings import Settings
from sentinel.schedule.archiving import archive_when_due
from tests.sentinel.conftest import Clock, Deployment

Run = Callable[..., Awaitable[int]]

PICTURE = {"content_type": "image/png", "data": base64.b64encode(b"picture").decode()}


@pytest.fixture
async def run(deployment: Deployment, clock: Clock) -> AsyncIterator[Run]:
    async def one(may_write: Callable[[], None] = lambda: None, step: int = 1000, **section: Any) -> int:
        settings = Settings({**(await deployment.db.get("settings"))["settings"], "archive": section})
        return await archive_when_due(deployment.db.couch, deployment.db.name, settings, clock, may_write, step=step)

    yield one
    try:
        await archive(deployment).delete_database()
    except NotFound:
        pass


def archive(deployment: Deployment) -> Database:
    return deployment.db.couch.db(f"{deployment.db.name}-archive")


async def ask(deployment: Deployment, ids: Sequence[str]) -> str:
    [job] = await create_jobs(deployment.sentinel_db, ids, deployment.clock())
    return str(job["id"])


async def told(deployment: Deployment, job_id: str) -> Doc:
    return await deployment.db.couch.db(f"{deployment.db.name}-logs").get(job_id)


async def test_documents_are_moved_as_they_are(deployment: Deployment, run: Run) -> None:  # ARC-1, ARC-3
    await deployment.store({"_id": "r1", "type": "data_record", "form": "V", "_attachments": {"photo": PICTURE}})
    report, mum = await deployment.db.get("r1"), await deployment.db.get("mum")
    job_id = await ask(deployment, ["r1", "mum", "settings", "nobody"])

    assert await run() == 2
    kept = await archive(deployment).get("r1", attachments=True)
    assert (kept["_rev"], kept["form"], kept["_attachments"]["photo"]["data"]) == (report["_rev"], "V", PICTURE["data"])
    assert kept["archive_date"] == "2031-11-22T10:00:00.000Z"
    assert (await archive(deployment).get("mum"))["_rev"] == mum["_rev"]
    assert set(await deployment.db.get_many(["r1", "mum", "settings"])) == {"settings"}
    told_of = await told(deployment, job_id)
    assert (told_of["status"], told_of["cursor"], told_of["total"]) == ("completed", 4, 4)
    assert await deployment.sentinel_db.find(job_id) is None
    [row] = await deployment.db.all_docs(["r1"])
    assert row["value"]["deleted"] is True  # ARC-4: what get-deletes tells phones of


async def test_conflicts_come_along_and_none_comes_back(deployment: Deployment, run: Run) -> None:  # ARC-3
    leaves = [{"_id": "r1", "_rev": f"1-{digest * 32}", "type": "data_record", "is": digest} for digest in "ab"]
    await deployment.db.bulk_docs(leaves, new_edits=False)
    await ask(deployment, ["r1"])
    await run()

    assert await deployment.db.find("r1") is None
    kept = await archive(deployment).get("r1", conflicts=True)
    assert (kept["is"], kept["_conflicts"]) == ("b", [f"1-{'a' * 32}"])


async def test_job_goes_on_where_the_time_was_over(  # ARC-2, ARC-3
    deployment: Deployment, run: Run, clock: Clock
) -> None:
    await deployment.store(*({"_id": f"r{number}", "type": "data_record"} for number in range(4)))
    job_id = await ask(deployment, [f"r{number}" for number in range(4)])
    nightly = {"cron": "0 2 * * *", "duration": "30 minutes"}
    assert await run(**nightly) == 0  # from now on
    assert await run(**nightly) == 0

    def slowly() -> None:
        clock.move(minutes=15)

    clock.move(hours=17)
    assert await run(may_write=slowly, step=3, **nightly) == 3
    assert (await told(deployment, job_id))["status"] == "running"
    assert (await deployment.sentinel_db.get(job_id))["cursor"] == 3

    clock.move(days=1)
    assert await run(**nightly) == 1
    assert (await told(deployment, job_id))["status"] == "completed"


async def test_clock_that_was_ahead_does_not_put_jobs_off(  # ARC-2
    deployment: Deployment, run: Run, clock: Clock
) -> None:
    nightly = {"cron": "0 2 * * *"}
    await deployment.store({"_id": "r1", "type": "data_record"})
    await ask(deployment, ["r1"])
    clock.move(days=300)
    await run(**nightly)
    clock.move(days=-300)
    await run(**nightly)
    clock.move(days=1)

    assert await run(**nightly) == 1


async def test_job_that_always_fails_is_dropped(deployment: Deployment, run: Run) -> None:  # ARC-3
    await deployment.store({"_id": "r1", "type": "data_record"})
    job_id = await ask(deployment, ["r1"])
    job = await deployment.sentinel_db.get(job_id)
    await deployment.sentinel_db.put({name: value for name, value in job.items() if name != "_attachments"})
    for _ in range(10):
        assert await run() == 0

    told_of = await told(deployment, job_id)
    assert (told_of["status"], len(told_of["errors"])) == ("failed", 10)
    assert await deployment.sentinel_db.find(job_id) is None
    assert await deployment.db.find("r1") is not None


async def test_wrong_settings_are_told(run: Run) -> None:  # ARC-2
    with pytest.raises(InvalidInput, match=r"archive\.duration"):
        await run(duration="long")
    with pytest.raises(InvalidInput, match="cron"):
        await run(cron="now")
