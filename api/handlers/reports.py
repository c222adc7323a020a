"""Reports one by one, in pages and in brief; created and updated as documents (EP-CON-1, 5..7, 10..12, 14..16)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from api.auth import require, require_any, require_online
from api.bodies import now_ms
from api.handlers.contacts import FREETEXT, IDS, WITH_LINEAGE, check_freetext, stored
from api.json_errors import always_json
from api.keys import DB, REQUEST_SETTINGS
from api.operations import Access, Operation, describe
from api.paging import (
    CURSOR,
    LIMIT,
    AskedIds,
    PageOfDocs,
    PageOfIds,
    asked_docs,
    asked_ids,
    ids_in,
    page_response,
)
from api.params import TextList, read_json, require_json
from api.responses import json_response
from core.documents import is_report
from core.errors import InvalidInput, NotFound
from core.lineage import hydrate
from core.paging import page_of_list, read_page, view_range
from core.report_writes import create_report, update_report
from core.shapes import ChangedReportDoc, NewReportDoc
from core.summaries import ReportSummary, report_summary, summaries

FORM = TextList(name="form", about="codes of forms")


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_view_reports",),
        query=(WITH_LINEAGE,),
        answers={200: dict[str, Any]},
        errors=(404,),
    )
)
async def get_report(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/report/{id}: the document; with_lineage=true puts submitter, patient and place in full.

    Online users with can_view_reports. 404 for documents that are no report too.
    """
    require_online(request)
    require(request, "can_view_reports")
    whole = WITH_LINEAGE.read(request)
    db, doc_id = request.config_dict[DB], request.match_info["id"]
    doc = (await db.get_many([doc_id])).get(doc_id)
    if doc is None or not is_report(doc):
        raise NotFound("Report not found")
    return json_response((await hydrate(db, [doc]))[0] if whole else doc)


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_view_reports",),
        query=(IDS, LIMIT, CURSOR),
        answers={200: PageOfDocs},
    )
)
async def get_reports(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/report?ids=a,b: a page of documents, `{data, cursor}`. Online users with can_view_reports."""
    require_online(request)
    require(request, "can_view_reports")
    ids = IDS.read(request)
    if not ids:
        raise InvalidInput("Query param ids is required")
    part, cursor = page_of_list(ids, asked_docs(request))
    docs = await request.config_dict[DB].get_many(part)
    return page_response([docs[each] for each in part if each in docs and is_report(docs[each])], cursor)


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_view_reports",),
        query=(FORM, FREETEXT, LIMIT, CURSOR),
        answers={200: PageOfIds},
        errors=(501,),
    )
)
async def get_report_ids(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/report/uuid?form=a,b: a page of ids, `{data, cursor}`. Online users with can_view_reports."""
    require_online(request)
    require(request, "can_view_reports")
    forms = FORM.read(request)
    if forms is None and FREETEXT.text(request) is None:
        raise InvalidInput("Either query param freetext or form is required")
    if forms is not None and not forms:
        raise InvalidInput("Invalid forms [[]].")
    asked = asked_ids(request)
    check_freetext(request)
    db = request.config_dict[DB]
    ranges = [view_range(db, "medic-client", "reports_by_form", [form]) for form in forms or ()]
    rows, cursor = await read_page(ranges, asked)
    return page_response([row["id"] for row in rows], cursor)


@describe(
    Operation(
        access=Access.ONLINE,
        permissions=("can_view_reports",),
        body=AskedIds,
        answers={200: list[ReportSummary]},
    )
)
async def post_report_summaries(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/report/summary `{"ids": [...]}`: the reports in brief, without those that are missing."""
    require_json(request)
    require_online(request)
    require(request, "can_view_reports")
    ids = ids_in(await read_json(request))
    return json_response(await summaries(request.config_dict[DB], ids, is_report, report_summary))


@describe(
    Operation(
        access=Access.ONLINE,
        any_of=("can_create_records", "can_edit"),
        body=NewReportDoc,
        answers={200: dict[str, Any]},
        errors=(409,),
    )
)
async def post_report(request: web.Request) -> web.StreamResponse:
    """POST /api/v1/report: store a report and answer the document. Online users; can_create_records or can_edit."""
    require_json(request)
    require_online(request)
    require_any(request, "can_create_records", "can_edit")
    body = await read_json(request)
    return stored(
        request, await create_report(request.config_dict[DB], request[REQUEST_SETTINGS], body, now_ms=now_ms())
    )


@describe(
    Operation(
        access=Access.ONLINE,
        any_of=("can_update_reports", "can_edit"),
        body=ChangedReportDoc,
        answers={200: dict[str, Any]},
        errors=(404, 409),
    )
)
async def put_report(request: web.Request) -> web.StreamResponse:
    """PUT /api/v1/report/{id}: replace the document and answer it. Online users; can_update_reports or can_edit."""
    require_json(request)
    require_online(request)
    require_any(request, "can_update_reports", "can_edit")
    doc_id, body = request.match_info["id"], await read_json(request)
    return stored(request, await update_report(request.config_dict[DB], request[REQUEST_SETTINGS], doc_id, body))


ROUTES = [
    web.get("/api/v1/report", always_json(get_reports)),
    web.post("/api/v1/report", always_json(post_report)),
    web.get("/api/v1/report/uuid", always_json(get_report_ids)),
    web.post("/api/v1/report/summary", always_json(post_report_summaries)),
    web.get("/api/v1/report/{id}", always_json(get_report)),
    web.put("/api/v1/report/{id}", always_json(put_report)),
]
