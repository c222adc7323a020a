"""Which messages are offered to a gateway, and how often, so that some it cannot take never block the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.couch.client import Database, Doc, Row
from core.dates import add, ms_of, parse_duration
from core.settings import Settings

OUR_GATEWAY = "medic-gateway"
LEDGER = "sms-offers"  # the local document of the main database that keeps what was offered to gateways
MINUTE_MS = 60_000
AT_EVERY_EXCHANGE = 5
MOST_OFFERS = 20
LONGEST_GAP_MIN = 60
LARGE_PAGE = 2000  # rows read at once where tasks without a message stand before the messages


@dataclass(frozen=True)
class Offer:
    """A message to send: the row of medic/messages_by_state."""

    uuid: str
    doc_id: str
    to: str
    content: str
    due_ms: int

    @classmethod
    def from_rows(cls, rows: Iterable[Row], before: Iterable[Offer] = ()) -> list[Offer]:
        """Those of rows `before` and of these, each once; a task that has no message yet has an empty row."""
        found = {each.uuid: each for each in before}
        for row in rows:
            value = row["value"]
            if isinstance(value, dict) and value.get("id"):
                offer = cls(str(value["id"]), row["id"], str(value["to"]), str(value["content"]), int(row["key"][1]))
                found.setdefault(offer.uuid, offer)
        return list(found.values())


async def read_offers(db: Database, state: str, limit: int, **params: Any) -> list[Offer]:
    """The messages in a state, the longest due first; a due time in the future holds nothing back (SMS-8).

    Not more than `limit`. Tasks that have no message take no room, however many there are.
    """
    found: list[Offer] = []
    between: dict[str, Any] = {"startkey": [state, 0], "endkey": [state, {}], **params}
    read, size = 0, limit
    while len(found) < limit:
        rows = await db.view("medic", "messages_by_state", limit=size, skip=read, **between)
        found = Offer.from_rows(rows, found)
        if len(rows) < size:
            break
        read, size = read + size, LARGE_PAGE
    return found[:limit]


def oldest_ms(settings: Settings, now: datetime) -> int | None:
    """What was due before that has waited longer than `sms.max_pending_age`, a span as `3 days` (TSK-4)."""
    age = parse_duration(settings.section("sms").get("max_pending_age"))
    oldest = None if age is None else add(now, age, sign=-1)
    return None if oldest is None else ms_of(oldest)


def outgoing_service(settings: Settings) -> Any:
    """Who sends messages: the gateway app, which comes for them, unless the settings name another (SMS-6)."""
    return settings.section("sms").get("outgoing_service") or OUR_GATEWAY


@dataclass(frozen=True)
class Offered:
    """How often a message was offered without an answer, and when last."""

    count: int = 0
    last_ms: int = 0

    def is_due(self, now_ms: int) -> bool:
        """At every exchange up to five times, then 1, 2, 4 ... 60 minutes after the last time (SMS-11).

        A last time in the future was told by a clock that was ahead, and does not count.
        """
        if self.count < AT_EVERY_EXCHANGE:
            return True
        gap_min = min(1 << (self.count - AT_EVERY_EXCHANGE), LONGEST_GAP_MIN)
        return not 0 <= now_ms - self.last_ms < gap_min * MINUTE_MS

    def is_over(self, now_ms: int) -> bool:
        """Whether it was offered twenty times, and the last one was left unanswered too."""
        return self.count >= MOST_OFFERS and self.is_due(now_ms)


@dataclass(frozen=True)
class Ledger:
    """What was offered and not acknowledged yet, by message uuid."""

    entries: Mapping[str, Offered]

    @classmethod
    def from_doc(cls, doc: Doc | None) -> Ledger:
        offers = (doc or {}).get("offers")
        return cls({uuid: Offered(*entry) for uuid, entry in offers.items()} if isinstance(offers, dict) else {})

    def as_offers(self) -> dict[str, list[int]]:
        return {uuid: [entry.count, entry.last_ms] for uuid, entry in self.entries.items()}

    def of(self, offer: Offer) -> Offered:
        return self.entries.get(offer.uuid, Offered())

    def next_offers(self, pending: list[Offer], unacknowledged: list[Offer], now_ms: int, most: int) -> list[Offer]:
        """What to offer now: new messages by due time, then the others, the least recently offered first (SMS-11)."""
        again = [offer for offer in unacknowledged if self.of(offer).is_due(now_ms)]
        again.sort(key=lambda offer: (self.of(offer).last_ms, offer.due_ms))
        return (pending + again)[:most]

    def is_over(self, offer: Offer, now_ms: int) -> bool:
        return self.of(offer).is_over(now_ms)

    def after(self, offered: Iterable[Offer], unacknowledged: Iterable[Offer], now_ms: int) -> Ledger:
        """The ledger once these were offered; what is neither offered nor unacknowledged any more is forgotten."""
        entries = {offer.uuid: self.of(offer) for offer in unacknowledged}
        entries |= {offer.uuid: Offered(self.of(offer).count + 1, now_ms) for offer in offered}
        return Ledger(entries)
