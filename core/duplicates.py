"""How often the same message was written to the same phone, counted by all processes together (40 MSG-8, MSG-10)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from core.couch.client import Database, Doc
from core.dates import moment_of, ms_of
from core.errors import Conflict, DomainError

log = logging.getLogger(__name__)

HIGHEST_DUPLICATE_LIMIT = 20
SHARED = "sms-duplicates"
WRITE_ATTEMPTS = 5


@dataclass
class Repeats:
    """How often a message was written, when last, and the number that each of the first ones had, by its source.

    `shared` of them are what the database knew when it was last asked or told.
    """

    touched: datetime
    seen: int = 0
    shared: int = 0
    numbers: dict[Hashable, int] = field(default_factory=dict)

    def number_of(self, source: Hashable) -> int:
        if source in self.numbers:
            return self.numbers[source]
        self.seen += 1
        if source is not None and self.seen <= HIGHEST_DUPLICATE_LIMIT:
            self.numbers[source] = self.seen
        return self.seen


@dataclass
class DuplicateGuard:
    """Counts equal messages to one phone, so that two machines answering each other come to an end (MSG-8).

    Free of I/O but for `pull`, before messages are written, and `push`, afterwards: they keep `sms-duplicates`
    of the sentinel database `{entries: {digest: [count, last ms]}}`, so that the API, the worker and their successors
    count as one. A message that a process wrote only once is kept to itself until it is written again. Times in the
    future, from a clock that was ahead, are as far away as those of the past.
    """

    now: Callable[[], datetime]
    counts: dict[str, Repeats] = field(default_factory=dict)
    stored: Doc | None = None

    remember: timedelta = timedelta(minutes=30)
    sweep_above: int = 1000
    sweep_every: timedelta = timedelta(minutes=1)
    swept_at: datetime | None = None

    def count(self, to: str, text: str, source: Hashable = None) -> int:
        """How often this message was written within 30 minutes of the one before, this time included.

        A `source` that comes again, because its document is processed again, keeps the number it had.
        """
        now, key = self.now(), digest(to, text)
        repeats = self.counts.get(key)
        if repeats is None or abs(now - repeats.touched) > self.remember:
            repeats = self.counts[key] = Repeats(now)
        repeats.touched = now
        number = repeats.number_of(source)
        is_time = self.swept_at is None or abs(now - self.swept_at) >= self.sweep_every
        if is_time and len(self.counts) > self.sweep_above:
            self.counts = {key: each for key, each in self.counts.items() if abs(now - each.touched) <= self.remember}
            self.swept_at = now
        return number

    async def pull(self, db: Database) -> None:
        """Add what other processes counted meanwhile."""
        self.stored = await db.find(SHARED)
        now = self.now()
        known = self.recent_entries()
        for key, (seen, touched) in known.items():
            mine = self.counts.get(key)
            if mine is None or abs(now - mine.touched) > self.remember:
                mine = self.counts[key] = Repeats(touched)
            mine.seen += max(seen - mine.shared, 0)
            mine.shared, mine.touched = seen, max(mine.touched, touched)
        for key in self.counts.keys() - known.keys():
            self.counts[key].shared = 0

    async def push(self, db: Database) -> None:
        """Tell the others what was counted here. A failure is only logged: the messages are stored already."""
        try:
            for _ in range(WRITE_ATTEMPTS):
                if not self.has_news():
                    return
                entries = {
                    key: [each.seen, ms_of(each.touched)]
                    for key, each in self.counts.items()
                    if each.seen > 1 and abs(self.now() - each.touched) <= self.remember
                }
                try:
                    rev = await db.put({**(self.stored or {}), "_id": SHARED, "entries": entries})
                except Conflict:
                    await self.pull(db)
                    continue
                self.stored = {"_rev": rev, "entries": entries}
                for key, (seen, _) in entries.items():
                    if key in self.counts:
                        self.counts[key].shared = seen
                return
        except DomainError as error:
            log.warning("the counts of equal messages could not be shared: %s", error.message)

    def has_news(self) -> bool:
        return any(each.seen > 1 and each.seen != each.shared for each in self.counts.values())

    def recent_entries(self) -> dict[str, tuple[int, datetime]]:
        """What the database knew when it was last read, as far as it counts still."""
        now = self.now()
        entries = (self.stored or {}).get("entries")
        found: dict[str, tuple[int, datetime]] = {}
        for key, (seen, touched_ms) in (entries if isinstance(entries, dict) else {}).items():
            touched = moment_of(touched_ms, now.tzinfo) if now.tzinfo else None
            if touched is not None and abs(now - touched) <= self.remember:
                found[key] = (int(seen), touched)
        return found


def digest(to: str, text: str) -> str:
    return hashlib.sha256(f"{to}-{text}".encode("utf-8", "surrogatepass")).hexdigest()[:24]
