"""What in the settings cannot work, found before they are stored (65 CONF-55)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

from core.contacts import HARD_CODED_PLACES
from core.dates import parse_duration
from core.errors import InvalidInput
from core.schedules import SEND_TIME, weekday
from core.script_check import unreadable_scripts
from core.timetables import Timetable

Values = Mapping[str, Any]

# What is read as an object or a list of objects, and would count for nothing as anything else.
OBJECTS = ("permissions", "roles", "forms", "transitions", "sms", "token_login", "outbound", "purge", "exports")
LISTS = ("contact_types", "schedules", "registrations", "patient_reports", "reminders", "place_hierarchy_types")
TIMETABLES = ("text_expression", "cron")


class Problem(TypedDict):
    """Where, and what should stand there."""

    path: str
    expected: str


def problems_of(values: Values) -> list[Problem]:
    """Everything that cannot work, in the order of these checks; the transitions' own settings are theirs to check."""
    return [{"path": path, "expected": expected} for path, expected in found(values)]


def found(values: Values) -> Iterator[tuple[str, str]]:
    for name in OBJECTS:
        if not isinstance(values.get(name), dict | None):
            yield name, "an object"
    for name in LISTS:
        if not isinstance(values.get(name), list | None):
            yield name, "a list"
    if not isinstance(dict(members(values, "exports")).get("defuse_formulas", True), bool):
        yield "exports.defuse_formulas", "true or false"
    for permission, roles in members(values, "permissions"):
        if not is_list_of_texts(roles):
            yield f"permissions.{permission}", "a list of roles"
    for role, config in members(values, "roles"):
        if not isinstance(config, dict):
            yield f"roles.{role}", "an object"
    yield from contact_types(values)
    for index, schedule in entries(values, "schedules"):
        yield from wrong_in_schedule(schedule, f"schedules[{index}]")
    yield from timetables(values)
    yield from unreadable_scripts(values)


def members(values: Values, name: str) -> list[tuple[str, Any]]:
    section = values.get(name)
    return list(section.items()) if isinstance(section, dict) else []


def entries(values: Values, name: str) -> list[tuple[int, Any]]:
    section = values.get(name)
    return list(enumerate(section)) if isinstance(section, list) else []


def is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def contact_types(values: Values) -> Iterator[tuple[str, str]]:
    listed = entries(values, "contact_types")
    ids = {entry["id"] for _, entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)}
    for index, entry in listed:
        path = f"contact_types[{index}]"
        if not isinstance(entry, dict):
            yield path, "an object"
            continue
        if not isinstance(entry.get("id"), str) or not entry["id"]:
            yield f"{path}.id", "a text that is not empty"
        parents = entry.get("parents")
        if parents is not None and not is_list_of_texts(parents):
            yield f"{path}.parents", "a list of contact types"
        elif unknown := sorted(set(parents or ()) - ids - HARD_CODED_PLACES.keys()):
            yield f"{path}.parents", f"the ids of contact types; there is none of {', '.join(unknown)}"


def wrong_in_schedule(schedule: Any, path: str) -> Iterator[tuple[str, str]]:
    """Schedules without a name, and messages that would never be sent or not when they say (40 SCH-1..4)."""
    if not isinstance(schedule, dict):
        yield path, "an object"
        return
    if not isinstance(schedule.get("name"), str) or not schedule["name"]:
        yield f"{path}.name", "a text that is not empty"
    messages = schedule.get("messages")
    if not isinstance(messages, list):
        yield f"{path}.messages", "a list of messages"
        return
    for index, message in enumerate(messages):
        at = f"{path}.messages[{index}]"
        if not isinstance(message, dict):
            yield at, "an object"
            continue
        if parse_duration(message.get("offset")) is None:
            yield f"{at}.offset", "a duration such as `3 days`"
        if message.get("send_time") and not is_time(message["send_time"]):
            yield f"{at}.send_time", "a time such as `09:00` or `09:00 +0300`"
        if message.get("send_day") not in (None, "") and weekday(message["send_day"]) is None:
            yield f"{at}.send_day", "a day of the week, by name or from 0 (Sunday) to 6"


def is_time(value: Any) -> bool:
    time = SEND_TIME.fullmatch(value) if isinstance(value, str) else None
    return time is not None and int(time[1]) < 24 and int(time[2]) < 60


def timetables(values: Values) -> Iterator[tuple[str, str]]:
    """Times of jobs that cannot be read (40 JOB-2..4)."""
    jobs = [("purge", values.get("purge"))]
    jobs += [(f"reminders[{index}]", entry) for index, entry in entries(values, "reminders")]
    jobs += [(f"outbound.{name}", push) for name, push in members(values, "outbound")]
    for path, config in jobs:
        if config is None:
            continue
        if not isinstance(config, dict):
            if path != "purge":
                yield path, "an object"
            continue
        for name in TIMETABLES:
            if not config.get(name):
                continue
            try:
                Timetable.from_config({name: config[name]})
            except InvalidInput as error:
                yield f"{path}.{name}", f"a time that can be read: {error.message}"
