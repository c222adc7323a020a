"""Feeds that are held open for news: the long poll, and the streams that never end by themselves (20 §9).

A held feed is a sleeping coroutine. It is woken by changes that may concern its scope, by what becomes of its account,
and by the end of the server; whatever it sends is read after its session was looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from aiohttp import web

from api.access.watch import Waiter
from api.keys import REQUEST_SETTINGS, SESSIONS, STOPPING
from api.replication.changes_params import CONTINUOUS, EVENTSOURCE
from api.replication.feed import Feed
from api.responses import Stream
from core.deep_json import dumps
from core.errors import Unauthorized

DEBOUNCE_MS, CHANGES_LIMIT = 200, 100  # of settings.changes_controller
STREAM_PAGE = 1000  # rows found at once

STREAM_TYPES = {CONTINUOUS: "application/json", EVENTSOURCE: "text/event-stream"}
BEATS = {CONTINUOUS: b"\n", EVENTSOURCE: b"event: heartbeat\ndata: \n\n"}


class Heart:
    """Writes a sign of life at an interval while there is nothing to send."""

    def __init__(self, request: web.Request, response: Stream, interval_s: float | None, beat: bytes = b"\n") -> None:
        self._request = request
        self._response = response
        self._sign = beat
        self._beat = asyncio.Lock()
        self._task = None if interval_s is None else asyncio.create_task(self._run(interval_s))

    async def _run(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            async with self._beat:
                if not self._response.prepared:
                    self._response.as_is = True
                    await self._response.prepare(self._request)
                await self._response.write(self._sign)

    async def stop(self) -> None:
        """Between two beats, never within one."""
        if self._task is not None:
            async with self._beat:
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


class Hold:
    """A feed's place among those that wait. Use `holding`, which takes it away again."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._watch = feed.access.watch
        self._stopping = feed.request.config_dict[STOPPING]
        self._waiter = self._join()

    def _join(self) -> Waiter:
        scope = self.feed.scope
        return self._watch.join((*scope.facilities, *scope.own_keys, *scope.own_ids))

    def leave(self) -> None:
        self._watch.leave(self._waiter)

    def wake(self) -> None:
        self._waiter.woken.set()

    async def wait(self, most_s: float | None) -> bool:
        """Sleep until woken; False when the time is over or the server stops."""
        try:
            async with asyncio.timeout(most_s):
                await self._waiter.woken.wait()
        except TimeoutError:
            return False
        self._waiter.woken.clear()
        return not self._stopping.is_set()

    async def refresh(self) -> bool:
        """See `Feed.refresh`; from then on the feed is woken for its new scope."""
        changed = await self.feed.refresh()
        if changed:
            self.leave()
            self._waiter = self._join()
        return changed


@contextmanager
def holding(feed: Feed) -> Iterator[Hold]:
    """The feed among those that are woken: by changes from now on, and when its account changes."""
    sessions = feed.request.config_dict[SESSIONS]
    hold = Hold(feed)
    with sessions.watching(feed.user.name, hold.wake):
        try:
            yield hold
        finally:
            hold.leave()


async def long_poll(feed: Feed) -> None:
    """Fill the feed's rows; where there are none wait for the first and a quiet moment after it (REPL-68, REPL-69)."""
    params = feed.params
    controller = feed.request[REQUEST_SETTINGS].section("changes_controller")
    debounce_s = positive(controller.get("debounce_interval"), DEBOUNCE_MS) / 1000
    most = min(params.limit, positive(controller.get("changes_limit"), CHANGES_LIMIT))
    loop = asyncio.get_running_loop()
    ends_at_s = None if params.timeout_s is None else loop.time() + params.timeout_s
    with holding(feed) as hold:
        await feed.read(params.limit)
        if feed.rows:
            return  # they were there already: answer at once
        while len(feed.rows) < most:
            left_s = None if ends_at_s is None else max(0.0, ends_at_s - loop.time())
            if not await hold.wait(debounce_s if feed.rows else left_s):
                break
            changed = await hold.refresh()
            if not feed.user.offline:
                return  # the next request finds another answer than ours
            before = len(feed.rows)
            await feed.read(params.limit)
            if before and len(feed.rows) == before and not changed:
                break
    if not feed.rows:
        await feed.read(params.limit)


def positive(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


async def stream_changes(feed: Feed, headers: dict[str, str]) -> web.StreamResponse:
    """`feed=continuous` and `eventsource`: every row as it comes, until `limit`, `timeout` without any, or the end of
    the session. A continuous feed ends with a line that says how far it has come."""
    request, params = feed.request, feed.params
    kind = str(params.feed)
    response = Stream(headers={"Content-Type": STREAM_TYPES[kind], "Cache-Control": "no-cache", **headers})
    response.as_is = True
    await response.prepare(request)
    heart = Heart(request, response, params.heartbeat_s, BEATS[kind])
    left = params.limit
    try:
        with holding(feed) as hold:
            while left and feed.user.offline:
                complete = await feed.read(min(left, STREAM_PAGE))
                async for rows in feed.pages():
                    await response.write(b"".join(stream_row(row, kind) for row in rows))
                    left = max(0, left - len(rows))
                if left and complete and not await hold.wait(params.timeout_s):
                    break
                try:
                    await hold.refresh()
                except Unauthorized:
                    break
    finally:
        await heart.stop()
    if kind == CONTINUOUS:
        await response.write(orjson.dumps({"last_seq": feed.last_seq, "pending": 0}) + b"\n")
    await response.write_eof()
    return response


def stream_row(row: dict[str, Any], kind: str) -> bytes:
    text = dumps(row)
    if kind == CONTINUOUS:
        return text + b"\n"
    return b"data: " + text + b"\nid: " + orjson.dumps(row["seq"]) + b"\n\n"
