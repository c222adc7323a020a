"""The indexes of staged design documents: built beside the running ones, and how far they are (UPG-15, UPG-17)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote, unquote

import aiohttp

from core.couch.client import Couch, Database, Doc
from core.errors import DomainError, Unavailable
from core.upgrades.staging import STAGED, Databases, live_id, staged_docs

log = logging.getLogger(__name__)

AT_ONCE = 2  # design documents: all at once would leave nothing for the phones (DDOC-94)
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)  # an index is built before the answer
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
ATTEMPTS = 5


async def warm(dbs: Databases) -> None:
    """Have every index of what is staged built and brought up to date. A CouchDB that is away is waited for.

    Raises the DomainError of what CouchDB refuses, such as a view that cannot be compiled.
    """
    places = asyncio.Semaphore(AT_ONCE)

    async def warm_one(db: Database, ddoc: Doc) -> None:
        async with places:
            for view in ddoc.get("views", {}):
                if view != "lib":
                    await query(db, ddoc["_id"], view)

    found = [(db, ddoc) for db in dbs.values() for ddoc in await staged_docs(db)]
    tasks = [asyncio.create_task(warm_one(db, ddoc)) for db, ddoc in found]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def query(db: Database, ddoc_id: str, view: str) -> None:
    """Read one row, which waits for the index; asked again for as long as CouchDB does not answer.

    What it calls an error of its own (500), as when a node is restarted, is asked again some times only.
    """
    path = f"/_design/{quote(ddoc_id.removeprefix('_design/'), safe='')}/_view/{quote(view, safe='')}"
    pause_s, attempts = FIRST_PAUSE_S, 0
    while True:
        try:
            await db.request("GET", path, params={"limit": 1}, timeout=PATIENCE)
            return
        except DomainError as error:
            attempts += not isinstance(error, Unavailable)
            if error.status < 500 or attempts == ATTEMPTS:
                raise DomainError(f"The view {view} of {live_id(ddoc_id)} in {db.name}: {error.message}") from error
            log.info("indexes of %s in %s: %s; asking again", ddoc_id, db.name, error.message)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def running_indexers(couch: Couch, dbs: Databases) -> list[Doc]:
    """The builds of staged indexes that run now.

    `{database, ddoc, type, progress, tasks: {<node>-<pid>: progress}, remaining_s}` each: progress in percent, and the
    seconds it will still take at the rate so far, None while that cannot be told.
    """
    return indexers_of(await couch.request("GET", "/_active_tasks"), {db.name for db in dbs.values()}, time.time())


def indexers_of(tasks: Iterable[Doc], names: set[str], now_s: float) -> list[Doc]:
    groups: dict[tuple[str, str, str], list[Doc]] = {}
    for task in tasks:
        ddoc, database = str(task.get("design_document")), database_of(str(task.get("database")))
        if task.get("type") in ("indexer", "search_indexer") and ddoc.startswith(STAGED) and database in names:
            groups.setdefault((database, ddoc, task["type"]), []).append(task)
    found = []
    for (database, ddoc, kind), members in groups.items():
        progresses = {f"{task.get('node')}-{task.get('pid')}": progress_of(task) for task in members}
        remaining = [remaining_s(task, now_s) for task in members]
        found.append(
            {
                "database": database,
                "ddoc": ddoc,
                "type": kind,
                "progress": round(sum(progresses.values()) / len(progresses)),
                "tasks": progresses,
                "remaining_s": None if None in remaining else max(each or 0 for each in remaining),
            }
        )
    return found


def database_of(name: str) -> str:
    """The database of a shard: `shards/00000000-7fffffff/medic-logs.1700000000` is of `medic-logs`."""
    if not name.startswith("shards/"):
        return name
    return unquote(name.split("/", 2)[2].rpartition(".")[0])


def progress_of(task: Doc) -> int:
    done, total = task.get("changes_done"), task.get("total_changes")
    if isinstance(task.get("progress"), int | float):
        return int(task["progress"])
    return min(100 * done // total, 100) if isinstance(done, int) and isinstance(total, int) and total else 0


def remaining_s(task: Doc, now_s: float) -> int | None:
    """Seconds, at the rate since the build began; None while nothing is done yet, or CouchDB does not tell."""
    try:
        done, total, started_s = (float(task[name]) for name in ("changes_done", "total_changes", "started_on"))
    except (KeyError, TypeError, ValueError):
        return None
    return max(0, round((now_s - started_s) * (total - done) / done)) if done else None


def merged(known: Sequence[Doc], live: Sequence[Doc]) -> list[Doc]:
    """What was known before with what runs now: a build that is not listed any more is complete."""

    def key(indexer: Doc) -> tuple[Any, ...]:
        return indexer["database"], indexer["ddoc"], indexer["type"]

    running = {key(each): each for each in live}
    told = [running.pop(key(each), {**each, "progress": 100, "remaining_s": 0}) for each in known]
    return [*told, *running.values()]
