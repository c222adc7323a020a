"""The tree of places and people, level by level."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from core.contacts import HARD_CODED_PLACES
from core.couch.client import Database, Doc, Row
from core.documents import ContactTypes, contact_type_id, id_of, lineage_ids
from core.lineage import is_contact_doc
from core.paging import PageRequest, ReadRange, read_page, view_range


async def page_within(
    db: Database, types: ContactTypes, parent: str | None, asked: PageRequest
) -> tuple[list[Doc], str | None]:
    """A page of what is directly within a place, places before people; without one, the places at the top."""
    rows, cursor = await read_page(ranges(db, types, parent), asked)
    ids = [row["id"] for row in rows]
    return await shown(db, ids), cursor


def ranges(db: Database, types: ContactTypes, parent: str | None) -> list[ReadRange]:
    if parent is None:
        tops = [each.id for each in types.places() if not each.parents]
        known = {each.id for each in types.places()}
        tops += [each.id for each in HARD_CODED_PLACES.values() if not each.parents and each.id not in known]
        return [view_range(db, "medic-client", "contacts_by_type", [each]) for each in tops]
    places = [each.id for each in types.places()]
    people = [each.id for each in types.persons()]
    names = dict.fromkeys([*places, *HARD_CODED_PLACES, *people, "person"])
    return [partial(read_within, db, parent, each) for each in names]


async def read_within(db: Database, parent: str, type_id: str, start: str | None, limit: int) -> list[Row]:
    return await view_range(db, "medic-client", "contacts_by_parent", [parent, type_id])(start, limit)


async def shown(db: Database, ids: Collection[str]) -> list[Doc]:
    """`{id, name, type, phone, shortcode, contact, parents}` of contacts, in that order; others are left out.

    `contact` is the name of a place's contact, `parents` the places above, the nearest first, each `{id, name}`.
    """
    docs = await db.get_many(ids)
    contacts = [docs[each] for each in ids if each in docs and is_contact_doc(docs[each])]
    around = {each for doc in contacts for each in (*lineage_ids(doc.get("parent")), id_of(doc.get("contact"))) if each}
    docs |= await db.get_many(around - docs.keys())

    def name(doc_id: str | None) -> str | None:
        return name_of(docs[doc_id]) if doc_id in docs else None

    return [
        {
            "id": doc["_id"],
            "name": name_of(doc),
            "type": contact_type_id(doc),
            "phone": doc.get("phone"),
            "shortcode": doc.get("patient_id") or doc.get("place_id"),
            "contact": name(id_of(doc.get("contact"))),
            "parents": [{"id": each, "name": name(each)} for each in lineage_ids(doc.get("parent"))],
        }
        for doc in contacts
    ]


def name_of(doc: Doc) -> str | None:
    name = doc.get("name")
    return str(name) if isinstance(name, str | int) and name != "" else None
