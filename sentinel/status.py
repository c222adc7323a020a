"""What an operator wants to know of the worker at a glance (40 SEN-14, SEN-16, SEN-19, JOB-DUE-5)."""

from __future__ import annotations

from typing import Any

from core.config import Config
from core.couch.client import Couch, Database, Doc
from core.paging import PageRequest, id_range, read_page
from sentinel.checkpoint import Checkpoint
from sentinel.holder import Holder
from sentinel.lease import LEASE_ID, expiry_s
from sentinel.operator import NAME as OPERATOR
from sentinel.operator import waiting
from sentinel.retries import PREFIX
from sentinel.state import NAME as STATE

MOST_FAILURES = 20


async def collect_status(couch: Couch, config: Config, now_s: float) -> dict[str, Any]:
    """How the worker is doing.

    `{active, owner, backlog, paused, asked, errors, retries, failed, failures, overdue_tasks, messages, jobs,
    outbound}`. `failures` are the first retry documents, `messages` the number of messages in each group of the
    message queue. `asked` is what an operator wants and the worker may not have done yet: `{paused, replay}`, the
    latter a number.
    """
    db, sentinel_db = couch.db(config.database), couch.db(config.db_name("sentinel"))
    lease = await sentinel_db.find(LEASE_ID) or {}
    state = await sentinel_db.get_local(STATE) or {}
    asked = await sentinel_db.get_local(OPERATOR) or {}
    rows = await sentinel_db.all_docs(startkey=PREFIX, endkey=PREFIX + "\ufff0", include_docs=True, limit=MOST_FAILURES)
    groups = await db.view("medic-admin", "message_queue", group_level=1, reduce=True, update="lazy")
    changes = await db.changes(await Checkpoint(sentinel_db).read(), limit=1)
    return {
        "active": is_held(lease, now_s),
        "owner": lease.get("owner"),
        "backlog": int(changes.get("pending") or 0) + len(changes["results"]),
        "paused": bool(state.get("paused")),
        "asked": {"paused": bool(asked.get("paused")), "replay": len(waiting(asked))},
        "errors": state.get("errors") or [],
        "retries": state.get("retries", 0),
        "failed": state.get("failed", 0),
        "failures": [failure_of(row["doc"]) for row in rows],
        "overdue_tasks": state.get("overdue_tasks", 0),
        "messages": {row["key"][0]: row["value"] for row in groups},
        "jobs": state.get("jobs") or {},
        "outbound": state.get("outbound") or {},
    }


async def is_active(sentinel_db: Database, now_s: float) -> bool:
    """Whether a worker holds the lease."""
    return is_held(await sentinel_db.find(LEASE_ID) or {}, now_s)


def is_held(lease: Doc, now_s: float) -> bool:
    holder = Holder.from_doc(lease)
    return expiry_s(lease) > now_s and not (holder is not None and holder.is_dead())


async def page_of_failures(sentinel_db: Database, asked: PageRequest) -> tuple[list[Doc], str | None]:
    """The changes that failed, by the id of their document, and the cursor of the next page."""
    rows, cursor = await read_page([id_range(sentinel_db, PREFIX)], asked)
    return [failure_of(row["doc"]) for row in rows], cursor


def failure_of(retry: Doc) -> Doc:
    """What a retry document says of a change that failed; `next_attempt` in milliseconds, None when it was given up."""
    return {name: retry.get(name) for name in ("doc_id", "state", "attempts", "error", "next_attempt")}
