"""Keep the HTML and model of every form those of its XForm, whichever way it was written (50 FORM-22, FORM-23).

The active worker does it, since there is one of it however many machines and processes serve the API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Iterable

from core.couch.changes import Change
from core.couch.client import Database, Doc
from core.errors import DiskFull, DomainError, InvalidInput, TooLarge, Unavailable
from core.xforms.catalogue import PREFIX
from core.xforms.converter import Converter
from core.xforms.form_errors import FormErrors
from core.xforms.generated import refresh
from core.xforms.versions import FormVersions

log = logging.getLogger(__name__)

RETRY_S = 1.0


class FormKeeper:
    """Converts every form at the start and each one that changes, and keeps what its XForm was.

    One that cannot be converted is told of and left.
    """

    def __init__(
        self,
        db: Database,
        errors: FormErrors,
        versions: FormVersions,
        may_write: Callable[[], None],
        converter: Converter | None = None,
    ) -> None:
        self.db = db
        self.errors = errors
        self.versions = versions
        self.may_write = may_write
        self.converter = converter or Converter()

    async def follow(self, changes: AsyncIterable[Iterable[Change]]) -> None:
        """All that are there, then those of the changes. Our own writes come back, and find nothing to do."""
        rows = await self.db.all_docs(startkey=PREFIX, endkey=f"{PREFIX}\ufff0")
        await self.keep(row["id"] for row in rows)
        async for changed in changes:
            await self.keep(dict.fromkeys(change.id for change in changed if not change.deleted))

    async def keep(self, doc_ids: Iterable[str]) -> None:
        for doc_id in doc_ids:
            while not await self.kept(doc_id):  # noqa: ASYNC110  CouchDB sends no event when it is back
                await asyncio.sleep(RETRY_S)

    async def kept(self, doc_id: str) -> bool:
        """Bring one form up to date; False when CouchDB is away, or has no room."""
        try:
            doc = await self.db.find(doc_id)
            if doc is not None:
                self.may_write()
                await self.versions.keep(self.db, doc)
                await self.errors.note(doc_id, doc["_rev"], await self.convert(doc))
        except DomainError as error:
            log.warning("%s is not converted: %s", doc_id, error.message)
            return not isinstance(error, Unavailable | DiskFull)
        return True

    async def convert(self, doc: Doc) -> str | None:
        """Refresh what is made of the form; what is wrong with it, if anything is."""
        try:
            await refresh(self.db, self.converter, doc)
        except (InvalidInput, TooLarge) as error:
            log.warning("%s is not converted: %s", doc["_id"], error.message)
            return error.message
        return None

    async def close(self) -> None:
        await self.converter.close()


def is_form(doc_id: str) -> bool:
    return doc_id.startswith(PREFIX)
