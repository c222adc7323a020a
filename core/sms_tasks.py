"""The states an SMS task goes through, and when it is due (40 §7, 35 §7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from core.couch.client import Doc
from core.dates import iso_of, local_zone, moment_of, ms_of

Task = dict[str, Any]

# How far a message got, as the gateway tells it. A report from further back does not undo what is known (TSK-3).
GATEWAY_ORDER: Mapping[str, int] = {
    "unrecognised": 0,
    "received-by-gateway": 1,
    "forwarded-by-gateway": 2,
    "sent": 3,
    "delivered": 4,
    "failed": 4,
    "denied": 4,
}
SETTLED = frozenset({"sent", "delivered", "failed"})

# 30 EP-MON-3: the groups that monitoring counts.
GROUPS: Mapping[str, str] = {
    "scheduled": "scheduled",
    **dict.fromkeys(("muted", "cleared", "clear", "denied", "duplicate"), "muted"),
    **dict.fromkeys(("sent", "delivered"), "delivered"),
    "failed": "failed",
}


def new_task(message: Doc, state: str, *, now: datetime, **members: Any) -> Task:
    """A task with its one message (MSG-2) and the first entry of its history."""
    task: Task = {**members, "messages": [message]}
    set_state(task, state, now=now)
    return task


def set_state(task: Task, state: str, *, now: datetime, details: Any = None, gateway_ref: str | None = None) -> bool:
    """Set the state and record it; False when nothing would change (TSK-1).

    The stored gateway reference stays when none is given (TSK-2).
    """
    history = objects(task.get("state_history"))
    last = history[-1] if history else {}
    repeated = task.get("state") == state == last.get("state")
    same_details = details is None or details == task.get("state_details")
    same_ref = gateway_ref is None or gateway_ref == task.get("gateway_ref")
    if repeated and same_details and same_ref:
        return False
    task["state"] = state
    if details is None:
        task.pop("state_details", None)
    else:
        task["state_details"] = details
    if gateway_ref is not None:
        task["gateway_ref"] = gateway_ref
    history.append(history_entry(state, details, now))
    task["state_history"] = history
    return True


def report_state(task: Task, state: str, *, now: datetime, details: Any = None, gateway_ref: str | None = None) -> bool:
    """Apply what a gateway reports; a late report of an earlier state is only recorded, once (TSK-3)."""
    if not moves_back(task.get("state"), state):
        return set_state(task, state, now=now, details=details, gateway_ref=gateway_ref)
    history = objects(task.get("state_history"))
    if any(entry.get("state") == state and entry.get("state_details") == details for entry in history):
        return False
    history.append(history_entry(state, details, now))
    task["state_history"] = history
    return True


def moves_back(current: Any, reported: str) -> bool:
    return current in SETTLED and GATEWAY_ORDER.get(reported, 0) < GATEWAY_ORDER[current]


def history_entry(state: str, details: Any, now: datetime) -> Doc:
    entry = {"state": state, "timestamp": iso_of(now)}
    return entry if details is None else {"state": state, "state_details": details, "timestamp": iso_of(now)}


def due_ms(task: Mapping[str, Any], doc: Mapping[str, Any]) -> int | None:
    """When a task is due: its `due`, else its `timestamp`, else the document's `reported_date` (SMS-8)."""
    value = task.get("due") or task.get("timestamp") or doc.get("reported_date")
    moment = moment_of(value, local_zone())
    return None if moment is None else ms_of(moment)


def group(state: Any) -> str:
    """The group monitoring counts a state in: `scheduled`, `muted`, `delivered`, `failed`, else `due` (30 EP-MON-3)."""
    return GROUPS.get(state, "due") if isinstance(state, str) else "due"


def tasks_to_send(doc: Mapping[str, Any]) -> list[Task]:
    """The tasks of a document that are to be sent now, not at a date of their own."""
    return objects(doc.get("tasks"))


def tasks_of(doc: Mapping[str, Any]) -> list[Task]:
    """Every task of a document, those to send now first."""
    return tasks_to_send(doc) + objects(doc.get("scheduled_tasks"))


def messages_of(task: Mapping[str, Any]) -> list[Doc]:
    return objects(task.get("messages"))


def objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
