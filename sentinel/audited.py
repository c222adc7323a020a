"""What the worker writes to the main database, noted in the audit database where that is switched on (40 SEN-22)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from core.audit import Audit
from core.config import Config
from core.couch.client import Couch, Database, Doc, Row
from core.storing import storing


@asynccontextmanager
async def audited(couch: Couch, config: Config, now: Callable[[], datetime]) -> AsyncIterator[Couch]:
    """The same CouchDB, by which every write is noted."""
    if not config.audit:
        yield couch
        return
    audit = Audit(couch.db(config.db_name("audit")), couch.db(config.database), now, "sentinel")
    async with storing("audit entries", audit):
        yield AuditedCouch(couch, config, audit)


class AuditedCouch(Couch):
    """Shares the connections of another; its main database notes what it stores."""

    def __init__(self, couch: Couch, config: Config, audit: Audit) -> None:
        vars(self).update(vars(couch))
        self.config = config
        self.audit = audit

    def db(self, name: str) -> Database:
        return AuditedDatabase(self, name) if name == self.config.database else super().db(name)


class AuditedDatabase(Database):
    """Deletions are not noted, as those through the API are not."""

    couch: AuditedCouch

    async def put(self, doc: Doc) -> str:
        rev = await super().put(doc)
        self.note({doc["_id"]: rev})
        return rev

    async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
        rows = await super().bulk_docs(docs, new_edits=new_edits)
        deleted = {doc["_id"] for doc in docs if doc.get("_deleted")}
        self.note({row["id"]: row["rev"] for row in rows if "rev" in row and row["id"] not in deleted})
        return rows

    def note(self, revs: dict[str, str]) -> None:
        self.couch.audit.note(revs, request_id=None, user=self.couch.config.couch_admin[0])
