"""Cron expressions and schedules in words (40 JOB-2..4, V-5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.errors import InvalidInput
from core.timetables import Timetable

NOW = datetime(2024, 5, 15, 10, 20, 30)  # a Wednesday
YEAR = timedelta(days=366)


def around(**config: str) -> tuple[str, str]:
    """The occurrence before and the one after NOW."""
    timetable = Timetable.from_config(config)
    assert timetable is not None
    before, after = timetable.latest(NOW - YEAR, NOW), timetable.next(NOW, NOW + YEAR)
    return f"{before:%b %d %H:%M}", f"{after:%b %d %H:%M}"


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("at 10:15 am on Sunday", "May 12 10:15", "May 19 10:15"),  # V-5
        ("on the first day of the week", "May 12 00:00", "May 19 00:00"),  # V-5
        ("every 12 hours", "May 15 00:00", "May 15 12:00"),  # V-5
        ("on the last day of the month", "Apr 30 00:00", "May 31 00:00"),  # V-5
        ("at 9 am on Sunday", "May 12 09:00", "May 19 09:00"),  # JOB-4
        ("every 5 mins", "May 15 10:20", "May 15 10:25"),
        ("every 3 days", "May 13 00:00", "May 16 00:00"),
        ("every weekday", "May 15 00:00", "May 16 00:00"),
        ("at 23:30 every weekend", "May 12 23:30", "May 18 23:30"),
        ("at 8:00 and 14:30", "May 15 08:00", "May 15 14:30"),
        ("on Monday, Thursday and Friday", "May 13 00:00", "May 16 00:00"),
        ("on the 10th day of the month", "May 10 00:00", "Jun 10 00:00"),
        ("of March", "Mar 01 00:00", "Mar 01 00:00"),
        ("every 15 minutes after 22:00", "May 14 23:45", "May 15 22:00"),
        ("every hour before 3:00", "May 15 02:00", "May 16 00:00"),
        ("at 8:00 also at 18:00 on Friday", "May 15 08:00", "May 16 08:00"),
        ("every day except on Thursday and Friday", "May 15 00:00", "May 18 00:00"),
        ("every month", "May 01 00:00", "Jun 01 00:00"),
        ("every week", "May 12 00:00", "May 19 00:00"),
        ("every 3 weeks", "May 05 00:00", "May 26 00:00"),
        ("at 9:00 on Monday every 2 weeks", "May 06 09:00", "May 20 09:00"),
        ("on the 19th and 22nd week", "May 05 00:00", "May 26 00:00"),
        ("on the last week", "Dec 24 00:00", "Dec 22 00:00"),
    ],
)
def test_schedules_in_words(text: str, before: str, after: str) -> None:  # JOB-3
    assert around(text_expression=text) == (before, after)


@pytest.mark.parametrize(
    ("cron", "before", "after"),
    [
        ("0 1 * * SUN", "May 12 01:00", "May 19 01:00"),  # V-5
        ("*/20 * * * *", "May 15 10:20", "May 15 10:40"),
        ("0 0 L * *", "Apr 30 00:00", "May 31 00:00"),
        ("0 0 * * 5#3", "Apr 19 00:00", "May 17 00:00"),
        ("0 0 * * 5L", "Apr 26 00:00", "May 31 00:00"),
        ("0 0 15W * *", "May 15 00:00", "Jun 14 00:00"),
        ("@daily", "May 15 00:00", "May 16 00:00"),
    ],
)
def test_cron_expressions(cron: str, before: str, after: str) -> None:  # JOB-2
    assert around(cron=cron) == (before, after)


@pytest.mark.parametrize(
    "config",
    [
        {"text_expression": "now and then"},
        {"text_expression": "at 25:00"},
        {"text_expression": "at 9 on Sunday"},
        {"text_expression": "on the 3rd year"},
        {"cron": "* * *"},
        {"cron": "61 * * * *"},
        {"cron": "* * * * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "R * * * *"},
        {"cron": "0 0,h(2-4) * * *"},
        {"text_expression": "on the 45th day of the month"},
        {"text_expression": "every weekday except on the 31st day of the month of june"},
    ],
)
def test_what_cannot_be_read_is_refused(config: dict[str, str]) -> None:  # JOB-4
    with pytest.raises(InvalidInput, match=r"text_expression|cron"):
        Timetable.from_config(config)


def test_years_that_are_left_out() -> None:  # JOB-3
    timetable = Timetable.from_config({"text_expression": "every 2 years"})
    assert timetable is not None

    assert timetable.next(NOW, NOW + 3 * YEAR) == datetime(2026, 1, 1)


def test_text_wins_and_nothing_is_nothing() -> None:  # JOB-2
    assert around(text_expression="every hour", cron="0 0 * * *") == ("May 15 10:00", "May 15 11:00")
    assert Timetable.from_config({}) is None


def test_the_moment_itself_is_not_after_itself() -> None:  # JOB-REM-2
    timetable = Timetable.from_config({"cron": "0 * * * *"})
    assert timetable is not None
    hour = datetime(2024, 5, 15, 10)

    assert timetable.latest(hour, hour) is None
    assert timetable.latest(hour - timedelta(minutes=1), hour) == hour
    assert timetable.is_near(hour + timedelta(minutes=5), timedelta(minutes=5))
    assert not timetable.is_near(hour + timedelta(minutes=6), timedelta(minutes=5))


@pytest.mark.parametrize(
    ("zone", "cron", "comes"),
    [
        ("Europe/Berlin", "30 2 * * *", "2026-03-29T03:30:00+02:00"),
        ("Asia/Beirut", "0 0 * * *", "2026-03-29T01:00:00+03:00"),
        ("Africa/Nairobi", "30 2 * * *", "2026-03-29T02:30:00+03:00"),
    ],
)
def test_hour_that_summer_time_leaves_out_comes_once(zone: str, cron: str, comes: str) -> None:  # JOB-2
    timetable, local = Timetable.from_config({"cron": cron}), ZoneInfo(zone)
    assert timetable is not None
    checked, runs = datetime(2026, 3, 28, 12, tzinfo=UTC).astimezone(local), []
    for minutes in range(0, 24 * 60, 5):
        now = (datetime(2026, 3, 28, 12, tzinfo=UTC) + timedelta(minutes=minutes)).astimezone(local)
        found = timetable.latest(checked, now)
        if found is not None:
            checked = found.astimezone(UTC).astimezone(local)  # as it is stored and read again
            runs.append(checked.isoformat())

    assert runs == [comes]
