"""Outgoing messages by their state, for who looks after them: list, retry, mute."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, TypedDict

from aiohttp import web

from api.auth import require, require_any, require_online
from api.infodocs import note_writes
from api.keys import CONFIG, COUCH, DB, NOW
from api.operations import Access, Operation, describe
from api.paging import CURSOR, LIMIT, PageOfDocs, asked_docs, page_response
from api.params import Param, read_json, require_json
from api.responses import json_response
from api.sessions import User
from core.couch.client import Database, Doc
from core.errors import InvalidInput
from core.message_queue import STATES, MessageRef, list_messages, mute_messages, read_refs, retry_messages
from core.sms_gateways import read_queue

VIEW_MESSAGES = ("can_view_outgoing_messages", "can_configure")
STATE = Param(
    name="state",
    about="one state; `pending-or-forwarded` stands for pending and forwarded-to-gateway",
    schema={"type": "string", "enum": list(STATES)},
    required=True,
)


class NamedMessage(TypedDict):
    """A message as the list names it: its document, its place there, and its id, null for one not rendered yet."""

    doc_id: str
    task: str
    id: str | None


class NamedMessages(TypedDict):
    messages: list[NamedMessage]


class ChangedMessages(TypedDict):
    messages: list[dict[str, Any]]


class Waiting(TypedDict):
    """Messages in a state, at most 1000, and how many of them were due how long ago."""

    state: str
    count: int
    oldest_due: int | None
    ages: dict[str, int]


class GatewayVisit(TypedDict):
    name: str
    last_exchange: int


class MessageQueue(TypedDict):
    waiting: list[Waiting]
    offered_often: int
    gateways: list[GatewayVisit]


CHANGE = Operation(
    access=Access.ONLINE,
    permissions=("can_edit",),
    any_of=VIEW_MESSAGES,
    body=NamedMessages,
    answers={200: ChangedMessages},
    errors=(409,),
)


@describe(
    Operation(access=Access.ONLINE, any_of=VIEW_MESSAGES, query=(STATE, LIMIT, CURSOR), answers={200: PageOfDocs})
)
async def get_messages(request: web.Request) -> web.Response:
    """GET /api/v1/messages: the outgoing messages in one state, a page at a time.

    `{data, cursor}`; each message `{id, doc_id, task, state, due, to, content, recipient, translation_key, reason,
    history}`. What waits comes in the order in which it is due, what is over with the newest first.
    Permission: can_view_outgoing_messages or can_configure.
    """
    require_online(request)
    require_any(request, *VIEW_MESSAGES)
    state = STATE.text(request)
    if state is None:
        raise InvalidInput(f"Query parameter `state` is required: one of {', '.join(STATES)}")
    return page_response(*await list_messages(request.config_dict[DB], state, asked_docs(request)))


@describe(Operation(access=Access.ONLINE, any_of=VIEW_MESSAGES, answers={200: MessageQueue}))
async def get_queue(request: web.Request) -> web.Response:
    """GET /api/v1/messages/queue: what waits for gateways, since when, and when each gateway came last.

    `waiting` has what is pending and what was offered without an answer; `offered_often` are those that were offered
    more than five times; `gateways` the accounts that exchanged messages, to the minute, the latest first.
    Permission: can_view_outgoing_messages or can_configure.
    """
    require_online(request)
    require_any(request, *VIEW_MESSAGES)
    return json_response(await queue_of(request))


async def queue_of(request: web.Request, **params: Any) -> Doc:
    """See `read_queue`."""
    app = request.config_dict
    sentinel_db = app[COUCH].db(app[CONFIG].db_name("sentinel"))
    return await read_queue(app[DB], sentinel_db, app[NOW](), **params)


@describe(CHANGE)
async def post_retry(request: web.Request) -> web.Response:
    """POST /api/v1/messages/retry: send messages after all that failed or were muted, denied or taken for repeated.

    `{messages: [{doc_id, task, id}]}` as the list names them; answers `{messages}`, each with its `state` and whether
    it was `changed`, else the `reason`. Permissions: can_edit, and can_view_outgoing_messages or can_configure.
    """
    return await change_states(request, retry_messages)


@describe(CHANGE)
async def post_mute(request: web.Request) -> web.Response:
    """POST /api/v1/messages/mute: have messages not sent that wait, are scheduled or failed; as `retry`."""
    return await change_states(request, mute_messages)


Change = Callable[
    [Database, Sequence[MessageRef], Callable[[], datetime]], Coroutine[Any, Any, tuple[list[str], list[Doc]]]
]


async def change_states(request: web.Request, change: Change) -> web.Response:
    require_json(request)
    allow_change(request)
    return json_response({"messages": await change_messages(request, change, read_refs(await read_json(request)))})


def allow_change(request: web.Request) -> User:
    require_online(request)
    require(request, "can_edit")
    return require_any(request, *VIEW_MESSAGES)


async def change_messages(request: web.Request, change: Change, refs: Sequence[MessageRef]) -> list[Doc]:
    written, outcomes = await change(request.config_dict[DB], refs, request.config_dict[NOW])
    note_writes(request, written)
    return outcomes


ROUTES: list[Any] = [
    web.get("/api/v1/messages", get_messages),
    web.get("/api/v1/messages/queue", get_queue),
    web.post("/api/v1/messages/retry", post_retry),
    web.post("/api/v1/messages/mute", post_mute),
]
