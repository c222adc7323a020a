"""Send a message when an expression of the settings is true of a report and of those before it (40 §5.10)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from core.documents import Doc, id_of
from core.lineage import is_record
from core.scripting import ScriptError, as_expression, evaluate_all, truthy
from core.settings import Settings
from sentinel.transitions.answers import add_message, context_of
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import fields_of, is_valid_submission
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools

IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
# How many reports an expression sees that computes its index.
MOST_REPORTS = 50


@dataclass(frozen=True)
class Alert:
    """One alert for a form. `reports` is how many reports its condition looks back on, 0 when on none."""

    form: str
    number: int
    condition: str
    reports: int
    config: Mapping[str, Any]


@dataclass(frozen=True)
class ConditionalAlerts:
    """Runs once in the life of a report, if one of the alerts for its form is sent."""

    name: ClassVar[str] = "conditional_alerts"
    settings: Settings
    tools: Tools
    alerts: tuple[Alert, ...]

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> ConditionalAlerts:
        configured = settings.get("alerts")
        entries = list(configured.values()) if isinstance(configured, dict) else configured
        entries = entries if isinstance(entries, list) else []
        alerts = (read_alert(entry, number) for number, entry in enumerate(entries) if isinstance(entry, dict))
        return cls(settings, tools, tuple(alerts))

    def filter(self, change: Change) -> bool:
        doc = change.doc
        return (
            is_record(doc)
            and bool(self.alerts_for(doc))
            and not change.has_run(self.name)
            and is_valid_submission(doc, self.settings)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        """All conditions are judged before the first message is added. Raises ScriptError (TR-CA-3)."""
        doc = change.doc
        alerts = self.alerts_for(doc)
        reports = await self.reports(doc, max(alert.reports for alert in alerts), lookups)
        names = {"doc": merged(doc), "reports": [merged(each) for each in reports]}
        values = await evaluate_all([expression(alert) for alert in alerts], names)
        for value in values:
            if isinstance(value, ScriptError):
                raise value
        wanted = [alert for alert, value in zip(alerts, values, strict=True) if truthy(value)]
        if wanted:
            context = await context_of(change, lookups)
            for alert in wanted:
                add_message(doc, alert.config, self.name, alert.number, context, self.tools)
        return bool(wanted)

    async def reports(self, doc: Doc, count: int, lookups: Lookups) -> list[Doc]:
        """The newest reports of the form from under the same place, this one among them (TR-CA-2)."""
        if not count:
            return []
        parent_id = parent_id_of(doc)
        found = await lookups.latest_reports(doc["form"], parent_id, count + 1) if parent_id else []
        others = [each for each in found if each["_id"] != doc["_id"]]
        return sorted([doc, *others], key=newest_first)[:count]

    def order_keys(self, doc: Doc) -> Iterator[str]:
        """Reports that look back on each other are judged in their order."""
        if any(alert.reports for alert in self.alerts_for(doc)):
            yield f"{self.name}/{doc.get('form')}/{parent_id_of(doc)}"

    def alerts_for(self, doc: Doc) -> Sequence[Alert]:
        return [alert for alert in self.alerts if alert.form == doc.get("form")]


def parent_id_of(doc: Doc) -> str | None:
    """The id of the place above the submitter."""
    contact = doc.get("contact")
    return id_of(contact.get("parent")) if isinstance(contact, dict) else None


def read_alert(entry: Mapping[str, Any], number: int) -> Alert:
    form, condition = str(entry.get("form") or ""), as_expression(str(entry.get("condition") or "").strip())
    return Alert(form, number, condition or "false", reports_needed(form, condition), entry)


def reports_needed(form: str, condition: str) -> int:
    """One more than the highest `FORM(<number>)`; the most there may be when an index is computed."""
    if form not in condition or not IDENTIFIER.fullmatch(form):
        return 0
    indexes = re.findall(rf"(?<![\w$]){re.escape(form)}\s*\(([^)]*)\)", condition)
    if all(index.strip().isascii() and index.strip().isdigit() for index in indexes):
        return min(max((int(index) + 1 for index in indexes), default=1), MOST_REPORTS)
    return MOST_REPORTS


def expression(alert: Alert) -> str:
    """The condition, with a function of the form's name for the form's reports."""
    if not alert.reports:
        return alert.condition
    return f"(function ({alert.form}) {{ return ({alert.condition}\n); }})(function (i) {{ return reports[i]; }})"


def merged(doc: Doc) -> Doc:
    """The report with its fields at hand at its root, where old reports had them."""
    return {**fields_of(doc), **doc}


def newest_first(doc: Doc) -> tuple[float, str]:
    reported = doc.get("reported_date")
    return (-reported if isinstance(reported, int | float) else 0, doc["_id"])
