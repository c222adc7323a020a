"""Whether gateways come for their messages, and how long messages have waited for them (45 SMS-28)."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from core.couch.client import Database, Doc
from core.dates import ms_of
from core.errors import DomainError
from core.sms_offers import AT_EVERY_EXCHANGE, LEDGER, Ledger, Offer, read_offers

log = logging.getLogger(__name__)

VISITS = "sms-gateways"
SELDOM = timedelta(minutes=1)
MOST_COUNTED = 1000
HOUR_MS = 3_600_000
AGES = {"hour": HOUR_MS, "day": 24 * HOUR_MS, "week": 7 * 24 * HOUR_MS}


class Visits:
    """`_local/sms-gateways` of the sentinel database, `{gateways: {user: last exchange in ms}}`."""

    def __init__(self, sentinel_db: Database, now: Callable[[], datetime]) -> None:
        self.db = sentinel_db
        self.now = now
        self._noted: dict[str, datetime] = {}

    async def note(self, user: str) -> None:
        """Remember that this gateway came, once a minute at most; never a reason for its exchange to fail."""
        now, before = self.now(), self._noted.get(user)
        if before is not None and abs(now - before) < SELDOM:
            return
        self._noted[user] = now

        def change(doc: Doc | None) -> Doc:
            return {**(doc or {}), "gateways": {**visits_in(doc), user: ms_of(now)}}

        try:
            await self.db.update(f"_local/{VISITS}", change)
        except DomainError as error:
            log.warning("that the gateway %s came cannot be noted: %s", user, error.message)


def visits_in(doc: Doc | None) -> dict[str, int]:
    gateways = (doc or {}).get("gateways")
    return gateways if isinstance(gateways, dict) else {}


async def read_queue(db: Database, sentinel_db: Database, now: datetime, **params: Any) -> Doc:
    """What waits for gateways, and when each came last: `{waiting, offered_often, gateways}`.

    `waiting`: `{state, count, oldest_due, ages}` of what is pending, and of what was offered and not acknowledged;
    `ages` counts by how long ago they were due, `{hour, day, week, older}`. At most 1000 of a state are counted.
    `offered_often`: how many were offered more than five times. `gateways`: `{name, last_exchange}`, the latest first.
    `params` are of the view that has the messages, as `update="lazy"`.
    """
    pending, offered, ledger, visits = await asyncio.gather(
        read_offers(db, "pending", MOST_COUNTED, **params),
        read_offers(db, "forwarded-to-gateway", MOST_COUNTED, **params),
        db.get_local(LEDGER),
        sentinel_db.get_local(VISITS),
    )
    entries = Ledger.from_doc(ledger).entries
    by_last = sorted(visits_in(visits).items(), key=lambda each: -each[1])
    return {
        "waiting": [
            counted("pending", pending, ms_of(now)),
            counted("forwarded-to-gateway", offered, ms_of(now)),
        ],
        "offered_often": sum(entries[each.uuid].count > AT_EVERY_EXCHANGE for each in offered if each.uuid in entries),
        "gateways": [{"name": name, "last_exchange": last} for name, last in by_last],
    }


def counted(state: str, offers: Sequence[Offer], now_ms: int) -> Doc:
    ages = Counter(age_of(each, now_ms) for each in offers)
    return {
        "state": state,
        "count": len(offers),
        "oldest_due": offers[0].due_ms if offers else None,
        "ages": {name: ages[name] for name in (*AGES, "older")},
    }


def age_of(offer: Offer, now_ms: int) -> str:
    """Within which of the spans it was due."""
    return next((name for name, span_ms in AGES.items() if now_ms - offer.due_ms <= span_ms), "older")
