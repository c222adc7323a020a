"""What people and places share: their kinds, and how a new one is read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import orjson

from core.couch.client import Doc
from core.dates import ms_of
from core.documents import ContactType, ContactTypes, contact_type_id
from core.errors import InvalidInput, NotFound
from core.lineage import minify_parent
from core.uuids import uuid7

NEW_PLACE = "Place must be a new object or string identifier (UUID)."
NEW_PERSON = "Person must be a new object or string identifier (UUID)."

# EP-PLC-3: what holds for these types where the settings do not configure them.
HARD_CODED_PLACES = {
    each.id: each
    for each in (
        ContactType("national_office"),
        ContactType("district_hospital"),
        ContactType("health_center", ("district_hospital",)),
        ContactType("clinic", ("health_center",)),
    )
}

# Ids that belong to configuration and accounts (35 MOD-7): a contact must never be written there.
RESERVED_ID = re.compile(
    r"_.*|settings|resources|branding|partners|service-worker-meta|zscore-charts|privacy-policies|extension-libs"
    r"|migration-log|shortcode-id-length|horti-upgrade|form:.*|messages-.*|org\.couchdb\.user:.*|token:.*|task~.*|target~.*",
    re.DOTALL,
)
ISO_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?(Z|[+-]\d{2}:\d{2})", re.ASCII)
LATEST_MS = 8_640_000_000_000_000


def place_type(types: ContactTypes, doc: Doc) -> ContactType | None:
    """The type of a place, configured or hard-coded; None when the document is no place (EP-PLC-3)."""
    type_id = contact_type_id(doc)
    if type_id is None:
        return None
    known = types.get(type_id)
    if known is not None:
        return None if known.person or known.id == "person" else known
    return HARD_CODED_PLACES.get(type_id)


def found_place(types: ContactTypes, found: Mapping[str, Doc], place_id: str) -> Doc:
    place = found.get(place_id)
    if place is None or place_type(types, place) is None:
        raise NotFound("Failed to find place.")
    return place


def found_person(types: ContactTypes, found: Mapping[str, Doc], person_id: str) -> Doc:
    person = found.get(person_id)
    if person is None or not types.is_person(person):
        raise NotFound("Failed to find person.")
    return person


def reference(doc: Doc) -> Doc:
    """`{_id, parent}`: how another document names this contact (35 MOD-40)."""
    parent = minify_parent(doc.get("parent"))
    return {"_id": doc["_id"], "parent": parent} if parent else {"_id": doc["_id"]}


def referenced_id(value: Any) -> str | None:
    """The id, where a text or an object with nothing but an id and lineage names an existing contact; else None."""
    if isinstance(value, dict) and "name" not in value and "_rev" not in value:
        value = value.get("_id")
    return value if isinstance(value, str) and value else None


def read_person(types: ContactTypes, body: Any, now_ms: int) -> Doc:
    """A new person as it will be stored, but for its place (EP-PPL-2, 3, 8; the checks of EP-PPL-7 in their order)."""
    if not isinstance(body, dict):
        raise InvalidInput("Person must be an object.")
    if "_rev" in body:
        raise InvalidInput(NEW_PERSON)
    person = body if body.get("type") else {**body, "type": "person"}
    kind = types.of(person)
    if kind is None or not types.is_person(person):
        raise InvalidInput("Wrong type, this is not a person.")
    if not person.get("name"):
        raise InvalidInput('Person is missing a "name" property.')
    if not isinstance(person["name"], str):
        raise InvalidInput('Property "name" must be a string.')
    if reported_date_ms(person, now_ms) is None:
        raise InvalidInput(f"Reported date is invalid: {shown(person['reported_date'])}")
    return new_contact(person, kind, now_ms, without=("place", "parent"))


def new_contact(body: Doc, kind: ContactType, now_ms: int, *, without: Collection[str]) -> Doc:
    """A contact with its id, its type as it is stored (MOD-19), the moment it was reported and all further members."""
    doc = {name: value for name, value in body.items() if name not in without and not name.startswith("_")}
    if kind.hard_coded:
        if doc.get("type") == "contact":
            doc.pop("contact_type", None)
        doc["type"] = kind.id
    else:
        doc |= {"type": "contact", "contact_type": kind.id}
    return {"_id": new_id(body, now_ms), **doc, "reported_date": reported_date_ms(body, now_ms)}


def new_id(body: Doc, now_ms: int) -> str:
    """The id the body brings, else a new one (EP-8, EP-PPL-8)."""
    given = body.get("_id")
    if given is None:
        return uuid7(now_ms)
    if not isinstance(given, str) or not given or RESERVED_ID.fullmatch(given):
        raise InvalidInput(f'Property "_id" must be a string that is free for contacts, not {shown(given)}')
    return given


def reported_date_ms(body: Doc, now_ms: int) -> int | None:
    """`reported_date` in ms since the epoch, now when it is missing, None when it is none of EP-9's forms."""
    value = body.get("reported_date")
    if value is None:
        return now_ms
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if ISO_MOMENT.fullmatch(value):
            try:
                return ms_of(datetime.fromisoformat(value))
            except (ValueError, OverflowError):
                return None
        if not value.isascii() or not value.isdigit() or len(value) > 16:
            return None
        value = int(value)
    return int(value) if isinstance(value, int | float) and abs(value) <= LATEST_MS else None


def shown(value: Any) -> str:
    """A value as an error message quotes it."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
