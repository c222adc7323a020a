"""Reports: ids by form or words, and single ones (EP-CON-1, 5..7, 10..12, 14..16)."""

from __future__ import annotations

from aiohttp import web

from api.handlers.documents import IDS, Resource, get_one, page_by_ids, post_one, post_summaries, put_one
from api.handlers.freetext import FREETEXT, asked_match, page_of_hits
from api.json_errors import always_json
from api.keys import DB
from api.operations import Access, Operation, describe
from api.paging import CURSOR, LIMIT, PageOfDocs, PageOfIds, asked_ids, page_response
from api.params import TextList
from api.search.query import exact, joined
from api.search.tokens import Kind
from core.documents import is_report
from core.errors import InvalidInput
from core.paging import read_page, view_range
from core.report_writes import create_report, update_report
from core.shapes import ChangedReportDoc, NewReportDoc
from core.summaries import ReportSummary, report_summary

FORM = TextList(name="form", about="codes of forms")
VIEW = "can_view_reports"
REPORT = Resource("Report", VIEW, lambda _, doc: is_report(doc))


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=(VIEW,),
        query=(IDS, LIMIT, CURSOR),
        answers={200: PageOfDocs},
    )
)
async def get_reports(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/report?ids=a,b: a page of documents, `{data, cursor}`. Online users with can_view_reports."""
    REPORT.allow_view(request)
    ids = IDS.read(request)
    if not ids:
        raise InvalidInput("Query param ids is required")
    return await page_by_ids(request, REPORT, ids)


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=(VIEW,),
        query=(FORM, FREETEXT, LIMIT, CURSOR),
        answers={200: PageOfIds},
    )
)
async def get_report_ids(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/report/uuid?form=a,b, ?freetext= or both: a page of ids, `{data, cursor}`.

    Online users with can_view_reports. `freetext` is the beginning of a word, or a whole `key:value`.
    """
    REPORT.allow_view(request)
    forms = FORM.read(request)
    if forms is None and FREETEXT.text(request) is None:
        raise InvalidInput("Either query param freetext or form is required")
    if forms is not None and not forms:
        raise InvalidInput("Invalid forms [[]].")
    asked = asked_ids(request)
    match = asked_match(request, Kind.REPORT)
    if match is not None:
        of_forms = [exact(Kind.REPORT, f"form:{form}") for form in forms or ()]
        wanted = joined("AND", [match, joined("OR", of_forms)]) if of_forms else match
        return await page_of_hits(request, Kind.REPORT, wanted, asked)
    db = request.config_dict[DB]
    ranges = [view_range(db, "medic-client", "reports_by_form", [form]) for form in forms or ()]
    rows, cursor = await read_page(ranges, asked)
    return page_response([row["id"] for row in rows], cursor)


ROUTES = [
    web.get("/api/v1/report", always_json(get_reports)),
    web.post("/api/v1/report", always_json(post_one(create_report, "can_create_records", NewReportDoc))),
    web.get("/api/v1/report/uuid", always_json(get_report_ids)),
    web.post("/api/v1/report/summary", always_json(post_summaries(REPORT, report_summary, ReportSummary))),
    web.get("/api/v1/report/{id}", always_json(get_one(REPORT))),
    web.put("/api/v1/report/{id}", always_json(put_one(update_report, "can_update_reports", ChangedReportDoc))),
]
