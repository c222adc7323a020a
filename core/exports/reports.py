"""Reports as rows: which there are, their columns, and the names of who submitted them (30 §2.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from core.couch.client import Database
from core.couch.rows import view_rows
from core.dates import ms_of
from core.documents import Doc
from core.exports.asked import Asked, Export, Hits, csv_export, header
from core.exports.filters import Filters
from core.exports.listing import Listing
from core.exports.paging import documents
from core.exports.report_rows import OWN, SUBMITTER, Lines, Submitters

SAMPLES = 100  # reports of a form whose fields are its columns
FORMS_AT_ONCE = 4


async def export_reports(asked: Asked) -> Export:
    """CSV, the newest first and then the last id first (EP-EXP-24)."""
    filters = Filters.read(asked.filters, now_ms=ms_of(asked.now))
    fields = await field_columns(asked.db, filters.forms)
    reports = filtered(asked, filters)
    first: list[Doc] = await anext(reports, [])  # what fails before it is told by the status of the answer
    return csv_export(write_reports(asked, fields, first, reports))


async def write_reports(
    asked: Asked, fields: Sequence[str], first: list[Doc], others: AsyncGenerator[list[Doc], None]
) -> AsyncGenerator[bytes, None]:
    lines, submitters = Lines(fields, asked.options), Submitters(asked.db, asked.options.csv)

    async with aclosing(others):
        yield header([*OWN, *SUBMITTER, *fields])
        yield lines.text(first, await submitters.of(first))
        async for reports in others:
            yield lines.text(reports, await submitters.of(reports))


async def filtered(asked: Asked, filters: Filters) -> AsyncGenerator[list[Doc], None]:
    """The reports that the filters admit, as they are when they are read, some at a time."""
    hits = asked.search(filters.search) if filters.search else None
    view = narrow_view(filters)
    source = by_date(asked.db, filters) if hits is None and view is None else listed(asked, filters, hits, view)
    async with aclosing(source) as parts:
        async for docs in parts:
            admitted = [doc for doc in docs if filters.admits_report(doc)]
            for start in range(0, len(admitted), asked.options.rows):
                yield admitted[start : start + asked.options.rows]


async def by_date(db: Database, filters: Filters) -> AsyncGenerator[list[Doc], None]:
    """All reports between the dates, from the view that has them in their order: one state of it, however long."""
    between: dict[str, Any] = {"descending": True, "include_docs": True}
    if filters.from_ms is not None and filters.to_ms is not None:
        if filters.from_ms > filters.to_ms:
            return  # CouchDB refuses to look
        between |= {"startkey": [filters.to_ms], "endkey": [filters.from_ms]}
    async with aclosing(view_rows(db, "medic-client", "reports_by_date", **between)) as parts:
        async for rows in parts:
            yield [doc for row in rows if (doc := row["doc"])]


async def listed(
    asked: Asked, filters: Filters, hits: Hits | None, view: tuple[str, list[Any]] | None
) -> AsyncGenerator[list[Doc], None]:
    """Those of the search's hits, else of a view of another order: all are known before the first is read."""
    listing = Listing(descending=True)
    try:
        if hits is not None:
            async for found in hits:
                await listing.add(found)
        elif view is not None:
            name, keys = view
            async for rows in view_rows(asked.db, "medic-client", name, keys=keys, reduce=False):
                await listing.add((row["id"], row["value"]) for row in rows if filters.admits_date(row["value"]))
        async with aclosing(documents(asked.db, listing, asked.options.rows)) as parts:
            async for docs in parts:
                yield docs
    finally:
        listing.close()


def narrow_view(filters: Filters) -> tuple[str, list[Any]] | None:
    """The view of the most telling filter, whose values are dates, and the keys in it; None without such a filter."""
    if filters.subjects is not None:
        return "reports_by_subject", sorted(filters.subjects)
    if filters.forms is not None:
        return "reports_by_form", [[form] for form in sorted(filters.forms)]
    if filters.facilities is not None:
        return "reports_by_place", [[each] for each in sorted(filters.facilities)]
    return None


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
