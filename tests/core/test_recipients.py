"""Who a message goes to (40 §6.3)."""

from __future__ import annotations

from typing import Any

import pytest

from core.recipients import MessageContext, resolution_view, resolve_recipient, rewrite_phone
from core.settings import Settings

BOSS = {"_id": "p-boss", "type": "person", "phone": "+254700000009"}
DISTRICT = {"_id": "d", "type": "district_hospital", "name": "Dist", "contact": BOSS}
CENTER = {
    "_id": "h",
    "type": "health_center",
    "name": "Cent",
    "contact": {"_id": "p-nurse", "phone": "+254700000005"},
    "linked_docs": {"driver": {"_id": "p-driver", "phone": "+254700000007"}},
    "parent": DISTRICT,
}
CLINIC = {
    "_id": "c",
    "type": "clinic",
    "name": "Clin",
    "contact": {"_id": "p-head", "phone": "+254700000001"},
    "parent": CENTER,
}
BEA = {"_id": "p-bea", "type": "person", "name": "Bea", "phone": "+254711111111", "parent": CLINIC}
ASHA = {"_id": "p-asha", "type": "person", "name": "Asha", "patient_id": "12345", "parent": CLINIC}
REPORT: dict[str, Any] = {
    "_id": "r",
    "type": "data_record",
    "form": "F",
    "from": "+254711111111",
    "contact": BEA,
    "fields": {"lmp": 1_700_000_000_000, "phone_field": "0722000000", "zero": 0, "deep": {"phone": "+1"}},
    "helper": {"name": "H", "phone": "+254733333333"},
    "supervisor_phone": 254744444444,
}
PATIENT = MessageContext(patient=ASHA)
NOBODY = MessageContext()


def recipient(entry: Any, context: MessageContext = PATIENT, doc: dict[str, Any] = REPORT, **settings: Any) -> str:
    view = resolution_view(doc, context)
    return resolve_recipient(entry, doc, context, view, Settings(settings))


@pytest.mark.parametrize(
    ("entry", "phone"),
    [
        ("reporting_unit", "+254711111111"),
        ("ancestor:district_hospital", "+254700000009"),
        ("ancestor:clinic", "+254700000001"),
        ("link:driver", "+254700000007"),
        ("link:health_center", "+254700000005"),
        ("parent", "+254700000005"),
        ("grandparent", "+254700000009"),
        ("clinic", "+254700000001"),
        ("health_center", "+254700000005"),
        ("district", "+254700000009"),
        ("phone_field", "0722000000"),
        ("supervisor_phone", "254744444444"),
        ("contact.phone", "+254711111111"),
        ("fields.deep.phone", "+1"),
        ("+254755555555", "+254755555555"),
        (" clinic ", "+254700000001"),
        (254755, "+254711111111"),
    ],
)
def test_entries_with_a_patient(entry: Any, phone: str) -> None:
    assert recipient(entry) == phone  # RCP-3, rows 1 to 12, RCP-7


@pytest.mark.parametrize(
    ("entry", "phone"),
    [("parent", "+254700000005"), ("grandparent", "+254700000009"), ("clinic", "+254700000001")],
)
def test_without_a_subject_places_are_counted_from_the_submitter(entry: str, phone: str) -> None:
    assert recipient(entry, NOBODY) == phone  # RCP-4, ours


def test_a_place_is_the_base_when_there_is_no_patient() -> None:
    assert recipient("parent", MessageContext(place=CLINIC)) == "+254700000009"  # RCP-3, row 4
    assert recipient("clinic", MessageContext(place=CLINIC)) == "+254700000001"


def test_clinic_falls_back_to_the_submitter() -> None:
    doc = {"contact": {"_id": "x", "phone": "+254788888888"}}

    assert recipient("clinic", NOBODY, doc) == "+254788888888"  # RCP-3, row 6
    assert recipient("health_center", NOBODY, {**doc, "from": "+1"}) == "+1"


def test_the_submitter_is_the_sender_else_the_contact() -> None:
    assert recipient("reporting_unit", NOBODY, {"from": "+1", "contact": {"phone": "+2"}}) == "+1"  # RCP-2
    assert recipient("reporting_unit", NOBODY, {"contact": {"phone": "+2"}}) == "+2"


@pytest.mark.parametrize("entry", [None, "", "  ", [], ["", None]])
def test_no_entry_means_the_submitter(entry: Any) -> None:
    assert recipient(entry) == "+254711111111"  # RCP-2


def test_the_first_entry_that_resolves_wins() -> None:
    assert recipient(["nobody", "ancestor:none", "district", "clinic"]) == "+254700000009"  # RCP-2


def test_what_does_not_resolve_goes_to_the_submitter() -> None:
    assert recipient("nobody") == "+254711111111"  # RCP-2


def test_what_does_not_resolve_is_taken_literally_when_so_configured() -> None:
    assert recipient(["nobody", "x"], sms={"default_to_sender": False}) == "nobody"  # RCP-2


def test_the_first_matching_row_decides() -> None:
    doc = {**REPORT, "fields": {"clinic": "+999"}, "contact": {"_id": "x"}, "parent": None}

    assert recipient("clinic", NOBODY, doc) == "+254711111111"  # RCP-3: row 6 yields nothing, row 9 is not asked


def test_only_a_phone_counts_as_resolved() -> None:
    assert recipient("helper") == "+254733333333"  # RCP-5
    assert recipient("patient") == "+254711111111"


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_come_from_the_first_source_that_has_them() -> None:
    doc = {"name": "root", "a": "root", "b": "root", "fields": {"a": "field", "name": "field"}, "contact": BEA}
    context = MessageContext(
        patient=ASHA,
        template_context={"sex": "from context"},
        registrations=[{"lmp_date": "registration", "b": "registration"}],
        place_registrations=[{"due": "place registration"}],
    )

    view = resolution_view(doc, context)

    names = ["patient_name", "name", "sex", "a", "b", "lmp_date", "due", "patient_id"]
    assert [view.get(name) for name in names] == [
        "Asha",
        "Asha",
        "from context",
        "field",
        "root",
        "registration",
        "place registration",
        "12345",
    ]  # RCP-1


def test_lineage_aliases() -> None:
    view = resolution_view(REPORT, NOBODY)

    names = {alias: view[alias]["name"] for alias in ("clinic", "health_center", "district", "parent", "grandparent")}
    assert names == {  # RCP-1
        "clinic": "Clin",
        "health_center": "Cent",
        "district": "Dist",
        "parent": "Cent",
        "grandparent": "Dist",
    }


# --- rewriting --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "phone", "rewritten"),
    [
        ({"outgoing_phone_replace": {"match": "+254", "replace": "0"}}, "+254711", "0711"),
        ({"outgoing_phone_replace": {"match": "+254"}}, "+254711", "711"),
        ({"outgoing_phone_replace": {"match": "711"}}, "+254711", "+254711"),
        ({"outgoing_phone_filters": [{"match": r"^\+(\d{3})", "replace": "00$1"}]}, "+254711", "00254711"),
        ({"outgoing_phone_filters": [{"match": "1", "replace": "9"}]}, "1111", "9111"),
        ({"outgoing_phone_filters": [{"match": "(", "replace": "9"}, {"match": "1"}]}, "12", "2"),
        ({"outgoing_phone_replace": "odd", "outgoing_phone_filters": "odd"}, "+1", "+1"),
    ],
)
def test_phones_are_rewritten(settings: dict[str, Any], phone: str, rewritten: str) -> None:
    assert rewrite_phone(phone, Settings(settings)) == rewritten  # RCP-6
