"""The protocol of SMS gateways: messages in, reports on those sent, messages out (EP-SMS-1..9)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import wraps
from typing import Any, NotRequired, TypedDict

import orjson
from aiohttp import web

from api.auth import require
from api.errors import Handler, error_middleware, render
from api.incoming import INCOMING
from api.infodocs import note_writes
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.params import parse_gateway_json, require_json
from api.responses import json_response
from core.couch.client import Doc, Row
from core.errors import DomainError, InvalidInput
from core.sms import SmsExchange
from core.translations import Translations

Gateway = TypedDict("Gateway", {"medic-gateway": bool})


class Exchange(TypedDict):
    """What a gateway brings: messages that came in, and what became of those it was given."""

    messages: NotRequired[list[Any] | None]
    updates: NotRequired[list[Any] | None]


class MessageToSend(TypedDict):
    id: str
    to: str
    content: str


class MessagesToSend(TypedDict):
    messages: list[MessageToSend]


@describe(Operation(access=Access.ACCOUNT, permissions=("can_access_gateway_api",), answers={200: Gateway}))
async def get_gateway(request: web.Request) -> web.Response:
    """GET /api/sms: tells a gateway that address and login are right. Permission: can_access_gateway_api."""
    require(request, "can_access_gateway_api")
    return json_response({"medic-gateway": True})


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_access_gateway_api",),
        body=Exchange,
        answers={200: MessagesToSend},
        errors=(409,),
    )
)
async def post_exchange(request: web.Request) -> web.Response:
    """POST /api/sms: store `messages`, apply `updates`, answer `{"messages": [{id, to, content}]}` to be sent.

    Answered when all is stored; after any failure the gateway sends everything again, and may.
    Permission: can_access_gateway_api.
    """
    require_json(request)
    user = require(request, "can_access_gateway_api")
    body = parse_gateway_json(await request.read() or b"null")
    if not isinstance(body, dict):
        raise InvalidInput("The body must be an object with the lists messages and updates")
    exchange = sms_exchange(request)
    messages = await exchange.exchange(body.get("messages"), body.get("updates"))
    await request.config_dict[INCOMING].visits.note(user.name)
    return json_response({"messages": messages})


def sms_exchange(request: web.Request) -> SmsExchange:
    """The exchange under the settings this request began with."""
    incoming, settings = request.config_dict[INCOMING], request[REQUEST_SETTINGS]

    async def process(docs: list[Doc], translations: Translations) -> list[Row]:
        rows = await incoming.save(request, docs, translations)
        note_writes(request, (row["id"] for row in rows if "error" not in row))
        return rows

    def note_changed(doc_ids: Iterable[str]) -> None:
        note_writes(request, doc_ids)

    return SmsExchange(request.config_dict[DB], settings, incoming.translations, incoming.now, process, note_changed)


def render_for_gateway(request: web.Request, error: DomainError) -> web.Response:
    """The API's own rendering, with the `message` that the gateway's app shows (EP-SMS-9)."""
    response = render(request, error)
    if response.content_type != "application/json" or not isinstance(response.body, bytes):
        return response
    response.body = orjson.dumps({**orjson.loads(response.body), "message": error.message})
    return response


answer_errors = error_middleware(render_for_gateway)


def for_gateway(handler: Handler) -> Handler:
    @wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = await answer_errors(request, handler)
        return response

    return answer


ROUTES = [
    web.route(method, path, for_gateway(handler))
    for path in ("/api/sms", "/api/sms/")
    for method, handler in (("GET", get_gateway), ("POST", post_exchange))
]
