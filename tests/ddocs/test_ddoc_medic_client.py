"""The views that phones replicate and query themselves (60 §3)."""

from __future__ import annotations

import pytest

PARENT = {"_id": "c1", "parent": {"_id": "h1"}}
AMA = {"_id": "p1", "type": "person", "patient_id": "50001", "name": "Ama", "parent": PARENT, "reported_date": 7}
REPORT = {
    "_id": "r1",
    "type": "data_record",
    "form": "V",
    "reported_date": 9,
    "contact": {"_id": "p1", "parent": PARENT},
}
CONTACT_TYPES = ["contact", "person", "clinic", "health_center", "district_hospital"]


@pytest.mark.parametrize("doc_type", CONTACT_TYPES)
def test_contacts_by_last_visited_starts_every_contact_at_zero(rows, doc_type):  # DDOC-20, DDOC-5
    assert rows("medic-client/contacts_by_last_visited", {"_id": "c1", "type": doc_type}) == [["c1", 0]]


VISIT_TIMES = [
    ({"visited_date": "1970-01-01T00:00:01.000Z"}, 1000),
    ({"visited_date": 44}, 44),
    ({"visited_date": "1709280000000"}, 1709280000000),
    ({}, 9),
    ({"visited_date": "yesterday"}, 0),
    ({"visited_date": {}}, 0),
]


@pytest.mark.parametrize(("fields", "visited"), VISIT_TIMES)
def test_contacts_by_last_visited_takes_the_visit_time(rows, fields, visited):  # DDOC-20
    doc = {**REPORT, "fields": {"visited_contact_uuid": "c1", **fields}}

    assert rows("medic-client/contacts_by_last_visited", doc) == [["c1", visited]]


def test_contacts_by_last_visited_reads_an_odd_reported_date_as_zero(rows):  # DDOC-20
    doc = {**REPORT, "reported_date": "9", "fields": {"visited_contact_uuid": "c1"}}

    assert rows("medic-client/contacts_by_last_visited", doc, REPORT) == [["c1", 0]]


@pytest.mark.parametrize(("fields", "visited"), VISIT_TIMES)
def test_visits_by_date_goes_both_ways(rows, fields, visited):  # DDOC-35
    doc = {**REPORT, "fields": {"visited_contact_uuid": "c1", **fields}}

    assert rows("medic-client/visits_by_date", doc, REPORT) == [[visited, "c1"], [["c1", visited], None]]


def test_contacts_by_parent_names_parent_and_type(rows):  # DDOC-21, X1
    custom = {"type": "contact", "contact_type": "chw", "parent": {"_id": "a1"}}

    assert rows("medic-client/contacts_by_parent", AMA, custom) == [[["c1", "person"], None], [["a1", "chw"], None]]
    assert rows("medic-client/contacts_by_parent", {"type": "clinic"}, {"type": "clinic", "parent": ""}, REPORT) == []


def test_contacts_by_phone(rows):  # DDOC-22
    docs = [{**AMA, "phone": "+254711000222"}, AMA, {"type": "user-settings", "phone": "+1"}]

    assert rows("medic-client/contacts_by_phone", *docs) == [["+254711000222", None]]


def test_contacts_by_place_has_a_row_for_each_place_above(rows):  # DDOC-23
    assert rows("medic-client/contacts_by_place", AMA) == [[["c1"], "3 ama"], [["h1"], "3 ama"]]


def test_contacts_by_reference_has_text_codes(rows):  # DDOC-24
    doc = {"type": "clinic", "place_id": 70001, "patient_id": "p", "rc_code": "kng", "reported_date": 5}

    assert rows("medic-client/contacts_by_reference", doc) == [
        [["shortcode", "70001"], 5],
        [["shortcode", "p"], 5],
        [["external", "KNG"], 5],
    ]


def test_contacts_by_reference_knows_the_national_office(keys):  # DDOC-24
    assert keys("medic-client/contacts_by_reference", {"type": "national_office", "place_id": "1"}, REPORT) == [
        ["shortcode", "1"]
    ]


@pytest.mark.parametrize(
    ("doc", "row"),
    [
        (AMA, [["person"], "false false 3 ama"]),
        ({"type": "district_hospital", "name": "Busia"}, [["district_hospital"], "false false 0 busia"]),
        ({"type": "health_center", "name": "K", "muted": "2024-03-01"}, [["health_center"], "false true 1 k"]),
        ({"type": "clinic", "name": "K", "date_of_death": 1}, [["clinic"], "true false 2 k"]),
        ({"type": "contact", "contact_type": "chw", "name": "É"}, [["chw"], "false false chw é"]),
        ({"type": "contact", "contact_type": "person", "name": "A"}, [["person"], "false false 3 a"]),
        ({"type": "clinic"}, [["clinic"], "false false 2 undefined"]),
        ({"type": "clinic", "name": 7, "muted": None}, [["clinic"], "false false 2 7"]),
    ],
    ids=["person", "district", "muted", "dead", "custom", "custom-person", "no-name", "number"],
)
def test_contacts_by_type_carries_what_to_sort_by(rows, doc, row):  # DDOC-25, DDOC-6, X1
    assert rows("medic-client/contacts_by_type", doc) == [row]


@pytest.mark.parametrize("doc", [{"type": "chw"}, {"type": "contact"}, {"type": "national_office"}, REPORT])
def test_contacts_by_type_skips_an_unknown_type(rows, doc):  # DDOC-25, DDOC-6
    assert rows("medic-client/contacts_by_type", doc) == []


def test_data_records_by_type_tells_reports_from_messages(rows):  # DDOC-26
    message = {"type": "data_record", "form": None}

    assert rows("medic-client/data_records_by_type", REPORT, message, AMA) == [["report", None], ["message", None]]


def test_doc_by_type_lists_forms_and_user_settings_only(rows):  # DDOC-27
    docs = [{"type": each} for each in ("form", "user-settings", "person", "translations", None)]

    assert rows("medic-client/doc_by_type", *docs) == [[["form"], None], [["user-settings"], None]]


OUTGOING = {
    "_id": "m1",
    "type": "data_record",
    "kujua_message": True,
    "reported_date": 9,
    "tasks": [
        {"messages": [{"to": "+1", "contact": {"_id": "p1"}}, {"to": "+9"}]},
        {"messages": [{"to": "+2"}]},
        {"messages": [{"message": "hi"}]},
        {"messages": []},
        None,
    ],
}


def test_messages_by_contact_date_of_outgoing_takes_each_tasks_first_message(rows):  # DDOC-28, MOD-28
    assert rows("medic-client/messages_by_contact_date", OUTGOING) == [
        [["p1", 9], {"id": "m1", "date": 9, "contact": {"_id": "p1"}}],
        [["+2", 9], {"id": "m1", "date": 9}],
        [["m1", 9], {"id": "m1", "date": 9}],
    ]


@pytest.mark.parametrize(
    ("doc", "partner"),
    [({"contact": {"_id": "p1"}, "from": "+1"}, "p1"), ({"from": "+1"}, "+1"), ({"contact": None}, "m2")],
)
def test_messages_by_contact_date_of_incoming(keys, doc, partner):  # DDOC-28
    incoming = {"_id": "m2", "type": "data_record", "sms_message": {"from": "+1"}, "reported_date": 9, **doc}

    assert keys("medic-client/messages_by_contact_date", incoming) == [[partner, 9]]


def test_messages_by_contact_date_leaves_out_reports(rows):  # DDOC-28
    assert rows("medic-client/messages_by_contact_date", {**OUTGOING, "form": "V"}, {"type": "data_record"}) == []


@pytest.mark.parametrize("rereduce", [False, True])
def test_messages_by_contact_date_reduces_to_the_newest(engine, ddocs, rereduce):  # DDOC-28
    reduce = ddocs["medic-client"]["views"]["messages_by_contact_date"]["reduce"]
    values = [{"id": "a", "date": 3}, {"id": "b", "date": 8}, {"id": "c"}, None, {"id": "d", "date": 5}]

    assert engine.reduce(reduce, None, values, rereduce) == {"id": "b", "date": 8}
    assert engine.reduce(reduce, None, [], rereduce) == {"date": 0}


def test_reports_by_date(rows):  # DDOC-29
    undated = {"type": "data_record", "form": "V"}

    assert rows("medic-client/reports_by_date", REPORT, undated) == [[[9], 9], [[None], None]]


def test_reports_by_form(rows):  # DDOC-30
    assert rows("medic-client/reports_by_form", REPORT, {"type": "data_record"}, AMA) == [[["V"], 9]]


def test_reports_by_place_leaves_out_the_submitter(rows):  # DDOC-31
    assert rows("medic-client/reports_by_place", REPORT, {**REPORT, "contact": None}) == [[["c1"], 9], [["h1"], 9]]


def test_reports_by_subject_reads_the_root_and_fields(keys):  # DDOC-32
    ids = {"patient_id": 1, "place_id": "2", "case_id": "3", "patient_uuid": "4", "place_uuid": "5"}
    doc = {**REPORT, **ids, "fields": ids}

    assert sorted(keys("medic-client/reports_by_subject", doc)) == ["1", "1", "2", "2", "3", "3", "4", "5"]


def test_reports_by_subject_leaves_out_what_is_no_id(rows):  # DDOC-32
    doc = {**REPORT, "patient_id": None, "fields": {"patient_id": "", "place_id": {}, "case_id": []}}

    assert rows("medic-client/reports_by_subject", doc, {**AMA, "form": "V"}) == []


@pytest.mark.parametrize(
    ("errors", "valid"), [(None, True), ([], True), ([{"code": "x"}], False)], ids=["none", "empty", "one"]
)
def test_reports_by_validity(rows, errors, valid):  # DDOC-33, MOD-29
    assert rows("medic-client/reports_by_validity", {**REPORT, "errors": errors}) == [[[valid], 9]]


def test_reports_by_validity_without_errors(rows):  # DDOC-33
    assert rows("medic-client/reports_by_validity", REPORT) == [[[True], 9]]


def test_reports_by_verification_may_be_null(keys):  # DDOC-34
    docs = [{**REPORT, "verified": True}, {**REPORT, "verified": False}, REPORT]

    assert keys("medic-client/reports_by_verification", *docs) == [[True], [False], [None]]
