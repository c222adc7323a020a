"""Give every person and place a short code to be named by in an SMS (40 §5.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from core.documents import Doc
from core.settings import Settings
from sentinel.transitions.change import Change
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class GenerateShortcodeOnContacts:
    """Set `patient_id` or `place_id` where it is missing, every time it is missing."""

    name: ClassVar[str] = "generate_shortcode_on_contacts"
    settings: Settings

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> GenerateShortcodeOnContacts:
        return cls(settings)

    def filter(self, change: Change) -> bool:
        field = self.code_field(change.doc)
        return field is not None and (not change.doc.get(field) or may_be_unnoted(change))

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        field = self.code_field(change.doc)
        if field is None:
            return False
        if code := change.doc.get(field):
            return await lookups.was_given(str(code), change.id)
        change.doc[field] = await lookups.new_shortcode(change.id)
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()

    def code_field(self, doc: Doc) -> str | None:
        types = self.settings.contact_types
        if types.is_person(doc):
            return "patient_id"
        return "place_id" if types.is_place(doc) else None


def may_be_unnoted(change: Change) -> bool:
    """Whether a worker may have died between the contact and its infodoc. What reports create comes with its code."""
    return change.initial_processing and not change.doc.get("source_id")
