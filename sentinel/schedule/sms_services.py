"""Hosted SMS services that messages may be sent through: how each is asked, and what its answers mean (45 AGG-2..7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import httpx

from core.couch.client import Doc
from core.errors import InvalidInput
from core.settings import Settings
from core.sms_offers import OUR_GATEWAY, outgoing_service
from sentinel.schedule import calls
from sentinel.schedule.calls import Answer

# The whole request, and before it the connection: what fails there was not sent.
TIMEOUT = httpx.Timeout(10.0, connect=5.0, pool=5.0)
LONGEST_REASON = 200

# Nothing of the request went out, so that it may be repeated without harm.
NOT_SENT = (
    *(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol),
    UnicodeEncodeError,  # a secret that no header can hold
)


class NotSent(Exception):
    """The service did not take the message: to be tried again later."""


class OutOfService(NotSent):
    """The service takes no message at all now."""


class TooManyRequests(OutOfService):
    """The service wants to be left alone for now (429), `wait_s` seconds if it told."""

    def __init__(self, wait_s: float | None) -> None:
        super().__init__("the service answered 429, too many requests")
        self.wait_s = wait_s


class InDoubt(Exception):
    """The request went out and no answer tells whether the message was sent."""


@dataclass(frozen=True)
class Sent:
    """What the service made of a message: the state of its task, and the reference the service gave it."""

    state: str
    gateway_ref: str | None = None
    details: Doc | None = None


class SmsService(Protocol):
    """One service under one state of the settings."""

    name: ClassVar[str]
    credential: ClassVar[str]  # the key of its secret

    async def send(self, client: httpx.AsyncClient, secret: str, to: str, text: str) -> Sent:
        """Hand over one message; `to` is E.164 where the number is valid. Raises NotSent or InDoubt."""
        ...


@dataclass(frozen=True)
class AfricasTalking:
    """AGG-2."""

    name: ClassVar[str] = "africas-talking"
    credential: ClassVar[str] = "africastalking.com:outgoing"
    STATES: ClassVar[Mapping[int, str]] = {
        100: "forwarded-by-gateway",
        101: "sent",
        102: "received-by-gateway",
        401: "failed",
        403: "failed",
        404: "failed",
        406: "denied",
        407: "failed",
    }
    username: str
    sender: str | None
    url: str

    @classmethod
    def from_settings(cls, settings: Settings) -> AfricasTalking:
        section = settings.section("sms")
        own = section_of(section, "africas_talking")
        username = required(own, "africas_talking", "username")
        host = "api.sandbox.africastalking.com" if username == "sandbox" else "api.africastalking.com"
        url = str(own.get("url") or f"https://{host}/version1/messaging")
        return cls(username, str(section.get("reply_to") or "") or None, url)

    async def send(self, client: httpx.AsyncClient, secret: str, to: str, text: str) -> Sent:
        form = {"username": self.username, "to": to, "message": text, **({"from": self.sender} if self.sender else {})}
        answer = await ask(client, "POST", self.url, data=form, headers={"apikey": secret})
        refuse_failures(answer)
        body = answer.json
        data = body.get("SMSMessageData") if isinstance(body, dict) else None
        recipients = data.get("Recipients") if isinstance(data, dict) else None
        if not isinstance(recipients, list):
            raise InDoubt("the service answered something that is not its protocol")
        first = recipients[0] if recipients else None
        if not isinstance(first, dict):
            raise NotSent(f"the service took no recipient: {answer.text[:LONGEST_REASON]}")
        code = first.get("statusCode")
        state = self.STATES.get(code) if isinstance(code, int) else None
        if state is None:
            raise NotSent(f"the service answered {code}: {str(first.get('status'))[:LONGEST_REASON]}")
        reason = {"reason": str(first.get("status"))} if state in ("failed", "denied") else None
        return Sent(state, reference(first.get("messageId")), reason)


@dataclass(frozen=True)
class RapidPro:
    """AGG-4, AGG-5: one broadcast for each message, asked about until its state is final."""

    name: ClassVar[str] = "rapidpro"
    credential: ClassVar[str] = "rapidpro:outgoing"
    STATES: ClassVar[Mapping[str, str]] = {
        "queued": "received-by-gateway",
        "wired": "forwarded-by-gateway",
        "sent": "sent",
        "resent": "sent",
        "delivered": "delivered",
        "errored": "received-by-gateway",
        "failed": "failed",
    }
    url: str

    @classmethod
    def from_settings(cls, settings: Settings) -> RapidPro:
        return cls(required(section_of(settings.section("sms"), "rapidpro"), "rapidpro", "url").rstrip("/"))

    async def send(self, client: httpx.AsyncClient, secret: str, to: str, text: str) -> Sent:
        body = {"urns": [f"tel:{to}"], "text": text}
        answer = await ask(
            client, "POST", f"{self.url}/api/v2/broadcasts.json", json=body, headers=token_header("Token", secret)
        )
        if answer.status == 400:
            return Sent("failed", details={"reason": answer.text[:LONGEST_REASON]})
        refuse_failures(answer)
        broadcast = answer.json
        if not isinstance(broadcast, dict):
            raise InDoubt("the service answered something that is not its protocol")
        return Sent(self.state_of(broadcast), reference(broadcast.get("id")))

    async def status(self, client: httpx.AsyncClient, secret: str, gateway_ref: str) -> str | None:
        """The state of the first message of a broadcast; None when the service knows none. NotSent, InDoubt."""
        answer = await ask(
            client,
            "GET",
            f"{self.url}/api/v2/messages.json",
            params={"broadcast": gateway_ref},
            headers=token_header("Token", secret),
        )
        refuse_failures(answer)
        body = answer.json
        results = body.get("results") if isinstance(body, dict) else None
        first = results[0] if isinstance(results, list) and results else None
        return self.state_of(first) if isinstance(first, dict) else None

    def state_of(self, message: Mapping[str, Any]) -> str:
        status = message.get("status")
        return self.STATES.get(status, "received-by-gateway") if isinstance(status, str) else "received-by-gateway"


@dataclass(frozen=True)
class NepalDoit:
    """AGG-7: the gateway of Nepal's Department of Information Technology."""

    name: ClassVar[str] = "nepal-doit-sms"
    credential: ClassVar[str] = "nepal_doit_sms:outgoing"
    COUNTRY: ClassVar[str] = "+977"
    url: str

    @classmethod
    def from_settings(cls, settings: Settings) -> NepalDoit:
        return cls(required(section_of(settings.section("sms"), "nepal_doit_sms"), "nepal_doit_sms", "url"))

    async def send(self, client: httpx.AsyncClient, secret: str, to: str, text: str) -> Sent:
        body = {"mobile": to.removeprefix(self.COUNTRY), "message": text}
        answer = await ask(client, "POST", self.url, json=body, headers=token_header("Bearer", secret))
        if answer.status in (401, 422):
            return Sent("failed", details={"reason": answer.text[:LONGEST_REASON]})
        refuse_failures(answer)
        told = answer.json
        if isinstance(told, dict) and told.get("status") == 1:
            return Sent("sent")
        raise NotSent(f"the service answered {answer.text[:LONGEST_REASON]}")


SERVICES: Mapping[str, Any] = {each.name: each for each in (AfricasTalking, RapidPro, NepalDoit)}


def service_of(settings: Settings) -> SmsService | None:
    """The service that `sms.outgoing_service` names; None for the gateway app, which comes for its messages itself.

    InvalidInput when the name is unknown or a setting of the service is missing.
    """
    name = outgoing_service(settings)
    if name == OUR_GATEWAY:
        return None
    if not isinstance(name, str) or name not in SERVICES:
        known = ", ".join((OUR_GATEWAY, *SERVICES))
        raise InvalidInput(f"sms.outgoing_service: {name!r} is none of {known}")
    service: SmsService = SERVICES[name].from_settings(settings)
    return service


def section_of(section: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = section.get(name)
    return value if isinstance(value, dict) else {}


def required(section: Mapping[str, Any], service: str, name: str) -> str:
    value = section.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"sms.{service}.{name}: expected a text")
    return value.strip()


async def ask(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> Answer:
    """The answer, whatever its status. NotSent when nothing went out, InDoubt when no answer came back."""
    headers = {"accept": "application/json", **options.pop("headers", {})}
    try:
        answer = await calls.ask(client, method, url, headers=headers, **options)
    except NOT_SENT as error:
        raise OutOfService(f"the service cannot be reached: {type(error).__name__}") from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise InDoubt(f"the service did not answer: {type(error).__name__}") from error
    if answer.is_success and answer.content is None:
        raise InDoubt("the answer of the service did not come whole")
    return answer


def refuse_failures(answer: Answer) -> None:
    if answer.status == 429:
        wait = answer.headers.get("retry-after", "")
        raise TooManyRequests(float(wait) if wait.isascii() and wait.isdigit() else None)
    if not answer.is_success:
        raise OutOfService(f"the service answered {answer.status}")


def reference(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and value else None


def token_header(kind: str, secret: str) -> dict[str, str]:
    return {"authorization": f"{kind} {secret}"}
