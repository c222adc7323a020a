"""What of a document can be found, by the rules of 60 §7."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.search.tokens import Content, Kind, content_of

PERSON = {"_id": "p1", "_rev": "1-a", "type": "person", "name": "Neema Wanjiru"}
REPORT: dict[str, Any] = {
    "_id": "r1",
    "_rev": "1-a",
    "type": "data_record",
    "form": "Visit",
    "reported_date": 1_700_000_000_000,
    "contact": {"_id": "P-1"},
    "fields": {"patient_id": "60001", "note": "Fever, cough", "weight": 12.5, "inner": {"note": "hidden"}},
}


def content(doc: dict[str, Any]) -> Content:
    found = content_of(doc)
    assert found
    return found


def test_a_contact_is_found_by_words_and_by_whole_values() -> None:  # DDOC-70, DDOC-71
    found = content(PERSON)

    assert found.kind is Kind.CONTACT
    assert found.tokens == {"cneema", "cwanjiru", "1name:neema wanjiru", "3person"}
    assert found.sort == "false false 3 neema wanjiru"  # DDOC-6


def test_a_report_is_found_by_its_root_its_fields_and_its_submitter() -> None:  # DDOC-72
    found = content(REPORT)

    assert found.kind is Kind.REPORT
    assert found.sort == 1_700_000_000_000
    assert found.tokens == {
        "rvisit",
        "2form:visit",
        "r60001",
        "2patient_id:60001",
        "rfever,",
        "rcough",
        "2note:fever, cough",
        "2weight:12.5",
        "2contact:p-1",
    }


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({"REFID": "abc", "geolocation": "abc", "birth_date": "2020-01-01"}, set()),  # keys that are skipped
        ({"note": "ab"}, {"1note:ab"}),  # too short for words
        ({"note": "a bc"}, {"ca", "cbc", "1note:a bc"}),
        ({"n": 0, "flag": True, "empty": "", "list": ["abc"], "object": {"a": "abc"}, "none": None}, set()),
        ({"n": 7.0, "m": -3}, {"1n:7", "1m:-3"}),
        ({"phone": "०१२३४५६७८९"}, {"c0123456789", "1phone:0123456789"}),  # Devanagari digits
        ({"n": "x" * 998}, {"c" + "x" * 255, "1n:" + "x" * 998}),
        ({"n": "x" * 999}, {"c" + "x" * 255}),  # longer than 1,000 with its key
        ({"odd": "a\x1fb\x00c"}, {"ca", "cb", "cc", "1odd:a b c"}),
    ],
)
def test_values_that_can_be_searched(members: dict[str, Any], tokens: set[str]) -> None:  # DDOC-70
    assert content({"_id": "p1", "type": "person", **members}).tokens - {"3person"} == tokens


@pytest.mark.parametrize(
    ("members", "order"),
    [
        ({"type": "clinic", "name": "ODERA", "muted": "2024-01-01"}, "false true 2 odera"),
        ({"type": "contact", "contact_type": "ward", "name": 7}, "false false ward 7"),
        ({"type": "person", "date_of_death": 1_700_000_000_000}, "true false 3 undefined"),
        ({"type": "person", "name": "A", "muted": {}}, "false true 3 a"),
    ],
)
def test_contacts_sort_by_death_muting_rank_and_name(members: dict[str, Any], order: str) -> None:  # DDOC-6
    assert content({"_id": "p1", **members}).sort == order


@pytest.mark.parametrize(
    "doc",
    [
        {"type": "contact", "name": "no type"},
        {"type": "contact", "contact_type": 7},
        {"type": "data_record", "sms_message": {}},
        {"type": "form"},
        {"type": ["person"]},
        {},
    ],
)
def test_other_documents_are_not_found(doc: dict[str, Any]) -> None:  # DDOC-71, DDOC-72
    assert content_of({"_id": "x", **doc}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(["type", "contact_type", "form", "name", "fields", "contact", "reported_date", "muted", "x"])
TYPES = st.sampled_from(["contact", "person", "data_record"]) | JSON


@given(st.dictionaries(NAMES, JSON), TYPES, JSON)
def test_no_document_can_stop_the_index(members: dict[str, Any], kind: Any, form: Any) -> None:  # MOD-2
    found = content_of({**members, "_id": "x", "type": kind, "form": form})

    assert found is None or all(found.tokens)


def test_a_report_without_a_date_sorts_first() -> None:  # DDOC-72
    assert content({**REPORT, "reported_date": "2024-01-01"}).sort == 0
    assert content({**REPORT, "reported_date": 2**63}).sort == float(2**63)
