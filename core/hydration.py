"""Documents asked for by their ids, whole with everything they refer to (30 §12)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from core.couch.client import Database, Row
from core.lineage import hydrate

BATCH = 250  # documents read and hydrated at once: what bounds the memory of a long list


async def hydrate_ids(db: Database, doc_ids: Sequence[str]) -> AsyncIterator[list[Row]]:
    """For each id, in the order given and in batches: `{id, doc}`, or `{id, error}` for one missing or deleted.

    A batch takes one read of its documents and those of `hydrate`, however many ids it has (EP-HYD-2, EP-HYD-4).
    """
    for start in range(0, len(doc_ids), BATCH):
        batch = doc_ids[start : start + BATCH]
        docs = await db.get_many(batch)
        full = dict(zip(docs, await hydrate(db, list(docs.values()), shared=True), strict=True))
        yield [
            {"id": each, "doc": full[each]} if each in full else {"id": each, "error": "not_found"} for each in batch
        ]
