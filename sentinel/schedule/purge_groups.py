"""Which contact a report or message belongs to, and the groups that the purge function is asked about (40 PRG-5)."""

from __future__ import annotations

from collections.abc import Sequence

from core.documents import Doc, id_of, subject_ids
from sentinel.schedule.purge_function import Group
from sentinel.transitions.conditions import fields_of

SUBJECT_FIELDS = ("patient_id", "place_id", "patient_uuid")
UNKNOWN_SUBJECT = frozenset({"registration_not_found", "invalid_patient_id"})


def grouped(contacts: Sequence[Doc], records: dict[str, Doc]) -> list[Group]:
    """Each contact with the reports about it and its messages; a report about nobody is alone (PRG-5)."""
    groups = [Group(contact) for contact in contacts]
    by_subject = {each: group for group in groups for each in subject_ids(group.contact)}
    for record in records.values():
        if record.get("form"):
            group = next((by_subject[each] for each in subjects_of(record) if each in by_subject), None)
            if group is None:
                groups.append(alone(record))
            else:
                group.reports.append(record)
        else:
            group = by_subject.get(partner_of(record) or "")
            if group is not None:
                group.messages.append(record)
    return groups


def subjects_of(report: Doc) -> list[str]:
    values = [*(report.get(name) for name in SUBJECT_FIELDS), *(fields_of(report).get(name) for name in SUBJECT_FIELDS)]
    return [str(value) for value in values if value and isinstance(value, str | int)]


def partner_of(message: Doc) -> str | None:
    """The contact a message came from or goes to."""
    contact = message.get("contact")
    if not contact and message.get("kujua_message"):
        tasks = message.get("tasks")
        first = tasks[0] if isinstance(tasks, list) and tasks and isinstance(tasks[0], dict) else {}
        messages = first.get("messages")
        contact = messages[0].get("contact") if isinstance(messages, list) and messages else None
    found = contact.get("_id") if isinstance(contact, dict) else None
    return found if isinstance(found, str) else None


def alone(record: Doc) -> Group:
    return Group({}, [record], []) if record.get("form") else Group({}, [], [record])


def key_of(record: Doc) -> str | None:
    """The id or short code of whom a record belongs to, as the view `records_by_subject` has it; None for nobody."""
    fields, sender = fields_of(record), id_of(record.get("contact") or {})
    found: object = None
    if record.get("form"):
        named = (record.get("patient_id"), fields.get("patient_id"), record.get("place_id"), fields.get("place_id"))
        found = next((each for each in (*named, fields.get("patient_uuid")) if each), sender)
        if sender and names_nobody(record):
            found = sender
    elif record.get("sms_message"):
        found = sender
    elif record.get("kujua_message"):
        found = partner_of(record)
    return str(found) if found and isinstance(found, str | int | float) and not isinstance(found, bool) else None


def names_nobody(report: Doc) -> bool:
    errors = report.get("errors")
    return any(
        isinstance(error, dict) and error.get("code") in UNKNOWN_SUBJECT
        for error in (errors if isinstance(errors, list) else ())
    )
