"""States of SMS tasks (40 §7)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from core.sms_tasks import due_ms, group, new_task, report_state, set_state, tasks_of

NOW = datetime(2031, 2, 3, 8, tzinfo=UTC)
STAMP = "2031-02-03T08:00:00.000Z"


def states(task: dict[str, Any]) -> list[str]:
    return [entry["state"] for entry in task["state_history"]]


def test_setting_a_state_records_it() -> None:
    task: dict[str, Any] = {}

    assert set_state(task, "sent", now=NOW, details={"a": 1}, gateway_ref="g") is True  # TSK-1, MOD-30
    assert task == {
        "state": "sent",
        "state_details": {"a": 1},
        "gateway_ref": "g",
        "state_history": [{"state": "sent", "state_details": {"a": 1}, "timestamp": STAMP}],
    }


def test_the_same_state_again_changes_nothing() -> None:
    task = new_task({"uuid": "u"}, "pending", now=NOW)
    before = dict(task)

    assert set_state(task, "pending", now=NOW) is False  # TSK-1
    assert task == before


@pytest.mark.parametrize("change", [{"details": {"reason": "b"}}, {"gateway_ref": "other"}])
def test_the_same_state_with_news_is_recorded(change: dict[str, Any]) -> None:
    task: dict[str, Any] = {}
    set_state(task, "failed", now=NOW, details={"reason": "a"}, gateway_ref="g")

    assert set_state(task, "failed", now=NOW, **change) is True  # TSK-1
    assert len(task["state_history"]) == 2


def test_equal_details_are_no_news() -> None:
    task: dict[str, Any] = {}
    set_state(task, "failed", now=NOW, details={"reason": "a"})

    assert set_state(task, "failed", now=NOW, details={"reason": "a"}) is False  # EP-SMS-6


def test_a_new_state_drops_old_details_and_keeps_the_gateway_reference() -> None:
    task: dict[str, Any] = {}
    set_state(task, "failed", now=NOW, details={"reason": "a"}, gateway_ref="g")

    set_state(task, "pending", now=NOW)

    assert "state_details" not in task  # TSK-1
    assert task["gateway_ref"] == "g"  # TSK-2


@pytest.mark.parametrize("late", ["received-by-gateway", "forwarded-by-gateway", "sent", "unrecognised"])
def test_a_late_report_is_only_recorded(late: str) -> None:
    task = new_task({}, "delivered", now=NOW)

    assert report_state(task, late, now=NOW) is True  # TSK-3
    assert (task["state"], states(task)) == ("delivered", ["delivered", late])


def test_repeating_late_and_final_reports_comes_to_rest() -> None:
    task = new_task({}, "delivered", now=NOW)
    for state in ("sent", "delivered"):
        report_state(task, state, now=NOW)

    assert [report_state(task, state, now=NOW) for state in ("sent", "delivered")] == [False, False]  # SMS-5


def test_a_report_moves_forward() -> None:
    task = new_task({}, "forwarded-to-gateway", now=NOW)
    for state in ("received-by-gateway", "forwarded-by-gateway", "sent", "delivered"):
        report_state(task, state, now=NOW)

    assert task["state"] == "delivered"


def test_a_user_may_send_again_what_failed() -> None:
    task = new_task({}, "failed", now=NOW)

    assert set_state(task, "pending", now=NOW) is True  # 40 §7, table
    assert task["state"] == "pending"


@pytest.mark.parametrize(
    ("task", "doc", "due"),
    [
        ({"due": "2031-02-03T08:00:00.000Z", "timestamp": 1}, {}, 1_927_872_000_000),
        ({"timestamp": 1_927_872_000_000}, {"reported_date": 1}, 1_927_872_000_000),
        ({}, {"reported_date": 1_927_872_000_000}, 1_927_872_000_000),
        ({}, {"reported_date": "1927872000000"}, 1_927_872_000_000),
        ({"due": "rubbish"}, {}, None),
        ({}, {}, None),
    ],
)
def test_when_a_task_is_due(task: dict[str, Any], doc: dict[str, Any], due: int | None) -> None:
    assert due_ms(task, doc) == due  # SMS-8


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("scheduled", "scheduled"),
        ("cleared", "muted"),
        ("pending", "due"),
        ("sent", "delivered"),
        ("failed", "failed"),
        (None, "due"),
    ],
)
def test_groups_of_states(state: str | None, expected: str) -> None:
    assert group(state) == expected  # EP-MON-3


def test_tasks_of_an_oddly_typed_document() -> None:
    assert tasks_of({"tasks": [None, {"state": "a"}], "scheduled_tasks": "x"}) == [{"state": "a"}]  # MOD-2
