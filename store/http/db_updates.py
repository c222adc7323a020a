"""`_db_updates` in all its modes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
from aiohttp import web

from store.db_updates import Update
from store.errors import BadRequest
from store.http.call import Call
from store.http.changes import parse_hold
from store.permissions import require_server_admin

_UNLIMITED = 2**62


@dataclass(frozen=True, slots=True)
class _Feed:
    mode: str
    since: int
    limit: int
    descending: bool
    heartbeat_s: float | None
    timeout_s: float | None


async def db_updates(call: Call) -> web.StreamResponse:
    """GET /_db_updates: databases created, updated and deleted after `since`. Server admins only."""
    require_server_admin(call.user)
    query = call.query
    mode = query.get("feed", "normal")
    if mode not in ("normal", "longpoll", "continuous", "eventsource"):
        raise BadRequest("Supported `feed` types: normal, continuous, longpoll, eventsource")
    heartbeat_s, timeout_s = parse_hold(query.get("heartbeat"), query.get("timeout"))
    since = call.request.headers.get("Last-Event-ID") or query.get("last-event-id") or query.get("since", "0")
    feed = _Feed(
        mode=mode,
        since=call.store.updates.parse(since),
        limit=max(1, call.count("limit", _UNLIMITED)),
        descending=call.flag("descending"),
        heartbeat_s=heartbeat_s,
        timeout_s=timeout_s,
    )
    if mode == "continuous":
        return await call.stream(_lines(call, feed), held=True)
    if mode == "eventsource":
        return await call.stream(_events(call, feed), content_type="text/event-stream", held=True)
    return await call.stream(_answer(call, feed), held=feed.mode == "longpoll")


def _row(call: Call, update: Update) -> bytes:
    seq = call.store.updates.shown(update.seq)
    return orjson.dumps({"db_name": update.name, "type": update.kind, "seq": seq})


async def _answer(call: Call, feed: _Feed) -> AsyncIterator[bytes]:
    updates = call.store.updates
    yield b'{"results":['
    if feed.mode == "longpoll":
        async for beat in _held(call, feed, feed.since):
            yield beat
    newest = updates.seq
    found = updates.since(feed.since)
    if feed.descending:
        found.reverse()
    shown = found[: feed.limit]
    last = shown[-1].seq if len(shown) < len(found) else newest
    yield b"\n" + b",\n".join(_row(call, update) for update in shown)
    yield f'\n],\n"last_seq":"{updates.shown(last)}"}}\n'.encode()


async def _held(call: Call, feed: _Feed, seq: int) -> AsyncIterator[bytes]:
    """Wait for news, with a newline at every heartbeat; ends when there is news or the time is over."""
    loop = asyncio.get_running_loop()
    ends_at = None if feed.timeout_s is None else loop.time() + feed.timeout_s
    while not call.store.stopping:
        wait_s = feed.heartbeat_s if ends_at is None else ends_at - loop.time()
        if wait_s is not None and wait_s <= 0:
            return
        if await call.store.updates.news(seq, wait_s) or ends_at is not None:
            return
        yield b"\n"


async def _batches(call: Call, feed: _Feed) -> AsyncIterator[list[Update]]:
    """What happens, as it happens, until the feed's time or limit is over; an empty batch is a heartbeat."""
    updates, seq, left = call.store.updates, feed.since, feed.limit
    while True:
        found = updates.since(seq)[:left]
        if found:
            seq, left = found[-1].seq, left - len(found)
            yield found
        if left <= 0:
            return
        async for _ in _held(call, feed, seq):
            yield []
        if updates.seq <= seq:
            return


async def _lines(call: Call, feed: _Feed) -> AsyncIterator[bytes]:
    yield b""
    last = feed.since
    async for batch in _batches(call, feed):
        yield b"".join(_row(call, update) + b"\n" for update in batch) or b"\n"
        last = batch[-1].seq if batch else last
    yield orjson.dumps({"last_seq": call.store.updates.shown(last)}) + b"\n"


async def _events(call: Call, feed: _Feed) -> AsyncIterator[bytes]:
    yield b""
    async for batch in _batches(call, feed):
        if not batch:
            yield b"event: heartbeat\ndata: \n\n"
        for update in batch:
            yield b"data: %b\nid: %b\n\n" % (_row(call, update), call.store.updates.shown(update.seq).encode())
