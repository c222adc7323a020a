"""How large phones' lists are and which of them failed, for server administrators (EP-OTH-2..4)."""

from __future__ import annotations

import re
from datetime import UTC, date
from typing import Any, TypedDict

from aiohttp import web

from api.auth import user_or_prompt
from api.errors import InsufficientPrivileges
from api.keys import CONFIG, COUCH, NOW
from api.operations import Access, Operation, describe
from api.paging import CURSOR, LIMIT, PageOfDocs, asked_docs, page_response
from api.params import Param
from api.replication.logs import LIMIT as MOST_DOCS
from api.responses import json_response
from core.couch.client import Database
from core.errors import InvalidInput
from core.replication_logs import failing_users, replication_counts, replication_failures

MOST_DAYS = 36_500
USER = Param(name="user", about="the name of one user")
PERIOD = Param(name="reporting_period", about="a month, `YYYY-MM`; this month where no user is named")
POSITIVE = {"type": "integer", "minimum": 1}
DAYS = Param(name="days", about="how far back to look", schema={**POSITIVE, "default": 30})
MIN_FAILURES = Param(name="min_failures", about="fewer are not told", schema={**POSITIVE, "default": 1})


class DocCounts(TypedDict):
    limit: int
    users: list[dict[str, Any]]


class FailingUser(TypedDict):
    """Times are milliseconds; `last_replication_date` is null where no list ever came through."""

    user: str
    last_replication_date: int | None
    failures_since_last_replication: int
    failures_in_window: int


class FailingUsers(TypedDict):
    users: list[FailingUser]


@describe(Operation(access=Access.ADMIN, query=(USER,), answers={200: DocCounts}, errors=(404,)))
async def get_users_doc_count(request: web.Request) -> web.Response:
    """GET /api/v1/users-doc-count: the size of each user's last list, or of one; 404 for a user without any.

    Server administrators only.
    """
    require_admin(request)
    users = await replication_counts(logs_of(request), USER.text(request))
    return json_response({"limit": MOST_DOCS, "users": users})


@describe(Operation(access=Access.ADMIN, query=(USER, PERIOD, LIMIT, CURSOR), answers={200: PageOfDocs}))
async def get_replication_failures(request: web.Request) -> web.Response:
    """GET /api/v1/replication-failure-logs: what failed in a month, of one user in every month, or of both.

    Server administrators only.
    """
    require_admin(request)
    month = PERIOD.text(request)
    if month is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", month, re.ASCII):
        raise InvalidInput(f'"reporting_period" must be a month like 2024-03, not {month!r}')
    found = await replication_failures(logs_of(request), USER.text(request), month, asked_docs(request), today(request))
    return page_response(*found)


@describe(Operation(access=Access.ADMIN, query=(DAYS, MIN_FAILURES), answers={200: FailingUsers}))
async def get_failing_users(request: web.Request) -> web.Response:
    """GET /api/v1/replication-health/failed: users whose replications failed within `days`, the worst first.

    Server administrators only.
    """
    require_admin(request)
    days, least = positive(request, DAYS), positive(request, MIN_FAILURES)
    users = await failing_users(logs_of(request), min(days, MOST_DAYS), least, today(request))
    return json_response({"users": users})


def require_admin(request: web.Request) -> None:
    if not user_or_prompt(request).is_admin:
        raise InsufficientPrivileges


def logs_of(request: web.Request) -> Database:
    return request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("logs"))


def today(request: web.Request) -> date:
    return request.config_dict[NOW]().astimezone(UTC).date()


def positive(request: web.Request, param: Param) -> int:
    text = param.text(request)
    if text is None:
        return int(param.schema["default"])
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise InvalidInput(f'"{param.name}" must be a positive integer')
    return int(text)


ROUTES = [
    web.get("/api/v1/users-doc-count", get_users_doc_count),
    web.get("/api/v1/replication-failure-logs", get_replication_failures),
    web.get("/api/v1/replication-health/failed", get_failing_users),
]
