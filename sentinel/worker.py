"""The background worker: takes the lease, follows the feed, does the timed work, and stops cleanly (40 §1)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from core.config import Config
from core.config_history import ConfigHistory, is_config
from core.couch.changes import Batch, follow
from core.couch.client import Couch, connect
from core.dates import local_zone
from core.errors import Conflict, DomainError
from core.upgrades.runner import UpgradeRunner
from core.xforms.form_errors import FormErrors
from core.xforms.versions import FormVersions
from sentinel.audited import audited
from sentinel.checkpoint import Checkpoint
from sentinel.config_feed import ConfigFeed
from sentinel.configuration import Configuration, is_read
from sentinel.controls import Controls
from sentinel.forms import FormKeeper, is_form
from sentinel.jobs import Jobs
from sentinel.lease import TTL_S, Lease, owner_name
from sentinel.operator import Operator
from sentinel.processor import Processor
from sentinel.retries import Retries
from sentinel.state import WorkerState
from sentinel.transitions.change import LeaseLost

log = logging.getLogger(__name__)

BATCH_SIZE = 400
DUE_INTERVAL_S = 60.0
RETRY_INTERVAL_S = 1.0
OPERATOR_INTERVAL_S = 0.5
PROGRESS_CHANGES = 500
LONGEST_WAIT_S = 10.0
HOLDER_CHECK_S = 0.1


def local_now() -> datetime:
    return datetime.now(local_zone())


async def run_worker(
    config: Config,
    stop: asyncio.Event,
    *,
    now: Callable[[], datetime] = local_now,
    due_interval_s: float = DUE_INTERVAL_S,
    lease_ttl_s: float = TTL_S,
    controls: Controls | None = None,
) -> None:
    """Work until `stop` is set; stand by while another worker is active. CouchDB being away is waited out.

    `now` gives the moment with the server's timezone. Raises what cannot be waited out, such as a database that is
    gone: the supervisor starts the process again.
    """
    controls = controls or Controls()
    async with connect(config) as connected, audited(connected, config, now) as couch:
        wait_s, owner = 0.5, owner_name()
        while not stop.is_set():
            lease = Lease(couch.db(config.db_name("sentinel")), owner, ttl_s=lease_ttl_s)
            try:
                if await stand_by(lease, stop):
                    log.info("active as %s", lease.owner)
                    await Leadership(config, couch, lease, now, due_interval_s, controls).last(stop)
                wait_s = 0.5
            except LeaseLost as lost:
                log.warning("standing by: %s", lost)
            except DomainError as error:
                if error.status < 500:
                    raise
                log.warning("CouchDB: %s; trying again in %.1f s", error.message, wait_s)
                await until(stop, wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)
            finally:
                with suppress(DomainError):
                    await lease.release()


async def stand_by(lease: Lease, stop: asyncio.Event) -> bool:
    """Wait for the lease; False when we are to stop first. A holder of this machine that dies is noticed at once."""
    while not stop.is_set():
        if await lease.acquire():
            return True
        for _ in range(max(1, round(lease.ttl_s / 5 / HOLDER_CHECK_S))):
            await until(stop, HOLDER_CHECK_S)
            if stop.is_set() or (lease.holder is not None and lease.holder.is_dead()):
                break
    return False


async def until(stop: asyncio.Event, timeout_s: float) -> None:
    """Wait that long, or until `stop` is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await stop.wait()


class Leadership:
    """The time from taking the lease to losing it or stopping."""

    def __init__(
        self,
        config: Config,
        couch: Couch,
        lease: Lease,
        now: Callable[[], datetime],
        due_interval_s: float,
        controls: Controls,
    ) -> None:
        self.config = config
        self.lease = lease
        self.controls = controls
        self.db = couch.db(config.database)
        sentinel_db = couch.db(config.db_name("sentinel"))
        self.checkpoint = Checkpoint(sentinel_db)
        self.retries = Retries(sentinel_db, now)
        self.config_feed = ConfigFeed(self.db)
        self.configuration = Configuration(self.db, now)
        self.history = ConfigHistory(self.db, now)
        self.state = WorkerState(sentinel_db, lease.owner, now)
        self.processor = Processor(self.db, sentinel_db, self.retries, now=now, may_write=lease.check)
        self.jobs = Jobs(
            config,
            couch,
            self.configuration,
            self.processor,
            lease,
            self.state,
            controls,
            now,
            due_interval_s,
        )
        versions = FormVersions(couch.db(config.db_name("logs")))
        self.forms = FormKeeper(self.db, FormErrors(sentinel_db), versions, lease.check)
        self.upgrades = UpgradeRunner(couch, config, lease.check, now)
        self.operator = Operator(sentinel_db, controls, self.replay)
        # Held while changes are being written: stopping waits for it, so that no batch is left half done.
        self.writing = asyncio.Lock()
        self.processed = 0

    async def last(self, stop: asyncio.Event) -> None:
        """Process until `stop` is set; raises LeaseLost, or what ended one of the tasks."""
        heartbeat_s = self.config.feed_heartbeat_s
        keeping = asyncio.create_task(self.lease.keep())
        try:
            await self.config_feed.start()
            await self.configuration.reload()
            await self.retries.load()
            await self.announce()
            works = [
                self.config_feed.follow(heartbeat_s),
                self.configuration.follow(self.config_feed.listen(is_read), self.announce),
                self.follow_feed(heartbeat_s),
                self.history.follow(self.config_feed.listen(is_config)),
                self.repeat(self.retry, RETRY_INTERVAL_S),
                self.announce_controls(),
                self.repeat(self.operator.obey, OPERATOR_INTERVAL_S),
                self.forms.follow(self.config_feed.listen(is_form)),
                self.patiently(lambda: self.upgrades.run(heartbeat_s)),
                *self.jobs.works(),
            ]
            await self.together(works, keeping, stop)
        finally:
            await cancel(keeping)
            await self.forms.close()
            await self.processor.close()

    async def together(
        self, works: list[Coroutine[Any, Any, None]], keeping: asyncio.Task[None], stop: asyncio.Event
    ) -> None:
        """Run until the first ends, which is a failure, or we stop; then finish the batch in hand within `drain_s`."""
        tasks = [asyncio.create_task(work) for work in works]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([*tasks, keeping, stopping], return_when=asyncio.FIRST_COMPLETED)
            if done == {stopping}:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.config.drain_s):
                        await self.writing.acquire()
            for task in done - {stopping}:
                task.result()
        finally:
            await cancel(stopping, *tasks)

    async def announce(self) -> None:
        """Tell monitoring what is wrong, or that nothing is."""
        await self.state.note(
            transitions_disabled=self.configuration.transitions is None,
            errors=self.configuration.errors,
            retries=len(self.retries.waiting),
            failed=len(self.retries.failed),
            paused=self.controls.paused,
        )

    async def announce_controls(self) -> None:
        while True:
            if self.state.values.get("paused") == self.controls.paused:
                await self.controls.changed()
            await self.patiently(self.announce)

    async def follow_feed(self, heartbeat_s: float) -> None:
        """Process batch after batch; each is repeated until it is done, so the position never passes a change."""
        position = await self.checkpoint.read()
        async for batch in follow(self.db, position, limit=BATCH_SIZE, heartbeat_s=heartbeat_s):
            await self.patiently(lambda batch=batch: self.process(batch))  # type: ignore[misc]

    async def process(self, batch: Batch) -> None:
        await self.controls.going()
        transitions = await self.configuration.usable()
        async with self.writing:
            await self.processor.process(batch.changes, transitions)
            self.lease.check()
            await self.checkpoint.save(batch.last_seq)
        self.note_progress(len(batch.changes))
        self.jobs.sms.changes_processed()
        await self.state.note(last_seq=batch.last_seq)
        await self.announce()

    def note_progress(self, changes: int) -> None:
        """A line in the log for every so many changes (SEN-18)."""
        before, self.processed = self.processed, self.processed + changes
        if before // PROGRESS_CHANGES < self.processed // PROGRESS_CHANGES:
            log.info("%d changes processed", self.processed)

    async def retry(self) -> None:
        if self.retries.due(1) and not self.controls.paused:
            transitions = await self.configuration.usable()
            async with self.writing:
                await self.processor.retry(transitions)
            await self.announce()

    async def replay(self, doc_ids: Sequence[str]) -> None:
        transitions = await self.configuration.usable()
        async with self.writing:
            await self.processor.process_docs(dict.fromkeys(doc_ids), transitions)
        await self.announce()

    async def repeat(self, work: Callable[[], Coroutine[Any, Any, None]], interval_s: float) -> None:
        while True:
            await self.patiently(work)
            await asyncio.sleep(interval_s)

    async def patiently(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it, again and again while CouchDB is away or another writer is always faster."""
        wait_s = 0.2
        while True:
            try:
                return await work()
            except DomainError as error:
                if error.status < 500 and not isinstance(error, Conflict):
                    raise
                log.warning("%s; trying again in %.1f s", error.message, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, LONGEST_WAIT_S)


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """End the tasks and wait until they have; their outcome was looked at before, or does not matter any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
