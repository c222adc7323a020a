"""An export as it was asked for, with what it is made from; and what it becomes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from core.couch.client import Couch, Database
from core.documents import Doc
from core.errors import InvalidInput
from core.exports.cells import Csv
from core.exports.filters import read_flag
from core.settings import Settings
from core.translations import Translations

# What the search index finds: ids with what they are sorted by, some at a time.
Hits = AsyncIterator[Sequence[tuple[str, Any]]]
Parts = AsyncGenerator[bytes, None]

ROWS = 100  # written at once (EP-EXP-7)
MOST_ROWS = 10_000


@dataclass(frozen=True)
class Options:
    """`readable`: dates as texts. `rows`: how many are written at once."""

    readable: bool = False
    rows: int = ROWS
    format: str | None = None
    csv: Csv = field(default_factory=Csv)

    @classmethod
    def read(cls, options: Mapping[str, Any], *, defused: bool) -> Self:
        """The `options` of a request, from a query or from JSON. InvalidInput names the option."""
        if options.get("csv") not in (None, "", "rfc4180"):
            raise InvalidInput("`options.csv` must be rfc4180")
        return cls(
            readable=read_flag(options.get("humanReadable"), "options.humanReadable") or False,
            rows=read_rows(options.get("limit")),
            format=options.get("format") or None,
            csv=Csv(doubled=options.get("csv") == "rfc4180", defused=defused),
        )


def read_rows(value: Any) -> int:
    if value is None or value == "":
        return ROWS
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9 else value
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST_ROWS:
        raise InvalidInput(f"`options.limit` must be a whole number from 1 to {MOST_ROWS}")
    return number


@dataclass(frozen=True)
class Asked:
    """`search` makes the hits of the words of `filters.search`, None where these find everything;
    `registrations_among` leaves the valid registrations of some reports."""

    couch: Couch
    db: Database
    users_meta: Database
    settings: Settings
    translations: Callable[[], Awaitable[Translations]]
    now: datetime
    filters: Mapping[str, Any]
    options: Options
    query: Mapping[str, str]
    search: Callable[[str], Hits | None]
    registrations_among: Callable[[Iterable[Doc]], list[Doc]]
    observed: bool  # as CHT does it, where 30 §18 names that profile


@dataclass(frozen=True)
class Export:
    """The answer's body in parts, made as they are asked for."""

    content_type: str
    extension: str
    parts: Parts


def csv_export(parts: Parts) -> Export:
    return Export("text/csv", "csv", parts)


def json_export(parts: Parts) -> Export:
    return Export("application/json", "json", parts)


def header(columns: Iterable[str]) -> bytes:
    """The first line: ids of columns, without quotes (EP-EXP-10)."""
    return (",".join(columns) + "\n").encode()


def in_parts(lines: Sequence[str], size: int) -> Iterable[bytes]:
    for start in range(0, len(lines), size):
        yield "".join(lines[start : start + size]).encode()
