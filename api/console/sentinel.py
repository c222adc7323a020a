"""The background worker: its jobs, what failed, processing again, pausing."""

from __future__ import annotations

import time

from aiohttp import web

from api.console.frame import Page, allow, done, errors_by_field, read_form, show
from api.handlers.sentinel import LOOK_AND_DIRECT, read_replay, sentinel_db
from api.keys import CONFIG, COUCH
from api.paging import CURSOR
from core.errors import InvalidInput
from core.paging import PageRequest
from sentinel.operator import ask_for_jobs, ask_to_pause, ask_to_replay
from sentinel.status import collect_status, page_of_failures

PAGE = Page("sentinel", any_of=(LOOK_AND_DIRECT,))
A_PAGE = 50


async def show_sentinel(request: web.Request) -> web.Response:
    """GET /admin/sentinel?cursor: what `/api/v1/sentinel` tells, and the failures page by page."""
    allow(request, PAGE)
    return await show_page(request)


async def show_page(request: web.Request, error: InvalidInput | None = None) -> web.Response:
    asked = PageRequest.read(str(A_PAGE), CURSOR.text(request), default=A_PAGE, most=A_PAGE)
    status = await collect_status(request.config_dict[COUCH], request.config_dict[CONFIG], time.time())
    failures, cursor = await page_of_failures(sentinel_db(request), asked)
    return await show(
        request,
        PAGE,
        "sentinel.html",
        worker=status,
        failures=failures,
        first=CURSOR.text(request) and PAGE.path,
        next=cursor and str(request.rel_url.with_query(cursor=cursor)),
        errors=errors_by_field(error, ("docs",)) if error else None,
        status=error.status if error else 200,
    )


async def direct(request: web.Request) -> web.Response:
    """POST /admin/sentinel: pause, resume, run the jobs or process documents again, as below `/api/v1/sentinel`."""
    allow(request, PAGE)
    sent = await read_form(request)
    action, db = sent.text("action"), sentinel_db(request)
    if action in ("pause", "resume"):
        await ask_to_pause(db, action == "pause")
    elif action == "jobs":
        await ask_for_jobs(db)
    elif action in ("replay", "replay_chosen"):
        ids = sent.all("chosen") if action == "replay_chosen" else sent.text("docs").split("\n")
        wanted = [each.strip() for each in ids if each.strip()]
        if not wanted and action == "replay_chosen":
            return done(request, PAGE.path, "console.sentinel.none_chosen", kind="bad")
        try:
            docs, forget = read_replay({"docs": wanted, "forget": sent.has("forget")})
        except InvalidInput as error:
            return await show_page(request, error)
        await ask_to_replay(db, docs, forget=forget)
        return done(request, PAGE.path, "console.sentinel.done.replay", count=len(docs))
    else:
        raise InvalidInput("`action` must be pause, resume, jobs, replay or replay_chosen")
    return done(request, PAGE.path, f"console.sentinel.done.{action}")


ROUTES = [web.get(PAGE.path, show_sentinel), web.post(PAGE.path, direct)]
