"""Which reports have the same values: the question of the validations `unique` and `exists` (40 VAL-8, VAL-9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.couch.client import Database
from core.documents import Doc
from core.loose import text_of
from sentinel.transitions.conditions import fields_of

# Pairs of a field and its text, and the earliest reported_date in milliseconds.
Question = tuple[tuple[tuple[str, str], ...], int | None]
Key = tuple[str, str, str]

VIEW = ("medic-validation", "reports_by_form_and_field")
INDEXED_BYTES = 200  # of UTF-16: the view holds the first hundred units of a value


async def matching_reports(db: Database, questions: Sequence[Question]) -> dict[Question, set[str]]:
    """The ids for each question, in two or three reads for all of them.

    The view's counts tell which of a question's values is the rarest; only the reports with that one are read.
    """
    forms = await all_forms(db) if any("form" not in dict(wanted) for wanted, _ in questions) else []
    asked = {question: keys_by_field(question[0], forms) for question in questions}
    counts = await count_keys(db, {key for fields in asked.values() for keys in fields.values() for key in keys})
    chosen: dict[Question, list[Key]] = {}
    for question, fields in asked.items():
        chosen[question] = min(fields.values(), key=lambda keys: sum(counts.get(key, 0) for key in keys))
    wanted_keys = sorted({key for keys in chosen.values() for key in keys if counts.get(key)})
    docs = await docs_by_key(db, wanted_keys)
    return {
        question: {doc["_id"] for key in keys for doc in docs.get(key, ()) if answers(question, doc)}
        for question, keys in chosen.items()
    }


def keys_by_field(wanted: Sequence[tuple[str, str]], forms: Sequence[str]) -> dict[str, list[Key]]:
    """For each field the keys under which the view has its value: one for the form that is asked for, or for each."""
    form = dict(wanted).get("form")
    return {
        name: [(each, name, indexed(text)) for each in ([form.lower()] if form is not None else forms)]
        for name, text in wanted
    }


def indexed(text: str) -> str:
    return text.lower().encode("utf-16-le")[:INDEXED_BYTES].decode("utf-16-le", "ignore")


async def all_forms(db: Database) -> list[str]:
    rows = await db.view("medic-client", "reports_by_form", group=True)
    return sorted({str(row["key"][0]).lower() for row in rows if row["key"][0]})


async def count_keys(db: Database, keys: set[Key]) -> dict[Key, int]:
    if not keys:
        return {}
    rows = await db.view(*VIEW, keys=[list(key) for key in sorted(keys)], group=True)
    return {tuple(row["key"]): row["value"] for row in rows}


async def docs_by_key(db: Database, keys: Sequence[Key]) -> dict[Key, list[Doc]]:
    found: dict[Key, list[Doc]] = {}
    if keys:
        for row in await db.view(*VIEW, keys=[list(key) for key in keys], reduce=False, include_docs=True):
            if row.get("doc"):
                found.setdefault(tuple(row["key"]), []).append(row["doc"])
    return found


def answers(question: Question, doc: Doc) -> bool:
    """Whether a report is as asked, by its whole values."""
    wanted, since_ms = question
    reported = doc.get("reported_date")
    if doc.get("errors"):
        return False
    if since_ms is not None and not (isinstance(reported, int | float) and reported >= since_ms):
        return False
    values: Mapping[str, Any] = {**doc, **fields_of(doc)}
    return all(text_of(values.get(name)).lower() == text.lower() for name, text in wanted)
