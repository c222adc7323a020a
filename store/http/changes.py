"""`_changes` in all its modes: one answer, long poll, continuous lines, server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from aiohttp import web

from store.changes import (
    ROWS_PER_BATCH,
    ROWS_PER_BATCH_WITH_DOCS,
    Change,
    FeedParams,
    Passes,
    count_pending,
    filtered,
    read_changes,
)
from store.database import Database
from store.documents import load_json, load_object
from store.errors import BadRequest, NotFound, StoreError
from store.http.call import Call
from store.http.javascript_request import javascript_request
from store.mango_options import check_fields
from store.permissions import require_reader_of_all
from store.reads import DocOptions
from store.selector import compile_selector
from store.selector_paths import field_path
from store.seqs import parse_seq

_DEFAULT_HOLD_MS = 60_000
_UNLIMITED = 2**62


@dataclass(frozen=True, slots=True)
class Feed:
    """One request for changes, checked."""

    mode: str
    since: int
    limit: int
    descending: bool
    timeout_s: float | None  # of a held feed without news; None: for ever, with heartbeats
    heartbeat_s: float | None
    params: FeedParams
    passes: Passes | None  # a filter function, for a batch of documents
    seq_interval: int


async def changes(call: Call, database: Database) -> web.StreamResponse:
    """GET or POST /{db}/_changes: what was written after `since`."""
    require_reader_of_all(call.user, database.name, database.security)
    feed = await _parse(call, database)
    if feed.mode == "continuous":
        return await call.stream(_lines(call, database, feed), held=True)
    if feed.mode == "eventsource":
        return await call.stream(
            _events(call, database, feed),
            content_type="text/event-stream",
            headers={"Cache-Control": "no-cache"},
            held=True,
        )
    return await call.stream(_answer(call, database, feed), held=feed.mode == "longpoll")


async def _parse(call: Call, database: Database) -> Feed:
    query = call.query
    body: dict[str, Any] = {}
    if call.method == "POST":
        call.require_json()
        raw = await call.body()
        body = load_object(raw) if raw.strip() else {}
    mode = query.get("feed", "normal")
    mode = "continuous" if mode == "live" else mode
    if mode not in ("normal", "longpoll", "continuous", "eventsource"):
        raise BadRequest("Supported `feed` types: normal, continuous, live, longpoll, eventsource")
    since: object = query.get("since", "0")
    last_event = query.get("last-event-id") or call.request.headers.get("Last-Event-ID")
    if last_event and mode in ("eventsource", "continuous", "normal", "longpoll"):
        since = last_event
    if (seq_interval := call.count("seq_interval", 1)) < 1:
        raise BadRequest("`seq_interval` must be a number above zero")
    style = query.get("style", "main_only")
    if style not in ("main_only", "all_docs"):
        raise BadRequest("Supported `style` values: main_only, all_docs")
    heartbeat_s, timeout_s = parse_hold(query.get("heartbeat"), query.get("timeout"))
    params = FeedParams(
        all_leaves=style == "all_docs",
        include_docs=call.flag("include_docs"),
        options=DocOptions(conflicts=call.flag("conflicts"), attachments=call.flag("attachments")),
    )
    params, passes = await _filter(call, database, params, body)
    descending = call.flag("descending")
    since_seq = parse_seq(since, database.mark, database.update_seq)
    return Feed(
        mode=mode,
        since=0 if descending else since_seq,  # what is told from the newest on ends with the oldest, as in CouchDB
        limit=call.count("limit", _UNLIMITED),
        descending=descending,
        timeout_s=timeout_s,
        heartbeat_s=heartbeat_s,
        params=params,
        passes=passes,
        seq_interval=seq_interval,
    )


def parse_hold(heartbeat: str | None, timeout: str | None) -> tuple[float | None, float | None]:
    """(heartbeat, timeout) in seconds: a feed with a heartbeat is held for ever, any other at most a minute."""
    if heartbeat is not None and heartbeat != "false":
        if heartbeat == "true":
            return _DEFAULT_HOLD_MS / 1000, None
        if not _is_number(heartbeat) or not int(heartbeat):
            raise BadRequest("`heartbeat` must be true or a number of milliseconds above zero")
        return int(heartbeat) / 1000, None
    if timeout is None:
        return None, _DEFAULT_HOLD_MS / 1000
    if not _is_number(timeout):
        raise BadRequest("`timeout` must be a number of milliseconds")
    return None, min(int(timeout), _DEFAULT_HOLD_MS) / 1000


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


async def _filter(
    call: Call, database: Database, params: FeedParams, body: dict[str, Any]
) -> tuple[FeedParams, Passes | None]:
    name = call.query.get("filter")
    if not name:
        return params, None
    if name == "_doc_ids":
        ids = body.get("doc_ids") if call.method == "POST" else load_json(call.query.get("doc_ids", "null").encode())
        if not isinstance(ids, list) or not all(isinstance(doc_id, str) for doc_id in ids):
            raise BadRequest("`doc_ids` filter parameter is not a list of doc ids.")
        return replace(params, doc_ids=tuple(ids)), None
    if name == "_design":
        return replace(params, design_only=True), None
    if name == "_selector":
        if "selector" not in body:
            raise BadRequest("Selector must be specified in POST payload")
        if not isinstance(body["selector"], dict):
            raise BadRequest("Selector error: expected a JSON object")
        try:
            matches = compile_selector(body["selector"])
            fields = check_fields(body.get("fields", []))
        except StoreError as error:  # here CouchDB has one name for whatever is wrong with a selector
            raise BadRequest(error.reason) from None
        if fields is not None:
            params = replace(params, fields=tuple(field_path(field) for field in fields))
        return replace(params, needs_doc=True), lambda docs: call.in_thread(
            lambda: [matches(load_json(doc)) for doc in docs]
        )
    if name == "_view":
        ddoc_name, slash, view_name = call.query.get("view", "").partition("/")
        if not slash:
            raise BadRequest("`view` filter parameter must be of the form `designname/viewname`")
        ddoc = database.design_doc(f"_design/{ddoc_name}")
        view = (ddoc.doc.get("views") or {}).get(view_name)
        source = view.get("map") if isinstance(view, dict) else None
        if not isinstance(source, str):
            raise NotFound(f"missing json key: {view_name if ddoc.doc.get('views') else 'views'}")
        engine = call.store.javascript.engine(source)
        return replace(params, needs_doc=True), lambda docs: engine.filter_by_view(source, docs)
    ddoc_name, slash, function = name.partition("/")
    if not slash or "/" in function:
        raise BadRequest(
            "unknown builtin filter name"
            if name.startswith("_")
            else "`filter` must be of the form `designname/filtername`"
        )
    ddoc = database.design_doc(f"_design/{ddoc_name}")
    source = (ddoc.doc.get("filters") or {}).get(function)
    if not isinstance(source, str):
        raise NotFound(f"missing json key: {function}" if ddoc.doc.get("filters") else "missing json key: filters")
    request = javascript_request(call, database, body=orjson.dumps(body) if body else None)
    engine = call.store.javascript.engine(source)
    return replace(params, needs_doc=True), lambda docs: engine.filter_docs(source, docs, request, ddoc.source)


async def _batches(database: Database, feed: Feed, after: int, limit: int) -> AsyncIterator[tuple[list[Change], int]]:
    """What passes the filter up to now, batch by batch, each with the seq it was scanned to; at most `limit` in all."""
    until = database.update_seq
    params = feed.params
    size = ROWS_PER_BATCH_WITH_DOCS if params.include_docs or params.needs_doc else ROWS_PER_BATCH
    low, high = after, until
    while limit > 0 and low < high:
        wanted = size if feed.passes else min(size, limit)
        found = await database.read(
            lambda conn, low=low, high=high, wanted=wanted: read_changes(  # type: ignore[misc]
                conn, database.mark, params, low, high, wanted, feed.descending
            )
        )
        kept = found
        if feed.passes and found:
            kept = await filtered(found, feed.passes)
        ended = len(found) < wanted
        scanned = until if ended else found[-1].seq
        if len(kept) >= limit:
            kept = kept[:limit]
            scanned = kept[-1].seq
        limit -= len(kept)
        yield kept, scanned
        if ended:
            return
        if feed.descending:
            high = scanned - 1
        else:
            low = scanned


async def _answer(call: Call, database: Database, feed: Feed) -> AsyncIterator[bytes]:
    """One JSON object; as a long poll it is held until it has a row or its time is over."""
    last, left, separator = feed.since, feed.limit, b'{"results":[\n'  # goes out late: a failing filter is a status
    while True:
        sent = False
        async for batch, scanned in _batches(database, feed, last, left):
            if batch:
                yield separator + b",\n".join(_spaced(batch, feed.seq_interval))
                separator, sent = b",\n", True
                left -= len(batch)
            last = scanned
        if feed.mode == "normal" or sent or left <= 0:
            break
        last = max(last, feed.since)
        if separator:
            yield separator
        separator, held = b"", False
        async for beat in _held(call, database, feed, last):
            if beat:
                yield beat
            else:
                held = True
        if not held:
            break
    if separator and separator != b",\n":
        yield separator
    if feed.mode == "normal" and left == feed.limit:
        last = database.update_seq if last < feed.since or feed.descending else max(last, feed.since)
    pending = 0
    if not feed.descending and last < database.update_seq:
        pending = await database.read(lambda conn: count_pending(conn, feed.params, last))
    end = f'\n],\n"last_seq":"{last}-{database.mark}","pending":{pending}}}\n'
    yield end.encode()


def _spaced(batch: Sequence[Change], interval: int) -> list[bytes]:
    """Rows of which only every `interval`-th has its seq, which saves a cluster work; the last one always has."""
    if interval <= 1:
        return [change.row for change in batch]
    rows = []
    for number, change in enumerate(batch, 1):
        if number % interval and number != len(batch):
            rows.append(b'{"seq":null,' + change.row[change.row.index(b",") + 1 :])
        else:
            rows.append(change.row)
    return rows


async def _held(call: Call, database: Database, feed: Feed, seq: int) -> AsyncIterator[bytes]:
    """Wait for news: a newline at every heartbeat, and an empty piece at the end when there is news."""
    loop = asyncio.get_running_loop()
    ends_at = None if feed.timeout_s is None else loop.time() + feed.timeout_s
    while not call.store.stopping:
        wait_s = feed.heartbeat_s if ends_at is None else ends_at - loop.time()
        if wait_s is not None and wait_s <= 0:
            return
        if await database.news(seq, wait_s):
            yield b""
            return
        if database.deleted or ends_at is not None:
            return
        yield b"\n"


async def _rows(call: Call, database: Database, feed: Feed) -> AsyncIterator[tuple[list[Change] | None, int]]:
    """The changes of a feed that stays open; None stands for a heartbeat."""
    last, left = feed.since, feed.limit
    while True:
        async for batch, scanned in _batches(database, feed, last, left):
            left -= len(batch)
            last = scanned
            if batch:
                yield batch, last
        if left <= 0 or feed.descending:
            return
        held = False
        async for beat in _held(call, database, feed, last):
            if beat:
                yield None, last
            else:
                held = True
        if not held:
            yield [], last
            return


async def _lines(call: Call, database: Database, feed: Feed) -> AsyncIterator[bytes]:
    yield b""  # the client learns at once that it is connected
    last = feed.since
    async for batch, scanned in _rows(call, database, feed):
        last = scanned
        yield b"\n" if batch is None else b"".join(change.row + b"\n" for change in batch)
    pending = await database.read(lambda conn: count_pending(conn, feed.params, last)) if not database.deleted else 0
    yield f'{{"last_seq":"{last}-{database.mark}","pending":{pending}}}\n'.encode()


async def _events(call: Call, database: Database, feed: Feed) -> AsyncIterator[bytes]:
    yield b""
    async for batch, _ in _rows(call, database, feed):
        if batch is None:
            yield b"event: heartbeat\ndata: \n\n"
        elif batch:
            mark = database.mark.encode()
            yield b"".join(b"data: %b\nid: %d-%b\n\n" % (change.row, change.seq, mark) for change in batch)
