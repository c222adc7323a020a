"""Accept a report about a registered patient or place: answer it, and stop reminders it makes needless (40 §5.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from core.documents import Doc
from core.lineage import is_record
from core.loose import number_of
from core.settings import Settings
from core.validation import looks_around
from sentinel.transitions.answers import (
    ReportConfig,
    add_messages,
    context_of,
    is_invalid,
    messages_for,
    read_report_configs,
    reject,
)
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import is_valid_submission
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.silencing import Silence, link_response, silence
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class AcceptPatientReports:
    """Runs once in the life of a report whose form is one of `settings.patient_reports`."""

    name: ClassVar[str] = "accept_patient_reports"
    section: ClassVar[str] = "patient_reports"
    settings: Settings
    tools: Tools
    reports: Mapping[str, ReportConfig]
    silences: Mapping[str, Silence]

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> AcceptPatientReports:
        reports = read_report_configs(settings, cls.section)
        return cls(settings, tools, reports, {form: Silence.from_config(each.config) for form, each in reports.items()})

    def filter(self, change: Change) -> bool:
        doc = change.doc
        return (
            is_record(doc)
            and self.report_of(doc) is not None
            and bool(doc.get("reported_date"))
            and not change.has_run(self.name)
            and is_valid_submission(doc, self.settings)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        report = self.report_of(change.doc)
        if report is None:
            return False
        if not await is_invalid(change, report, self.name, lookups, self.tools):
            await self.accept(change, report, lookups)
        return True

    async def accept(self, change: Change, report: ReportConfig, lookups: Lookups) -> None:
        doc = change.doc
        if not doc.get("patient") and not doc.get("place"):
            await reject(change, report.config, self.name, "registration_not_found", lookups, self.tools)
            return
        context = await context_of(change, lookups)
        messages = messages_for(report.config, ("report_accepted",))
        await add_messages(change, messages, self.name, context, self.tools)
        registrations = each_once([*context.registrations, *context.place_registrations])
        if registrations:
            doc["registration_id"] = max(registrations, key=reported_at)["_id"]
        wanted = self.silences[doc["form"]]
        silence(change, registrations, wanted, self.tools)
        link_response(change, registrations, wanted, self.tools)

    def order_keys(self, doc: Doc) -> Iterator[str]:
        """All reports that are compared with others, one after the other."""
        report = self.report_of(doc)
        if report is not None and looks_around(report.rules):
            yield "compared with other reports"

    def report_of(self, doc: Doc) -> ReportConfig | None:
        form: Any = doc.get("form")
        return self.reports.get(form) if isinstance(form, str) else None


def each_once(docs: list[Doc]) -> list[Doc]:
    return list({doc["_id"]: doc for doc in docs}.values())


def reported_at(doc: Doc) -> float:
    reported = number_of(doc.get("reported_date"))
    return reported if reported == reported else 0.0  # what is no number is never the latest
