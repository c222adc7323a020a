"""Making user accounts, with the place and the contact they may bring (30 §9.3)."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.contacts import NEW_PERSON, NEW_PLACE, found_place, read_person, reference, referenced_id
from core.couch.client import Database, Doc, Row
from core.creations import Last, create_together, settle_abandoned
from core.documents import ContactTypes, lineage_ids
from core.errors import Conflict, InvalidInput, NotFound
from core.places import NewPlace, documents, read_place, references
from core.settings import Settings
from core.token_login import new_link, random_password
from core.translations import load_translations
from core.user_fields import (
    SSO,
    InvalidUser,
    check_new_user,
    must_change_password,
    profile_of,
    roles_of,
    wants_token_login,
)
from core.user_places import check_contact, check_places, check_several, check_within, facility_of, read_places
from core.users import ensure_sso_free, user_id, users_db


class UsernameTaken(Conflict):
    """There is an account of that name, or what a deleted one left (EP-USR-26)."""

    def __init__(self) -> None:
        super().__init__("Document update conflict.")


@dataclass(frozen=True)
class Home:
    """Where a new user belongs: the documents to be made for it, `facility_id`, and the person, new or with `_rev`."""

    docs: list[Doc]
    facility_id: str | list[str] | None
    person: Doc | None


async def create_user(
    db: Database,
    settings: Settings,
    body: Any,
    *,
    now_ms: int,
    app_url: str = "",
    force_password_change: bool = False,
    several_places: bool = False,
) -> tuple[Doc, list[Row]]:
    """Make an account, its profile, and the place and contact it may come with (EP-USR-20..30).

    The answer `{"contact", "user-settings", "user"}`, each `{id, rev}`, with a login link `{"token_login"}` too, and
    the rows written to the main database. `app_url` is where a link leads when the settings do not say.
    With `several_places` there may be more than one, and places and contact all exist already (EP-USR-70).
    Everything is checked before the first write and undone when a later write fails. InvalidUser, InvalidInput,
    NotFound for a place or person, Conflict for a name that is taken.
    """
    if not isinstance(body, dict):
        raise InvalidInput("User must be an object.")
    roles = roles_of(body, settings)
    check_new_user(body, roles, settings)
    name = body["username"]
    await ensure_sso_free(db, body.get(SSO), name)
    if several_places:
        places, contact_id = read_existing(body, roles or (), settings)
        await ensure_free(db, name, now_ms)
        home = await existing_home(db, settings.contact_types, places, contact_id)
    else:
        place = read_user_place(settings.contact_types, body, now_ms)
        contact = read_user_contact(settings.contact_types, body.get("contact"), now_ms)
        await ensure_free(db, name, now_ms)
        home = await new_home(db, settings.contact_types, place, contact, now_ms)
    docs, person = home.docs, home.person
    account: Doc = {"_id": user_id(name), "name": name, "roles": roles}
    account |= {"facility_id": home.facility_id} if home.facility_id else {}
    account |= {"contact_id": person["_id"]} if person else {}
    account |= {"known": body["known"]} if body.get("known") is not None else {}
    profile = {**account, "type": "user-settings", **profile_of(body)}
    login: Doc = {"type": "user", "password": body.get("password")}
    if force_password_change:
        login["password_change_required"] = must_change_password(body, roles or (), settings)
    if body.get(SSO):
        login |= {SSO: body[SSO], "password": random_password()}
        profile["oidc_login"] = True
    answer: Doc = {}
    if wants_token_login(body, settings):
        link = new_link(settings, await load_translations(db), account, profile, app_url=app_url, now_ms=now_ms)
        login |= {"password": link.password, "token_login": link.of_account}
        profile |= {"phone": link.phone, "token_login": link.of_profile}
        docs.append(link.doc)
        answer["token_login"] = {"expiration_date": link.expiration_ms}
    # The account comes last because it lets the user in.
    last = Last(users_db(db), {**account, **login})
    rows, rev = await create_together(db, [*docs, profile], now_ms=now_ms, last=last)
    revs = {row["id"]: row["rev"] for row in rows}
    answer |= {"user-settings": {"id": profile["_id"], "rev": revs[profile["_id"]]}}
    answer |= {"user": {"id": account["_id"], "rev": rev}}
    if person is not None:
        answer["contact"] = {"id": person["_id"], "rev": revs.get(person["_id"]) or person["_rev"]}
    return answer, rows


def read_existing(body: Doc, roles: Iterable[str], settings: Settings) -> tuple[list[str], str | None]:
    """The ids of the places and the contact of a user who brings nothing new."""
    places = read_places(body["place"]) if body.get("place") is not None else []
    check_several(places, roles, settings)
    contact_id = body.get("contact") or None
    if not isinstance(contact_id, str | None):
        raise InvalidInput('Property "contact" must be the id of an existing person.')
    return places, contact_id


async def existing_home(db: Database, types: ContactTypes, places: list[str], contact_id: str | None) -> Home:
    found = await db.get_many([*places, *([contact_id] if contact_id else ())])
    check_places(types, found, places, named=True)
    person = check_contact(types, found, contact_id, places, named=True) if contact_id else None
    return Home([], facility_of(places) if places else None, person)


async def new_home(
    db: Database, types: ContactTypes, place: NewPlace | str | None, contact: Doc | str | None, now_ms: int
) -> Home:
    found = await db.get_many(needed_ids(place, contact))
    docs, place_doc = place_documents(types, place, found)
    person, is_new = user_contact(types, contact, place_doc, found, now_ms)
    if person is not None and is_new:
        if docs:
            docs[-1]["contact"] = reference(person)
        docs.append(person)
    return Home(docs, place_doc["_id"] if place_doc else None, person)


def read_user_place(types: ContactTypes, body: Doc, now_ms: int) -> NewPlace | str | None:
    """The user's place: an id or a new place, whose contact will be the user's own if one is given (EP-USR-28)."""
    place = body.get("place")
    if not place:
        return None
    if isinstance(place, list):
        if len(place) != 1:
            raise InvalidInput("Only one place can be given here, not several")
        [place] = place
    if not isinstance(place, str | dict):
        raise InvalidInput(NEW_PLACE)
    place_id = referenced_id(place)
    if place_id is not None or not isinstance(place, dict):
        return place_id
    return read_place(types, {**place, "contact": None} if body.get("contact") else place, now_ms)


def read_user_contact(types: ContactTypes, contact: Any, now_ms: int) -> Doc | str | None:
    """The user's contact: an id or the members of a person, checked unless its `_id` may name one that exists."""
    if not contact:
        return None
    if isinstance(contact, str):
        return contact
    if not isinstance(contact, dict) or "_rev" in contact:
        raise InvalidInput(NEW_PERSON)
    if contact.get("_id") is None:
        read_person(types, contact, now_ms)
    return contact


def needed_ids(place: NewPlace | str | None, contact: Doc | str | None) -> Iterable[str]:
    """The ids of all documents a new user refers to."""
    if isinstance(place, NewPlace):
        yield from references(place)
    elif place is not None:
        yield place
    if isinstance(contact, str):
        yield contact
    elif contact is not None:
        ids = (contact.get("_id"), referenced_id(contact.get("parent")))
        yield from (each for each in ids if isinstance(each, str))


def place_documents(
    types: ContactTypes, place: NewPlace | str | None, found: dict[str, Doc]
) -> tuple[list[Doc], Doc | None]:
    """The place documents to write, the user's place last, and the user's place."""
    if place is None:
        return [], None
    if isinstance(place, str):
        return [], found_place(types, found, place)
    docs = documents(types, place, found)
    return docs, docs[-1]


def user_contact(
    types: ContactTypes, contact: Doc | str | None, place: Doc | None, found: dict[str, Doc], now_ms: int
) -> tuple[Doc | None, bool]:
    """The user's contact and whether it is new: an existing person within the place, or one made there (EP-USR-29)."""
    if contact is None:
        return None, False
    contact_id = contact if isinstance(contact, str) else contact.get("_id")
    existing = found.get(contact_id) if isinstance(contact_id, str) else None
    if existing is not None:
        if not types.is_person(existing):
            raise InvalidUser("Wrong type, contact is not a person.", "contact.type.wrong")
        check_within(lineage_ids(existing.get("parent")), [place["_id"]] if place else [])
        return existing, False
    if isinstance(contact, str):
        raise NotFound("Failed to find person.")
    person = read_person(types, contact, now_ms)
    if contact.get("parent"):
        parent_id = referenced_id(contact["parent"])
        if parent_id is None:
            raise InvalidInput('Property "contact.parent" must be the id of an existing place.')
        parent = place if place is not None and parent_id == place["_id"] else found_place(types, found, parent_id)
        check_within([parent_id, *lineage_ids(parent.get("parent"))], [place["_id"]] if place else [])
        person["parent"] = reference(parent)
    elif place is not None:
        person["parent"] = reference(place)
    return person, True


async def ensure_free(db: Database, name: str, now_ms: int) -> None:
    """Conflict when the name has an account or a profile, even a deleted user's (EP-USR-26).

    What a creation left that was cut off before its account existed does not count when it is some minutes old.
    """
    account, profile = await gather(users_db(db).find(user_id(name)), db.find(user_id(name)))
    if account is None and profile is not None and not profile.get("inactive"):
        await settle_abandoned(db, now_ms)
        profile = await db.find(user_id(name))
    if account is not None or profile is not None:
        raise UsernameTaken
