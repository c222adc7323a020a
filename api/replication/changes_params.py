"""What of a `_changes` request counts (REPL-64, REPL-65, REPL-70); all else of it is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from api.replication.upstream import bad_request, read_object

NO_LIMIT = 1_000_000_000
LONGPOLL, CONTINUOUS, EVENTSOURCE = "longpoll", "continuous", "eventsource"
LEAST_HEARTBEAT_MS, DEFAULT_HEARTBEAT_MS = 5000, 60_000  # REPL-70


@dataclass(frozen=True)
class Params:
    """`feed` is None for an answer at once. `doc_ids` is None where every allowed document is asked for."""

    feed: str | None
    since: str
    limit: int
    timeout_s: float | None
    heartbeat_s: float | None
    all_leaves: bool
    include_docs: bool
    deletions: bool
    doc_ids: frozenset[str] | None


async def read_params(request: web.Request) -> Params:
    """The request's parameters. StorageError 400 names the one that cannot be read."""
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
    feed = query.get("feed")
    return Params(
        feed=feed if feed in (LONGPOLL, CONTINUOUS, EVENTSOURCE) else None,
        since=unquoted(asked_since(request, feed)),
        limit=NO_LIMIT if limit is None else max(1, limit),
        timeout_s=None if timeout_ms is None else timeout_ms / 1000,
        heartbeat_s=heartbeat_s(query.get("heartbeat")),
        all_leaves=query.get("style") == "all_docs",
        include_docs=query.get("include_docs") == "true",
        deletions=query.get("initial_replication") != "true",
        doc_ids=doc_ids,
    )


def asked_since(request: web.Request, feed: str | None) -> str:
    """An event source that connects again says in a header how far it has come, and repeats its old query."""
    since = request.query.get("since", "0")
    return request.headers.get("Last-Event-ID", since) if feed == EVENTSOURCE else since


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
