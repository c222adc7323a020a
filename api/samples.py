"""What the deployment looked like lately, minute by minute: a SQLite file that one process writes and all read."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import orjson

log = logging.getLogger(__name__)

MINUTE_MS = 60_000
KEPT_MS = 48 * 3_600_000
BUSY_S = 5.0

# Numbers by name; what could not be measured is absent.
Sample = dict[str, float]


class Samples:
    """The file at `path`. Blocking: call it on a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, at_ms: int, sample: Sample) -> None:
        """Keep what was measured in that minute, and forget what is older than two days."""
        try:
            self._add(at_ms, sample)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            log.warning("%s cannot be read, and is begun anew: %s", self.path, error)
            self.path.unlink(missing_ok=True)
            self._add(at_ms, sample)

    def _add(self, at_ms: int, sample: Sample) -> None:
        with closing(sqlite3.connect(self.path, timeout=BUSY_S)) as file, file:
            file.execute("CREATE TABLE IF NOT EXISTS samples (at_ms INTEGER PRIMARY KEY, members TEXT NOT NULL)")
            minute = at_ms - at_ms % MINUTE_MS
            file.execute("INSERT OR REPLACE INTO samples VALUES (?, ?)", (minute, orjson.dumps(sample).decode()))
            file.execute("DELETE FROM samples WHERE at_ms < ?", (at_ms - KEPT_MS,))

    def since(self, at_ms: int) -> list[tuple[int, Sample]]:
        """The samples from that moment on, the oldest first; none where there is no file yet."""
        try:
            with closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as file:
                rows = file.execute("SELECT at_ms, members FROM samples WHERE at_ms >= ? ORDER BY at_ms", (at_ms,))
                return [(moment, orjson.loads(members)) for moment, members in rows]
        except sqlite3.DatabaseError:
            return []


def thinned(samples: Iterable[tuple[int, Sample]], step_ms: int) -> list[tuple[int, Sample]]:
    """One sample for each span of time, with the highest of each number within it."""
    found: dict[int, Sample] = {}
    for at_ms, sample in samples:
        span = found.setdefault(at_ms - at_ms % step_ms, {})
        for name, value in sample.items():
            span[name] = max(value, span.get(name, value))
    return list(found.items())
