"""mark_for_outbound and the outbound job: what is sent where, in which order, and what becomes of failures (40 §12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.config import Config
from core.couch.client import Couch, Doc
from core.credentials import find_credential, store_credential
from core.errors import InvalidInput
from core.outbound import MappingError, payload_hash, payload_of
from core.settings import Settings
from sentinel.schedule.outbound import MOST_ATTEMPTS, MOST_UNANSWERED, push_queued
from sentinel.worker import run_worker
from tests.conftest import eventually
from tests.sentinel.conftest import Clock, Deployment

MINUTE = 60_000
MEGABYTE = b"x" * 1_000_000
MOST_MEGABYTES = 100

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Service:
    """Another system: notes what comes, and answers with the next of `answers`, 200 when there is none."""

    def __init__(self) -> None:
        self.received: list[tuple[str, Any, str | None]] = []
        self.answers: list[int] = []
        self.usual: Respond | None = None
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/login":
            form = await request.post()
            if form.get("password") != "hidden":
                return web.json_response({"statut": 401})
            return web.json_response({"statut": 200, "data": {"username_token": "t-1"}})
        self.received.append((request.path_qs, await request.json(), request.headers.get("Authorization")))
        if self.usual is not None:
            return await self.usual(request)
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    @property
    def bodies(self) -> list[Any]:
        return [body for _, body, _ in self.received]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_post("/{path:.*}", service.answer)
    server = TestServer(app)
    await server.start_server()
    service.url = str(server.make_url("/"))
    yield service
    await server.close()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


@pytest.fixture
def push(deployment: Deployment, client: httpx.AsyncClient) -> Callable[..., Awaitable[dict[str, Any]]]:
    """`await push()`: one run of the job."""

    async def run(**secrets: str) -> dict[str, Any]:
        async def secret(key: str) -> str | None:
            return secrets.get(key)

        settings = Settings.from_doc(await deployment.db.get("settings"))
        return await push_queued(deployment.db, deployment.sentinel_db, settings, client, secret, deployment.clock)

    return run


Push = Callable[..., Awaitable[dict[str, Any]]]


async def configure(deployment: Deployment, service: Service, **members: Any) -> None:
    entry = {
        "relevant_to": "doc.type === 'data_record' && doc.form === 'EMR'",
        "destination": {"base_url": service.url, "path": "/push"},
        "mapping": {"id": "doc._id", "n": {"path": "doc.fields.n", "optional": True}},
        **members,
    }
    await deployment.configure(transitions={"mark_for_outbound": True}, outbound={"emr": entry})


def report(doc_id: str, **fields: Any) -> Doc:
    return {"_id": doc_id, "type": "data_record", "form": "EMR", "content_type": "xml", "fields": fields}


async def queued(deployment: Deployment, doc_id: str = "r1") -> Doc | None:
    return await deployment.sentinel_db.find(f"task:outbound:{doc_id}")


# --- payload ----------------------------------------------------------------------------------------------------------


async def test_example_of_the_specification() -> None:  # OUT-1, V-3
    doc = {"fields": {"patient_id": "12345", "temp_f": 100}, "contact": {"_id": "c1"}}
    mapping = {
        "patient_id": "doc.fields.patient_id",
        "event.temp_c": {"expr": "((doc.fields.temp_f-32)/1.8).toFixed(1)"},
        "event.note": {"path": "doc.fields.note", "optional": True},
    }

    assert await payload_of(doc, {"mapping": mapping}) == {"patient_id": "12345", "event": {"temp_c": "37.8"}}


def test_hash_of_the_specification() -> None:  # V-3, OUT-5
    payload = {"patient_id": "12345", "event": {"temp_c": "37.8", "list": [{"b": 1, "a": 2}]}}

    assert payload_hash(payload) == "2d0fe5e0f0cbbd07266fc2af8a60f4ddd531a155ad853057933979b5325ae368"
    assert payload_hash({"a": 37.0}) == payload_hash({"a": 37})


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("doc.missing", "mapping.x: the document has no value"),
        ({"expr": "doc.missing"}, "mapping.x: the document has no value"),
        ({"expr": "doc.a.b.c", "optional": True}, "mapping.x: TypeError"),
        ({"optional": True}, "mapping.x: expected a path"),
        (5, "mapping.x: expected a path"),
    ],
)
async def test_mapping_that_cannot_be_filled_is_an_error(rule: Any, expected: str) -> None:  # OUT-1
    with pytest.raises(MappingError, match=expected):
        await payload_of({"null": None}, {"mapping": {"x": rule}})


async def test_null_is_a_value_and_undefined_is_left_out() -> None:  # OUT-1
    mapping = {"a": "doc.null", "b": {"expr": "undefined", "optional": True}, "c": {"expr": "null"}}

    assert await payload_of({"null": None}, {"mapping": mapping}) == {"a": None, "c": None}


# --- queue and delivery -----------------------------------------------------------------------------------------------


async def test_relevant_document_is_pushed_and_noted(  # TR-OUT-1, TR-OUT-2, OUT-2, OUT-4, OUT-6
    deployment: Deployment, service: Service, push: Push, clock: Clock
) -> None:
    await configure(deployment, service)
    doc = await deployment.processed(report("r1", n=1))
    await deployment.processed({"_id": "other", "type": "data_record", "form": "X"})
    assert await queued(deployment, "other") is None
    entry = await queued(deployment)
    assert entry is not None
    assert {name: entry[name] for name in ("type", "doc_id", "queue", "created")} == {
        "type": "task:outbound",
        "doc_id": "r1",
        "queue": ["emr"],
        "created": clock.ms,
    }  # MOD-101

    assert (await push())["emr"]["sent"] == 1
    assert service.received == [("/push", {"id": "r1", "n": 1}, None)]
    assert await queued(deployment) is None
    [task] = (await deployment.info("r1"))["completed_tasks"]
    assert task == {
        "type": "outbound",
        "name": "emr",
        "timestamp": clock.ms,
        "hash": payload_hash({"id": "r1", "n": 1}),
    }
    assert doc["_rev"].startswith("1-")


async def test_same_payload_is_not_sent_again(deployment: Deployment, service: Service, push: Push) -> None:  # OUT-4
    await configure(deployment, service)
    doc = await deployment.processed(report("r1", n=1))
    await push()
    doc = await deployment.processed({**doc, "elsewhere": True})
    await push()
    assert (len(service.received), await queued(deployment)) == (1, None)

    await deployment.processed({**doc, "fields": {"n": 2}})
    await push()
    assert [body["n"] for body in service.bodies] == [1, 2]


async def test_document_is_sent_as_it_is_now(deployment: Deployment, service: Service, push: Push) -> None:  # OUT-8
    await configure(deployment, service)
    doc = await deployment.processed(report("r1", n=1))
    await deployment.store({**doc, "fields": {"n": 2}})
    await push()

    assert service.bodies == [{"id": "r1", "n": 2}]


async def test_deleted_document_leaves_the_queue(deployment: Deployment, service: Service, push: Push) -> None:  # OUT-6
    await configure(deployment, service)
    doc = await deployment.processed(report("r1", n=1))
    await deployment.db.delete("r1", doc["_rev"])
    await push()

    assert (service.received, await queued(deployment)) == ([], None)


async def test_failures_wait_longer_and_longer(  # OUT-6, OUT-9
    deployment: Deployment, service: Service, push: Push, clock: Clock
) -> None:
    await configure(deployment, service)
    await deployment.processed(report("r1", n=1))
    service.answers = [500, 400, 200]
    waits = []
    while (await push()) and (entry := await queued(deployment)):
        attempt = entry["attempts"]["emr"]
        waits.append((attempt["next_attempt"] - clock.ms) // MINUTE)
        assert (await push())["emr"]["sent"] == 0
        clock.move(minutes=waits[-1])

    assert waits == [5, 10]
    assert len(service.received) == 3


async def test_what_is_given_up_is_told(  # OUT-9
    deployment: Deployment, service: Service, push: Push, clock: Clock
) -> None:
    await configure(deployment, service)
    await deployment.processed(report("r1", n=1))
    service.answers = [500] * MOST_ATTEMPTS
    told = []
    for _ in range(MOST_ATTEMPTS + 1):
        told.append((await push())["emr"])
        clock.move(hours=6)

    assert told[0] == {"sent": 0, "failed": 1, "error": "r1: the service answered 500", "waiting": 1}
    assert told[-1] == {"sent": 0, "failed": 0, "error": "r1: the service answered 500", "given_up": 1}
    await deployment.processed({**await deployment.db.get("r1"), "fields": {"n": 2}})
    assert await push() == {"emr": {"sent": 1, "failed": 0, "error": None}}


async def test_clock_that_was_ahead_puts_no_push_off(  # OUT-9
    deployment: Deployment, service: Service, push: Push, clock: Clock
) -> None:
    await configure(deployment, service)
    await deployment.processed(report("r1"))
    service.answers = [500]
    clock.move(days=300)
    await push()
    clock.move(days=-300)

    assert (await push())["emr"]["sent"] == 1


async def test_new_revision_is_tried_at_once(deployment: Deployment, service: Service, push: Push) -> None:  # OUT-9
    await configure(deployment, service)
    doc = await deployment.processed(report("r1", n=1))
    service.answers = [400]
    await push()
    await deployment.processed({**doc, "fields": {"n": 2}})
    await push()

    assert [body["n"] for body in service.bodies] == [1, 2]


async def test_revision_queued_during_a_push_is_not_lost(  # OUT-7
    deployment: Deployment, service: Service, push: Push
) -> None:
    await configure(deployment, service)
    doc = await deployment.processed(report("r1", n=1))
    edited = False

    async def edit_meanwhile(key: str) -> str | None:
        nonlocal edited
        if not edited:
            edited = True
            await deployment.processed({**doc, "fields": {"n": 2}})
        return "token"

    auth = {"type": "header", "name": "Authorization", "value_key": "k"}
    await configure(deployment, service, destination={"base_url": service.url, "path": "push", "auth": auth})
    settings = Settings.from_doc(await deployment.db.get("settings"))
    async with httpx.AsyncClient(timeout=30) as client:
        for _ in range(2):
            await push_queued(deployment.db, deployment.sentinel_db, settings, client, edit_meanwhile, deployment.clock)

    assert [body["n"] for body in service.bodies] == [1, 2]
    assert await queued(deployment) is None


async def test_documents_keep_the_order_in_which_they_were_queued(  # OUT-9
    deployment: Deployment, service: Service, push: Push, clock: Clock
) -> None:
    await configure(deployment, service)
    for doc_id in ("z", "m", "a"):
        clock.move(seconds=1)
        await deployment.processed(report(doc_id))
    await push()

    assert [body["id"] for body in service.bodies] == ["z", "m", "a"]


async def test_service_that_hangs_is_left_alone_and_others_get_theirs(  # OUT-9
    deployment: Deployment, service: Service, push: Push
) -> None:
    await configure(deployment, service)
    dead = {"relevant_to": "true", "destination": {"base_url": "http://127.0.0.1:1"}, "mapping": {"id": "doc._id"}}
    outbound = {**(await deployment.db.get("settings"))["settings"]["outbound"], "dead": dead}
    await deployment.configure(outbound=outbound)
    await deployment.store(*(report(f"r{number}") for number in range(6)))
    await deployment.process()
    summary = await push()

    assert summary["dead"]["failed"] == MOST_UNANSWERED
    assert "cannot be reached" in summary["dead"]["error"]
    assert len(service.received) == 6


async def test_name_that_is_not_configured_any_more_is_dropped(  # OUT-7
    deployment: Deployment, service: Service, push: Push, caplog: pytest.LogCaptureFixture
) -> None:
    await configure(deployment, service)
    await deployment.sentinel_db.put(
        {"_id": "task:outbound:r1", "type": "task:outbound", "doc_id": "r1", "created": 1, "queue": ["old", "emr"]}
    )
    await deployment.store(report("r1"))
    await push()

    assert "old of r1 is not configured any more" in caplog.text
    assert await queued(deployment) is None


async def garbage(request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"})


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)
    return response


@pytest.mark.parametrize("answer", [garbage, dripping])
async def test_what_was_taken_is_not_sent_again_for_an_odd_answer(  # OUT-2
    deployment: Deployment, service: Service, push: Push, client: httpx.AsyncClient, answer: Respond
) -> None:
    await configure(deployment, service)
    await deployment.processed(report("r1"))
    service.usual, client.timeout = answer, httpx.Timeout(1)
    summary = await push()

    assert summary["emr"] == {"sent": 1, "failed": 0, "error": None}
    assert await queued(deployment) is None


async def test_long_answer_is_not_read_to_its_end(  # OUT-2
    deployment: Deployment, service: Service, push: Push
) -> None:
    written, ended = 0, asyncio.Event()

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while written < MOST_MEGABYTES:
                await response.write(MEGABYTE)
                written += 1
        except ConnectionError:
            pass
        finally:
            ended.set()
        return response

    await configure(deployment, service)
    await deployment.processed(report("r1"))
    service.usual = flood
    await push()
    await ended.wait()

    assert written < MOST_MEGABYTES
    assert await queued(deployment) is None


async def test_secret_that_no_header_can_hold_fails_alone(  # OUT-3, OUT-9
    deployment: Deployment, service: Service, push: Push
) -> None:
    await configure(deployment, service)
    auth = {"type": "header", "name": "Authorization", "value_key": "k"}
    odd = {"relevant_to": "true", "destination": {"base_url": service.url, "auth": auth}, "mapping": {"id": "doc._id"}}
    outbound = {**(await deployment.db.get("settings"))["settings"]["outbound"], "odd": odd}
    await deployment.configure(outbound=outbound)
    await deployment.processed(report("r1"))
    summary = await push(k="schlüssel…")

    assert summary["emr"]["sent"] == 1
    assert "no header can hold" in summary["odd"]["error"]


@pytest.mark.parametrize(("cron", "sent"), [("3 10 * * *", 1), ("30 10 * * *", 0), ("nonsense", 0)])
async def test_push_with_cron_waits_for_its_time(  # OUT-6, TR-OUT-1
    deployment: Deployment, service: Service, push: Push, cron: str, sent: int
) -> None:
    await configure(deployment, service, cron=cron)
    await deployment.processed(report("r1"))
    await push()

    assert len(service.received) == sent


# --- logins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "path", "header"),
    [
        ({"type": "Basic", "username": "u", "password_key": "k"}, "/push", "Basic dTpoaWRkZW4="),
        ({"type": "header", "name": "Authorization", "value_key": "k"}, "/push", "hidden"),
        ({"type": "muso-sih", "username": "u", "password_key": "k", "path": "/login"}, "/push?token=t-1", None),
    ],
)
async def test_logins(  # OUT-3
    deployment: Deployment, service: Service, push: Push, auth: Doc, path: str, header: str | None
) -> None:
    await configure(deployment, service, destination={"base_url": service.url, "path": "push", "auth": auth})
    await deployment.processed(report("r1"))
    await push(k="hidden")

    assert service.received == [(path, {"id": "r1"}, header)]


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"type": "basic", "username": "u", "password_key": "none"}, "there is no credential 'none'"),
        ({"type": "header", "name": "X-Key", "value_key": "k"}, "must be `Authorization`"),
        ({"type": "muso-sih", "username": "u", "password_key": "k", "path": "login"}, "was refused"),
        ({"username": "u"}, "must be basic, header or muso-sih"),
        ({"type": "oauth"}, "must be basic, header or muso-sih"),
    ],
)
async def test_wrong_login_sends_nothing(  # OUT-3
    deployment: Deployment, service: Service, push: Push, auth: Doc, message: str
) -> None:
    await configure(deployment, service, destination={"base_url": service.url, "path": "push", "auth": auth})
    await deployment.processed(report("r1"))
    summary = await push(k="wrong")

    assert service.received == []
    assert message in summary["emr"]["error"]


async def test_secrets_are_sealed_in_the_vault(couch: Couch, config: Config) -> None:  # OUT-3, MOD-99
    vault = couch.db(config.db_name("vault"))
    await store_credential(vault, "emr:outgoing", "hidden")
    stored = await vault.get("credential:emr%3Aoutgoing")

    assert "hidden" not in str(stored)
    assert await find_credential(vault, "emr:outgoing") == "hidden"
    assert await find_credential(vault, "none") is None
    sealed = stored["password"]
    await vault.put({**stored, "password": sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]})
    with pytest.raises(InvalidInput, match="store it again"):
        await find_credential(vault, "emr:outgoing")


async def test_running_worker_pushes_at_once(  # TR-OUT-1
    deployment: Deployment, service: Service, config: Config, clock: Clock
) -> None:
    await configure(deployment, service)
    stop = asyncio.Event()
    task = asyncio.create_task(run_worker(config, stop, now=clock))

    async def arrived() -> bool:
        return bool(service.received)

    async def told() -> Any:
        state = await deployment.sentinel_db.get_local("worker-state") or {}
        return (state.get("outbound") or {}).get("emr")

    await deployment.store(report("r1", n=7))
    await eventually(arrived)
    assert (await eventually(told))["sent"] == 1
    stop.set()
    await asyncio.wait_for(task, 30)
