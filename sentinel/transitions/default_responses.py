"""Answer an SMS that nothing else answers (40 §5.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from core.dates import moment_of
from core.documents import Doc
from core.errors import InvalidInput
from core.lineage import is_record
from core.settings import Settings
from core.sms_tasks import objects
from sentinel.transitions.change import Change
from sentinel.transitions.derived import once
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class DefaultResponses:
    """Tell the sender that the message came, was empty, or has no form we know. `start` None: never."""

    name: ClassVar[str] = "default_responses"
    settings: Settings
    tools: Tools
    start: datetime | None

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> DefaultResponses:
        section = settings.get("default_responses")
        if section is not None and not isinstance(section, dict):
            raise InvalidInput("default_responses: expected an object with `start_date`")
        return cls(settings, tools, moment_of((section or {}).get("start_date"), tools.zone))

    def filter(self, change: Change) -> bool:
        doc = change.doc
        return (
            is_record(doc)
            and bool(doc.get("from"))
            and not doc.get("kujua_message")
            and self.is_recent(doc.get("reported_date"))
            and not change.has_run(self.name)
            and not self.is_ours(doc)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        doc = change.doc
        key = self.reply_key(doc)
        if key is not None:
            config = {"translation_key": key}
            once(doc, lambda: self.tools.messenger.add_message(doc, config, "from"), self.name)
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()

    def is_recent(self, reported_date: Any) -> bool:
        if self.start is None or self.start.tzinfo is None:
            return False
        reported = moment_of(reported_date, self.start.tzinfo)
        return reported is not None and reported > self.start

    def is_ours(self, doc: Doc) -> bool:
        """Whether the gateway's own number sent it: answering would never end."""
        sms = doc.get("sms_message")
        sender = sms.get("from") if isinstance(sms, dict) else None
        gateway = self.settings.get("gateway_number")
        return bool(sender) and bool(gateway) and self.tools.phones.same_number(str(sender), str(gateway))

    def reply_key(self, doc: Doc) -> str | None:
        """The translation of the answer (TR-DEF-2), None when another transition's answer is enough."""
        codes = [error.get("code") for error in objects(doc.get("errors"))]
        if "sys.empty" in codes:
            return "empty"
        if "sys.form_not_found" in codes:
            return "form_not_found" if self.settings.get("forms_only_mode") else "sms_received"
        return None if isinstance(doc.get("form"), str) else "sms_received"
