"""People: created in an existing place or together with a new one (30 §6)."""

from __future__ import annotations

from typing import Any

from core.contacts import NEW_PLACE, found_place, read_person, reference, referenced_id
from core.couch.client import Database, Doc, Row
from core.creations import create_together
from core.errors import InvalidInput
from core.lineage import minify_parent
from core.places import documents, read_place, references
from core.settings import Settings


async def create_person(db: Database, settings: Settings, body: Any, *, now_ms: int) -> list[Row]:
    """Store a person together with the new places it comes with; the person's row comes first.

    Person and places are checked before anything is written (EP-PPL-9): InvalidInput, NotFound for a place, and
    Conflict for an `_id` that is taken.
    """
    types = settings.contact_types
    person = read_person(types, body, now_ms)
    place = body.get("place") or body.get("parent")
    above: list[Doc] = []
    if place is None or place == "":
        pass
    elif not isinstance(place, str | dict):
        raise InvalidInput(NEW_PLACE)
    elif not body.get("place") and isinstance(place, dict):
        person["parent"] = minify_parent(place)
        if not person["parent"]:
            raise InvalidInput('Property "parent" must be the id of a place, or an object with its "_id".')
    elif place_id := referenced_id(place):
        person["parent"] = reference(found_place(types, await db.get_many([place_id]), place_id))
    else:
        new_place = read_place(types, place, now_ms)
        above = documents(types, new_place, await db.get_many(references(new_place)))
        person["parent"] = reference(above[-1])
    rows, _ = await create_together(db, [*above, person], now_ms=now_ms)
    return rows[::-1]
