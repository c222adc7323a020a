"""Many users from a CSV file, with progress and what was wrong with which row."""

from __future__ import annotations

import asyncio

from aiohttp import web

from api.auth import require_online
from api.bodies import now_ms
from api.console.frame import go_on, read_form, show
from api.console.users import PAGE
from api.handlers.user_imports import begin_import, logs_of
from api.handlers.users import allow_creation, create_each
from core.errors import InvalidInput
from core.user_csv import read_user_rows
from core.user_imports import find_import, list_imports

PATH = f"{PAGE.path}/imports"


async def show_imports(request: web.Request) -> web.Response:
    """GET /admin/users/imports: the form, and the newest imports of `/api/v1/user-imports`."""
    return await show_list(request)


async def show_list(request: web.Request, error: str = "", *, status: int = 200) -> web.Response:
    require_online(request)
    allow_creation(request, [])
    imports = await list_imports(logs_of(request), now_ms())
    errors = {"file": error} if error else None
    return await show(request, PAGE, "user_imports.html", imports=imports, errors=errors, status=status)


async def import_users(request: web.Request) -> web.Response:
    """POST /admin/users/imports: begin to make the users of a file, as `POST /api/v2/users`; to its progress."""
    require_online(request)
    user = allow_creation(request, [])
    file = (await read_form(request)).files.get("file")
    if file is None:
        return await show_list(request, "console.users.imports.no_file", status=400)
    try:
        rows = await asyncio.to_thread(lambda: read_user_rows(file.file.read()))
    except InvalidInput as error:
        return await show_list(request, error.message, status=error.status)
    allow_creation(request, [row.body for row in rows if not row.skip])
    import_log = await begin_import(request, user, rows)
    go_on(request, create_each(request, rows, import_log))
    return web.Response(status=303, headers={"Location": f"{PATH}/{import_log.doc_id}"})


async def show_import(request: web.Request) -> web.Response:
    """GET /admin/users/imports/{id}: how far an import is, and the rows that were refused."""
    require_online(request)
    allow_creation(request, [])
    found = await find_import(logs_of(request), request.match_info["id"], now_ms())
    refused = [row for row in found["data"] if row["import"]["status"] == "error"]
    return await show(request, PAGE, "user_import.html", found=found, done=len(found["data"]), refused=refused)


ROUTES = [
    web.get(PATH, show_imports),
    web.post(PATH, import_users),
    web.get(f"{PATH}/{{id}}", show_import),
]
