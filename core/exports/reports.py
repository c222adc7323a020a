"""Reports as rows: which there are, their columns, and the names of who submitted them (30 §2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from core.couch.client import Database
from core.couch.rows import view_rows
from core.dates import ms_of
from core.documents import Doc, id_of
from core.exports.asked import Asked, Export, Hits, csv_export, header, in_parts
from core.exports.cells import date_value
from core.exports.filters import Filters
from core.exports.listing import Listing
from core.exports.paging import documents, read_ahead
from core.lineage import chain_ids

OWN = ("_id", "form", "patient_id", "reported_date", "from")
SUBMITTER = tuple(f"contact.{'parent.' * level}name" for level in range(4))
SAMPLES = 100  # reports of a form whose fields are its columns
FORMS_AT_ONCE = 4
MOST_NAMES = 50_000  # contacts remembered during an export


async def export_reports(asked: Asked) -> Export:
    """CSV, the newest first and then by id (EP-EXP-24)."""
    filters = Filters.read(asked.filters, now_ms=ms_of(asked.now))
    listing = Listing()
    try:
        await list_reports(asked.db, listing, filters, asked.search(filters.search) if filters.search else None)
        fields = await field_columns(asked.db, filters.forms)
    except BaseException:
        listing.close()
        raise
    return csv_export(write_reports(asked, filters, listing, fields))


async def write_reports(
    asked: Asked, filters: Filters, listing: Listing, fields: Sequence[str]
) -> AsyncGenerator[bytes, None]:
    try:
        yield header([*OWN, *SUBMITTER, *fields])
        pages = report_rows(asked, filters, listing, fields)
        async with aclosing(read_ahead(pages)) as made:
            async for lines in made:
                for part in in_parts(lines, asked.options.rows):
                    yield part
    finally:
        listing.close()


async def report_rows(
    asked: Asked, filters: Filters, listing: Listing, fields: Sequence[str]
) -> AsyncGenerator[list[str], None]:
    """Lines of CSV, a page at a time."""
    submitters = Submitters(asked.db)
    row_of = row_maker(fields, submitters, readable=asked.options.readable)
    line = asked.options.csv.line
    async for docs in documents(asked.db, listing, descending=True):
        reports = [doc for doc in docs if filters.admits_report(doc)]
        await submitters.learn(reports)
        yield [line(row_of(doc)) for doc in reports]


async def list_reports(db: Database, listing: Listing, filters: Filters, hits: Hits | None) -> None:
    """All reports that the filters may admit, by `reported_date`; which they do is seen when they are read.

    From the narrowest source there is: the search's hits, or the view of the most telling filter.
    """
    if hits is not None:
        async for found in hits:
            await listing.add(found)
        return
    async for rows in narrowest(db, filters):
        await listing.add((row["id"], row["value"]) for row in rows if filters.admits_date(row["value"]))


def narrowest(db: Database, filters: Filters) -> AsyncGenerator[list[Doc], None]:
    if filters.subjects is not None:
        return view_rows(db, "medic-client", "reports_by_subject", keys=sorted(filters.subjects))
    if filters.forms is not None:
        keys = [[form] for form in sorted(filters.forms)]
        return view_rows(db, "medic-client", "reports_by_form", keys=keys, reduce=False)
    if filters.facilities is not None:
        return view_rows(db, "medic-client", "reports_by_place", keys=[[each] for each in sorted(filters.facilities)])
    if filters.from_ms is not None:
        return view_rows(
            db, "medic-client", "reports_by_date", startkey=[filters.from_ms], endkey=[filters.to_ms], reduce=False
        )
    return view_rows(db, "medic-client", "reports_by_date")


# --- columns ----------------------------------------------------------------------------------------------------------


async def field_columns(db: Database, forms: Iterable[str] | None) -> list[str]:
    """The paths of the fields of those forms, or of all that are used, as up to 100 reports of each have them.

    CHT takes one report of each (EP-EXP-22).
    """
    if forms is None:
        rows = await db.view("medic-client", "reports_by_form", group=True)
        forms = [row["key"][0] for row in rows if isinstance(row["key"][0], str)]
    paths: set[str] = set()
    turns = asyncio.Semaphore(FORMS_AT_ONCE)

    async def sample(form: str) -> None:
        async with turns:
            rows = await db.view(
                "medic-client", "reports_by_form", key=[form], reduce=False, include_docs=True, limit=SAMPLES
            )
        for row in rows:
            if row.get("doc"):
                paths.update(flat(row["doc"].get("fields")))

    async with asyncio.TaskGroup() as group:
        for form in forms:
            group.create_task(sample(form))
    return sorted(paths)


def flat(fields: Any, kept: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Values by their path, `a.b.c`; lists are values. An object is one only where its path is among the `kept`."""
    found: dict[str, Any] = {}
    if isinstance(fields, dict):
        flatten(fields, "", kept, found)
    return found


def flatten(fields: Mapping[str, Any], prefix: str, kept: frozenset[str], found: dict[str, Any]) -> None:
    for name, value in fields.items():
        path = prefix + name
        if isinstance(value, dict):
            if path in kept:
                found[path] = value
            flatten(value, path + ".", kept, found)
        else:
            found[path] = value


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """A contact's name and the ids above it."""

    name: Any
    above: Sequence[str]


class Submitters:
    """The names of contacts and of the places above them, each read once (EP-EXP-23)."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, Named | None] = {}

    async def learn(self, docs: Iterable[Doc]) -> None:
        """Know who submitted these reports: at most two reads, whatever their number."""
        if len(self._known) > MOST_NAMES:
            self._known.clear()
        contacts = [contact for doc in docs if (contact := doc.get("contact"))]
        wanted = {each for contact in contacts for each in (id_of(contact), *chain_ids(contact)) if each}
        await self._read(wanted)
        await self._read({above for each in wanted if (named := self._known.get(each)) for above in named.above})

    async def _read(self, ids: Iterable[str]) -> None:
        missing = [each for each in ids if each not in self._known]
        if missing:
            docs = await self._db.get_many(missing)
            for each in missing:
                self._known[each] = Named(docs[each].get("name"), chain_ids(docs[each])) if each in docs else None

    def names(self, doc: Doc) -> list[Any]:
        """The name of the submitter and of the three places above, None for each there is not."""
        contact = doc.get("contact")
        if not contact:
            return [None] * len(SUBMITTER)
        known = self._known.get(id_of(contact) or "")
        if known is None:
            known = Named(contact.get("name") if isinstance(contact, dict) else None, chain_ids(contact))
        above = [self._known.get(each) for each in known.above[: len(SUBMITTER) - 1]]
        names = [known.name, *(place.name if place else None for place in above)]
        return names + [None] * (len(SUBMITTER) - len(names))


def row_maker(columns: Sequence[str], submitters: Submitters, *, readable: bool) -> Callable[[Doc], list[Any]]:
    """What makes the row of a report out of a document, once its submitter is known."""
    kept = frozenset(columns)

    def row_of(doc: Doc) -> list[Any]:
        values = flat(doc.get("fields"), kept)
        return [
            doc["_id"],
            doc.get("form"),
            doc.get("patient_id"),
            date_value(doc.get("reported_date"), readable=readable),
            doc.get("from"),
            *submitters.names(doc),
            *[values.get(column) for column in columns],
        ]

    return row_of
