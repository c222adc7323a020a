"""When a job is to run: a cron expression, or words such as `every 2 hours` or `at 9:00 am on Sunday` (40 JOB-2..4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from croniter import CroniterError, croniter

from core.dates import existing
from core.errors import InvalidInput
from core.timetable_text import Rule, parse_text

# What croniter reads as a moment of its own choice: another one whenever it is asked.
CHANCE = re.compile(r"[hr]([(/].*)?", re.IGNORECASE)
LAST_WEEKDAY = re.compile(r"([0-7]|sun|mon|tue|wed|thu|fri|sat)l", re.IGNORECASE)
# Occurrences that may be skipped one after the other because an exception or a time of day rules them out.
MOST_SKIPPED = 5000
A_LEAP_YEAR = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Timetable:
    """The occurrences of `rules` less those of `exceptions`, in local time, to the minute."""

    rules: tuple[Rule, ...]
    exceptions: tuple[Rule, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self | None:
        """From `text_expression`, which wins, or `cron`; None when neither is given. InvalidInput quotes a bad one."""
        if text := config.get("text_expression"):
            rules, exceptions = parse_text(str(text))
            for rule in (*rules, *exceptions):
                must_occur(rule.cron, f"text_expression: {text!r}")
            return cls(rules, exceptions)
        if text := config.get("cron"):
            cron = checked(str(text))
            must_occur(cron, f"cron: {text!r}")
            return cls((Rule(cron),))
        return None

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last occurrence after the one moment and not after the other; None when there is none."""
        found = [moment for rule in self.rules if (moment := self._step(rule, until, after, forward=False)) is not None]
        return max(found, default=None)

    def next(self, after: datetime, until: datetime) -> datetime | None:
        """The first occurrence after the one moment and not after the other; None when there is none."""
        found = [moment for rule in self.rules if (moment := self._step(rule, after, until, forward=True)) is not None]
        return min(found, default=None)

    def is_near(self, moment: datetime, span: timedelta) -> bool:
        """Whether there is an occurrence so close before or after."""
        return self.latest(moment - span - timedelta(microseconds=1), moment + span) is not None

    def _step(self, rule: Rule, start: datetime, end: datetime, *, forward: bool) -> datetime | None:
        """From `start` on, or back, to the first occurrence that nothing rules out and that lies within `end`.

        One in the hour that summer time leaves out comes as much later, and so may not have come yet.
        """
        naive = start.replace(tzinfo=None)
        # get_prev leaves out the very moment it starts from.
        times = croniter(rule.cron, naive if forward else naive + timedelta(microseconds=1))
        for _ in range(MOST_SKIPPED):
            moment: datetime = times.get_next(datetime) if forward else times.get_prev(datetime)
            found = existing(moment.replace(tzinfo=start.tzinfo))
            if found > end if forward else found <= end:
                return None
            if not forward and found > start:
                continue
            if rule.allows(moment) and not any(each.matches(moment) for each in self.exceptions):
                return found
        return None


def checked(cron: str) -> str:
    """The expression as croniter reads it: `5L`, the last Friday, is `L5` there."""
    fields = cron.split()
    if len(fields) == 5:
        fields[4] = ",".join(f"L{each[:-1]}" if LAST_WEEKDAY.fullmatch(each) else each for each in fields[4].split(","))
    text = " ".join(fields)
    by_chance = any(CHANCE.fullmatch(item) for each in fields for item in each.split(","))
    if by_chance or not (len(fields) == 5 or text.startswith("@")) or not croniter.is_valid(text):
        raise InvalidInput(f"cron: {cron!r} is not a cron expression of five fields")
    return text


def must_occur(cron: str, quoted: str) -> None:
    """InvalidInput for times that no calendar has, such as 30 February: to be told now, not when it is their turn."""
    try:
        croniter(cron, A_LEAP_YEAR).get_next()
    except CroniterError as error:
        raise InvalidInput(f"{quoted} is a time that never comes: {error}") from error
