"""Act on a registration: check it, create its contact, its dates and its schedules, and answer (40 §5.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from dateutil.relativedelta import relativedelta

from core.dates import moment_of
from core.documents import ContactTypes, Doc
from core.lineage import is_record
from core.loose import text_of
from core.schedules import schedules_by_name
from core.settings import Settings
from core.sms_tasks import objects
from core.validation import looks_around
from sentinel.transitions.answers import (
    add_messages,
    context_of,
    evaluate_conditions,
    is_invalid,
    messages_for,
    reject,
)
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import fields_of, form_key, is_valid_submission, parent_of
from sentinel.transitions.created_contacts import Rejected
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.pregnancy_and_birth import add_birth_date, add_expected_date
from sentinel.transitions.registration_config import Event, Registration, read_registrations
from sentinel.transitions.scheduled_messages import assign_schedule, clear_tasks
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class RegistrationTransition:
    """Runs once in the life of a report whose form is one of `settings.registrations`."""

    name: ClassVar[str] = "registration"
    settings: Settings
    tools: Tools
    registrations: Mapping[str, Registration]
    schedules: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> RegistrationTransition:
        # Several entries may name one form: the first is used.
        by_form = {each.form: each for each in reversed(read_registrations(settings)) if each.form}
        return cls(settings, tools, by_form, schedules_by_name(settings))

    def filter(self, change: Change) -> bool:
        doc = change.doc
        return (
            is_record(doc)
            and self.registration_of(doc) is not None
            and not change.has_run(self.name)
            and is_valid_submission(doc, self.settings)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        registration = self.registration_of(change.doc)
        if registration is None:
            return False
        if await is_invalid(change, registration, self.name, lookups, self.tools):
            return True
        if not subjects_are_known(change.doc, self.settings.contact_types):
            await reject(change, registration.config, self.name, "registration_not_found", lookups, self.tools)
            return True
        for event in await passing(registration.events, change):
            try:
                await self.trigger(event, change, lookups)
            except Rejected as rejected:
                await reject(
                    change, registration.config, self.name, rejected.event, lookups, self.tools, **rejected.names
                )
        await self.add_messages(change, registration, lookups)
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        """Ids that the report brings itself; and all reports that are compared with others, one after the other."""
        registration = self.registration_of(doc)
        if registration is None:
            return
        for field in registration.provided_id_fields:
            if value := text_of(fields_of(doc).get(field)).strip():
                yield value
        if looks_around(registration.rules):
            yield "compared with other reports"

    def registration_of(self, doc: Doc) -> Registration | None:
        form = form_key(doc.get("form"))
        return self.registrations.get(form) if form else None

    async def trigger(self, event: Event, change: Change, lookups: Lookups) -> None:
        doc = change.doc
        if event.contact is not None:
            await event.contact.create(change, lookups, self.settings, self.tools)
        elif event.trigger == "add_case":
            await add_case(doc, lookups)
        elif event.trigger == "add_expected_date":
            add_expected_date(doc, self.tools.zone)
        elif event.trigger == "add_birth_date":
            add_birth_date(doc, self.tools.zone)
        elif event.trigger == "assign_schedule":
            context = await context_of(change, lookups)
            for name in event.names:
                if name in self.schedules:
                    assign_schedule(doc, self.schedules[name], context, self.tools)
        elif event.trigger == "clear_schedule":
            context = await context_of(change, lookups)
            case_id = doc.get("case_id") or fields_of(doc).get("case_id")
            of_case = await lookups.registrations([str(case_id)]) if case_id else []
            clear_tasks(
                change, [*context.registrations, *context.place_registrations, *of_case], event.names, self.tools.now()
            )

    async def add_messages(self, change: Change, registration: Registration, lookups: Lookups) -> None:
        """The messages for an accepted report (TR-REG-7); they go out even when a trigger was rejected."""
        wanted = messages_for(registration.config, (None, "report_accepted"))
        if wanted:
            next_msg = {"next_msg": until_next(change.doc, self.tools.now())}
            await add_messages(change, wanted, self.name, await context_of(change, lookups, **next_msg), self.tools)


async def add_case(doc: Doc, lookups: Lookups) -> None:
    """Give the report a case id, and its fields the place of the sender (TR-REG-15)."""
    if not doc.get("case_id"):
        doc["case_id"] = await lookups.new_shortcode(doc["_id"])
    if (parent := parent_of(doc.get("contact"))) is not None:
        doc["fields"] = {**fields_of(doc), "place_uuid": parent["_id"]}


def subjects_are_known(doc: Doc, types: ContactTypes) -> bool:
    """Whether the patient and place the report names exist and are what they are named as (TR-REG-5)."""
    fields = fields_of(doc)
    patient, place = doc.get("patient"), doc.get("place")
    if fields.get("patient_id") and not (isinstance(patient, dict) and types.is_person(patient)):
        return False
    return not fields.get("place_id") or (isinstance(place, dict) and types.is_place(place))


async def passing(events: Sequence[Event], change: Change) -> list[Event]:
    """The events whose expression holds; all are judged before the first is carried out (TR-REG-6)."""
    merged = {**fields_of(change.doc), **change.doc}
    holds = await evaluate_conditions([event.bool_expr for event in events], merged, change.id)
    return [event for event, is_wanted in zip(events, holds, strict=True) if is_wanted]


def until_next(doc: Doc, now: datetime) -> dict[str, int]:
    """The time until the first scheduled task, whole in each unit; empty when there is none (TR-REG-7)."""
    tasks = objects(doc.get("scheduled_tasks"))
    zone = now.tzinfo
    moments = [moment_of(task.get("due"), zone) for task in tasks] if zone else []
    dues = [moment for moment in moments if moment is not None]
    if not dues:
        return {}
    due = min(dues)
    minutes = int((due - now).total_seconds() / 60)
    span = relativedelta(due, now)
    return {
        "minutes": minutes,
        "hours": int(minutes / 60),
        "days": int(minutes / 1440),
        "weeks": int(minutes / 10080),
        "months": span.years * 12 + span.months,
        "years": span.years,
    }
