"""Reports as rows: which there are, their columns, and the names of who submitted them (30 §2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from core.couch.client import Database
from core.couch.rows import view_rows
from core.dates import ms_of
from core.documents import Doc, id_of
from core.exports.asked import Asked, Export, Hits, Options, csv_export, header
from core.exports.cells import Csv, date_value
from core.exports.filters import Filters
from core.exports.listing import Listing
from core.exports.paging import documents
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
    with listing.filled():
        await list_reports(asked.db, listing, filters, asked.search(filters.search) if filters.search else None)
        fields = await field_columns(asked.db, filters.forms)
    return csv_export(write_reports(asked, filters, listing, fields))


async def write_reports(
    asked: Asked, filters: Filters, listing: Listing, fields: Sequence[str]
) -> AsyncGenerator[bytes, None]:
    try:
        yield header([*OWN, *SUBMITTER, *fields])
        line_of = Lines(fields, asked.options)
        submitters = Submitters(asked.db, asked.options.csv)
        async with aclosing(documents(asked.db, listing, descending=True)) as pages:
            async for docs in pages:
                reports = [doc for doc in docs if filters.admits_report(doc)]
                await submitters.learn(reports)
                for start in range(0, len(reports), asked.options.rows):
                    part = reports[start : start + asked.options.rows]
                    yield "".join([line_of(doc, submitters.cells(doc)) for doc in part]).encode()
    finally:
        listing.close()


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


def flat(fields: Any) -> dict[str, Any]:
    """Values by their path, `a.b.c`; lists are values, objects are not."""
    found: dict[str, Any] = {}
    if isinstance(fields, dict):
        flatten(fields, "", found)
    return found


def flatten(fields: Mapping[str, Any], prefix: str, found: dict[str, Any]) -> None:
    for name, value in fields.items():
        if isinstance(value, dict):
            flatten(value, f"{prefix}{name}.", found)
        else:
            found[prefix + name] = value


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Named:
    """A contact's name and the ids above it."""

    name: Any
    above: Sequence[str]


class Submitters:
    """The names of contacts and of the places above them as cells, each read once (EP-EXP-23)."""

    def __init__(self, db: Database, csv: Csv) -> None:
        self._db = db
        self._csv = csv
        self._known: dict[str, Named | None] = {}
        self._cells: dict[str, str] = {}

    async def learn(self, docs: Iterable[Doc]) -> None:
        """Know who submitted these reports: at most two reads, whatever their number."""
        if len(self._known) > MOST_NAMES:
            self._known.clear()
            self._cells.clear()
        contacts = [contact for doc in docs if (contact := doc.get("contact")) and id_of(contact) not in self._cells]
        wanted = {each for contact in contacts for each in (id_of(contact), *chain_ids(contact)) if each}
        await self._read(wanted)
        await self._read({above for each in wanted if (named := self._known.get(each)) for above in named.above})

    async def _read(self, ids: Iterable[str]) -> None:
        missing = [each for each in ids if each not in self._known]
        if missing:
            docs = await self._db.get_many(missing)
            for each in missing:
                self._known[each] = Named(docs[each].get("name"), chain_ids(docs[each])) if each in docs else None

    def cells(self, doc: Doc) -> str:
        """The name of the submitter and of the three places above, joined by commas; nothing where there is none."""
        contact = doc.get("contact")
        if not contact:
            return "," * (len(SUBMITTER) - 1)
        contact_id = id_of(contact) or ""
        cells = self._cells.get(contact_id)
        if cells is None:
            known = self._known.get(contact_id)
            cells = self._made(known or Named(name_in(contact), chain_ids(contact)))
            if known is not None:
                self._cells[contact_id] = cells
        return cells

    def _made(self, submitter: Named) -> str:
        places = [self._known.get(each) for each in submitter.above[: len(SUBMITTER) - 1]]
        names = [submitter.name, *(place.name if place else None for place in places)]
        return ",".join(map(self._csv.cell, names + [None] * (len(SUBMITTER) - len(names))))


def name_in(contact: Any) -> Any:
    return contact.get("name") if isinstance(contact, dict) else None


class Lines:
    """Makes lines of CSV out of reports."""

    def __init__(self, columns: Sequence[str], options: Options) -> None:
        self._cell = options.csv.cell
        self._readable = options.readable
        self._place = {column: place for place, column in enumerate(columns)}
        self._empty = [""] * len(columns)

    def __call__(self, doc: Doc, submitter: str) -> str:
        cell = self._cell
        date = doc.get("reported_date")
        if self._readable or not isinstance(date, int):
            date = date_value(date, readable=self._readable)
        own = (doc["_id"], doc.get("form"), doc.get("patient_id"), date, doc.get("from"))
        line = f"{','.join(map(cell, own))},{submitter}"
        fields = doc.get("fields")
        if not self._empty:
            return line + "\n"
        cells = self._empty.copy()
        if isinstance(fields, dict):
            self._fill(fields, "", cells)
        return f"{line},{','.join(cells)}\n"

    def _fill(self, fields: Mapping[str, Any], prefix: str, cells: list[str]) -> None:
        """An object where other reports have a value is written as JSON."""
        for name, value in fields.items():
            path = prefix + name
            if value is not None and path in self._place:
                cells[self._place[path]] = self._cell(value)
            if isinstance(value, dict):
                self._fill(value, path + ".", cells)
