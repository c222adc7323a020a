"""The transitions that do one small thing: sender, self report, death, scheduled reports, test sites (40 §5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.couch.client import Doc
from core.dates import iso_of
from core.errors import InvalidInput
from core.settings import Settings
from core.translations import Translations
from sentinel.transitions import load, make_tools
from tests.sentinel.conftest import CHW_PHONE, Clock, Deployment, codes, texts

Preg = Callable[..., Doc]

CHW: Doc = {"_id": "chw", "parent": {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}}


def report(doc_id: str = "r1", form: str = "FORM", **members: Any) -> Doc:
    return {"_id": doc_id, "type": "data_record", "form": form, "content_type": "xml", "contact": CHW, **members}


async def only(deployment: Deployment, name: str, **settings: Any) -> None:
    await deployment.configure(transitions={name: True}, **settings)


# --- update_sent_by ---------------------------------------------------------------------------------------------------


async def test_sender_is_named(deployment: Deployment) -> None:  # TR-SENT-1
    await only(deployment, "update_sent_by")

    assert (await deployment.processed(report(**{"from": CHW_PHONE})))["sent_by"] == "Bea"


async def test_unknown_sender_and_known_name_change_nothing(deployment: Deployment) -> None:  # TR-SENT-1
    await only(deployment, "update_sent_by")
    unknown = await deployment.processed(report(**{"from": "+254799999999"}))
    named = await deployment.processed(report("r2", sent_by="admin", **{"from": CHW_PHONE}))

    assert unknown["_rev"].startswith("1-")
    assert named["sent_by"] == "admin"


# --- self_report ------------------------------------------------------------------------------------------------------

SELF = {"self_report": [{"form": "FORM", "messages": [{"event_type": "report_accepted", "message": "ok {{name}}"}]}]}


async def test_sender_becomes_the_patient(deployment: Deployment) -> None:  # TR-SELF-1, TR-SELF-2
    await only(deployment, "self_report", **SELF)
    doc = await deployment.processed(report(fields={"a": 1}, **{"from": CHW_PHONE}))

    assert doc["fields"] == {"a": 1, "patient_uuid": "chw", "patient_id": "50002"}
    assert texts(doc) == ["ok Bea"]
    assert "patient" not in doc


async def test_unknown_sender_of_a_self_report_is_told(deployment: Deployment) -> None:  # TR-SELF-2
    await only(deployment, "self_report", **SELF)

    assert codes(await deployment.processed(report(**{"from": "+254799999999"}))) == ["sender_not_found"]


async def test_report_about_somebody_stays_as_it_is(deployment: Deployment) -> None:  # TR-SELF-1
    await only(deployment, "self_report", **SELF)
    doc = await deployment.processed(report(fields={"patient_id": "50001"}, **{"from": CHW_PHONE}))

    assert doc["fields"] == {"patient_id": "50001"}


# --- death_reporting --------------------------------------------------------------------------------------------------

DEATHS = {
    "death_reporting": {
        "mark_deceased_forms": ["FORM"],
        "undo_deceased_forms": ["PUB"],
        "date_field": "fields.death.date",
    }
}


@pytest.mark.parametrize("section", [None, {}, {"mark_deceased_forms": []}, {"mark_deceased_forms": "FORM"}])
def test_death_reporting_without_forms_is_refused(clock: Clock, section: Any) -> None:  # TR-DEATH-1
    settings = Settings({"transitions": {"death_reporting": True}, "death_reporting": section})
    with pytest.raises(InvalidInput, match=r"death_reporting\.mark_deceased_forms: expected a list"):
        load(settings, make_tools(settings, Translations(), clock))


async def test_death_is_recorded_and_taken_back(deployment: Deployment, clock: Clock) -> None:  # TR-DEATH-2, TR-DEATH-3
    await only(deployment, "death_reporting", **DEATHS)
    await deployment.processed(report(fields={"patient_id": "50001", "death": {"date": "2031-11-01"}}))
    mum = await deployment.db.get("mum")
    assert mum["date_of_death"] == "2031-11-01"
    assert mum["parent"] == {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}

    await deployment.processed(report("r2", fields={"patient_id": "50001"}))
    assert (await deployment.db.get("mum"))["date_of_death"] == "2031-11-01"

    await deployment.processed(report("r3", form="PUB", fields={"patient_uuid": "mum"}))
    assert "date_of_death" not in await deployment.db.get("mum")


async def test_date_of_the_report_stands_in_for_a_missing_one(  # TR-DEATH-3
    deployment: Deployment, clock: Clock
) -> None:
    await only(deployment, "death_reporting", **DEATHS)
    await deployment.processed(report(fields={"patient_id": "50001"}))

    assert (await deployment.db.get("mum"))["date_of_death"] == clock.ms
    assert (await deployment.info("r1"))["transitions"]["death_reporting"]["ok"]


@pytest.mark.parametrize(("date", "noted"), [("2031-11-01", True), ("2031-10-01", False)], ids=["its own", "another"])
async def test_death_that_a_run_cut_off_had_recorded_is_noted_by_the_next(  # TR-DEATH-3, INF-4
    deployment: Deployment, date: str, noted: bool
) -> None:
    await only(deployment, "death_reporting", **DEATHS)
    await deployment.db.update("mum", lambda doc: {**(doc or {}), "date_of_death": date})
    await deployment.processed(report(fields={"patient_id": "50001", "death": {"date": "2031-11-01"}}))

    assert ("death_reporting" in (await deployment.info("r1"))["transitions"]) is noted
    assert (await deployment.db.get("mum"))["date_of_death"] == date


# --- update_scheduled_reports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "period", [{"month": 5}, {"month_num": 5}, {"week": 20}, {"week_number": 20}], ids=lambda each: next(iter(each))
)
async def test_report_replaces_those_of_the_same_period_and_place(  # TR-USR-1, TR-USR-2
    deployment: Deployment, period: Doc
) -> None:
    await only(deployment, "update_scheduled_reports")
    fields = {"year": 2031, **period}
    await deployment.processed(report("old", fields=fields, reported_date=1000))
    other = {"_id": "mum", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}
    await deployment.processed(report("elsewhere", fields=fields, contact=other))
    await deployment.processed(report("new", fields=fields))

    assert await deployment.db.find("old") is None
    assert await deployment.db.find("elsewhere")
    assert await deployment.db.find("new")
    assert (await deployment.info("new"))["transitions"]["update_scheduled_reports"]["ok"]


async def test_of_two_reports_in_one_batch_one_stays(deployment: Deployment) -> None:  # TR-USR-2
    await only(deployment, "update_scheduled_reports")
    await deployment.store(*(report(f"r{number}", fields={"year": 2031, "week": 2}) for number in range(3)))
    await deployment.process()

    left = await deployment.db.get_many(f"r{number}" for number in range(3))
    assert len(left) == 1


async def test_report_with_errors_replaces_nothing(deployment: Deployment) -> None:  # TR-USR-1
    await only(deployment, "update_scheduled_reports")
    await deployment.processed(report("old", fields={"year": 2031, "week": 2}))
    await deployment.processed(report("new", fields={"year": 2031, "week": 2}, errors=[{"code": "x", "message": "x"}]))

    assert await deployment.db.find("old")


# --- resolve_pending --------------------------------------------------------------------------------------------------


async def test_pending_messages_are_called_sent_every_time(deployment: Deployment, clock: Clock) -> None:  # TR-RES-1
    def pending() -> Doc:
        return {"state": "pending", "messages": [{"to": "+1", "message": "hi"}]}

    await only(deployment, "resolve_pending")
    empty = {"state": "pending", "messages": [{"to": "+1"}]}
    doc = await deployment.processed(report(tasks=[pending(), empty], scheduled_tasks=[pending()]))
    assert [each["state"] for each in doc["tasks"]] == ["sent", "pending"]
    assert doc["scheduled_tasks"][0]["state"] == "sent"
    assert doc["tasks"][0]["timestamp"] == iso_of(clock())

    again = await deployment.processed({**doc, "tasks": [*doc["tasks"], pending()]})
    assert [each["state"] for each in again["tasks"]] == ["sent", "pending", "sent"]


async def test_scheduled_messages_of_a_wrong_report_stay_pending(deployment: Deployment) -> None:  # TR-RES-1
    await only(deployment, "resolve_pending")
    task = {"state": "pending", "messages": [{"to": "+1", "message": "hi"}]}
    doc = await deployment.processed(report(scheduled_tasks=[task], errors=[{"code": "x", "message": "x"}]))

    assert doc["scheduled_tasks"][0]["state"] == "pending"
