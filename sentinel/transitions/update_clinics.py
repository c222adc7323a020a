"""Give a report or message the contact of its sender (40 §5.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from core.documents import ContactTypes, Doc
from core.lineage import is_record
from core.settings import Settings
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import form_definition, is_public, is_xml_report
from sentinel.transitions.derived import once
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools

NOT_FOUND = "sys.facility_not_found"


@dataclass(frozen=True)
class UpdateClinics:
    """Set `doc.contact` by the external code the report names, else by the sender's phone."""

    name: ClassVar[str] = "update_clinics"
    settings: Settings
    tools: Tools

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> UpdateClinics:
        return cls(settings, tools)

    def filter(self, change: Change) -> bool:
        return is_record(change.doc) and not change.doc.get("contact") and not change.has_run(self.name)

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        contact = await self.submitter(change.doc, lookups)
        if contact is None:
            return self.explain(change.doc)
        change.doc["contact"] = contact
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()

    async def submitter(self, doc: Doc, lookups: Lookups) -> Doc | None:
        """By `refid` alone when there is one (TR-CLI-2), else by phone (TR-CLI-3)."""
        if doc.get("refid"):
            found = await lookups.contact_by_reference(str(doc["refid"]).upper())
            return None if found is None else contact_of(found, self.settings.contact_types)
        return await lookups.contact_by_phone(str(doc["from"])) if doc.get("from") else None

    def explain(self, doc: Doc) -> bool:
        """Tell the sender of a known form, or only note the error (TR-CLI-5)."""
        if is_xml_report(doc):
            return False
        definition = form_definition(doc, self.settings)
        if is_public(definition):
            return False
        messenger = self.tools.messenger
        if definition is None:
            text = messenger.source_text(doc, {"translation_key": NOT_FOUND})
            messenger.add_error(doc, {"code": NOT_FOUND, "message": text})
        else:
            once(doc, lambda: messenger.reject(doc, self.config_of(doc), NOT_FOUND), self.name, NOT_FOUND)
        return True

    def config_of(self, doc: Doc) -> Any:
        entries = self.settings.entries("update_clinics")
        return next((entry for entry in entries if entry.get("form") == doc.get("form")), None)


def contact_of(found: Doc, types: ContactTypes) -> Doc:
    """The person itself; of a place its primary contact, or a nameless submitter inside it (TR-CLI-2)."""
    if types.is_person(found):
        return found
    primary = found.get("contact")
    return primary if isinstance(primary, dict) and primary.get("_id") else {"parent": found}
