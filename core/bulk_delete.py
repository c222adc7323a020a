"""Delete many documents, a batch at a time, and let go of those among them who were in charge of a place (30 §11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

from core.couch.client import Database, Doc, Row
from core.couch.errors import from_row
from core.documents import id_of
from core.lineage import is_contact_doc

BATCH = 100
RETRIES = 3

ADMIN_ONLY = "You are not authorized to edit admin only docs"
ADMIN_IDS = frozenset(
    {
        "branding",
        "extension-libs",
        "migration-log",
        "partners",
        "privacy-policies",
        "resources",
        "service-worker-meta",
        "settings",
        "zscore-charts",
    }
)
ADMIN_TYPES = frozenset({"form", "token_login", "translations", "ui-extension"})


async def bulk_delete(db: Database, doc_ids: Sequence[str], *, as_admin: bool) -> AsyncIterator[list[Row]]:
    """Delete the documents in the order given, 100 at a time, each batch written after the one before (EP-BLK-2..6).

    Yields per batch the rows of `_bulk_docs`, with a `status` where there is an error: first of the documents, without
    those that do not exist, then of the places whose primary contact went. Documents of the configuration are
    forbidden unless `as_admin`. Three requests a batch; the next one's documents are read while a batch is written.
    """
    batches = [doc_ids[start : start + BATCH] for start in range(0, len(doc_ids), BATCH)]
    deleting = frozenset(doc_ids)
    reading = asyncio.ensure_future(db.get_many(batches[0])) if batches else None
    try:
        for number, batch in enumerate(batches, 1):
            assert reading is not None
            docs = await reading
            reading = asyncio.ensure_future(db.get_many(batches[number])) if number < len(batches) else None
            yield await delete_batch(db, batch, docs, deleting, as_admin=as_admin)
    finally:
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def delete_batch(
    db: Database, batch: Sequence[str], docs: Mapping[str, Doc], deleting: Collection[str], *, as_admin: bool
) -> list[Row]:
    """Delete one batch, whose documents have been read; what met another writer is read again and repeated."""
    refused = {each for each, doc in docs.items() if not as_admin and is_admin_only(doc)}
    done = {each: refusal(each) for each in refused}
    docs = {each: doc for each, doc in docs.items() if each not in refused}
    gone_from = contacts_by_place(docs.values(), without=deleting)
    places = await db.get_many(gone_from)
    for attempt in range(1 + RETRIES):
        writes = [{**doc, "_deleted": True} for doc in docs.values()]
        writes += [
            {**doc, "contact": None} for doc in places.values() if id_of(doc.get("contact")) in gone_from[doc["_id"]]
        ]
        rows = await db.bulk_docs(writes) if writes else []
        done |= {row["id"]: with_status(row) for row in rows}
        conflicting = {row["id"] for row in rows if row.get("error") == "conflict"}
        if not conflicting or attempt == RETRIES:
            break
        found = await db.get_many(conflicting)
        done = {each: row for each, row in done.items() if each not in conflicting}
        docs = {each: found[each] for each in docs if each in found}
        places = {each: found[each] for each in places if each in found}
    order = {each: position for position, each in enumerate(batch)}
    return sorted(done.values(), key=lambda row: order.get(row["id"], len(order)))


def contacts_by_place(docs: Iterable[Doc], *, without: Collection[str]) -> dict[str, set[str]]:
    """The contacts among the documents by the place directly above them, leaving out the places of `without`."""
    found: dict[str, set[str]] = {}
    for doc in docs:
        place_id = id_of(doc.get("parent")) if is_contact_doc(doc) else None
        if place_id is not None and place_id not in without:
            found.setdefault(place_id, set()).add(doc["_id"])
    return found


def is_admin_only(doc: Doc) -> bool:
    """Whether only a server administrator may write the document (PROXY-42); these deletions go out as ours."""
    kind = doc.get("type")
    return (
        doc["_id"].startswith("_design/") or doc["_id"] in ADMIN_IDS or (isinstance(kind, str) and kind in ADMIN_TYPES)
    )


def refusal(doc_id: str) -> Row:
    return {"id": doc_id, "error": "forbidden", "reason": ADMIN_ONLY, "status": 403}


def with_status(row: Row) -> Row:
    """The row as it came, an error with the HTTP status it stands for."""
    error = from_row(row)
    return {**row, "status": error.status} if error is not None else row
