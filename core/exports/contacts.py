"""Contacts as whole documents, or as rows: 30 §2.6."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from core.couch.client import Database
from core.couch.rows import view_rows
from core.dates import ms_of
from core.deep_json import dumps
from core.documents import Doc
from core.errors import InvalidInput
from core.exports.asked import Asked, Export, Hits, csv_export, header, in_parts, json_export
from core.exports.filters import Filters
from core.exports.listing import Listing
from core.exports.paging import prepared
from core.hydration import hydrate

COLUMNS = ("id", "rev", "name", "patient_id", "type", "contact_type", "place_id")
MEMBERS = ("_id", "_rev", "name", "patient_id", "type", "contact_type", "place_id")


async def export_contacts(asked: Asked) -> Export:
    """JSON, or CSV where that is asked for; as CHT does it always CSV (DIV-4)."""
    filters = Filters.read(asked.filters, now_ms=ms_of(asked.now))
    if asked.options.format not in (None, "csv", "json"):
        raise InvalidInput("`options.format` must be csv or json")
    listing = Listing()
    with listing.filled():
        await list_contacts(asked.db, listing, filters, asked.search(filters.search) if filters.search else None)
    if asked.options.format == "csv" or (asked.observed and asked.options.format is None):
        return csv_export(write_rows(asked, filters, listing))
    return json_export(write_docs(asked, filters, listing))


async def list_contacts(db: Database, listing: Listing, filters: Filters, hits: Hits | None) -> None:
    """Contacts by their type; where they are filtered, as lists of contacts have them (EP-EXP-52)."""
    if hits is not None:
        async for found in hits:
            await listing.add(found)
        return
    keys = None if filters.types is None else [[each] for each in sorted(filters.types)]
    async for rows in view_rows(db, "medic-client", "contacts_by_type", keys=keys, reduce=False):
        await listing.add((row["id"], row["value"] if filters.of_contacts else row["key"][0]) for row in rows)


async def write_rows(asked: Asked, filters: Filters, listing: Listing) -> AsyncGenerator[bytes, None]:
    async def made_of(docs: list[Doc]) -> list[str]:
        line = asked.options.csv.line
        return [line([doc.get(name) for name in MEMBERS]) for doc in docs if filters.admits_contact(doc)]

    try:
        yield header(COLUMNS)
        async with aclosing(prepared(asked.db, listing, made_of)) as pages:
            async for lines in pages:
                for part in in_parts(lines, asked.options.rows):
                    yield part
    finally:
        listing.close()


async def write_docs(asked: Asked, filters: Filters, listing: Listing) -> AsyncGenerator[bytes, None]:
    """One array of the contacts with everybody they name (35 MOD-42)."""

    async def made_of(docs: list[Doc]) -> list[Doc]:
        return await hydrate(asked.db, [doc for doc in docs if filters.admits_contact(doc)], shared=True)

    try:
        opening = b"["
        async with aclosing(prepared(asked.db, listing, made_of)) as pages:
            async for docs in pages:
                for start in range(0, len(docs), asked.options.rows):
                    yield opening + dumps(docs[start : start + asked.options.rows])[1:-1]
                    opening = b","
        yield b"[]" if opening == b"[" else b"]"
    finally:
        listing.close()
