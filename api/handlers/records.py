"""Records made of an SMS text or of a form that was parsed already (EP-REC-1..15)."""

from __future__ import annotations

import logging
from typing import Any, NotRequired, TypedDict
from urllib.parse import parse_qsl

from aiohttp import web

from api.auth import require
from api.bodies import now_ms
from api.errors import MalformedJson
from api.incoming import INCOMING
from api.infodocs import note_writes
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.params import Param, parse_json
from api.responses import json_response
from core.couch.client import Doc, Row
from core.couch.errors import from_row
from core.errors import Conflict, DomainError
from core.records import record_from_json, record_from_message
from core.sms import record_id
from core.translations import Translations

log = logging.getLogger(__name__)

MOST_PARAMETERS = 100


LOCALE = Param(name="locale", about="the language of what the record says of itself; heeded by version 1")

MessageForm = TypedDict(
    "MessageForm",
    {
        "message": str,
        "from": str,
        "reported_date": NotRequired[str],
        "sent_timestamp": NotRequired[str],
        "locale": NotRequired[str],
        "gateway_ref": NotRequired[str],
    },
)
FormMeta = TypedDict(
    "FormMeta",
    {
        "form": str,
        "from": NotRequired[str],
        "reported_date": NotRequired[int | str],
        "locale": NotRequired[str],
    },
)


class ParsedForm(TypedDict):
    """The fields of a form by their names, and of which form they are."""

    _meta: FormMeta


class RecordStored(TypedDict):
    success: bool
    id: str


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_create_records",),
        query=(LOCALE,),
        body={"application/x-www-form-urlencoded": MessageForm, "application/json": ParsedForm},
        answers={200: RecordStored},
        errors=(500,),
    )
)
async def post_record(request: web.Request) -> web.Response:
    """POST /api/v2/records: store a report or message, answer `{"success": true, "id"}`.

    Form-encoded `message` and `from`, with `reported_date`, `locale`, `gateway_ref`; or the JSON of a form's fields
    with `_meta`. /api/v1/records takes `locale` in the query as well. Permission: can_create_records.
    A `gateway_ref` that came before changes nothing and is answered with its record's id (REC-7).
    What is wrong with the request is status 500, as the published API has it (DIV-22).
    """
    require(request, "can_create_records")
    locale = None
    if request.path.startswith("/api/v1/"):
        log.info("%s is deprecated: use /api/v2/records", request.path)  # EP-10
        locale = LOCALE.text(request)
    incoming = request.config_dict[INCOMING]
    translations = await incoming.translations()
    record = await read_record(request, translations, locale)
    doc_id = record.get("_id")
    if doc_id is None or await request.config_dict[DB].find(doc_id) is None:
        [row] = await incoming.save(request, [record], translations)
        doc_id = row["id"]
        check_stored(row, has_gateway_ref="_id" in record)
        note_writes(request, [doc_id])
    return json_response({"success": True, "id": doc_id})


def check_stored(row: Row, *, has_gateway_ref: bool) -> None:
    """Raise what kept a record from being stored; a message that came twice at once is stored (REC-7)."""
    failure = from_row(row)
    if failure is not None and not (has_gateway_ref and isinstance(failure, Conflict)):
        raise failure


async def read_record(request: web.Request, translations: Translations, locale: str | None) -> Doc:
    """The record of a body in one of the two content types; anything else is a bare 500 (EP-REC-2, EP-REC-8)."""
    options: dict[str, Any] = {
        "settings": request[REQUEST_SETTINGS],
        "translations": translations,
        "now_ms": now_ms(),
    }
    match request.headers.get("Content-Type", "").partition(";")[0].strip().lower():
        case "application/json":
            return record_from_json(parsed(await request.read()), locale=locale, **options)
        case "application/x-www-form-urlencoded":
            form = form_of(await request.read())
            gateway_ref = form.get("gateway_ref") or None
            record = record_from_message(
                form["message"],
                form["from"],
                sent_timestamp=form.get("reported_date", form.get("sent_timestamp")),  # DIV-11
                locale=form.get("locale") or locale,
                gateway_ref=gateway_ref,
                **options,
            )
            return {"_id": record_id(gateway_ref), **record} if gateway_ref else record
    raise DomainError


def parsed(body: bytes) -> Any:
    try:
        return parse_json(body)
    except MalformedJson as error:
        raise DomainError from error


def form_of(body: bytes) -> dict[str, str]:
    """The parameters of a form body, the first of each name. DomainError without `from` or `message` (EP-REC-5)."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
    except ValueError as error:
        raise DomainError from error
    form = dict(reversed(pairs))
    if "from" not in form:
        raise DomainError("Missing required value: from")
    if "message" not in form:
        raise DomainError("Missing required field: message")
    return form


ROUTES = [
    web.post("/api/v1/records", post_record),
    web.post("/api/v2/records", post_record),
]
