"""When the messages of a schedule are due for a report (40 §8)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from core.dates import add, existing, moment_of, parse_duration
from core.documents import Doc
from core.settings import Settings

log = logging.getLogger(__name__)

Config = Mapping[str, Any]

SEND_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})\s*(?:([+-])(\d{2}):?(\d{2}))?\s*")
DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


@dataclass(frozen=True)
class Planned:
    """One message of a schedule and the instant at which it is to be sent."""

    due: datetime
    message: Config


def schedules_by_name(settings: Settings) -> dict[str, Config]:
    """`settings.schedules`; with several of one name the last wins."""
    return {str(entry["name"]): entry for entry in settings.entries("schedules") if entry.get("name")}


def plan(doc: Doc, schedule: Config, *, now: datetime, has_text: Callable[[Config], bool]) -> list[Planned]:
    """The messages still to be sent, in their configured order (SCH-1..5). `now` carries the local zone.

    A message that is past or has no text is left out, with the rest of its group unless `start_mid_group` is true.
    """
    zone = now.tzinfo
    start = None if zone is None else moment_of(start_value(doc, schedule), zone)
    if start is None:
        return []
    planned: list[Planned] = []
    closed: set[Any] = set()
    messages = schedule.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict) or str(message.get("group")) in closed:
            continue
        due = due_of(start, message)
        if due is None:
            log.warning("schedule %s: offset %r is not a duration", schedule.get("name"), message.get("offset"))
        elif due >= now and has_text(message):
            planned.append(Planned(due, message))
        elif schedule.get("start_mid_group") is not True:
            closed.add(str(message.get("group")))
    return planned


def start_value(doc: Doc, schedule: Config) -> Any:
    """The value at `start_from`, a dotted path or a list of them: the first that is defined (SCH-1)."""
    paths = schedule.get("start_from") or "reported_date"
    for path in paths if isinstance(paths, list) else [paths]:
        value: Any = doc
        for name in str(path).split("."):
            if not isinstance(value, dict) or name not in value:
                break
            value = value[name]
        else:
            return value
    return None


def due_of(start: datetime, message: Config) -> datetime | None:
    """The start moved by `offset`, set to `send_time`, then to `send_day` (SCH-2..4). None: no such offset."""
    offset = parse_duration(message.get("offset"))
    due = None if offset is None else add(start, offset)
    if due is None:
        return None
    return on_day(at_time(due, message.get("send_time")), message.get("send_day"))


def at_time(due: datetime, send_time: Any) -> datetime:
    """Hour and minute by `HH:mm`, in the UTC offset behind it if one stands there (SCH-3)."""
    found = SEND_TIME.fullmatch(send_time) if isinstance(send_time, str) else None
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        return due
    if found[3]:
        offset = timedelta(hours=int(found[4]), minutes=int(found[5]))
        if offset >= timedelta(days=1):
            return due
        due = due.astimezone(timezone(-offset if found[3] == "-" else offset))
    return existing(due.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0))


def on_day(due: datetime, send_day: Any) -> datetime:
    """That weekday of the same week, which begins on Sunday (SCH-4): it may be up to six days earlier."""
    wanted = weekday(send_day)
    if wanted is None:
        return due
    return existing(due + timedelta(days=wanted - due.isoweekday() % 7))


def weekday(send_day: Any) -> int | None:
    """0 (Sunday) to 6 by number or by name, which may be shortened to three letters."""
    text = str(send_day).strip().lower() if isinstance(send_day, str | int) else ""
    if text.isdigit() and int(text) <= 6:
        return int(text)
    found = [index for index, day in enumerate(DAYS) if len(text) >= 2 and day.startswith(text)]
    return found[0] if len(found) == 1 else None
