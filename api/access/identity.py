"""What tells a database from any other, also from one of the same name that was deleted and made again."""

from __future__ import annotations

import secrets

from core.couch.client import Database

IDENTITY_ID = "_local/access-identity"  # never replicated: a copy of the database has another


async def identity_of(db: Database) -> str:
    """The mark that the database was given when it was first asked for one. NotFound where there is no database.

    CouchDB takes any write of a local document, so of machines that mark a new database at the same moment the last
    one wins; another one then builds its index again at its next start.
    """
    mark = await db.find(IDENTITY_ID)
    if mark is None:
        await db.put({"_id": IDENTITY_ID, "identity": secrets.token_hex(16)})
        mark = await db.get(IDENTITY_ID)
    return str(mark["identity"])
