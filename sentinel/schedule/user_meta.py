"""Gather what phones reported of themselves: from each user's own database into one for all (40 JOB-REP-1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from core.couch.client import Couch, Database
from core.couch.errors import from_row
from core.dates import moment_of, ms_of
from core.documents import Doc
from core.errors import Conflict, NotFound
from core.timetables import Timetable

log = logging.getLogger(__name__)

STATE = "user-meta"
POSITION = "purge_log"
PREFIXES = ("telemetry-", "feedback-", "interaction-")
BATCH_SIZE = 100
DAILY = {"cron": "0 2 * * *"}


async def gather_when_due(
    couch: Couch, database: str, now: Callable[[], datetime], may_write: Callable[[], None] = lambda: None
) -> int:
    """Once for each 02:00 local time, late where the worker was not running; how many documents were gathered.

    A run that fails is repeated at the next call.
    """
    sentinel_db, moment = couch.db(f"{database}-sentinel"), now()
    state = await sentinel_db.get_local(STATE)
    checked = moment_of((state or {}).get("checked"), moment.tzinfo) if moment.tzinfo else None
    timetable = Timetable.from_config(DAILY)
    gathered = 0
    if checked is not None and checked <= moment and timetable is not None:
        if timetable.latest(checked, moment) is None:
            return 0
        gathered = await gather(couch, database, may_write)
    may_write()
    await sentinel_db.put_local(STATE, {**(state or {}), "checked": ms_of(moment)})
    return gathered


async def gather(couch: Couch, database: str, may_write: Callable[[], None] = lambda: None) -> int:
    """Move what is new in every user's database; a database that is removed meanwhile is passed over."""
    target = couch.db(f"{database}-users-meta")
    gathered = 0
    for name in await couch.all_dbs():
        if name.startswith(f"{database}-user-") and name.endswith("-meta"):
            try:
                gathered += await move(couch.db(name), target, may_write)
            except NotFound:
                log.info("%s was removed meanwhile", name)
    if gathered:
        log.info("%d documents of users' own databases were gathered", gathered)
    return gathered


async def move(source: Database, target: Database, may_write: Callable[[], None]) -> int:
    """Copy a batch with its revisions, then purge it from the source; the position moves after both. Repeatable."""
    position: Doc = await source.get_local(POSITION) or {}
    moved = 0
    while True:
        answer = await source.changes(position.get("seq") or 0, limit=BATCH_SIZE)
        if not answer["results"]:
            return moved
        ids = [row["id"] for row in answer["results"] if row["id"].startswith(PREFIXES) and not row.get("deleted")]
        if ids:
            may_write()
            moved += await move_docs(source, target, ids)
        may_write()
        position = {**position, "seq": answer["last_seq"]}
        position["_rev"] = await source.put_local(POSITION, position)


async def move_docs(source: Database, target: Database, ids: Sequence[str]) -> int:
    leaves = await read_leaves(source, ids)
    for row in await target.bulk_docs(leaves, new_edits=False):
        failure = from_row(row)
        if failure is not None and not isinstance(failure, Conflict):
            log.error("%s of %s cannot be gathered: %s", row["id"], source.name, failure.message)
    revs: dict[str, list[str]] = {}
    for doc in leaves:
        revs.setdefault(doc["_id"], []).append(doc["_rev"])
    missing = await target.request("POST", "/_revs_diff", body=revs)
    arrived = {doc_id: known for doc_id, known in revs.items() if doc_id not in missing}
    if arrived:
        await source.request("POST", "/_purge", body=arrived)
    return len(arrived)


async def read_leaves(source: Database, ids: Sequence[str]) -> list[Doc]:
    """The documents with their histories and attachments, as a replication takes them."""
    body = {"docs": [{"id": each} for each in ids]}
    params = {"revs": True, "attachments": True}
    answer = await source.request("POST", "/_bulk_get", params=params, body=body)
    leaves = [leaf["ok"] for result in answer["results"] for leaf in result["docs"] if "ok" in leaf]
    return [leaf for leaf in leaves if not leaf.get("_deleted")]
