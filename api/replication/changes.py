"""The filtered `_changes` feed: a plain PouchDB follows exactly its part of the database (20 §9)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from aiohttp import web

from api.access.feed import Found, Place
from api.access.index import AccessIndex
from api.access.queries import Row
from api.access.rules import Facts, Scope, facts_of
from api.access.watch import Waiter
from api.errors import StorageError
from api.keys import ACCESS, DB, REQUEST_SETTINGS, SESSIONS, SETTINGS
from api.lifespan import STOPPING
from api.replication.judge import judge
from api.replication.lists import doc_options, lag_headers
from api.replication.scope import account_scope
from api.replication.tokens import Position, position_of
from api.replication.upstream import bad_request, read_object
from api.responses import JSON_TYPE, Stream
from api.sessions import User
from core.errors import DomainError, InvalidInput, NotFound

NO_LIMIT = 1_000_000_000
HELD_FEEDS = frozenset({"longpoll", "continuous", "eventsource"})
LEAST_HEARTBEAT_MS, DEFAULT_HEARTBEAT_MS = 5000, 60_000  # REPL-70
DEBOUNCE_MS, CHANGES_LIMIT = 200, 100  # of settings.changes_controller
STORAGE_PAGE = 500  # changes read from CouchDB at once to continue from a sequence of its own
LEAVES_PAGE = 100  # ids up to which CouchDB looks documents up instead of reading its whole feed
ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Params:
    """What of the request counts (REPL-64, REPL-65); all else is ignored."""

    since: str
    limit: int
    held: bool
    timeout_s: float | None
    heartbeat_s: float | None
    all_leaves: bool
    include_docs: bool
    deletions: bool
    doc_ids: frozenset[str] | None


async def answer_changes(request: web.Request, user: User) -> web.StreamResponse:
    """GET or POST /<db>/_changes: allowed changes after `since`, held open for news when asked to."""
    params = await read_params(request)
    response = Stream(headers={"Content-Type": JSON_TYPE})
    heart = Heart(request, response, params.heartbeat_s)
    try:
        access = request.config_dict[ACCESS]
        behind = await access.catch_up(request.config_dict[DB])
        if not response.prepared:
            response.headers.update(lag_headers(behind))
        feed = Feed(request, user, params)
        await feed.gather()
        rows = await feed.finished_rows()
        await heart.stop()
        return await send(request, response, rows, feed.last_seq)
    except DomainError as error:
        if error.status < 500 or response.prepared:
            raise
        raise StorageError(error.status, "Error processing your changes", error.message) from error  # REPL-77
    finally:
        await heart.stop()


async def read_params(request: web.Request) -> Params:
    body = await read_object(request) if request.method == "POST" else {}
    query: Mapping[str, str] = request.query
    limit = number(query, "limit")
    timeout_ms = number(query, "timeout")
    doc_ids = None
    if query.get("filter") == "_doc_ids":
        doc_ids = body.get("doc_ids", json_list(query.get("doc_ids", "[]")))
        if not isinstance(doc_ids, list):
            raise bad_request("`doc_ids` must be an array of document ids.")
        doc_ids = frozenset(each for each in doc_ids if isinstance(each, str))
    return Params(
        since=unquoted(query.get("since", "0")),
        limit=NO_LIMIT if limit is None else max(1, limit),
        held=query.get("feed") in HELD_FEEDS,
        timeout_s=None if timeout_ms is None else timeout_ms / 1000,
        heartbeat_s=heartbeat_s(query.get("heartbeat")),
        all_leaves=query.get("style") == "all_docs",
        include_docs=query.get("include_docs") == "true",
        deletions=query.get("initial_replication") != "true",
        doc_ids=doc_ids,
    )


def number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise bad_request(f"`{name}` must be a whole number.")
    return int(text)


def json_list(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def unquoted(since: str) -> str:
    """A sequence may come as the JSON text that CouchDB also takes."""
    return since[1:-1] if len(since) > 1 and since[0] == since[-1] == '"' else since


def heartbeat_s(text: str | None) -> float | None:
    """REPL-70: none unless asked for; what is no number, or less than 5 s, means a minute."""
    if text is None or text == "false":
        return None
    asked_ms = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return (asked_ms if asked_ms >= LEAST_HEARTBEAT_MS else DEFAULT_HEARTBEAT_MS) / 1000


class Heart:
    """Writes a newline at an interval while the answer is not ready, so that the connection is seen to live."""

    def __init__(self, request: web.Request, response: Stream, interval_s: float | None) -> None:
        self._request = request
        self._response = response
        self._beat = asyncio.Lock()
        self._task = None if interval_s is None else asyncio.create_task(self._run(interval_s))

    async def _run(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            async with self._beat:
                if not self._response.prepared:
                    await self._response.prepare(self._request)
                await self._response.write(b"\n")

    async def stop(self) -> None:
        """Between two beats, never within one."""
        if self._task is not None:
            async with self._beat:
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


class Feed:
    """One request's way through the changes: where it stands and the rows it has found."""

    def __init__(self, request: web.Request, user: User, params: Params) -> None:
        self.request = request
        self.access: AccessIndex = request.config_dict[ACCESS]
        self.user = user
        self.params = params
        self.rows: dict[str, tuple[str, Row]] = {}
        self.last_seq = params.since

    @property
    def scope(self) -> Scope:
        settings = self.request.config_dict[SETTINGS].current if self.params.held else self.request[REQUEST_SETTINGS]
        user = self.user
        return account_scope(settings, user.name, user.roles, user.facility_ids, user.contact_id)

    async def gather(self) -> None:
        """Fill `rows` and `last_seq`; a held feed waits for the first change and a quiet moment after it."""
        scope = self.scope
        if not self.params.held:
            await self.read(scope)
            return
        waiter = self.access.watch.join((*scope.facilities, *scope.own_keys, *scope.own_ids))
        try:
            await self.read(scope)
            await self.hold(waiter, scope)
        finally:
            self.access.watch.leave(waiter)

    async def hold(self, waiter: Waiter, scope: Scope) -> None:
        """REPL-68, REPL-69, REPL-72: read again whenever a change may concern the scope."""
        controller = self.request[REQUEST_SETTINGS].section("changes_controller")
        debounce_s = positive(controller.get("debounce_interval"), DEBOUNCE_MS) / 1000
        most = min(self.params.limit, positive(controller.get("changes_limit"), CHANGES_LIMIT))
        if self.rows:
            return  # they were there already: answer at once
        loop = asyncio.get_running_loop()
        ends_at_s = None if self.params.timeout_s is None else loop.time() + self.params.timeout_s
        while len(self.rows) < most:
            left_s = None if ends_at_s is None else max(0.0, ends_at_s - loop.time())
            if not await self.wait(waiter, debounce_s if self.rows else left_s):
                break
            waiter.woken.clear()
            before = len(self.rows)
            await self.read(scope)
            if scope.user_id in self.rows and await self.account_changed():
                await self.read_again()
                break

            if before and len(self.rows) == before:
                break
        if not self.rows:
            await self.read(scope)

    async def wait(self, waiter: Waiter, most_s: float | None) -> bool:
        """True when woken by a change; False when the time is over or the server stops."""
        stopping = self.request.config_dict[STOPPING]
        tasks = {asyncio.create_task(waiter.woken.wait()), asyncio.create_task(stopping.wait())}
        try:
            await asyncio.wait(tasks, timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        return waiter.woken.is_set() and not stopping.is_set()

    async def account_changed(self) -> bool:
        """Whether the caller's own account means another scope by now (REPL-74)."""
        user = await self.request.config_dict[SESSIONS].resolve(self.request)
        if user is None or user == self.user:
            return False
        self.user = user
        return True

    async def read_again(self) -> None:
        self.rows.clear()
        self.last_seq = self.params.since
        await self.read(self.scope)

    async def read(self, scope: Scope) -> None:
        """Add what changed since `last_seq`, up to the limit."""
        state = await self.access.state()
        position = position_of(self.last_seq, state)
        place = position.local(state)
        if place is None:
            place = await self.read_from_storage(scope, position.couch_seq)
        while place is not None:
            room = self.params.limit - len(self.rows)
            found = await self.access.changes(scope, place, room, deletions=self.params.deletions)
            await self.add_found(found, place, state.epoch)
            if len(self.rows) >= self.params.limit or found.place.whole == found.place.change:
                break
            place = found.place

    async def add_found(self, found: Found, since: Place, epoch: str) -> None:
        """Rows with their sequences: continuing from the last one, or from `last_seq`, is continuing from the end."""
        couch_seq = await self.access.position_before(since.change)
        for change, row in found.rows:
            self.add(str(Position(replace(found.on_the_way, change=change), epoch, couch_seq)), row)
        complete = found.place.whole == found.place.change
        if complete and found.rows:
            change, row = found.rows[-1]
            self.add(str(Position(Place.at(change), epoch, couch_seq)), row)
        couch_seq = await self.access.position_before(found.place.change)
        self.last_seq = str(Position(found.place, epoch, couch_seq))

    async def read_from_storage(self, scope: Scope, couch_seq: str) -> Place | None:
        """Go from a sequence of CouchDB's to a place in this index; None when the limit was reached on the way.

        What CouchDB says has changed is judged by the index. Afterwards everything that the index knew when this began
        has been passed, so the client continues from there. A sequence that CouchDB refuses begins at 0.
        """
        state = await self.access.state()
        while True:
            try:
                page = await self.request.config_dict[DB].changes(couch_seq, limit=STORAGE_PAGE)
            except (InvalidInput, NotFound):
                return Place.at(0)
            results = page["results"]
            for row in await self.access.named_changes(scope, [row["id"] for row in results], state.change):
                if self.params.deletions or not row.deleted:
                    self.add(str(Position.in_storage(couch_seq)), row)
            couch_seq = str(page["last_seq"])
            complete = len(results) < STORAGE_PAGE
            self.last_seq = str(Position.at_end(state) if complete else Position.in_storage(couch_seq))
            if len(self.rows) >= self.params.limit:
                return None
            if complete:
                return Place.at(state.change)

    def add(self, seq: str, row: Row) -> None:
        """One row per document, at its latest place (REPL-66)."""
        if self.params.doc_ids is None or row.id in self.params.doc_ids:
            self.rows.pop(row.id, None)
            self.rows[row.id] = (seq, row)

    async def finished_rows(self) -> list[dict[str, Any]]:
        """The rows as they go out."""
        rows = [change_row(seq, row) for seq, row in self.rows.values()]
        if self.params.all_leaves:
            await self.add_leaves(rows)
        return await self.with_docs(rows) if self.params.include_docs else rows

    async def add_leaves(self, rows: list[dict[str, Any]]) -> None:
        """`style=all_docs`: every leaf revision, winner first, as CouchDB has them now."""
        db = self.request.config_dict[DB]
        for start in range(0, len(rows), LEAVES_PAGE):
            page = {row["id"]: row for row in rows[start : start + LEAVES_PAGE]}
            params = {"filter": "_doc_ids", "style": "all_docs"}
            answer = await db.request("POST", "/_changes", params=params, body={"doc_ids": list(page)})
            for found in answer["results"]:
                if found["id"] in page:
                    page[found["id"]]["changes"] = found["changes"]

    async def with_docs(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows with their documents, each judged by its body; what is not the caller's by now is left out."""
        db = self.request.config_dict[DB]
        kept: list[dict[str, Any]] = []
        for start in range(0, len(rows), LEAVES_PAGE):
            page = rows[start : start + LEAVES_PAGE]
            live = [row["id"] for row in page if "deleted" not in row]
            found = await db.all_docs(live, include_docs=True, **doc_options(self.request)) if live else []
            docs = {row["id"]: row["doc"] for row in found if row.get("doc")}
            facts: list[Facts] = [facts_of(doc) for doc in docs.values()]
            verdicts = await judge(self.request, self.scope, facts)
            allowed = {each.id for each, verdict in zip(facts, verdicts, strict=True) if verdict}
            for row in page:
                if "deleted" in row:
                    stub = {"_id": row["id"], "_rev": row["changes"][0]["rev"], "_deleted": True}
                    kept.append({**row, "doc": stub})
                elif row["id"] in allowed:
                    kept.append({**row, "doc": docs[row["id"]]})
        return kept


def positive(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def change_row(seq: str, row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"seq": seq, "id": row.id, "changes": [{"rev": row.rev}]}
    return {**found, "deleted": True} if row.deleted else found


async def send(request: web.Request, response: Stream, rows: list[dict[str, Any]], last_seq: str) -> web.StreamResponse:
    if not response.prepared:
        await response.prepare(request)
    await response.write(b'{"results":[')
    for start in range(0, len(rows), ROWS_AT_ONCE):
        text = orjson.dumps(rows[start : start + ROWS_AT_ONCE])
        await response.write((b",\n" if start else b"") + text[1:-1])
    await response.write(b'],"last_seq":' + orjson.dumps(last_seq) + b"}\n")
    await response.write_eof()
    return response
