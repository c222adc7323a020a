"""The message queue: what waits, is scheduled, failed or was sent; another try, or silence."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from api.auth import holds
from api.console.frame import Page, allow, done, read_form, show
from api.handlers.messages import VIEW_MESSAGES, allow_change, change_messages, queue_of
from api.handlers.monitoring import METRICS
from api.keys import DB
from api.metrics import waiting
from api.paging import CURSOR
from core.errors import InvalidInput
from core.message_queue import MUTED, RETRIED, STATES, WAITING, list_messages, mute_messages, read_refs, retry_messages
from core.paging import PageRequest

PAGE = Page("messages", any_of=VIEW_MESSAGES)
A_PAGE = 50
ACTIONS = {"retry": retry_messages, "mute": mute_messages}
# The groups that monitoring counts, each with the state that its number leads to.
GROUP_STATES = {"due": WAITING, **{each: each for each in ("scheduled", "failed", "muted", "delivered")}}


async def show_messages(request: web.Request) -> web.Response:
    """GET /admin/messages?state&cursor: the messages in one state, failed ones at first."""
    user = allow(request, PAGE)
    state = request.query.get("state") or "failed"
    asked = PageRequest.read(str(A_PAGE), CURSOR.text(request), default=A_PAGE, most=A_PAGE)
    messages, cursor = await list_messages(request.config_dict[DB], state, asked)
    numbers = (await request.config_dict[METRICS].collect())["messaging"]["outgoing"]["state"]
    queue = await queue_of(request)
    return await show(
        request,
        PAGE,
        "messages.html",
        state=state,
        states=STATES,
        messages=[{**each, "ref": ref_of(each)} for each in messages],
        older=cursor and str(request.rel_url.with_query(state=state, cursor=cursor)),
        newest=request.query.get("cursor") and str(request.rel_url.with_query(state=state)),
        counts=[(name, {**numbers, "due": waiting(numbers)}[name], shown) for name, shown in GROUP_STATES.items()],
        gateways=queue["gateways"],
        offered_often=queue["offered_often"],
        actions=actions_for(state) if holds(request, user, "can_edit") else [],
    )


def actions_for(state: str) -> list[str]:
    return [
        *(["retry"] if state in RETRIED else []),
        *(["mute"] if state in MUTED or state == WAITING else []),
    ]


def ref_of(message: dict[str, Any]) -> str:
    """What the checkbox of a message sends."""
    return orjson.dumps({name: message[name] for name in ("doc_id", "task", "id")}).decode()


async def change_chosen(request: web.Request) -> web.Response:
    """POST /admin/messages: retry or mute what was chosen, as `/api/v1/messages/retry` and `/mute`."""
    allow_change(request)
    sent = await read_form(request)
    action, here = sent.text("action"), str(request.rel_url)
    if action not in ACTIONS:
        raise InvalidInput(f"`action` must be one of {', '.join(ACTIONS)}")
    if not sent.has("message"):
        return done(request, here, "console.messages.none_chosen", kind="bad")
    try:
        refs = read_refs({"messages": [orjson.loads(each) for each in sent.all("message")]})
    except orjson.JSONDecodeError as error:
        raise InvalidInput("`message` must be what the list says of a message") from error
    outcomes = await change_messages(request, ACTIONS[action], refs)
    changed = sum(each["changed"] for each in outcomes)
    kind = "good" if changed == len(outcomes) else "bad"
    return done(request, here, f"console.messages.done.{action}", kind=kind, count=changed, chosen=len(outcomes))


ROUTES = [web.get(PAGE.path, show_messages), web.post(PAGE.path, change_chosen)]
