"""What administrators take out of a deployment as one file, written as it is read: 30 §2."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from aiohttp import web

from api.auth import current_user, require_any
from api.bracket_query import nested_query
from api.errors import InsufficientPrivileges
from api.export_search import hits_of
from api.incoming import INCOMING
from api.keys import CONFIG, COUCH, DB, NOW, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.params import Param, parse_json, require_json
from api.responses import Stream, accepts
from api.search.tokens import Kind as SearchKind
from core.dates import local_zone
from core.errors import DomainError, InvalidInput, NotFound
from core.exports.asked import Asked, Export, Options
from core.exports.contacts import export_contacts
from core.exports.devices import export_devices
from core.exports.dhis import export_dhis
from core.exports.feedback import export_feedback
from core.exports.messages import export_messages
from core.exports.reports import export_reports
from sentinel.transitions.conditions import valid_registrations

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """A kind of export: the permission beside `can_export_all`, and what makes it."""

    permission: str
    make: Callable[[Asked], Awaitable[Export]]


KINDS: Mapping[str, Kind] = {
    "contacts": Kind("can_export_contacts", export_contacts),
    "dhis": Kind("can_export_dhis", export_dhis),
    "feedback": Kind("can_export_feedback", export_feedback),
    "messages": Kind("can_export_messages", export_messages),
    "reports": Kind("can_export_messages", export_reports),
    "user-devices": Kind("can_export_devices_details", export_devices),
}

FILTERS = Param(name="filters", about="which, as `filters[forms][selected][0][code]=visit`", schema={"type": "object"})
OPTIONS = Param(
    name="options",
    about="how, as `options[humanReadable]=true`: `humanReadable`, `csv` (rfc4180), `format`, `limit`",
    schema={"type": "object"},
)
FORMAT = Param(name="format", about="contacts: `csv` in place of JSON; feedback: `csv` or `xml`")

LOCALE = Param(name="locale", about="feedback: of the titles of columns; default `en`")
ZONE = Param(name="tz", about="feedback: minutes from GMT of its dates, such as -120")
SKIP_HEADER = Param(name="skip_header_row", about="feedback: `true` for no titles of columns")
FEEDBACK = (LOCALE, ZONE, SKIP_HEADER)


class ExportBody(TypedDict):
    """What a POST has in place of the query."""

    filters: NotRequired[dict[str, Any]]
    options: NotRequired[dict[str, Any]]


EXPORTED = {"text/csv": str, "application/json": Any}


@describe(
    Operation(
        access=Access.ONLINE,
        any_of=("can_export_all", *sorted({kind.permission for kind in KINDS.values()})),
        query=(FILTERS, OPTIONS, FORMAT, *FEEDBACK),
        answers={200: EXPORTED},
        errors=(400, 404),
    )
)
async def get_export(request: web.Request) -> web.StreamResponse:
    """GET /api/v2/export/{type}: dhis, reports, messages, feedback, contacts or user-devices, as a file.

    Online users with can_export_all or the permission of that type. A failure on the way cuts the connection.
    """
    return await export(request, {})


@describe(
    Operation(
        access=Access.ONLINE,
        any_of=("can_export_all", *sorted({kind.permission for kind in KINDS.values()})),
        query=(FILTERS, OPTIONS, FORMAT, *FEEDBACK),
        body=ExportBody,
        answers={200: EXPORTED},
        errors=(404,),
    )
)
async def post_export(request: web.Request) -> web.StreamResponse:
    """POST /api/v2/export/{type}: the same, with `filters` and `options` as JSON over those of the query."""
    allow_export(request)
    text = await request.read()
    if not text.strip():
        return await export(request, {})
    require_json(request)
    body = parse_json(text)
    if not isinstance(body, dict):
        raise InvalidInput("Request body must be a JSON object with `filters` and `options`")
    return await export(request, body)


def allow_export(request: web.Request) -> Kind:
    """The kind asked for, of an online user with can_export_all or its own permission (EP-EXP-2, EP-EXP-3)."""
    name = request.match_info["type"]
    if name not in KINDS:
        raise NotFound(f'Invalid export type "{name}"')
    if current_user(request).offline:
        raise InsufficientPrivileges
    require_any(request, "can_export_all", KINDS[name].permission)
    return KINDS[name]


async def export(request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
    kind = allow_export(request)
    made = await kind.make(read_asked(request, body))
    name = f"{request.match_info['type']}-{request.config_dict[NOW]().astimezone(local_zone()):%Y%m%d%H%M}"
    async with aclosing(made.parts) as parts:
        response = Stream(
            headers={
                "Content-Type": made.content_type,
                "Content-Disposition": f"attachment; filename={name}.{made.extension}",
            }
        )
        await response.prepare(request)
        try:
            async for part in parts:
                await response.write(part)
        except ConnectionResetError:
            raise  # the client has gone
        except Exception as error:
            reason = error.message if isinstance(error, DomainError) else "Server error"
            await response.write(f"--ERROR--\nError exporting data: {reason}\n".encode())  # EP-EXP-8
            raise
        await response.write_eof()
    return response


def read_asked(request: web.Request, body: Mapping[str, Any]) -> Asked:
    """InvalidInput names what is wrong with the query or the body."""
    query = nested_query(request)
    config, settings = request.config_dict[CONFIG], request[REQUEST_SETTINGS]
    couch = request.config_dict[COUCH]
    options = dict(section(body, query, "options"))
    if options.get("format") in (None, ""):
        options["format"] = FORMAT.text(request) or ("csv" if accepts(request, "text", "csv") else None)
    search_kind = SearchKind.CONTACT if request.match_info["type"] == "contacts" else SearchKind.REPORT
    return Asked(
        couch=couch,
        db=request.config_dict[DB],
        users_meta=couch.db(config.db_name("users-meta")),
        settings=settings,
        translations=request.config_dict[INCOMING].translations,
        now=request.config_dict[NOW](),
        filters=section(body, query, "filters"),
        options=Options.read(options, defused=settings.section("exports").get("defuse_formulas") is not False),
        query={each.name: text for each in FEEDBACK if (text := each.text(request)) is not None},
        search=lambda text: hits_of(request, search_kind, text),
        registrations_among=lambda reports: valid_registrations(reports, settings),
        observed=config.compat == "cht",
    )


def section(body: Mapping[str, Any], query: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """`filters` or `options`: of the body, else of the query (EP-EXP-4)."""
    value = body.get(name)
    if value is None:
        value = query.get(name) or {}
    if not isinstance(value, dict):
        raise InvalidInput(f"`{name}` must be an object")
    return value


ROUTES = [web.get("/api/v2/export/{type}", get_export), web.post("/api/v2/export/{type}", post_export)]
