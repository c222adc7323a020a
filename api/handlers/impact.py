"""The deployment in numbers (EP-IMP-1)."""

from __future__ import annotations

from typing import TypedDict

from aiohttp import web

from api.auth import require_online
from api.json_errors import always_json
from api.keys import DB, REQUEST_SETTINGS
from api.monitoring_shapes import Count
from api.operations import Access, Operation, describe
from api.responses import json_response
from core.impact import measure_impact


class CountOfType(Count):
    type: str


class CountOfForm(Count):
    form: str


class ContactCounts(Count):
    by_type: list[CountOfType]


class ReportCounts(Count):
    by_form: list[CountOfForm]


class Impact(TypedDict):
    users: Count
    contacts: ContactCounts
    reports: ReportCounts


@describe(Operation(access=Access.ONLINE, answers={200: Impact}))
async def get_impact(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/impact: how many users, contacts of each type and reports of each form there are. Online users."""
    require_online(request)
    return json_response(await measure_impact(request.config_dict[DB], request[REQUEST_SETTINGS]))


ROUTES = [web.get("/api/v1/impact", always_json(get_impact))]
