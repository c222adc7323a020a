"""The questions transitions ask the database, answered for all changes of a wave at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import orjson

from core.couch.client import Database
from core.documents import Doc
from core.hydration import find_by_shortcodes, hydrate
from core.loose import text_of
from core.settings import Settings
from core.shortcodes import Reserve, reserve_shortcodes
from sentinel.transitions.conditions import valid_registrations
from sentinel.transitions.notes import find_infodocs
from sentinel.transitions.report_matching import Question, matching_reports
from sentinel.transitions.rounds import Rounds


class Lookups:
    """Asked by the transitions of one wave. Answers are shared with nobody but where said; None means not found.

    A transition whose effects are too many for memory writes them itself: `may_write` raises when it must not.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        may_write: Callable[[], None] = lambda: None,
        reserve: Reserve = reserve_shortcodes,
    ) -> None:
        self.db = db
        self.reserve = reserve
        self.sentinel_db = db.couch.db(f"{db.name}-sentinel")
        self.settings = settings
        self.may_write = may_write
        self.rounds = Rounds()
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

    async def new_shortcode(self, owner: str) -> str:
        """A shortcode nobody has, given to nobody else, for the document of that id (TRN-18)."""
        found: str = await self.rounds.ask(self._reserve, owner)
        return found

    async def was_given(self, shortcode: str, owner: str) -> bool:
        """Whether that shortcode was once found for that document."""
        return bool(await self.rounds.ask(self._owners, shortcode) == owner)

    async def valid_reports_with(self, values: Mapping[str, Any], since_ms: int | None = None) -> set[str]:
        """Ids of the reports without errors that have all these values; a blank value is nobody's (VAL-8, VAL-9)."""
        wanted = tuple(sorted((name, text_of(value)) for name, value in values.items()))
        if not wanted or not all(text for _, text in wanted):
            return set()
        return set(await self.rounds.ask(self._reports_matching, (wanted, since_ms)) or ())

    async def infodoc(self, doc_id: str) -> Doc | None:
        found: Doc | None = await self.rounds.ask(self._infodocs, doc_id)
        return found

    async def latest_reports(self, form: str, parent_id: str, count: int) -> list[Doc]:
        """The newest reports of a form from submitters under that place, the newest first. Do not change them."""
        return list(await self.rounds.ask(self._latest, (form, parent_id, count)) or ())

    async def ids_in_view(self, ddoc: str, view: str, prefix: Sequence[Any]) -> list[str]:
        """The ids of all documents whose key in that view begins with these members."""
        question = (ddoc, view, orjson.dumps(list(prefix)))
        return list(await self.rounds.ask(self._by_prefix, question) or ())

    # --- one read for all keys of a round ---

    async def _docs(self, ids: Sequence[str]) -> dict[str, Doc]:
        return await self.db.get_many(ids)

    async def _by_phone(self, phones: Sequence[str]) -> dict[str, Doc]:
        """Who the index names as it is, if the number is still theirs; for the others it is brought up to date."""
        found = await self._indexed_by_phone(phones, update="false")
        if missing := [phone for phone in phones if phone not in found]:
            found |= await self._indexed_by_phone(missing, update="true")
        return await self._with_lineage(found)

    async def _indexed_by_phone(self, phones: Sequence[str], update: str) -> dict[str, Doc]:
        rows = await self.db.view("medic-client", "contacts_by_phone", keys=phones, include_docs=True, update=update)
        docs = ((row["key"], row.get("doc")) for row in reversed(rows))
        return {phone: doc for phone, doc in docs if doc and doc.get("phone") == phone}

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

    async def _owners(self, shortcodes: Sequence[str]) -> dict[str, str]:
        claims = await self.sentinel_db.get_many(f"shortcode:{each}" for each in shortcodes)
        return {str(claim.get("shortcode")): str(claim.get("doc_id")) for claim in claims.values()}

    async def _reserve(self, owners: Sequence[str]) -> dict[str, str]:
        return await self.reserve(self.db, owners)

    async def _reports_matching(self, questions: Sequence[Question]) -> dict[Question, set[str]]:
        return await matching_reports(self.db, questions)

    async def _by_prefix(self, questions: Sequence[tuple[str, str, bytes]]) -> dict[tuple[str, str, bytes], list[str]]:
        async def read(ddoc: str, view: str, prefix: list[Any]) -> list[str]:
            rows = await self.db.view(ddoc, view, startkey=prefix, endkey=[*prefix, {}], reduce=False)
            return [row["id"] for row in rows]

        found = await asyncio.gather(*(read(ddoc, view, orjson.loads(prefix)) for ddoc, view, prefix in questions))
        return dict(zip(questions, found, strict=True))

    async def _infodocs(self, ids: Sequence[str]) -> dict[str, Doc]:
        return await find_infodocs(self.sentinel_db, ids)

    async def _latest(self, questions: Sequence[tuple[str, str, int]]) -> dict[tuple[str, str, int], list[Doc]]:
        keys = sorted({(form, parent_id) for form, parent_id, _ in questions})
        dates: dict[tuple[str, str], list[tuple[float, str]]] = {}
        for row in await self.db.view("medic", "reports_by_form_and_parent", keys=keys, reduce=False):
            dates.setdefault(tuple(row["key"]), []).append((row["value"], row["id"]))
        newest = {
            question: [doc_id for _, doc_id in sorted(dates.get(question[:2], ()), reverse=True)[: question[2]]]
            for question in questions
        }
        docs = await self.db.get_many(doc_id for ids in newest.values() for doc_id in ids)
        return {question: [docs[doc_id] for doc_id in ids if doc_id in docs] for question, ids in newest.items()}
