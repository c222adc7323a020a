"""One changed document on its way through the transitions, and which of them it has been through already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from core.documents import Doc
from core.lineage import PATIENT_KEYS, PLACE_KEYS, subject_key
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.notes import Edit


class PutOff(Exception):
    """What a transition has to know is not there yet: nothing of the change is done now, all of it a little later."""


class LeaseLost(Exception):
    """Another worker is active now, or may be: write nothing more."""


@dataclass
class Change:
    """`doc` is hydrated when the transitions see it. `seq` is None for a document that was never stored.

    `others` holds the documents that transitions create or alter besides this one, by id; they are saved before it.
    `created` are the contacts among them that are new, with their lineage, and have their `_rev` once they are saved.
    `written` has the revision of each of the others that was saved, in this run or an earlier one.
    `notes` are changes of documents of the sentinel database, by id; they are made after it is saved.
    `results` notes the transitions that changed something: True, or False when it failed half way (INF-4).
    `failure` is why the change has to be tried again; `thrown` what single transitions failed with, changing nothing,
    while the others went on; `original` the document as it came. `can_wait` tells whether PutOff may be raised.
    """

    id: str
    doc: Doc
    info: Doc
    seq: str | None = None
    others: dict[str, Doc] = field(default_factory=dict)
    created: dict[str, Doc] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Edit] = field(default_factory=dict)
    results: dict[str, bool] = field(default_factory=dict)
    failure: Exception | None = None
    thrown: list[str] = field(default_factory=list)
    can_wait: bool = False
    original: Doc = field(init=False)

    def __post_init__(self) -> None:
        self.original = self.doc

    def begin(self) -> None:
        """Back to the document as it came, for another run."""
        self.doc, self.others, self.created, self.notes, self.results = self.original, {}, {}, {}, {}
        self.failure, self.thrown = None, []

    @property
    def is_changed(self) -> bool:
        return self.failure is None and bool(self.results)

    @property
    def initial_processing(self) -> bool:
        return not isinstance(self.info.get("transitions"), dict)

    def has_run(self, name: str) -> bool:
        """Whether that transition ever changed this document, at whatever revision (TRN-6)."""
        return self._entry(name) is not None

    def has_run_on_revision(self, name: str) -> bool:
        """Whether it ran on this very generation of the document (TRN-5)."""
        entry = self._entry(name)
        return entry is not None and generation(entry.get("last_rev")) == generation(self.doc.get("_rev"))

    def _entry(self, name: str) -> Mapping[str, Any] | None:
        for place in (self.info, self.doc):
            transitions = place.get("transitions")
            entry = transitions.get(name) if isinstance(transitions, dict) else None
            if isinstance(entry, dict):
                return entry
        return None


# The order key of a document that touches more than its keys can tell: it keeps its order among all others.
EVERYTHING = "*"


class Transition(Protocol):
    """A reaction to changed documents. Settings are read once, when it is made."""

    name: str

    def filter(self, change: Change) -> bool:
        """Whether it applies: pure and cheap."""

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        """React, on the hydrated document in memory; True when anything was changed.

        Safe to run twice: a crash between the write of the document and that of its infodoc repeats it.
        """

    def order_keys(self, doc: Doc) -> Iterator[str]:
        """What this transition reads or writes beyond the document: changes that share a key keep their order."""


def generation(rev: Any) -> int:
    """The number before the dash, 0 for a document that was never stored."""
    head = str(rev or "").partition("-")[0]
    return int(head) if head.isascii() and head.isdigit() else 0


def subject_order_keys(doc: Doc) -> Iterator[str]:
    """The document itself and the contacts and case it is about."""
    yield doc["_id"]
    fields = doc.get("fields")
    for keys in (PATIENT_KEYS, PLACE_KEYS):
        for path in keys:
            if key := subject_key(doc, [path]):
                yield key
    for holder in (doc, fields if isinstance(fields, dict) else {}):
        for name in ("case_id", "place_uuid"):
            if isinstance(holder.get(name), str):
                yield holder[name]


def copied(doc: Doc) -> Doc:
    """A deep copy; through JSON it takes a tenth of the time."""
    fresh: Doc = orjson.loads(orjson.dumps(doc))
    return fresh
