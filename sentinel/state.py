"""Tell monitoring and people how the worker is doing (40 SEN-14, SEN-16, JOB-TDR-1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from core.couch.client import Database
from core.dates import iso_of

NAME = "worker-state"
OFTEN_ENOUGH = timedelta(seconds=5)


class WorkerState:
    """`_local/worker-state` of the sentinel database.

    `{owner, transitions_disabled, errors, paused, last_seq, retries, failed, overdue_tasks, jobs, failed_jobs,
    outbound, updated}`; `retries` counts the changes waiting for another attempt, `failed` those given up. `jobs` has
    the last run of each job by name, `failed_jobs` counts those that failed, `outbound` is what the last run sent to
    each service.
    """

    def __init__(self, sentinel_db: Database, owner: str, now: Callable[[], datetime]) -> None:
        self.db = sentinel_db
        self.now = now
        self.values: dict[str, Any] = {"owner": owner}
        self._written: dict[str, Any] = {}
        self._written_at: datetime | None = None

    async def note(self, **values: Any) -> None:
        """Remember what changed, and store it: at once, or when only the position moved, every few seconds."""
        self.values.update(values)
        moved = {name for name, value in self.values.items() if self._written.get(name, self) != value}
        now = self.now()
        recent = self._written_at is not None and now - self._written_at < OFTEN_ENOUGH
        if not moved or (moved <= {"last_seq"} and recent):
            return
        state = {**self.values, "updated": iso_of(now)}
        await self.db.update(f"_local/{NAME}", lambda doc: {**({"_rev": doc["_rev"]} if doc else {}), **state})
        self._written, self._written_at = dict(self.values), now
