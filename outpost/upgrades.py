"""What the supervisor does about upgrades: replaces its processes when one has been completed (60 UPG-21)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from core.config import Config
from core.couch.changes import follow
from core.couch.client import Couch, Doc
from core.dates import ms_of
from core.errors import DomainError
from core.upgrades.log import PREFIX

log = logging.getLogger(__name__)

RETRY_S = 5.0


class UpgradeWatch:
    """Follows the logs of upgrades. Each machine has its own, and replaces its own processes."""

    def __init__(self, couch: Couch, config: Config, replace_all: Callable[[], Awaitable[bool]]) -> None:
        self.logs_db = couch.db(config.db_name("logs"))
        self.heartbeat_s = config.feed_heartbeat_s
        self.replace_all = replace_all
        self.position = "now"
        self.done: set[str] = set()

    async def begin(self) -> None:
        """Take note of where the feed is, before the processes start: they know what was completed until now."""
        try:
            self.position = (await self.logs_db.info())["update_seq"]
        except DomainError as error:
            log.warning("upgrades are watched from now on only: %s", error.message)

    async def follow(self) -> None:
        """For ever; what CouchDB refuses is logged and tried again."""
        while True:
            try:
                async for batch in follow(self.logs_db, self.position, heartbeat_s=self.heartbeat_s):
                    for doc_id in {change.id for change in batch.changes if change.id.startswith(PREFIX)}:
                        await self.look(doc_id)
                    self.position = batch.last_seq
            except DomainError as error:
                log.warning("the logs of upgrades cannot be followed: %s", error.message)
            await asyncio.sleep(RETRY_S)

    async def look(self, doc_id: str) -> None:
        doc = await self.logs_db.find(doc_id)
        if doc is None or doc_id in self.done or doc.get("state") != "finalized" or doc.get("action") == "install":
            return
        self.done.add(doc_id)
        log.info("upgraded to %s: replacing the processes one after the other", doc["to"])
        if not await self.replace_all():
            log.error("not all processes were replaced: start the service again when what kept them is mended")
            return
        log.info("all processes were replaced")
        replaced = {"host": socket.gethostname(), "date": ms_of(datetime.now(UTC))}
        await self.logs_db.update(doc_id, lambda doc: with_replaced(doc, replaced))


def with_replaced(doc: Doc | None, replaced: Doc) -> Doc | None:
    return {**doc, "replaced": [*doc.get("replaced", []), replaced]} if doc else None
