"""Exports with their filters: each form leads to `/api/v2/export/...`, which is a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode

from aiohttp import web

from api.auth import holds, require_any
from api.console.frame import Page, allow, show
from api.handlers.exports import KINDS
from api.keys import REQUEST_SETTINGS
from core.dates import local_zone, ms_of
from core.errors import NotFound

ALL = "can_export_all"
PAGE = Page("exports", any_of=(ALL, *sorted({kind.permission for kind in KINDS.values()})))

# What a form sent, without the kind before its names; and the query of the export.
Sent = Mapping[str, list[str]]
Query = Iterator[tuple[str, str]]


class WrongField(Exception):
    """A field of a form, and the key of what is wrong with it."""

    def __init__(self, field: str, key: str) -> None:
        super().__init__(field)
        self.field, self.key = field, key


async def show_exports(request: web.Request) -> web.Response:
    """GET /admin/exports: a form for each kind that the caller may export."""
    allow(request, PAGE)
    return await show_page(request)


async def show_page(request: web.Request, wrong: Mapping[str, str] | None = None) -> web.Response:
    user = allow(request, PAGE)
    settings = request[REQUEST_SETTINGS]
    order = ("reports", "messages", "contacts", "feedback", "dhis", "user-devices")
    return await show(
        request,
        PAGE,
        "exports.html",
        kinds=[each for each in order if holds(request, user, ALL) or holds(request, user, KINDS[each].permission)],
        types=list(settings.contact_types.types),
        data_sets=[
            (str(each.get("id")), str(each.get("label") or each.get("id")))
            for each in settings.entries("dhis_data_sets")
        ],
        values=request.query,
        errors=wrong,
        status=400 if wrong else 200,
    )


async def start_export(request: web.Request) -> web.Response:
    """GET /admin/exports/{type}: from the fields of the form to the export they mean."""
    allow(request, PAGE)
    kind = request.match_info["type"]
    if kind not in KINDS:
        raise NotFound(f'Invalid export type "{kind}"')
    require_any(request, ALL, KINDS[kind].permission)
    sent = {
        name.removeprefix(f"{kind}_"): [each.strip() for each in request.query.getall(name) if each.strip()]
        for name in request.query
        if name.startswith(f"{kind}_")
    }
    try:
        query = urlencode(list(QUERIES[kind](sent)))
    except WrongField as wrong:
        return await show_page(request, {f"{kind}_{wrong.field}": wrong.key})
    return web.Response(status=303, headers={"Location": f"/api/v2/export/{kind}{'?' if query else ''}{query}"})


def reports_query(sent: Sent) -> Query:
    if begin := first(sent, "from"):
        yield "filters[date][from]", str(day_ms("from", begin))
    if end := first(sent, "to"):
        yield "filters[date][to]", str(day_ms("to", end, later=1) - 1)
    for code in first(sent, "forms").split():
        yield "filters[forms][selected][]", code
    if first(sent, "valid"):
        yield "filters[valid]", first(sent, "valid")
    if first(sent, "place"):
        yield "filters[facilities][selected][0]", first(sent, "place")
    if first(sent, "search"):
        yield "filters[search]", first(sent, "search")
    yield from readable(sent)


def contacts_query(sent: Sent) -> Query:
    for type_id in sent.get("types", ()):
        yield "filters[types][selected][]", type_id
    if first(sent, "parent"):
        yield "filters[parent]", first(sent, "parent")
    if first(sent, "search"):
        yield "filters[search]", first(sent, "search")
    if first(sent, "format") == "csv":
        yield "format", "csv"


def feedback_query(sent: Sent) -> Query:
    if first(sent, "format") == "xml":
        yield "format", "xml"


def dhis_query(sent: Sent) -> Query:
    if not first(sent, "set"):
        raise WrongField("set", "console.exports.data_set_missing")
    yield "filters[dataSet]", first(sent, "set")
    try:
        month = date.fromisoformat(f"{first(sent, 'month')}-01")
    except ValueError:
        raise WrongField("month", "console.exports.month_wrong") from None
    yield "filters[date][from]", str(midnight_ms(month))
    if first(sent, "unit"):
        yield "filters[orgUnit]", first(sent, "unit")
    yield from readable(sent)


def readable(sent: Sent) -> Query:
    if first(sent, "readable"):
        yield "options[humanReadable]", "true"


QUERIES: Mapping[str, Callable[[Sent], Query]] = {
    "reports": reports_query,
    "messages": readable,
    "contacts": contacts_query,
    "feedback": feedback_query,
    "dhis": dhis_query,
    "user-devices": lambda sent: iter(()),
}


def first(sent: Sent, name: str) -> str:
    return next(iter(sent.get(name, ())), "")


def day_ms(field: str, text: str, *, later: int = 0) -> int:
    """When that day begins where the server is, or the one so many days later."""
    try:
        return midnight_ms(date.fromisoformat(text) + timedelta(days=later))
    except (ValueError, OverflowError):
        raise WrongField(field, "console.exports.date_wrong") from None


def midnight_ms(day: date) -> int:
    """When the day begins where the server is."""
    return ms_of(datetime.combine(day, time(), local_zone()))


ROUTES = [web.get(PAGE.path, show_exports), web.get(f"{PAGE.path}/{{type}}", start_export)]
