"""Contacts and reports in brief, as lists show them (EP-CON-11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NotRequired, TypedDict

from core.couch.client import Database, Doc
from core.documents import id_of, lineage_ids

SUBJECT_FIELDS = ("patient_uuid", "patient_id", "place_uuid", "place_id", "case_id")


BATCH = 1_000  # documents in memory at a time


class Subject(TypedDict):
    """Whom or what a report is about."""

    type: str
    value: Any
    name: NotRequired[Any]


class ContactSummary(TypedDict):
    """A contact in brief (EP-CON-11)."""

    _id: str
    _rev: str
    lineage: list[str]
    name: NotRequired[Any]
    phone: NotRequired[Any]
    type: NotRequired[str]
    contact_type: NotRequired[Any]
    contact: NotRequired[str]
    date_of_death: NotRequired[Any]
    muted: NotRequired[Any]


ReportSummary = TypedDict(
    "ReportSummary",
    {
        "_id": str,
        "_rev": str,
        "from": NotRequired[Any],
        "phone": NotRequired[Any],
        "form": NotRequired[Any],
        "read": NotRequired[Any],
        "valid": bool,
        "verified": NotRequired[Any],
        "reported_date": NotRequired[Any],
        "contact": NotRequired[str],
        "lineage": list[str],
        "subject": NotRequired[Subject],
        "case_id": NotRequired[Any],
    },
)


async def summaries(
    db: Database, ids: Sequence[str], is_one: Callable[[Doc], bool], summary: Callable[[Doc], Doc]
) -> list[Doc]:
    """The summaries of those documents that exist and are of the kind asked for, in the order of the ids."""
    found = []
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        docs = await db.get_many(batch)
        found += [summary(docs[each]) for each in batch if each in docs and is_one(docs[each])]
    return found


def contact_summary(doc: Doc) -> Doc:
    """`contact` is the id of the primary contact, `lineage` the ids of the places above. Absent values are left out."""
    names = ("_id", "_rev", "name", "phone", "type", "contact_type", "date_of_death", "muted")
    return without_absent(
        {name: doc.get(name) for name in names}
        | {"contact": id_of(doc.get("contact")), "lineage": lineage_ids(doc.get("parent"))}
    )


def report_summary(doc: Doc) -> Doc:
    """`contact` is the id of the submitter, `lineage` the ids of the places above. Absent values are left out."""
    contact = doc.get("contact") if isinstance(doc.get("contact"), dict) else {}
    fields = fields_of(doc)
    names = ("_id", "_rev", "form", "read", "verified", "reported_date")
    return without_absent(
        {name: doc.get(name) for name in names}
        | {
            "from": doc.get("from") or doc.get("sent_by"),
            "phone": (contact or {}).get("phone"),
            "valid": not doc.get("errors"),
            "contact": id_of(doc.get("contact")),
            "lineage": lineage_ids((contact or {}).get("parent")),
            "subject": subject(doc, fields),
            "case_id": doc.get("case_id") or fields.get("case_id"),
        }
    )


def subject(doc: Doc, fields: Doc) -> Doc | None:
    """Whom or what a report is about: `type` is `reference` with an id or shortcode, or `name` with only a name."""
    name = fields.get("patient_name") or fields.get("place_name")
    for each in SUBJECT_FIELDS:
        value = doc.get(each) or fields.get(each)
        if value:
            return without_absent({"type": "reference", "value": value, "name": name})
    return {"type": "name", "value": name, "name": name} if name else None


def fields_of(doc: Doc) -> Doc:
    fields = doc.get("fields")
    return fields if isinstance(fields, dict) else {}


def without_absent(values: dict[str, Any]) -> Doc:
    return {name: value for name, value in values.items() if value is not None}
