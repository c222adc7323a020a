"""Places: created with the places above and the person in charge of them, and updated (30 §7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.contacts import (
    HARD_CODED_PLACES,
    NEW_PLACE,
    found_person,
    found_place,
    new_contact,
    place_type,
    read_person,
    reference,
    referenced_id,
    reported_date_ms,
    shown,
)
from core.couch.client import Database, Doc, Row
from core.creations import Last, create_together
from core.documents import ContactType, ContactTypes, contact_type_id, lineage_ids
from core.errors import InvalidInput
from core.lineage import DEEPEST
from core.settings import Settings
from core.shapes import PlaceChanges

EDITABLE = tuple(PlaceChanges.__annotations__)

# DIV-10: the documented words for the hard-coded hierarchy.
WRONG_PARENT = {
    "health_center": 'Health Centers should have "district_hospital" parent type.',
    "clinic": 'Clinics should have "health_center" parent type.',
}


@dataclass(frozen=True)
class NewPlace:
    """A place to be made: its document without references, and what it refers to, an id or something new itself."""

    doc: Doc
    kind: ContactType
    parent: NewPlace | str | None
    contact: Doc | str | None


async def create_place(db: Database, settings: Settings, body: Any, *, now_ms: int) -> list[Row]:
    """Store a place together with the new places above it and their new contacts; the place's row comes first.

    The whole tree is checked before anything is written (EP-PLC-9): InvalidInput, NotFound for a reference, and
    Conflict for an `_id` that is taken.
    """
    types = settings.contact_types
    place = read_place(types, body, now_ms)
    found = await db.get_many(references(place))
    rows, _ = await create_together(db, documents(types, place, found), now_ms=now_ms)
    return rows[::-1]


async def update_place(db: Database, settings: Settings, place_id: str, body: Any, *, now_ms: int) -> list[Row]:
    """Change the name, parent, contact or place_id of a place; its row comes first (EP-PLC-10..12).

    A new parent or contact is created with it. The documents below a moved place stay as they are (REPL-23).
    """
    types = settings.contact_types
    given = {name: body[name] for name in EDITABLE if name in body} if isinstance(body, dict) else {}
    if not given:
        raise InvalidInput(f"One of the following fields are required: {', '.join(EDITABLE)}")
    stored = found_place(types, await db.get_many([place_id]), place_id)
    place = {**stored, **given}
    kind = check_place(types, place, now_ms)
    if "contact" in given and not given["contact"]:
        raise InvalidInput(wrong_contact(place))
    if "place_id" in given and not (isinstance(place["place_id"], str) and place["place_id"]):
        raise InvalidInput(f'Property "place_id" on place {place_id} must be a string.')
    change = NewPlace(
        doc={name: value for name, value in place.items() if name not in given or name in ("name", "place_id")},
        kind=kind,
        parent=read_parent(types, given.get("parent"), now_ms),
        contact=read_contact(types, given.get("contact"), now_ms),
    )
    docs = documents(types, change, await db.get_many(references(change)))
    if place_id in lineage_ids(docs[-1].get("parent")):
        raise InvalidInput(f"Place {place_id} must not be placed below itself.")
    rows, rev = await create_together(db, docs[:-1], now_ms=now_ms, last=Last(db, docs[-1]))
    return [{"ok": True, "id": place_id, "rev": rev}, *rows]


# --- reading ----------------------------------------------------------------------------------------------------------


def read_place(types: ContactTypes, body: Any, now_ms: int, level: int = 1) -> NewPlace:
    """A new place with the new places above it, checked from the outermost up (EP-PLC-8), but for what it refers to."""
    if level > DEEPEST:
        raise InvalidInput(f"parent: a lineage must not have more than {DEEPEST} places")
    if not isinstance(body, dict):
        raise InvalidInput("Place must be an object.")
    if "_rev" in body:
        raise InvalidInput(NEW_PLACE)
    kind = check_place(types, body, now_ms)
    return NewPlace(
        doc=new_contact(body, kind, now_ms, without=("parent", "contact")),
        kind=kind,
        contact=read_contact(types, body.get("contact"), now_ms),
        parent=read_parent(types, body.get("parent"), now_ms, level),
    )


def read_parent(types: ContactTypes, value: Any, now_ms: int, level: int = 1) -> NewPlace | str | None:
    if not value:
        return None
    return referenced_id(value) or read_place(types, value, now_ms, level + 1)


def read_contact(types: ContactTypes, value: Any, now_ms: int) -> Doc | str | None:
    if not value:
        return None
    return referenced_id(value) or read_person(types, value, now_ms)


def check_place(types: ContactTypes, place: Doc, now_ms: int) -> ContactType:
    """Apply EP-PLC-8 in its order, as far as the document itself tells; the place's type."""
    place_id = place.get("_id") or ""
    kind = place_type(types, place)
    if kind is None:
        raise InvalidInput(f"Wrong type, object {shown(place_id)} is not a place.")
    if not place.get("name"):
        raise InvalidInput(f'Place {shown(place_id)} is missing a "name" property.')
    if reported_date_ms(place, now_ms) is None:
        raise InvalidInput(f"Reported date on place {shown(place_id)} is invalid: {shown(place['reported_date'])}")
    if not isinstance(place["name"], str):
        raise InvalidInput(f'Property "name" on place {shown(place_id)} must be a string.')
    parent = place.get("parent")
    if not parent:
        if kind.parents:
            raise InvalidInput(f'Place {shown(place_id)} is missing a "parent" property.')
    elif not isinstance(parent, str | dict):
        raise InvalidInput(NEW_PLACE)
    elif isinstance(parent, dict) and not referenced_id(parent):
        check_parent_type(kind, place, parent)
    if not isinstance(place.get("contact"), str | dict | None):
        raise InvalidInput(wrong_contact(place))
    return kind


def check_parent_type(kind: ContactType, place: Doc, parent: Doc) -> None:
    """Refuse a parent of the wrong type (EP-PLC-7)."""
    if not kind.parents or contact_type_id(parent) in kind.parents:
        return
    if kind.id in WRONG_PARENT and kind.parents == HARD_CODED_PLACES[kind.id].parents:
        raise InvalidInput(WRONG_PARENT[kind.id])
    raise InvalidInput(
        f'{kind.id} "{shown(place.get("_id") or "")}" should have one of the following parent types: '
        f'"{",".join(kind.parents)}".'
    )


def wrong_contact(place: Doc) -> str:
    return f'Property "contact" on place {shown(place.get("_id") or "")} must be an object or string.'


# --- building ---------------------------------------------------------------------------------------------------------


def references(place: NewPlace) -> Iterator[str]:
    """The ids of the existing documents a tree refers to."""
    if isinstance(place.contact, str):
        yield place.contact
    if isinstance(place.parent, str):
        yield place.parent
    elif place.parent is not None:
        yield from references(place.parent)


def documents(types: ContactTypes, place: NewPlace, found: dict[str, Doc]) -> list[Doc]:
    """All documents of a tree, those above first and the place itself last, with minified lineages.

    NotFound for a reference that is missing or of another kind, InvalidInput for a parent of the wrong type.
    """
    above: list[Doc] = []
    doc = dict(place.doc)
    if isinstance(place.parent, str):
        parent = found_place(types, found, place.parent)
        check_parent_type(place.kind, doc, parent)
        doc["parent"] = reference(parent)
    elif place.parent is not None:
        above = documents(types, place.parent, found)
        doc["parent"] = reference(above[-1])
    if isinstance(place.contact, str):
        doc["contact"] = reference(found_person(types, found, place.contact))
    elif place.contact is not None:
        person = {**place.contact, "parent": reference(doc)}
        doc["contact"] = reference(person)
        above.append(person)
    return [*above, doc]
