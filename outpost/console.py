"""`outpost sentinel status`, `replay`, `pause`, `resume` and `jobs`: look at the worker and tell it what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from core.config import Config
from core.couch.client import Database, connect
from sentinel.operator import NAME, ask_for_jobs, ask_to_pause, ask_to_replay, waiting
from sentinel.retries import PREFIX
from sentinel.status import collect_status

REPLAY_TIMEOUT_S = 30.0


async def control(config: Config, action: str, doc_ids: Sequence[str], *, forget: bool) -> int:
    """Do it and print what there is to say; the exit code, 1 when the worker does not do its work."""
    async with connect(config) as couch:
        sentinel_db = couch.db(config.db_name("sentinel"))
        if action == "status":
            status = await collect_status(couch, config, time.time())
            print("\n".join(lines(status)))
            return 0 if status["active"] and not status["errors"] else 1
        if action == "replay":
            return await replay(couch.db(config.database), sentinel_db, doc_ids, forget=forget)
        if action == "jobs":
            await ask_for_jobs(sentinel_db)
        else:
            await ask_to_pause(sentinel_db, action == "pause")
        print({"jobs": "all jobs run now", "pause": "changes wait", "resume": "changes are processed"}[action])
        return 0


async def replay(db: Database, sentinel_db: Database, doc_ids: Sequence[str], *, forget: bool) -> int:
    """Have the documents processed again, wait for it, and tell what became of each."""
    known = await db.get_many(doc_ids)
    missing = [doc_id for doc_id in doc_ids if doc_id not in known]
    for doc_id in missing:
        print(f"{doc_id}: there is no such document")
    doc_ids = list(known)
    if not doc_ids:
        return 1
    await ask_to_replay(sentinel_db, doc_ids, forget=forget)
    deadline_s = time.monotonic() + REPLAY_TIMEOUT_S
    while left := set(waiting(await sentinel_db.get_local(NAME) or {})) & set(doc_ids):
        if time.monotonic() > deadline_s:
            print(f"still waiting for a worker: {', '.join(sorted(left))}")
            return 1
        await asyncio.sleep(0.2)
    failures = await sentinel_db.get_many(PREFIX + doc_id for doc_id in doc_ids)
    for doc_id in doc_ids:
        failure = failures.get(PREFIX + doc_id)
        print(f"{doc_id}: {failure['error']}" if failure else f"{doc_id}: processed")
    return 1 if failures or missing else 0


def lines(status: dict[str, Any]) -> Iterator[str]:
    """The status as people read it."""
    yield f"worker      {status['owner'] if status['active'] else 'none is active'}"
    yield f"backlog     {status['backlog']} changes{', paused' if status['paused'] else ''}"
    for error in status["errors"]:
        yield f"settings    {error}; no change is processed until this is corrected"
    yield f"retries     {status['retries']} waiting, {status['failed']} given up"
    for each in status["failures"]:
        when = f"again at {shown(each['next_attempt'])}" if each["next_attempt"] else "given up"
        yield f"  {each['doc_id']}: {each['error']} ({each['attempts']} attempts, {when})"
    counts = ", ".join(f"{count} {group}" for group, count in sorted(status["messages"].items()))
    yield f"messages    {counts or 'none'}; {status['overdue_tasks']} overdue for more than a week"
    for name, job in sorted(status["jobs"].items()):
        result = f"failed: {job['error']}" if job.get("error") else f"took {job.get('duration_ms')} ms"
        yield f"job         {name}: last {job.get('last_run')}, {result}; next {job.get('next_run')}"
    for name, push in sorted(status["outbound"].items()):
        left = f"; {push.get('waiting') or 0} wait, {push.get('given_up') or 0} given up"
        error = f": {push['error']}" if push.get("error") else ""
        done = f"{push.get('sent')} sent and {push.get('failed')} failed in the last run"
        yield f"outbound    {name}: {done}{left}{error}"


def shown(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
