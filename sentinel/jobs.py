"""The timed work of the active worker: what runs how often, and how its last run went (40 §10)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx

from core.config import Config
from core.couch.client import Couch
from core.credentials import find_credential
from core.dates import iso_of
from core.errors import DomainError
from core.outbound import pushes
from sentinel.configuration import Configuration
from sentinel.controls import Controls
from sentinel.lease import Lease
from sentinel.processor import Processor
from sentinel.schedule.archiving import archive_when_due
from sentinel.schedule.background_cleanup import clean_up
from sentinel.schedule.due_messages import count_overdue, send_due
from sentinel.schedule.outbound import push_queued
from sentinel.schedule.purging import purge
from sentinel.schedule.reminders import send_reminders
from sentinel.schedule.user_meta import gather_when_due
from sentinel.sms_jobs import SmsJobs
from sentinel.state import WorkerState
from sentinel.transitions.change import LeaseLost

log = logging.getLogger(__name__)

JOBS_INTERVAL_S = 300.0


@dataclass
class Jobs:
    """Each job repeats in a task of its own; one that fails is logged and tried again at its next time (JOB-1)."""

    config: Config
    couch: Couch
    configuration: Configuration
    processor: Processor
    lease: Lease
    state: WorkerState
    controls: Controls
    now: Callable[[], datetime]
    due_interval_s: float

    def __post_init__(self) -> None:
        self.sms = SmsJobs(self.config, self.couch, self.configuration, self.lease, self.controls, self.now, self.run)

    def works(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self.repeat("due_messages", self.send_due, self.due_interval_s),
            self.repeat("reminders", self.send_reminders, JOBS_INTERVAL_S),
            self.repeat("purging", self.purge, JOBS_INTERVAL_S),
            self.repeat("archiving", self.archive, JOBS_INTERVAL_S),
            self.repeat("background_cleanup", self.clean_up, JOBS_INTERVAL_S),
            self.repeat("replications", self.gather, JOBS_INTERVAL_S),
            self.repeat("transitions_disabled_reminder", self.remind, JOBS_INTERVAL_S),
            self.push_outbound(),
            self.sms.keep_sending(),
            self.sms.keep_asking(),
        ]

    async def repeat(self, name: str, work: Callable[[], Awaitable[None]], interval_s: float) -> None:
        while True:
            rings = await self.run(name, work, interval_s)
            await self.controls.until_rung(interval_s, rings)

    async def run(self, name: str, work: Callable[[], Awaitable[None]], interval_s: float) -> int:
        """Do it once and note how it went; how often all jobs had been asked for when it ended."""
        begun, started_s, error = self.now(), time.monotonic(), None
        try:
            await work()
        except LeaseLost:
            raise
        except Exception as failure:
            error = failure.message if isinstance(failure, DomainError) else f"{type(failure).__name__}: {failure}"
            log.error("%s: %s", name, error, exc_info=not isinstance(failure, DomainError))
        rings = self.controls.rings
        entry = {
            "last_run": iso_of(begun),
            "next_run": iso_of(self.now() + timedelta(seconds=interval_s)),
            "duration_ms": round((time.monotonic() - started_s) * 1000),
            "error": error,
        }
        with suppress(DomainError):
            jobs = {**self.state.values.get("jobs", {}), name: entry}
            await self.state.note(jobs=jobs, failed_jobs=sum(each["error"] is not None for each in jobs.values()))
        return rings

    async def send_due(self) -> None:
        db = self.couch.db(self.config.database)
        await send_due(db, self.configuration.tools, self.lease.check)
        await self.state.note(overdue_tasks=await count_overdue(db, self.now()))

    async def send_reminders(self) -> None:
        await send_reminders(self.couch.db(self.config.database), self.configuration.tools, self.lease.check)

    async def purge(self) -> None:
        settings = self.configuration.tools.messenger.settings
        limit_s = self.config.purge_timeout_s
        await purge(self.couch, self.config.database, settings, self.now, self.lease.check, timeout_s=limit_s)

    async def archive(self) -> None:
        settings = self.configuration.tools.messenger.settings
        await archive_when_due(self.couch, self.config.database, settings, self.now, self.lease.check)

    async def clean_up(self) -> None:
        await clean_up(self.couch, self.config.database, self.lease.check)

    async def gather(self) -> None:
        await gather_when_due(self.couch, self.config.database, self.now, self.lease.check)

    async def remind(self) -> None:
        """Say again what is wrong with the settings, until it is not (JOB-TDR-1)."""
        for error in self.configuration.errors:
            log.error("no change is processed until the settings are corrected: %s", error)

    async def push_outbound(self) -> None:
        """The whole queue at every interval, and what was queued meanwhile at once (TR-OUT-1)."""
        client: httpx.AsyncClient | None = None
        due_s = time.monotonic()
        try:
            while True:
                fresh = None if time.monotonic() >= due_s else self.processor.take_queued()
                if fresh is None:
                    due_s = time.monotonic() + JOBS_INTERVAL_S
                if pushes(self.configuration.tools.messenger.settings):
                    if client is None:
                        client = await asyncio.to_thread(httpx.AsyncClient, timeout=self.config.push_timeout_s)
                    await self.run("outbound", partial(self.push, client, fresh), JOBS_INTERVAL_S)
                await self.controls.until_rung_or(self.processor.has_queued, due_s - time.monotonic())
                if not self.processor.queued:
                    due_s = time.monotonic()
        finally:
            if client is not None:
                await client.aclose()

    async def push(self, client: httpx.AsyncClient, only: list[str] | None) -> None:
        vault = self.couch.db(self.config.db_name("vault"))
        summary = await push_queued(
            self.couch.db(self.config.database),
            self.couch.db(self.config.db_name("sentinel")),
            self.configuration.tools.messenger.settings,
            client,
            lambda key: find_credential(vault, key),
            self.now,
            self.lease.check,
            only,
        )
        settings = self.configuration.tools.messenger.settings
        known = {name: each for name, each in self.state.values.get("outbound", {}).items() if name in pushes(settings)}
        if only is None:
            known = {name: {**counts, "waiting": 0, "given_up": 0} for name, counts in known.items()}
        told = {**known, **{name: {**known.get(name, {}), **counts} for name, counts in summary.items()}}
        if told:
            await self.state.note(outbound=told)
