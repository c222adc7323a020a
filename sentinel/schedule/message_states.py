"""Ask a hosted SMS service what became of the messages it took, where it does not tell by itself (45 AGG-5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from core.couch.client import Database, Row
from core.sms_reports import StateReport, apply_reports
from sentinel.schedule.destinations import Secret
from sentinel.schedule.outgoing_messages import IN_PARALLEL, needed
from sentinel.schedule.sms_services import InDoubt, NotSent, OutOfService, RapidPro

log = logging.getLogger(__name__)

PAGE_ROWS = 25
# States that are not the last. `sent` is one of the last here: monitoring counts it so, and it stays for ever.
ASKED = ("forwarded-by-gateway", "received-by-gateway")


@dataclass
class MessageStates:
    """One run at a time, which goes on where the last one was refused, so that the first are not always the only."""

    db: Database
    now: Callable[[], datetime]
    may_write: Callable[[], None] = lambda: None
    after: dict[str, str] = field(default_factory=dict)  # the last document seen in a state

    async def ask(self, service: RapidPro, client: httpx.AsyncClient, secret: Secret) -> int:
        """Bring every unfinished message up to date, 25 at a time; how many documents changed.

        OutOfService, for 429 too: what was learned until then is kept.
        """
        token = await needed(secret, service.credential)
        changed = 0
        for state in ASKED:
            while rows := await self.page(state):
                reports, failure = await self.reports(rows, service, client, token)
                self.may_write()
                changed += len(await apply_reports(self.db, reports, self.now))
                if failure is not None:
                    raise failure
                self.after[state] = rows[-1]["id"]
            self.after.pop(state, None)
        return changed

    async def page(self, state: str) -> list[Row]:
        """The next rows of a state, never only some of a document's."""
        after, limit = self.after.get(state), PAGE_ROWS
        start: dict[str, Any] = {} if after is None else {"startkey_docid": after}
        while True:
            rows = await self.db.view(
                "medic-sms", "gateway_messages_by_state", startkey=state, endkey=state, limit=limit, **start
            )
            fresh = [row for row in rows if row["id"] != after]
            if len(rows) < limit:
                return fresh
            whole = [row for row in fresh if row["id"] != rows[-1]["id"]]
            if whole:
                return whole
            limit *= 2

    async def reports(
        self, rows: list[Row], service: RapidPro, client: httpx.AsyncClient, token: str
    ) -> tuple[list[StateReport], OutOfService | None]:
        """What could be learned, and why not more."""
        slots, stopped = asyncio.Semaphore(IN_PARALLEL), list[OutOfService]()

        async def learn(uuid: str, ref: str) -> StateReport | None:
            async with slots:
                if stopped:
                    return None
                try:
                    state = await service.status(client, token, ref)
                except OutOfService as failure:
                    stopped.append(failure)
                    return None
                except (NotSent, InDoubt) as failure:
                    log.warning("%s, broadcast %s: %s", service.name, ref, failure)
                    return None
            return None if state is None else StateReport(state, uuid=uuid, gateway_ref=ref)

        found = await asyncio.gather(
            *(learn(str(row["value"]["id"]), str(row["value"]["gateway_ref"])) for row in rows)
        )
        return [each for each in found if each is not None], stopped[0] if stopped else None
