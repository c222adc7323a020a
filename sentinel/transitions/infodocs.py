"""Read and write the infodocs, in which each document's processing is noted (40 §2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from core.couch.client import Database
from core.couch.errors import from_row
from core.dates import iso_of, ms_of
from core.documents import Doc
from core.errors import Conflict
from sentinel.transitions.change import Change
from sentinel.transitions.notes import ATTEMPTS, Edit, find_infodocs, info_id


async def read_infodocs(sentinel_db: Database, docs: Iterable[Doc], now: datetime) -> dict[str, Doc]:
    """The infodoc of each document, by the document's id; a new one where there is none (INF-3)."""
    docs = list(docs)
    found = await find_infodocs(sentinel_db, (doc["_id"] for doc in docs))
    return with_new_infodocs(found, docs, now)


def with_new_infodocs(found: Mapping[str, Doc], docs: Iterable[Doc], now: datetime) -> dict[str, Doc]:
    return {doc["_id"]: found.get(doc["_id"]) or new_infodoc(doc, now) for doc in docs}


def new_infodoc(doc: Mapping[str, Any], now: datetime) -> Doc:
    """Of a document stored before we saw it nobody knows when it came."""
    date: Any = "unknown" if doc.get("_rev") else ms_of(now)
    return {
        "_id": info_id(doc["_id"]),
        "type": "info",
        "doc_id": doc["_id"],
        "initial_replication_date": date,
        "latest_replication_date": date,
    }


def result_of(change: Change, now: datetime) -> Edit | None:
    """What the run of the transitions adds to the infodoc (INF-4, INF-5); None when there is nothing to add."""
    if not change.results and not change.initial_processing:
        return None
    entry = {"last_rev": change.original.get("_rev"), "seq": change.seq, "run_date": iso_of(now)}
    results = {name: {**entry, "ok": ok} for name, ok in change.results.items()}

    def edit(info: Doc) -> None:
        known = info.get("transitions")
        info["transitions"] = {**(known if isinstance(known, dict) else {}), **results}
        info.pop("transitions_started", None)

    return edit


def started_at(now: datetime) -> Edit:
    """The marker that a document is being written together with its infodoc (INF-6)."""

    def edit(info: Doc) -> None:
        info["transitions_started"] = iso_of(now)

    return edit


def unmark(info: Doc) -> None:
    info.pop("transitions_started", None)


async def save_infodocs(sentinel_db: Database, edits: Sequence[tuple[Doc, Edit]]) -> None:
    """Apply each edit to its infodoc and store them in bulk; after a conflict read again and re-apply (INF-1, INF-8).

    The given infodocs are brought up to date in place, with their new `_rev`.
    """
    pending = list(edits)
    for _ in range(ATTEMPTS):
        if not pending:
            return
        for info, edit in pending:
            edit(info)
        rows = await sentinel_db.bulk_docs([info for info, _ in pending])
        refused = []
        for (info, edit), row in zip(pending, rows, strict=True):
            failure = from_row(row)
            if failure is None:
                info["_rev"] = row["rev"]
            elif isinstance(failure, Conflict):
                refused.append((info, edit))
            else:
                raise failure
        pending = refused
        if pending:
            current = await sentinel_db.get_many(info["_id"] for info, _ in pending)
            for info, _ in pending:
                refresh(info, current.get(info["_id"]))
    if pending:
        raise Conflict(f"the infodoc {pending[0][0]['_id']} is being written by others all the time")


def refresh(info: Doc, current: Doc | None) -> None:
    """Make the infodoc what is stored now; a deleted one is created anew."""
    if current is None:
        info.pop("_rev", None)
    else:
        info.clear()
        info.update(current)
