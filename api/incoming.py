"""What comes in becomes documents: records are processed by the synchronous transitions and stored, in bulk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial

from aiohttp import web

from api.audit import audit_writes
from api.keys import CONFIG, COUCH, DB, NOW, REQUEST_SETTINGS
from core.couch.client import Database, Doc, Row
from core.messages import DuplicateGuard
from core.sms_gateways import Visits
from core.translations import Translations, load_translations
from sentinel.transitions import save_new


class Incoming:
    """Stores new records, under the settings a request began with and the translations of that moment."""

    def __init__(self, db: Database, sentinel_db: Database, now: Callable[[], datetime]) -> None:
        self.db = db
        self.sentinel_db = sentinel_db
        self.now = now
        self.duplicates = DuplicateGuard(now)
        self.visits = Visits(sentinel_db, now)
        self._translations = Translations()
        self._revs: list[str] | None = None

    async def translations(self) -> Translations:
        """The texts of all locales, read again only when one of their documents has another revision."""
        rows = await self.db.all_docs(startkey="messages-", endkey="messages-\ufff0")
        revs = [f"{row['id']} {row['value']['rev']}" for row in rows]
        if revs != self._revs:
            self._translations = await load_translations(self.db)
            self._revs = revs
        return self._translations

    async def save(self, request: web.Request, docs: Sequence[Doc], translations: Translations) -> list[Row]:
        """Process and store new records: a row for each, in order, as `_bulk_docs` gives them (40 TRN-11).

        By the settings the request began with; what it brings about besides the records is noted as its writes.
        """
        return await save_new(
            docs,
            db=self.db,
            sentinel_db=self.sentinel_db,
            settings=request[REQUEST_SETTINGS],
            translations=translations,
            now=self.now,
            duplicates=self.duplicates,
            note_others=partial(audit_writes, request),
        )


INCOMING = web.AppKey("incoming", Incoming)


async def incoming_lifespan(app: web.Application) -> AsyncIterator[None]:
    """A `cleanup_ctx` to come after the one that opens CouchDB."""
    app[INCOMING] = Incoming(app[DB], app[COUCH].db(app[CONFIG].db_name("sentinel")), app[NOW])
    yield
