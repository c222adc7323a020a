"""The view that validations look reports up by."""

from __future__ import annotations

REPORT = {
    "type": "data_record",
    "form": "Preg",
    "reported_date": 5,
    "contact": {"_id": "p1"},
    "patient_id": "root",
    "fields": {"patient_id": 123, "name": "ASHA", "twins": False, "empty": "", "none": None, "deep": {"a": 1}},
}


def test_scalars_of_fields_and_root_are_emitted_fields_first(keys):  # VAL-1, VAL-9
    assert keys("medic-validation/reports_by_form_and_field", REPORT) == [
        ["preg", "patient_id", "123"],
        ["preg", "name", "asha"],
        ["preg", "twins", "false"],
        ["preg", "type", "data_record"],
        ["preg", "form", "preg"],
        ["preg", "reported_date", "5"],
    ]


def test_reports_with_errors_and_other_documents_emit_nothing(keys):  # VAL-8
    wrong = {**REPORT, "errors": [{"code": "x"}]}

    assert keys("medic-validation/reports_by_form_and_field", wrong, {"type": "person"}, {**REPORT, "form": None}) == []


def test_long_values_are_cut_without_breaking_a_character(keys):  # VAL-9
    text = "a" * 99 + "😀"
    found = keys("medic-validation/reports_by_form_and_field", {**REPORT, "fields": {"text": text}})

    assert ["preg", "text", "a" * 99] in found
