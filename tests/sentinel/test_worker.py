"""The worker as a whole: lease, feed, live settings, stop, death and take-over (40 §1)."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import time_machine

from core.config import Config
from core.couch.client import Couch, Database, Doc
from core.dates import iso_of
from core.errors import DomainError
from sentinel.checkpoint import Checkpoint
from sentinel.lease import LEASE_ID, Lease
from sentinel.transitions.change import LeaseLost
from sentinel.worker import run_worker
from tests.conftest import eventually, free_port
from tests.sentinel.conftest import SETTINGS, Clock, Deployment, texts

Preg = Callable[..., Doc]
Start = Callable[..., "Worker"]


class Worker:
    """A running worker, which can be stopped in order or killed."""

    def __init__(self, config: Config, clock: Clock, **options: Any) -> None:
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(run_worker(config, self.stop, now=clock, **options))

    async def finish(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 30)

    async def kill(self) -> None:
        """As near to a killed process as a task comes: it ends wherever it waits."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def start(config: Config, clock: Clock) -> AsyncIterator[Start]:
    workers: list[Worker] = []

    def start_one(**options: Any) -> Worker:
        workers.append(Worker(config, clock, **{"lease_ttl_s": 1.0, "due_interval_s": 0.05, **options}))
        return workers[-1]

    yield start_one
    for worker in workers:
        if not worker.task.done():
            await worker.kill()


def has(db: Database, doc_id: str, member: str) -> Callable[[], Awaitable[Any]]:
    async def check() -> Any:
        doc = await db.find(doc_id)
        return doc if doc and doc.get(member) else None

    return check


def state_is(deployment: Deployment, **values: Any) -> Callable[[], Awaitable[Any]]:
    async def check() -> Any:
        state = await deployment.sentinel_db.get_local("worker-state") or {}
        return state if all(state.get(name) == value for name, value in values.items()) else None

    return check


def caught_up(deployment: Deployment) -> Callable[[], Awaitable[Any]]:
    async def check() -> bool:
        checkpoint = await Checkpoint(deployment.sentinel_db).read()
        return not (await deployment.db.changes(checkpoint, limit=1))["results"]

    return check


async def test_new_report_is_processed(deployment: Deployment, start: Start, preg: Preg) -> None:  # SEN-2, SEN-8
    start()
    await deployment.store(preg("r1"))
    report = await eventually(has(deployment.db, "r1", "patient_id"))

    assert texts(report) == [f"Registered Asha as {report['patient_id']}"]
    await eventually(caught_up(deployment))  # SEN-7, SEN-19


async def test_feed_goes_on_from_the_stored_position(deployment: Deployment, start: Start, preg: Preg) -> None:
    await deployment.store(preg("old"))
    seq = (await deployment.db.info())["update_seq"]
    await Checkpoint(deployment.sentinel_db).save(str(seq))  # SEN-20: an operator skips the backlog
    start()
    await deployment.store(preg("new"))
    await eventually(has(deployment.db, "new", "patient_id"))

    assert "patient_id" not in await deployment.db.get("old")


async def test_progress_is_told_every_500_changes(  # SEN-18
    deployment: Deployment, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    async def told() -> bool:
        return any(record.message.endswith("changes processed") for record in caplog.records)

    caplog.set_level(logging.INFO, "sentinel.worker")
    start()
    await deployment.store(*({"_id": f"{number}-info"} for number in range(500)))  # not for the transitions

    await eventually(told)


async def test_stop_leaves_nothing_half_done_and_frees_the_lease(
    deployment: Deployment, start: Start, preg: Preg
) -> None:
    worker = start()
    await deployment.store(*(preg(f"r{number}", name=f"N{number}") for number in range(30)))
    await eventually(has(deployment.db, "r0", "patient_id"))
    await worker.finish()

    assert await deployment.sentinel_db.find(LEASE_ID) is None
    reports = (await deployment.db.get_many(f"r{number}" for number in range(30))).values()
    assert all(texts(report) for report in reports if report.get("patient_id"))


async def test_standby_takes_over(deployment: Deployment, start: Start, preg: Preg) -> None:  # SEN-1
    first = start()
    await eventually(state_is(deployment, transitions_disabled=False))
    start()
    await first.kill()
    await deployment.store(preg("r1"))

    await eventually(has(deployment.db, "r1", "patient_id"))


async def test_lease_of_a_dead_worker_runs_out(deployment: Deployment, start: Start, preg: Preg) -> None:  # SEN-1
    await Lease(deployment.sentinel_db, "dead", ttl_s=0.5).acquire()
    start()
    await deployment.store(preg("r1"))

    await eventually(has(deployment.db, "r1", "patient_id"))
    assert (await deployment.sentinel_db.get(LEASE_ID))["owner"] != "dead"


async def test_two_workers_and_a_death_process_nothing_twice(  # SEN-1, TRN-10
    deployment: Deployment, start: Start, preg: Preg
) -> None:
    ids = [f"r{number}" for number in range(60)]
    await deployment.store(*(preg(doc_id, name=doc_id) for doc_id in ids[:40]))
    first, second = start(), start()
    await eventually(has(deployment.db, "r0", "patient_id"))
    await first.kill()
    await deployment.store(*(preg(doc_id, name=doc_id) for doc_id in ids[40:]))
    await eventually(has(deployment.db, "r59", "patient_id"))
    await second.kill()
    start()
    await eventually(caught_up(deployment))

    reports = await deployment.db.get_many(ids)
    contacts = [row["doc"] for row in await deployment.db.all_docs(include_docs=True) if row["doc"].get("source_id")]
    assert sorted(contact["source_id"] for contact in contacts) == sorted(ids)
    assert {contact["source_id"]: contact["patient_id"] for contact in contacts} == {
        doc_id: report["patient_id"] for doc_id, report in reports.items()
    }
    assert all(len(report["tasks"]) == 1 and len(report["scheduled_tasks"]) == 2 for report in reports.values())


async def test_wrong_settings_suspend_the_feed_until_they_are_corrected(  # SEN-16, SEN-5
    deployment: Deployment, start: Start, preg: Preg
) -> None:
    await deployment.configure(transitions={"registraton": True})
    start()
    state = await eventually(state_is(deployment, transitions_disabled=True))
    assert state["errors"] == ['Unknown transition "registraton"']
    before = await Checkpoint(deployment.sentinel_db).read()
    await deployment.store(preg("r1"))

    await deployment.configure(transitions=SETTINGS["transitions"])
    await eventually(has(deployment.db, "r1", "patient_id"))
    assert before == "0"
    await eventually(state_is(deployment, transitions_disabled=False, errors=[]))


async def test_wrong_settings_are_told_again_by_their_job(  # JOB-TDR-1
    deployment: Deployment, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    await deployment.configure(transitions={"registraton": True})
    start()

    async def was_repeated() -> bool:
        told = [record.name for record in caplog.records if 'Unknown transition "registraton"' in record.getMessage()]
        return {"sentinel.configuration", "sentinel.jobs"} <= set(told)

    await eventually(was_repeated)
    await eventually(state_is(deployment, transitions_disabled=True))


async def test_live_settings_going_wrong_stop_the_position(  # SEN-16
    deployment: Deployment, start: Start, preg: Preg
) -> None:
    start()
    await eventually(caught_up(deployment))
    await deployment.configure(transitions={**SETTINGS["transitions"], "fly": True})
    await eventually(state_is(deployment, transitions_disabled=True))
    await deployment.store(preg("r1"))
    await deployment.configure(transitions=SETTINGS["transitions"])

    await eventually(has(deployment.db, "r1", "patient_id"))


async def test_new_translation_is_used_at_once(  # SEN-5
    deployment: Deployment, start: Start, preg: Preg, clock: Clock
) -> None:
    await deployment.configure(default_responses={"start_date": "2031-01-01"})
    start()
    await eventually(caught_up(deployment))
    await deployment.db.update("messages-en", lambda doc: {**(doc or {}), "custom": {"sms_received": "Asante"}})

    async def answered() -> bool:
        doc_id = f"m{iso_of(clock())}"
        clock.move(seconds=1)
        message = {"_id": doc_id, "type": "data_record", "from": "+254712345678", "reported_date": clock.ms}
        await deployment.store(message)
        report = await eventually(has(deployment.db, doc_id, "tasks"))
        return texts(report) == ["Asante"]

    await eventually(answered)


async def test_due_messages_are_sent(deployment: Deployment, start: Start, clock: Clock) -> None:  # JOB-1
    due = {"due": iso_of(clock()), "state": "scheduled", "message": "now", "recipient": "+254700000009"}
    start()
    await deployment.store({"_id": "r1", "type": "data_record", "scheduled_tasks": [due]})

    async def is_pending() -> bool:
        return (await deployment.db.get("r1"))["scheduled_tasks"][0]["state"] == "pending"

    await eventually(is_pending)


async def test_only_one_of_two_gets_the_lease(sentinel_db: Database, couch: object) -> None:  # SEN-1
    first, second = Lease(sentinel_db, "one"), Lease(sentinel_db, "two")

    assert await first.acquire()
    assert not await second.acquire()
    assert first.held
    assert not second.held
    with pytest.raises(LeaseLost):
        second.check()


async def test_lease_that_ran_out_is_taken_and_its_owner_notices(sentinel_db: Database, couch: object) -> None:  # SEN-1
    now = [1000.0]
    first = Lease(sentinel_db, "one", clock=lambda: now[0])
    second = Lease(sentinel_db, "two", clock=lambda: now[0])
    await first.acquire()
    assert not await second.acquire()
    now[0] += 11
    assert not first.held
    assert await second.acquire()

    with pytest.raises(LeaseLost):
        await first.renew()
    await first.release()
    assert second.held
    assert (await sentinel_db.get(LEASE_ID))["owner"] == "two"


@pytest.mark.parametrize("ahead_s", [3600, -3600])
async def test_clocks_that_differ_do_not_matter(sentinel_db: Database, couch: object, ahead_s: int) -> None:  # SEN-1
    now = [1000.0]
    first = Lease(sentinel_db, "one", clock=lambda: now[0])
    second = Lease(sentinel_db, "two", clock=lambda: now[0] + ahead_s)
    await first.acquire()
    for _ in range(3):
        assert not await second.acquire()
        now[0] += 8
        await first.renew()

    assert not await second.acquire()
    now[0] += 11
    assert await second.acquire()


async def test_clock_that_is_set_makes_no_difference(sentinel_db: Database, couch: object) -> None:  # SEN-1
    with time_machine.travel("2031-02-03T08:00:00Z", tick=False) as calendar:
        lease = Lease(sentinel_db, "one")
        await lease.acquire()
        calendar.move_to("2031-01-01T08:00:00Z")

        assert lease.held
        assert not await Lease(sentinel_db, "two").acquire()
        calendar.move_to("2032-01-01T08:00:00Z")
        assert lease.held
        assert not await Lease(sentinel_db, "two").acquire()


async def test_renewed_lease_lasts(sentinel_db: Database, couch: object) -> None:  # SEN-1
    now = [1000.0]
    lease = Lease(sentinel_db, "one", clock=lambda: now[0])
    await lease.acquire()
    now[0] += 8
    await lease.renew()
    now[0] += 8

    assert lease.held
    assert not await Lease(sentinel_db, "two", clock=lambda: now[0]).acquire()


async def test_released_lease_is_free_at_once(sentinel_db: Database, couch: object) -> None:
    lease = Lease(sentinel_db, "one")
    await lease.acquire()
    await lease.release()

    assert await Lease(sentinel_db, "two").acquire()


async def test_lease_of_a_killed_process_of_this_machine_is_free_at_once(  # SEN-1
    deployment: Deployment, start: Start, preg: Preg, config: Config
) -> None:
    """The other process takes the lease for an hour and dies by SIGKILL while a worker stands by."""
    program = (
        "import asyncio, sys\n"
        "from core.config import Config\n"
        "from core.couch.client import connect\n"
        "from sentinel.lease import Lease\n"
        "async def main():\n"
        "    config = Config().with_couch_url(sys.argv[1])\n"
        "    async with connect(config) as couch:\n"
        "        print(await Lease(couch.db(sys.argv[2]), ttl_s=3600.0).acquire(), flush=True)\n"
        "        await asyncio.sleep(3600)\n"
        "asyncio.run(main())\n"
    )
    arguments = [str(config.couch_url), config.db_name("sentinel")]
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdout is not None
    assert await other.stdout.readline() == b"True\n"
    start(lease_ttl_s=60.0)
    await deployment.store(preg("r1"))
    assert not await Lease(deployment.sentinel_db, "third").acquire()

    other.kill()
    await eventually(has(deployment.db, "r1", "patient_id"), within_s=5.0)
    await other.wait()


async def test_holder_of_another_machine_is_waited_for(sentinel_db: Database, couch: object) -> None:  # SEN-1
    await Lease(sentinel_db, "elsewhere").acquire()
    gone = {"machine": "another host", "pid": 999_999_999}
    await sentinel_db.update(LEASE_ID, lambda doc: {**(doc or {}), **gone})

    assert not await Lease(sentinel_db, "here").acquire()


async def test_process_that_got_the_number_of_a_dead_one_is_not_the_holder(  # SEN-1
    sentinel_db: Database, couch: object
) -> None:
    await Lease(sentinel_db, "dead").acquire()
    await sentinel_db.update(LEASE_ID, lambda doc: {**(doc or {}), "started": "1"})

    assert await Lease(sentinel_db, "next").acquire()


async def test_lost_answer_to_a_renewal_is_not_a_lost_lease(sentinel_db: Database, couch: object) -> None:  # SEN-1
    lease = Lease(sentinel_db, "one")
    await lease.acquire()
    await sentinel_db.update(LEASE_ID, lambda doc: {**(doc or {}), "expires": 1})
    await lease.renew()

    assert lease.held
    assert not await Lease(sentinel_db, "two").acquire()


async def test_worker_waits_for_a_couchdb_that_is_not_there_and_stops_in_time(tmp_path: Path, clock: Clock) -> None:
    config = Config(data=tmp_path).with_couch_url(f"http://admin:secret@127.0.0.1:{free_port()}/medic")
    worker = Worker(config, clock)
    done, _ = await asyncio.wait([worker.task], timeout=0.2)
    assert not done
    await worker.finish()


async def test_worker_ends_when_its_database_is_gone(config: Config, couch: Couch, start: Start) -> None:  # SEN-3
    worker = start()
    await eventually(lambda: couch.db(config.db_name("sentinel")).find(LEASE_ID))
    await couch.db(config.database).delete_database()

    with pytest.raises(DomainError):
        await asyncio.wait_for(worker.task, 30)
