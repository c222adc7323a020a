"""The work of an upgrade: takes the log from state to state, from wherever it finds it (UPG-12..20, UPG-23).

Each step may be cut off at any point and is then done again: staging writes what is not staged yet, a query of an
index goes on where the index is, an exchange moves what is still staged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from core.config import Config
from core.couch.changes import follow
from core.couch.client import Couch, Doc
from core.errors import DomainError, NotFound, Unavailable
from core.settings import SETTINGS_ID, Settings
from core.upgrades.builds import BuildName
from core.upgrades.compare import compare
from core.upgrades.indexing import merged, running_indexers, warm
from core.upgrades.installing import exchange
from core.upgrades.log import PREFIX, Overtaken, is_waiting
from core.upgrades.service import Upgrades, wants_legacy
from core.upgrades.sources import open_builds
from core.upgrades.staging import stage, staged_docs, unstage

log = logging.getLogger(__name__)

PROGRESS_EVERY_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
UNATTENDED = frozenset({"initiated", "staged", "indexing"})  # states in which somebody is at work


def utc_now() -> datetime:
    return datetime.now(UTC)


class UpgradeRunner:
    """Does what the current log asks for. Only one may run in a deployment; `may_write` raises when it is not we."""

    def __init__(
        self,
        couch: Couch,
        config: Config,
        may_write: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.couch = couch
        self.config = config
        self.may_write = may_write
        self.now = now
        self.upgrades = Upgrades(couch, config, now)
        self.logs = self.upgrades.logs
        self.dbs = self.upgrades.dbs
        self.changed = asyncio.Event()
        self.begun = False
        self.steps: Mapping[str, Callable[[Doc], Awaitable[None]]] = {
            "initiated": self.stage,
            "interrupted": self.stage,
            "staged": self.begin_indexing,
            "indexing": self.index,
            "indexed": self.go_on,
            "completing": self.catch_up,
            "complete": self.begin_exchange,
            "finalizing": self.exchange,
            "aborting": self.take_back,
        }

    async def run(self, heartbeat_s: float) -> None:
        """Work for ever. What a predecessor left in the middle is noted as interrupted, and gone on with."""
        position = (await self.logs.db.info())["update_seq"]
        feed = asyncio.create_task(self.follow(position, heartbeat_s))
        try:
            await self.take_over()
            while True:
                self.changed.clear()
                doc = await self.logs.current()
                work: Coroutine[Any, Any, Any]
                work = self.changed.wait() if doc is None or is_waiting(doc) else self.attended(doc)
                await first_of(feed, asyncio.ensure_future(work))
        finally:
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)

    async def follow(self, position: str, heartbeat_s: float) -> None:
        async for batch in follow(self.logs.db, position, heartbeat_s=heartbeat_s):
            if any(change.id.startswith(PREFIX) for change in batch.changes):
                self.changed.set()

    async def take_over(self) -> None:
        if self.begun:
            return  # CouchDB was away, and it is we who go on
        doc = await self.logs.latest()
        if doc is not None:
            await self.logs.reflect(doc)
        self.begun = True
        if doc is not None and doc["state"] in UNATTENDED and len(doc["state_history"]) > 1:
            with suppress(Overtaken):
                await self.logs.move(doc["_id"], "interrupted", indexers=[])

    async def attended(self, doc: Doc) -> None:
        """One step of the upgrade, given up as soon as somebody aborts it."""
        step = asyncio.create_task(self.advance(doc))
        watch = asyncio.create_task(self.until_overtaken(doc))
        try:
            await asyncio.wait({step, watch}, return_when=asyncio.FIRST_COMPLETED)
            if step.done():
                step.result()
        finally:
            for task in (step, watch):
                task.cancel()
            await asyncio.gather(step, watch, return_exceptions=True)

    async def until_overtaken(self, doc: Doc) -> None:
        """Wait until another log is the last one, or this one is to be aborted although that is not our step."""
        while True:
            await self.changed.wait()
            self.changed.clear()
            with suppress(DomainError):  # the step waits for a CouchDB that is away
                found = await self.logs.latest()
                if found is None or found["_id"] != doc["_id"] or (found["state"] == "aborting" != doc["state"]):
                    return

    async def advance(self, doc: Doc) -> None:
        """The step of the state it is in. A CouchDB that is away is waited for; other failures end the upgrade."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self.may_write()
                await self.steps[doc["state"]](doc)
                return
            except Overtaken:
                return
            except DomainError as error:
                reason, is_away = error.message, isinstance(error, Unavailable)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                # Unforeseen. Every worker would meet it again, and come to nothing else.
                log.exception("a step of the upgrade to %s failed", doc["to"])
                reason, is_away = f"{type(error).__name__}: {error}", False
            if is_away or doc["state"] == "finalizing":  # half of it may be exchanged
                log.warning("upgrade to %s: %s; trying again in %.1f s", doc["to"], reason, pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                continue
            log.error("the upgrade to %s failed: %s", doc["to"], reason)
            with suppress(Overtaken):
                await self.logs.move(doc["_id"], "errored", error=reason)
            return

    async def stage(self, doc: Doc) -> None:
        """`_design/:staged:*` in every database; nothing is written when the same is staged already (UPG-23)."""
        build = await open_builds(self.config).get(BuildName.of(doc["build_info"]))
        bundle = build.bundle(legacy=wants_legacy(Settings.from_doc(await self.upgrades.main_db.get(SETTINGS_ID))))
        for role in self.dbs.keys() - bundle.keys():
            log.warning("the build %s has no design documents for %s", doc["to"], self.dbs[role].name)
        bundle["users"] = await self.changed_for_all(bundle.get("users", []))
        written = await stage(self.dbs, bundle, {"user": doc["user"], "upgrade_log_id": doc["_id"]})
        resumed = doc["state"] == "interrupted" and not written
        await self.logs.move(doc["_id"], "indexing" if resumed else "staged")

    async def changed_for_all(self, ddocs: Sequence[Doc]) -> list[Doc]:
        """Those of `_users` that do something else: it may be shared with other deployments on the same CouchDB."""
        changed = {each["ddoc"] for each in await compare({"users": self.dbs["users"]}, {"users": ddocs})}
        return [ddoc for ddoc in ddocs if ddoc["_id"] in changed]

    async def begin_indexing(self, doc: Doc) -> None:
        await self.logs.move(doc["_id"], "indexing")

    async def index(self, doc: Doc) -> None:
        await self.warm(doc)
        await self.logs.move(doc["_id"], "indexed")

    async def go_on(self, doc: Doc) -> None:
        await self.logs.move(doc["_id"], "completing")

    async def catch_up(self, doc: Doc) -> None:
        """Since it was indexed, days may have passed."""
        await self.check_staged(doc)
        await self.warm(doc)
        await self.logs.move(doc["_id"], "complete")

    async def begin_exchange(self, doc: Doc) -> None:
        await self.logs.move(doc["_id"], "finalizing")

    async def exchange(self, doc: Doc) -> None:
        await exchange(self.dbs, doc, self.now())
        await self.clean_up()
        await self.logs.move(doc["_id"], "finalized")
        log.info("upgraded from %s to %s", doc["from"], doc["to"])

    async def take_back(self, doc: Doc) -> None:
        await unstage(self.dbs)
        await self.clean_up()
        await self.logs.move(doc["_id"], "aborted")

    async def check_staged(self, doc: Doc) -> None:
        """What is exchanged must be what was asked for. NotFound when something else has been done to it."""
        versions = {ddoc.get("version") for db in self.dbs.values() for ddoc in await staged_docs(db)}
        if versions - {doc["to"]} or not versions:
            raise NotFound(f"The design documents of {doc['to']} are not staged any more")

    async def warm(self, doc: Doc) -> None:
        watch = asyncio.create_task(self.note_progress(doc))
        try:
            await warm(self.dbs)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def note_progress(self, doc: Doc) -> None:
        """Keep in the log how far each index is (UPG-17)."""
        known: list[Doc] = []
        while True:
            with suppress(DomainError, Overtaken):
                found = merged(known, await running_indexers(self.couch, self.dbs))
                if found != known:
                    await self.logs.note(doc["_id"], indexers=found)
                    known = found
            await asyncio.sleep(PROGRESS_EVERY_S)

    async def clean_up(self) -> None:
        """Delete the index files that no design document needs any more; CouchDB does so by itself later, too."""
        for db in self.dbs.values():
            try:
                await db.request("POST", "/_view_cleanup", body={})
            except DomainError as error:
                log.warning("old indexes of %s were not deleted: %s", db.name, error.message)


async def first_of(feed: asyncio.Task[None], work: asyncio.Future[Any]) -> None:
    """Wait for the work; what ends the feed ends us too."""
    try:
        await asyncio.wait({feed, work}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, feed):
            if task.done():
                task.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
