"""Put the messages of a schedule into a report, and clear those that are no longer wanted (40 §8, TR-REG-18, 19)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from core.dates import iso_of, moment_of
from core.documents import Doc
from core.lineage import lineage
from core.messages import MessageContext
from core.schedules import Planned, plan
from core.sms_tasks import Task, objects, set_state, tasks_of
from core.templates import InvalidTemplate
from sentinel.transitions.change import Change, copied
from sentinel.transitions.tools import Tools

OPEN_STATES = frozenset({"scheduled", "pending", "muted"})


def assign_schedule(doc: Doc, schedule: Mapping[str, Any], context: MessageContext, tools: Tools) -> None:
    """Append a task for each message still to come, unless this schedule was assigned before (SCH-6..9)."""
    tasks = objects(doc.get("scheduled_tasks"))
    if any(task.get("type") == schedule.get("name") for task in tasks):
        return
    planned = plan(
        doc, schedule, now=tools.now(), has_text=lambda message: bool(tools.messenger.source_text(doc, message))
    )
    state = first_state(doc, context, tools)
    try:
        fresh = [task_of(doc, schedule, each, state, context, tools) for each in planned]
    except InvalidTemplate as error:
        tools.messenger.add_error(doc, {"code": "parse_error", "message": f"{error}: {schedule.get('name')}"}, context)
        return
    if fresh:
        doc["scheduled_tasks"] = [*tasks, *fresh]


def task_of(
    doc: Doc, schedule: Mapping[str, Any], planned: Planned, state: str, context: MessageContext, tools: Tools
) -> Task:
    """With a translation the text is made when it is due, from what is known then; without, it is made now (SCH-6)."""
    message = planned.message
    recipient = message.get("recipient") or "reporting_unit"
    task: Task = {"due": iso_of(planned.due), "group": message.get("group"), "type": schedule.get("name")}
    if schedule.get("translation_key"):
        task["translation_key"] = schedule["translation_key"]
    task["recipient"] = recipient
    if message.get("translation_key"):
        task["message_key"] = message["translation_key"]
    else:
        task["messages"] = [tools.messenger.generate(doc, message, recipient, context)]
    set_state(task, state, now=tools.now())
    return task


def first_state(doc: Doc, context: MessageContext, tools: Tools) -> str:
    """`denied` for a sender nothing is sent to, `muted` under a muted contact, else `scheduled` (SCH-7)."""
    if tools.messenger.is_denied(doc.get("from")):
        return "denied"
    subject = context.patient or context.place
    return "muted" if any(each.get("muted") for each in lineage(subject)) else "scheduled"


def clear_tasks(
    change: Change,
    registrations: Iterable[Doc],
    types: Collection[str],
    now: datetime,
    horizon: datetime | None = None,
) -> None:
    """Set the open tasks of those types to `cleared` in every registration but the report itself (TR-PAT-6).

    With a horizon only the groups of which some task is due by then, but those whole.
    """
    for registration in registrations:
        if registration["_id"] == change.id:
            continue
        doc = change.others.get(registration["_id"]) or copied(registration)
        tasks = [task for task in tasks_of(doc) if task.get("type") in types]
        if horizon is not None:
            reached = {group_of(task) for task in tasks if is_due_by(task, horizon)}
            tasks = [task for task in tasks if group_of(task) in reached]
        cleared = [task for task in tasks if task.get("state") in OPEN_STATES and set_state(task, "cleared", now=now)]
        for task in cleared:
            task["cleared_by"] = change.id
        if cleared:
            change.others[doc["_id"]] = doc


def group_of(task: Task) -> tuple[str, Any]:
    return str(task.get("group")), task.get("type")


def is_due_by(task: Task, horizon: datetime) -> bool:
    due = moment_of(task.get("due"), horizon.tzinfo) if horizon.tzinfo else None
    return due is not None and due <= horizon
