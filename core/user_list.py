"""All accounts with their profiles, places and contacts, by bulk reads alone (30 EP-USR-10..13)."""

from __future__ import annotations

from asyncio import gather
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from core.couch.client import Database, Doc
from core.documents import facility_ids, id_of, lineage_ids
from core.users import USER_PREFIX, users_db

BATCH = 500


async def list_users(db: Database, *, batch: int = BATCH) -> AsyncIterator[list[Doc]]:
    """Every account by id, in batches: `{id, rev, type, username, fullname, ..., place, contact}`, no absent values.

    Four bulk reads a batch: accounts, profiles, the places and contacts they name, and what stands around the places.
    """
    start = USER_PREFIX
    while True:
        rows = await users_db(db).all_docs(
            startkey=start, endkey=f"{USER_PREFIX}\ufff0", include_docs=True, limit=batch + 1
        )
        accounts = [row["doc"] for row in rows[:batch]]
        yield await listed(db, accounts)
        if len(rows) <= batch:
            return
        start = rows[batch]["id"]


async def listed(db: Database, accounts: list[Doc]) -> list[Doc]:
    named = [each for account in accounts for each in named_ids(account)]
    profiles, docs = await gather(db.get_many(account["_id"] for account in accounts), db.get_many(named))
    # A profile names the contact of accounts that were made before the login did (MOD-63).
    more = {each for profile in profiles.values() if (each := id_of(profile.get("contact_id")))}
    places = [docs[each] for account in accounts for each in facility_ids(account.get("facility_id")) if each in docs]
    more |= {each for place in places for each in around(place)}
    docs |= await db.get_many(more - docs.keys())
    return [user_of(account, profiles.get(account["_id"]) or {}, docs) for account in accounts]


def named_ids(account: Doc) -> Iterable[str]:
    yield from facility_ids(account.get("facility_id"))
    if contact_id := id_of(account.get("contact_id")):
        yield contact_id


def around(place: Doc) -> Iterable[str]:
    """The ids of a place's contact and of the places above it."""
    yield from lineage_ids(place.get("parent"))
    if contact_id := id_of(place.get("contact")):
        yield contact_id


def user_of(account: Doc, profile: Doc, docs: Mapping[str, Doc]) -> Doc:
    """One account as the list shows it (EP-USR-10, 11, 13)."""
    roles = account.get("roles")
    language = profile.get("language")
    contact_id = id_of(account.get("contact_id")) or id_of(profile.get("contact_id"))
    places = [shown_place(docs[each], docs) for each in facility_ids(account.get("facility_id")) if each in docs]
    user: dict[str, Any] = {
        "id": account["_id"],
        "rev": account["_rev"],
        "type": roles[0] if isinstance(roles, list) and roles else "unknown",
        "username": account.get("name"),
        "fullname": profile.get("fullname"),
        "email": profile.get("email"),
        "phone": profile.get("phone"),
        "place": places[0] if len(places) == 1 else places or None,
        "language": {"code": language} if isinstance(language, str) else language,
        "contact": docs.get(contact_id) if contact_id else None,
        "external_id": profile.get("external_id"),
        "known": account.get("known"),
    }
    return {name: value for name, value in user.items() if value is not None}


def shown_place(place: Doc, docs: Mapping[str, Doc]) -> Doc:
    """The place with its contact and the places above it as whole documents, as far as they exist."""
    shown = dict(place)
    contact = docs.get(id_of(place.get("contact")) or "")
    if contact is not None:
        shown["contact"] = contact
    above: Doc | None = None
    for each in reversed(lineage_ids(place.get("parent"))):
        link = {**docs.get(each, {"_id": each})}
        link.pop("parent", None)
        above = {**link, "parent": above} if above else link
    if above is not None:
        shown["parent"] = above
    return shown
