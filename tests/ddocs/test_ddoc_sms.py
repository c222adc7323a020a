"""The views of messages and of conflicts in the other documents of the main database (60 §4)."""

from __future__ import annotations

import pytest

MESSAGE = {"uuid": "u1", "to": "+1", "message": "hi"}
TASKS = {
    "tasks": [{"state": "pending", "timestamp": "2031-02-03T08:00:00Z", "messages": [MESSAGE]}],
    "scheduled_tasks": [{"state": "scheduled", "due": 1927929600000, "message_key": "m", "recipient": "clinic"}],
}


def test_contacts_by_dhis_orgunit_reads_one_or_several(keys):  # DDOC-40
    docs = [
        {"type": "clinic", "dhis": {"orgUnit": "a"}},
        {"type": "clinic", "dhis": [{"orgUnit": "b"}, {}, None, {"orgUnit": "c"}]},
        {"type": "clinic", "dhis": "d"},
        {"type": "x", "dhis": {"orgUnit": "e"}},
    ]

    assert keys("medic-admin/contacts_by_dhis_orgunit", *docs) == ["a", "b", "c"]


def test_message_queue_of_a_due_and_a_scheduled_task(rows):  # DDOC-41, X2
    assert rows("medic-admin/message_queue", TASKS) == [
        [
            ["due", 1927872000000],
            {"task": {"state": "pending"}, "due": 1927872000000, "sms": {"message": "hi", "to": "+1"}},
        ],
        [
            ["scheduled", 1927929600000],
            {
                "task": {"state": "scheduled"},
                "due": 1927929600000,
                "scheduled_sms": {"translation_key": "m", "recipient": "clinic"},
            },
        ],
    ]


def test_message_queue_describes_the_task(rows):  # DDOC-41
    task = {"state": "muted", "group": 2, "type": "anc", "translation_key": "k", "due": 5, "message": "text"}
    doc = {"scheduled_tasks": [{**task, "state_history": [{"state": "scheduled"}, {"state": "muted"}]}]}

    value = rows("medic-admin/message_queue", doc)[0][1]

    assert value["task"] == {
        "state": "muted",
        "group": 2,
        "type": "anc",
        "translation_key": "k",
        "state_history": {"state": "muted"},
    }
    assert value["scheduled_sms"] == {"content": "text"}


@pytest.mark.parametrize(
    ("state", "groups"),
    [
        ("scheduled", ["scheduled"]),
        ("muted", ["muted"]),
        ("cleared", ["muted"]),
        ("denied", ["muted"]),
        ("duplicate", ["muted"]),
        ("pending", ["due"]),
        ("forwarded-to-gateway", ["due"]),
        ("delivered", ["due", "delivered"]),
        ("sent", ["due", "delivered"]),
        ("failed", ["due", "failed"]),
        ("toString", ["due"]),
        (None, ["due"]),
        (7, ["due"]),
    ],
)
@pytest.mark.parametrize("messages", [[MESSAGE], []], ids=["message", "unrendered"])
def test_message_queue_groups_by_state(keys, state, groups, messages):  # DDOC-41, EP-MON-3
    doc = {"reported_date": 1, "tasks": [{"state": state, "messages": messages}]}

    assert keys("medic-admin/message_queue", doc) == [[group, 1] for group in groups]


def test_message_queue_counts_each_complete_message(keys):  # DDOC-41
    doc = {"reported_date": 1, "tasks": [{"state": "pending", "messages": [MESSAGE, {"to": "+1"}, MESSAGE]}]}

    assert keys("medic-admin/message_queue", doc) == [["due", 1]] * 2


def test_gateway_messages_by_state(rows):  # DDOC-42
    doc = {"tasks": [{"state": "sent", "gateway_ref": "g", "messages": [MESSAGE, {}]}, {"messages": [MESSAGE]}]}

    assert rows("medic-sms/gateway_messages_by_state", doc) == [["sent", {"id": "u1", "gateway_ref": "g"}]]


def test_messages_by_gateway_ref_of_sent_and_received(rows):  # DDOC-43
    doc = {
        "tasks": [{"gateway_ref": "g1", "messages": [MESSAGE]}, {"gateway_ref": "g2"}],
        "scheduled_tasks": [{"gateway_ref": "g3", "messages": [{"uuid": "u3"}]}],
        "sms_message": {"gateway_ref": "g4", "uuid": "u4"},
    }

    assert rows("medic-sms/messages_by_gateway_ref", doc) == [["g1", "u1"], ["g3", "u3"], ["g4", "u4"]]


@pytest.mark.parametrize(
    ("state", "group"),
    [
        ("scheduled", "scheduled"),
        ("sent", "final"),
        ("delivered", "final"),
        ("failed", "final"),
        ("muted", "muted"),
        ("cleared", "muted"),
        ("denied", "muted"),
        ("duplicate", "muted"),
        ("pending", "pending"),
        ("forwarded-by-gateway", "pending"),
        ("constructor", "pending"),
    ],
)
def test_messages_by_last_updated_state_groups(keys, state, group):  # DDOC-44
    doc = {"reported_date": 1, "tasks": [{"state": state}]}

    assert keys("medic-sms/messages_by_last_updated_state", doc) == [[group, 1, state]]


@pytest.mark.parametrize(
    ("task", "updated"),
    [
        ({"state_history": [{"timestamp": 1}, {"timestamp": "1970-01-01T00:00:09Z"}], "timestamp": 2}, 9000),
        ({"state_history": [], "timestamp": 2}, 2),
        ({"state_history": "x"}, 1),
        ({"state_history": [None]}, 1),
    ],
    ids=["history", "timestamp", "odd-history", "reported_date"],
)
def test_messages_by_last_updated_state_takes_the_newest_moment(keys, task, updated):  # DDOC-44
    doc = {"reported_date": 1, "scheduled_tasks": [{"state": "sent", **task}]}

    assert keys("medic-sms/messages_by_last_updated_state", doc) == [["final", updated, "sent"]]


def test_messages_by_uuid_lists_every_message(keys):  # DDOC-45
    doc = {
        "tasks": [{"messages": [MESSAGE, {"uuid": "u2"}, {"to": "+1"}]}, {}],
        "scheduled_tasks": [{"messages": [{"uuid": "u3"}]}],
    }

    assert keys("medic-sms/messages_by_uuid", doc) == ["u1", "u2", "u3"]


def test_conflicts_lists_the_losing_revisions(rows):  # DDOC-46
    assert rows("medic-conflicts/conflicts", {"_conflicts": ["2-b", "2-a"]}, {}) == [[["2-b", "2-a"], None]]


def test_medic_scripts_is_kept_without_views(ddocs):  # DDOC-47
    assert ddocs["medic-scripts"]["views"] == {}
