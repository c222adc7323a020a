"""Messages as rows, whatever way they went: automated replies, tasks, scheduled tasks, incoming ones (30 §2.4)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from core.couch.client import Database
from core.couch.rows import view_rows
from core.documents import Doc, subject_ids
from core.exports.asked import Asked, Export, csv_export, header, in_parts
from core.exports.cells import date_value
from core.exports.listing import Listing
from core.exports.paging import prepared
from core.hydration import hydrate
from core.messages import DuplicateGuard, MessageContext, Messenger
from core.sms_tasks import Task, messages_of, objects, tasks_to_send
from core.templates import InvalidTemplate, TemplateRules, render
from core.translations import Translations

log = logging.getLogger(__name__)

STATES = ("received", "scheduled", "pending", "sent", "cleared", "muted")
BEFORE_NAME = ("id", "patient_id", "reported_date", "from")
AFTER_NAME = ("type", "state", *STATES, "message_id", "sent_by", "to_phone", "content")
UNSORTED = 1000  # documents whose date is read from themselves, at once


async def export_messages(asked: Asked) -> Export:
    """CSV, the oldest document first and then by id (EP-EXP-36). As CHT does it without `contact_name` (DIV-6)."""
    translations = await asked.translations()
    listing = Listing()
    with listing.filled():
        await list_documents(asked.db, listing)
    return csv_export(write_messages(asked, listing, translations))


async def list_documents(db: Database, listing: Listing) -> None:
    """Every document that may have messages, by its date: all records, and whatever else has tasks.

    Most dates stand in views; the others are in the documents alone.
    """
    async for rows in view_rows(db, "medic-client", "reports_by_date"):
        await listing.add((row["id"], row["value"]) for row in rows)
    async for rows in view_rows(db, "medic-client", "messages_by_contact_date", reduce=False):
        await listing.add((row["id"], row["value"].get("date")) for row in rows)
    others = (
        view_rows(db, "medic-client", "data_records_by_type", key="message", reduce=False),
        view_rows(db, "medic", "messages_by_state"),
    )
    for source in others:
        async for rows in source:
            missing = await listing.without(row["id"] for row in rows)
            for start in range(0, len(missing), UNSORTED):
                docs = await db.get_many(missing[start : start + UNSORTED])
                await listing.add((each, doc.get("reported_date")) for each, doc in docs.items())


async def write_messages(asked: Asked, listing: Listing, translations: Translations) -> AsyncGenerator[bytes, None]:
    rows = MessageRows(asked, translations)

    async def made_of(docs: list[Doc]) -> list[str]:
        full = await hydrate(asked.db, [doc for doc in docs if has_messages(doc)], shared=True)
        unmade = [doc for doc in full if any(map(is_unmade, scheduled_tasks(doc)))]
        registrations = await registrations_of(asked, unmade)
        return [asked.options.csv.line(row) for doc in full for row in rows.of(doc, registrations)]

    try:
        name = () if asked.observed else ("contact_name",)
        yield header([*BEFORE_NAME, *name, *AFTER_NAME])
        async with aclosing(prepared(asked.db, listing, made_of)) as pages:
            async for lines in pages:
                for part in in_parts(lines, asked.options.rows):
                    yield part
    finally:
        listing.close()


def has_messages(doc: Doc) -> bool:
    return any(objects(doc.get(name)) for name in ("responses", "tasks", "scheduled_tasks")) or bool(
        isinstance(doc.get("sms_message"), dict) and doc["sms_message"]
    )


def scheduled_tasks(doc: Doc) -> list[Task]:
    return objects(doc.get("scheduled_tasks"))


def is_unmade(task: Task) -> bool:
    """Whether the text of a task is only made when it is due."""
    return not messages_of(task) and bool(task.get("message_key") or task.get("message"))


async def registrations_of(asked: Asked, docs: Iterable[Doc]) -> dict[str, list[Doc]]:
    """The valid registrations by each id of the subjects of these documents; one view read for all."""
    subjects = [subject for doc in docs for name in ("patient", "place") if (subject := doc.get(name))]
    ids = sorted({each for subject in subjects for each in subject_ids(subject)})
    found: dict[str, list[Doc]] = {}
    if ids:
        for row in await asked.db.view("medic-client", "reports_by_subject", keys=ids, include_docs=True):
            if row.get("doc"):
                found.setdefault(row["key"], []).append(row["doc"])
    return {each: asked.registrations_among(reports) for each, reports in found.items()}


@dataclass(frozen=True)
class Said:
    """One message: its text and number, and when it was in which state."""

    type: str
    state: Any
    times: Mapping[str, Any]
    message: Mapping[str, Any]
    sent_by: Any = None


class MessageRows:
    """The rows of hydrated documents, under one state of the settings and translations."""

    def __init__(self, asked: Asked, translations: Translations) -> None:
        self._readable = asked.options.readable
        self._named = not asked.observed
        self._locale = str(asked.settings.get("locale") or "en")
        self._rules = TemplateRules.from_settings(asked.settings, self._locale)
        self._translations = translations
        self._messenger = Messenger(asked.settings, translations, lambda: asked.now, DuplicateGuard(lambda: asked.now))

    def of(self, doc: Doc, registrations: Mapping[str, list[Doc]]) -> Iterator[list[Any]]:
        contact, patient = doc.get("contact"), doc.get("patient")
        about: list[Any] = [
            doc["_id"],
            doc.get("patient_id") or (patient.get("patient_id") if isinstance(patient, dict) else None),
            self._date(doc.get("reported_date")),
            doc.get("from"),
        ]
        if self._named:
            about.append(contact.get("name") if isinstance(contact, dict) else None)
        for said in self._said(doc, registrations):
            message = said.message
            yield [
                *about,
                said.type,
                said.state,
                *[self._date(said.times.get(state)) for state in STATES],
                message.get("uuid"),
                said.sent_by,
                message.get("to"),
                message.get("message"),
            ]

    def _date(self, value: Any) -> Any:
        return date_value(value, readable=self._readable)

    def _said(self, doc: Doc, registrations: Mapping[str, list[Doc]]) -> Iterator[Said]:
        """In the order of EP-EXP-31."""
        reported = doc.get("reported_date")
        for response in objects(doc.get("responses")):
            yield Said("Automated Reply", "sent", {"sent": reported}, response)
        for task in tasks_to_send(doc):
            yield from self._of_task(task, messages_of(task) or [{}])
        for task in scheduled_tasks(doc):
            made = [self._made_now(task, doc, registrations)] if is_unmade(task) else [{}]
            yield from self._of_task(task, messages_of(task) or made)
        incoming = doc.get("sms_message")
        if isinstance(incoming, dict) and incoming:
            message = {"uuid": incoming.get("uuid"), "message": incoming.get("message")}
            yield Said("Message", "received", {"received": reported}, message, sent_by=doc.get("from"))

    def _of_task(self, task: Task, messages: Sequence[Mapping[str, Any]]) -> Iterator[Said]:
        kind, times = self._type_of(task), times_of(task)
        for message in messages:
            yield Said(kind, task.get("state"), times, message)

    def _type_of(self, task: Task) -> str:
        key = task.get("translation_key")
        if key:
            text = self._translations.text(str(key), self._locale)
            try:
                return render(text, {"group": task.get("group")}, self._rules)
            except InvalidTemplate:
                return text
        return str(task.get("type") or "Task Message")

    def _made_now(self, task: Task, doc: Doc, registrations: Mapping[str, list[Doc]]) -> Mapping[str, Any]:
        """What the task would say now, without an id: it is not stored; empty where it cannot be made (EP-EXP-34)."""
        patient, place = doc.get("patient"), doc.get("place")
        context = MessageContext(
            patient=patient,
            registrations=registered(patient, registrations),
            place=place,
            place_registrations=registered(place, registrations),
        )
        config = {"translation_key": task.get("message_key"), "message": task.get("message")}
        try:
            made = self._messenger.generate(doc, config, task.get("recipient"), context)
        except Exception as error:  # one odd document must not end an export of all
            log.warning("a scheduled message of %s cannot be made: %s", doc["_id"], error)
            return {}
        return {"to": made.get("to"), "message": made.get("message")}


def registered(subject: Doc | None, registrations: Mapping[str, list[Doc]]) -> list[Doc]:
    found = [doc for each in (subject_ids(subject) if subject else ()) for doc in registrations.get(each, ())]
    return list({doc["_id"]: doc for doc in found}.values())


def times_of(task: Task) -> dict[str, Any]:
    """When the task was in each state, as far as it tells (EP-EXP-33)."""
    history = {str(entry.get("state")): entry.get("timestamp") for entry in objects(task.get("state_history"))}
    times = {state: history[state] for state in STATES if history.get(state)}
    state = task.get("state")
    if isinstance(state, str) and task.get("timestamp"):
        times.setdefault(state, task["timestamp"])
    if task.get("due"):
        times["scheduled"] = task["due"]
    return times
