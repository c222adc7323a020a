"""The Nepali calendar, Bikram Sambat: its dates to Gregorian ones and back, from a table of month lengths."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from itertools import accumulate
from typing import Any

import orjson

TABLE: dict[str, Any] = orjson.loads(files("core").joinpath("data/bikram-sambat.json").read_bytes())
FIRST_DAY = date.fromisoformat(TABLE["first_day"])
MONTH_LENGTHS: dict[int, list[int]] = {int(year): lengths for year, lengths in TABLE["month_lengths"].items()}
YEARS = sorted(MONTH_LENGTHS)
# Days from FIRST_DAY to the first day of each year, and to the day after the last one.
YEAR_STARTS = list(accumulate((sum(MONTH_LENGTHS[year]) for year in YEARS), initial=0))

MONTHS = ["बैशाख", "जेठ", "असार", "साउन", "भदौ", "असोज", "कार्तिक", "मंसिर", "पौष", "माघ", "फाल्गुन", "चैत"]
DEVANAGARI = str.maketrans("0123456789", "०१२३४५६७८९")


@dataclass(frozen=True)
class BikramSambat:
    """A day of the Nepali calendar; months and days count from 1."""

    year: int
    month: int
    day: int

    @classmethod
    def from_gregorian(cls, day: date) -> BikramSambat:
        """ValueError outside the table, 1975 to 2090 BS."""
        days = (day - FIRST_DAY).days
        if not 0 <= days < YEAR_STARTS[-1]:
            raise ValueError(f"{day} is outside the Bikram Sambat table")
        at = bisect_right(YEAR_STARTS, days) - 1
        days -= YEAR_STARTS[at]
        for month, length in enumerate(MONTH_LENGTHS[YEARS[at]], start=1):
            if days < length:
                return cls(YEARS[at], month, days + 1)
            days -= length
        raise AssertionError("unreachable")

    def to_gregorian(self) -> date:
        """ValueError for a day the calendar does not have."""
        lengths = MONTH_LENGTHS.get(self.year)
        if lengths is None or not 1 <= self.month <= 12 or not 1 <= self.day <= lengths[self.month - 1]:
            raise ValueError(f"{self.year}-{self.month}-{self.day} is no date of the Bikram Sambat table")
        days = YEAR_STARTS[YEARS.index(self.year)] + sum(lengths[: self.month - 1]) + self.day - 1
        return FIRST_DAY + timedelta(days=days)

    def text(self) -> str:
        """In Devanagari, as `२८ कार्तिक २०८०`."""
        return f"{self.day} {MONTHS[self.month - 1]} {self.year}".translate(DEVANAGARI)
