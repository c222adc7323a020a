"""Follow a changes feed for ever, batch by batch, through dropped connections and restarts of CouchDB."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from core.couch.client import Database, Doc
from core.errors import DomainError

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0
PAGE = 1000  # changes, with their documents
CRAWLS_S = 0.5  # longer for a page of the feed, and its documents are read another way
DOCS_AT_ONCE = 50  # in one of a page's requests for documents


@dataclass(frozen=True)
class Change:
    """One row of the feed. `doc` only where the feed was asked for documents. Never compare or parse `seq`.

    `leaves` counts the leaf revisions where the feed was asked for them, else it is 1.
    """

    seq: str
    id: str
    rev: str
    deleted: bool
    doc: Doc | None = None
    leaves: int = 1


@dataclass(frozen=True)
class Batch:
    """Changes in feed order and the position after them. An empty batch means the feed was quiet for a while."""

    changes: tuple[Change, ...]
    last_seq: str
    pending: int


async def follow(
    db: Database,
    since: str | int = "now",
    *,
    limit: int = 500,
    include_docs: bool = False,
    all_leaves: bool = False,
    heartbeat_s: float = 25.0,
    doc_ids: list[str] | None = None,
) -> AsyncGenerator[Batch, None]:
    """Batches of at most `limit` changes after `since`, without end.

    Long polls, so the next batch is only asked for when the last one has been dealt with: waiting is the
    backpressure. When CouchDB is away the feed waits, with growing, jittered pauses, and goes on where it was.
    What CouchDB refuses (NotFound when the database is gone, Unauthorized) is raised. A document of which no sense can
    be made is left out of its change.
    """
    position: str | int = since
    wait_s = FIRST_WAIT_S
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=heartbeat_s * 2)
    params: dict[str, Any] = {"feed": "longpoll", "limit": limit, "heartbeat": int(heartbeat_s * 1000)}
    if include_docs:
        params["include_docs"] = True
    if all_leaves:
        params["style"] = "all_docs"
    if doc_ids is not None:
        params["filter"] = "_doc_ids"
    body = None if doc_ids is None else {"doc_ids": doc_ids}

    async def ask(**wishes: Any) -> Any:
        method = "GET" if body is None else "POST"
        return await db.request(method, "/_changes", params={**params, **wishes}, body=body, timeout=timeout)

    while True:
        try:
            try:
                answer = await ask(since=position)
            except orjson.JSONDecodeError:
                answer = await ask(since=position, include_docs=False)
                answer["results"] = await with_docs(db, answer["results"])
        except DomainError as error:
            if error.status < 500:
                raise
            log.warning("changes feed of %s: %s; trying again in %.1f s", db.name, error.message, wait_s)
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            continue
        wait_s = FIRST_WAIT_S
        position = str(answer["last_seq"])
        yield Batch(
            changes=tuple(change_of(row) for row in answer["results"]),
            last_seq=position,
            pending=int(answer.get("pending") or 0),
        )


async def read_backlog(
    db: Database, since: str, *, all_leaves: bool = False, limit: int = PAGE
) -> AsyncGenerator[Batch, None]:
    """What there is after `since`, with documents, page by page; the next one is on its way while one is used.

    CouchDB reads the documents of a feed one after the other, each behind whatever else reads the database: beside
    view builds such a feed crawls. Then they are asked for by many small requests, which have as many places in that
    queue, as long as this is quicker. Raises what `Database.changes` does.
    """
    params: dict[str, Any] = {"limit": limit, "style": "all_docs"} if all_leaves else {"limit": limit}
    took_s = {"at once": 0.0, "apart": 0.0}  # the last page read in each way

    async def read(position: str) -> Batch:
        crawls = took_s["at once"] > CRAWLS_S
        way = "apart" if crawls and took_s["apart"] < took_s["at once"] else "at once"
        started_s = time.monotonic()
        try:
            answer = await db.changes(position, include_docs=way == "at once", **params)
        except (DomainError, orjson.JSONDecodeError) as error:
            if way == "apart" or (isinstance(error, DomainError) and error.status < 500):
                raise
            took_s["at once"] = math.inf  # so slowly that nobody waited for its end, or no sense can be made of it
            return await read(position)
        rows = answer["results"] if way == "at once" else await with_docs(db, answer["results"])
        took_s[way] = time.monotonic() - started_s
        return Batch(tuple(map(change_of, rows)), str(answer["last_seq"]), int(answer.get("pending") or 0))

    page = asyncio.create_task(read(since))
    try:
        while True:
            batch = await page
            if batch.pending:
                page = asyncio.create_task(read(batch.last_seq))
            yield batch
            if not batch.pending:
                return
    finally:
        page.cancel()
        await asyncio.gather(page, return_exceptions=True)


async def with_docs(db: Database, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a feed with their documents."""
    parts = (rows[start : start + DOCS_AT_ONCE] for start in range(0, len(rows), DOCS_AT_ONCE))
    docs: dict[str, Doc] = {}
    for found in await asyncio.gather(*(docs_of(db, part) for part in parts)):
        docs |= found
    return [{**row, "doc": docs.get(row["id"])} for row in rows]


async def docs_of(db: Database, rows: Sequence[dict[str, Any]]) -> dict[str, Doc]:
    """The documents of rows of a feed, deleted ones as well; in their latest revision where the row's is gone.

    Without those of which no sense can be made: CouchDB stores some that JSON libraries refuse, nested a thousand
    levels deep for instance.
    """
    wanted = [{"id": row["id"], "rev": row["changes"][0]["rev"]} for row in rows]
    try:
        answer = await db.request("POST", "/_bulk_get", body={"docs": wanted})
        found = {result["id"]: leaf["ok"] for result in answer["results"] for leaf in result["docs"] if "ok" in leaf}
        gone = [row["id"] for row in rows if row["id"] not in found and not row.get("deleted")]
        return found | (await db.get_many(gone) if gone else {})
    except orjson.JSONDecodeError as error:
        if len(rows) == 1:
            log.warning("document %s of %s cannot be read: %s", rows[0]["id"], db.name, error)
            return {}
    half = len(rows) // 2
    return await docs_of(db, rows[:half]) | await docs_of(db, rows[half:])


def change_of(row: dict[str, Any]) -> Change:
    return Change(
        seq=str(row["seq"]),
        id=row["id"],
        rev=row["changes"][0]["rev"],
        deleted=bool(row.get("deleted")),
        doc=row.get("doc"),
        leaves=len(row["changes"]),
    )
