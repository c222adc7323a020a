"""Ask for documents to be moved into the archive database; the worker does it (EP-OTH-5, 40 §13)."""

from __future__ import annotations

from typing import TypedDict

from aiohttp import web

from api.auth import require_online
from api.errors import InsufficientPrivileges
from api.keys import CONFIG, COUCH, NOW
from api.operations import Access, Operation, describe
from api.responses import json_response
from core.archive_jobs import create_jobs, ids_in
from core.errors import InvalidInput, UnsupportedMediaType


class ArchiveJob(TypedDict):
    id: str
    count: int


class ArchiveJobs(TypedDict):
    jobs: list[ArchiveJob]


@describe(Operation(access=Access.ADMIN, body={"text/csv": str}, answers={202: ArchiveJobs}, errors=(413, 415)))
async def post_archive(request: web.Request) -> web.Response:
    """POST /api/v1/archive: move the documents of these ids, one a line, into `<db>-archive`.

    Answers the jobs that will do it, of at most 100,000 ids each. Server administrators only.
    """
    if not require_online(request).is_admin:
        raise InsufficientPrivileges("Insufficient permissions")
    if request.content_type != "text/csv":
        raise UnsupportedMediaType("Content-Type must be text/csv")
    try:
        ids = ids_in((await request.read()).decode())
    except UnicodeDecodeError:
        raise InvalidInput("The request body must be text in UTF-8") from None
    if not ids:
        raise InvalidInput("No valid doc IDs found in request body")
    sentinel_db = request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("sentinel"))
    return json_response({"jobs": await create_jobs(sentinel_db, ids, request.config_dict[NOW]())}, status=202)


ROUTES = [web.post("/api/v1/archive", post_archive)]
