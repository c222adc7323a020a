"""What operators see of the worker, and tell it: status, replay, pause, jobs, signals (40 SEN-17, SEN-19)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from core.config import Config
from core.couch.client import Doc
from core.dates import iso_of
from outpost.console import lines
from sentinel.controls import Controls
from sentinel.lease import Lease
from sentinel.operator import ask, ask_to_replay
from sentinel.status import collect_status
from sentinel.worker import run_worker
from tests.conftest import eventually
from tests.sentinel.conftest import SETTINGS, Clock, Deployment

Preg = Callable[..., Doc]


@pytest.fixture
async def controls(deployment: Deployment, config: Config, clock: Clock) -> AsyncIterator[Controls]:
    """A running worker's controls."""
    controls, stop = Controls(), asyncio.Event()
    task = asyncio.create_task(run_worker(config, stop, now=clock, controls=controls))
    await eventually(state_is(deployment, paused=False))
    yield controls
    stop.set()
    await asyncio.wait_for(task, 30)


def state_is(deployment: Deployment, **values: Any) -> Callable[[], Awaitable[Any]]:
    async def check() -> Any:
        state = await deployment.sentinel_db.get_local("worker-state") or {}
        return state if all(state.get(name) == value for name, value in values.items()) else None

    return check


def has_code(deployment: Deployment, doc_id: str) -> Callable[[], Awaitable[Any]]:
    async def check() -> Any:
        return (await deployment.db.get(doc_id)).get("patient_id")

    return check


async def test_changes_wait_while_paused(  # SEN-17
    deployment: Deployment, controls: Controls, preg: Preg
) -> None:
    controls.toggle()
    await eventually(state_is(deployment, paused=True))
    await deployment.store(preg("r1"))
    await ask(deployment.sentinel_db, lambda doc: {**doc, "jobs": 1})  # answered while paused
    assert not await has_code(deployment, "r1")()

    controls.toggle()
    await eventually(has_code(deployment, "r1"))
    await eventually(state_is(deployment, paused=False))


async def test_pause_asked_for_by_document_lasts(deployment: Deployment, controls: Controls) -> None:  # SEN-17
    await ask(deployment.sentinel_db, lambda doc: {**doc, "paused": True})
    await eventually(state_is(deployment, paused=True))
    await ask(deployment.sentinel_db, lambda doc: {**doc, "paused": False})

    await eventually(state_is(deployment, paused=False))


@pytest.mark.parametrize("by", ["signal", "document"])
async def test_all_jobs_run_when_asked(  # SEN-17
    deployment: Deployment, controls: Controls, clock: Clock, by: str
) -> None:
    def has_run_at(moment: str) -> Callable[[], Awaitable[Any]]:
        async def check() -> bool:
            state = await deployment.sentinel_db.get_local("worker-state") or {}
            jobs = state.get("jobs") or {}
            names = ("due_messages", "reminders", "purging", "background_cleanup")
            return all(jobs.get(name, {}).get("last_run") == moment for name in names)

        return check

    await eventually(has_run_at(iso_of(clock())))
    clock.move(minutes=1)
    if by == "signal":
        controls.run_jobs()
    else:
        await ask(deployment.sentinel_db, lambda doc: {**doc, "jobs": 5})

    await eventually(has_run_at(iso_of(clock())))


async def test_documents_are_processed_again(  # SEN-17
    deployment: Deployment, controls: Controls, preg: Preg
) -> None:
    await deployment.configure(transitions={})
    await eventually(state_is(deployment, transitions_disabled=False))
    await deployment.store(preg("r1"))

    async def processed() -> Any:
        return await deployment.sentinel_db.find("r1-info")

    await eventually(processed)
    await deployment.configure(transitions=SETTINGS["transitions"])
    await ask_to_replay(deployment.sentinel_db, ["r1", "not there"], forget=False)
    await eventually(has_code(deployment, "r1"))

    async def done() -> bool:
        return (await deployment.sentinel_db.get_local("operator") or {}).get("replay") == []

    await eventually(done)


async def test_forgotten_transitions_run_again_without_doubles(  # SEN-17, TRN-10
    deployment: Deployment, controls: Controls, preg: Preg
) -> None:
    await deployment.store(preg("r1"))
    await eventually(has_code(deployment, "r1"))

    async def noted() -> bool:
        info = await deployment.sentinel_db.find("r1-info") or {}
        return "registration" in (info.get("transitions") or {})

    await eventually(noted)
    report = await deployment.db.get("r1")
    await deployment.db.put({**report, "patient_id": None, "tasks": []})
    await ask_to_replay(deployment.sentinel_db, ["r1"], forget=True)
    await eventually(has_code(deployment, "r1"))

    again = await deployment.db.get("r1")
    assert again["patient_id"] == report["patient_id"]
    assert len(again["tasks"]) == 1
    assert len(await deployment.created_by("r1")) == 1


async def test_status_tells_what_is_the_matter(  # SEN-14, SEN-16, SEN-19
    deployment: Deployment, config: Config, clock: Clock
) -> None:
    assert not (await collect_status(deployment.db.couch, config, 0.0))["active"]
    lease = Lease(deployment.sentinel_db, "someone")
    await lease.acquire()
    job = {"last_run": "a", "next_run": "b", "duration_ms": 5, "error": "no"}
    state = {"errors": ["wrong"], "retries": 1, "failed": 2, "overdue_tasks": 3, "jobs": {"purging": job}}
    await deployment.sentinel_db.put_local(
        "worker-state", {**state, "outbound": {"emr": {"sent": 1, "failed": 2, "error": "r1: down", "given_up": 3}}}
    )
    failure = {"doc_id": "r9", "state": "failed", "attempts": 6, "error": "E", "next_attempt": None}
    await deployment.sentinel_db.put({"_id": "task:transition:r9", **failure})
    await deployment.store({"_id": "r1", "type": "data_record"})
    status = await collect_status(deployment.db.couch, config, lease.clock())

    assert status["active"]
    assert status["owner"] == "someone"
    assert status["backlog"] > 0
    text = "\n".join(lines(status))
    for words in ("someone", "wrong; no change", "1 waiting, 2 given up", "r9: E (6 attempts, given up)", "3 overdue"):
        assert words in text
    assert "purging: last a, failed: no; next b" in text
    assert "emr: 1 sent and 2 failed in the last run; 0 wait, 3 given up: r1: down" in text


async def outpost(config: Config, *arguments: str) -> tuple[int | None, str]:
    command = [sys.executable, "-m", "outpost", "sentinel", *arguments, "--couch-url", str(config.couch_url)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=dict(os.environ)
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode()


async def test_commands(  # SEN-17
    deployment: Deployment, config: Config, controls: Controls, preg: Preg
) -> None:
    await deployment.store(preg("r1"))
    await eventually(has_code(deployment, "r1"))

    code, output = await outpost(config, "status")
    assert code == 0
    assert "retries     0 waiting, 0 given up" in output
    assert await outpost(config, "pause") == (0, "changes wait\n")
    await eventually(state_is(deployment, paused=True))
    assert await outpost(config, "resume") == (0, "changes are processed\n")
    assert await outpost(config, "jobs") == (0, "all jobs run now\n")
    assert await outpost(config, "replay", "r1") == (0, "r1: processed\n")
    assert await outpost(config, "replay", "r1", "nobody") == (1, "nobody: there is no such document\nr1: processed\n")
    code, output = await outpost(config, "replay")
    assert (code, output) == (2, "outpost: replay needs the ids of documents: outpost sentinel replay DOC...\n")


async def test_signals_reach_a_worker_process(deployment: Deployment, config: Config) -> None:  # SEN-17
    command = [sys.executable, "-m", "outpost", "sentinel", "--couch-url", str(config.couch_url)]
    process = await asyncio.create_subprocess_exec(*command, env=dict(os.environ))
    try:
        await eventually(state_is(deployment, paused=False), within_s=30)
        process.send_signal(signal.SIGUSR1)
        await eventually(state_is(deployment, paused=True))
        process.send_signal(signal.SIGUSR2)
        process.send_signal(signal.SIGUSR1)
        await eventually(state_is(deployment, paused=False))
    finally:
        process.terminate()
        await process.wait()
