"""What of the reports or contacts is asked for (EP-EXP-5, EP-EXP-11), and whether a document is of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from core.documents import Doc, contact_type_id, id_of, is_report, lineage_ids
from core.errors import InvalidInput
from core.lineage import is_contact_doc

SUBJECTS = ("patient_id", "place_id", "case_id")
SUBJECT_FIELDS = (*SUBJECTS, "patient_uuid", "place_uuid")
MILLISECONDS = re.compile(r"-?[0-9]{1,16}")
TEXT_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True)
class Filters:
    """Everything that is not None must hold. Times are milliseconds, both ends included."""

    from_ms: int | None = None
    to_ms: int | None = None
    forms: frozenset[str] | None = None
    valid: bool | None = None
    verified: tuple[bool | None, ...] | None = None
    facilities: frozenset[str] | None = None
    subjects: frozenset[str] | None = None
    types: frozenset[str] | None = None
    parent: str | None = None
    search: str | None = None

    @classmethod
    def read(cls, filters: Mapping[str, Any], *, now_ms: int) -> Self:
        """The `filters` of a request, from a query or from JSON. InvalidInput names the filter."""
        date = member(filters, "date", "")
        from_ms = read_ms(date.get("from"), "filters.date.from")
        to_ms = read_ms(date.get("to"), "filters.date.to")
        if from_ms is not None or to_ms is not None:
            from_ms, to_ms = from_ms or 0, now_ms if to_ms is None else to_ms
        subjects = read_texts(filters.get("subjectIds"), "filters.subjectIds")
        return cls(
            from_ms=from_ms,
            to_ms=to_ms,
            forms=selected(filters, "forms", "code"),
            valid=read_flag(filters.get("valid"), "filters.valid"),
            verified=read_verified(filters.get("verified")),
            facilities=selected(filters, "facilities", "_id"),
            subjects=frozenset(subjects) or None,
            types=selected(filters, "types", "id"),
            parent=read_text(filters.get("parent"), "filters.parent"),
            search=read_text(filters.get("search"), "filters.search"),
        )

    def admits_report(self, doc: Doc) -> bool:
        return (
            is_report(doc)
            and self.admits_date(doc.get("reported_date"))
            and (self.forms is None or doc["form"] in self.forms)
            and (self.valid is None or self.valid != bool(doc.get("errors")))
            and (self.verified is None or doc.get("verified") in self.verified)
            and (self.facilities is None or not self.facilities.isdisjoint(places_above_submitter(doc)))
            and (self.subjects is None or not self.subjects.isdisjoint(subjects_of(doc)))
        )

    def admits_date(self, value: Any) -> bool:
        if self.from_ms is None or self.to_ms is None:
            return True
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return known and self.from_ms <= value <= self.to_ms

    def admits_contact(self, doc: Doc) -> bool:
        return (
            is_contact_doc(doc)
            and (self.types is None or contact_type_id(doc) in self.types)
            and (self.parent is None or id_of(doc.get("parent")) == self.parent)
        )

    @property
    def of_contacts(self) -> bool:
        """Whether any filter that contacts have is given."""
        return any(each is not None for each in (self.types, self.parent, self.search))


def places_above_submitter(doc: Doc) -> list[str]:
    contact = doc.get("contact")
    return lineage_ids(contact.get("parent")) if isinstance(contact, dict) else []


def subjects_of(doc: Doc) -> list[str]:
    """The ids and shortcodes of whom a report is about, as the view `reports_by_subject` has them."""
    fields = doc.get("fields")
    values = [doc.get(name) for name in SUBJECTS]
    if isinstance(fields, dict):
        values += [fields.get(name) for name in SUBJECT_FIELDS]
    return [str(value) for value in values if value and isinstance(value, str | int) and not isinstance(value, bool)]


# --- reading ----------------------------------------------------------------------------------------------------------


def member(parent: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    """An object among the members; empty when it is missing."""
    value = parent.get(name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"`filters.{path}{name}` must be an object")
    return value


def selected(filters: Mapping[str, Any], name: str, key: str) -> frozenset[str] | None:
    """The ids in `<name>.selected`, each a text or an object that has it as `key`; None where all are selected."""
    asked = member(filters, name, "")
    entries, options = asked.get("selected"), asked.get("options")
    if entries in (None, ""):
        return None
    if not isinstance(entries, list):
        raise InvalidInput(f"`filters.{name}.selected` must be a list")
    if not entries or (isinstance(options, list) and len(options) == len(entries)):
        return None
    ids = [entry.get(key, entry.get("_id", entry.get("id"))) if isinstance(entry, dict) else entry for entry in entries]
    texts = [each for each in ids if isinstance(each, str)]
    if len(texts) < len(ids):
        raise InvalidInput(f"`filters.{name}.selected` must be a list of texts or of objects with a text `{key}`")
    return frozenset(texts)


def read_ms(value: Any, path: str) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, str) and MILLISECONDS.fullmatch(value):
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e16:
        return int(value)
    raise InvalidInput(f"`{path}` must be a time in milliseconds since 1970")


def read_flag(value: Any, path: str) -> bool | None:
    """`true` or `false`, as JSON or as text; None where there is none (DIV-8)."""
    if isinstance(value, bool) or value is None:
        return value
    if value == "":
        return None
    if isinstance(value, str) and value in TEXT_FLAGS:
        return TEXT_FLAGS[value]
    raise InvalidInput(f"`{path}` must be true or false")


def read_verified(value: Any) -> tuple[bool | None, ...] | None:
    """What `verified` may be; None among it is a report nobody has verified, told by an empty text."""
    if value is None:
        return None
    values = value if isinstance(value, list) else [value]
    return tuple(read_flag(each, "filters.verified") for each in values) or None


def read_text(value: Any, path: str) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"`{path}` must be a text")
    return value


def read_texts(value: Any, path: str) -> Sequence[str]:
    if value in (None, ""):
        return ()
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        raise InvalidInput(f"`{path}` must be a list of texts")
    return values
