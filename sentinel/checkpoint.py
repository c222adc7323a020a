"""The place in the feed up to which every change is done or queued for another try (40 SEN-7, SEN-20)."""

from __future__ import annotations

from core.couch.client import Database
from core.errors import Conflict

NAME = "transitions-seq"


class Checkpoint:
    """`_local/transitions-seq` of the sentinel database, `{value: <seq>}`; operators may set it while we are down."""

    def __init__(self, sentinel_db: Database) -> None:
        self.db = sentinel_db
        self._rev: str | None = None
        self._saved: str | None = None

    async def read(self) -> str:
        """The stored position, "0" when there is none yet: process everything."""
        doc = await self.db.get_local(NAME) or {}
        self._rev = doc.get("_rev")
        self._saved = str(doc.get("value") or "0")
        return self._saved

    async def save(self, seq: str) -> None:
        """Store the position, whatever stands there: the caller holds the lease."""
        if seq == self._saved:
            return
        try:
            await self._put(seq)
        except Conflict:
            await self.read()
            await self._put(seq)

    async def _put(self, seq: str) -> None:
        doc = {"value": seq} if self._rev is None else {"value": seq, "_rev": self._rev}
        self._rev = await self.db.put_local(NAME, doc)
        self._saved = seq
