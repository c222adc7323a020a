"""Reminders: who is asked for a report, when, and only once (40 JOB-REM)."""

from __future__ import annotations

from typing import Any

import pytest

from core.couch.client import Doc
from core.dates import iso_of, ms_of
from core.errors import DomainError
from core.settings import Settings
from sentinel.schedule.reminders import read_reminders, send_reminders
from tests.sentinel.conftest import Clock, Deployment, texts

REMINDER: Doc = {"form": "VIT", "message": "{{name}}: week {{week}} of {{year}}", "cron": "0 9 * * *"}


async def remind(deployment: Deployment, **members: Any) -> int:
    if members or "reminders" not in (await deployment.db.get("settings"))["settings"]:
        await deployment.configure(reminders=[{**REMINDER, **members}])
    return await send_reminders(deployment.db, (await deployment.transitions()).tools)


def doc_id(clock: Clock, place: str = "c1") -> str:
    return f"reminder:VIT:{ms_of(clock().replace(hour=9))}:{place}"


async def test_place_is_reminded_once(
    deployment: Deployment, clock: Clock
) -> None:  # JOB-REM-2, JOB-REM-3, JOB-REM-4, JOB-REM-5
    assert await remind(deployment) == 1
    doc = await deployment.db.get(doc_id(clock))

    assert doc["contact"] == {"_id": "mum", "parent": {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}}
    assert doc["place"] == {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}
    assert (doc["type"], doc["form"], doc["reported_date"]) == ("reminder", "VIT", clock.ms)  # MOD-24
    assert texts(doc) == ["Clinic: week 47 of 2031"]
    [task] = doc["tasks"]
    assert (task["state"], task["type"], task["form"]) == ("pending", "reminder", "VIT")
    assert task["timestamp"] == iso_of(clock().replace(hour=9))
    assert task["messages"][0]["to"] == "+254700000003"
    log = await deployment.sentinel_db.get(f"reminderlog:VIT:{ms_of(clock().replace(hour=9))}")
    assert (log["type"], log["reported_date"]) == ("reminderlog", clock.ms)

    clock.move(minutes=5)
    assert await remind(deployment) == 0
    clock.move(days=1)
    assert await remind(deployment) == 1


async def test_run_without_its_log_is_repeated_without_doubles(deployment: Deployment, clock: Clock) -> None:
    await remind(deployment)  # JOB-REM-5
    log = await deployment.sentinel_db.get(f"reminderlog:VIT:{ms_of(clock().replace(hour=9))}")
    await deployment.sentinel_db.delete(log["_id"], log["_rev"])

    assert await remind(deployment) == 0


async def test_one_that_cannot_be_stored_holds_up_no_other(deployment: Deployment, clock: Clock) -> None:  # JOB-REM-5
    refuse = "function (doc) { if (doc.form === 'VIT' && doc.type === 'reminder') { throw({forbidden: 'no VIT'}); } }"
    await deployment.db.put({"_id": "_design/refuse", "validate_doc_update": refuse})
    await deployment.configure(reminders=[REMINDER, {**REMINDER, "form": "STOCK"}])
    with pytest.raises(DomainError, match="no VIT"):
        await remind(deployment)

    assert await deployment.db.find(doc_id(clock).replace("VIT", "STOCK"))
    assert not await deployment.sentinel_db.all_docs(startkey="reminderlog:VIT", endkey="reminderlog:VIT~")


@pytest.mark.parametrize(
    ("types", "place"),
    [(["health_center"], None), (["district_hospital"], "d1"), (["clinic", "district_hospital"], "c1")],
)
async def test_places_of_the_types_that_have_a_contact(  # JOB-REM-3
    deployment: Deployment, clock: Clock, types: list[str], place: str | None
) -> None:
    count = await remind(deployment, contact_types=types)

    assert count == {None: 0, "d1": 1, "c1": 2}[place]
    assert place is None or await deployment.db.find(doc_id(clock, place))


async def test_muted_place_is_left_alone(deployment: Deployment) -> None:  # JOB-REM-3
    await deployment.db.update("c1", lambda doc: {**(doc or {}), "muted": "2031-01-01T00:00:00.000Z"})

    assert await remind(deployment) == 0


@pytest.mark.parametrize(("days", "expected"), [(2, 0), (4, 1)])
async def test_recent_report_silences_the_reminder(  # JOB-REM-3
    deployment: Deployment, clock: Clock, days: int, expected: int
) -> None:
    contact = {"_id": "mum", "parent": {"_id": "c1"}}
    reported = clock.ms - days * 86_400_000
    await deployment.store(
        {"_id": "r1", "type": "data_record", "form": "VIT", "contact": contact, "reported_date": reported}
    )

    assert await remind(deployment, mute_after_form_for="3 days") == expected


async def test_reminder_of_an_old_release_counts(deployment: Deployment, clock: Clock) -> None:  # JOB-REM-3
    task = {"form": "VIT", "type": "reminder", "timestamp": iso_of(clock().replace(hour=9))}
    await deployment.db.update("c1", lambda doc: {**(doc or {}), "tasks": [task]})

    assert await remind(deployment) == 0


@pytest.mark.parametrize(
    ("members", "warning"),
    [
        ({"form": ""}, "form: is required"),
        ({"message": None}, "translation_key or message: is required"),
        ({"cron": None}, "text_expression or cron: is required"),
        ({"cron": "x"}, "is not a cron expression"),
        ({"contact_types": ["ward"]}, "'ward' is not one of"),
    ],
)
def test_wrong_entry_is_left_out(members: Doc, warning: str, caplog: pytest.LogCaptureFixture) -> None:  # JOB-REM-1
    found = read_reminders(Settings({"reminders": [{**REMINDER, **members}, REMINDER]}))

    assert len(found) == 1
    assert f"reminders[0]: {warning}" in caplog.text or warning in caplog.text
