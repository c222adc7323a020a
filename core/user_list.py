"""Accounts as they are shown, with their profiles, places and contacts, by bulk reads alone (30 EP-USR-10..14)."""

from __future__ import annotations

from asyncio import gather
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from core.couch.client import Database, Doc
from core.documents import facility_ids, id_of, lineage_ids
from core.errors import NotFound
from core.users import USER_PREFIX, user_id, users_db

BATCH = 500

# An account, its profile and the documents they name, by id, as one object of the answer.
Show = Callable[[Doc, Doc, Mapping[str, Doc]], Doc]


async def list_users(db: Database, show: Show, *, batch: int = BATCH) -> AsyncIterator[list[Doc]]:
    """Every account by id, in batches.

    Four bulk reads a batch: accounts, profiles, the places and contacts they name, and what stands around the places.
    """
    start = USER_PREFIX
    while True:
        rows = await users_db(db).all_docs(
            startkey=start, endkey=f"{USER_PREFIX}\ufff0", include_docs=True, limit=batch + 1
        )
        accounts = [row["doc"] for row in rows[:batch]]
        yield await listed(db, accounts, show)
        if len(rows) <= batch:
            return
        start = rows[batch]["id"]


async def find_users(
    db: Database, show: Show, *, facility_id: str | None, contact_id: str | None, batch: int = BATCH
) -> AsyncIterator[list[Doc]]:
    """The accounts of a place, of a contact, or of both, by id, in batches."""
    field, value = ("contact_id", contact_id) if contact_id else ("facility_id", facility_id)
    rows = await users_db(db).view("users", "users_by_field", key=[field, value])
    ids = list(dict.fromkeys(row["id"] for row in rows))
    for start in range(0, len(ids), batch):
        found = await users_db(db).get_many(ids[start : start + batch])
        accounts = [
            found[each]
            for each in ids[start : start + batch]
            if each in found
            and (facility_id is None or facility_id in facility_ids(found[each].get("facility_id")))
            and each.startswith(USER_PREFIX)
        ]
        yield await listed(db, accounts, show)


async def page_of_users(
    db: Database, show: Show, *, start: str = "", search: str = "", limit: int, batch: int = BATCH
) -> tuple[list[Doc], str | None]:
    """Accounts by name from `start` on, and the name with which the next page begins, None after the last.

    With `search` those that have the text in their name, full name or phone: all are read, in batches, until there are
    enough.
    """
    wanted, found = search.casefold(), list[Doc]()
    step, begin = (batch if wanted else limit + 1), start
    while True:
        rows = await users_db(db).all_docs(
            startkey=user_id(begin), endkey=f"{USER_PREFIX}\ufff0", include_docs=True, limit=step + 1
        )
        accounts = [row["doc"] for row in rows[:step]]
        if wanted:
            profiles = await db.get_many(account["_id"] for account in accounts)
            accounts = [each for each in accounts if is_like(each, profiles.get(each["_id"]) or {}, wanted)]
        found += accounts
        if len(found) > limit:
            return await listed(db, found[:limit], show), str(found[limit]["_id"]).removeprefix(USER_PREFIX)
        if len(rows) <= step:
            return await listed(db, found, show), None
        begin = str(rows[step]["id"]).removeprefix(USER_PREFIX)


def is_like(account: Doc, profile: Doc, wanted: str) -> bool:
    texts = (account.get("name"), profile.get("fullname"), profile.get("phone"))
    return any(wanted in str(each or "").casefold() for each in texts)


async def find_user(db: Database, name: str, show: Show) -> Doc:
    """One account. NotFound when there is none of that name."""
    account = await users_db(db).find(user_id(name))
    if account is None:
        raise NotFound(f"Failed to find user with name [{name}] in the [users] database.")
    [user] = await listed(db, [account], show)
    return user


async def listed(db: Database, accounts: list[Doc], show: Show) -> list[Doc]:
    named = [each for account in accounts for each in named_ids(account)]
    profiles, docs = await gather(db.get_many(account["_id"] for account in accounts), db.get_many(named))
    # A profile names the contact of accounts that were made before the login did (MOD-63).
    more = {each for profile in profiles.values() if (each := id_of(profile.get("contact_id")))}
    places = [docs[each] for account in accounts for each in facility_ids(account.get("facility_id")) if each in docs]
    more |= {each for place in places for each in around(place)}
    docs |= await db.get_many(more - docs.keys())
    return [show(account, profiles.get(account["_id"]) or {}, docs) for account in accounts]


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
    """One account as version 1 shows it, without what is absent (EP-USR-10, 11, 13)."""
    roles = account.get("roles")
    language = profile.get("language")
    places = places_of(account, docs)
    user: dict[str, Any] = {
        "id": account["_id"],
        "rev": account["_rev"],
        "type": roles[0] if isinstance(roles, list) and roles else "unknown",
        **shared_members(account, profile, docs),
        "place": places[0] if len(places) == 1 else places or None,
        "language": {"code": language} if isinstance(language, str) else language,
    }
    return {name: value for name, value in user.items() if value is not None}


def user_with_roles(account: Doc, profile: Doc, docs: Mapping[str, Doc]) -> Doc:
    """One account as version 2 shows it: all roles, and `place` a list, or null where there is none (EP-USR-14)."""
    roles = account.get("roles")
    user: dict[str, Any] = {
        "id": account["_id"],
        "rev": account["_rev"],
        **shared_members(account, profile, docs),
        "roles": roles if isinstance(roles, list) else [],
        "oidc_username": account.get("oidc_username"),
    }
    return {name: value for name, value in user.items() if value is not None} | {
        "place": places_of(account, docs) or None
    }


def shared_members(account: Doc, profile: Doc, docs: Mapping[str, Doc]) -> Doc:
    contact_id = id_of(account.get("contact_id")) or id_of(profile.get("contact_id"))
    return {
        "username": account.get("name"),
        "fullname": profile.get("fullname"),
        "email": profile.get("email"),
        "phone": profile.get("phone"),
        "contact": docs.get(contact_id) if contact_id else None,
        "external_id": profile.get("external_id"),
        "known": account.get("known"),
    }


def places_of(account: Doc, docs: Mapping[str, Doc]) -> list[Doc]:
    return [shown_place(docs[each], docs) for each in facility_ids(account.get("facility_id")) if each in docs]


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
