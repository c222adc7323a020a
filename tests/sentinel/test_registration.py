"""registration: a registration report in, the report with its contact, dates, schedule and reply out (40 §5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.couch.client import Doc
from sentinel.transitions.registration_config import read_params
from tests.sentinel.conftest import CHW_PHONE, SETTINGS, Deployment, codes, texts

Preg = Callable[..., Doc]


def registration(*events: Doc, **members: Any) -> Doc:
    named = [{"name": "on_create", **event} for event in events]
    return {"registrations": [{"form": "PREG", "events": named, **members}]}


async def test_example_of_the_specification(deployment: Deployment, preg: Preg) -> None:  # 40 §5.3
    report = await deployment.processed(preg("r1"))

    code = report["patient_id"]
    assert len(code) == 5
    assert code.isdigit()
    assert report["contact"] == {
        "_id": "chw",
        "parent": {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}},
    }
    assert texts(report) == [f"Registered Asha as {code}"]
    assert report["tasks"][0]["state"] == "pending"
    assert report["tasks"][0]["messages"][0]["to"] == CHW_PHONE
    assert [task["type"] for task in report["scheduled_tasks"]] == ["ANC", "ANC"]
    assert "patient" not in report  # TR-REG-12
    [person] = await deployment.created_by("r1")
    assert {name: person[name] for name in ("name", "patient_id", "type", "created_by")} == {
        "name": "Asha",
        "patient_id": code,
        "type": "person",
        "created_by": "chw",
    }
    assert person["parent"] == {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}
    assert (await deployment.info("r1"))["transitions"]["registration"]["ok"] is True


async def test_runs_once_in_the_life_of_a_report(deployment: Deployment, preg: Preg) -> None:  # TRN-6, TR-REG-1
    report = await deployment.processed(preg("r1"))
    await deployment.db.put({**report, "fields": {**report["fields"], "full_name": "Other"}})
    await deployment.process()

    assert texts(await deployment.db.get("r1")) == texts(report)
    assert [person["name"] for person in await deployment.created_by("r1")] == ["Asha"]


async def test_report_of_an_odd_shape_is_registered_and_answered_once(deployment: Deployment, preg: Preg) -> None:
    await deployment.processed({**preg("r1"), "tasks": [None, 5], "errors": 1.5, "scheduled_tasks": True})
    info = await deployment.sentinel_db.get("r1-info")
    await deployment.sentinel_db.delete(info["_id"], info["_rev"])  # as after a death between the two writes
    report = await deployment.db.get("r1")
    again = await deployment.processed(report)

    assert texts(again) == [f"Registered Asha as {report['patient_id']}"]  # TRN-10
    assert [task["type"] for task in again["scheduled_tasks"]] == ["ANC", "ANC"]


async def test_event_of_an_unknown_trigger_does_nothing(  # TR-REG-6
    deployment: Deployment, preg: Preg, caplog: pytest.LogCaptureFixture
) -> None:
    await deployment.configure(**registration({"trigger": "add_child"}, {"trigger": "add_case"}))
    report = await deployment.processed(preg("r1"))

    assert report["case_id"]
    assert "registrations[0].events[0].trigger: 'add_child' is none of" in caplog.text


async def test_form_is_compared_without_case_and_surrounding_signs(  # TRN-13, TR-REG-1
    deployment: Deployment, preg: Preg
) -> None:
    report = await deployment.processed(preg("r1", form="-preg!", content_type="xml"))

    assert report["patient_id"]


async def test_unknown_sender_of_a_known_form_registers_nobody(deployment: Deployment, preg: Preg) -> None:  # TRN-14
    report = await deployment.processed(preg("r1", sender="+254799999999"))

    assert "patient_id" not in report
    assert codes(report) == ["sys.facility_not_found"]


async def test_failed_validations_are_noted_and_answered_once(deployment: Deployment, preg: Preg) -> None:  # TR-REG-4
    rules = [
        {"property": "full_name", "rule": "lenMin(10)", "message": "name {{full_name}} too short"},
        {"property": "last_menstrual_period", "rule": "max(2)", "message": "too many weeks"},
    ]
    await deployment.configure(
        **registration({"trigger": "add_patient", "params": "full_name"}, validations={"list": rules})
    )
    report = await deployment.processed(preg("r1"))

    assert [error["code"] for error in report["errors"]] == ["invalid_full_name", "invalid_last_menstrual_period"]
    assert texts(report) == ["name Asha too short"]
    assert await deployment.created_by("r1") == []


async def test_joined_responses_are_one_message(deployment: Deployment, preg: Preg) -> None:  # MSG-14
    rules = [
        {"property": "full_name", "rule": "lenMin(10)", "message": "one"},
        {"property": "full_name", "rule": "lenMin(11)", "message": "two"},
    ]
    await deployment.configure(**registration(validations={"list": rules, "join_responses": True}))
    report = await deployment.processed(preg("r1"))

    assert texts(report) == ["one  two"]


async def test_second_report_of_a_batch_is_not_unique(deployment: Deployment, preg: Preg) -> None:  # VAL-8, design §5
    rules = [{"property": "full_name", "rule": "unique('form', 'full_name')", "message": "{{full_name}} is known"}]
    await deployment.configure(**registration(validations={"list": rules}))
    await deployment.store(preg("r0", name="Zawadi", errors=[{"code": "x", "message": "x"}]))
    await deployment.store(preg("r1", name="Zawadi"))
    await deployment.process()
    await deployment.store(preg("r2", name="zawadi"), preg("r3", name="Other"))
    await deployment.process()

    assert codes(await deployment.db.get("r1")) == []
    assert codes(await deployment.db.get("r2")) == ["invalid_full_name"]
    assert codes(await deployment.db.get("r3")) == []


@pytest.mark.parametrize("fields", [{"patient_id": "11111"}, {"place_id": "11111"}, {"patient_id": "90001"}])
async def test_unknown_or_wrong_subject_is_rejected(  # TR-REG-5
    deployment: Deployment, preg: Preg, fields: Doc
) -> None:
    report = await deployment.processed(preg("r1", fields={"full_name": "Asha", **fields}))

    assert codes(report) == ["registration_not_found"]
    assert len(texts(report)) == 1
    assert await deployment.created_by("r1") == []


async def test_expressions_choose_the_events(deployment: Deployment, preg: Preg) -> None:  # TR-REG-6
    await deployment.configure(
        **registration(
            {"trigger": "add_case", "bool_expr": "doc.full_name === 'Asha' && doc.type === 'data_record'"},
            {"trigger": "add_patient", "bool_expr": "doc.full_name.nothing.more"},
            {"trigger": "add_expected_date", "bool_expr": "!doc.case_id"},
            {"trigger": "add_birth_date", "bool_expr": "false"},
        )
    )
    report = await deployment.processed(preg("r1"))

    assert report["case_id"]
    assert "patient_id" not in report
    assert report["expected_date"]  # judged before add_case ran
    assert "birth_date" not in report


async def test_messages_may_depend_on_an_expression(deployment: Deployment, preg: Preg) -> None:  # TR-REG-7
    messages = [
        {"message": "always"},
        {"message": "never", "bool_expr": "doc.full_name"},
        {"message": "for the report", "bool_expr": "doc.fields.full_name === 'Asha'"},
        {"message": "other event", "event_type": "registration_not_found"},
    ]
    await deployment.configure(**registration(messages=messages))

    assert texts(await deployment.processed(preg("r1"))) == ["always", "for the report"]


async def test_message_tells_the_time_to_the_next_task(deployment: Deployment, preg: Preg) -> None:  # TR-REG-7
    messages = [{"message": "in {{next_msg.weeks}} weeks, {{next_msg.days}} days, {{next_msg.years}} years"}]
    events = SETTINGS["registrations"][0]["events"]
    await deployment.configure(registrations=[{"form": "PREG", "events": events, "messages": messages}])

    assert texts(await deployment.processed(preg("r1"))) == ["in 7 weeks, 55 days, 0 years"]


PROVIDED = {"trigger": "add_patient", "params": {"patient_id_field": "own_id", "patient_name_field": "full_name"}}


async def test_provided_id_is_used(deployment: Deployment, preg: Preg) -> None:  # TR-REG-8
    await deployment.configure(**registration(PROVIDED))
    report = await deployment.processed(preg("r1", fields={"full_name": "Asha", "own_id": "A-77"}))

    assert report["patient_id"] == "A-77"
    assert [person["patient_id"] for person in await deployment.created_by("r1")] == ["A-77"]


@pytest.mark.parametrize(
    ("own_id", "code"), [("50002", "provided_patient_id_not_unique"), ("", "no_provided_patient_id")]
)
async def test_unusable_provided_id_creates_nobody(  # TR-REG-8, TR-REG-13
    deployment: Deployment, preg: Preg, own_id: str, code: str
) -> None:
    await deployment.configure(**registration(PROVIDED))
    report = await deployment.processed(preg("r1", fields={"full_name": "Asha", "own_id": own_id}))

    assert codes(report) == [code]
    assert "patient_id" not in report
    assert await deployment.created_by("r1") == []


async def test_same_provided_id_twice_in_a_batch_goes_to_the_first(deployment: Deployment, preg: Preg) -> None:
    await deployment.configure(**registration(PROVIDED))
    await deployment.store(
        preg("r1", fields={"full_name": "Asha", "own_id": "A-77"}),
        preg("r2", fields={"full_name": "Bina", "own_id": "A-77"}),
    )
    await deployment.process()

    assert codes(await deployment.db.get("r1")) == []
    assert codes(await deployment.db.get("r2")) == ["provided_patient_id_not_unique"]


async def test_report_about_a_patient_registered_in_the_same_batch(  # design §5: feed order for the same contact
    deployment: Deployment, preg: Preg
) -> None:
    await deployment.configure(**registration(PROVIDED, messages=[{"message": "{{patient.name}}"}]))
    await deployment.configure(
        registrations=[
            {"form": "PREG", "events": [{"name": "on_create", **PROVIDED}]},
            {"form": "PUB", "messages": [{"message": "about {{patient.name}}"}]},
        ]
    )
    await deployment.store(
        preg("r1", fields={"full_name": "Asha", "own_id": "A-77"}),
        preg("r2", form="PUB", fields={"patient_id": "A-77"}),
    )
    await deployment.process()

    assert texts(await deployment.db.get("r2")) == ["about Asha"]


async def test_contact_type_name_and_birth_date_of_the_person(deployment: Deployment, preg: Preg) -> None:  # TR-REG-9
    types = [
        {"id": "clinic"},
        {"id": "person", "person": True, "parents": ["clinic"]},
        {"id": "child", "person": True, "parents": ["clinic"]},
    ]
    await deployment.configure(
        contact_types=types,
        **registration(
            {"trigger": "add_birth_date"},
            {"trigger": "add_patient", "params": '{"patient_name_field": "n", "contact_type": "child"}'},
        ),
    )
    await deployment.processed(preg("r1", fields={"n": "Baby", "months_since_dob": 3}))

    [child] = await deployment.created_by("r1")
    assert (child["type"], child["contact_type"], child["name"]) == ("contact", "child", "Baby")
    assert child["date_of_birth"].startswith("2031-08-2")


@pytest.mark.parametrize(("phone", "stored"), [("0712000111", "+254712000111"), ("12", None), ("", None)])
async def test_phone_of_the_person(  # TR-REG-10
    deployment: Deployment, preg: Preg, phone: str, stored: str | None
) -> None:
    form = {"meta": {"code": "PREG"}, "fields": {"full_name": {"type": "string"}, "tel": {"type": "phone_number"}}}
    await deployment.configure(forms={"PREG": form})
    report = await deployment.processed(preg("r1", fields={"full_name": "Asha", "tel": phone}))

    created = await deployment.created_by("r1")
    if phone == "12":
        assert codes(report) == ["provided_phone_not_valid"]
        assert created == []
    else:
        assert created[0].get("phone") == stored


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("", "parent_field_not_provided"),
        ("12121", "parent_not_found"),
        ("50001", "parent_invalid"),
    ],
)
async def test_wrong_parent_creates_nobody(  # TR-REG-11
    deployment: Deployment, preg: Preg, place: str, code: str
) -> None:
    params = {"parent_id": "place", "patient_name_field": "full_name"}
    await deployment.configure(**registration({"trigger": "add_patient", "params": params}))
    report = await deployment.processed(preg("r1", fields={"full_name": "Asha", "place": place}))

    assert codes(report) == [code]
    assert await deployment.created_by("r1") == []


async def test_parent_named_by_the_report(deployment: Deployment, preg: Preg) -> None:  # TR-REG-11
    params = {"parent_id": "place", "patient_name_field": "full_name"}
    await deployment.configure(**registration({"trigger": "add_patient", "params": params}))
    await deployment.processed(preg("r1", fields={"full_name": "Asha", "place": "80001"}))

    [person] = await deployment.created_by("r1")
    assert person["parent"] == {"_id": "h1", "parent": {"_id": "d1"}}


async def test_sender_is_found_by_phone_without_update_clinics(deployment: Deployment, preg: Preg) -> None:  # TR-REG-11
    await deployment.configure(transitions={"registration": True})
    report = await deployment.processed(preg("r1", content_type="xml"))

    assert report["contact"]["_id"] == "chw"
    assert len(await deployment.created_by("r1")) == 1


async def test_place_is_created(deployment: Deployment, preg: Preg) -> None:  # TR-REG-14
    params = {"contact_type": "clinic", "place_name_field": "full_name", "parent_id": "in"}
    await deployment.configure(
        **registration(
            {"trigger": "add_place", "params": params}, messages=[{"message": "{{place.name}}: {{place_id}}"}]
        )
    )
    report = await deployment.processed(preg("r1", fields={"full_name": "New clinic", "in": "80001"}))

    [place] = await deployment.created_by("r1")
    assert (place["type"], place["name"], place["place_id"]) == ("clinic", "New clinic", report["place_id"])
    assert place["parent"] == {"_id": "h1", "parent": {"_id": "d1"}}
    assert texts(report) == [f"New clinic: {report['place_id']}"]


async def test_case_gets_an_id_and_the_senders_place(deployment: Deployment, preg: Preg) -> None:  # TR-REG-15
    await deployment.configure(**registration({"trigger": "add_case"}))
    report = await deployment.processed(preg("r1"))

    assert report["case_id"].isdigit()
    assert report["fields"]["place_uuid"] == "c1"


@pytest.mark.parametrize(
    ("fields", "lmp", "expected"),
    [
        ({"lmp_date": 1953072000000}, "2031-11-22T", "2032-08-28T"),
        ({"lmp_date": "2031-11-22T00:00:00.000Z"}, "2031-11-22T", "2032-08-28T"),
        ({"weeks_since_lmp": "x", "lmp": "12"}, "2031-08-", "2032-06-0"),
        ({"weeks_since_lmp": 0}, "None", "None"),
        ({"weeks_since_lmp": ""}, "None", "None"),
        ({}, "None", "None"),
    ],
    ids=["ms", "ISO date", "weeks", "no weeks", "blank", "nothing"],
)
async def test_expected_date(  # TR-REG-16
    deployment: Deployment, preg: Preg, fields: Doc, lmp: str, expected: str
) -> None:
    await deployment.configure(**registration({"trigger": "add_expected_date"}))
    report = await deployment.processed(preg("r1", fields=fields))

    assert str(report["lmp_date"]).startswith(lmp)
    assert str(report["expected_date"]).startswith(expected)


@pytest.mark.parametrize(
    ("fields", "year_month"),
    [({"age_in_years": 2, "age_in_months": 1}, "2029-11"), ({"dob": "8"}, "2031-09"), ({}, "2031-11")],
    ids=["years first", "weeks", "no age"],
)
async def test_birth_date(deployment: Deployment, preg: Preg, fields: Doc, year_month: str) -> None:  # TR-REG-17
    await deployment.configure(**registration({"trigger": "add_birth_date"}))

    assert (await deployment.processed(preg("r1", fields=fields)))["birth_date"].startswith(year_month)


async def test_schedule_is_assigned_with_and_without_text(deployment: Deployment, preg: Preg) -> None:  # SCH-6
    report = await deployment.processed(preg("r1"))

    later, now = report["scheduled_tasks"]
    assert (later["state"], later["message_key"], later["translation_key"]) == (
        "scheduled",
        "anc.visit",
        "schedule.anc",
    )
    assert "messages" not in later
    assert now["messages"][0]["message"] == "Third visit of Asha"
    assert "message_key" not in now
    assert (now["group"], now["type"]) == (2, "ANC")


async def test_messages_of_a_muted_patient_are_muted(  # SCH-7, TR-REG-18
    deployment: Deployment, preg: Preg
) -> None:
    await deployment.db.put({**await deployment.db.get("mum"), "muted": "2031-01-01T00:00:00.000Z"})
    events = [{"trigger": "add_expected_date"}, {"trigger": "assign_schedule", "params": ["ANC", "NONE"]}]
    await deployment.configure(**registration(*events))
    report = await deployment.processed(
        preg("r1", fields={"patient_id": "50001", "last_menstrual_period": 12, "full_name": "x"})
    )

    assert {task["state"] for task in report["scheduled_tasks"]} == {"muted"}


async def test_schedule_that_was_assigned_is_not_assigned_again(  # SCH-8
    deployment: Deployment, preg: Preg
) -> None:
    assigned = {"type": "ANC", "group": 1, "due": "2031-12-01T00:00:00.000Z", "state": "scheduled"}
    report = await deployment.processed(preg("r1", scheduled_tasks=[assigned]))

    assert report["scheduled_tasks"] == [assigned]


async def test_schedule_whose_text_cannot_be_made_is_an_error_of_the_report(  # SCH-9
    deployment: Deployment, preg: Preg
) -> None:
    messages = [{"group": 1, "offset": "20 weeks", "message": "Visit of {{#name}}"}]
    await deployment.configure(schedules=[{"name": "ANC", "start_from": "lmp_date", "messages": messages}])
    report = await deployment.processed(preg("r1"))

    assert codes(report) == ["parse_error"]
    assert "scheduled_tasks" not in report
    assert report["patient_id"]


@pytest.mark.parametrize(
    ("params", "read"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('["a", "b"]', ["a", "b"]),
        ("a, b", ["a", " b"]),
        (None, {}),
    ],
)
def test_parameters_of_an_event(params: object, read: object) -> None:  # TR-REG-2
    assert read_params(params, "registrations[0]") == read


async def test_messages_for_a_denied_sender_are_denied(deployment: Deployment, preg: Preg) -> None:  # SCH-7
    await deployment.configure(outgoing_deny_list="+25471")
    report = await deployment.processed(preg("r1"))

    assert {task["state"] for task in report["scheduled_tasks"]} == {"denied"}


async def test_schedule_is_cleared_in_other_registrations(deployment: Deployment, preg: Preg) -> None:  # TR-REG-19
    first = await deployment.processed(preg("r1"))
    await deployment.configure(
        registrations=[
            *SETTINGS["registrations"],
            {"form": "PUB", "events": [{"name": "on_create", "trigger": "clear_schedule", "params": "ANC"}]},
        ]
    )
    await deployment.processed(preg("r2", form="PUB", fields={"patient_id": first["patient_id"]}))

    cleared = (await deployment.db.get("r1"))["scheduled_tasks"]
    assert [(task["state"], task["cleared_by"]) for task in cleared] == [("cleared", "r2")] * 2
    assert texts(await deployment.db.get("r1")) == texts(first)
