"""Accept a report about a registered case: answer it, and stop the reminders it makes needless (40 §5.5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from core.documents import Doc
from core.loose import text_of
from sentinel.transitions.accept_patient_reports import AcceptPatientReports
from sentinel.transitions.answers import ReportConfig, add_messages, context_of, messages_for, reject
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import fields_of
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.silencing import silence


@dataclass(frozen=True)
class AcceptCaseReports(AcceptPatientReports):
    """Runs once in the life of a report whose form is one of `settings.accept_case_reports`."""

    name: ClassVar[str] = "accept_case_reports"
    section: ClassVar[str] = "accept_case_reports"

    async def accept(self, change: Change, report: ReportConfig, lookups: Lookups) -> None:
        """What is done here is always saved, unlike in the reference (TR-CASE-3)."""
        doc = change.doc
        case_id = case_id_of(doc)
        found = await lookups.registrations([case_id]) if case_id else []
        registrations = [each for each in found if each["_id"] != change.id]
        if not registrations:
            await reject(change, report.config, self.name, "registration_not_found", lookups, self.tools)
            return
        messages = messages_for(report.config, ("report_accepted",))
        await add_messages(change, messages, self.name, await context_of(change, lookups), self.tools)
        place_id = fields_of(registrations[0]).get("place_uuid")
        if place_id:
            doc["fields"] = {**fields_of(doc), "place_uuid": place_id}
        silence(change, registrations, self.silences[doc["form"]], self.tools)

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from super().order_keys(doc)
        if self.report_of(doc) is not None:
            yield case_id_of(doc)


def case_id_of(doc: Doc) -> str:
    return text_of(doc.get("case_id") or fields_of(doc).get("case_id")).strip()
