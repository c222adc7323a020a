"""Design documents that wait beside the running ones, as `_design/:staged:<name>`, and their exchange (UPG-14, 16)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from core.couch.client import Database, Doc
from core.couch.ddocs import replacing
from core.couch.errors import from_row
from core.errors import Conflict

STAGED = "_design/:staged:"
ATTEMPTS = 5
# A rule of writing would hold from the moment it is stored: while staged it has another name, which CouchDB ignores.
RULE, WAITING_RULE = "validate_doc_update", "staged_validate_doc_update"

Databases = Mapping[str, Database]  # by the role that a bundle gives them


def staged_id(doc_id: str) -> str:
    return STAGED + doc_id.removeprefix("_design/")


def live_id(doc_id: str) -> str:
    return "_design/" + doc_id.removeprefix(STAGED)


async def staged_docs(db: Database) -> list[Doc]:
    rows = await db.all_docs(startkey=STAGED, endkey=f"{STAGED}\ufff0", include_docs=True)
    return [row["doc"] for row in rows]


async def stage(dbs: Databases, bundle: Mapping[str, Sequence[Doc]], deploy_info: Doc) -> int:
    """Stage the bundle's documents and nothing else; how many were written: none of those that are staged already."""
    written = await asyncio.gather(*(stage_in(db, bundle.get(role, []), deploy_info) for role, db in dbs.items()))
    return sum(written)


async def stage_in(db: Database, ddocs: Sequence[Doc], deploy_info: Doc) -> int:
    wanted = {staged_id(ddoc["_id"]): ddoc for ddoc in ddocs}

    async def pending() -> list[Doc]:
        there = {doc["_id"]: doc for doc in await staged_docs(db)}
        docs = [deletion(doc) for doc_id, doc in there.items() if doc_id not in wanted]
        for doc_id, ddoc in wanted.items():
            known = there.get(doc_id)
            if known is None or not is_same(known, ddoc):
                rev = {"_rev": known["_rev"]} if known else {}
                docs.append({**waiting(ddoc), "_id": doc_id, "deploy_info": deploy_info, **rev})
        return docs

    return await write(db, pending)


async def unstage(dbs: Databases) -> None:
    """Delete whatever is staged."""

    async def unstage_in(db: Database) -> int:
        async def pending() -> list[Doc]:
            return [deletion(doc) for doc in await staged_docs(db)]

        return await write(db, pending)

    await asyncio.gather(*(unstage_in(db) for db in dbs.values()))


async def swap(dbs: Databases, deploy_info: Mapping[str, Any]) -> None:
    """Put what is staged in the place of what runs: one write for each database. Safe to repeat."""
    await asyncio.gather(*(swap_in(db, deploy_info) for db in dbs.values()))


async def swap_in(db: Database, deploy_info: Mapping[str, Any]) -> None:
    async def pending() -> list[Doc]:
        waiting_docs = await staged_docs(db)
        ids = [live_id(doc["_id"]) for doc in waiting_docs]
        rows = await db.all_docs(ids, include_docs=True) if ids else []
        live = {row["id"]: row["doc"] for row in rows if row.get("doc")}
        docs = []
        for doc in waiting_docs:
            ddoc = {**released(doc), "_id": live_id(doc["_id"])}
            ddoc["deploy_info"] = {**doc.get("deploy_info", {}), **deploy_info}
            docs.append(replacing(live[ddoc["_id"]], ddoc) if ddoc["_id"] in live else ddoc)
        return docs + [deletion(doc) for doc in waiting_docs]

    await write(db, pending)


async def write(db: Database, pending: Any) -> int:
    """Write what `pending()` gives, asking it again after a conflict with another writer; how many documents."""
    written = 0
    for _ in range(ATTEMPTS):
        docs = await pending()
        if not docs:
            return written
        rows = await db.bulk_docs(docs)
        written += sum(1 for row in rows if "error" not in row)
        failures = [failure for row in rows if (failure := from_row(row))]
        for failure in failures:
            if not isinstance(failure, Conflict):
                raise type(failure)(f"{live_id(str(failure.details.get('id')))} in {db.name}: {failure.message}")
        if not failures:
            return written
    raise Conflict(f"Other writers kept changing the design documents of {db.name}")


def is_same(stored: Doc, ddoc: Doc) -> bool:
    """Whether that document is staged: by its digest, or else by all it has."""
    if ddoc.get("digest"):
        return bool(stored.get("digest") == ddoc["digest"])
    ignored = ("_id", "_rev", "deploy_info")
    return {name: value for name, value in released(stored).items() if name not in ignored} == {
        name: value for name, value in ddoc.items() if name not in ignored
    }


def waiting(ddoc: Doc) -> Doc:
    return {WAITING_RULE if name == RULE else name: value for name, value in ddoc.items() if name != "_rev"}


def released(doc: Doc) -> Doc:
    return {RULE if name == WAITING_RULE else name: value for name, value in doc.items() if name != "_rev"}


def deletion(doc: Doc) -> Doc:
    return {"_id": doc["_id"], "_rev": doc["_rev"], "_deleted": True}
