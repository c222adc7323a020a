"""Send a message when enough reports of a time span count together (40 §5.11)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from core.documents import Doc
from core.errors import InvalidInput
from core.hydration import hydrate
from core.lineage import is_record
from core.messages import MessageContext
from core.scripting import ScriptError, as_expression, evaluate, evaluate_all
from core.settings import Settings
from core.sms_tasks import tasks_to_send
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import is_valid_submission
from sentinel.transitions.derived import once
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools

log = logging.getLogger(__name__)

REQUIRED = (
    "name",
    "is_report_counted",
    "num_reports_threshold",
    "message",
    "recipients",
    "time_window_in_days",
)
HIGHEST_THRESHOLD = 100
DAY_MS = 86_400_000
PAGE_ROWS = 100
PAGE_TIME_LIMIT_S = 2.0

# One call for each report; what throws is not counted (TR-MRA-3).
COUNTED = """reports.map(function (report) {
  try { return !!(%s)(report, latest_report); } catch (error) { return false; }
})"""


@dataclass(frozen=True)
class Alert:
    """One entry of the settings; `forms` None means every form."""

    name: str
    is_counted: str
    threshold: int
    window_days: int
    recipients: tuple[Any, ...]
    forms: frozenset[str] | None
    config: Mapping[str, Any]

    def includes(self, doc: Doc) -> bool:
        return self.forms is None or doc.get("form") in self.forms


@dataclass(frozen=True)
class MultiReportAlerts:
    """Runs once in the life of a report, if it makes an alert go out."""

    name: ClassVar[str] = "multi_report_alerts"
    settings: Settings
    tools: Tools
    alerts: tuple[Alert, ...]

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> MultiReportAlerts:
        entries = settings.entries(cls.name)
        alerts = tuple(read_alert(entry, f"{cls.name}[{index}]") for index, entry in enumerate(entries))
        names = [alert.name for alert in alerts]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput(f"{cls.name}: the name {name!r} is used more than once")
        return cls(settings, tools, alerts)

    def filter(self, change: Change) -> bool:
        doc = change.doc
        return (
            is_record(doc)
            and bool(doc.get("form"))
            and isinstance(doc.get("reported_date"), int | float)
            and any(alert.includes(doc) for alert in self.alerts)
            and not change.has_run(self.name)
            and is_valid_submission(doc, self.settings)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        results = [await self.run(alert, change, lookups) for alert in self.alerts if alert.includes(change.doc)]
        return any(results)

    def order_keys(self, doc: Doc) -> Iterator[str]:
        """What one alert counted another does not: reports are counted one after the other."""
        if is_record(doc) and any(alert.includes(doc) for alert in self.alerts):
            yield self.name

    async def run(self, alert: Alert, change: Change, lookups: Lookups) -> bool:
        doc = change.doc
        if not await counted(alert, [doc], doc):
            return False
        found = [doc]
        async for page in self.pages(alert, doc, lookups):
            found += await counted(alert, page, doc)
        if len(found) < alert.threshold:
            return False
        known = {doc_id for each in found for doc_id in counted_before(each, alert.name)}
        fresh = [each for each in found if each["_id"] not in known]
        phones = await self.phones(alert, fresh, doc)
        context = MessageContext(
            template_context={
                "new_reports": fresh,
                "num_counted_reports": len(found),
                "alert_name": alert.name,
                "num_reports_threshold": alert.threshold,
                "time_window_in_days": alert.window_days,
            }
        )
        ids = [each["_id"] for each in found]
        for phone in phones:
            once(doc, lambda phone=phone: self.add(doc, alert, phone, context, ids), self.name, alert.name, phone)  # type: ignore[misc]
        return True

    async def pages(self, alert: Alert, doc: Doc, lookups: Lookups) -> AsyncIterator[list[Doc]]:
        """The valid reports of the span before this one, newest first, a page at a time (TR-MRA-3, TR-MRA-6)."""
        last_ms = doc["reported_date"] - 1
        start: dict[str, Any] = {"startkey": [last_ms]}
        while True:
            rows = await lookups.db.view(
                "medic-client",
                "reports_by_date",
                **start,
                endkey=[last_ms - alert.window_days * DAY_MS],
                descending=True,
                include_docs=True,
                limit=PAGE_ROWS,
            )
            docs = [row["doc"] for row in rows if row.get("doc") and row["id"] != doc["_id"]]
            hydrated = await hydrate(lookups.db, [each for each in docs if alert.includes(each)])
            yield [each for each in hydrated if is_valid_submission(each, self.settings)]
            if len(rows) < PAGE_ROWS:
                return
            start = {"startkey": rows[-1]["key"], "startkey_docid": rows[-1]["id"], "skip": 1}

    async def phones(self, alert: Alert, reports: Sequence[Doc], doc: Doc) -> list[str]:
        """Each recipient of each new report, once (TR-MRA-5); what is none is noted in the document."""
        found: dict[str, None] = {}
        expressions = [each for each in alert.recipients if not is_phone(each)]
        for phone in alert.recipients:
            if is_phone(phone):
                found[phone] = None
        for report in reports:
            values = await evaluate_all([str(each) for each in expressions], {"new_report": report})
            for text, value in zip(expressions, values, strict=True):
                phones = value if isinstance(value, list) else [value]
                good = [each for each in phones if isinstance(each, str) and each]
                found.update(dict.fromkeys(good))
                if len(good) < len(phones):
                    reason = value.message if isinstance(value, ScriptError) else "is no phone number"
                    error = {"code": f"{self.name}_recipient", "message": f"{alert.name}: recipient {text}: {reason}"}
                    self.tools.messenger.add_error(doc, error)
        return list(found)

    def add(self, doc: Doc, alert: Alert, phone: str, context: MessageContext, ids: Sequence[str]) -> None:
        task = self.tools.messenger.add_message(doc, alert.config, phone, context)
        if task is not None:
            task |= {"type": "alert", "alert_name": alert.name, "counted_reports": list(ids)}


async def counted(alert: Alert, reports: Sequence[Doc], latest: Doc) -> list[Doc]:
    """Those that `is_report_counted` accepts."""
    if not reports:
        return []
    names = {"reports": list(reports), "latest_report": latest}
    try:
        values = await evaluate(COUNTED % alert.is_counted, names, time_limit_s=PAGE_TIME_LIMIT_S)
    except ScriptError as error:
        log.warning("is_report_counted of the alert %s: %s", alert.name, error.message)
        return []
    return [report for report, value in zip(reports, values, strict=True) if value is True]


def counted_before(report: Doc, name: str) -> list[str]:
    """The ids of the reports that the alert counted when it went out because of this report (TR-MRA-4)."""
    return [
        doc_id
        for task in tasks_to_send(report)
        if task.get("alert_name") == name and isinstance(task.get("counted_reports"), list)
        for doc_id in task["counted_reports"]
    ]


def is_phone(recipient: Any) -> bool:
    return isinstance(recipient, str) and recipient.startswith("+") and recipient[1:].isdigit()


def read_alert(entry: Mapping[str, Any], where: str) -> Alert:
    """InvalidInput names what is missing or of the wrong kind (TR-MRA-1)."""
    for name in REQUIRED:
        if entry.get(name) in (None, ""):
            raise InvalidInput(f"{where}.{name}: is required")
    threshold, days = (
        whole(entry[name], f"{where}.{name}") for name in ("num_reports_threshold", "time_window_in_days")
    )
    if threshold > HIGHEST_THRESHOLD:
        raise InvalidInput(f"{where}.num_reports_threshold: must not be above {HIGHEST_THRESHOLD}")
    if not isinstance(entry["recipients"], list):
        raise InvalidInput(f"{where}.recipients: expected a list")
    forms = entry.get("forms")
    if forms is not None and not isinstance(forms, list):
        log.warning("%s.forms: not a list, and ignored", where)
    return Alert(
        name=str(entry["name"]),
        is_counted=as_expression(str(entry["is_report_counted"])),
        threshold=threshold,
        window_days=days,
        recipients=tuple(entry["recipients"]),
        forms=frozenset(map(str, forms)) if isinstance(forms, list) else None,
        config=entry,
    )


def whole(value: Any, where: str) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not text.isascii() or not text.isdigit():
        raise InvalidInput(f"{where}: expected a whole number")
    return int(text)
