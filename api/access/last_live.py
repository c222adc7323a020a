"""Find the last live body of deleted documents in CouchDB: a deletion is judged by it (REPL-76, REPL-115)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.access.rules import is_deletion_stub
from core.couch.client import Database, Doc

ANCESTORS = 4  # revisions looked back; repeated deletions of one document are rare


async def last_live_docs(db: Database, tombstones: Mapping[str, Doc]) -> dict[str, Doc]:
    """The last live body of each deleted document, by id; three requests for any number of documents.

    `tombstones` are the deleted revisions (`_id`, `_rev`). When compaction has removed the older bodies, a tombstone
    that kept its content speaks for itself; for a bare one the document does that CHT 3 kept of it (REPL-21). One of
    which nothing is left is left out, so nobody is told of it.
    """
    if not tombstones:
        return {}
    wanted = [{"id": doc_id, "rev": doc["_rev"]} for doc_id, doc in tombstones.items()]
    histories = await revisions(db, wanted, revs=True)
    ancestors = [
        {"id": doc["_id"], "rev": rev} for docs in histories.values() for doc in docs for rev in ancestor_revs(doc)
    ]
    found: dict[str, Doc] = {}
    for doc_id, docs in (await revisions(db, ancestors)).items():
        live = [doc for doc in docs if not doc.get("_deleted")]
        if live:
            found[doc_id] = max(live, key=lambda doc: generation(doc["_rev"]))
    for doc_id, doc in tombstones.items():
        if doc_id not in found and not is_deletion_stub(doc):
            found[doc_id] = doc
    return found | await kept_by_cht(db, {doc_id: doc for doc_id, doc in tombstones.items() if doc_id not in found})


async def kept_by_cht(db: Database, tombstones: Mapping[str, Doc]) -> dict[str, Doc]:
    """The last bodies that CHT 3 kept in documents of their own when it saw the deletions (35 MOD-96)."""
    names = {f"{doc_id}____{doc['_rev']}____tombstone": doc_id for doc_id, doc in tombstones.items()}
    kept = await db.get_many(names) if names else {}
    bodies = {names[name]: doc.get("tombstone") for name, doc in kept.items() if doc.get("type") == "tombstone"}
    return {doc_id: body for doc_id, body in bodies.items() if isinstance(body, dict)}


async def revisions(db: Database, wanted: list[dict[str, str]], **params: Any) -> dict[str, list[Doc]]:
    """Those revisions that are still stored, by id."""
    if not wanted:
        return {}
    answer = await db.request("POST", "/_bulk_get", params=params, body={"docs": wanted})
    found: dict[str, list[Doc]] = {}
    for result in answer["results"]:
        found.setdefault(result["id"], []).extend(each["ok"] for each in result["docs"] if "ok" in each)
    return found


def ancestor_revs(doc: Doc) -> list[str]:
    history = doc.get("_revisions") or {}
    start, digests = history.get("start", 0), history.get("ids", [])
    return [f"{start - back}-{digest}" for back, digest in enumerate(digests[: ANCESTORS + 1]) if back]


def generation(rev: str) -> int:
    return int(rev.split("-", 1)[0])
