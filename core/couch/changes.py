"""Follow a changes feed for ever, batch by batch, through dropped connections and restarts of CouchDB."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from core.couch.client import Database, Doc
from core.errors import DomainError

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 10.0


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
) -> AsyncIterator[Batch]:
    """Batches of at most `limit` changes after `since`, without end.

    Long polls, so the next batch is only asked for when the last one has been dealt with: waiting is the
    backpressure. When CouchDB is away the feed waits, with growing, jittered pauses, and goes on where it was.
    What CouchDB refuses (NotFound when the database is gone, Unauthorized) is raised.
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
    while True:
        try:
            answer = await db.request(
                "GET" if body is None else "POST",
                "/_changes",
                params={**params, "since": position},
                body=body,
                timeout=timeout,
            )
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


def change_of(row: dict[str, Any]) -> Change:
    return Change(
        seq=str(row["seq"]),
        id=row["id"],
        rev=row["changes"][0]["rev"],
        deleted=bool(row.get("deleted")),
        doc=row.get("doc"),
        leaves=len(row["changes"]),
    )
