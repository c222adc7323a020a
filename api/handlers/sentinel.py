"""The background worker: how it is doing, what failed, and what an operator asks of it (40 SEN-14, SEN-17)."""

from __future__ import annotations

import time
from typing import Any, Literal, NotRequired, TypedDict

from aiohttp import web

from api.auth import require, require_online
from api.keys import CONFIG, COUCH
from api.operations import Access, Operation, describe
from api.paging import CURSOR, LIMIT, PageOfDocs, asked_docs, page_response
from api.params import read_json, require_json
from api.responses import json_response
from api.sessions import User
from core.couch.client import Database
from core.errors import InvalidInput
from sentinel.operator import ask_for_jobs, ask_to_pause, ask_to_replay
from sentinel.status import collect_status, page_of_failures

LOOK_AND_DIRECT = "can_configure"
MOST_REPLAYED = 1000


class Asked(TypedDict):
    """What operators asked for and the worker may not have done yet; `replay` counts documents."""

    paused: bool
    replay: int


class SentinelStatus(TypedDict):
    """`owner` is the active worker, `jobs` the last run of each timed work by its name."""

    active: bool
    owner: str | None
    backlog: int
    paused: bool
    asked: Asked
    errors: list[str]
    retries: int
    failed: int
    failures: list[dict[str, Any]]
    overdue_tasks: int
    messages: dict[str, int]
    jobs: dict[str, dict[str, Any]]
    outbound: dict[str, dict[str, Any]]


class Replay(TypedDict):
    """The ids of documents; `forget`: as if no transition had ever run on them."""

    docs: list[str]
    forget: NotRequired[bool]


class Accepted(TypedDict):
    ok: Literal[True]


DIRECTION = Operation(access=Access.ONLINE, permissions=(LOOK_AND_DIRECT,), answers={202: Accepted}, errors=(409,))


@describe(Operation(access=Access.ONLINE, permissions=(LOOK_AND_DIRECT,), answers={200: SentinelStatus}))
async def get_status(request: web.Request) -> web.Response:
    """GET /api/v1/sentinel: whether a worker is active, its backlog, jobs, failures and pushes to other services.

    As `outpost sentinel status` tells it. Permission: can_configure.
    """
    allow(request)
    config = request.config_dict[CONFIG]
    return json_response(await collect_status(request.config_dict[COUCH], config, time.time()))


@describe(
    Operation(access=Access.ONLINE, permissions=(LOOK_AND_DIRECT,), query=(LIMIT, CURSOR), answers={200: PageOfDocs})
)
async def get_failures(request: web.Request) -> web.Response:
    """GET /api/v1/sentinel/failures: documents that could not be processed, a page at a time, by id.

    Each `{doc_id, state, attempts, error, next_attempt}`: `waiting` with the time of the next attempt in milliseconds,
    or `failed` when it was given up. Permission: can_configure.
    """
    allow(request)
    return page_response(*await page_of_failures(sentinel_db(request), asked_docs(request)))


@describe(DIRECTION)
async def post_pause(request: web.Request) -> web.Response:
    """POST /api/v1/sentinel/pause: have changes wait until `resume`; jobs go on. Permission: can_configure."""
    allow(request)
    await ask_to_pause(sentinel_db(request), True)
    return accepted()


@describe(DIRECTION)
async def post_resume(request: web.Request) -> web.Response:
    """POST /api/v1/sentinel/resume: have changes processed again. Permission: can_configure."""
    allow(request)
    await ask_to_pause(sentinel_db(request), False)
    return accepted()


@describe(DIRECTION)
async def post_jobs(request: web.Request) -> web.Response:
    """POST /api/v1/sentinel/jobs: have all timed work done now. Permission: can_configure."""
    allow(request)
    await ask_for_jobs(sentinel_db(request))
    return accepted()


@describe(
    Operation(access=Access.ONLINE, permissions=(LOOK_AND_DIRECT,), body=Replay, answers={202: Accepted}, errors=(409,))
)
async def post_replay(request: web.Request) -> web.Response:
    """POST /api/v1/sentinel/replay: have documents processed again, `{docs: [id], forget?}`.

    Transitions that ran on them do not run again, unless `forget` is true. Permission: can_configure.
    """
    require_json(request)
    allow(request)
    docs, forget = read_replay(await read_json(request))
    await ask_to_replay(sentinel_db(request), docs, forget=forget)
    return accepted()


def allow(request: web.Request) -> User:
    require_online(request)
    return require(request, LOOK_AND_DIRECT)


def read_replay(body: Any) -> tuple[list[str], bool]:
    members = body if isinstance(body, dict) else {}
    docs, forget = members.get("docs"), members.get("forget", False)
    if not isinstance(docs, list) or not docs or len(docs) > MOST_REPLAYED:
        raise InvalidInput(f"docs must be a list of 1 to {MOST_REPLAYED} ids of documents")
    if not all(isinstance(each, str) and each for each in docs):
        raise InvalidInput("docs must be a list of ids of documents")
    if not isinstance(forget, bool):
        raise InvalidInput("forget must be true or false")
    return docs, forget


def sentinel_db(request: web.Request) -> Database:
    return request.config_dict[COUCH].db(request.config_dict[CONFIG].db_name("sentinel"))


def accepted() -> web.Response:
    """The worker, wherever it runs, notices within a second."""
    return json_response({"ok": True}, status=202)


ROUTES: list[Any] = [
    web.get("/api/v1/sentinel", get_status),
    web.get("/api/v1/sentinel/failures", get_failures),
    web.post("/api/v1/sentinel/pause", post_pause),
    web.post("/api/v1/sentinel/resume", post_resume),
    web.post("/api/v1/sentinel/jobs", post_jobs),
    web.post("/api/v1/sentinel/replay", post_replay),
]
