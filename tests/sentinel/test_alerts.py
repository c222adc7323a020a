"""conditional_alerts and multi_report_alerts: expressions over a report and those before it (40 §5.10, §5.11)."""

from __future__ import annotations

from typing import Any

import pytest

from core.couch.client import Doc
from core.errors import InvalidInput
from core.settings import Settings
from core.translations import Translations
from sentinel.transitions import load, make_tools
from tests.sentinel.conftest import CHW_PHONE, Clock, Deployment, codes, texts

CHW: Doc = {"_id": "chw", "parent": {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}}
BOSS_PHONE = "+254700000001"


def stock(doc_id: str, amount: int, **members: Any) -> Doc:
    return {"_id": doc_id, "type": "data_record", "form": "STCK", "content_type": "xml", "contact": CHW} | (
        {"fields": {"amount": amount}, **members}
    )


async def alert(deployment: Deployment, *alerts: Doc) -> None:
    entries = [{"form": "STCK", "message": "low", "recipient": BOSS_PHONE, **each} for each in alerts]
    await deployment.configure(transitions={"conditional_alerts": True}, alerts=entries)


# --- conditional_alerts -----------------------------------------------------------------------------------------------


async def test_alerts_whose_condition_holds_are_sent(deployment: Deployment) -> None:  # TR-CA-1, TR-CA-3
    await alert(
        deployment,
        {"condition": "doc.fields.amount < 5"},
        {"condition": "doc.fields.amount > 5"},
        {"condition": "true", "form": "OTHER"},
    )
    doc = await deployment.processed(stock("r1", 3))

    assert texts(doc) == ["low"]
    assert doc["tasks"][0]["messages"][0]["to"] == BOSS_PHONE


async def test_alerts_may_be_an_object(deployment: Deployment) -> None:  # TR-CA-1
    alerts = {"a": {"form": "STCK", "condition": "true", "message": "low", "recipient": BOSS_PHONE}}
    await deployment.configure(transitions={"conditional_alerts": True}, alerts=alerts)

    assert texts(await deployment.processed(stock("r1", 3))) == ["low"]


async def test_condition_looks_back_on_the_form_and_place(deployment: Deployment, clock: Clock) -> None:  # TR-CA-2
    await alert(deployment, {"condition": "STCK(0).amount < 5 && STCK(1).fields.amount < 5"})
    mum = {"_id": "mum", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}
    await deployment.processed(stock("elsewhere", 1, contact=mum))
    await deployment.processed(stock("old", 1, reported_date=1000))
    clock.move(minutes=1)
    await deployment.processed(stock("r1", 9))
    clock.move(minutes=1)
    third = await deployment.processed(stock("r2", 3))
    clock.move(minutes=1)
    fourth = await deployment.processed(stock("r3", 3))

    assert (texts(third), texts(fourth)) == ([], ["low"])


async def test_condition_that_throws_sends_no_alert_at_all(deployment: Deployment) -> None:  # TR-CA-3, TRN-8
    await alert(deployment, {"condition": "true"}, {"condition": "doc.nothing.at.all"})
    doc = await deployment.processed(stock("r1", 3))

    assert texts(doc) == []
    assert doc["_rev"].startswith("1-")


# --- multi_report_alerts ----------------------------------------------------------------------------------------------

MULTI: Doc = {
    "name": "outbreak",
    "is_report_counted": "function (report, latest) { return report.fields.amount === latest.fields.amount; }",
    "num_reports_threshold": 3,
    "message": "{{num_counted_reports}} of {{num_reports_threshold}}: {{new_reports.0._id}}",
    "recipients": [BOSS_PHONE, "new_report.contact.phone"],
    "time_window_in_days": 7,
}


async def multi(deployment: Deployment, **members: Any) -> None:
    await deployment.configure(transitions={"multi_report_alerts": True}, multi_report_alerts=[{**MULTI, **members}])


async def reported(deployment: Deployment, clock: Clock, doc_id: str, amount: int = 1, **members: Any) -> Doc:
    clock.move(minutes=1)
    return await deployment.processed(stock(doc_id, amount, **members))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"name": ""}, "name: is required"),
        ({"is_report_counted": None}, "is_report_counted: is required"),
        ({"num_reports_threshold": 101}, "must not be above 100"),
        ({"num_reports_threshold": 1.5}, "expected a whole number"),
        ({"time_window_in_days": "a"}, "time_window_in_days: expected a whole number"),
        ({"recipients": "+1"}, "recipients: expected a list"),
    ],
)
def test_wrong_alert_is_refused(clock: Clock, members: Doc, message: str) -> None:  # TR-MRA-1
    settings = Settings({"transitions": {"multi_report_alerts": {}}, "multi_report_alerts": [{**MULTI, **members}]})
    with pytest.raises(InvalidInput, match=message):
        load(settings, make_tools(settings, Translations(), clock))


def test_two_alerts_of_one_name_are_refused(clock: Clock) -> None:  # TR-MRA-1
    settings = Settings({"transitions": {"multi_report_alerts": {}}, "multi_report_alerts": [MULTI, MULTI]})
    with pytest.raises(InvalidInput, match="'outbreak' is used more than once"):
        load(settings, make_tools(settings, Translations(), clock))


async def test_enough_reports_of_the_span_make_an_alert(  # TR-MRA-2, TR-MRA-3, TR-MRA-5
    deployment: Deployment, clock: Clock
) -> None:
    await multi(deployment)
    await reported(deployment, clock, "ancient", reported_date=clock.ms - 8 * 86_400_000)
    await reported(deployment, clock, "r1")
    await reported(deployment, clock, "other", amount=5)
    second = await reported(deployment, clock, "r2")
    third = await reported(deployment, clock, "r3")

    assert texts(second) == []
    assert texts(third) == ["3 of 3: r3"] * 2
    assert [task["messages"][0]["to"] for task in third["tasks"]] == [BOSS_PHONE, CHW_PHONE]
    assert {task["type"] for task in third["tasks"]} == {"alert"}
    assert {task["alert_name"] for task in third["tasks"]} == {"outbreak"}
    assert [sorted(task["counted_reports"]) for task in third["tasks"]] == [["r1", "r2", "r3"]] * 2


async def test_only_reports_not_counted_before_are_new(deployment: Deployment, clock: Clock) -> None:  # TR-MRA-4
    await multi(deployment, message="{{#new_reports}}{{_id}} {{/new_reports}}", recipients=[BOSS_PHONE])
    for number in range(1, 4):
        await reported(deployment, clock, f"r{number}")
    fourth = await reported(deployment, clock, "r4")

    assert texts(fourth) == ["r4"] or texts(fourth) == ["r4 "]


async def test_reports_of_other_forms_are_not_counted(deployment: Deployment, clock: Clock) -> None:  # TR-MRA-2
    await multi(deployment, forms=["STCK"], num_reports_threshold=2)
    await reported(deployment, clock, "r1", form="OTHER")
    assert texts(await reported(deployment, clock, "r2")) == []

    assert len(texts(await reported(deployment, clock, "r3"))) == 2


async def test_function_that_throws_counts_nothing(deployment: Deployment, clock: Clock) -> None:  # TR-MRA-3
    await multi(deployment, is_report_counted="function (report) { return report.x.y; }", num_reports_threshold=1)

    assert texts(await reported(deployment, clock, "r1")) == []


async def test_recipient_that_is_none_is_noted(deployment: Deployment, clock: Clock) -> None:  # TR-MRA-5
    await multi(deployment, num_reports_threshold=1, recipients=["new_report.nobody", "[new_report.contact.phone]"])
    doc = await reported(deployment, clock, "r1")

    assert codes(doc) == ["multi_report_alerts_recipient"]
    assert [task["messages"][0]["to"] for task in doc["tasks"]] == [CHW_PHONE]


async def test_more_than_a_page_of_other_reports_hides_none(deployment: Deployment, clock: Clock) -> None:  # TR-MRA-6
    await multi(deployment, forms=["STCK"], num_reports_threshold=2)
    await deployment.store(stock("first", 1, reported_date=clock.ms - 5000))
    others = (stock(f"x{number}", 1, form="OTHER", reported_date=clock.ms - 4000 + number) for number in range(230))
    await deployment.store(*others)
    await deployment.process()

    assert len(texts(await reported(deployment, clock, "second"))) == 2
