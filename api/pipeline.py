"""The steps every request passes before its handler, outermost first (10 §1)."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web
from yarl import URL

from api.auth import REFUSED
from api.browser_policy import protect
from api.cookies import set_session_cookie
from api.credentials import RENEWED_SESSION
from api.errors import STARTED, Handler, loggable
from api.keys import CONFIG, LAG, REQUEST_ID, REQUEST_SETTINGS, SESSIONS, SETTINGS, STOPPING, USER
from api.request_metrics import CLIENT_LEFT, REQUEST_METRICS, route_of
from api.responses import compress
from core import logging as request_log
from core.errors import DomainError

log = logging.getLogger(__name__)

SLASHES = re.compile("/{2,}")
MATCH = web.RequestKey("match", web.UrlMappingMatchInfo)  # of the canonical path

READS = frozenset({"GET", "HEAD", "OPTIONS"})
READS_BY_POST = (
    "/_changes",
    "/_find",
    "/_explain",
    "/_all_docs",
    "/_bulk_get",
    "/_revs_diff",
    "/_missing_revs",
    "/replication/get-deletes",
    "/api/v1/hydrate",
    "/api/v1/contacts-by-phone",
    "/api/v1/contact/summary",
    "/api/v1/report/summary",
)
UNLISTED = re.compile("/[^/]+(/_local|-user-[^/]+-meta)/")  # checkpoints and what is the user's alone: in no list


@web.middleware
async def enter(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id, route it by its canonical path, log how it went (AUTH-1..3)."""
    if REQUEST_ID in request:
        return await handler(request)
    request[REQUEST_ID] = secrets.token_hex(6)
    request[USER] = None
    token = request_log.REQUEST_ID.set(request[REQUEST_ID])
    started = time.perf_counter()
    status: int | str = "cancelled"
    shared = request.config_dict
    database, metrics = shared[CONFIG].database, shared[REQUEST_METRICS]
    path = canonical_path(request.rel_url.raw_path, database)
    request[MATCH] = request.match_info
    metrics.in_progress.inc()
    log.debug("%s %s", request.method, path)
    try:
        response = await route(request, handler, path)
        await compress(request, response)
        status = response.status
        return response
    except web.HTTPException as redirect:
        status = redirect.status
        raise
    except ConnectionResetError:
        status = "cut short"
        return web.Response(status=499)  # goes nowhere: the connection is closed
    finally:
        seconds = time.perf_counter() - started
        if log.isEnabledFor(logging.INFO):
            log.info("%s %s %s in %.0f ms", request.method, loggable(path), status, seconds * 1000)
        code = status if isinstance(status, int) else CLIENT_LEFT
        metrics.answered(request.method, route_of(request[MATCH], path, database), code, seconds)
        metrics.in_progress.dec()
        request_log.REQUEST_ID.reset(token)


async def route(request: web.Request, handler: Handler, path: str) -> web.StreamResponse:
    """Answer by the route of `path`: the one found already, or, where the path was written otherwise, the right one."""
    if path == request.rel_url.raw_path:
        return await handler(request)
    url = URL.build(path=path, query_string=request.rel_url.raw_query_string, encoded=True)
    rewritten = request.clone(rel_url=url)
    response = await request.app._handle(rewritten)  # aiohttp routes before any middleware runs
    request[MATCH] = rewritten.match_info
    if RENEWED_SESSION in rewritten:
        request[RENEWED_SESSION] = rewritten[RENEWED_SESSION]
    return response


def canonical_path(raw_path: str, database: str) -> str:
    """The path without repeated slashes, with the main database under its own name (AUTH-2, AUTH-3).

    `/medic` always means the main database and `/medic-user-<name>-meta` that user's own. Both are percent-encoded.
    """
    _, first, *rest = SLASHES.sub("/", f"/{raw_path.lstrip('/')}").split("/")
    name = unquote(first)
    if name in ("medic", database):
        first = quote(database, safe="")
    elif name.startswith("medic-user-") and name.endswith("-meta"):
        first = quote(database + name.removeprefix("medic"), safe="()")
    return "/" + "/".join((first, *rest))


def identify(public: frozenset[Any]) -> Any:
    """The middleware that finds out who is calling, once, unless the handler is public (AUTH-9, AUTH-10).

    Refused credentials are remembered, not raised: the handler decides whether it needs a caller.
    """

    @web.middleware
    async def identify_caller(request: web.Request, handler: Handler) -> web.StreamResponse:
        shared = request.config_dict
        request[REQUEST_SETTINGS] = shared[SETTINGS].current
        if request.match_info.handler not in public:
            try:
                request[USER] = await shared[SESSIONS].resolve(request)
            except DomainError as refusal:
                request[REFUSED] = refusal
        return await handler(request)

    return identify_caller


@web.middleware
async def finish_writes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a write run to its end although the client has gone; reads end with their client."""
    if request.method in READS or (request.method == "POST" and request.path.endswith(READS_BY_POST)):
        return await handler(request)
    task: asyncio.Future[web.StreamResponse] = asyncio.ensure_future(note_write(request, handler))
    unfinished = request.config_dict[UNFINISHED]
    unfinished.add(task)
    task.add_done_callback(lambda done: finished(unfinished, done))
    return await asyncio.shield(task)


async def note_write(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Remember, however it ends, that the caller wrote: whatever process lists next for this user waits for it."""
    try:
        return await handler(request)
    finally:
        user = request[USER]
        if user is not None and not UNLISTED.match(request.rel_url.raw_path):
            request.config_dict[LAG].writes.note(user.name)


UNFINISHED: web.AppKey[set[asyncio.Future[Any]]] = web.AppKey("unfinished")


def finished(unfinished: set[asyncio.Future[Any]], task: asyncio.Future[Any]) -> None:
    unfinished.discard(task)
    if not task.cancelled():
        task.exception()  # seen: the one who waited may have gone


async def before_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal: the status line is about to be sent."""
    request[STARTED] = True
    shared = request.config_dict
    if shared[STOPPING].is_set():
        response.force_close()
        response.headers["Connection"] = "close"  # the client's next request goes to whoever listens then
    protect(shared[CONFIG], request, response)
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    renewed = request.get(RENEWED_SESSION)
    if renewed is not None and "AuthSession" not in response.cookies and not passes_session(response):
        set_session_cookie(request, response, renewed)


def passes_session(response: web.StreamResponse) -> bool:
    """Whether an answer of CouchDB brings a session cookie of its own."""
    return any(value.startswith("AuthSession=") for value in response.headers.getall("Set-Cookie", []))
