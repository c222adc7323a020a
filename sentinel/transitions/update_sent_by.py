"""Write the name of the sender into a report or message (40 §5.8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from core.documents import Doc
from core.lineage import is_record
from core.settings import Settings
from sentinel.transitions.change import Change
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class UpdateSentBy:
    """Set `sent_by` to the name of the contact with the phone that the document came from (TR-SENT-1)."""

    name: ClassVar[str] = "update_sent_by"

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> UpdateSentBy:
        return cls()

    def filter(self, change: Change) -> bool:
        doc = change.doc
        return is_record(doc) and bool(doc.get("from")) and "sent_by" not in doc and not change.has_run(self.name)

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        sender = await lookups.contact_by_phone(str(change.doc["from"]))
        if sender is None or not sender.get("name"):
            return False
        change.doc["sent_by"] = sender["name"]
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()
