"""A replication's state as `_active_tasks`, `_scheduler/jobs`, `_scheduler/docs` and its own document tell it. Pure."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from store.errors import StoreError
from store.permissions import User
from store.replication_request import ReplicationRequest
from store.replicator import Progress
from store.replicator_docs import DATABASE, read_doc

STATES = ("initializing", "error", "running", "pending", "crashing", "completed", "failed")
ENDED = frozenset({"completed", "failed"})
_EVENTS_KEPT = 20  # CouchDB's replicator/max_history
_PID = "<0.2.0>"  # where clients expect the process of something that runs


@dataclass
class Job:
    """A replication that runs, or waits to run again after a failure. Times are in seconds since 1970."""

    id: str
    request: ReplicationRequest
    user: User
    started_s: float
    doc_id: str | None = None
    rev: str | None = None
    progress: Progress = field(default_factory=Progress)
    error: str | None = None  # while it waits
    error_count: int = 0  # failures since it last ran for long
    history: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=_EVENTS_KEPT))  # newest first
    task: asyncio.Task[dict[str, Any]] | None = None

    def note(self, event: str, now_s: float, error: str | None = None) -> None:
        """Something happened to it: `added`, `started`, or `crashed` with an error."""
        self.history.appendleft({"timestamp": iso(now_s), "type": event, **({"reason": error} if error else {})})
        self.error = error
        self.error_count += error is not None


def stats(progress: Progress) -> dict[str, Any]:
    """What a replication has done so far, in the words of `_replication_stats`."""
    counts = asdict(progress.counts)
    return {
        "revisions_checked": counts.pop("missing_checked"),
        "missing_revisions_found": counts.pop("missing_found"),
        **counts,
        "changes_pending": progress.pending,
        "checkpointed_source_seq": progress.checkpointed_seq,
    }


def active_task(job: Job, node: str, now_s: float) -> dict[str, Any]:
    """A running replication in `_active_tasks`."""
    return {
        "type": "replication",
        "node": node,
        "pid": _PID,
        "database": None if job.doc_id is None else DATABASE,
        "doc_id": job.doc_id,
        "replication_id": job.id,
        **_sides(job.request),
        "continuous": job.request.continuous,
        "user": job.user.name,
        "checkpoint_interval": job.request.checkpoint_interval_ms,
        **_progress(job),
        "started_on": int(job.started_s),
        "updated_on": int(now_s),
    }


def scheduler_job(job: Job, node: str) -> dict[str, Any]:
    """A replication in `_scheduler/jobs`."""
    return {
        "database": None if job.doc_id is None else DATABASE,
        "id": job.id,
        "pid": _PID if job.error is None else None,
        **_sides(job.request),
        "user": job.user.name,
        "doc_id": job.doc_id,
        "info": _info(job),
        "history": list(job.history),
        "node": node,
        "start_time": iso(job.started_s),
    }


def scheduler_doc(doc: Mapping[str, Any], job: Job | None, node: str) -> dict[str, Any]:
    """A document of `_replicator` in `_scheduler/docs`; `job` is its replication, None when it has none now."""
    named = {"database": DATABASE, "doc_id": doc["_id"]}
    if job is not None:
        return {
            **named,
            "id": job.id,
            "node": node,
            **_sides(job.request),
            "state": "running" if job.error is None else "crashing",
            "info": _info(job),
            "error_count": job.error_count,
            "last_updated": job.history[0]["timestamp"],
            "start_time": iso(job.started_s),
            "source_proxy": None,
            "target_proxy": None,
        }
    sides: dict[str, str | None] = {"source": None, "target": None}
    with suppress(StoreError):  # written before such documents were refused
        sides |= _sides(read_doc(doc)[0])
    state, ended = doc.get("_replication_state"), doc.get("_replication_state_time")
    info = doc.get("_replication_stats")
    info = dict(info) if isinstance(info, dict) else None
    started = ended if info is None else info.pop("start_time", ended)
    if state == "failed" and "_replication_state_reason" in doc:
        info = {"error": doc["_replication_state_reason"]}
    return {
        **named,
        "id": None,
        **sides,
        "state": state if state in ENDED else "initializing",
        "error_count": 1 if state == "failed" else 0,
        "info": info,
        "start_time": started,
        "last_updated": ended,
    }


def iso(seconds: float) -> str:
    """`2026-11-22T02:17:04Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


def _sides(request: ReplicationRequest) -> dict[str, str]:
    return {"source": request.source.shown, "target": request.target.shown}


def _progress(job: Job) -> dict[str, Any]:
    progress = job.progress
    return {**stats(progress), "source_seq": progress.source_seq, "through_seq": progress.through_seq}


def _info(job: Job) -> dict[str, Any]:
    return _progress(job) if job.error is None else {"error": job.error}
