"""What hydrating needs, foreseen by the access index: it saves reads and never alters what comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings

from api.access import queries
from core.couch.client import Database, Doc
from core.hydration import Nearby, hydrate_ids
from core.lineage import is_contact_doc
from tests.api.access.worlds import CONTACT_TYPES, DOC_IDS, PEOPLE, PLACES, RESERVED_IDS, World, histories


class Stored(Database):
    """Documents as CouchDB would answer for them, and how often it was asked."""

    def __init__(self, docs: dict[str, Doc]) -> None:
        self.docs = docs
        self.asked: list[str] = []

    async def get_many(self, ids: Iterable[str]) -> dict[str, Doc]:
        wanted = list(ids)
        if wanted:
            self.asked.append("_bulk_get")
        return {each: self.docs[each] for each in wanted if each in self.docs}

    async def view(self, ddoc: str, view: str, *, keys: Iterable[Any] | None = None, **params: Any) -> list[Any]:
        self.asked.append(view)
        asked = [key for _, key in keys or ()]
        rows = [
            {"id": doc_id, "key": ["shortcode", str(code)], "doc": doc}
            for doc_id, doc in sorted(self.docs.items())
            if is_contact_doc(doc)
            for code in (doc.get("place_id"), doc.get("patient_id"))
            if code
        ]
        return [row for key in asked for row in rows if row["key"][1] == key]


async def hydrated(db: Database, doc_ids: list[str], foresee: Any = None) -> list[Any]:
    return [row async for batch in hydrate_ids(db, doc_ids, foresee) for row in batch]


def may_be_foreseen(doc_id: str, body: Doc) -> bool:
    """No national office, and no contact in the place of the settings or an account: no contacts to the index."""
    return body.get("type") != "national_office" and (
        doc_id not in RESERVED_IDS or body.get("type") not in CONTACT_TYPES
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(history=histories)
def test_documents_hydrate_alike_with_and_without_the_index(history: list[Any]) -> None:
    world = World()
    for batch in history:
        world.apply([(each, body) for each, body in batch if may_be_foreseen(each, body or {})])
    live = {each: {**body, "_id": each} for each, body in world.last_live.items() if each not in world.deleted}
    doc_ids = [*PLACES, *PEOPLE, *DOC_IDS]

    async def foresee(names: Collection[str]) -> Nearby:
        return queries.around(world.writer.connection, names)

    expected = asyncio.run(hydrated(Stored(live), doc_ids))

    assert asyncio.run(hydrated(Stored(live), doc_ids, foresee)) == expected  # HYD-1..4
    world.writer.close()


IN_PLACE = {"_id": "place-0", "parent": {"_id": "place-1"}}
STORED: dict[str, Doc] = {
    "place-0": {**IN_PLACE, "type": "clinic", "contact": {"_id": "person-1"}},
    "place-1": {"_id": "place-1", "type": "district_hospital", "contact": {"_id": "person-2"}},
    "person-0": {"_id": "person-0", "type": "person", "patient_id": "10001", "parent": IN_PLACE},
    "person-1": {"_id": "person-1", "type": "person", "parent": IN_PLACE},
    "person-2": {"_id": "person-2", "type": "person", "parent": {"_id": "place-1"}},
    "doc-0": {
        "_id": "doc-0",
        "type": "data_record",
        "form": "visit",
        "contact": {"_id": "person-1", "parent": IN_PLACE},
        "fields": {"patient_id": "10001"},
    },
}


def test_reports_are_read_together_with_all_they_refer_to() -> None:
    world = World()
    world.apply(list(STORED.items()))
    db = Stored(STORED)

    async def foresee(names: Collection[str]) -> Nearby:
        return queries.around(world.writer.connection, names)

    [row] = asyncio.run(hydrated(db, ["doc-0"], foresee))

    assert db.asked == ["_bulk_get"]
    assert row["doc"]["patient"]["parent"]["contact"] == STORED["person-1"]
    assert row["doc"]["contact"]["parent"]["parent"]["contact"] == STORED["person-2"]
    world.writer.close()


def test_foresight_is_believed_as_far_as_the_documents_agree() -> None:
    guesses = [
        Nearby((), {}),
        Nearby(["person-9", "place-1"], {"10001": ["person-9", "person-2"]}),
        Nearby(STORED, {"10001": [], "person-0": ["person-1"], "doc-0": ["person-2"]}),
        Nearby(["person-2"], {"10001": ["person-2"]}),  # who had the shortcode before
    ]
    expected = asyncio.run(hydrated(Stored(STORED), list(STORED)))

    for guess in guesses:

        async def foresee(names: Collection[str], guess: Nearby = guess) -> Nearby:
            return guess

        assert asyncio.run(hydrated(Stored(STORED), list(STORED), foresee)) == expected
