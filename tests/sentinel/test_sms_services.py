"""Sending through hosted SMS services, small servers here: what is sent, once, and what answers do (45 §5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.config import Config
from core.couch.client import Couch, Doc
from core.credentials import store_credential
from core.errors import InvalidInput
from core.settings import Settings
from sentinel.schedule.message_states import MessageStates
from sentinel.schedule.outgoing_messages import IN_DOUBT, OutgoingMessages
from sentinel.schedule.sms_services import OutOfService, RapidPro, service_of
from sentinel.worker import run_worker
from tests.conftest import eventually
from tests.sentinel.conftest import Clock, Deployment

Answer = Callable[[Doc], web.StreamResponse | Awaitable[web.StreamResponse]]


class Service:
    """A hosted service: notes what comes, and answers with the next of `answers`, or as `usual` says."""

    def __init__(self) -> None:
        self.received: list[Doc] = []
        self.headers: list[Any] = []
        self.paths: list[str] = []
        self.answers: list[Answer] = []
        self.usual: Answer = lambda body: web.json_response({})
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        is_json = request.content_type == "application/json"
        body = dict(await request.json()) if is_json else dict(await request.post())
        self.received.append(body)
        self.headers.append(request.headers)
        self.paths.append(request.path_qs)
        answer = (self.answers.pop(0) if self.answers else self.usual)(body)
        return answer if isinstance(answer, web.StreamResponse) else await answer


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.answer)
    server = TestServer(app)
    await server.start_server()
    service.url = str(server.make_url("/")).rstrip("/")
    yield service
    await server.close()


class Sender:
    """The job under the settings of the moment, with a client of its own."""

    def __init__(self, deployment: Deployment, client: httpx.AsyncClient) -> None:
        self.deployment = deployment
        self.client = client
        self.outgoing = OutgoingMessages(deployment.db, deployment.clock)
        self.states = MessageStates(deployment.db, deployment.clock)

    async def send(self, secret: str | None = "s3cret", *, only_new: bool = False) -> dict[str, int]:
        settings = Settings.from_doc(await self.deployment.db.get("settings"))
        service = service_of(settings)
        assert service is not None

        async def find(key: str) -> str | None:
            assert key == service.credential
            return secret

        return await self.outgoing.send(service, settings, self.client, find, only_new=only_new)

    async def give_up(self) -> None:
        """Send to a service that does not answer, and wait for half a second only."""
        usual, self.client.timeout = self.client.timeout, httpx.Timeout(0.5)
        with pytest.raises(OutOfService, match="no answer"):
            await self.send()
        self.client.timeout = usual

    async def ask(self) -> int:
        settings = Settings.from_doc(await self.deployment.db.get("settings"))

        async def find(key: str) -> str | None:
            return "s3cret"

        return await self.states.ask(RapidPro.from_settings(settings), self.client, find)


@pytest.fixture
async def sender(deployment: Deployment) -> AsyncIterator[Sender]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield Sender(deployment, client)


def message(doc_id: str, *numbers: str, state: str = "pending", **members: Any) -> Doc:
    tasks = [
        {
            "messages": [{"uuid": f"{doc_id}-{at}", "to": number, "message": f"Hello {at}"}],
            "state": state,
            "state_history": [{"state": state, "timestamp": "2031-11-22T09:00:00.000Z"}],
            **members,
        }
        for at, number in enumerate(numbers)
    ]
    return {"_id": doc_id, "type": "data_record", "tasks": tasks}


async def task_of(deployment: Deployment, doc_id: str = "m1", at: int = 0) -> Doc:
    return dict((await deployment.db.get(doc_id))["tasks"][at])


async def use_africas_talking(deployment: Deployment, service: Service) -> None:
    own = {"username": "moh", "url": f"{service.url}/version1/messaging"}
    await deployment.configure(sms={"outgoing_service": "africas-talking", "reply_to": "MOH", "africas_talking": own})
    service.usual = lambda body: recipients({"statusCode": 101, "status": "Success", "messageId": f"AT-{body['to']}"})


def recipients(*entries: Doc) -> web.Response:
    return web.json_response({"SMSMessageData": {"Message": "Sent", "Recipients": list(entries)}}, status=201)


async def use_rapidpro(deployment: Deployment, service: Service) -> None:
    await deployment.configure(sms={"outgoing_service": "rapidpro", "rapidpro": {"url": service.url}})
    service.usual = lambda body: web.json_response({"id": 77, "status": "queued"}, status=201)


async def use_nepal_doit(deployment: Deployment, service: Service) -> None:
    own = {"url": f"{service.url}/api/sms"}
    await deployment.configure(
        default_country_code=977, sms={"outgoing_service": "nepal-doit-sms", "nepal_doit_sms": own}
    )
    service.usual = lambda body: web.json_response({"status": 1})


# --- which service ----------------------------------------------------------------------------------------------------


def test_gateway_app_is_the_service_unless_another_is_named() -> None:  # SMS-6
    assert service_of(Settings({})) is None
    assert service_of(Settings({"sms": {"outgoing_service": "medic-gateway"}})) is None


@pytest.mark.parametrize(
    ("sms", "expected"),
    [
        ({"outgoing_service": "pigeon"}, "sms.outgoing_service: 'pigeon' is none of medic-gateway, africas-talking"),
        ({"outgoing_service": "africas-talking"}, "sms.africas_talking.username: expected a text"),
        ({"outgoing_service": "rapidpro", "rapidpro": {"url": 5}}, "sms.rapidpro.url: expected a text"),
        ({"outgoing_service": "nepal-doit-sms"}, "sms.nepal_doit_sms.url: expected a text"),
    ],
)
def test_service_that_cannot_be_used_is_told(sms: Doc, expected: str) -> None:
    with pytest.raises(InvalidInput, match=expected):
        service_of(Settings({"sms": sms}))


@pytest.mark.parametrize(("username", "host"), [("moh", "api"), ("sandbox", "api.sandbox")])
def test_africas_talking_has_a_host_for_its_sandbox(username: str, host: str) -> None:  # AGG-2
    settings = Settings({"sms": {"outgoing_service": "africas-talking", "africas_talking": {"username": username}}})
    service: Any = service_of(settings)

    assert service.url == f"https://{host}.africastalking.com/version1/messaging"


async def test_nothing_is_sent_without_a_credential(sender: Sender, deployment: Deployment, service: Service) -> None:
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "+254711000111"))

    with pytest.raises(InvalidInput, match="there is no credential 'rapidpro:outgoing'"):  # AGG-1
        await sender.send(None)

    assert service.received == []
    assert (await task_of(deployment))["state"] == "pending"


# --- Africa's Talking -------------------------------------------------------------------------------------------------


async def test_africas_talking_gets_a_form(
    sender: Sender, deployment: Deployment, service: Service
) -> None:  # AGG-2, EP-SMS-23
    await use_africas_talking(deployment, service)
    await deployment.store(message("m1", "0711000111"))

    assert await sender.send() == {"sent": 1, "refused": 0, "in_doubt": 0}

    assert service.received == [{"username": "moh", "from": "MOH", "to": "+254711000111", "message": "Hello 0"}]
    assert (service.paths, service.headers[0]["apikey"]) == (["/version1/messaging"], "s3cret")
    task = await task_of(deployment)
    assert (task["state"], task["gateway_ref"]) == ("sent", "AT-+254711000111")
    assert [each["state"] for each in task["state_history"]] == ["pending", "forwarded-to-gateway", "sent"]


@pytest.mark.parametrize(
    ("code", "state"),
    [
        *((100, "forwarded-by-gateway"), (101, "sent"), (102, "received-by-gateway")),
        *((401, "failed"), (403, "failed"), (404, "failed"), (406, "denied"), (407, "failed")),
        *((402, "pending"), (405, "pending"), (500, "pending"), (501, "pending"), (502, "pending"), (999, "pending")),
    ],
)
async def test_status_codes_of_africas_talking(
    sender: Sender, deployment: Deployment, service: Service, code: int, state: str
) -> None:  # AGG-2
    await use_africas_talking(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    service.usual = lambda body: recipients({"statusCode": code, "status": "Because", "messageId": "AT-1"})

    await sender.send()

    task = await task_of(deployment)
    assert task["state"] == state
    if state in ("failed", "denied"):
        assert task["state_details"] == {"reason": "Because"}


# --- RapidPro ---------------------------------------------------------------------------------------------------------


async def test_rapidpro_gets_a_broadcast(sender: Sender, deployment: Deployment, service: Service) -> None:  # AGG-4
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "0711000111"))

    await sender.send()

    assert service.received == [{"urns": ["tel:+254711000111"], "text": "Hello 0"}]
    assert service.paths == ["/api/v2/broadcasts.json"]
    assert service.headers[0]["Authorization"] == "Token s3cret"
    task = await task_of(deployment)
    assert (task["state"], task["gateway_ref"]) == ("received-by-gateway", "77")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *(("queued", "received-by-gateway"), ("wired", "forwarded-by-gateway"), ("sent", "sent"), ("resent", "sent")),
        *(("delivered", "delivered"), ("errored", "received-by-gateway"), ("failed", "failed")),
        *(("anything", "received-by-gateway"), (None, "received-by-gateway")),
    ],
)
async def test_statuses_of_rapidpro(
    sender: Sender, deployment: Deployment, service: Service, status: Any, state: str
) -> None:  # AGG-4
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    service.usual = lambda body: web.json_response({"id": 77, "status": status}, status=201)

    await sender.send()

    assert (await task_of(deployment))["state"] == state


async def test_rapidpro_refusing_the_message_itself_has_failed(
    sender: Sender, deployment: Deployment, service: Service
) -> None:  # AGG-4
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "nonsense"))
    service.usual = lambda body: web.json_response({"urns": ["Invalid URN"]}, status=400)

    await sender.send()

    task = await task_of(deployment)
    assert task["state"] == "failed"
    assert "Invalid URN" in task["state_details"]["reason"]


async def test_rapidpro_is_asked_until_a_message_was_sent(
    sender: Sender, deployment: Deployment, service: Service
) -> None:  # AGG-5
    await use_rapidpro(deployment, service)
    statuses = {"/api/v2/messages.json?broadcast=77": "wired"}

    def answer(body: Doc) -> web.Response:
        return web.json_response({"results": [{"status": statuses[service.paths[-1]]}]})

    await deployment.store(message("m1", "+254711000111", state="received-by-gateway", gateway_ref="77"))
    await deployment.store(message("m2", "+254711000111", state="delivered", gateway_ref="78"))
    service.usual = answer

    assert await sender.ask() == 1
    assert (await task_of(deployment))["state"] == "forwarded-by-gateway"
    statuses["/api/v2/messages.json?broadcast=77"] = "delivered"
    await sender.ask()
    asked = len(service.paths)
    await sender.ask()

    task = await task_of(deployment)
    assert (task["state"], task["gateway_ref"]) == ("delivered", "77")
    assert len(service.paths) == asked


async def test_asking_ends_at_429_and_goes_on_later(
    sender: Sender, deployment: Deployment, service: Service
) -> None:  # AGG-5
    await use_rapidpro(deployment, service)
    docs = [
        message(f"m{n:03}", "+254711000111", "+254711000222", state="received-by-gateway", gateway_ref=f"{n}")
        for n in range(40)
    ]
    await deployment.store(*docs)
    sent = web.json_response
    service.answers = [lambda body: sent({"results": []})] * 30
    service.usual = lambda body: web.Response(status=429)

    with pytest.raises(OutOfService, match="429"):
        await sender.ask()

    assert len(service.paths) < 40
    service.usual = lambda body: web.json_response({"results": [{"status": "delivered"}]})
    await sender.ask()
    states = [(await task_of(deployment, f"m{n:03}"))["state"] for n in range(40)]
    assert states[-1] == "delivered"
    assert states[0] == "received-by-gateway"  # of the first run; its turn is in the next one
    await sender.ask()
    assert (await task_of(deployment, "m000"))["state"] == "delivered"


# --- Nepal ------------------------------------------------------------------------------------------------------------


async def test_nepal_doit_gets_the_number_without_its_country(
    sender: Sender, deployment: Deployment, service: Service
) -> None:  # AGG-7
    await use_nepal_doit(deployment, service)
    await deployment.store(message("m1", "9841234567"))

    await sender.send()

    assert service.received == [{"mobile": "9841234567", "message": "Hello 0"}]
    assert service.headers[0]["Authorization"] == "Bearer s3cret"
    assert (await task_of(deployment))["state"] == "sent"


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [(401, {}, "failed"), (422, {}, "failed"), (200, {"status": 0}, "pending"), (500, {}, "pending")],
)
async def test_answers_of_nepal_doit(
    sender: Sender, deployment: Deployment, service: Service, status: int, body: Doc, state: str
) -> None:  # AGG-7
    await use_nepal_doit(deployment, service)
    await deployment.store(message("m1", "+9779841234567"))
    service.usual = lambda _: web.json_response(body, status=status)
    try:
        await sender.send()
    except OutOfService:
        assert status == 500

    assert (await task_of(deployment))["state"] == state


# --- once -------------------------------------------------------------------------------------------------------------


async def test_every_message_is_sent_once_by_runs_side_by_side(
    sender: Sender, deployment: Deployment, service: Service
) -> None:
    await use_rapidpro(deployment, service)
    await deployment.store(*(message(f"m{n}", *(f"+2547110{n:02}{k:03}" for k in range(3))) for n in range(9)))
    other = Sender(deployment, sender.client)

    await asyncio.gather(sender.send(), other.send())
    await sender.send()

    numbers = [body["urns"][0] for body in service.received]
    assert len(numbers) == len(set(numbers)) == 27


async def test_message_whose_sender_died_is_not_sent_again(
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    arrived, dead = asyncio.Event(), asyncio.Event()

    async def hang(body: Doc) -> web.Response:
        arrived.set()
        await dead.wait()
        return web.Response(status=503)

    service.answers = [hang]
    run = asyncio.create_task(sender.send())
    await arrived.wait()
    for task in [each for each in asyncio.all_tasks() if "Run.send_group" in repr(each.get_coro())] + [run]:
        task.cancel()  # as if the process were killed: nothing more is written
    await asyncio.gather(run, return_exceptions=True)
    dead.set()

    restarted = Sender(deployment, sender.client)
    await restarted.send()
    assert (await task_of(deployment))["state"] == "forwarded-to-gateway"
    clock.move(minutes=3)
    await restarted.send()

    task = await task_of(deployment)
    assert (task["state"], task["state_details"]) == ("failed", {"reason": IN_DOUBT})
    assert len(service.received) == 1


async def test_service_that_gives_no_answer_leaves_the_message_in_doubt(
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    answer = asyncio.Event()

    async def hang(body: Doc) -> web.Response:
        await answer.wait()
        return web.Response(status=503)

    service.answers = [hang]
    await sender.give_up()
    answer.set()
    clock.move(minutes=3)
    await sender.send()

    assert (await task_of(deployment))["state_details"] == {"reason": IN_DOUBT}
    assert len(service.received) == 1


async def test_service_that_never_answers_puts_few_messages_in_doubt(
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", *(f"+2547110001{n:02}" for n in range(30))))
    answer = asyncio.Event()

    async def hang(body: Doc) -> web.Response:
        await answer.wait()
        return web.Response(status=503)

    usual, service.usual = service.usual, hang
    await sender.give_up()
    answer.set()
    service.usual = usual
    clock.move(minutes=3)
    await sender.send()

    states = [task["state"] for task in (await deployment.db.get("m1"))["tasks"]]
    assert (states.count("failed"), states.count("received-by-gateway")) == (5, 25)


async def test_message_offered_to_a_gateway_app_is_sent_when_a_service_takes_over(
    sender: Sender, deployment: Deployment, service: Service
) -> None:  # SMS-7
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "+254711000111", state="forwarded-to-gateway"))

    await sender.send()

    assert (await task_of(deployment))["gateway_ref"] == "77"


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_refused_message_stays_pending_with_the_reason_and_the_others_go_first(
    sender: Sender, deployment: Deployment, service: Service
) -> None:
    await use_africas_talking(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    service.answers = [lambda body: recipients({"statusCode": 402, "status": "InvalidSenderId"})]

    assert await sender.send() == {"sent": 0, "refused": 1, "in_doubt": 0}
    task = await task_of(deployment)
    assert (task["state"], len(task["state_history"])) == ("pending", 1)
    assert "InvalidSenderId" in task["state_details"]["reason"]

    assert await sender.send(only_new=True) == {"sent": 0, "refused": 0, "in_doubt": 0}
    await deployment.store(message("m2", *["+254711000222"] * 5))
    await sender.send()
    assert [body["to"] for body in service.received[-2:]] == ["+254711000222", "+254711000111"]
    assert (await task_of(deployment))["state"] == "sent"


async def test_message_refused_for_ever_fails_at_last(
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:  # SMS-11
    await use_africas_talking(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    service.usual = lambda body: recipients({"statusCode": 500, "status": "InternalServerError"})

    for _ in range(25):
        await sender.send()
        clock.move(hours=1.1)

    assert len(service.received) == 20
    assert (await task_of(deployment))["state_details"] == {"reason": "not taken by the service"}


async def test_outage_keeps_every_message_and_loads_nobody(
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", *(f"+2547110001{n:02}" for n in range(30))))
    usual, service.usual = service.usual, lambda body: web.Response(status=503)

    for _ in range(3):
        with pytest.raises(OutOfService, match="503"):
            await sender.send()
    assert len(service.received) == 15  # five at each run
    service.usual = usual
    clock.move(minutes=5)
    await sender.send()

    assert {task["state"] for task in (await deployment.db.get("m1"))["tasks"]} == {"received-by-gateway"}


async def test_service_that_is_not_there_is_tried_again(
    sender: Sender, deployment: Deployment, service: Service, unused_tcp_port: int
) -> None:
    await deployment.configure(
        sms={"outgoing_service": "rapidpro", "rapidpro": {"url": f"http://127.0.0.1:{unused_tcp_port}"}}
    )
    await deployment.store(message("m1", "+254711000111"))
    with pytest.raises(OutOfService, match="cannot be reached: ConnectError"):
        await sender.send()

    await use_rapidpro(deployment, service)
    await sender.send()

    assert (await task_of(deployment))["state"] == "received-by-gateway"


async def test_429_is_obeyed_for_as_long_as_it_says(
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:
    await use_rapidpro(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    service.answers = [lambda body: web.Response(status=429, headers={"Retry-After": "300"})]
    with pytest.raises(OutOfService, match="429"):
        await sender.send()

    clock.move(minutes=4)
    await sender.send()
    assert len(service.received) == 1
    clock.move(minutes=2)
    await sender.send()

    assert (await task_of(deployment))["state"] == "received-by-gateway"


async def test_429_is_not_obeyed_for_as_long_as_the_clock_was_ahead(  # AGG-2
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:
    await use_africas_talking(deployment, service)
    await deployment.store(message("m1", "+254711000111"))
    service.answers = [lambda body: web.Response(status=429)]
    clock.move(days=300)
    with pytest.raises(OutOfService, match="429"):
        await sender.send()
    clock.move(days=-300)

    assert (await sender.send())["sent"] == 1


async def test_expired_message_is_not_sent(
    sender: Sender, deployment: Deployment, service: Service, clock: Clock
) -> None:  # TSK-4
    own = {"outgoing_service": "rapidpro", "rapidpro": {"url": service.url}, "max_pending_age": "3 days"}
    await deployment.configure(sms=own)
    await deployment.store({**message("m1", "+254711000111"), "reported_date": clock.ms - 4 * 86_400_000})

    await sender.send()

    assert service.received == []
    assert (await task_of(deployment))["state_details"] == {"reason": "expired"}


# --- the worker -------------------------------------------------------------------------------------------------------


async def test_worker_sends_soon_after_a_message_was_stored(
    deployment: Deployment, couch: Couch, config: Config, service: Service, clock: Clock
) -> None:  # REC-6, AGG-1, EP-REC-14, EP-SMS-23
    await use_rapidpro(deployment, service)
    await store_credential(couch.db(config.db_name("vault")), "rapidpro:outgoing", "from the vault")
    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(config, stop, now=clock))
    try:
        await deployment.store(message("m1", "+254711000111"))

        async def is_sent() -> bool:
            return (await task_of(deployment))["state"] == "received-by-gateway"

        await eventually(is_sent)
    finally:
        stop.set()
        await worker

    assert service.headers[0]["Authorization"] == "Token from the vault"
