"""Many users made one after another, with a document that tells how far it has come (30 EP-USR-31, 71..74)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from core.couch.client import Database, Doc
from core.dates import iso_of, moment_of, ms_of
from core.errors import Conflict, DomainError, NotFound
from core.user_csv import UserRow

log = logging.getLogger(__name__)

SECRETS = frozenset({"password", "token_login"})
INTERVAL_MS = 1_000
SILENT_MS = 60_000  # who writes every second and was silent for so long was cut off
PREFIX = "bulk-user-upload-"
MOST_LISTED = 50

Create = Callable[[Any], Awaitable[Doc]]


class Skipped(DomainError):
    """The row says itself that nothing is to be done."""


class ImportLog:
    """The document `bulk-user-upload-<ms>` in the logs database, rewritten about once a second (35 MOD-97).

    That it cannot be written ends no import: it is logged.
    """

    def __init__(self, logs_db: Database, by: str, now_ms: Callable[[], int]) -> None:
        self.db = logs_db
        self.now_ms = now_ms
        self.started_ms = self.written_ms = now_ms()
        self.rev: str | None = None
        self.doc: Doc = {
            "bulk_uploaded_by": by,
            "bulk_uploaded_on": iso_of_ms(self.started_ms),
            "progress": {
                "status": "parsed",
                "parsing": {"total": 0, "failed": 0, "successful": 0},
                "saving": {"total": 0, "failed": 0, "successful": 0, "ignored": 0},
            },
            "data": [],
        }

    async def start(self, rows: Sequence[UserRow]) -> None:
        failed = sum(1 for row in rows if row.problem)
        progress = self.doc["progress"]
        progress["parsing"] = {"total": len(rows), "failed": failed, "successful": len(rows) - failed}
        progress["saving"]["total"] = len(rows) - failed
        await self.write()
        progress["status"] = "saving"

    async def note(self, row: UserRow, failure: DomainError | None) -> None:
        """What became of one row."""
        if isinstance(failure, Skipped):
            status, count = "skipped", "ignored"
        elif failure is not None:
            status, count = "error", "failed"
        else:
            status, count = "imported", "successful"
        body = row.body if isinstance(row.body, dict) else {}
        shown = {name: value for name, value in body.items() if name not in SECRETS}
        result = {
            "status": status,
            "message": failure.message if failure else f"Imported on {iso_of_ms(self.now_ms())}",
        }
        self.doc["data"].append({**shown, "import": result})
        if row.problem is None:
            self.doc["progress"]["saving"][count] += 1
        if self.now_ms() - self.written_ms >= INTERVAL_MS:
            await self.write()

    async def finish(self) -> None:
        self.doc["progress"]["status"] = "finished"
        await self.write()

    @property
    def doc_id(self) -> str:
        return f"{PREFIX}{self.started_ms}"

    async def write(self) -> None:
        self.written_ms = self.now_ms()
        self.doc["updated_on"] = iso_of_ms(self.written_ms)
        doc = {"_id": self.doc_id, **({"_rev": self.rev} if self.rev else {}), **self.doc}
        try:
            self.rev = await self.db.put(doc)
        except Conflict:
            if self.rev is None:  # another import began in the same millisecond
                self.started_ms += 1
                await self.write()
        except DomainError as error:
            log.warning("%s: %s", self.doc_id, error.message)


async def create_users(
    rows: Sequence[UserRow], create: Create, import_log: ImportLog | None
) -> list[Doc | DomainError]:
    """The answer of `create` to each row, or its failure, in the rows' order; a failure does not stop the rest.

    The log has been started.
    """
    outcomes: list[Doc | DomainError] = []
    for row in rows:
        outcome = await outcome_of(row, create)
        outcomes.append(outcome)
        if import_log:
            await import_log.note(row, outcome if isinstance(outcome, DomainError) else None)
    if import_log:
        await import_log.finish()
    return outcomes


async def outcome_of(row: UserRow, create: Create) -> Doc | DomainError:
    if row.skip:
        return Skipped(row.skip)
    if row.problem:
        return row.problem
    try:
        return await create(row.body)
    except DomainError as error:
        return error


async def list_imports(logs_db: Database, now_ms: int) -> list[Doc]:
    """The newest imports, each `{id, by, on, status, progress}`; `status` is saving, finished or cut off."""
    rows = await logs_db.all_docs(
        startkey=f"{PREFIX}\ufff0", endkey=PREFIX, descending=True, include_docs=True, limit=MOST_LISTED
    )
    return [shown_import(row["doc"], now_ms) for row in rows]


async def find_import(logs_db: Database, import_id: str, now_ms: int) -> Doc:
    """One import, with what became of each row in `data`. NotFound."""
    doc = await logs_db.find(import_id) if import_id.startswith(PREFIX) else None
    if doc is None:
        raise NotFound(f"There is no import {import_id!r}")
    return {**shown_import(doc, now_ms), "data": doc["data"]}


def shown_import(doc: Doc, now_ms: int) -> Doc:
    progress = doc["progress"]
    updated = moment_of(doc.get("updated_on") or doc["bulk_uploaded_on"], UTC)
    silent = updated is None or now_ms - ms_of(updated) > SILENT_MS
    finished = progress["status"] == "finished"
    return {
        "id": doc["_id"],
        "by": doc["bulk_uploaded_by"],
        "on": doc["bulk_uploaded_on"],
        "status": "finished" if finished else "cut off" if silent else "saving",
        "progress": {name: progress[name] for name in ("parsing", "saving")},
    }


def iso_of_ms(moment_ms: int) -> str:
    return iso_of(datetime.fromtimestamp(moment_ms / 1000, UTC))
