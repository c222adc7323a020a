"""Keep one report of a form for each week or month and place: the one that came last (40 §5.13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from core.documents import ContactTypes, Doc, contact_type_id
from core.lineage import is_record
from core.settings import Settings
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import fields_of, parent_of
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools

MONTHS = ("month", "month_num")
WEEKS = ("week", "week_number")


@dataclass(frozen=True)
class UpdateScheduledReports:
    """Runs once in the life of a stored report with a year and a week or month."""

    name: ClassVar[str] = "update_scheduled_reports"
    leaf_types: frozenset[str]

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> UpdateScheduledReports:
        return cls(leaf_place_types(settings.contact_types))

    def filter(self, change: Change) -> bool:
        """Only a stored report: before it is, nothing may be deleted for it."""
        doc = change.doc
        parent = parent_of(doc.get("contact"))
        return (
            is_record(doc)
            and bool(doc.get("form"))
            and bool(doc.get("_rev"))
            and not doc.get("errors")
            and period_of(doc) is not None
            and parent is not None
            and contact_type_id(parent) in self.leaf_types
            and not change.has_run(self.name)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        doc, period, parent = change.doc, period_of(change.doc), parent_of(change.doc.get("contact"))
        if period is None or parent is None:
            return False
        # A report before this one may have deleted it a moment ago: then the other is the one to keep.
        stored = await lookups.doc(change.id)
        if stored is None or stored["_rev"] != change.original["_rev"]:
            return False
        view, year, number = period
        ids = await lookups.ids_in_view("medic", view, [doc["form"], year, number, parent["_id"]])
        for doc_id in ids:
            other = await lookups.doc(doc_id) if doc_id != change.id else None
            if other is not None:
                change.others[doc_id] = {"_id": doc_id, "_rev": other["_rev"], "_deleted": True}
        return change.id in ids

    def order_keys(self, doc: Doc) -> Iterator[str]:
        """Reports of the same place and period, one after the other."""
        period = period_of(doc) if is_record(doc) else None
        if period is not None:
            parent = parent_of(doc.get("contact")) or {}
            yield f"{self.name}/{orjson.dumps([doc.get('form'), period, parent.get('_id')]).decode()}"


def period_of(doc: Doc) -> tuple[str, Any, Any] | None:
    """The view that has reports by its month or week, the year, and the month or week."""
    fields = fields_of(doc)
    for kind, names in (("month", MONTHS), ("week", WEEKS)):
        number = next((fields[name] for name in names if fields.get(name)), None)
        if fields.get("year") and number is not None:
            return f"reports_by_form_year_{kind}_parent_reported_date", fields["year"], number
    return None


def leaf_place_types(types: ContactTypes) -> frozenset[str]:
    """Place types that no other place lies in."""
    inner = {parent for each in types.places() for parent in each.parents}
    return frozenset(each.id for each in types.places()) - inner
