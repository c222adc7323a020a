"""User accounts: the login in `_users` and the profile in the main database, changed and ended together (30 §9.5)."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from core.couch.client import Database, Doc, Row
from core.documents import facility_ids
from core.errors import DomainError, InvalidInput, NotFound
from core.settings import Settings
from core.token_login import LoginLink, new_link, random_password, take_back, token_of
from core.translations import load_translations
from core.user_changes import write_changes
from core.user_fields import (
    SSO,
    InvalidUser,
    check_changes,
    check_sso,
    must_change_password,
    needs_place,
    profile_of,
    roles_of,
    wants_token_login,
)
from core.user_places import changed_places, check_contact, check_places, facility_of, read_places

USER_PREFIX = "org.couchdb.user:"


def user_id(name: str) -> str:
    return USER_PREFIX + name


def users_db(db: Database) -> Database:
    return db.couch.db("_users")


async def update_user(
    db: Database,
    settings: Settings,
    name: str,
    body: Any,
    *,
    now_ms: int,
    by_self: bool = False,
    app_url: str = "",
    force_password_change: bool = False,
    server_admins: Collection[str] = (),
    several_places: bool = False,
) -> Doc:
    """Change an account and its profile: `{"user", "user-settings"}`, each `{id, rev}` (EP-USR-52..57, 70).

    With a login link `{"token_login": {expiration_date}}` too; `app_url` is where it leads when the settings do not
    say. `server_admins` are those known to have their password in CouchDB's configuration (10 AUTH-24).
    NotFound for an unknown user, place or person.
    """
    if not isinstance(body, dict):
        raise InvalidInput("User must be an object.")
    roles = roles_of(body, settings)
    check_changes(body, settings)
    check_ids(body, several=several_places)
    before = await users_db(db).find(user_id(name))
    if before is None:
        raise NotFound("Failed to find user.")
    changes_of_sso = await sso_changes(db, before, body)
    wants_link = wants_token_login(body, settings)
    if (wants_link or body.get("password") is not None) and (name in server_admins or await is_server_admin(db, name)):
        raise InvalidInput("Admin passwords must be changed manually in the database")
    changes: Doc = {} if roles is None else {"roles": roles}
    changes |= {each: body[each] for each in ("password", "known") if body.get(each) is not None}
    changes |= await moved(db, settings, body, {**before, **changes}, several=several_places)
    check_offline_user({**before, **changes}, changes, settings)
    account, profile_changes = {**before, **changes}, profile_of(body)
    if changes_of_sso:
        changes |= changes_of_sso
        profile_changes["oidc_login"] = True if changes[SSO] else None
    if (wants_link or "password" in changes) and (force_password_change or "password_change_required" in before):
        required = force_password_change and must_change_password(body, account.get("roles") or (), settings)
        changes["password_change_required"] = required and not by_self
    if wants_link:
        profile = {**(await db.find(before["_id"]) or {}), **profile_changes}
        link = new_link(settings, await load_translations(db), account, profile, app_url=app_url, now_ms=now_ms)
        return await replace_link(db, before, changes, profile_changes, link, now_ms)
    if body.get("token_login") is False and before.get("token_login"):
        if body.get("password") is None:
            raise InvalidUser("Password is required when disabling token login.", "password.length.minimum")
        changes["token_login"] = profile_changes["token_login"] = None
        answer = await write_changes(db, before, changes, profile_changes, now_ms=now_ms)
        await take_back_link(db, before, now_ms)
        return answer
    return await write_changes(db, before, changes, profile_changes, now_ms=now_ms)


async def replace_link(
    db: Database, before: Doc, changes: Doc, profile_changes: Doc, link: LoginLink, now_ms: int
) -> Doc:
    """Write the changes with a new login link, whose messages go out; those of the former one are cleared."""
    changes |= {"password": link.password, "token_login": link.of_account}
    profile_changes |= {"phone": link.phone, "token_login": link.of_profile}
    rev = await db.put(link.doc)
    try:
        answer = await write_changes(db, before, changes, profile_changes, now_ms=now_ms)
    except DomainError:
        with suppress(DomainError):
            await db.delete(link.doc["_id"], rev)
        raise
    await take_back_link(db, before, now_ms)
    return {**answer, "token_login": {"expiration_date": link.expiration_ms}}


async def sso_changes(db: Database, before: Doc, body: Doc) -> Doc:
    """What an update changes for an account of the identity provider, or for one that becomes or was one (10 AUTH-110).

    Whoever logs in there has a password nobody knows, so a new way to log in ends the one before.
    """
    check_sso(body)
    wanted = (body[SSO] or None) if SSO in body else before.get(SSO)
    if wanted and SSO not in body and (body.get("password") or body.get("token_login")):
        raise InvalidInput(f'Neither "password" nor "token_login" can be given to a user with "{SSO}".')
    if wanted == before.get(SSO):
        return {}
    if wanted is None:
        if not body.get("password"):
            raise InvalidInput(f'Property "password" is required when "{SSO}" is removed.')
        return {SSO: None}
    await ensure_sso_free(db, wanted, str(before["name"]))
    ended = {"token_login": None, "password_change_required": None}
    return {SSO: wanted, "password": random_password(), **ended}


async def ensure_sso_free(db: Database, username: str | None, name: str) -> None:
    """InvalidInput when the `oidc_username` belongs to another account than that of `name`."""
    if not username:
        return
    rows = await users_db(db).view("users", "users_by_field", key=[SSO, username])
    if any(row["id"] != user_id(name) for row in rows):
        raise InvalidInput(f'The "{SSO}" {username} belongs to another user.')


async def take_back_link(db: Database, account: Doc, now_ms: int) -> None:
    token = token_of(account)
    if token is not None:
        await take_back(db, token, now_ms=now_ms)


async def change_own_password(db: Database, name: str, password: str) -> None:
    """Store the password that a user chose at the login (10 AUTH-93). NotFound without an account."""
    account = await users_db(db).update(
        user_id(name),
        lambda doc: {**doc, "password": password, "password_change_required": False} if doc else None,
    )
    if account is None:
        raise NotFound("Failed to find user.")


def check_ids(body: Doc, *, several: bool) -> None:
    """Refuse places and contacts that are no ids: objects are not created by an update (EP-USR-54, EP-USR-70)."""
    place, contact = body.get("place"), body.get("contact")
    if place is not None and (several or isinstance(place, list)):
        read_places(place)
    for member, value in (("place", None if several or isinstance(place, list) else place), ("contact", contact)):
        if value is not None and not (isinstance(value, str) and value):
            raise InvalidInput(f'Property "{member}" must be the id of an existing document.')


async def moved(db: Database, settings: Settings, body: Doc, account: Doc, *, several: bool) -> Doc:
    """The `facility_id` and `contact_id` that an update changes; None where it clears one."""
    types = settings.contact_types
    changes: Doc = {}
    places = changed_places(body, account, settings, several=several)
    contact_id = body.get("contact")
    found = await db.get_many([*(places or ()), *([contact_id] if contact_id else ())])
    if places is not None:
        check_places(types, found, places, named=several)
        changes["facility_id"] = facility_of(places) if places else None
    if "contact" in body:
        if contact_id:
            within = places if places is not None else facility_ids(account.get("facility_id"))
            check_contact(types, found, contact_id, within, named=several)
        changes["contact_id"] = contact_id
    return changes


def check_offline_user(account: Doc, changes: Doc, settings: Settings) -> None:
    """Refuse to leave an account that needs a place and a contact without one (EP-USR-2, EP-USR-55)."""
    if not needs_place(account.get("roles") or [], settings):
        return
    for member, label in (("facility_id", "Place"), ("contact_id", "Contact")):
        if member in changes and changes[member] is None:
            raise InvalidUser(f"{label} field is required for offline users", "field is required", field=label)


async def is_server_admin(db: Database, name: str) -> bool:
    """Whether CouchDB's own configuration holds the password (10 AUTH-24); the embedded store does not tell."""
    try:
        await db.couch.request("GET", f"/_node/_local/_config/admins/{quote(name, safe='')}")
    except DomainError:
        return False
    return True


async def delete_user(db: Database, name: str, *, now_ms: int) -> list[Row]:
    """End an account: the login is deleted, the profile marked inactive; the rows of both writes (EP-USR-58, MOD-65).

    The profile goes first, so that a deletion that was cut off can be repeated. NotFound for an unknown user.
    """
    if await users_db(db).find(user_id(name)) is None:
        raise NotFound("Failed to find user.")
    profile = await db.update(
        user_id(name), lambda doc: {**doc, "inactive": True, "deletion_date": now_ms} if doc else None
    )
    account = await users_db(db).update(
        user_id(name), lambda doc: {"_id": doc["_id"], "_rev": doc["_rev"], "_deleted": True} if doc else None
    )
    return [{"ok": True, "id": doc["_id"], "rev": doc["_rev"]} for doc in (account, profile) if doc]
