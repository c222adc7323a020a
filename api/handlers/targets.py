"""What phones have reckoned of their users' targets (EP-CON-8, EP-CON-9)."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from api.auth import require_online
from api.json_errors import always_json
from api.keys import DB
from api.operations import Access, Operation, describe
from api.paging import CURSOR, LIMIT, PageOfDocs, asked_docs, page_response
from api.params import Param, TextList
from api.responses import json_response
from core.errors import InvalidInput, NotFound
from core.paging import id_range, read_page

MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)

REPORTING_PERIOD = Param(
    name="reporting_period",
    about="a month",
    schema={"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
    required=True,
)

CONTACT_ID = Param(name="contact_id", about="the id of the contact whose targets these are")
CONTACT_IDS = TextList(name="contact_ids", about="ids of several, where `contact_id` is not given")


@describe(Operation(access=Access.ONLINE, answers={200: dict[str, Any]}, errors=(404,)))
async def get_target(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/target/{id}: one target document. Online users. 404 for other documents too."""
    require_online(request)
    doc_id = request.match_info["id"]
    doc = (await request.config_dict[DB].get_many([doc_id])).get(doc_id)
    if doc is None or doc.get("type") != "target":
        raise NotFound("Target not found")
    return json_response(doc)


@describe(
    Operation(
        access=Access.ONLINE,
        query=(REPORTING_PERIOD, CONTACT_ID, CONTACT_IDS, LIMIT, CURSOR),
        answers={200: PageOfDocs},
    )
)
async def get_targets(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/target?reporting_period=YYYY-MM&contact_id= (or contact_ids=a,b): a page of target documents.

    Online users. Read by their ids, `target~<period>~<contact>~<user>`.
    """
    require_online(request)
    period = REPORTING_PERIOD.text(request) or ""
    if not MONTH.fullmatch(period):
        raise InvalidInput(f"Query param reporting_period must be a month as YYYY-MM, not [{period}]")
    one = CONTACT_ID.text(request)
    contacts = [one] if one else CONTACT_IDS.read(request)
    if not contacts:
        raise InvalidInput("Either query param contact_id or contact_ids is required")
    db = request.config_dict[DB]
    ranges = [id_range(db, f"target~{period}~{contact}~") for contact in contacts]
    rows, cursor = await read_page(ranges, asked_docs(request))
    return page_response([row["doc"] for row in rows if row.get("doc")], cursor)


ROUTES = [
    web.get("/api/v1/target", always_json(get_targets)),
    web.get("/api/v1/target/{id}", always_json(get_target)),
]
