"""Say of every pending message that it was sent: for test sites, which have no gateway (40 §5.14)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from core.dates import iso_of
from core.documents import Doc
from core.settings import Settings
from core.sms_tasks import Task, messages_of, objects, set_state, tasks_to_send
from sentinel.transitions.change import Change
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class ResolvePending:
    """Runs whenever a document has pending messages (TR-RES-1)."""

    name: ClassVar[str] = "resolve_pending"
    tools: Tools

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> ResolvePending:
        return cls(tools)

    def filter(self, change: Change) -> bool:
        return bool(pending(change.doc))

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        now = self.tools.now()
        for task in pending(change.doc):
            set_state(task, "sent", now=now)
            task["timestamp"] = iso_of(now)
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()


def pending(doc: Doc) -> list[Task]:
    """The tasks with something to send; scheduled ones only of a document without errors."""
    tasks = tasks_to_send(doc) + ([] if doc.get("errors") else objects(doc.get("scheduled_tasks")))
    return [
        task
        for task in tasks
        if task.get("state") == "pending"
        and any(message.get("to") and message.get("message") for message in messages_of(task))
    ]
