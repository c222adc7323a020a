"""What transitions ask of a report: its form, its validity, the registrations of its subject (40 TRN-13..16)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.documents import Doc
from core.settings import Settings


def fields_of(doc: Mapping[str, Any]) -> dict[str, Any]:
    fields = doc.get("fields")
    return fields if isinstance(fields, dict) else {}


def form_key(form: Any) -> str | None:
    """A form code without case and surrounding signs, for TRN-13; None when there is none."""
    if not isinstance(form, str):
        return None
    text = form.lower()
    start = next((at for at, char in enumerate(text) if char.isalnum()), len(text))
    end = next((at for at, char in enumerate(reversed(text)) if char.isalnum()), 0)
    return text[start : len(text) - end] or None


def is_xml_report(doc: Doc) -> bool:
    return doc.get("type") == "data_record" and doc.get("content_type") == "xml"


def is_public(definition: Any) -> bool:
    return isinstance(definition, dict) and bool(definition.get("public_form"))


def is_valid_submission(doc: Doc, settings: Settings) -> bool:
    """An XML report, or a known JSON form that is public or has a known sender (TRN-14). `doc` is hydrated."""
    if is_xml_report(doc):
        return True
    definition = form_definition(doc, settings)
    return definition is not None and (is_public(definition) or has_known_sender(doc))


def has_known_sender(doc: Doc) -> bool:
    contact = doc.get("contact")
    if not isinstance(contact, dict):
        return False
    parent = contact.get("parent")
    primary = parent.get("contact") if isinstance(parent, dict) else None
    return bool(contact.get("phone") or (isinstance(primary, dict) and primary.get("phone")))


def parent_of(contact: Any) -> Doc | None:
    """The place above a contact; None when there is none, or no contact."""
    parent = contact.get("parent") if isinstance(contact, dict) else None
    return parent if isinstance(parent, dict) and parent.get("_id") else None


def form_definition(doc: Doc, settings: Settings) -> Mapping[str, Any] | None:
    """The JSON form definition of a report, None when it is not one of `settings.forms`."""
    form = doc.get("form")
    definition = settings.forms.get(form) if isinstance(form, str) else None
    return definition if isinstance(definition, dict) else None


def valid_registrations(reports: Iterable[Doc], settings: Settings) -> list[Doc]:
    """The reports that are registrations by these settings, each once (TRN-15, TRN-16)."""
    forms = {form_key(entry.get("form")) for entry in settings.entries("registrations")} - {None}
    unique = {doc["_id"]: doc for doc in reports}
    return [doc for doc in unique.values() if is_valid_registration(doc, settings, forms)]


def is_valid_registration(doc: Doc, settings: Settings, forms: set[str | None]) -> bool:
    if doc.get("type") != "data_record" or doc.get("errors") or form_key(doc.get("form")) not in forms:
        return False
    definition = form_definition(doc, settings)
    return is_xml_report(doc) or (definition is not None and (is_public(definition) or bool(doc.get("contact"))))
