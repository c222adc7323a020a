"""The questions transitions ask the database, answered for all changes of a wave at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from core.couch.client import Database
from core.documents import Doc
from core.lineage import find_by_shortcodes, hydrate
from core.loose import text_of
from core.settings import Settings
from core.shortcodes import reserve_shortcodes
from sentinel.transitions.conditions import fields_of, valid_registrations
from sentinel.transitions.rounds import Rounds

SUBJECT_FIELDS = ("patient_id", "patient_uuid", "place_id", "place_uuid", "case_id")
PAGE_ROWS = 500

# What is asked of the reports: pairs of a field and its text, and the earliest reported_date in milliseconds.
Question = tuple[tuple[tuple[str, str], ...], int | None]


class Lookups:
    """Asked by the transitions of one wave. Answers are shared with nobody but where said; None means not found."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db = db
        self.settings = settings
        self.rounds = Rounds()
        self._given: set[str] = set()
        self._to_hydrate: dict[int, Doc] = {}
        self._numbers = count()

    async def doc(self, doc_id: str) -> Doc | None:
        found: Doc | None = await self.rounds.ask(self._docs, doc_id)
        return found

    async def contact_by_phone(self, phone: str) -> Doc | None:
        """The contact with that phone, the lowest id of several, with its lineage. Do not change it."""
        found: Doc | None = await self.rounds.ask(self._by_phone, phone)
        return found

    async def contacts_with_phone(self, phone: str) -> set[str]:
        return set(await self.rounds.ask(self._ids_by_phone, phone) or ())

    async def contact_by_reference(self, refid: str) -> Doc | None:
        """The contact with that external code (`rc_code`), with its lineage. Do not change it."""
        found: Doc | None = await self.rounds.ask(self._by_reference, refid)
        return found

    async def contact_by_shortcode(self, shortcode: str) -> Doc | None:
        """The contact with that `patient_id` or `place_id`, with its lineage. Do not change it."""
        found: Doc | None = await self.rounds.ask(self._by_shortcode, shortcode)
        return found

    async def hydrated(self, doc: Doc) -> Doc:
        """A copy of a contact or report with its lineage and subjects (HYD-1..3)."""
        number = next(self._numbers)
        self._to_hydrate[number] = doc
        found: Doc = await self.rounds.ask(self._hydrate, number)
        return found

    async def registrations(self, subject_ids: Iterable[str]) -> list[Doc]:
        """The valid registrations of a subject by all its ids, each once (TRN-16). Copy one before you change it."""
        ids = tuple(sorted(set(subject_ids)))
        if not ids:
            return []
        return valid_registrations(await self.rounds.ask(self._by_subject, ids) or (), self.settings)

    async def new_shortcode(self) -> str:
        """A shortcode nobody has, given to nobody else in this wave (TRN-18)."""
        found: str = await self.rounds.ask(self._reserve, next(self._numbers))
        return found

    async def valid_reports_with(self, values: Mapping[str, Any], since_ms: int | None = None) -> set[str]:
        """Ids of the reports without errors that have all these values; a blank value is nobody's (VAL-8, VAL-9)."""
        wanted = tuple(sorted((name, text_of(value)) for name, value in values.items()))
        if not wanted or not all(text for _, text in wanted):
            return set()
        return set(await self.rounds.ask(self._reports_matching, (wanted, since_ms)) or ())

    # --- one read for all keys of a round ---

    async def _docs(self, ids: Sequence[str]) -> dict[str, Doc]:
        return await self.db.get_many(ids)

    async def _by_phone(self, phones: Sequence[str]) -> dict[str, Doc]:
        rows = await self.db.view("medic-client", "contacts_by_phone", keys=phones, include_docs=True)
        return await self._with_lineage({row["key"]: row["doc"] for row in reversed(rows) if row.get("doc")})

    async def _ids_by_phone(self, phones: Sequence[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for row in await self.db.view("medic-client", "contacts_by_phone", keys=phones):
            found.setdefault(row["key"], set()).add(row["id"])
        return found

    async def _by_reference(self, refids: Sequence[str]) -> dict[str, Doc]:
        keys = [["external", refid] for refid in refids]
        rows = await self.db.view("medic-client", "contacts_by_reference", keys=keys, include_docs=True)
        return await self._with_lineage({row["key"][1]: row["doc"] for row in reversed(rows) if row.get("doc")})

    async def _by_shortcode(self, shortcodes: Sequence[str]) -> dict[str, Doc]:
        return await self._with_lineage(await find_by_shortcodes(self.db, shortcodes))

    async def _with_lineage(self, found: dict[str, Doc]) -> dict[str, Doc]:
        return dict(zip(found, await hydrate(self.db, list(found.values())), strict=True))

    async def _hydrate(self, numbers: Sequence[int]) -> dict[int, Doc]:
        docs = [self._to_hydrate.pop(number) for number in numbers]
        return dict(zip(numbers, await hydrate(self.db, docs), strict=True))

    async def _by_subject(self, groups: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], list[Doc]]:
        ids = sorted({each for group in groups for each in group})
        found: dict[str, list[Doc]] = {}
        for row in await self.db.view("medic-client", "reports_by_subject", keys=ids, include_docs=True):
            if row.get("doc"):
                found.setdefault(row["key"], []).append(row["doc"])
        return {group: [doc for each in group for doc in found.get(each, ())] for group in groups}

    async def _reserve(self, numbers: Sequence[int]) -> dict[int, str]:
        codes: list[str] = []
        while len(codes) < len(numbers):
            fresh = [
                code for code in await reserve_shortcodes(self.db, len(numbers) - len(codes)) if code not in self._given
            ]
            self._given.update(fresh)
            codes += fresh
        return dict(zip(numbers, codes, strict=True))

    async def _reports_matching(self, questions: Sequence[Question]) -> dict[Question, set[str]]:
        """One pass over the reports of each source, page by page, for all questions about it."""
        found: dict[Question, set[str]] = {question: set() for question in questions}
        sources: dict[tuple[str, Any, Any], list[Question]] = {}
        for question in questions:
            sources.setdefault(source_of(question), []).append(question)
        for (view, start, end), asked in sources.items():
            async for doc in self._scan(view, start, end):
                if doc.get("type") == "data_record" and doc.get("form") and not doc.get("errors"):
                    values = {**doc, **fields_of(doc)}
                    for question in asked:
                        if answers(question, doc, values):
                            found[question].add(doc["_id"])
        return found

    async def _scan(self, view: str, start: Any, end: Any) -> AsyncIterator[Doc]:
        page: dict[str, Any] = {"startkey": start, "endkey": end}
        while True:
            rows = await self.db.view("medic-client", view, include_docs=True, reduce=False, limit=PAGE_ROWS, **page)
            for row in rows:
                if row.get("doc"):
                    yield row["doc"]
            if len(rows) < PAGE_ROWS:
                return
            page = {"startkey": rows[-1]["key"], "startkey_docid": rows[-1]["id"], "endkey": end, "skip": 1}


def source_of(question: Question) -> tuple[str, Any, Any]:
    """The narrowest view over the reports that can match: by subject, by form, or by date. Hashable keys."""
    wanted, since_ms = question
    values = dict(wanted)
    for name in SUBJECT_FIELDS:
        if name in values:
            return "reports_by_subject", values[name], values[name]
    if since_ms is None and "form" in values:
        return "reports_by_form", (values["form"],), (values["form"],)
    # Texts sort after every number.
    return "reports_by_date", () if since_ms is None else (since_ms,), ("\ufff0",)


def answers(question: Question, doc: Doc, values: Mapping[str, Any]) -> bool:
    wanted, since_ms = question
    reported = doc.get("reported_date")
    if since_ms is not None and not (isinstance(reported, int | float) and reported >= since_ms):
        return False
    return all(text_of(values.get(name)).lower() == text.lower() for name, text in wanted)
