"""What of a document can be searched for, and how it sorts (60 DDOC-6, DDOC-70..72). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from core.documents import CONTACT_DOC_TYPES, HARD_CODED_TYPES, Doc, contact_type_id, id_of, is_report

SHORTEST = 3  # characters of a text that is searched, and of a `key:value`
LONGEST_EXACT = 1000  # characters of a `key:value`
LONGEST_WORD = 255  # characters; what a longer one has beyond them is not searched
CONTACT_SKIPPED = frozenset({"_id", "_rev", "type", "refid", "geolocation"})
REPORT_SKIPPED = frozenset({"_id", "_rev", "type", "refid", "content"})
# Devanagari digits become 0-9; the two characters that mean something to the index become blanks.
FOLDED = {0x0966 + digit: str(digit) for digit in range(10)} | {0x00: " ", 0x1F: " "}


class Kind(IntEnum):
    """The two indexes clients ask (DDOC-71, DDOC-72)."""

    CONTACT = 0
    REPORT = 1


# The first character of a token says what it is, so that all of them share one index.
WORD = {Kind.CONTACT: "c", Kind.REPORT: "r"}
EXACT = {Kind.CONTACT: "1", Kind.REPORT: "2"}
CONTACT_TYPE = "3"


@dataclass(frozen=True, slots=True)
class Content:
    """The searchable side of a document: `sort` is a contact's order value or a report's `reported_date` in ms."""

    kind: Kind
    sort: str | float
    tokens: frozenset[str]


def content_of(doc: Doc) -> Content | None:
    """None for a document that no search can find."""
    if is_report(doc):
        return report_content(doc)
    type_id = contact_type_id(doc)
    if type_id is None or doc["type"] not in CONTACT_DOC_TYPES:
        return None
    tokens = property_tokens(Kind.CONTACT, doc, CONTACT_SKIPPED)
    tokens.add(CONTACT_TYPE + fold(type_id))
    return Content(Kind.CONTACT, order_value(doc, type_id), frozenset(tokens))


def report_content(doc: Doc) -> Content:
    tokens = property_tokens(Kind.REPORT, doc, REPORT_SKIPPED)
    if isinstance(doc.get("fields"), dict):
        tokens |= property_tokens(Kind.REPORT, doc["fields"], REPORT_SKIPPED)
    submitter = id_of(doc.get("contact"))
    if submitter is not None:
        tokens.update(exact_tokens(Kind.REPORT, f"contact:{submitter}"))
    return Content(Kind.REPORT, float(number_in(doc, "reported_date") or 0), frozenset(tokens))


def property_tokens(kind: Kind, source: Doc, skipped: frozenset[str]) -> set[str]:
    """Words and `key:value` of an object's own texts and numbers."""
    tokens: set[str] = set()
    prefix = WORD[kind]
    for name, value in source.items():
        if not value or not isinstance(value, str | int | float) or isinstance(value, bool):
            continue
        key = name.lower()
        if key in skipped or key.endswith("_date"):
            continue
        if isinstance(value, str):
            text = fold(value)
            if len(text) >= SHORTEST:
                tokens.update(prefix + word[:LONGEST_WORD] for word in text.split())
        else:
            text = number_text(value)
        tokens.update(exact_tokens(kind, f"{key}:{text}"))
    return tokens


def exact_tokens(kind: Kind, text: str) -> Iterable[str]:
    return (EXACT[kind] + fold(text),) if SHORTEST <= len(text) <= LONGEST_EXACT else ()


def order_value(doc: Doc, type_id: str) -> str:
    """`<dead> <muted> <rank> <name>` as the view `contacts_by_type` gives it (DDOC-6)."""
    rank = HARD_CODED_TYPES.index(type_id) if type_id in HARD_CODED_TYPES else type_id
    name = doc.get("name")
    if isinstance(name, str):
        shown = name.lower()
    else:
        number = number_in(doc, "name")
        shown = "undefined" if number is None else number_text(number)
    return f"{js_bool(doc.get('date_of_death'))} {js_bool(doc.get('muted'))} {rank} {shown}"


def fold(text: str) -> str:
    return text.translate(FOLDED).lower()


def number_text(value: float) -> str:
    """A number as JavaScript prints it, but for huge and tiny ones."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def number_in(doc: Doc, name: str) -> float | None:
    value = doc.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def js_bool(value: Any) -> str:
    """Whether JavaScript takes the value for true, which it does for empty objects and lists."""
    return "true" if value or isinstance(value, dict | list) else "false"
