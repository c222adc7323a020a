"""What is remembered of phones' lists in the logs database: their sizes, and which failed (MOD-93, REPL-132)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from cachetools import TTLCache

from api.access.listing import Listing
from api.keys import CONFIG, COUCH, NOW, REQUEST_ID
from api.pipeline import UNFINISHED
from api.sessions import User
from core.couch.client import Database, Doc
from core.errors import DomainError

log = logging.getLogger(__name__)

LIMIT = 10_000  # documents above which a phone is warned (REPL-130)
NEAR_LIMIT = LIMIT * 4 // 5  # from here on administrators are told
WARN_EVERY_S = 3600.0
MOST_REMEMBERED = 20_000
FAILURES_KEPT = 50
CLIENT_LEFT = 0  # instead of a status


@dataclass
class Attempt:
    """One request for a list; `listing` when it came so far."""

    user: User
    request_id: str
    started_ms: int
    listing: Listing | None = None


class ReplicationLog:
    """Writes after the answer, one document for each user at a time; what cannot be written is only logged."""

    def __init__(self, logs: Database, unfinished: set[Any], now_ms: Callable[[], int]) -> None:
        self.logs = logs
        self.now_ms = now_ms
        self._unfinished = unfinished
        self._warned: TTLCache[str, bool] = TTLCache(MOST_REMEMBERED, WARN_EVERY_S, timer=lambda: now_ms() / 1000)

    @contextmanager
    def attempt(self, request: web.Request, user: User) -> Iterator[Attempt]:
        """Around the answer: records the size of the list, or with what the request failed (REPL-88, REPL-89)."""
        attempt = Attempt(user, request[REQUEST_ID], self.now_ms())
        try:
            yield attempt
        except DomainError as error:
            self.note_failure(attempt, error.status)
            raise
        except (asyncio.CancelledError, ConnectionError):
            self.note_failure(attempt, CLIENT_LEFT)
            raise
        except Exception:
            self.note_failure(attempt, 500)
            raise
        if attempt.listing is not None:
            self.note_count(user, attempt.listing)

    def note_count(self, user: User, found: Listing) -> None:
        """Remember the size of the user's list, once for all that are asked for meanwhile."""
        listed = found.total - found.tasks
        if listed >= LIMIT and user.name not in self._warned:
            self._warned[user.name] = True  # REPL-80
            log.warning("%s replicates %d documents, more than the recommended %d", user.name, listed, LIMIT)
        doc_id = f"replication-count-{user.name}"
        if any(isinstance(each, asyncio.Task) and each.get_name() == doc_id for each in self._unfinished):
            return
        entry = {
            "user": user.name,
            "date": self.now_ms(),
            "count": found.total,
            "all_docs_count": found.total + found.purged,
        }
        self._write(doc_id, lambda doc: {**(doc or {}), **entry})

    def note_failure(self, attempt: Attempt, status: int) -> None:
        now_ms, listing = self.now_ms(), attempt.listing
        day = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat()
        month, name = day[:7], attempt.user.name
        counts = {} if listing is None else {
            "subjects_count": listing.subjects,
            "docs_count": listing.total + listing.purged,
            "unpurged_docs_count": listing.total,
        }  # fmt: skip
        entry = {
            "date": now_ms,
            "status_code": status,
            "duration": now_ms - attempt.started_ms,
            "request_id": attempt.request_id,
            "roles": list(attempt.user.roles),
            **counts,
        }

        def with_failure(doc: Doc | None) -> Doc:
            doc = doc or {"user": name, "reporting_period": month}
            days = doc.get("daily_failures") or {}
            return {
                **doc,
                "date": now_ms,
                "total_failures": (doc.get("total_failures") or 0) + 1,
                "daily_failures": {**days, day: days.get(day, 0) + 1},
                "failures": [entry, *(doc.get("failures") or [])][:FAILURES_KEPT],
            }

        self._write(f"replication-fail-{month}-{name}", with_failure)

    def _write(self, doc_id: str, change: Callable[[Doc | None], Doc]) -> None:
        async def write() -> None:
            try:
                await self.logs.update(doc_id, change)
            except DomainError as error:
                log.warning("a replication was not recorded: %s", error.message)

        task = asyncio.create_task(write(), name=doc_id)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)


REPLICATION_LOG = web.AppKey("replication_log", ReplicationLog)


async def open_replication_log(app: web.Application) -> AsyncIterator[None]:
    logs = app[COUCH].db(app[CONFIG].db_name("logs"))
    app[REPLICATION_LOG] = ReplicationLog(logs, app[UNFINISHED], lambda: round(app[NOW]().timestamp() * 1000))
    yield
