"""Documents that come to be together or not at all, over databases that store each for itself (30 EP-PLC-9, EP-USR-30).

Before the first write a note of all of them is stored; it goes when the last is written, or when what was written has
been taken back. Should we or CouchDB die between, `settle_abandoned` finds the note and takes back what stands alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.couch.client import Database, Doc, Row, is_stored
from core.couch.errors import from_row
from core.documents import id_of, lineage_ids
from core.errors import DomainError
from core.uuids import uuid7

log = logging.getLogger(__name__)

NOTES = "_local/creating-"
ABANDONED_AFTER_MS = 150_000  # longer than the requests of one creation can take


@dataclass(frozen=True)
class Last:
    """The document written when all others are stored: it makes them count. One that exists has its `_rev`."""

    db: Database
    doc: Doc


async def create_together(
    db: Database, docs: Sequence[Doc], *, now_ms: int, last: Last | None = None
) -> tuple[list[Row], str | None]:
    """Store new documents, then the last one: the rows of the former, and the rev of the latter.

    Raises the error of the first document that was refused, after the others were taken back. Where CouchDB did not
    answer, what is stored stays until `settle_abandoned` knows better.
    """
    if len(docs) + (last is not None) == 1:  # cannot be torn apart
        if last is not None:
            return [], await last.db.put(last.doc)
        return checked(await db.bulk_docs(docs)), None
    note = await leave_note(db, docs, last, now_ms)
    rows: list[Row] = []
    try:
        rows = await db.bulk_docs(docs)
        checked(rows)
        rev = await last.db.put(last.doc) if last is not None else None
    except DomainError as error:
        if error.status < 500 and await take_back(db, rows):
            await remove_note(db, note)
        raise
    await remove_note(db, note)
    return rows, rev


def checked(rows: list[Row]) -> list[Row]:
    """The rows, if all documents were stored; else the error of the first that was not."""
    refusal = next((error for row in rows if (error := from_row(row))), None)
    if refusal is not None:
        raise type(refusal)(refusal.message)
    return rows


async def take_back(db: Database, rows: Iterable[Row]) -> bool:
    """Delete what the rows say was stored; whether all of it is gone for sure."""
    written = [{"_id": row["id"], "_rev": row["rev"], "_deleted": True} for row in rows if "error" not in row]
    with suppress(DomainError):
        return all("error" not in row for row in await db.bulk_docs(written))
    return False


# --- notes ------------------------------------------------------------------------------------------------------------


def notes_db(db: Database) -> Database:
    """Where notes are kept: only administrators read it, and some creations hold secrets."""
    return db.couch.db(f"{db.name}-sentinel")


async def leave_note(db: Database, docs: Sequence[Doc], last: Last | None, now_ms: int) -> Doc:
    members: Doc = {"docs": list(docs)}
    if last is not None:
        members["last"] = {"db": last.db.name, "id": last.doc["_id"], "exists": "_rev" in last.doc}
    return await put_note(db, NOTES, members, now_ms)


async def put_note(db: Database, prefix: str, members: Doc, now_ms: int) -> Doc:
    note: Doc = {"_id": f"{prefix}{uuid7(now_ms)}", "started_ms": now_ms, **members}
    return {**note, "_rev": await notes_db(db).put(note)}


async def remove_note(db: Database, note: Doc) -> None:
    """A note that stays does no harm: it is settled later, and finds everything in its place."""
    with suppress(DomainError):
        await notes_db(db).delete(note["_id"], note["_rev"])


async def settle_abandoned(db: Database, now_ms: int) -> int:
    """Take back what creations left that were cut off some minutes ago; how many notes were settled."""
    notes = await abandoned_notes(db, NOTES, now_ms)
    for note in notes:
        await settle(db, note)
    return len(notes)


async def abandoned_notes(db: Database, prefix: str, now_ms: int) -> list[Doc]:
    answer = await notes_db(db).request(
        "GET", "/_local_docs", params={"startkey": prefix, "endkey": f"{prefix}\ufff0", "include_docs": True}
    )
    notes = [row["doc"] for row in answer["rows"] if row.get("doc")]
    return [note for note in notes if note["started_ms"] + ABANDONED_AFTER_MS <= now_ms]


async def settle(db: Database, note: Doc) -> None:
    """Delete the note's documents unless all of the creation was stored; then the note."""
    stored = await db.get_many(doc["_id"] for doc in note["docs"])
    if not await is_complete(db, note, stored):
        ours = [found for doc in note["docs"] if (found := stored.get(doc["_id"])) and is_stored(doc, found)]
        log.warning("taking back %d documents of a creation that was cut off", len(ours))
        rows = await db.bulk_docs([{"_id": doc["_id"], "_rev": doc["_rev"], "_deleted": True} for doc in ours])
        if any("error" in row for row in rows):
            return  # written at this moment, by the worker perhaps: it is looked at again
    await remove_note(db, note)


async def is_complete(db: Database, note: Doc, stored: Mapping[str, Doc]) -> bool:
    last = note.get("last")
    if last is None:
        return len(stored) == len(note["docs"])
    found = await db.couch.db(last["db"]).find(last["id"])
    if found is None or not last["exists"]:
        return found is not None
    new_ids = {doc["_id"] for doc in note["docs"]}
    return not new_ids.isdisjoint([id_of(found.get("contact")), *lineage_ids(found.get("parent"))])
