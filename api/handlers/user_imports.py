"""Many user accounts at once, from JSON or a CSV file (EP-USR-71..74)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict

from aiohttp import web

from api.auth import require
from api.bodies import now_ms
from api.handlers.users import allow_creation, create_each
from api.keys import CONFIG, COUCH
from api.operations import Access, Operation, describe
from api.params import read_json
from api.responses import json_response
from api.sessions import User
from core.couch.client import Database
from core.errors import InvalidInput
from core.shapes import NewUser
from core.user_csv import UserRow, read_user_rows
from core.user_imports import ImportLog, find_import, list_imports


class RowCounts(TypedDict):
    total: int
    failed: int
    successful: int
    ignored: NotRequired[int]


class ImportProgress(TypedDict):
    parsing: RowCounts
    saving: RowCounts


class UserImport(TypedDict):
    id: str
    by: str
    on: str
    status: Literal["saving", "finished", "cut off"]
    progress: ImportProgress


class UserImportRows(UserImport):
    data: list[dict[str, Any]]


@describe(
    Operation(
        access=Access.ACCOUNT,
        permissions=("can_create_users",),
        body={"application/json": NewUser | list[NewUser], "text/csv": str},
        answers={200: list[dict[str, Any]]},
    )
)
async def post_users(request: web.Request) -> web.Response:
    """POST /api/v2/users: make accounts from a JSON object or list, or from a CSV file, row after row.

    Answers a list: for each row what version 1 answers, or `{"error"}`. How far it is stands in the document
    `bulk-user-upload-<ms>` of the logs database. Permissions: those of version 1 for all rows, before the first.
    """
    kind = request.content_type if "Content-Type" in request.headers else None
    if kind not in ("application/json", "text/csv"):
        raise InvalidInput("Content-Type must be application/json or text/csv")
    user = allow_creation(request, [])
    rows = await (read_rows(request) if kind == "text/csv" else read_objects(request))
    allow_creation(request, [row.body for row in rows if not row.skip])
    return json_response(await create_each(request, rows, await begin_import(request, user, rows)))


async def begin_import(request: web.Request, user: User, rows: Sequence[UserRow]) -> ImportLog:
    import_log = ImportLog(logs_of(request), user.name, now_ms)
    await import_log.start(rows)
    return import_log


@describe(Operation(access=Access.ACCOUNT, permissions=("can_create_users",), answers={200: list[UserImport]}))
async def get_imports(request: web.Request) -> web.Response:
    """GET /api/v1/user-imports: the newest fifty imports, `[{id, by, on, status, progress}]`.

    `status` is saving, finished, or cut off when the server stopped in the middle. Permission: can_create_users.
    """
    require(request, "can_create_users")
    return json_response(await list_imports(logs_of(request), now_ms()))


@describe(
    Operation(access=Access.ACCOUNT, permissions=("can_create_users",), answers={200: UserImportRows}, errors=(404,))
)
async def get_import(request: web.Request) -> web.Response:
    """GET /api/v1/user-imports/{id}: one import, with what became of each row so far in `data`.

    Permission: can_create_users.
    """
    require(request, "can_create_users")
    return json_response(await find_import(logs_of(request), request.match_info["id"], now_ms()))


def logs_of(request: web.Request) -> Database:
    return request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("logs"))


async def read_rows(request: web.Request) -> list[UserRow]:
    return await asyncio.to_thread(read_user_rows, await request.read())


async def read_objects(request: web.Request) -> list[UserRow]:
    body = await read_json(request)
    if not isinstance(body, dict | list):
        raise InvalidInput("Users must be an object or a list of objects.")
    return [UserRow(each) for each in (body if isinstance(body, list) else [body])]


ROUTES: list[Any] = [
    web.post("/api/v2/users", post_users),
    web.get("/api/v1/user-imports", get_imports),
    web.get("/api/v1/user-imports/{id}", get_import),
]
