"""The views that only clients before CHT 5 query, in the larger `medic-client` (60 §8)."""

from __future__ import annotations

import pytest

AMA = {
    "_id": "p1",
    "_rev": "1-a",
    "type": "person",
    "name": "Ama Ata AMA",
    "parent": {"_id": "c1", "parent": {"_id": "h1"}},
}
REPORT = {"_id": "r1", "type": "data_record", "form": "Visit", "reported_date": 9, "contact": {"_id": "p1"}}
LEGACY_VIEWS = {
    "contacts_by_freetext",
    "contacts_by_type_freetext",
    "reports_by_freetext",
    "docs_by_id_lineage",
    "tasks_by_contact",
    "registered_patients",
}


def test_only_the_legacy_bundle_pays_for_older_clients(ddocs):  # DDOC-88
    plain, legacy = set(ddocs["medic-client"]["views"]), set(ddocs["legacy medic-client"]["views"])

    assert legacy - plain == LEGACY_VIEWS
    assert plain <= legacy


def test_contacts_by_freetext_has_each_word_once(rows):  # DDOC-80
    order = "false false 3 ama ata ama"

    assert rows("legacy medic-client/contacts_by_freetext", AMA) == [
        [["ama"], order],
        [["ata"], order],
        [["name:ama ata ama"], order],
    ]


@pytest.mark.parametrize(
    ("member", "tokens"),
    [
        ({"Sex": "F"}, ["sex:f"]),
        ({"age": 31}, ["age:31"]),
        ({"age": 0}, []),
        ({"n": ""}, []),
        ({"notes": "is ok"}, ["notes:is ok"]),
        ({"birth_date": "1990-01-01"}, []),
        ({"refid": "abcd"}, []),
        ({"geolocation": "abcd"}, []),
        ({"address": {"street": "abcd"}}, []),
        ({"__proto__": "abcd"}, ["abcd", "__proto__:abcd"]),
        ({"word": "constructor"}, ["constructor", "word:constructor"]),
    ],
)
def test_contacts_by_freetext_tokens(keys, member, tokens):  # DDOC-80, DDOC-71
    assert keys("legacy medic-client/contacts_by_freetext", {"type": "clinic", **member}) == [[t] for t in tokens]


def test_contacts_by_type_freetext_begins_with_the_type(keys):  # DDOC-81
    doc = {"type": "contact", "contact_type": "chw", "name": "Ama"}

    assert keys("legacy medic-client/contacts_by_type_freetext", doc) == [
        ["chw", token] for token in ("chw", "contact_type:chw", "ama", "name:ama")
    ]


def test_reports_by_freetext_reads_root_fields_and_submitter(rows):  # DDOC-82
    fields = {"note": "Very well", "visit_date": "2024", "n": 5, "deep": {"a": "bcd"}}

    assert rows("legacy medic-client/reports_by_freetext", {**REPORT, "content": "<xml>", "fields": fields}) == [
        [[token], 9] for token in ("visit", "form:visit", "very", "well", "note:very well", "n:5", "contact:p1")
    ]


def test_docs_by_id_lineage_of_a_contact_starts_with_itself(rows):  # DDOC-83
    assert rows("legacy medic-client/docs_by_id_lineage", AMA) == [
        [["p1", 0], {"_id": "p1"}],
        [["p1", 1], {"_id": "c1"}],
        [["p1", 2], {"_id": "h1"}],
    ]


def test_docs_by_id_lineage_of_a_report_goes_on_from_the_submitter(rows):  # DDOC-83
    doc = {**REPORT, "contact": {"_id": "p1", "parent": {"_id": "c1"}}}

    assert rows("legacy medic-client/docs_by_id_lineage", doc) == [
        [["r1", 0], None],
        [["r1", 1], {"_id": "p1"}],
        [["r1", 2], {"_id": "c1"}],
    ]


def test_tasks_by_contact_lists_open_tasks(keys):  # DDOC-84
    task = {"type": "task", "state": "Ready", "owner": "p1", "requester": "p2"}
    done = {**task, "state": "Completed"}

    assert keys("legacy medic-client/tasks_by_contact", task, done) == ["owner-p1", "requester-p2"]
    assert keys("legacy medic-client/tasks_by_contact", {"type": "task", "state": "Draft"}) == ["owner-_unassigned"]


def test_registered_patients_are_those_of_valid_reports(keys):  # DDOC-85
    valid = [{**REPORT, "patient_id": 5}, {**REPORT, "fields": {"patient_id": "6"}}]
    invalid = {**REPORT, "patient_id": "7", "errors": [{"code": "sys.missing_fields"}]}

    assert keys("legacy medic-client/registered_patients", *valid, invalid, REPORT) == ["5", "6"]


def test_contacts_by_parent_carries_what_to_sort_by(rows):  # MOD-120
    assert rows("legacy medic-client/contacts_by_parent", AMA) == [[["c1", "person"], "false false 3 ama ata ama"]]


def test_doc_by_type_lists_languages(rows):  # MOD-120
    translations = {"type": "translations", "enabled": True, "code": "sw", "name": "Kiswahili"}

    assert rows("legacy medic-client/doc_by_type", translations, AMA, {}) == [
        [["translations", True], {"code": "sw", "name": "Kiswahili"}],
        [["person"], None],
    ]
