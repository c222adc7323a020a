"""The filtered `_changes` feed: a plain PouchDB follows exactly its part of the database (20 §9)."""

from __future__ import annotations

import orjson
from aiohttp import web

from api.errors import StorageError
from api.keys import LAG
from api.replication.changes_params import LONGPOLL, read_params
from api.replication.feed import Feed
from api.replication.held import Heart, long_poll, stream_changes
from api.replication.lists import lag_headers
from api.responses import JSON_TYPE, Stream
from api.sessions import User
from core.deep_json import dumps
from core.errors import DomainError


async def answer_changes(request: web.Request, user: User) -> web.StreamResponse:
    """GET or POST /<db>/_changes: allowed changes after `since`, held open for news when asked to."""
    params = await read_params(request)
    feed = Feed(request, user, params)
    if params.feed in (None, LONGPOLL):
        return await answer_once(request, feed)
    behind = await request.config_dict[LAG].behind(user.name)
    return await stream_changes(feed, lag_headers(behind))


async def answer_once(request: web.Request, feed: Feed) -> web.StreamResponse:
    """One JSON object, for `normal` and `longpoll`; newlines before it show that the connection lives (REPL-70)."""
    response = Stream(headers={"Content-Type": JSON_TYPE})
    heart = Heart(request, response, feed.params.heartbeat_s)
    try:
        behind = await request.config_dict[LAG].behind(feed.user.name)
        if not response.prepared:
            response.headers.update(lag_headers(behind))
        if feed.params.feed == LONGPOLL:
            await long_poll(feed)
        else:
            await feed.read(feed.params.limit)
        await heart.stop()
        return await send(request, response, feed)
    except DomainError as error:
        if error.status < 500 or response.prepared:
            raise
        raise StorageError(error.status, "Error processing your changes", error.message) from error  # REPL-77
    finally:
        await heart.stop()


async def send(request: web.Request, response: Stream, feed: Feed) -> web.StreamResponse:
    head = b'{"results":['
    async for rows in feed.pages():
        if rows:
            await begin(request, response)
            await response.write(head + dumps(rows)[1:-1])
            head = b",\n"
    await begin(request, response)
    tail = b'],"last_seq":' + orjson.dumps(feed.last_seq) + b"}\n"
    await response.write(tail if head == b",\n" else head + tail)
    await response.write_eof()
    return response


async def begin(request: web.Request, response: Stream) -> None:
    if not response.prepared:
        await response.prepare(request)
