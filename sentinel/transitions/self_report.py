"""Make the sender of a report about nobody its patient (40 §5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from core.documents import Doc
from core.lineage import is_record
from core.settings import Settings
from sentinel.transitions.answers import context_of, reject
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import fields_of
from sentinel.transitions.derived import once
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class SelfReport:
    """Runs once in the life of a report whose form is one of `settings.self_report` and that names no patient."""

    name: ClassVar[str] = "self_report"
    tools: Tools
    configs: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> SelfReport:
        entries = settings.entries("self_report")
        return cls(tools, {str(entry["form"]): entry for entry in reversed(entries) if entry.get("form")})

    def filter(self, change: Change) -> bool:
        doc, fields = change.doc, fields_of(change.doc)
        return (
            is_record(doc)
            and bool(doc.get("from"))
            and doc.get("form") in self.configs
            and not (fields.get("patient_id") or fields.get("patient_uuid"))
            and not change.has_run(self.name)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        doc, config = change.doc, self.configs[change.doc["form"]]
        sender = await lookups.contact_by_phone(str(doc["from"]))
        if sender is None:
            await reject(change, config, self.name, "sender_not_found", lookups, self.tools)
            return True
        doc["patient"] = sender
        code = {"patient_id": sender["patient_id"]} if sender.get("patient_id") else {}
        doc["fields"] = {**fields_of(doc), "patient_uuid": sender["_id"], **code}
        context = await context_of(change, lookups)
        once(doc, lambda: self.tools.messenger.accept(doc, config, "report_accepted", context), self.name, "accepted")
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()
