"""What holds for every function of every design document: plain ES5, and no document makes it throw."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest

from core.couch.ddocs import load_bundle

MESSAGE = {"uuid": "u", "to": "+1", "message": "hi", "contact": {"_id": "p1"}}
TASK = {"state": "sent", "due": 1, "timestamp": 1, "gateway_ref": "g", "state_history": [{"timestamp": 1}]}
PARENT = {"_id": "c1", "parent": {"_id": "h1"}}
WHOLE_DOCS = [
    {
        "_id": "p1",
        "type": "contact",
        "contact_type": "person",
        "name": "Ama",
        "phone": "+1",
        "parent": PARENT,
        "contact": {"_id": "p1"},
        "patient_id": "1",
        "place_id": "2",
        "rc_code": "x",
        "reported_date": 1,
        "muted": "2024",
        "date_of_death": 1,
        "dhis": [{"orgUnit": "o"}],
    },
    {
        "_id": "r1",
        "type": "data_record",
        "form": "V",
        "reported_date": 1,
        "contact": {"_id": "p1", "parent": PARENT},
        "errors": [{"code": "x"}],
        "openrosa": {"instance_ids": ["uuid:1", "uuid:2"]},
        "verified": True,
        "patient_id": "1",
        "case_id": "1",
        "tasks": [{**TASK, "messages": [MESSAGE]}],
        "scheduled_tasks": [TASK],
        "fields": {
            "visited_contact_uuid": "c1",
            "visited_date": "2024-03-01",
            "patient_uuid": "p",
            "year": 1,
            "month": 1,
            "week": 1,
        },
    },
    {
        "_id": "m1",
        "type": "data_record",
        "kujua_message": True,
        "reported_date": 1,
        "tasks": [{**TASK, "messages": [MESSAGE]}],
    },
    {
        "_id": "m2",
        "type": "data_record",
        "sms_message": {"gateway_ref": "g", "uuid": "u"},
        "contact": PARENT,
        "from": "+1",
    },
    {
        "_id": "task~1",
        "type": "task",
        "state": "Failed",
        "owner": "p1",
        "requester": "p1",
        "emission": {"endDate": "2024"},
    },
    {"_id": "task~2", "type": "task", "state": "Ready", "owner": "p1", "requester": "p1"},
    {
        "_id": "telemetry-1",
        "type": "telemetry",
        "metadata": {"user": "a", "deviceId": "d", "year": 2024, "month": 3, "day": 1},
        "device": {"versions": {"apk": "1"}, "storage": {"free": 1}},
    },
    {"_id": "feedback-1", "type": "feedback", "meta": {"time": "2024"}},
    {"_id": "connected-user-a", "timestamp": 1, "count": 20000, "user": "a"},
    {"_id": "replication-fail-2024-03-a", "user": "a", "daily_failures": {"2024-03-01": 1}},
    {"_id": "org.couchdb.user:a", "contact_id": "p", "oidc_username": "a", "facility_id": ["h1"]},
    {"_id": "messages-en", "type": "translations", "enabled": True, "code": "en", "name": "English"},
    {"_id": "r2", "type": "data_record", "form": "V", "patient_id": "1", "errors": []},
    {"_id": "task:outbound:r1", "type": "task:outbound", "queue": ["a"]},
    {"_id": "read:report:r1"},
    {"_id": "x", "_conflicts": ["1-a"]},
    {"_id": "y"},
]
ODD = [None, 0, 12.5, -1, "", "12", "toString", True, [], [None], [[1]], {}, {"_id": {}}, {"toString": 1, "valueOf": 1}]


def views() -> Iterator[Any]:
    for role in load_bundle(legacy=True).values():
        for ddoc in role:
            for name, view in ddoc["views"].items():
                yield pytest.param(view, id=f"{ddoc['_id'].removeprefix('_design/')}/{name}")


def with_odd_members(doc: Any) -> Iterator[Any]:
    """The document with each member, at any depth, missing or replaced by each odd value in turn."""
    members = doc.items() if isinstance(doc, dict) else enumerate(doc)
    for name, value in list(members):
        for odd in ODD:
            changed = copy.copy(doc)
            changed[name] = odd
            yield changed
        if isinstance(value, dict | list):
            for inner in with_odd_members(value):
                changed = copy.copy(doc)
                changed[name] = inner
                yield changed
        if isinstance(doc, dict):
            yield {key: kept for key, kept in doc.items() if key != name}


ODD_DOCS = [
    odd
    for doc in WHOLE_DOCS
    for odd in [doc, *with_odd_members(doc)]
    if isinstance(odd.get("_id"), str)  # CouchDB gives every document a text id
]


@pytest.mark.parametrize("view", list(views()))
def test_no_document_makes_a_view_throw(engine, view):  # DDOC-4, MOD-2
    answers = engine.map_all(view["map"], ODD_DOCS)

    assert [doc for doc, answer in zip(ODD_DOCS, answers, strict=True) if isinstance(answer, dict)] == []


@pytest.mark.parametrize("view", list(views()))
def test_every_view_emits_something_for_a_whole_document(engine, view):
    assert any(engine.map_all(view["map"], WHOLE_DOCS))


def sources() -> Iterator[Any]:
    for role in load_bundle(legacy=True).values():
        for ddoc in role:
            name = ddoc["_id"].removeprefix("_design/")
            if "validate_doc_update" in ddoc:
                yield pytest.param(ddoc["validate_doc_update"], id=f"{name}/validate_doc_update")
            for view_name, view in ddoc["views"].items():
                yield pytest.param(view["map"], id=f"{name}/{view_name}/map")
                if not view.get("reduce", "_").startswith("_"):
                    yield pytest.param(view["reduce"], id=f"{name}/{view_name}/reduce")


@pytest.mark.parametrize("source", list(sources()))
def test_every_function_is_plain_es5(source):  # DDOC-4
    code = re.sub(r"/\*.*?\*/|//[^\n]*|'[^'\n]*'", "", source, flags=re.DOTALL)

    assert re.findall(r"=>|`|\b(?:let|const|class|async|await|require|import|export|of)\b", code) == []
    assert source.startswith("/* ")


@pytest.mark.parametrize("source", list(sources()))
def test_every_function_is_one_expression(engine, source):  # DDOC-4
    assert engine.context.eval(f"typeof ({source})") == "function"


def test_reduces_are_built_in_but_for_the_newest_of_a_group():  # DDOC-7, DDOC-91
    reduces = {
        name: view["reduce"]
        for role in load_bundle(legacy=True).values()
        for ddoc in role
        for name, view in ddoc["views"].items()
        if "reduce" in view
    }

    built_in = {name: text for name, text in reduces.items() if text.startswith("_")}

    assert set(reduces) - set(built_in) == {"messages_by_contact_date", "device_by_user"}
    assert {name for name, text in built_in.items() if text == "_stats"} == {
        "reports_by_form_and_parent",
        "contacts_by_last_visited",
    }
    assert {name for name, text in built_in.items() if text == "_count"} == {
        "contacts_by_type",
        "data_records_by_type",
        "reports_by_form",
        "reports_by_form_and_field",
        "message_queue",
        "conflicts",
        "outbound_push_tasks",
        "connected_users",
        "replication_limit",
        "replication_counts",
        "feedback_by_date",
        "read",
    }
