"""Who a message goes to, and the names its template and its recipient may use (40 §6.3)."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from core.couch.client import Doc
from core.documents import contact_type_id
from core.lineage import ancestors, lineage, nearest
from core.phones import has_country_code
from core.settings import Settings

ALIASES: Mapping[str, str] = {
    "clinic": "clinic",
    "health_center": "health_center",
    "district": "district_hospital",
    "parent": "health_center",
    "grandparent": "district_hospital",
}
PLACE_RECIPIENTS: Mapping[str, str] = {
    "clinic": "clinic",
    "health_center": "health_center",
    "district": "district_hospital",
}
# How many places above the subject the primary contact of `parent` and `grandparent` is.
LEVELS_ABOVE: Mapping[str, int] = {"parent": 2, "grandparent": 3}


@dataclass(frozen=True)
class MessageContext:
    """What is known beside the report: its hydrated subjects, their registrations and extra template values."""

    patient: Doc | None = None
    registrations: Sequence[Doc] = ()
    place: Doc | None = None
    place_registrations: Sequence[Doc] = ()
    template_context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subjects(self) -> list[Doc]:
        return [each for each in (self.patient, self.place) if each]


def resolution_view(doc: Doc, context: MessageContext) -> Mapping[str, Any]:
    """Every name a template may use; where several sources have one the first wins (RCP-1)."""
    named = {"patient": context.patient, "place": context.place}
    layers: list[Doc] = [{name: subject for name, subject in named.items() if subject}]
    layers.append(dict(context.template_context))
    for name, subject in named.items():
        if subject:
            layers += [aliases(subject), subject, {f"{name}_name": subject.get("name")}]
    fields = doc.get("fields")
    layers += [aliases(doc), fields if isinstance(fields, dict) else {}, doc]
    layers += [*context.registrations[:1], *context.place_registrations[:1]]
    return ChainMap(*layers)


def aliases(doc: Doc) -> Doc:
    """`clinic`, `health_center`... as the nearest place of that type above a contact, or above a report's sender."""
    by_type: dict[str | None, Doc] = {}
    for each in lineage(start_of_lineage(doc)):
        by_type.setdefault(contact_type_id(each), each)
    return {alias: by_type[type_id] for alias, type_id in ALIASES.items() if type_id in by_type}


def start_of_lineage(doc: Any) -> Any:
    """The document itself when it has a parent, else its contact."""
    if not isinstance(doc, dict):
        return None
    return doc if doc.get("parent") else doc.get("contact")


# --- recipients -------------------------------------------------------------------------------------------------------


def resolve_recipient(
    recipient: Any, doc: Doc, context: MessageContext, view: Mapping[str, Any], settings: Settings
) -> str:
    """The phone of the first entry that resolves; else the submitter's, else the first entry as it is (RCP-2)."""
    entries = recipient if isinstance(recipient, list) else [recipient]
    names = [text for each in entries if each is not None and (text := str(each).strip())]
    for name in names:
        phone = phone_of(resolve_entry(name, doc, context, view))
        if phone:
            return phone
    if not names or settings.section("sms").get("default_to_sender") is not False:
        return phone_of(submitter(view)) or ""
    return names[0]


def resolve_entry(name: str, doc: Doc, context: MessageContext, view: Mapping[str, Any]) -> Any:
    """What one entry stands for; the first rule that matches decides, even when it yields nothing (RCP-3)."""
    sources = [*context.subjects, doc]
    if name == "reporting_unit":
        return submitter(view)
    if name.startswith("ancestor:"):
        return ancestor_phone(name.removeprefix("ancestor:"), sources)
    if name.startswith("link:"):
        tag = name.removeprefix("link:")
        return linked_phone(tag, sources) or ancestor_phone(tag, sources)
    if name in LEVELS_ABOVE:
        return phone_above(LEVELS_ABOVE[name], sources[0] if context.subjects else doc.get("contact"))
    if name in PLACE_RECIPIENTS:
        found = ancestor_phone(PLACE_RECIPIENTS[name], sources)
        return found or (phone_in(view.get("contact")) if name == "clinic" else None)
    fields = view.get("fields")
    if isinstance(fields, dict) and fields.get(name):
        return fields[name]
    if view.get(name):
        return view[name]
    if "." in name:
        return value_at(view, name.split("."))
    return name if has_country_code(name) else None


def submitter(view: Mapping[str, Any]) -> Any:
    return view.get("from") or phone_in(view.get("contact"))


def ancestor_phone(type_id: str, sources: Iterable[Doc]) -> Any:
    """The primary contact of the nearest place of that type: above the patient, else the place, else the sender."""
    for source in sources:
        phone = primary_phone(nearest(start_of_lineage(source), type_id))
        if phone:
            return phone
    return None


def linked_phone(tag: str, sources: Iterable[Doc]) -> Any:
    for source in sources:
        for each in lineage(start_of_lineage(source)):
            links = each.get("linked_docs")
            phone = phone_in(links.get(tag)) if isinstance(links, dict) else None
            if phone:
                return phone
    return None


def phone_above(levels: int, base: Any) -> Any:
    """The primary contact so many places above the base, or above its contact when it has no parent itself."""
    place = next(islice(ancestors(start_of_lineage(base)), levels - 1, None), None)
    return primary_phone(place)


def primary_phone(place: Any) -> Any:
    return phone_in(place.get("contact")) if isinstance(place, dict) else None


def phone_in(contact: Any) -> Any:
    return contact.get("phone") if isinstance(contact, dict) else None


def phone_of(value: Any) -> str:
    """The phone a resolved value means: text, a number, or the `phone` of an object (RCP-5); empty for none."""
    if isinstance(value, dict):
        value = value.get("phone")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def value_at(view: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = view
    for name in path:
        if isinstance(value, list) and name.isascii() and name.isdigit():
            value = value[int(name)] if int(name) < len(value) else None
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


# --- what the settings change in a phone ------------------------------------------------------------------------------


def rewrite_phone(phone: str, settings: Settings) -> str:
    """`outgoing_phone_replace` (a literal prefix), then each of `outgoing_phone_filters` (a pattern) (RCP-6)."""
    prefix = settings.section("outgoing_phone_replace")
    match = str(prefix.get("match") or "")
    if match and phone.startswith(match):
        phone = str(prefix.get("replace") or "") + phone[len(match) :]
    for each in settings.entries("outgoing_phone_filters"):
        if each.get("match"):
            phone = substitute(str(each["match"]), str(each.get("replace") or ""), phone)
    return phone


def substitute(pattern: str, replacement: str, phone: str) -> str:
    """Replace the first match; `$1` means the first group. A pattern that cannot be read changes nothing."""
    try:
        return re.sub(pattern, re.sub(r"\$(\d)", r"\\g<\1>", replacement.replace("\\", r"\\")), phone, count=1)
    except (re.error, IndexError):
        return phone
