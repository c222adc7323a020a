"""The views of the sentinel, logs, users-meta, users and personal databases (60 §5 and §6)."""

from __future__ import annotations

import pytest

TELEMETRY = {
    "_id": "telemetry-2024-3-1-asha-dev-1",
    "type": "telemetry",
    "metadata": {"user": "asha", "deviceId": "dev-1", "year": 2024, "month": 3, "day": 1},
    "device": {
        "userAgent": "UA",
        "hardwareConcurrency": 8,
        "versions": {"cht": "3.10.5", "settings": "12-cc", "apk": "v1.0", "android": "11", "x": 1},
        "storage": {"free": 1, "total": 4, "x": 1},
    },
}


def test_outbound_push_tasks(rows):  # DDOC-50
    assert rows("sentinel/outbound_push_tasks", {"type": "task:outbound"}, {"type": "info"}) == [[None, None]]


def test_connected_users_by_time(keys):  # DDOC-51
    docs = [{"_id": "connected-user-asha", "timestamp": 5}, {"_id": "x-connected-user-asha", "timestamp": 6}]

    assert keys("logs/connected_users", *docs) == [5]


@pytest.mark.parametrize(("count", "users"), [(10000, []), (10001, ["asha"]), (None, []), ({}, [])])
def test_replication_limit_names_who_is_above_it(keys, count, users):  # DDOC-52
    assert keys("logs/replication_limit", {"user": "asha", "count": count}) == users


def test_replication_counts_by_size(rows):
    docs = [{"user": "juma", "count": 3}, {"user": "asha", "count": 12}, {"user": "x", "count": "9"}]

    assert rows("logs/replication_counts", *docs) == [[3, "juma"], [12, "asha"]]


def test_replication_failures_by_day(rows):  # DDOC-53
    doc = {"_id": "replication-fail-2024-03-asha", "user": "asha", "daily_failures": {"2024-03-01": 2, "2024-03-02": 1}}

    assert rows("logs/replication_failures", doc, {**doc, "daily_failures": None}) == [
        [["2024-03-01", "asha"], 2],
        [["2024-03-02", "asha"], 1],
    ]


@pytest.mark.parametrize(
    ("facility_id", "facilities"),
    [("h1", ["h1"]), (["h1", "h2"], ["h1", "h2"]), (None, []), ([None, ""], [])],
    ids=["text", "list", "null", "empty"],
)
def test_users_by_field(keys, facility_id, facilities):  # DDOC-54, MOD-62
    doc = {"type": "user", "contact_id": "p1", "oidc_username": "asha@x", "facility_id": facility_id}

    assert keys("users/users_by_field", doc, {"type": "user"}) == [
        ["contact_id", "p1"],
        ["oidc_username", "asha@x"],
        *(["facility_id", facility] for facility in facilities),
    ]


def test_device_by_user_summarises_telemetry(rows):  # DDOC-55
    assert rows("users-meta/device_by_user", TELEMETRY) == [
        [
            ["asha", "dev-1"],
            {
                "date": "2024-03-01",
                "id": "telemetry-2024-3-1-asha-dev-1",
                "device": {
                    "userAgent": "UA",
                    "versions": {"cht": "3.10.5", "settings": "12-cc", "apk": "v1.0", "android": "11"},
                    "storage": {"free": 1, "total": 4},
                },
            },
        ]
    ]


def test_device_by_user_without_device(rows):  # DDOC-55
    doc = {**TELEMETRY, "device": None}

    assert rows("users-meta/device_by_user", doc)[0][1]["device"] == {"versions": {}}


@pytest.mark.parametrize("member", ["user", "deviceId", "year", "month", "day"])
def test_device_by_user_needs_its_metadata(rows, member):  # DDOC-55
    metadata = {name: value for name, value in TELEMETRY["metadata"].items() if name != member}

    assert rows("users-meta/device_by_user", {**TELEMETRY, "metadata": metadata}) == []


@pytest.mark.parametrize("rereduce", [False, True])
def test_device_by_user_reduces_to_the_newest(engine, ddocs, rereduce):  # DDOC-55
    reduce = ddocs["users-meta"]["views"]["device_by_user"]["reduce"]
    values = [{"date": "2024-03-09", "id": "a"}, {"date": "2024-10-01", "id": "b"}, {"date": "2023-12-31", "id": "c"}]

    assert engine.reduce(reduce, None, values, rereduce) == {"date": "2024-10-01", "id": "b"}


def test_feedback_by_date(keys):  # DDOC-56
    docs = [{"type": "feedback", "meta": {"time": "2024-03-01T10:00:00.000Z"}}, {"type": "feedback"}, TELEMETRY]

    assert keys("users-meta/feedback_by_date", *docs) == ["2024-03-01T10:00:00.000Z", None]


def test_read_counts_receipts_by_kind(keys):  # DDOC-60, AUTH-143
    docs = [{"_id": each} for each in ("read:report:r1", "read:message:a:b", "read:x", "feedback-1", "readx:report:1")]

    assert keys("medic-user/read", *docs) == ["report", "message"]
