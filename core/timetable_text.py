"""Read schedules in words: `every 5 mins`, `at 10:15 am on Sunday`, `on the last day of the month` (40 JOB-3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

from croniter import croniter

from core.errors import InvalidInput

DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
LAST_WEEK = -1
ORDINALS = {"first": "1", "second": "2", "third": "3", "fourth": "4", "fifth": "5"}

TIME = r"(\d{1,2})(?::(\d{2}))?(?:\s*(am|pm))?"
AND = r"\s*(?:,|and)\s*(?:and\s+)?"
UNIT = r"(minute|min|hour|day of the week|day of the month|day|week|month|year)s?"
PERIOD = UNIT + r"(?:\s+of the (?:month|hour|day|year))?"
NUMBER = r"(?:first|second|third|fourth|fifth|last|\d+(?:st|nd|rd|th)?)"
WEEKDAY = rf"(?:{'|'.join(f'{day[:3]}(?:{day[3:]})?' for day in DAYS)})s?"
MONTH = rf"(?:{'|'.join(f'{month[:3]}(?:{month[3:]})?' for month in MONTHS)})"

PHRASES = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("weekday", r"every weekday"),
        ("weekend", r"every weekend"),
        ("every", rf"every (?:(\d+)\s+)?{PERIOD}"),
        ("at", rf"at (?:the )?({TIME}(?:{AND}{TIME})*)"),
        ("nth", rf"on the ({NUMBER}(?:{AND}{NUMBER})*) {PERIOD}"),
        ("on", rf"on (?:the )?({WEEKDAY}(?:{AND}{WEEKDAY})*)"),
        ("of", rf"(?:of|in) (?:the month of )?({MONTH}(?:{AND}{MONTH})*)"),
        ("after", rf"after {TIME}"),
        ("before", rf"before {TIME}"),
    )
)


@dataclass(frozen=True)
class Rule:
    """A cron expression, and what its occurrences have to be besides.

    From `after` to before `before` of a day; in one of those `weeks` of the year, which begin on Sunday and are
    numbered from that of the year's first Thursday; every so many `years`, counted from 1970.
    """

    cron: str
    after: time | None = None
    before: time | None = None
    weeks: frozenset[int] | None = None
    years: int = 1

    def allows(self, moment: datetime) -> bool:
        now = moment.time()
        return (
            (self.after is None or now >= self.after)
            and (self.before is None or now < self.before)
            and (self.weeks is None or not self.weeks.isdisjoint(numbers_of_week(moment)))
            and (moment.year - 1970) % self.years == 0
        )

    def matches(self, moment: datetime) -> bool:
        return bool(croniter.match(self.cron, moment, day_or=False)) and self.allows(moment)


@dataclass
class Fields:
    """The members of a cron expression as far as the text tells them."""

    minute: str | None = None
    hour: str | None = None
    day: str | None = None
    month: str | None = None
    weekday: str | None = None
    times: list[time] = field(default_factory=list)
    after: time | None = None
    before: time | None = None
    weeks: frozenset[int] | None = None
    years: int = 1

    def rules(self) -> list[Rule]:
        """What the text leaves open is the first that fits: midnight, Sunday, the first of the month."""
        if self.weeks and not self.weekday and not self.day:
            self.weekday = "0"
        day = self.day or ("1" if self.month and not self.weekday else "*")
        rest = f"{day} {self.month or '*'} {self.weekday or '*'}"
        if self.times:
            return [Rule(f"{each.minute} {each.hour} {rest}", None, None, *self.spans) for each in self.times]
        bounded = self.after or self.before
        hour = self.hour or ("*" if self.minute or bounded else "0")
        return [Rule(f"{self.minute or 0} {hour} {rest}", self.after, self.before, *self.spans)]

    @property
    def spans(self) -> tuple[frozenset[int] | None, int]:
        return self.weeks, self.years


def parse_text(text: str) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The rules of a text and its exceptions. InvalidInput says what could not be read (JOB-4)."""
    wanted, _, excepted = " ".join(text.lower().split()).partition(" except ")
    rules = tuple(rule for part in wanted.split(" also ") for rule in parse_part(part, text))
    exceptions = tuple(rule for part in excepted.split(" also ") if part for rule in parse_except(part, text))
    return rules, exceptions


def parse_except(part: str, text: str) -> list[Rule]:
    """An exception without a time rules out the whole day."""
    fields = read(part, text)
    if not fields.times and not fields.minute and not fields.hour:
        fields.minute = "*"
    return fields.rules()


def parse_part(part: str, text: str) -> list[Rule]:
    return read(part, text).rules()


def read(part: str, text: str) -> Fields:
    fields, rest = Fields(), part.strip()
    if not rest:
        raise InvalidInput(f"text_expression: {text!r} is empty")
    while rest:
        for kind, pattern in PHRASES:
            found = pattern.match(rest)
            if found and (found.end() == len(rest) or rest[found.end()] in " ,"):
                take(fields, kind, found, text)
                rest = rest[found.end() :].lstrip(" ,")
                break
        else:
            raise InvalidInput(f"text_expression: {text!r} cannot be read from {rest!r} on")
    return fields


def take(fields: Fields, kind: str, found: re.Match[str], text: str) -> None:
    match kind:
        case "weekday":
            fields.weekday = "1-5"
        case "weekend":
            fields.weekday = "0,6"
        case "every":
            every(fields, int(found[1] or 1), found[2], text)
        case "at":
            fields.times += [time_of(each, text) for each in re.finditer(TIME, found[1])]
        case "nth":
            nth(fields, [number(each) for each in re.findall(NUMBER, found[1])], found[2], text)
        case "on":
            fields.weekday = ",".join(str(index_of(each, DAYS)) for each in re.findall(WEEKDAY, found[1]))
        case "of":
            fields.month = ",".join(str(index_of(each, MONTHS) + 1) for each in re.findall(MONTH, found[1]))
        case "after":
            fields.after = time_of(found, text)
        case "before":
            fields.before = time_of(found, text)


def every(fields: Fields, count: int, period: str, text: str) -> None:
    """`every 5 mins` is minute 0, 5, 10... of each hour; `every 3 days` the 1st, 4th, 7th... of each month."""
    if count < 1:
        raise InvalidInput(f"text_expression: {text!r} repeats every 0")
    if period in ("minute", "min"):
        fields.minute = f"*/{count}"
    elif period == "hour":
        fields.hour = f"*/{count}"
    elif period in ("day", "day of the month"):
        fields.day = "*" if count == 1 else f"*/{count}"
    elif period == "day of the week":
        fields.weekday = f"*/{count}"
    elif period == "month":
        fields.month = f"*/{count}"
    elif period == "week":
        fields.weeks = frozenset(range(1, 54, count))
    else:
        fields.month, fields.years = fields.month or "1", count


def nth(fields: Fields, numbers: list[str], period: str, text: str) -> None:
    """`on the first day of the week` is Sunday, `on the last day of the month` whatever date that is."""
    if period == "day of the week":
        fields.weekday = ",".join("6" if each == "L" else str(int(each) - 1) for each in numbers)
    elif period in ("day", "day of the month"):
        fields.day = ",".join(numbers)
    elif period == "week":
        fields.weeks = frozenset(LAST_WEEK if each == "L" else int(each) for each in numbers)
    elif period in ("minute", "min", "hour", "month"):
        last = {"minute": "59", "min": "59", "hour": "23", "month": "12"}[period]
        name = "minute" if period == "min" else period
        setattr(fields, name, ",".join(last if each == "L" else each for each in numbers))
    else:
        raise InvalidInput(f"text_expression: {text!r}: the {period} by number is not supported")


def numbers_of_week(moment: datetime) -> set[int]:
    """The number of the week within its year, and LAST_WEEK for the last of a year."""
    monday = moment.date() + timedelta(days=1)  # weeks begin a day before those of ISO 8601
    year, week, _ = monday.isocalendar()
    is_last = (monday + timedelta(days=7)).isocalendar().year != year
    return {week, LAST_WEEK} if is_last else {week}


def number(text: str) -> str:
    """A position as cron writes it, `L` for the last."""
    return "L" if text == "last" else ORDINALS.get(text) or re.sub(r"\D", "", text)


def index_of(name: str, names: tuple[str, ...]) -> int:
    return next(index for index, each in enumerate(names) if each[:3] == name[:3])


def time_of(found: re.Match[str], text: str) -> time:
    """Hour, minute and half of the day are the last three groups; minutes may be left out: `9 am` (JOB-4)."""
    hour, minute, half = found.groups()[-3:]
    hours, minutes = int(hour), int(minute or 0)
    if half and 1 <= hours <= 12:
        hours = hours % 12 + (12 if half == "pm" else 0)
    elif half or (minute is None):
        raise InvalidInput(f"text_expression: {text!r}: {found[0]!r} is not a time")
    if hours > 23 or minutes > 59:
        raise InvalidInput(f"text_expression: {text!r}: {found[0]!r} is not a time")
    return time(hours, minutes)
