"""Scheduled messages become pending when they are due (40 JOB-DUE)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from core.couch.client import Database, Doc, Row
from core.dates import iso_of
from core.settings import Settings
from sentinel.schedule.due_messages import count_overdue, due_documents, is_sending_time, send_due
from tests.sentinel.conftest import CHW_PHONE, Clock, Deployment


def task(clock: Clock, *, state: str = "scheduled", **members: Any) -> Doc:
    """A task that was due an hour ago, with its text made at due time, unless told otherwise."""
    due = iso_of(clock() - members.pop("ago", timedelta(hours=1)))
    text: Doc = {} if "messages" in members or "message" in members else {"message_key": "anc.visit"}
    history = [{"state": state, "timestamp": iso_of(clock() - timedelta(days=30))}]
    return {"due": due, "type": "ANC", "recipient": "reporting_unit", "state": state, "state_history": history} | (
        text | members
    )


def report(*tasks: Doc, doc_id: str = "r1", **members: Any) -> Doc:
    fields = {"patient_name": "Asha"}
    return {"_id": doc_id, "type": "data_record", "form": "FORM", "from": CHW_PHONE, "fields": fields} | (
        {"scheduled_tasks": list(tasks)} | members
    )


async def states(deployment: Deployment, doc_id: str = "r1") -> list[str]:
    return [each["state"] for each in (await deployment.db.get(doc_id))["scheduled_tasks"]]


async def test_due_message_gets_its_text_and_is_pending(deployment: Deployment, clock: Clock) -> None:  # JOB-DUE-3, 4
    await deployment.store(report(task(clock)))

    assert await deployment.send_due() == 1
    [sent] = (await deployment.db.get("r1"))["scheduled_tasks"]
    assert sent["state"] == "pending"
    assert sent["messages"][0]["message"] == "Visit for Asha"
    assert sent["messages"][0]["to"] == CHW_PHONE
    assert [entry["state"] for entry in sent["state_history"]] == ["scheduled", "pending"]


async def test_text_made_before_is_kept(deployment: Deployment, clock: Clock) -> None:  # JOB-DUE-3
    messages = [{"uuid": "u1", "to": "+254700000009", "message": "as it was"}]
    await deployment.store(report(task(clock, messages=messages)))
    await deployment.send_due()

    assert (await deployment.db.get("r1"))["scheduled_tasks"][0]["messages"] == messages
    assert await states(deployment) == ["pending"]


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (timedelta(seconds=0), "pending"),
        (timedelta(days=6, hours=23), "pending"),
        (timedelta(days=8), "scheduled"),
        (timedelta(minutes=-1), "scheduled"),
    ],
    ids=["now", "six days", "too long ago", "in the future"],
)
async def test_window_of_seven_days(  # JOB-DUE-2
    deployment: Deployment, clock: Clock, ago: timedelta, expected: str
) -> None:
    await deployment.store(report(task(clock, ago=ago)))
    await deployment.send_due()

    assert await states(deployment) == [expected]


async def test_only_scheduled_tasks_that_are_due_are_released(  # JOB-DUE-6
    deployment: Deployment, clock: Clock
) -> None:
    sent_before = task(clock, state="sent", messages=[{"uuid": "u", "to": CHW_PHONE, "message": "x"}])
    tasks = [task(clock), sent_before, task(clock, state="cleared"), task(clock, ago=timedelta(days=-2))]
    await deployment.store(report(*tasks))
    await deployment.send_due()

    assert await states(deployment) == ["pending", "sent", "cleared", "scheduled"]
    assert await deployment.send_due() == 0


async def test_task_without_text_waits(deployment: Deployment, clock: Clock) -> None:  # JOB-DUE-4
    await deployment.store(report(task(clock, message_key="no.such.key")))

    assert await deployment.send_due() == 0
    [waiting] = (await deployment.db.get("r1"))["scheduled_tasks"]
    assert waiting["state"] == "scheduled"
    assert "messages" not in waiting


async def test_task_without_text_is_cleared_when_the_settings_say_so(  # JOB-DUE-4
    deployment: Deployment, clock: Clock
) -> None:
    await deployment.configure(sms={"clear_failing_schedules": True})
    await deployment.store(report(task(clock, message_key="no.such.key")))
    await deployment.send_due()

    assert await states(deployment) == ["cleared"]


async def test_message_knows_the_patient(deployment: Deployment, clock: Clock) -> None:  # JOB-DUE-3
    due = task(clock, message="{{patient.name}} of {{clinic.name}}")
    await deployment.store(report(due, fields={"patient_id": "50001"}))
    await deployment.send_due()

    [sent] = (await deployment.db.get("r1"))["scheduled_tasks"]
    assert sent["messages"][0]["message"] == "Mum of Clinic"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"schedule_morning_hours": 11}, False),
        ({"schedule_morning_hours": 10}, True),
        ({"schedule_evening_hours": 9, "schedule_evening_minutes": 59}, False),
        ({"schedule_evening_hours": "10"}, True),
        ({"schedule_evening_hours": 0}, True),
    ],
)
def test_sending_hours(clock: Clock, settings: Doc, expected: bool) -> None:  # JOB-DUE-1
    assert is_sending_time(Settings(settings), clock()) is expected


async def test_nothing_is_sent_at_night(deployment: Deployment, clock: Clock) -> None:  # JOB-DUE-1
    await deployment.configure(schedule_morning_hours=12)
    await deployment.store(report(task(clock)))

    assert await deployment.send_due() == 0


async def test_document_edited_at_the_same_moment_is_left_for_the_next_run(
    deployment: Deployment, clock: Clock
) -> None:
    class Editing(Database):
        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            await deployment.db.update("r1", lambda doc: {**(doc or {}), "edited": True})
            return await super().bulk_docs(docs, new_edits=new_edits)

    await deployment.store(report(task(clock)))
    tools = (await deployment.transitions()).tools
    await send_due(Editing(deployment.db.couch, deployment.db.name), tools)
    assert await states(deployment) == ["scheduled"]

    assert await deployment.send_due() == 1
    assert await states(deployment) == ["pending"]


async def test_pages_end_though_one_document_fills_several(deployment: Deployment, clock: Clock) -> None:  # JOB-DUE-2
    many = [task(clock) for _ in range(1200)]
    await deployment.store(report(*many), report(task(clock), doc_id="r2"))
    found = [doc_id async for ids in due_documents(deployment.db, clock.ms - 86_400_000, clock.ms) for doc_id in ids]

    assert found == ["r1", "r2"]
    assert await deployment.send_due() == 2
    assert set(await states(deployment)) == {"pending"}


async def test_what_was_never_sent_is_counted(deployment: Deployment, clock: Clock) -> None:  # JOB-DUE-5
    await deployment.store(report(task(clock, ago=timedelta(days=8)), task(clock)))

    assert await count_overdue(deployment.db, clock()) == 1
