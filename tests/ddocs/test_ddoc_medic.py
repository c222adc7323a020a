"""The server's own views of the main database (60 §2)."""

from __future__ import annotations

import pytest

AMA = {
    "_id": "p1",
    "type": "person",
    "patient_id": "50001",
    "name": "Ama",
    "parent": {"_id": "c1", "parent": {"_id": "h1"}},
}
MESSAGE = {"uuid": "u1", "to": "+1", "message": "hi"}
TASKS = {
    "tasks": [{"state": "pending", "timestamp": "2031-02-03T08:00:00Z", "messages": [MESSAGE]}],
    "scheduled_tasks": [{"state": "scheduled", "due": 1927929600000, "message_key": "m", "recipient": "clinic"}],
}
REPORT = {
    "type": "data_record",
    "form": "V",
    "reported_date": 1709280000000,
    "contact": {"_id": "p1", "parent": {"_id": "c1", "parent": {"_id": "h1"}}},
}


def test_contacts_by_depth_has_two_rows_for_each_ancestor(rows):  # DDOC-10, X1
    value = {"shortcode": "50001"}

    assert rows("medic/contacts_by_depth", AMA) == [
        [["p1"], value],
        [["p1", 0], value],
        [["c1"], value],
        [["c1", 1], value],
        [["h1"], value],
        [["h1", 2], value],
    ]


def test_contacts_by_depth_skips_a_link_without_id_but_counts_its_level(keys):  # DDOC-10, REPL-22
    doc = {"_id": "p1", "type": "person", "parent": {"parent": {"_id": "h1"}}}

    assert keys("medic/contacts_by_depth", doc) == [["p1"], ["p1", 0], ["h1"], ["h1", 2]]


@pytest.mark.parametrize("contact", ["p9", {"_id": "p9", "parent": {"_id": "c1"}}], ids=["text", "object"])
def test_contacts_by_depth_names_the_primary_contact_of_a_place(rows, contact):  # DDOC-10, MOD-21
    doc = {"_id": "c1", "type": "clinic", "place_id": "7", "contact": contact}

    assert rows("medic/contacts_by_depth", doc)[0] == [["c1"], {"shortcode": "7", "primary_contact": "p9"}]


@pytest.mark.parametrize("doc_type", ["national_office", "chw_area", "data_record", None, 3])
def test_contacts_by_depth_ignores_what_is_no_contact_type(rows, doc_type):  # DDOC-10, REPL-24
    assert rows("medic/contacts_by_depth", {"type": doc_type}) == []


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        ("+254 (711) 000-222", ["000222"]),
        ("0711000222", ["000222"]),
        (254711000222, ["000222"]),
        ("112", ["112"]),
        ("none", []),
        ("", []),
        (None, []),
        (["0711000222"], []),
    ],
)
def test_contacts_by_phone_ending_reads_any_notation(keys, phone, expected):  # EP-CBP-5
    assert keys("medic-phones/contacts_by_phone_ending", {"type": "contact", "phone": phone}) == expected
    assert keys("medic-phones/contacts_by_phone_ending", {"type": "data_record", "phone": phone}) == []


def test_docs_by_shortcode_reads_any_type(rows):  # DDOC-12
    doc = {"type": "anything", "place_id": "1", "patient_id": "2", "case_id": "3", "fields": {"patient_id": "4"}}

    assert rows("medic/docs_by_shortcode", doc) == [["1", None], ["2", None], ["3", None]]


def test_docs_by_shortcode_finds_a_number_as_text(keys):  # DDOC-12, REPL-19
    assert keys("medic/docs_by_shortcode", {"patient_id": 60001, "place_id": None, "case_id": ""}) == ["60001"]


def test_messages_by_state_of_a_pending_and_a_scheduled_task(rows):  # DDOC-13, X2
    value = {"content": "hi", "to": "+1", "id": "u1"}

    assert rows("medic/messages_by_state", TASKS) == [
        [["pending", 1927872000000], value],
        [["pending-or-forwarded", 1927872000000], value],
        [["scheduled", 1927929600000], {}],
    ]


@pytest.mark.parametrize(
    ("state", "states"),
    [
        ("forwarded-to-gateway", ["forwarded-to-gateway", "pending-or-forwarded"]),
        ("received-by-gateway", ["received-by-gateway"]),
        ("scheduled", ["scheduled"]),
    ],
)
def test_messages_by_state_groups_what_the_gateway_must_still_confirm(keys, state, states):  # DDOC-13
    doc = {"reported_date": 5, "tasks": [{"state": state, "messages": [MESSAGE]}]}

    assert [key[0] for key in keys("medic/messages_by_state", doc)] == states


@pytest.mark.parametrize(
    ("moments", "due"),
    [
        ({"due": 3, "timestamp": 2}, 3),
        ({"due": "1970-01-01T00:00:01.000Z", "timestamp": 2}, 1000),
        ({"due": "1927929600000"}, 1927929600000),
        ({"timestamp": 2}, 2),
        ({}, 1),
        ({"due": "soon"}, 0),
        ({"due": {}}, 0),
    ],
    ids=["due", "iso", "number-as-text", "timestamp", "reported_date", "no-date", "object"],
)
def test_messages_by_state_is_due_at(keys, moments, due):  # DDOC-13
    doc = {"reported_date": 1, "scheduled_tasks": [{"state": "scheduled", "messages": [MESSAGE], **moments}]}

    assert keys("medic/messages_by_state", doc) == [["scheduled", due]]


@pytest.mark.parametrize("missing", ["uuid", "to", "message"])
def test_messages_by_state_leaves_out_an_incomplete_message(keys, missing):  # DDOC-13
    incomplete = {name: value for name, value in MESSAGE.items() if name != missing}
    doc = {"reported_date": 1, "tasks": [{"state": "sent", "messages": [incomplete, None, MESSAGE]}]}

    assert keys("medic/messages_by_state", doc) == [["sent", 1]]


def test_reports_by_form_and_parent_keeps_the_date_as_a_number(rows):  # DDOC-14
    assert rows("medic/reports_by_form_and_parent", REPORT) == [[["V", "c1"], 1709280000000]]


@pytest.mark.parametrize("date", [None, "1709280000000", {}])
def test_reports_by_form_and_parent_counts_an_odd_date_as_zero(rows, date):  # DDOC-14
    assert rows("medic/reports_by_form_and_parent", {**REPORT, "reported_date": date}) == [[["V", "c1"], 0]]


@pytest.mark.parametrize("change", [{"form": None}, {"contact": {"_id": "p1"}}, {"contact": None}, {"type": "x"}])
def test_reports_by_form_and_parent_needs_a_form_and_a_submitters_parent(rows, change):  # DDOC-14
    assert rows("medic/reports_by_form_and_parent", {**REPORT, **change}) == []


@pytest.mark.parametrize(
    ("unit", "fields"),
    [
        ("month", {"month": 3}),
        ("month", {"month_num": 3}),
        ("week", {"week": 3}),
        ("week", {"week_number": 3}),
    ],
)
def test_reports_by_form_year_and_period(rows, unit, fields):  # DDOC-15, DDOC-16
    view = f"medic/reports_by_form_year_{unit}_parent_reported_date"

    assert rows(view, {**REPORT, "fields": {"year": 2024, **fields}}) == [[["V", 2024, 3, "c1", 1709280000000], None]]
    assert rows(view, {**REPORT, "fields": fields}, {**REPORT, "fields": {"year": 2024}}, REPORT) == []


def test_tasks_in_terminal_state_by_end_date(keys):  # DDOC-17
    def task(state):
        return {"type": "task", "state": state, "emission": {"endDate": "2024-03-12"}}

    assert keys("medic/tasks_in_terminal_state", *map(task, ["Draft", "Ready", "Completed"])) == ["2024-03-12"]
    assert keys("medic/tasks_in_terminal_state", task("Cancelled"), task("Failed")) == ["2024-03-12"] * 2
    assert keys("medic/tasks_in_terminal_state", {"type": "task", "state": "Failed"}) == []


def test_reports_by_edited_instance(keys):  # OR-30
    def report(**openrosa):
        return {"type": "data_record", "form": "V", "openrosa": openrosa}

    edited = report(instance_id="b", instance_ids=["a", "b", 1])
    assert keys("medic-openrosa/reports_by_edited_instance", edited, report(instance_id="c")) == ["a", "b"]
