"""When the messages of a schedule are due (40 §8)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta

from core.dates import add, iso_of, moment_of, start_of_day
from core.schedules import due_of, plan, schedules_by_name, weekday
from core.settings import Settings

UTC = ZoneInfo("UTC")
NOW = datetime(2031, 11, 22, 0, 0, tzinfo=UTC)  # a Saturday


def dues(schedule: dict[str, Any], doc: dict[str, Any], now: datetime = NOW) -> dict[str, str]:
    planned = plan(doc, schedule, now=now, has_text=lambda message: bool(message.get("text", "x")))
    return {each.message["name"]: iso_of(each.due) for each in planned}


def one(now: datetime = NOW, **message: Any) -> str | None:
    schedule = {"start_from": "start", "messages": [{"name": "m", "group": 1, **message}]}
    return dues(schedule, {"start": iso_of(now)}, now).get("m")


ANC = {
    "name": "ANC",
    "start_from": "lmp_date",
    "messages": [
        {"name": "A", "group": 1, "offset": "12 weeks", "send_day": "Monday", "send_time": "09:00"},
        {"name": "B", "group": 1, "offset": "13 weeks"},
        {"name": "C", "group": 2, "offset": "20 weeks", "send_time": "09:00 +0300"},
        {"name": "D", "group": 3, "offset": "30 weeks"},
        {"name": "E", "group": 4, "offset": "abc"},
    ],
}
LMP = {"lmp_date": iso_of(NOW - timedelta(days=7 * 12 + 3.5))}


def test_example_of_the_specification() -> None:  # 40 §8, SCH-2
    found = dues(ANC, LMP)

    assert list(found) == ["C", "D"]
    assert found["C"].endswith("T06:00:00.000Z")


def test_start_mid_group_keeps_the_rest_of_a_group() -> None:  # SCH-5
    assert list(dues({**ANC, "start_mid_group": True}, LMP)) == ["B", "C", "D"]


def test_time_of_day_of_the_start_is_kept() -> None:  # SCH-3
    assert one(datetime(2031, 11, 22, 10, 20, 30, tzinfo=UTC), offset="1 day") == "2031-11-23T10:20:30.000Z"


def test_send_time_is_local() -> None:  # SCH-3
    now = datetime(2031, 11, 22, 10, 20, 30, tzinfo=ZoneInfo("Africa/Nairobi"))

    assert one(now, offset="1 day", send_time="09:00") == "2031-11-23T06:00:00.000Z"


def test_days_keep_the_wall_clock_over_a_change_of_summer_time() -> None:
    now = datetime(2031, 10, 25, 9, 0, tzinfo=ZoneInfo("Europe/Berlin"))

    assert one(now, offset="2 days") == "2031-10-27T08:00:00.000Z"
    assert one(now, offset="48 hours") == "2031-10-27T07:00:00.000Z"


@pytest.mark.parametrize(
    ("send_day", "expected"),
    [("monday", "2031-12-01"), (0, "2031-11-30"), ("Saturday", "2031-12-06"), ("?", "2031-12-03")],
)
def test_send_day_is_in_the_same_week_from_sunday(send_day: Any, expected: str) -> None:  # SCH-4
    # eleven days after Saturday is Wednesday, 3 December
    assert str(one(offset="11 days", send_day=send_day)).startswith(expected)


@pytest.mark.parametrize(
    ("start_from", "doc", "is_planned"),
    [
        ("fields.lmp", {"fields": {"lmp": "2031-11-22"}}, True),
        (["fields.no", "fields.lmp"], {"fields": {"lmp": 1953158400000}}, True),
        (["expected_date", "reported_date"], {"expected_date": None, "reported_date": 1953158400000}, False),
        (None, {"reported_date": 1953158400000}, True),
        ("fields.no", {"reported_date": 1953158400000}, False),
        ("expected_date", {"expected_date": "not a date"}, False),
    ],
    ids=["path", "first of list", "null is defined", "default", "undefined", "no date"],
)
def test_start_value(start_from: Any, doc: dict[str, Any], is_planned: bool) -> None:  # SCH-1
    schedule = {"start_from": start_from, "messages": [{"name": "m", "group": 1, "offset": "100 days"}]}

    assert bool(dues(schedule, doc)) is is_planned


def test_message_without_text_takes_its_group_along() -> None:  # SCH-5
    messages = [
        {"name": "a", "group": 1, "offset": "1 day", "text": ""},
        {"name": "b", "group": 1, "offset": "2 days"},
        {"name": "c", "group": 2, "offset": "2 days"},
    ]

    assert list(dues({"messages": messages}, {"reported_date": 1953158400000})) == ["c"]


def test_last_of_several_schedules_with_one_name_wins() -> None:
    settings = Settings({"schedules": [{"name": "S", "n": 1}, {"name": "S", "n": 2}, {"n": 3}, "odd"]})

    assert schedules_by_name(settings) == {"S": {"name": "S", "n": 2}}


@pytest.mark.parametrize(("text", "day"), [("tue", 2), ("Thursday", 4), ("t", None), (6, 6), ("7", None), (None, None)])
def test_weekday(text: Any, day: int | None) -> None:
    assert weekday(text) == day


def test_day_that_begins_at_one_o_clock_is_that_day() -> None:  # TPL-2, SCH-3
    beirut = ZoneInfo("Asia/Beirut")
    midnight = moment_of("2026-03-29", beirut)

    assert midnight == datetime(2026, 3, 28, 22, tzinfo=UTC)
    assert start_of_day(datetime(2026, 3, 29, 12, tzinfo=beirut)) == midnight
    assert add(datetime(2026, 3, 28, tzinfo=beirut), relativedelta(days=1)) == midnight
    assert due_of(datetime(2026, 3, 28, 9, tzinfo=beirut), {"offset": "1 day", "send_time": "00:00"}) == midnight
