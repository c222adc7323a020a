"""The places of an account and its contact where a request names them by id: one of each, or several places (30 §9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.contacts import place_type
from core.couch.client import Doc
from core.documents import ContactTypes, facility_ids, lineage_ids
from core.errors import InvalidInput, NotFound
from core.settings import Settings
from core.user_fields import InvalidUser


def read_places(value: Any) -> list[str]:
    """The ids that `place` names, an id or a list of them (EP-USR-70)."""
    ids = [value] if isinstance(value, str) else value
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) and each for each in ids):
        raise InvalidInput("Invalid facilities list")
    return list(dict.fromkeys(ids))


def changed_places(body: Doc, account: Doc, settings: Settings, *, several: bool) -> list[str] | None:
    """The ids an update leaves the account with, none where it clears them; None when it does not speak of places.

    Without `several` an account may only lose some of the places it has, or be given a single one (65 CONF-21).
    """
    if "place" not in body:
        return None
    ids = [] if body["place"] is None else read_places(body["place"])
    if several:
        check_several(ids, account.get("roles") or (), settings)
    elif len(ids) > 1 and not set(ids) <= set(facility_ids(account.get("facility_id"))):
        raise InvalidInput("Only one place can be given here, not several")
    return ids


def check_several(ids: list[str], roles: Iterable[str], settings: Settings) -> None:
    if len(ids) > 1 and not settings.has_permission(roles, "can_have_multiple_places"):
        raise InvalidInput("This user cannot have multiple places")


def facility_of(ids: list[str]) -> str | list[str]:
    """`facility_id` as it is stored: text, a list where there are several (MOD-62)."""
    return ids[0] if len(ids) == 1 else ids


def check_places(types: ContactTypes, found: Mapping[str, Doc], ids: Iterable[str], *, named: bool) -> None:
    """NotFound, which names the id where `named`, for the first that is no existing place."""
    for each in ids:
        if each not in found or place_type(types, found[each]) is None:
            raise NotFound(f"Failed to find place {each}" if named else "Failed to find place.")


def check_contact(
    types: ContactTypes, found: Mapping[str, Doc], contact_id: str, places: Iterable[str], *, named: bool
) -> Doc:
    """The person of that id, who is within at least one of the places (EP-USR-54, EP-USR-70)."""
    if contact_id not in found:
        raise NotFound(f"Contact not found [{contact_id}]." if named else "Failed to find person.")
    person = found[contact_id]
    if not types.is_person(person):
        raise InvalidUser("Wrong type, contact is not a person.", "contact.type.wrong")
    check_within(lineage_ids(person.get("parent")), places)
    return person


def check_within(above: Iterable[str], place_ids: Iterable[str]) -> None:
    """Refuse a contact with none of the user's places above it. A user without a place may have any contact."""
    wanted = set(place_ids)
    if wanted and wanted.isdisjoint(above):
        raise InvalidUser("Contact is not within place.", "configuration.user.place.contact")
