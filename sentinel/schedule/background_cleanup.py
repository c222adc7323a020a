"""Remove what was kept beside documents that are deleted now: infodocs and read marks (40 JOB-BGC-1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from core.couch.client import Couch, Database
from core.errors import NotFound
from sentinel.transitions.notes import info_id

log = logging.getLogger(__name__)

NAME = "background-seq"
BATCH_SIZE = 1000


async def clean_up(couch: Couch, database: str, may_write: Callable[[], None] = lambda: None) -> int:
    """Deal with every deletion since the last run; the number of deleted documents seen. Safe to repeat.

    The position, `_local/background-seq` of the sentinel database, moves after each batch.
    """
    db, sentinel_db = couch.db(database), couch.db(f"{database}-sentinel")
    position = await sentinel_db.get_local(NAME) or {}
    seen = 0
    while True:
        answer = await db.changes(position.get("value") or 0, limit=BATCH_SIZE)
        if not answer["results"]:
            return seen
        deleted = [row["id"] for row in answer["results"] if row.get("deleted")]
        if deleted:
            may_write()
            await forget(couch, database, deleted)
            seen += len(deleted)
        may_write()
        position = {**position, "value": str(answer["last_seq"])}
        position["_rev"] = await sentinel_db.put_local(NAME, position)


async def forget(couch: Couch, database: str, ids: Sequence[str]) -> None:
    """Delete the infodocs, those of old releases in the main database too, and the marks in each user's database."""
    infodocs = [info_id(doc_id) for doc_id in ids]
    await delete_all(couch.db(f"{database}-sentinel"), infodocs)
    await delete_all(couch.db(database), infodocs)
    marks = [f"read:{kind}:{doc_id}" for doc_id in ids for kind in ("report", "message")]
    for name in await couch.all_dbs():
        if name.startswith(f"{database}-user-") and name.endswith("-meta"):
            try:
                await delete_all(couch.db(name), marks)
            except NotFound:
                log.info("%s was removed meanwhile", name)


async def delete_all(db: Database, ids: Sequence[str]) -> None:
    """Delete those that exist. What another writer changes at this moment stays: it does no harm."""
    rows = await db.all_docs(ids)
    found = [row for row in rows if "value" in row and not row["value"].get("deleted")]
    await db.bulk_docs([{"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True} for row in found])
