"""Collect the monitoring metrics: each on its own, so that one failing source spoils nothing else."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from api.message_metrics import (
    GROUPS,
    UNKNOWN_NEWEST,
    UNKNOWN_WEEK,
    last_hundred,
    replication_failures,
    seven_days,
)
from core import __version__
from core.config import Config
from core.couch.client import Couch, Database, Doc
from core.errors import DomainError

log = logging.getLogger(__name__)

KEPT_S = 5.0
DAY_MS = 86_400_000
UNKNOWN_DB: Doc = {"name": "", "update_sequence": -1, "doc_count": -1, "doc_del_count": -1, "fragmentation": -1}
UNKNOWN_WORKER: Doc = {
    "transitions_disabled": None,
    "retries": -1,
    "failed": -1,
    "failed_jobs": -1,
    "overdue_tasks": -1,
}
# A view is counted as it stands, and brought up to date after the answer: nobody waits for a build (DDOC-92).
AS_IT_STANDS: dict[str, Any] = {"reduce": True, "update": "lazy"}


class Metrics:
    """The metrics of one deployment, collected at most every five seconds however many ask (EP-MON-5)."""

    def __init__(
        self,
        couch: Couch,
        config: Config,
        *,
        clock: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self.couch = couch
        self.main = couch.db(config.database)
        self.sentinel = couch.db(config.db_name("sentinel"))
        self.logs = couch.db(config.db_name("logs"))
        self.users_meta = couch.db(config.db_name("users-meta"))
        self.users = couch.db("_users")
        self.clock = clock
        self.now_ms = now_ms
        self.started = clock()
        self._kept: dict[tuple[str, int], tuple[float, asyncio.Future[Doc]]] = {}

    async def collect(self, connected_days: int = 7) -> Doc:
        """Everything EP-MON-1 lists; the answer is shared and at most five seconds old."""
        return await self.keep(("v1", connected_days), lambda: self._collect(connected_days))

    async def collect_v2(self, connected_days: int = 7) -> Doc:
        """The same with messages by group, of all times and lately, and failed replications (EP-MON-4)."""
        return await self.keep(("v2", connected_days), lambda: self._collect_v2(connected_days))

    async def keep(self, name: tuple[str, int], collect: Callable[[], Coroutine[Any, Any, Doc]]) -> Doc:
        """What `collect` gave within the last five seconds, under that name."""
        kept = self._kept.get(name)
        if kept is None or self.clock() - kept[0] > KEPT_S:
            kept = (self.clock(), asyncio.ensure_future(collect()))
            self._kept[name] = kept
        return await asyncio.shield(kept[1])

    async def close(self) -> None:
        """Give up what is being collected."""
        collecting = [future for _, future in self._kept.values()]
        for future in collecting:
            future.cancel()
        await asyncio.gather(*collecting, return_exceptions=True)

    async def _collect(self, connected_days: int) -> Doc:
        since_ms = self.now_ms() - connected_days * DAY_MS
        (
            couchdb,
            medic,
            sentinel,
            users_meta,
            users,
            backlog,
            worker,
            outgoing,
            pushes,
            feedback,
            conflicts,
            limits,
            seen,
        ) = await asyncio.gather(
            self._or("", "version.couchdb", self._couchdb_version),
            self._or(UNKNOWN_DB, "couchdb.medic", lambda: database_metrics(self.main)),
            self._or(UNKNOWN_DB, "couchdb.sentinel", lambda: database_metrics(self.sentinel)),
            self._or(UNKNOWN_DB, "couchdb.usersmeta", lambda: database_metrics(self.users_meta)),
            self._or(UNKNOWN_DB, "couchdb.users", lambda: database_metrics(self.users)),
            self._or(-1, "sentinel.backlog", self._backlog),
            self._or(UNKNOWN_WORKER, "sentinel.state", self._worker),
            self._or(dict.fromkeys(GROUPS, -1), "messaging.outgoing", self._outgoing),
            self._or(-1, "outbound_push.backlog", lambda: count(self.sentinel, "sentinel", "outbound_push_tasks")),
            self._or(-1, "feedback.count", lambda: count(self.users_meta, "users-meta", "feedback_by_date")),
            self._or(-1, "conflict.count", lambda: count(self.main, "medic-conflicts", "conflicts")),
            self._or(-1, "replication_limit.count", lambda: count(self.logs, "logs", "replication_limit")),
            self._or(
                -1, "connected_users.count", lambda: count(self.logs, "logs", "connected_users", startkey=since_ms)
            ),
        )
        return {
            "version": {
                "app": __version__,
                "node": f"{platform.python_implementation()} {platform.python_version()}",
                "couchdb": couchdb,
            },
            "couchdb": {"medic": medic, "sentinel": sentinel, "usersmeta": users_meta, "users": users},
            "date": {"current": self.now_ms(), "uptime": round(self.clock() - self.started, 3)},
            "sentinel": {"backlog": backlog, **worker},
            "messaging": {
                "outgoing": {
                    "due": waiting(outgoing),
                    "scheduled": outgoing["scheduled"],
                    "muted": outgoing["muted"],
                    "state": outgoing,
                }
            },
            "outbound_push": {"backlog": pushes},
            "feedback": {"count": feedback},
            "conflict": {"count": conflicts},
            "replication_limit": {"count": limits},
            "connected_users": {"count": seen},
        }

    async def _collect_v2(self, connected_days: int) -> Doc:
        now_ms = self.now_ms()
        first, week, newest, failures = await asyncio.gather(
            self.collect(connected_days),
            self._or(UNKNOWN_WEEK, "messaging.outgoing.seven_days", lambda: seven_days(self.main, now_ms)),
            self._or(UNKNOWN_NEWEST, "messaging.outgoing.last_hundred", lambda: last_hundred(self.main, now_ms)),
            self._or(-1, "replication_failure.count", lambda: replication_failures(self.logs, now_ms, connected_days)),
        )
        total = first["messaging"]["outgoing"]["state"]
        outgoing = {"total": total, "seven_days": week, "last_hundred": newest}
        return {**first, "messaging": {"outgoing": outgoing}, "replication_failure": {"count": failures}}

    async def _or(self, unknown: Any, name: str, measure: Callable[[], Awaitable[Any]]) -> Any:
        """The metric, or what says that it failed (EP-MON-2)."""
        try:
            return await measure()
        except (DomainError, KeyError, TypeError, ValueError) as error:
            log.warning("metric %s failed: %s", name, error)
            return unknown

    async def _couchdb_version(self) -> str:
        return str((await self.couch.info())["version"])

    async def _backlog(self) -> int:
        """Changes the worker has not processed, by its stored position (SEN-19)."""
        position = await self.sentinel.get_local("transitions-seq")
        since = (position or {}).get("value") or 0
        answer = await self.main.changes(since=since, limit=0)  # CouchDB takes 0 for 1: what it sent counts too
        return int(answer["pending"]) + len(answer["results"])

    async def _worker(self) -> Doc:
        """What the background worker says of itself (SEN-14, SEN-16, JOB-DUE-5, JOB-TDR-1)."""
        state = await self.sentinel.get_local("worker-state") or {}
        return {name: state.get(name, unknown) for name, unknown in UNKNOWN_WORKER.items()}

    async def _outgoing(self) -> dict[str, int]:
        rows = await self.main.view("medic-admin", "message_queue", group_level=1, **AS_IT_STANDS)
        counts = {row["key"][0]: int(row["value"]) for row in rows}
        return {group: counts.get(group, 0) for group in GROUPS}


async def database_metrics(db: Database) -> Doc:
    info = await db.info()
    active, file = info["sizes"]["active"], info["sizes"]["file"]
    return {
        "name": info["db_name"],
        "update_sequence": int(str(info["update_seq"]).partition("-")[0]),
        "doc_count": info["doc_count"],
        "doc_del_count": info["doc_del_count"],
        "fragmentation": file / active if active else 1,
    }


async def count(db: Database, ddoc: str, view: str, **params: Any) -> int:
    """The sum of a view whose reduce counts."""
    rows = await db.view(ddoc, view, **AS_IT_STANDS, **params)
    return int(rows[0]["value"]) if rows else 0


def waiting(outgoing: dict[str, int]) -> int:
    """Messages still to be sent: the view counts every other state as due too, finished ones included (DIV-27)."""
    if outgoing["due"] < 0:
        return -1
    return outgoing["due"] - outgoing["delivered"] - outgoing["failed"]
