"""Queue a document for the services it is relevant to (40 §5.16)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from core.dates import ms_of
from core.documents import Doc
from core.outbound import pushes
from core.settings import Settings
from sentinel.transitions.answers import evaluate_conditions
from sentinel.transitions.change import Change
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.notes import Edit
from sentinel.transitions.tools import Tools

# Ids of the queue documents of the sentinel database.
QUEUED = "task:outbound:"


@dataclass(frozen=True)
class MarkForOutbound:
    """Runs on every processed revision. Nothing is sent here: the outbound job is told at once, and a service that
    hangs holds nothing up (TR-OUT-1). `conditions` is the expression of each push."""

    name: ClassVar[str] = "mark_for_outbound"
    conditions: Mapping[str, str]
    now: Callable[[], datetime]

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> MarkForOutbound:
        conditions = {name: str(push.get("relevant_to") or "").strip() for name, push in pushes(settings).items()}
        return cls({name: condition for name, condition in conditions.items() if condition}, tools.now)

    def filter(self, change: Change) -> bool:
        return bool(self.conditions)

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        """The document itself never changes (TR-OUT-2)."""
        holds = await evaluate_conditions(list(self.conditions.values()), change.doc, change.id)
        names = [name for name, is_relevant in zip(self.conditions, holds, strict=True) if is_relevant]
        if names:
            change.notes[QUEUED + change.id] = add_to_queue(change, names, ms_of(self.now()))
        return False

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()


def add_to_queue(change: Change, names: Sequence[str], now_ms: int) -> Edit:
    """Queue these pushes beside those that wait already (TR-OUT-2). A newer document is a reason to try at once."""

    def edit(queued: Doc) -> None:
        queued.setdefault("type", "task:outbound")
        queued.setdefault("created", now_ms)
        queued.setdefault("doc_id", change.id)
        known = queued.get("queue")
        known = known if isinstance(known, list) else []
        queued["queue"] = [*known, *(name for name in names if name not in known)]
        revs = queued.get("revs")
        # So that a push of an older revision, on its way now, does not count for this one.
        queued["revs"] = {
            **(revs if isinstance(revs, dict) else {}),
            **dict.fromkeys(names, change.original.get("_rev")),
        }
        attempts = queued.get("attempts")
        if isinstance(attempts, dict):
            queued["attempts"] = {name: each for name, each in attempts.items() if name not in names}

    return edit
