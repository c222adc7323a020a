"""What throws for ever, never returns or never answers holds nothing up, and can be seen (40 SEN-14, SEN-16)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from api.metrics import Metrics
from core.config import Config
from core.couch.client import Couch, Doc
from outpost.console import lines
from sentinel.controls import Controls
from sentinel.status import collect_status
from sentinel.worker import run_worker
from tests.conftest import eventually
from tests.sentinel.conftest import SETTINGS, Clock, Deployment, texts

Preg = Callable[..., Doc]
Seen = Callable[[], Awaitable[tuple[Doc, str, Doc]]]


@pytest.fixture
async def controls(deployment: Deployment, config: Config, clock: Clock) -> AsyncIterator[Controls]:
    """Of a running worker."""
    controls = Controls()
    config = replace(config, push_timeout_s=0.3, purge_timeout_s=0.3)
    work = run_worker(config, asyncio.Event(), now=clock, due_interval_s=0.1, controls=controls)
    task = asyncio.create_task(work)
    yield controls
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def seen(couch: Couch, config: Config) -> Seen:
    """The status, the same as people read it, and what monitoring says of the worker."""

    async def look() -> tuple[Doc, str, Doc]:
        status = await collect_status(couch, config, 0)
        metrics = await Metrics(couch, config).collect()
        return status, "\n".join(lines(status)), {**metrics["sentinel"], "pushes": metrics["outbound_push"]["backlog"]}

    return look


def processed(deployment: Deployment, doc_id: str) -> Callable[[], Awaitable[Any]]:
    async def check() -> Any:
        return (await deployment.db.get(doc_id)).get("patient_id")

    return check


@pytest.fixture
async def alert(deployment: Deployment) -> None:
    """An alert whose condition throws on a report with an `odd` member that is empty."""
    entry = {"form": "PREG", "condition": "doc.odd && doc.odd.no.such", "recipient": "+254700000009", "message": "Odd"}
    await deployment.configure(transitions={**SETTINGS["transitions"], "conditional_alerts": True}, alerts=[entry])


@pytest.mark.usefixtures("alert")
async def test_document_on_which_a_transition_always_throws_is_tried_again_and_given_up(  # SEN-14, TRN-8
    deployment: Deployment, preg: Preg, clock: Clock
) -> None:
    await deployment.store(preg("odd", odd={}), preg("good", name="Bina"))
    await deployment.process()
    stored = await deployment.sentinel_db.get("task:transition:odd")

    assert (await deployment.db.get("good"))["patient_id"]
    assert "conditional_alerts" in stored["error"]
    [person] = await deployment.created_by("odd")
    while deployment.retries.waiting:
        clock.move(hours=1)
        await deployment.processor().retry(await deployment.transitions())
        await deployment.process()
    assert deployment.retries.failed == {"odd"}
    assert [each["_id"] for each in await deployment.created_by("odd")] == [person["_id"]]


@pytest.mark.usefixtures("alert")
async def test_document_that_was_mended_is_processed_to_its_end(deployment: Deployment, preg: Preg) -> None:  # SEN-14
    await deployment.store(preg("odd", odd={}))
    await deployment.process()
    await deployment.store({**await deployment.db.get("odd"), "odd": {"no": {"such": True}}})
    await deployment.process()

    assert texts(await deployment.db.get("odd"))[1:] == ["Odd"]
    assert await deployment.sentinel_db.find("task:transition:odd") is None


@pytest.mark.usefixtures("alert", "controls")
async def test_throwing_document_is_seen_while_the_rest_goes_on(deployment: Deployment, seen: Seen, preg: Preg) -> None:
    await deployment.store(preg("odd", odd={}), preg("good", name="Bina"))
    await eventually(processed(deployment, "good"))

    async def told() -> Any:
        status, text, monitoring = await seen()
        return status["retries"] == monitoring["retries"] == 1 and "odd: Transition error on conditional_alerts" in text

    await eventually(told)


async def test_settings_that_break_a_transition_are_seen_and_nothing_is_lost(  # SEN-16, SEN-5
    deployment: Deployment, controls: Controls, seen: Seen, preg: Preg
) -> None:
    wrong = {**SETTINGS["registrations"][0], "validations": {"list": [{"property": "x", "rule": "min("}]}}
    await deployment.configure(registrations=[wrong])

    async def told() -> Any:
        status, text, monitoring = await seen()
        return status["errors"] and monitoring["transitions_disabled"] and "until this is corrected" in text

    await eventually(told)
    await deployment.store(preg("r1"))
    await deployment.configure(registrations=SETTINGS["registrations"])

    await eventually(processed(deployment, "r1"))
    assert (await seen())[2]["transitions_disabled"] is False


async def test_purge_function_that_never_returns_is_seen_while_the_rest_goes_on(  # PRG-10
    deployment: Deployment, controls: Controls, seen: Seen, preg: Preg, clock: Clock, make_user: Any
) -> None:
    await make_user("asha", roles=["chw"], facility_id="c1", contact_id="chw")

    async def job(name: str) -> Any:
        return (await seen())[0]["jobs"].get("purging", {}).get(name)

    async def refused(wanted: bool) -> bool:
        return bool((await seen())[0]["errors"]) is wanted

    await eventually(lambda: job("last_run"))
    await deployment.configure(transitions={"nonsense": True})
    await eventually(lambda: refused(True))
    await deployment.sentinel_db.put_local("purging", {"checked": clock.ms})
    endless = {"fn": "function () { while (true) {} }", "cron": "0 * * * *"}
    right = {"transitions": SETTINGS["transitions"], "roles": {"chw": {"offline": True}}, "purge": endless}
    await deployment.configure(**right)
    await eventually(lambda: refused(False))  # the function is in force
    clock.move(hours=1)
    controls.run_jobs()
    await deployment.store(preg("r1", name="Bina"))
    await eventually(processed(deployment, "r1"))
    error = await eventually(lambda: job("error"))

    status, text, monitoring = await seen()
    assert "purge.fn" in error
    assert "failed: purge.fn" in text
    assert monitoring["failed_jobs"] == 1
    assert status["retries"] == 0


@pytest.fixture
async def dripping() -> AsyncIterator[str]:
    """A service that answers for ever, a little at a time, and never says how it went."""
    ended = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Patience: ")
        while not ended.is_set() and not writer.is_closing():
            writer.write(b".")
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), 0.1)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ended.set()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def dripping_push(deployment: Deployment, dripping: str) -> None:
    """A push of the reports of one form to that service."""
    entry = {"relevant_to": "doc.form === 'EMR'", "destination": {"base_url": dripping}, "mapping": {"id": "doc._id"}}
    enabled = {**SETTINGS["transitions"], "mark_for_outbound": True}
    await deployment.configure(transitions=enabled, outbound={"emr": entry})


@pytest.mark.usefixtures("dripping_push", "controls")
async def test_service_that_never_ends_its_answer_is_seen_while_the_rest_goes_on(  # OUT-2, OUT-9
    deployment: Deployment, seen: Seen, preg: Preg, clock: Clock
) -> None:
    report = {"_id": "r1", "type": "data_record", "form": "EMR", "content_type": "xml"}
    await deployment.store(report, preg("good", name="Bina"))
    await eventually(processed(deployment, "good"))

    async def told() -> Any:
        _, text, monitoring = await seen()
        waits = monitoring["pushes"] == 1  # OUT-10
        return waits and "0 given up: r1: the service did not answer in time" in text

    await eventually(told)
    queued = await deployment.sentinel_db.get("task:outbound:r1")
    assert queued["attempts"]["emr"]["next_attempt"] > clock.ms
