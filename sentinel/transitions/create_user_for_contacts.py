"""Make a login for a person whose contact asks for one, or for whoever takes a user's place (40 §5.17)."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from core.dates import ms_of
from core.documents import Doc, id_of
from core.errors import Conflict, DomainError, InvalidInput
from core.new_users import create_user
from core.settings import Settings
from core.token_login import random_password
from core.users import update_user, user_id, users_db
from sentinel.transitions.change import Change
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.rounds import Unanswered
from sentinel.transitions.tools import Tools

MOST_COLLISIONS = 100
COLLISIONS_A_DIGIT = 10
FEWEST_DIGITS = 4


class Incomplete(Exception):
    """Something could not be done; what could be is written into the document, which is to be saved (TRN-8)."""

    changed = True


@dataclass(frozen=True)
class CreateUserForContacts:
    """Creates on the first processing of a contact; replaces whenever one is ready to be replaced."""

    name: ClassVar[str] = "create_user_for_contacts"
    settings: Settings
    tools: Tools

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> CreateUserForContacts:
        if not settings.section("token_login").get("enabled"):
            raise InvalidInput("token_login.enabled: must be true, as new users log in by a link")
        if not settings.get("app_url"):
            raise InvalidInput("app_url: is required, as the address of the links by which new users log in")
        return cls(settings, tools)

    def filter(self, change: Change) -> bool:
        wishes = change.doc.get("user_for_contact")
        if not isinstance(wishes, dict) or not self.settings.contact_types.is_person(change.doc):
            return False
        return bool(ready(change.doc)) or wants_user(change)

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        """Raises Incomplete, with everything that went wrong, when something did (TR-USER-4)."""
        doc, failures = change.doc, list[str]()
        wishes = dict(doc["user_for_contact"])
        replaced = ready(doc)
        if replaced:
            wishes.pop("create", None)
            wishes["replace"] = dict(wishes["replace"])
        for username in replaced:
            entry = wishes["replace"][username]
            try:
                await self.replace(username, str(entry.get("replacement_contact_id") or ""), lookups)
                wishes["replace"][username] = {**entry, "status": "COMPLETE"}
            except DomainError as error:
                if error.status >= 500:
                    raise
                wishes["replace"][username] = {**entry, "status": "ERROR"}
                failures.append(error.message)
        if not replaced:
            try:
                await self.create(doc, roles_in(doc), lookups)
                wishes.pop("create", None)
            except DomainError as error:
                if error.status >= 500:
                    raise
                failures.append(error.message)
        doc["user_for_contact"] = wishes
        if failures:
            raise Incomplete(", ".join(failures))
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        yield from ()

    async def replace(self, username: str, contact_id: str, lookups: Lookups) -> None:
        """A user for the other contact, with the same roles; the old one gets a password nobody knows (TR-USER-3)."""
        contact = await lookups.db.find(contact_id) if contact_id else None
        if contact is None:
            raise InvalidInput(f"the replacement contact {contact_id!r} of the user {username} was not found")
        account = await users_db(lookups.db).find(user_id(username))
        if account is None:
            raise InvalidInput(f"the user {username} was not found")
        roles = account.get("roles")
        await self.create(contact, [str(role) for role in roles] if isinstance(roles, list) else [], lookups)
        lookups.may_write()
        password = {"password": random_password()}
        await update_user(lookups.db, self.settings, username, password, now_ms=ms_of(self.tools.now()))

    async def create(self, contact: Doc, roles: Sequence[str], lookups: Lookups) -> None:
        """A user with a login link, under the first name that is free (TR-USER-2, TR-USER-4)."""
        needs = {"name": contact.get("name"), "phone": contact.get("phone"), "role": roles}
        missing = [name for name, value in needs.items() if not value]
        if missing:
            raise InvalidInput(f"missing required fields of the contact {contact['_id']}: {', '.join(missing)}")
        body = {
            "token_login": True,
            "roles": list(roles),
            "phone": contact["phone"],
            "place": id_of(contact.get("parent")),
            "contact": contact["_id"],
            "fullname": contact["name"],
        }
        now_ms = ms_of(self.tools.now())
        for attempt in range(MOST_COLLISIONS):
            username = username_for(str(contact["name"]), contact["_id"], attempt)
            lookups.may_write()
            try:
                await create_user(lookups.db, self.settings, {**body, "username": username}, now_ms=now_ms)
                return
            except Conflict:
                if await is_ours(username, contact["_id"], lookups):
                    return
        raise InvalidInput(f"no free user name was found for the contact {contact['_id']}")


async def is_ours(username: str, contact_id: str, lookups: Lookups) -> bool:
    """Whether an earlier run made this user for the same contact. Raises Unanswered while it is half made."""
    account = await users_db(lookups.db).find(user_id(username))
    if account is not None:
        return account.get("contact_id") == contact_id
    profile = await lookups.db.find(user_id(username))
    if profile is not None and profile.get("contact_id") == contact_id and not profile.get("inactive"):
        raise Unanswered(f"the user {username} is being created")
    return False


def wants_user(change: Change) -> bool:
    return change.doc["user_for_contact"].get("create") == "true" and change.initial_processing


def ready(doc: Doc) -> list[str]:
    """The users that are ready to be replaced."""
    replace = doc["user_for_contact"].get("replace")
    if not isinstance(replace, dict):
        return []
    return [name for name, entry in replace.items() if isinstance(entry, dict) and entry.get("status") == "READY"]


def roles_in(contact: Doc) -> list[str]:
    roles: Any = contact.get("roles") or contact.get("role") or []
    return [str(role) for role in roles] if isinstance(roles, list) else [str(roles)]


def username_for(name: str, contact_id: str, attempt: int) -> str:
    """`Ásha Odera` as `asha-odera-1234`: the digits come from the contact, so that a second run finds the first's."""
    plain = "".join(each for each in unicodedata.normalize("NFD", name.lower()) if not unicodedata.combining(each))
    words = re.sub(r"\s+", "-", re.sub(r"[^a-z0-9 ]", "", plain).strip())
    digits = FEWEST_DIGITS + attempt // COLLISIONS_A_DIGIT
    number = int.from_bytes(hashlib.sha256(f"{contact_id}/{attempt}".encode()).digest(), "big") % 10**digits
    return f"{words}-{number:0{digits}}" if words else f"{number:0{digits}}"
