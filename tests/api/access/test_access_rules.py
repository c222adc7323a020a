"""The rules of 20 §3 to §6, one by one, as data."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.access import queries, schema
from api.access.bodies import Body, Fields, facts_in
from api.access.contexts import Contexts
from api.access.listing import listing
from api.access.rules import Context, Kind, Scope, depth_limits, facts_of, names_of, scope_of, visible
from api.access.writer import Entry
from tests.api.access.worlds import empty_index

Doc = dict[str, Any]
UNLIMITED = (-1, -1, False)


def keys(**members: Any) -> tuple[str, ...]:
    return facts_of({"_id": "d", **members}).keys


def report(**members: Any) -> Doc:
    return {"type": "data_record", "form": "visit", **members}


@pytest.mark.parametrize(
    "doc",
    [
        *({"_id": each} for each in ("resources", "branding", "partners", "service-worker-meta", "zscore-charts")),
        *({"_id": each} for each in ("settings", "privacy-policies", "extension-libs")),
        {"_id": "settings", "type": "data_record"},
        *({"_id": "d", "type": each} for each in ("form", "translations", "ui-extension")),
    ],
    ids=str,
)
def test_everyones_documents(doc: Doc) -> None:
    assert facts_of(doc).keys == ("_all",)  # REPL-10


def test_keys_of_tasks_targets_and_contacts() -> None:
    assert keys(type="task", user="org.couchdb.user:asha") == ("org.couchdb.user:asha",)  # REPL-12, MOD-56
    assert keys(type="target", owner="c") == ("c",)  # REPL-13
    for kind in ("contact", "person", "clinic", "health_center", "district_hospital"):
        assert keys(type=kind) == ("d",)  # REPL-14


@pytest.mark.parametrize("kind", ["user-settings", "token_login", "national_office", "chp_area", None, 7, ["person"]])
def test_anything_else_has_no_keys(kind: Any) -> None:
    assert keys(type=kind, patient_id="p", user="u", owner="o") == ()  # REPL-24


@pytest.mark.parametrize(
    ("members", "subject"),
    [
        ({"patient_id": "a", "place_id": "b", "fields": {"patient_id": "c"}}, "a"),
        ({"place_id": "b", "fields": {"patient_id": "c", "place_id": "e"}}, "c"),
        ({"place_id": "b", "fields": {"place_id": "e"}}, "b"),
        ({"fields": {"place_id": "e", "patient_uuid": "u"}, "contact": {"_id": "s"}}, "e"),
        ({"fields": {"patient_uuid": "u"}, "contact": {"_id": "s"}}, "u"),
        ({"fields": {"place_uuid": "x"}, "contact": {"_id": "s"}}, "s"),
        ({"fields": {"patient_id": ""}, "patient_id": 0, "contact": {"_id": "s"}}, "s"),
        ({"patient_id": 60001}, "60001"),  # REPL-19
        ({"patient_id": "a", "errors": [{"code": "registration_not_found"}], "contact": {"_id": "s"}}, "s"),
        ({"patient_id": "a", "errors": [{"code": "invalid_patient_id"}], "contact": {"_id": "s"}}, "s"),
        ({"patient_id": "a", "errors": [{"code": "invalid_patient_id"}]}, "a"),
        ({"patient_id": "a", "errors": [{"code": "sys.empty"}], "contact": {"_id": "s"}}, "a"),
        ({}, "_unassigned"),
    ],
    ids=str,
)
def test_the_subject_of_a_report(members: Doc, subject: str) -> None:
    assert facts_of({"_id": "d", **report(**members)}).subject == subject  # REPL-11, REPL-15


def test_the_subject_of_a_message() -> None:
    outgoing = {"kujua_message": True, "tasks": [{"messages": [{"contact": {"_id": "c"}}]}]}

    assert keys(type="data_record", sms_message={"message": "x"}, contact={"_id": "c"}, patient_id="p") == ("c",)
    assert keys(type="data_record", **outgoing) == ("c",)
    assert keys(type="data_record", kujua_message=True, tasks=[]) == ("_unassigned",)
    assert keys(type="data_record", patient_id="p") == ("_unassigned",)  # neither form nor message: REPL-15


def test_only_reports_with_form_and_contact_have_a_submitter() -> None:
    # REPL-16
    assert facts_of(report(contact={"_id": "c"})).submitter == "c"
    assert facts_of({"type": "data_record", "contact": {"_id": "c"}}).submitter is None
    assert facts_of(report()).submitter is None


def test_signoff_keys_skip_links_without_id_and_the_subject() -> None:
    # REPL-17
    chain = {"_id": "a", "parent": {"parent": {"_id": "h", "parent": {"_id": "d"}}}}

    assert keys(**report(contact=chain, fields={"needs_signoff": True, "place_id": "h"})) == ("h", "a", "d")
    assert keys(**report(contact=chain, fields={"place_id": "h"})) == ("h",)


@pytest.mark.parametrize("value", [True, "true", "something", {}, [], 1])
def test_what_claims_privacy(value: Any) -> None:
    assert facts_of(report(contact={"_id": "c"}, fields={"private": value})).private  # REPL-18


@pytest.mark.parametrize("value", [False, None, "", 0, "false", "no", "0", "No"])
def test_what_claims_none(value: Any) -> None:
    assert not facts_of(report(contact={"_id": "c"}, fields={"private": value})).private


def test_long_keys_are_keys() -> None:
    assert keys(**report(patient_id="x" * 5000)) == ("x" * 5000,)  # REPL-20


def test_the_chain_is_the_embedded_one_and_gaps_count() -> None:
    # REPL-22, REPL-23
    doc = {"_id": "p", "type": "person", "parent": {"_id": "c", "parent": {"parent": {"_id": "d"}}}}

    assert facts_of(doc).chain == (("p", 0), ("c", 1), ("d", 3))


@pytest.mark.parametrize(
    ("members", "shortcode", "primary"),
    [
        ({"patient_id": "1", "place_id": "2"}, "1", None),
        ({"place_id": 2, "contact": "m"}, "2", "m"),
        ({"contact": {"_id": "m"}}, None, "m"),
    ],
)
def test_shortcode_and_primary_contact(members: Doc, shortcode: str | None, primary: str | None) -> None:
    facts = facts_of({"_id": "p", "type": "clinic", **members})

    assert (facts.shortcode, facts.primary_contact) == (shortcode, primary)  # REPL-22


def entry(role: str, depth: Any, report_depth: Any = None, primary: bool = False) -> Doc:
    found = {"role": role, "depth": depth, "replicate_primary_contacts": primary}
    return found if report_depth is None else {**found, "report_depth": report_depth}


@pytest.mark.parametrize(
    ("roles", "entries", "limits"),
    [
        (["a"], [], UNLIMITED),  # REPL-26
        (["a"], [entry("b", 1)], UNLIMITED),
        (["a"], [entry("a", 1), entry("a", 5)], (1, -1, False)),  # the first with that role: REPL-25
        (["a", "b"], [entry("a", 1, 0), entry("b", 2)], (2, -1, False)),  # not combined: REPL-26
        (["a", "b"], [entry("a", 2, 0), entry("b", 1, 5)], (2, 0, False)),
        (["a"], [entry("a", "2x", "1")], (2, 1, False)),
        (["a"], [entry("a", "x")], UNLIMITED),
        (["a", "b"], [entry("a", "x"), entry("b", 1)], (1, -1, False)),
        (["a", "b"], [entry("a", 1, 1), entry("b", 1)], (1, 1, False)),  # REPL-27
        (["a", "b"], [entry("a", 1, 1), entry("b", 1, 2, True)], (1, 2, True)),
        (["mm-online"], [entry("mm-online", 1)], (1, -1, False)),  # technical roles count: REPL-28
        (["a"], {"a": 1}, UNLIMITED),
        (["a"], [None, "x", entry("a", True)], UNLIMITED),
    ],
)
def test_depth_limits(roles: list[str], entries: Any, limits: Any) -> None:
    assert depth_limits(roles, entries) == limits


def test_an_account_without_a_facility_has_the_defaults_only() -> None:
    # REPL-3, REPL-31, REPL-33
    nowhere = scope_of("asha", ["chw"], [], "a", [], True)
    somewhere = scope_of("asha", ["chw"], ["h"], "a", [], True)

    assert nowhere.own_keys == ("_all", "org.couchdb.user:asha")
    assert somewhere.own_keys == ("_all", "org.couchdb.user:asha", "_unassigned")
    assert nowhere.own_ids == ("_design/medic-client", "org.couchdb.user:asha")


# --- visibility, in an index of the documents ------------------------------------------------------------------------

H = {"_id": "h", "parent": {"_id": "d"}}
PLACES: list[Doc] = [
    {"_id": "d", "type": "district_hospital", "place_id": "90"},
    {"_id": "h", "type": "health_center", "parent": {"_id": "d"}, "place_id": "70", "contact": "far"},
    {"_id": "c", "type": "clinic", "parent": H, "place_id": "50", "contact": {"_id": "p"}},
    {"_id": "p", "type": "person", "parent": {"_id": "c", "parent": H}, "patient_id": "60"},
    {"_id": "a", "type": "person", "parent": H},
    {"_id": "far", "type": "clinic", "parent": {"_id": "elsewhere"}, "place_id": "99"},
    {"_id": "below-far", "type": "person", "parent": {"_id": "far"}},
    {"_id": "twin", "type": "person", "parent": {"_id": "elsewhere"}, "patient_id": "60"},
]


def scope(**members: Any) -> Scope:
    return Scope("org.couchdb.user:asha", **{"facilities": ("h",), "contact_id": "a", **members})


def sees(who: Scope, doc: Doc) -> bool:
    """The verdict on the document, which is the same by the list and by its body."""
    index = empty_index()
    index.apply([Entry(each["_id"], "1-x", False, facts_of(each)) for each in [*PLACES, doc]], "1", 0)
    facts = facts_of(doc)
    singly = visible(facts, queries.resolve(index.connection, who, names_of(facts)))
    listed = doc["_id"] in {row["id"] for row in listing(index.connection, who).rows()}
    index.close()
    assert singly == listed  # REPL-54
    return singly


def place(doc_id: str) -> Doc:
    return next(each for each in PLACES if each["_id"] == doc_id)


@pytest.mark.parametrize(
    ("depth", "expected"), [(-1, {"h", "c", "p", "a"}), (0, {"h"}), (1, {"h", "c", "a"}), (2, {"h", "c", "p", "a"})]
)
def test_contacts_by_depth(depth: int, expected: set[str]) -> None:
    # REPL-30, REPL-32, REPL-43
    assert {each["_id"] for each in PLACES if sees(scope(contact_depth=depth), each)} == expected


def test_several_facilities_are_a_union() -> None:
    assert {each["_id"] for each in PLACES if sees(scope(facilities=("c", "far")), each)} == {
        "c",
        "p",
        "far",
        "below-far",
    }


def test_own_documents_are_visible_in_any_case_and_those_without_keys_to_nobody() -> None:
    # REPL-40, REPL-41, REPL-42
    who = scope(facilities=())

    assert sees(who, {"_id": "org.couchdb.user:asha", "type": "user-settings"})
    assert sees(who, {"_id": "_design/medic-client"})
    assert not sees(who, {"_id": "org.couchdb.user:other", "type": "user-settings"})
    assert not sees(who, {"_id": "x"})
    assert sees(who, {"_id": "settings"})


def test_a_shared_shortcode_is_seen_from_both_sides_but_not_the_other_contact() -> None:
    # REPL-37
    doc = {"_id": "x", **report(patient_id="60")}

    assert sees(scope(), doc)
    assert sees(scope(facilities=("elsewhere",)), doc)
    assert not sees(scope(), place("twin"))


def test_primary_contacts_come_with_their_shortcode_but_not_what_is_below_them() -> None:
    # REPL-35
    who = scope(contact_depth=1, report_depth=0, primary_contacts=True)

    assert sees(who, place("far"))
    assert sees(who, place("p"))
    assert not sees(who, place("below-far"))
    assert not sees(who, place("twin"))
    assert sees(who, {"_id": "x", **report(patient_id="99")})  # at the depth of h, which is 0
    assert not sees(who, {"_id": "x", **report(patient_id="60")})  # of c, which is 1
    assert not sees(scope(contact_depth=1), place("far"))


@pytest.mark.parametrize("subject", ["h", "70", "a"])
def test_private_reports_about_the_users_own_place_and_person(subject: str) -> None:
    # REPL-34, REPL-44, REPL-45
    private = {"private": True, "needs_signoff": True}
    foreign = {"_id": "boss", "parent": H}

    assert not sees(scope(), {"_id": "x", **report(patient_id=subject, contact=foreign, fields=private)})
    assert sees(scope(), {"_id": "x", **report(patient_id=subject, contact={"_id": "a"}, fields=private)})
    assert sees(scope(), {"_id": "x", **report(patient_id=subject, contact=foreign)})
    assert sees(scope(), {"_id": "x", **report(patient_id="c", contact=foreign, fields=private)})


def test_report_depth() -> None:
    # REPL-46, REPL-48
    who = scope(report_depth=1)
    chain = {"_id": "boss", "parent": H}

    assert sees(who, {"_id": "x", **report(patient_id="50")})
    assert not sees(who, {"_id": "x", **report(patient_id="60")})
    assert sees(who, {"_id": "x", **report(patient_id="60", contact={"_id": "a"})})
    assert sees(who, {"_id": "x", **report(patient_id="60", contact=chain, fields={"needs_signoff": True})})
    assert sees(who, {"_id": "x", "type": "target", "owner": "p"})
    assert sees(who, {"_id": "x", "type": "task", "user": "org.couchdb.user:asha"})


def test_unassigned_documents_lie_at_depth_0() -> None:
    # REPL-33, REPL-47
    doc = {"_id": "x", "type": "data_record", "sms_message": {"message": "hello"}}

    assert sees(scope(unassigned=True, report_depth=0), doc)
    assert not sees(scope(), doc)


def test_facts_tell_kinds_apart() -> None:
    assert [facts_of({"type": each}).kind for each in ("person", "data_record", "task", "target", "x")] == [
        Kind.CONTACT,
        Kind.REPORT,
        Kind.TASK,
        Kind.TARGET,
        Kind.OTHER,
    ]


def test_a_context_judges_what_it_was_resolved_for() -> None:
    facts = facts_of({"_id": "x", **report(patient_id="c")})

    assert visible(facts, Context(scope(), {"c": 1}))
    assert not visible(facts, Context(scope(), {}))


ODD_VALUES: list[Any] = [None, True, 0, 5, 2**70, 1.5, 60001.0, "", "p", "form", "person", "data_record", "false", {}]
ODD_OBJECTS = [{"_id": "p"}, {"_id": 7, "parent": {"_id": "q"}}]
ODD_LISTS = [[], ["p"], [{"code": "invalid_patient_id"}], [{"messages": [{"contact": {"_id": "p"}}]}]]
odd_values = st.sampled_from([*ODD_VALUES, *ODD_OBJECTS, *ODD_LISTS])
odd_fields = st.dictionaries(st.sampled_from([*Fields.__annotations__, "note"]), odd_values)
odd_bodies = st.dictionaries(st.sampled_from([*Body.__annotations__, "name"]), odd_values | odd_fields)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(doc=odd_bodies.filter(lambda doc: not doc.get("_deleted")))
def test_facts_cut_out_of_json_are_those_of_the_parsed_body(doc: Doc) -> None:
    text = json.dumps({"type": "data_record", "form": "visit", **doc, "_id": "x"})

    assert facts_in(text.encode()) == facts_of(orjson.loads(text))


def test_a_member_that_comes_twice_counts_as_the_last() -> None:
    text = b'{"_id":"x","type":"form","type":"data_record","form":"v","fields":{"patient_id":1,"patient_id":2}}'

    assert facts_in(text) == facts_of(orjson.loads(text))


def test_a_bare_deletion_has_no_facts() -> None:
    # REPL-102
    assert facts_in(b'{"_id":"x","_rev":"2-a","_deleted":true,"_revisions":{}}') is None
    assert facts_in(b'{"_id":"x","_rev":"2-a","_deleted":true,"note":1}') is not None


def test_a_scope_is_large_by_the_contacts_within_its_depth() -> None:
    # REPL-150
    writer = empty_index()
    clinics = [{"_id": f"c{n}", "type": "clinic", "parent": {"_id": "h"}} for n in range(501)]
    writer.apply([Entry(doc["_id"], "1-x", False, facts_of(doc)) for doc in clinics], "1", 0)

    assert queries.is_large(writer.connection, scope(facilities=("h",)))
    assert not queries.is_large(writer.connection, scope(facilities=("h",), contact_depth=0))
    assert not queries.is_large(writer.connection, scope(facilities=("c1", "c2", "unknown")))
    writer.close()


def test_what_is_remembered_of_a_scope_has_a_bound() -> None:
    # REPL-142: names are what documents say, and may be long
    writer, contexts = empty_index(), Contexts()
    state, who = schema.read_state(writer.connection), scope()
    kept = []
    for names in (["a", "b"], ["x" * 2**27]):
        reached = contexts.at(who, state)
        contexts.add(reached, names, queries.resolve(writer.connection, who, names))
        kept.append(set(contexts.at(who, state).depths))

    assert kept == [{"a", "b"}, set()]
    writer.close()
