"""Ask places for a report at the times the settings say, once for each place and time (40 JOB-REM)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from core.couch.client import Database
from core.couch.errors import from_row
from core.dates import Duration, add, iso_of, moment_of, ms_of, parse_duration
from core.documents import ContactTypes, Doc
from core.errors import Conflict, DomainError, InvalidInput
from core.hydration import hydrate
from core.lineage import minify_contact
from core.messages import MessageContext
from core.settings import Settings
from core.sms_tasks import objects
from core.timetables import Timetable
from sentinel.transitions.derived import once
from sentinel.transitions.tools import Tools
from sentinel.transitions.update_scheduled_reports import leaf_place_types

log = logging.getLogger(__name__)

PAGE_ROWS = 1000
DAY = timedelta(days=1)
LOG_PREFIX = "reminderlog:"


@dataclass(frozen=True)
class Reminder:
    """One entry of `settings.reminders`. `mute_for` is how long a report of the form silences it."""

    form: str
    timetable: Timetable
    types: tuple[str, ...]
    mute_for: Duration | None
    config: Mapping[str, Any]


async def send_reminders(db: Database, tools: Tools, may_write: Callable[[], None] = lambda: None) -> int:
    """Write the reminders that are due now; their number. Safe to repeat: each has an id of its own (JOB-REM-4).

    Raises what one entry of the settings failed with when the others have been seen to.
    """
    written, failures = 0, list[DomainError]()
    for reminder in read_reminders(tools.messenger.settings):
        try:
            written += await send_one(db, reminder, tools, may_write)
        except DomainError as error:
            if error.status >= 500:
                raise
            log.error("reminders of %s: %s", reminder.form, error.message)
            failures.append(error)
    if failures:
        raise failures[0]
    return written


async def send_one(db: Database, reminder: Reminder, tools: Tools, may_write: Callable[[], None]) -> int:
    """Those of one entry of the settings, for its latest occurrence if that is new (JOB-REM-2)."""
    sentinel_db, now, count = db.couch.db(f"{db.name}-sentinel"), tools.now(), 0
    occurrence = reminder.timetable.latest(await window_start(sentinel_db, reminder.form, now), now)
    if occurrence is None:
        return 0
    async for places in places_of(db, reminder.types):
        count += await remind(db, reminder, occurrence, places, tools, may_write)
    may_write()
    await note_run(sentinel_db, reminder, occurrence, now, tools.now())
    log.info("%d reminders of %s for %s", count, reminder.form, occurrence)
    return count


def read_reminders(settings: Settings) -> list[Reminder]:
    """The entries that can be read; the others are left out with a warning (JOB-REM-1)."""
    found = []
    for index, entry in enumerate(settings.entries("reminders")):
        try:
            found.append(read_reminder(entry, settings.contact_types))
        except InvalidInput as error:
            log.warning("reminders[%d]: %s", index, error.message)
    return found


def read_reminder(entry: Mapping[str, Any], types: ContactTypes) -> Reminder:
    form = entry.get("form")
    if not isinstance(form, str) or not form.strip():
        raise InvalidInput("form: is required")
    if not (entry.get("translation_key") or entry.get("message")):
        raise InvalidInput("translation_key or message: is required")
    timetable = Timetable.from_config(entry)
    if timetable is None:
        raise InvalidInput("text_expression or cron: is required")
    wanted = entry.get("contact_types") or sorted(leaf_place_types(types))
    for each in wanted if isinstance(wanted, list) else [wanted]:
        if types.get(str(each)) is None:
            raise InvalidInput(f"contact_types: {each!r} is not one of the settings' contact types")
    return Reminder(form, timetable, tuple(map(str, wanted)), parse_duration(entry.get("mute_after_form_for")), entry)


async def window_start(sentinel_db: Database, form: str, now: datetime) -> datetime:
    """The last run of the last 24 hours; without one a day before the beginning of this hour (JOB-REM-2)."""
    prefix = f"{LOG_PREFIX}{form}:"
    rows = await sentinel_db.all_docs(
        startkey=f"{prefix}{ms_of(now)}", endkey=f"{prefix}{ms_of(now - DAY)}", descending=True, limit=1
    )
    for row in rows:
        last = moment_of(row["id"].removeprefix(prefix), now.tzinfo) if now.tzinfo else None
        if last is not None:
            return last
    return now.replace(minute=0, second=0, microsecond=0) - DAY


async def places_of(db: Database, types: Sequence[str]) -> AsyncIterator[list[Doc]]:
    """The places of these types, page by page (JOB-REM-3)."""
    for type_id in types:
        start: dict[str, Any] = {"startkey": [type_id]}
        while True:
            rows = await db.view(
                "medic-client",
                "contacts_by_type",
                **start,
                endkey=[type_id],
                include_docs=True,
                reduce=False,
                limit=PAGE_ROWS,
            )
            if rows:
                yield [row["doc"] for row in rows if row.get("doc")]
            if len(rows) < PAGE_ROWS:
                break
            start = {"startkey": [type_id], "startkey_docid": rows[-1]["id"], "skip": 1}


async def remind(
    db: Database,
    reminder: Reminder,
    occurrence: datetime,
    places: Sequence[Doc],
    tools: Tools,
    may_write: Callable[[], None],
) -> int:
    """The reminders of one page of places, in one write. Raises the first failure of it (JOB-REM-5)."""
    candidates = [place for place in places if has_somebody(place) and not was_reminded(place, reminder, occurrence)]
    ids = [reminder_id(reminder, occurrence, place) for place in candidates]
    existing = {row["id"] for row in await db.all_docs(ids) if "value" in row} if ids else set()
    candidates = [place for place in candidates if reminder_id(reminder, occurrence, place) not in existing]
    candidates = await without_reported(db, reminder, occurrence, candidates)
    docs = [write_reminder(reminder, occurrence, place, tools) for place in await hydrate(db, candidates)]
    may_write()
    for row in await db.bulk_docs(docs):
        failure = from_row(row)
        if failure is not None and not isinstance(failure, Conflict):
            raise failure
    return len(docs)


def has_somebody(place: Doc) -> bool:
    return bool(place.get("contact")) and not place.get("muted")


def was_reminded(place: Doc, reminder: Reminder, occurrence: datetime) -> bool:
    """Whether an old release wrote this reminder into the place itself."""
    when = iso_of(occurrence)
    return any(
        task.get("form") == reminder.form and task.get("timestamp") == when and task.get("type") == "reminder"
        for task in objects(place.get("tasks"))
    )


async def without_reported(db: Database, reminder: Reminder, occurrence: datetime, places: Sequence[Doc]) -> list[Doc]:
    """Leave out the places whose last report of the form is recent enough."""
    if reminder.mute_for is None or not places:
        return list(places)
    keys = [[reminder.form, place["_id"]] for place in places]
    rows = await db.view("medic", "reports_by_form_and_parent", keys=keys, group=True)
    latest = {row["key"][1]: moment_of(row["value"].get("max"), occurrence.tzinfo) for row in rows if occurrence.tzinfo}

    def is_silent(place: Doc) -> bool:
        reported = latest.get(place["_id"])
        until = None if reported is None or reminder.mute_for is None else add(reported, reminder.mute_for)
        return until is not None and until >= occurrence

    return [place for place in places if not is_silent(place)]


def reminder_id(reminder: Reminder, occurrence: datetime, place: Doc) -> str:
    return f"reminder:{reminder.form}:{ms_of(occurrence)}:{place['_id']}"


def write_reminder(reminder: Reminder, occurrence: datetime, place: Doc, tools: Tools) -> Doc:
    """The document with its one message, to the place's contact. `place` is hydrated (JOB-REM-4)."""
    contact = place.get("contact")
    contact = contact if isinstance(contact, dict) else {"_id": contact}
    year, week, _ = occurrence.isocalendar()
    doc: Doc = {
        "_id": reminder_id(reminder, occurrence, place),
        "type": "reminder",
        "contact": {**contact, "parent": place},
        "place": {"_id": place["_id"], "parent": minify_contact(place).get("parent")},
        "form": reminder.form,
        "reported_date": ms_of(tools.now()),
        "tasks": [],
    }
    context = MessageContext(patient=place, template_context={"week": week, "year": year})
    once(
        doc,
        lambda: tools.messenger.add_message(doc, reminder.config, "reporting_unit", context),
        "reminder",
    )
    for task in objects(doc["tasks"]):
        task |= {"form": reminder.form, "timestamp": iso_of(occurrence), "type": "reminder"}
    return {**doc, "contact": minify_contact(doc["contact"])}


async def note_run(
    sentinel_db: Database, reminder: Reminder, occurrence: datetime, begun: datetime, ended: datetime
) -> None:
    entry: Doc = {
        "type": "reminderlog",
        "reminder": dict(reminder.config),
        "duration": ms_of(ended) - ms_of(begun),
        "reported_date": ms_of(ended),
    }
    log_id = f"{LOG_PREFIX}{reminder.form}:{ms_of(occurrence)}"
    await sentinel_db.update(log_id, lambda doc: {**(doc or {}), **entry})
