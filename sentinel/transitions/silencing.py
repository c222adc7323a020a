"""Stop the messages that a report answers, and tell which message it answered (40 TR-PAT-5..7)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from core.dates import Duration, add, moment_of, parse_duration
from core.documents import Doc
from core.sms_tasks import Task
from sentinel.transitions.change import Change, copied
from sentinel.transitions.scheduled_messages import clear_tasks, group_of
from sentinel.transitions.tools import Tools

log = logging.getLogger(__name__)

ANSWERABLE = frozenset({"sent", "delivered"})


@dataclass(frozen=True)
class Silence:
    """The task types that a form silences, none for no silencing; `span` None silences them however far away."""

    types: tuple[str, ...] = ()
    span: Duration | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Silence:
        """`silence_type` is a list between commas. A `silence_for` that is no duration silences nothing."""
        types = tuple(each.strip() for each in str(config.get("silence_type") or "").split(",") if each.strip())
        text = config.get("silence_for")
        span = parse_duration(text)
        if types and text and span is None:
            log.warning("silence_for of form %s: %r is not a duration", config.get("form"), text)
            return cls()
        return cls(types, span)


def silence(change: Change, registrations: Iterable[Doc], wanted: Silence, tools: Tools) -> None:
    """Clear the tasks of these registrations that the report makes needless (TR-PAT-5, TR-PAT-6)."""
    if not wanted.types:
        return
    horizon = None
    if wanted.span is not None:
        reported = moment_of(change.doc.get("reported_date"), tools.zone)
        horizon = None if reported is None else add(reported, wanted.span)
        if horizon is None:
            return
    clear_tasks(change, registrations, wanted.types, tools.now(), horizon)


def link_response(change: Change, registrations: Iterable[Doc], wanted: Silence, tools: Tools) -> None:
    """Append the report to `responded_to_by` of the message it most likely answers (TR-PAT-7)."""
    reported = moment_of(change.doc.get("reported_date"), tools.zone)
    if reported is None:
        return
    for registration in registrations:
        if registration["_id"] == change.id:
            continue
        doc = change.others.get(registration["_id"]) or copied(registration)
        task = answered(by_due(doc, tools.zone), reported, wanted)
        if task is not None:
            known = task.get("responded_to_by")
            answers = known if isinstance(known, list) else []
            if change.id not in answers:
                task["responded_to_by"] = [*answers, change.id]
                change.others[doc["_id"]] = doc
            return


def by_due(doc: Doc, zone: tzinfo) -> list[tuple[datetime, Task]]:
    scheduled = doc.get("scheduled_tasks")
    tasks = [each for each in scheduled if isinstance(each, dict)] if isinstance(scheduled, list) else []
    dues = [(moment_of(task.get("due"), zone), task) for task in tasks]
    return sorted([(due, task) for due, task in dues if due is not None], key=lambda each: each[0])


def answered(tasks: list[tuple[datetime, Task]], reported: datetime, wanted: Silence) -> Task | None:
    """The latest message sent before the report, unless the report silenced the group after it first."""
    if not tasks or tasks[0][0] > reported:
        return None
    for index in range(len(tasks) - 1, -1, -1):
        due, task = tasks[index]
        reached = due if wanted.span is None else add(due, wanted.span, sign=-1)
        begins_group = index > 0 and group_of(tasks[index - 1][1])[0] != group_of(task)[0]
        if reached is not None and reached < reported and task.get("state") == "cleared" and begins_group:
            return None
        if due < reported and task.get("state") in ANSWERABLE:
            return task
    return None
