"""Instants and spans of time as settings and documents write them: `N unit`, in local time unless told otherwise."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from dateutil.relativedelta import relativedelta
from dateutil.tz import UTC as SAFE_UTC
from dateutil.tz import resolve_imaginary, tzlocal

DURATION = re.compile(r"\s*([+-]?\d{1,6})\s*(second|minute|hour|day|week|month|year)s?\s*", re.IGNORECASE)
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?")
CLOCK_UNITS = frozenset({"second", "minute", "hour"})

Duration = timedelta | relativedelta


def local_zone() -> tzinfo:
    """The server's own timezone, with its summer time."""
    return tzlocal()


def parse_duration(text: Any) -> Duration | None:
    """`"12 weeks"` as a span, None when it is not one. Hours and less are exact; days and more keep the wall clock."""
    found = DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    unit = found[2].lower() + "s"
    count = int(found[1])
    return timedelta(**{unit: count}) if found[2].lower() in CLOCK_UNITS else relativedelta(**{unit: count})  # type: ignore[arg-type]


def add(moment: datetime, duration: Duration, *, sign: int = 1) -> datetime | None:
    """`moment` moved by `duration`, in its own zone; None when that is outside the calendar."""
    try:
        if isinstance(duration, timedelta):
            return (moment.astimezone(UTC) + sign * duration).astimezone(moment.tzinfo)
        return existing(moment + sign * duration)
    except (OverflowError, ValueError):
        return None


def moment_of(value: Any, zone: tzinfo) -> datetime | None:
    """The instant a document means by milliseconds or an ISO date, in `zone`; None for anything else.

    A text without an offset is local time in `zone`; digits alone are milliseconds.
    """
    if isinstance(value, bool) or value is None:
        return None
    try:
        if isinstance(value, str):
            text = value.strip()
            if ISO_DATE.fullmatch(text):
                moment = datetime.fromisoformat(text)
                return moment.astimezone(zone) if moment.tzinfo else existing(moment.replace(tzinfo=zone))
            if not re.fullmatch(r"-?\d{1,15}", text):
                return None
            value = int(text)
        if isinstance(value, int | float) and math.isfinite(value):
            return datetime.fromtimestamp(value / 1000, SAFE_UTC).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def start_of_day(moment: datetime) -> datetime:
    return existing(moment.replace(hour=0, minute=0, second=0, microsecond=0))


def existing(moment: datetime) -> datetime:
    """The moment itself; one that summer time leaves out, as much later, as JavaScript reads it.

    In Beirut and Havana such a night begins at one o'clock.
    """
    try:
        return resolve_imaginary(moment)
    except OverflowError:
        return moment


def ms_of(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def iso_of(moment: datetime) -> str:
    """`2031-02-03T08:00:00.000Z`, as JavaScript writes an instant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
