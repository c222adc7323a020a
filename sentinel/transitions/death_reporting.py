"""Record a patient's death from a report, and take it back by another (40 §5.9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from core.documents import Doc
from core.errors import InvalidInput
from core.lineage import is_record
from core.settings import Settings
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import is_valid_submission
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.notes import info_id, save_notes
from sentinel.transitions.tools import Tools

UNDONE = "undone_death"  # member of a report's infodoc: `{patient, date_of_death}`


@dataclass(frozen=True)
class DeathReporting:
    """Set or remove `date_of_death` of the patient a report is about. `date_path` is dotted, from the report's root."""

    name: ClassVar[str] = "death_reporting"
    settings: Settings
    mark_forms: frozenset[str]
    undo_forms: frozenset[str]
    date_path: str

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> DeathReporting:
        section = settings.section("death_reporting")
        mark = section.get("mark_deceased_forms")
        if not isinstance(mark, list) or not mark:
            raise InvalidInput("death_reporting.mark_deceased_forms: expected a list of form codes")
        undo = section.get("undo_deceased_forms")
        return cls(
            settings,
            frozenset(str(form) for form in mark),
            frozenset(str(form) for form in undo) if isinstance(undo, list) else frozenset(),
            str(section.get("date_field") or ""),
        )

    def filter(self, change: Change) -> bool:
        doc = change.doc
        return (
            is_record(doc)
            and doc.get("form") in self.mark_forms | self.undo_forms
            and isinstance(doc.get("patient"), dict)
            and not change.has_run(self.name)
            and is_valid_submission(doc, self.settings)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        doc = change.doc
        patient = change.others.get(doc["patient"]["_id"]) or doc["patient"]
        is_dead, marks = bool(patient.get("date_of_death")), doc["form"] in self.mark_forms
        if is_dead == marks:  # perhaps by a run of this report that was cut off, which then is noted now
            return patient["date_of_death"] == self.date(doc) if marks else UNDONE in change.info
        if is_dead:
            await note_undoing(change, patient, lookups)
            patient = {name: value for name, value in patient.items() if name != "date_of_death"}
        else:
            patient = {**patient, "date_of_death": self.date(doc)}
        change.others[patient["_id"]] = patient
        doc["patient"] = {**doc["patient"], "date_of_death": patient.get("date_of_death")}
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()

    def date(self, doc: Doc) -> Any:
        """The value at `date_field`, else when the report was made (TR-DEATH-3)."""
        value: Any = doc
        for name in self.date_path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value or doc.get("reported_date")


async def note_undoing(change: Change, patient: Doc, lookups: Lookups) -> None:
    """Say in the report's infodoc what it takes back, before it does: the patient will not tell who did it."""

    def edit(info: Doc) -> None:
        for name, value in change.info.items():
            if name != "_rev":
                info.setdefault(name, value)
        info[UNDONE] = {"patient": patient["_id"], "date_of_death": patient["date_of_death"]}

    lookups.may_write()
    await save_notes(lookups.sentinel_db, {info_id(change.id): edit})
