"""A change of an account and its profile, which are in two databases: made in both, also when it is cut off.

Before the first write a note is stored, as for creations (core/creations.py); `complete_abandoned` finds it should we
or CouchDB die between, and brings the profile in line with the account, which says what holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from core.couch.client import Database, Doc, generation_and_digest
from core.creations import abandoned_notes, put_note, remove_note
from core.errors import DomainError, NotFound

log = logging.getLogger(__name__)

NOTES = "_local/changing-"
SHARED = ("name", "roles", "facility_id", "contact_id", "known")


async def write_changes(db: Database, before: Doc, changes: Doc, profile_changes: Doc, *, now_ms: int) -> Doc:
    """Write the account, then the profile with what both share; the account is put back when the profile fails."""
    users = db.couch.db("_users")
    members = {"account": before["_id"], "was": before["_rev"], "cleared": cleared(changes), "profile": profile_changes}
    note = await put_note(db, NOTES, members, now_ms)
    try:
        account = await users.update(before["_id"], lambda doc: changed(doc, changes) if doc else None)
        if account is None:
            raise NotFound("Failed to find user.")
    except DomainError as error:
        if error.status < 500:
            await remove_note(db, note)
        raise
    try:
        profile = await write_profile(db, account, profile_changes, cleared(changes))
    except DomainError:
        with suppress(DomainError):
            await users.put({**before, "_rev": account["_rev"]})
        raise
    await remove_note(db, note)
    return {
        "user": {"id": before["_id"], "rev": account["_rev"]},
        "user-settings": {"id": before["_id"], "rev": profile["_rev"]},
    }


async def write_profile(db: Database, account: Doc, changes: Doc, gone: Iterable[str]) -> Doc:
    """The profile with its changes and with what the account says; members that are `gone` there go here too."""
    shared = {each: account.get(each) for each in SHARED if each in account or each in gone}
    shared = {"facility_id": account.get("facility_id")} | shared
    profile = await db.update(
        account["_id"], lambda doc: changed({**(doc or {}), "type": "user-settings"}, {**changes, **shared})
    )
    assert profile is not None
    return profile


def changed(doc: Doc, changes: Doc) -> Doc:
    """The document with the changes made; what is changed to None goes."""
    return {name: value for name, value in {**doc, **changes}.items() if value is not None or name not in changes}


def cleared(changes: Doc) -> list[str]:
    return [name for name, value in changes.items() if value is None]


async def complete_abandoned(db: Database, now_ms: int) -> int:
    """Complete the changes that were cut off some minutes ago; how many notes were settled."""
    notes = await abandoned_notes(db, NOTES, now_ms)
    for note in notes:
        await complete(db, note)
        await remove_note(db, note)
    return len(notes)


async def complete(db: Database, note: Doc) -> None:
    """Until the account stays the same: somebody may be changing it at this moment."""
    users = db.couch.db("_users")
    account = await users.find(note["account"])
    while account is not None:
        is_as_we_left_it = generation_and_digest(account)[0] == generation_and_digest({"_rev": note["was"]})[0] + 1
        await write_profile(db, account, note["profile"] if is_as_we_left_it else {}, note["cleared"])
        written, account = account, await users.find(note["account"])
        if account is not None and account["_rev"] == written["_rev"]:
            log.warning("completed a change of %s that was cut off", note["account"])
            return
