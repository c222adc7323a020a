"""What hosted SMS services bring: messages that came in, and what became of ours (EP-SMS-20..22)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict
from urllib.parse import parse_qsl

from aiohttp import web

from api.errors import InsufficientPrivileges
from api.handlers.sms import sms_exchange
from api.incoming import INCOMING
from api.infodocs import note_writes
from api.json_errors import always_json
from api.keys import CONFIG, COUCH, DB
from api.operations import Access, Operation, describe
from api.params import Param, parse_gateway_json, require_json
from api.responses import json_response
from core.credentials import find_credential
from core.errors import InvalidInput
from core.sms_reports import StateReport, apply_reports

AFRICAS_TALKING = "africastalking.com:incoming"
RAPIDPRO = "rapidpro:incoming"
FORM = "application/x-www-form-urlencoded"
MOST_PARAMETERS = 100
KEY = Param(name="key", about=f"the secret stored as `{AFRICAS_TALKING}`", required=True)

DELIVERY_STATES: Mapping[str, str] = {
    "Sent": "forwarded-by-gateway",
    "Submitted": "sent",
    "Buffered": "sent",
    "Success": "delivered",
    "Rejected": "failed",
    "Failed": "failed",
}

IncomingForm = TypedDict("IncomingForm", {"id": str, "from": str, "text": str})
IncomingMessage = TypedDict("IncomingMessage", {"id": str, "from": str, "content": str})


class DeliveryReport(TypedDict):
    id: str
    status: str
    failureReason: NotRequired[str]


class Saved(TypedDict):
    saved: int


@describe(
    Operation(access=Access.SERVICE, query=(KEY,), body={FORM: IncomingForm}, answers={200: Saved}, errors=(403,))
)
async def post_africas_talking_message(request: web.Request) -> web.Response:
    """POST /api/v1/sms/africastalking/incoming-messages: store a message that came in, once; `{"saved": 1}` or 0.

    For whoever knows the key. One that lacks `id`, `from` or `text` is not stored (SMS-17).
    """
    await check_secret(request, AFRICAS_TALKING, KEY.text(request))
    form = await read_form(request)
    message = {"id": form.get("id"), "from": form.get("from"), "content": form.get("text")}
    return json_response({"saved": await sms_exchange(request).store([message])})


@describe(
    Operation(access=Access.SERVICE, query=(KEY,), body={FORM: DeliveryReport}, answers={200: Saved}, errors=(403, 409))
)
async def post_africas_talking_report(request: web.Request) -> web.Response:
    """POST /api/v1/sms/africastalking/delivery-reports: what became of a message; `saved` counts changed documents.

    For whoever knows the key. A message that is not known, or known to have got further, changes nothing.
    """
    await check_secret(request, AFRICAS_TALKING, KEY.text(request))
    form = await read_form(request)
    reference, status = form.get("id") or "", form.get("status") or ""
    state = DELIVERY_STATES.get(status)
    if state is None:
        raise InvalidInput(f'Unknown status code: "{status}", gateway message reference: "{reference}"')
    reason = form.get("failureReason")
    report = StateReport(state, {"reason": reason} if reason else None, gateway_ref=reference)
    changed = await apply_reports(request.config_dict[DB], [report], request.config_dict[INCOMING].now)
    note_writes(request, changed)
    return json_response({"saved": len(changed)})


@describe(
    Operation(
        access=Access.SERVICE,
        body=IncomingMessage,
        answers={200: Saved},
        errors=(403,),
        headers={"Authorization": f"`Token` and the secret stored as `{RAPIDPRO}`"},
    )
)
async def post_rapidpro_message(request: web.Request) -> web.Response:
    """POST /api/v2/sms/rapidpro/incoming-messages: store a message that came in, `{"saved": 1}`.

    For whoever knows the token. 400 when nothing was stored: it came before, or lacks `id`, `from` or `content`.
    """
    if not request.can_read_body:
        raise InvalidInput("Request body is required")
    header = request.headers.get("Authorization")
    if not header:
        raise InsufficientPrivileges("Missing authorization token")
    kind, _, token = header.partition(" ")
    await check_secret(request, RAPIDPRO, token.strip() if kind.lower() == "token" else None)
    require_json(request)
    body = parse_gateway_json(await request.read())
    if not isinstance(body, dict):
        raise InvalidInput("The request body must be an object with id, from and content")
    message = {name: body.get(name) for name in ("id", "from", "content")}
    saved = await sms_exchange(request).store([message])
    if not saved:
        raise InvalidInput("Message was not saved")
    return json_response({"saved": saved})


async def check_secret(request: web.Request, name: str, given: str | None) -> None:
    """Whether the request brings the stored secret (EP-SMS-21, EP-SMS-22)."""
    vault = request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("vault"))
    expected = await find_credential(vault, name)
    if not expected:
        raise InsufficientPrivileges("No incoming key configured")
    if not hmac.compare_digest(expected.strip().encode(), (given or "").encode("utf-8", "surrogateescape")):
        raise InsufficientPrivileges("Incorrect token")


async def read_form(request: web.Request) -> dict[str, str]:
    """The parameters of a form body, the last of each name."""
    if request.content_type != FORM:
        raise InvalidInput(f"Content-Type must be {FORM}")
    try:
        pairs: list[tuple[str, Any]] = parse_qsl(
            (await request.read()).decode(), keep_blank_values=True, max_num_fields=MOST_PARAMETERS
        )
    except ValueError as error:
        raise InvalidInput(f"The request body cannot be read: {error}") from error
    return dict(pairs)


ROUTES = [
    web.post(path, always_json(handler))
    for path, handler in (
        ("/api/v1/sms/africastalking/incoming-messages", post_africas_talking_message),
        ("/api/v1/sms/africastalking/delivery-reports", post_africas_talking_report),
        ("/api/v2/sms/rapidpro/incoming-messages", post_rapidpro_message),
        ("/api/v1/sms/radpidpro/incoming-messages", post_rapidpro_message),
    )
]
