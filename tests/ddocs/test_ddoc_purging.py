"""The view that purging groups records by."""

from __future__ import annotations

import pytest

from sentinel.schedule.purge_groups import key_of

CONTACT = {"_id": "p1", "parent": {"_id": "c1"}}


@pytest.mark.parametrize(
    ("members", "subject"),
    [
        ({"form": "V", "patient_id": 123, "contact": CONTACT}, "123"),
        ({"form": "V", "fields": {"place_id": "c9", "patient_uuid": "u"}}, "c9"),
        ({"form": "V", "fields": {"patient_uuid": "u"}}, "u"),
        ({"form": "V", "contact": CONTACT}, "p1"),
        (
            {"form": "V", "patient_id": "1", "contact": CONTACT, "errors": [{"code": "registration_not_found"}]},
            "p1",
        ),
        ({"sms_message": {"message": "hi"}, "contact": CONTACT}, "p1"),
        ({"kujua_message": True, "tasks": [{"messages": [{"contact": CONTACT}]}]}, "p1"),
        ({"sms_message": {"message": "hi"}}, "_unassigned"),
        ({"form": "V"}, "_unassigned"),
        ({"form": "V", "patient_id": {"odd": 1}, "errors": "x"}, "_unassigned"),
    ],
)
def test_records_are_emitted_under_their_contact(keys, members, subject):  # PRG-5, PRG-7, REPL-15
    record = {"type": "data_record", **members}

    assert keys("medic-purging/records_by_subject", record) == [subject]
    assert (key_of(record) or "_unassigned") == subject  # as the run that follows changes knows it


def test_other_documents_emit_nothing(keys):
    assert keys("medic-purging/records_by_subject", {"type": "person"}, {"type": "task"}) == []
