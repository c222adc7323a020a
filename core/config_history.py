"""What settings and forms were before: each of their bodies is kept in the logs database, and can be put back."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterable, Callable, Iterable
from datetime import datetime
from typing import Any

from core.couch.changes import Change
from core.couch.client import Database, Doc, Row
from core.dates import iso_of
from core.errors import Conflict, DomainError, NotFound
from core.settings import SETTINGS_ID

log = logging.getLogger(__name__)

KEPT = 50  # bodies of each document at the most, and fewer where their attachments are large
KEPT_BYTES = 50 * 2**20  # of the attachments of one document's bodies; the two latest are kept whatever their size
FORM_PREFIX = "form:"
LONGEST_NAME = 250  # of a document or revision that a request asks for
REV = re.compile(r"\d+-[0-9a-f]+")


def is_config(doc_id: str) -> bool:
    return doc_id == SETTINGS_ID or doc_id.startswith(FORM_PREFIX)


def may_be_kept(doc_id: str) -> bool:
    return is_config(doc_id) and len(doc_id) <= LONGEST_NAME


class ConfigHistory:
    """`config-history:<doc id>:<rev>` for every body that was seen, the present one among them (65 CONF-83)."""

    def __init__(self, db: Database, now: Callable[[], datetime], *, kept_bytes: int = KEPT_BYTES) -> None:
        self.db = db
        self.kept_bytes = kept_bytes
        self.logs_db = db.couch.db(f"{db.name}-logs")
        self.now = now

    async def follow(self, changes: AsyncIterable[Iterable[Change]]) -> None:
        """Keep what is there now, then whatever comes of what `is_config`."""
        forms = await self.db.all_docs(startkey=FORM_PREFIX, endkey=f"{FORM_PREFIX}\ufff0")
        await self.record([SETTINGS_ID, *(row["id"] for row in forms)])
        async for changed in changes:
            await self.record(dict.fromkeys(change.id for change in changed))

    async def record(self, doc_ids: Iterable[str]) -> None:
        for doc_id in doc_ids:
            await self.record_revs(doc_id)

    async def record_revs(self, doc_id: str) -> None:
        """Keep the document's present body, and those before it that came since the last one kept."""
        doc = await self.db.find(doc_id, revs=True)
        if doc is None:
            return
        known = await self.kept(doc_id)
        revisions = doc["_revisions"]
        revs = [f"{revisions['start'] - age}-{digest}" for age, digest in enumerate(revisions["ids"][:KEPT])]
        new = revs[: next((index for index, rev in enumerate(revs) if rev in known), len(revs))]
        for rev in reversed(new):
            await self.keep(doc_id, rev)
        await self.forget_oldest(doc_id)

    async def keep(self, doc_id: str, rev: str) -> None:
        try:
            body = await self.db.get(doc_id, rev=rev, attachments=True)
            attachments = {
                name: {"content_type": each["content_type"], "data": each["data"]}
                for name, each in body.pop("_attachments", {}).items()
            }
            kept = {name: value for name, value in body.items() if name not in ("_id", "_rev")}
            entry = {"type": "config-history", "doc_id": doc_id, "rev": rev, "date": iso_of(self.now()), "body": kept}
            await self.logs_db.put({"_id": history_id(doc_id, rev), **entry, "_attachments": attachments})
        except (Conflict, NotFound):
            return  # kept already, or gone: CouchDB compacts old bodies
        except DomainError as error:
            if error.status >= 500:
                raise
            log.warning("%s cannot be kept: %s", history_id(doc_id, rev), error.message)

    async def forget_oldest(self, doc_id: str) -> None:
        has_attachments = doc_id != SETTINGS_ID
        kept = await self.kept(doc_id, include_docs=has_attachments)
        surplus: list[Row] = []
        size_bytes = 0
        for at, rev in enumerate(sorted(kept, key=generation, reverse=True)):
            size_bytes += attached_bytes(kept[rev]["doc"]) if has_attachments else 0
            if at >= KEPT or (at >= 2 and size_bytes > self.kept_bytes):
                surplus.append(kept[rev])
        await self.logs_db.bulk_docs(
            [{"_id": row["id"], "_rev": row["value"]["rev"], "_deleted": True} for row in surplus]
        )

    async def kept(self, doc_id: str, **params: Any) -> dict[str, Row]:
        """The rows of `_all_docs` of what is kept of a document, by rev."""
        prefix = history_id(doc_id, "")
        rows = await self.logs_db.all_docs(startkey=prefix, endkey=f"{prefix}\ufff0", **params)
        revs = {row["id"].removeprefix(prefix): row for row in rows}
        return {rev: row for rev, row in revs.items() if REV.fullmatch(rev)}  # form:a and form:a:b share a beginning

    async def entries(self, doc_id: str) -> list[Doc]:
        """`{rev, date}` of each body kept, the newest first. NotFound when there is none."""
        kept = await self.kept(doc_id, include_docs=True) if may_be_kept(doc_id) else {}
        if not kept:
            raise NotFound(f"There is no history of {doc_id}")
        return [{"rev": rev, "date": kept[rev]["doc"]["date"]} for rev in sorted(kept, key=generation, reverse=True)]

    async def body(self, doc_id: str, rev: str) -> Doc:
        """The document as it was, without attachments. NotFound."""
        return {"_id": doc_id, "_rev": rev, **(await self.entry(doc_id, rev))["body"]}

    async def restore(self, doc_id: str, rev: str) -> str:
        """Write the body of that rev again, with its attachments: the new rev. NotFound."""
        entry = await self.entry(doc_id, rev, attachments=True)
        attachments = {
            name: {"content_type": each["content_type"], "data": each["data"]}
            for name, each in entry.get("_attachments", {}).items()
        }
        body = {**entry["body"], **({"_attachments": attachments} if attachments else {})}
        restored = await self.db.update(doc_id, lambda doc: {**body, **({"_rev": doc["_rev"]} if doc else {})})
        return str((restored or {})["_rev"])

    async def entry(self, doc_id: str, rev: str, **params: Any) -> Doc:
        is_named = may_be_kept(doc_id) and REV.fullmatch(rev) and len(rev) <= LONGEST_NAME
        entry = await self.logs_db.find(history_id(doc_id, rev), **params) if is_named else None
        if entry is None:
            raise NotFound(f"There is no history of {doc_id} at {rev}")
        return entry


def history_id(doc_id: str, rev: str) -> str:
    return f"config-history:{doc_id}:{rev}"


def attached_bytes(doc: Doc) -> int:
    return sum(each["length"] for each in doc.get("_attachments", {}).values())


def generation(rev: str) -> tuple[int, str]:
    number, _, digest = rev.partition("-")
    return int(number), digest
