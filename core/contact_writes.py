"""People and places created and updated as whole documents, by the newer resources (EP-CON-12, 13, 15, 16)."""

from __future__ import annotations

from typing import Any

from core.contacts import new_contact, reference
from core.couch.client import Database, Doc
from core.documents import ContactType, ContactTypes, contact_type_id, id_of
from core.errors import InvalidInput, NotFound
from core.field_checks import (
    check_date,
    check_optional_texts,
    optional_reference,
    refuse_set,
    reported_date,
    require_object,
    require_reference,
    require_texts,
)
from core.lineage import minify, minify_contact, minify_parent
from core.settings import Settings
from core.shapes import NewPersonDoc, NewPlaceDoc, optional_texts, required_texts

FIXED = ("_rev", "reported_date", "type", "contact_type")
IDENTITY = "Valid _id, _rev, and type fields must be provided."
NO_CONTACT = "A contact must be provided."


async def create_person(db: Database, settings: Settings, body: Any, *, now_ms: int) -> Doc:
    """Store a new person below the place `parent` names, and return it as stored. InvalidInput."""
    person = require_object(body, "Person")
    require_texts(person, required_texts(NewPersonDoc))
    parent_id = require_reference(person, "parent")
    check_person_fields(person)
    refuse_set(person, ("_id", "_rev"))
    reported_date(person, now_ms)
    kind = type_of(settings.contact_types, person, person_wanted=True)
    parent = (await db.get_many([parent_id])).get(parent_id)
    doc = new_contact(person, kind, now_ms, without=("parent",))
    doc["parent"] = reference(checked_parent(settings.contact_types, kind, parent, parent_id))
    return {**doc, "_rev": await db.put(doc)}


async def create_place(db: Database, settings: Settings, body: Any, *, now_ms: int) -> Doc:
    """Store a new place, below the one `parent` names where its type asks for one, and return it as stored."""
    place = require_object(body, "Place")
    require_texts(place, required_texts(NewPlaceDoc))
    parent_id, contact_id = optional_reference(place, "parent"), optional_reference(place, "contact")
    check_optional_texts(place, optional_texts(NewPlaceDoc))
    refuse_set(place, ("_id", "_rev"))
    reported_date(place, now_ms)
    types = settings.contact_types
    kind = type_of(types, place, person_wanted=False)
    if kind.parents and parent_id is None:
        raise InvalidInput(f"Place type [{kind.id}] requires a parent contact.")
    if parent_id is not None and not kind.parents:
        raise InvalidInput(f"Place type [{kind.id}] does not support having a parent contact.")
    found = await db.get_many(each for each in (parent_id, contact_id) if each)
    doc = new_contact(place, kind, now_ms, without=("parent", "contact"))
    if parent_id is not None:
        doc["parent"] = reference(checked_parent(types, kind, found.get(parent_id), parent_id))
    if contact_id is not None:
        contact = found.get(contact_id)
        if contact is None or not types.is_person(contact):
            raise InvalidInput(f"Primary contact [{contact_id}] not found.")
        doc["contact"] = reference(contact)
    return {**doc, "_rev": await db.put(doc)}


async def update_contact(db: Database, settings: Settings, doc_id: str, body: Any, *, person: bool) -> Doc:
    """Replace a person or place by the whole document given, and return it as stored.

    What a contact is, where it is and when it was reported stay. InvalidInput, NotFound; Conflict when another
    write came first.
    """
    label = "Person" if person else "Place"
    given = require_object(body, label)
    if given.get("_id") != doc_id or not all(
        isinstance(given.get(name), str) and given[name] for name in ("_rev", "type")
    ):
        raise InvalidInput(IDENTITY)
    types = settings.contact_types
    stored = (await db.get_many([doc_id])).get(doc_id)
    if stored is None or not (types.is_person(stored) if person else types.is_place(stored)):
        raise NotFound(f"{label} record [{doc_id}] not found.")
    refuse_changed(given, stored, FIXED)
    require_texts(given, ("name",))
    if person:
        check_person_fields(given)
    else:
        check_optional_texts(given, optional_texts(NewPlaceDoc))
    parent = given.get("parent")
    if minify_parent({"_id": parent} if isinstance(parent, str) else parent) != minify_parent(stored.get("parent")):
        raise InvalidInput("Parent lineage does not match.")
    doc = {**minify(own_members(given)), **kept_members(stored)}
    if stored.get("parent"):
        doc["parent"] = stored["parent"]
    if not person:
        doc |= await checked_contact(db, types, given, stored)
    return {**doc, "_rev": await db.put(doc)}


async def checked_contact(db: Database, types: ContactTypes, given: Doc, stored: Doc) -> Doc:
    """`{contact}` as it will be stored: the one there was, or another existing contact with its own lineage.

    Once set it cannot be taken away, and a lineage that is given must be that of the contact (EP-CON-15).
    """
    value, before = given.get("contact"), stored.get("contact")
    if not value:
        if before:
            raise InvalidInput(NO_CONTACT)
        return {}
    contact_id = id_of(value)
    if contact_id is None:
        raise InvalidInput(NO_CONTACT)
    if before and value_of(value) == value_of(before):
        return {"contact": before}
    contact = (await db.get_many([contact_id])).get(contact_id)
    if contact is None or not types.is_contact(contact):
        raise InvalidInput(f"No valid contact found for [{contact_id}].")
    if isinstance(value, dict) and "parent" in value and value_of(value) != reference(contact):
        raise InvalidInput("The given contact lineage does not match the current lineage for that contact.")
    return {"contact": reference(contact)}


def value_of(contact: Any) -> Doc:
    return minify_contact(contact) if isinstance(contact, dict) else {"_id": contact}


def type_of(types: ContactTypes, body: Doc, *, person_wanted: bool) -> ContactType:
    kind = types.of(body)
    if kind is None or (types.is_person(body) is not person_wanted):
        shown = contact_type_id(body) or body["type"]
        raise InvalidInput(f"[{shown}] is not a valid {'person' if person_wanted else 'place'} type.")
    return kind


def checked_parent(types: ContactTypes, kind: ContactType, parent: Doc | None, parent_id: str) -> Doc:
    if parent is None or not types.is_contact(parent):
        raise InvalidInput(f"Parent contact [{parent_id}] not found.")
    if contact_type_id(parent) not in kind.parents:
        raise InvalidInput(f"Parent contact of type [{contact_type_id(parent)}] is not allowed for type [{kind.id}].")
    return parent


def check_person_fields(person: Doc) -> None:
    check_optional_texts(person, optional_texts(NewPersonDoc))
    check_date(person, "date_of_birth")


def refuse_changed(given: Doc, stored: Doc, names: tuple[str, ...]) -> None:
    changed = [name for name in names if given.get(name) != stored.get(name)]
    if changed:
        raise InvalidInput(f"The [{', '.join(changed)}] fields must not be changed.")


def own_members(given: Doc) -> Doc:
    """The document's content: nothing that CouchDB reads as an instruction."""
    return {name: value for name, value in given.items() if not name.startswith("_")}


def kept_members(stored: Doc) -> Doc:
    return {name: stored[name] for name in ("_id", "_rev", "_attachments") if name in stored}
