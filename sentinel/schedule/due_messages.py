"""Make scheduled messages pending when they are due (40 JOB-DUE)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.couch.client import Database
from core.couch.errors import from_row
from core.dates import ms_of
from core.documents import Doc, subject_ids
from core.errors import Conflict
from core.hydration import hydrate
from core.lineage import minify
from core.messages import MessageContext
from core.settings import Settings
from core.sms_tasks import Task, due_ms, messages_of, objects, set_state
from core.templates import InvalidTemplate
from sentinel.transitions.change import copied
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.run import concerns_all, write
from sentinel.transitions.tools import Tools

log = logging.getLogger(__name__)

REACH = timedelta(days=7)
PAGE_ROWS = 1000
MOST_OVERDUE = 1000


@dataclass
class Candidate:
    """A document with due tasks, hydrated for its messages; `small` is what is to be stored, if it changed."""

    doc: Doc
    small: Doc | None = None


async def send_due(db: Database, tools: Tools, may_write: Callable[[], None] = lambda: None) -> int:
    """Make every message due in the last seven days pending; the number of documents saved.

    Does nothing outside the sending hours (JOB-DUE-1). A document that somebody else writes at the same moment is
    left for the next run.
    """
    now = tools.now()
    if not is_sending_time(tools.messenger.settings, now):
        return 0
    first_ms, last_ms = ms_of(now - REACH), ms_of(now)
    saved = 0
    async for ids in due_documents(db, first_ms, last_ms):
        saved += await send_page(db, ids, tools, (first_ms, last_ms), may_write)
    if saved:
        log.info("messages of %d documents became pending", saved)
    return saved


def is_sending_time(settings: Settings, now: datetime) -> bool:
    """Whether local time is within the morning and evening of the settings, both included (JOB-DUE-1)."""
    morning = (number(settings, "schedule_morning_hours"), number(settings, "schedule_morning_minutes"))
    evening = (number(settings, "schedule_evening_hours") or 23, number(settings, "schedule_evening_minutes"))
    return morning <= (now.hour, now.minute) <= evening


def number(settings: Settings, name: str) -> int:
    text = str(settings.get(name) or 0).strip()
    return int(text) if text.isascii() and text.isdigit() else 0


async def due_documents(db: Database, first_ms: int, last_ms: int) -> AsyncIterator[list[str]]:
    """Ids of documents with a scheduled task due in that time, page by page, each once (JOB-DUE-2).

    Reading goes on behind the last row's key and document; the pages grow when one document fills a whole one.
    """
    start: dict[str, Any] = {"startkey": ["scheduled", first_ms]}
    limit, seen = PAGE_ROWS, set[str]()
    while True:
        rows = await db.view("medic", "messages_by_state", endkey=["scheduled", last_ms], limit=limit, **start)
        fresh = [row["id"] for row in rows if row["id"] not in seen]
        if fresh:
            ids = list(dict.fromkeys(fresh))
            seen.update(ids)
            yield ids
        if len(rows) < limit:
            return
        last = {"startkey": rows[-1]["key"], "startkey_docid": rows[-1]["id"]}
        limit = limit * 2 if last == start else PAGE_ROWS
        start = last


async def send_page(
    db: Database, ids: Sequence[str], tools: Tools, window: tuple[int, int], may_write: Callable[[], None]
) -> int:
    stored = list((await db.get_many(ids)).values())
    docs = await hydrate(db, [copied(doc) for doc in stored])
    candidates = [Candidate(doc) for doc in docs]
    lookups = Lookups(db, tools.messenger.settings)
    failures = await lookups.rounds.run(send(each, lookups, tools, window) for each in candidates)
    for each, failure in zip(candidates, failures, strict=True):
        if failure is not None:
            if not isinstance(failure, Exception) or concerns_all(failure):
                raise failure
            log.error("due messages of %s failed", each.doc["_id"], exc_info=failure)
    changed = [each.small for each in candidates if each.small is not None]
    may_write()
    saved = 0
    for doc, row in zip(changed, await write(db, changed), strict=True):
        problem = from_row(row)
        saved += problem is None
        if problem is not None and not isinstance(problem, Conflict):
            log.error("due messages of %s could not be saved: %s", doc["_id"], problem.message)
    return saved


async def send(candidate: Candidate, lookups: Lookups, tools: Tools, window: tuple[int, int]) -> None:
    """Only tasks that are still scheduled and due themselves, whatever else the document holds (JOB-DUE-6)."""
    doc = candidate.doc
    due = [
        task
        for name in ("tasks", "scheduled_tasks")
        for task in objects(doc.get(name))
        if task.get("state") == "scheduled" and is_due(task, doc, window)
    ]
    if not due:
        return
    patient, place = doc.get("patient"), doc.get("place")
    context = MessageContext(
        patient=patient,
        registrations=await lookups.registrations(subject_ids(patient)) if patient else (),
        place=place,
        place_registrations=await lookups.registrations(subject_ids(place)) if place else (),
    )
    released = [release(task, doc, context, tools) for task in due]
    if any(released):
        candidate.small = minify(doc)


def is_due(task: Task, doc: Doc, window: tuple[int, int]) -> bool:
    due = due_ms(task, doc)
    return due is not None and window[0] <= due <= window[1]


def release(task: Task, doc: Doc, context: MessageContext, tools: Tools) -> bool:
    """Set the task to `pending` if it has a text, making it where it was left for now (JOB-DUE-3, JOB-DUE-4)."""
    settings, now = tools.messenger.settings, tools.now()
    if not messages_of(task):
        message = message_of(task, doc, context, tools)
        if message is not None:
            task["messages"] = [message]
    if any(str(message.get("message") or "").strip() for message in messages_of(task)):
        return set_state(task, "pending", now=now)
    if settings.section("sms").get("clear_failing_schedules"):
        return set_state(task, "cleared", now=now)
    return False


def message_of(task: Task, doc: Doc, context: MessageContext, tools: Tools) -> Doc | None:
    """The message of a task by its key or text; None when it cannot be made yet, which the next run tries again."""
    config = {"translation_key": task.get("message_key"), "message": task.get("message")}
    try:
        message = tools.messenger.generate(doc, config, task.get("recipient"), context)
    except InvalidTemplate as error:
        log.warning("the message %s of %s cannot be made: %s", task.get("message_key"), doc["_id"], error)
        return None
    return None if message.get("error") else message


async def count_overdue(db: Database, now: datetime) -> int:
    """How many tasks stay scheduled though they were due more than seven days ago, up to 1000 (JOB-DUE-5)."""
    rows = await db.view(
        "medic",
        "messages_by_state",
        startkey=["scheduled"],
        endkey=["scheduled", ms_of(now - REACH)],
        limit=MOST_OVERDUE,
    )
    return len(rows)
