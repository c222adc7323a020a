"""Settings that cannot work are refused, with the path of what is wrong (65 CONF-55)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.settings_problems import check_settings
from core.couch.client import Database
from core.prepare import DEFAULT_SETTINGS
from core.settings_check import problems_of

Client = TestClient[Any, Any]
MESSAGE = {"offset": "3 days", "message": [{"locale": "en", "content": "Hi"}]}


def schedule(**members: Any) -> dict[str, Any]:
    return {"schedules": [{"name": "ANC", "messages": [{**MESSAGE, **members}]}]}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"permissions": []}, "permissions", "an object"),
    ({"permissions": {"can_edit": "chw"}}, "permissions.can_edit", "a list of roles"),
    ({"roles": {"chw": "offline"}}, "roles.chw", "an object"),
    ({"schedules": {}}, "schedules", "a list"),
    ({"schedules": [{"messages": []}]}, "schedules[0].name", "a text"),
    ({"schedules": [{"name": "ANC"}]}, "schedules[0].messages", "a list of messages"),
    (schedule(offset="three days"), "schedules[0].messages[0].offset", "a duration"),
    (schedule(send_time="25:00"), "schedules[0].messages[0].send_time", "a time"),
    (schedule(send_day="someday"), "schedules[0].messages[0].send_day", "a day of the week"),
    ({"transitions": []}, "transitions", "an object"),
    ({"transitions": {"make_coffee": True}}, "transitions.make_coffee", 'Unknown transition "make_coffee"'),
    ({"purge": {"fn": "function () {}", "cron": "every now and then"}}, "purge.cron", "not a cron expression"),
    ({"purge": {"text_expression": "sometimes"}}, "purge.text_expression", "a time that can be read"),
    ({"outbound": {"dhis": {"cron": "61 * * * *"}}}, "outbound.dhis.cron", "not a cron expression"),
    ({"reminders": [{"form": "V", "message": "x", "cron": "x"}]}, "reminders[0].cron", "not a cron expression"),
    ({"contact_types": [{"id": "chp", "parents": ["area"]}]}, "contact_types[0].parents", "there is none of area"),
    ({"contact_types": ["chp"]}, "contact_types[0]", "an object"),
]
BAD = "doc.fields.risk = = 1"
WRONG_SCRIPTS: list[tuple[dict[str, Any], str]] = [  # 40 JSX-1
    ({"registrations": [{"form": "V", "events": [{"bool_expr": BAD}]}]}, "registrations[0].events[0].bool_expr"),
    ({"registrations": [{"form": "V", "messages": [{"bool_expr": BAD}]}]}, "registrations[0].messages[0].bool_expr"),
    (
        {"patient_reports": [{"form": "V", "messages": [{"bool_expr": BAD}]}]},
        "patient_reports[0].messages[0].bool_expr",
    ),
    ({"accept_case_reports": [{"messages": [{"bool_expr": BAD}]}]}, "accept_case_reports[0].messages[0].bool_expr"),
    ({"alerts": [{"form": "V", "condition": BAD}]}, "alerts[0].condition"),
    ({"alerts": {"high": {"form": "V", "condition": BAD}}}, "alerts.high.condition"),
    ({"multi_report_alerts": [{"is_report_counted": BAD}]}, "multi_report_alerts[0].is_report_counted"),
    ({"multi_report_alerts": [{"recipients": ["+254712345678", BAD]}]}, "multi_report_alerts[0].recipients[1]"),
    ({"outbound": {"emr": {"relevant_to": BAD}}}, "outbound.emr.relevant_to"),
    ({"outbound": {"emr": {"mapping": {"a.b": {"expr": BAD}}}}}, "outbound.emr.mapping.a.b.expr"),
    ({"purge": {"fn": "function (user { }"}}, "purge.fn"),
]
WRONG.append((*WRONG_SCRIPTS[0], "JavaScript: SyntaxError"))


@pytest.mark.parametrize(("body", "path", "expected"), WRONG, ids=[path for _, path, _ in WRONG])
async def test_settings_that_cannot_work_are_refused(
    client: Client, db: Database, body: dict[str, Any], path: str, expected: str
) -> None:
    rev = (await db.get("settings"))["_rev"]

    answer = await client.put("/api/v1/settings?replace=1", json=body)

    told = await answer.json()
    assert (answer.status, told["success"]) == (400, False)  # CONF-55
    [problem] = told["details"]
    assert (problem["path"], expected in problem["expected"]) == (path, True)
    assert told["error"].startswith(f"The settings cannot work: {path} must be ")
    assert (await db.get("settings"))["_rev"] == rev


async def test_everything_that_is_wrong_is_told_at_once(client: Client) -> None:
    body = {"transitions": {"make_coffee": True, "make_tea": {}}, "schedules": {}}

    details = (await (await client.put("/api/v1/settings", json=body)).json())["details"]

    assert [each["path"] for each in details] == ["schedules", "transitions.make_coffee", "transitions.make_tea"]


async def test_force_stores_them_anyway_and_they_are_in_nobodys_way(client: Client, db: Database) -> None:
    body = {"transitions": {"make_coffee": True}}

    forced = await client.put("/api/v1/settings?force=true", json=body)
    unrelated = await client.put("/api/v1/settings", json={"locale": "sw"})
    another = await client.put("/api/v1/settings", json={"transitions": {"make_tea": True}})

    assert (forced.status, unrelated.status, another.status) == (200, 200, 400)  # CONF-55
    assert [each["path"] for each in (await another.json())["details"]] == ["transitions.make_tea"]
    assert (await db.get("settings"))["settings"]["transitions"] == body["transitions"]


@pytest.mark.parametrize(("values", "path"), WRONG_SCRIPTS, ids=[path for _, path in WRONG_SCRIPTS])
def test_script_that_cannot_be_read_is_told(values: dict[str, Any], path: str) -> None:  # 40 JSX-1
    problems = {problem["path"]: problem["expected"] for problem in problems_of(values)}

    assert problems[path].startswith("JavaScript: SyntaxError")


def test_the_default_settings_work() -> None:
    assert problems_of(DEFAULT_SETTINGS) == []
    check_settings(DEFAULT_SETTINGS, {})


@pytest.mark.parametrize(
    "values",
    [
        schedule(send_time="09:00 +0300", send_day="Monday"),
        schedule(send_time="", send_day=0),
        {"purge": {"fn": "x", "text_expression": "at 12 am on Sunday"}},
        {"reminders": [{"form": "V", "message": "x", "cron": "0 0 1 * *"}]},
        {"contact_types": [{"id": "area", "parents": ["health_center"]}, {"id": "chp", "parents": ["area"]}]},
        {"transitions": {"update_clinics": {"disable": False}, "make_coffee": False, "make_tea": {"disable": True}}},
        {"transitions": {"update_sent_forms": True}, "outbound": {"dhis": {"cron": "*/5 * * * *"}}},
        {"anything": {"else": [1]}},
        {"registrations": [{"form": "V", "events": [{"bool_expr": "doc.fields.age > 5; "}]}]},
        {"outbound": {"emr": {"relevant_to": "", "mapping": {"a": "doc._id", "b": {"path": "doc._rev"}}}}},
        {"multi_report_alerts": [{"recipients": ["+254712345678", "new_report.contact.phone"]}]},
    ],
)
def test_what_works_is_not_refused(values: dict[str, Any]) -> None:
    check_settings(values, {})
