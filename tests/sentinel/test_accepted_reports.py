"""accept_patient_reports and accept_case_reports: answers, silencing and response links (40 §5.4, §5.5)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from core.couch.client import Doc
from core.dates import iso_of
from tests.sentinel.conftest import CHW_PHONE, Clock, Deployment, codes, texts

ACCEPTED = {"event_type": "report_accepted", "message": "Thank you for {{patient_name}}", "recipient": "from"}


def task(clock: Clock, days: float, state: str = "scheduled", group: int = 1, kind: str = "ANC") -> Doc:
    due = iso_of(clock() + timedelta(days=days))
    return {"due": due, "group": group, "type": kind, "state": state, "state_history": []}


def registration(*tasks: Doc, doc_id: str = "reg", **members: Any) -> Doc:
    """A registration of Mum in place, stored long ago and processed."""
    ran = {"transitions": {"registration": {"ok": True, "last_rev": "1-x"}}}
    return {"_id": doc_id, "type": "data_record", "form": "PREG", "content_type": "xml", "reported_date": 1000} | (
        {"fields": {"patient_id": "50001"}, "scheduled_tasks": list(tasks), **ran, **members}
    )


def visit(doc_id: str = "v1", form: str = "VISIT", **members: Any) -> Doc:
    fields = members.pop("fields", {"patient_id": "50001"})  # V-2: no right check digit, and none is asked for
    return {"_id": doc_id, "type": "data_record", "form": form, "content_type": "xml", "from": CHW_PHONE} | (
        {"fields": fields, **members}
    )


async def accept(deployment: Deployment, **entry: Any) -> None:
    await deployment.configure(
        transitions={"accept_patient_reports": True},
        patient_reports=[{"form": "VISIT", "messages": [ACCEPTED], **entry}],
    )


async def states(deployment: Deployment, doc_id: str = "reg") -> list[str]:
    return [each["state"] for each in (await deployment.db.get(doc_id))["scheduled_tasks"]]


async def test_report_about_nobody_is_rejected(deployment: Deployment) -> None:  # TR-PAT-2
    await accept(deployment)
    report = await deployment.processed(visit(fields={"patient_id": "unknown"}))

    assert codes(report) == ["registration_not_found"]
    assert len(report["tasks"]) == 1


async def test_invalid_report_is_answered_and_nothing_else(deployment: Deployment, clock: Clock) -> None:  # TR-PAT-2
    rules = {"list": [{"property": "weight", "rule": "required", "message": "weight missing"}]}
    await accept(deployment, validations=rules, silence_type="ANC")
    await deployment.store(registration(task(clock, 3)))
    report = await deployment.processed(visit())

    assert codes(report) == ["invalid_weight"]
    assert texts(report) == ["weight missing"]
    assert await states(deployment) == ["scheduled"]


@pytest.mark.parametrize("form", ["visit", "OTHER"])
async def test_form_must_match_exactly(deployment: Deployment, form: str) -> None:  # TR-PAT-1, TRN-13
    await accept(deployment)

    assert texts(await deployment.processed(visit(form=form))) == []


async def test_accepted_report_is_answered_once_and_knows_its_registration(  # TR-PAT-1, TR-PAT-3, TR-PAT-4
    deployment: Deployment, clock: Clock
) -> None:
    untrue = {**ACCEPTED, "message": "no", "bool_expr": "doc.fields.patient_id === 'x'"}
    await accept(deployment, messages=[ACCEPTED, untrue, {"message": "no event type"}])
    await deployment.store(registration(), registration(doc_id="later", reported_date=2000))
    report = await deployment.processed(visit())
    await deployment.processed({**report, "edited": True})

    assert texts(await deployment.db.get("v1")) == ["Thank you for Mum"]
    assert report["registration_id"] == "later"


async def test_all_tasks_of_the_types_are_silenced(deployment: Deployment, clock: Clock) -> None:  # TR-PAT-5, TR-PAT-6
    await accept(deployment, silence_type="ANC, PNC")
    await deployment.store(
        registration(
            task(clock, 1),
            task(clock, 300, "pending", 2),
            task(clock, 1, "muted", 3, "PNC"),
            task(clock, 1, "scheduled", 4, "OTHER"),
            task(clock, -9, "sent", 5),
        )
    )
    await deployment.processed(visit())

    assert await states(deployment) == ["cleared", "cleared", "cleared", "scheduled", "sent"]
    silenced = (await deployment.db.get("reg"))["scheduled_tasks"]
    assert [each.get("cleared_by") for each in silenced] == ["v1", "v1", "v1", None, None]


async def test_with_silence_for_whole_groups_within_reach_are_silenced(  # TR-PAT-6
    deployment: Deployment, clock: Clock
) -> None:
    await accept(deployment, silence_type="ANC", silence_for="8 days")
    await deployment.store(registration(task(clock, 7), task(clock, 20), task(clock, 9, group=2)))
    await deployment.processed(visit())

    assert await states(deployment) == ["cleared", "cleared", "scheduled"]


async def test_nothing_is_silenced_without_types(deployment: Deployment, clock: Clock) -> None:  # TR-PAT-5
    await accept(deployment, silence_for="8 days")
    await deployment.store(registration(task(clock, 7)))
    await deployment.processed(visit())

    assert await states(deployment) == ["scheduled"]


async def test_report_itself_is_never_silenced(deployment: Deployment, clock: Clock) -> None:  # TR-PAT-5
    await accept(deployment, form="PREG", silence_type="ANC")
    await deployment.processed(registration(task(clock, 7), reported_date=clock.ms))

    assert await states(deployment) == ["scheduled"]


async def test_answered_message_names_the_report(deployment: Deployment, clock: Clock) -> None:  # TR-PAT-7
    await accept(deployment)
    sent = [task(clock, -20, "delivered"), task(clock, -3, "sent"), task(clock, 4)]
    await deployment.store(registration(*sent))
    await deployment.processed(visit())

    tasks = (await deployment.db.get("reg"))["scheduled_tasks"]
    assert [each.get("responded_to_by") for each in tasks] == [None, ["v1"], None]


async def test_report_that_came_early_answers_no_message(deployment: Deployment, clock: Clock) -> None:  # TR-PAT-7
    """It silenced the first task of the coming group, so it is the answer to what had not been sent yet."""
    await accept(deployment, silence_type="ANC", silence_for="8 days")
    await deployment.store(registration(task(clock, -20, "sent"), task(clock, 4, group=2), task(clock, 90, group=3)))
    await deployment.processed(visit())

    tasks = (await deployment.db.get("reg"))["scheduled_tasks"]
    assert [each["state"] for each in tasks] == ["sent", "cleared", "scheduled"]
    assert not any("responded_to_by" in each for each in tasks)


async def accept_cases(deployment: Deployment) -> None:
    entry = {"form": "VISIT", "silence_type": "ANC", "messages": [{**ACCEPTED, "message": "case {{case_id}}"}]}
    await deployment.configure(transitions={"accept_case_reports": True}, accept_case_reports=[entry])


async def test_case_report_is_answered_silences_and_gets_its_place(  # TR-CASE-1, TR-CASE-2, TR-CASE-3
    deployment: Deployment, clock: Clock
) -> None:
    await accept_cases(deployment)
    await deployment.store(registration(task(clock, 7), case_id="777", fields={"place_uuid": "c1"}))
    report = await deployment.processed(visit(fields={"case_id": "777"}))

    assert texts(report) == ["case 777"]
    assert report["fields"] == {"case_id": "777", "place_uuid": "c1"}
    assert await states(deployment) == ["cleared"]


async def test_report_about_an_unknown_case_is_rejected(deployment: Deployment) -> None:  # TR-CASE-2
    await accept_cases(deployment)

    assert codes(await deployment.processed(visit(case_id="999"))) == ["registration_not_found"]


async def test_repetition_after_a_death_changes_nothing_more(deployment: Deployment, clock: Clock) -> None:  # TRN-10
    await accept(deployment, silence_type="ANC")
    await deployment.store(registration(task(clock, 3), task(clock, -3, "sent", 2)))
    await deployment.process()
    position = deployment.position
    first = await deployment.processed(visit())
    info = await deployment.info("v1")
    await deployment.sentinel_db.delete(info["_id"], info["_rev"])
    deployment.position = position
    await deployment.process()

    [cleared, sent] = (await deployment.db.get("reg"))["scheduled_tasks"]
    assert texts(await deployment.db.get("v1")) == texts(first)
    assert len(cleared["state_history"]) == 1
    assert sent["responded_to_by"] == ["v1"]
