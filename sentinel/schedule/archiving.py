"""Move documents out of the main database into the archive, job by job, going on where a dead run ended (40 §13).

A document is copied with its revision, conflicts and attachments, and then deleted: by the deletion every index, phone
and replica learns that it is gone, and the infodoc is removed as that of any deleted document.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.archive_jobs import IDS, PREFIX
from core.couch.client import Couch
from core.couch.databases import ADMINS_ONLY
from core.couch.errors import from_row
from core.dates import add, iso_of, moment_of, ms_of, parse_duration
from core.documents import Doc
from core.errors import Conflict, DomainError, InvalidInput
from core.settings import Settings
from core.timetables import Timetable

log = logging.getLogger(__name__)

STATE = "archiving"
STEP = 1000  # ids between two writes of the position
COPIED_AT_ONCE = 50  # documents, since their attachments come along
MOST_ERRORS = 10
ATTEMPTS = 3
KINDS = frozenset({"data_record", "task", "target"})


async def archive_when_due(
    couch: Couch,
    database: str,
    settings: Settings,
    now: Callable[[], datetime],
    may_write: Callable[[], None] = lambda: None,
    *,
    step: int = STEP,
) -> int:
    """Work on the jobs, at each call or as `settings.archive` says; how many documents were moved.

    Ends when the configured `duration` is over and goes on the next time. InvalidInput for settings that make no sense.
    """
    section, moment, sentinel_db = settings.section("archive"), now(), couch.db(f"{database}-sentinel")
    timetable = Timetable.from_config(section)
    ends = end_of(section.get("duration"), moment)
    if timetable is not None:
        state = await sentinel_db.get_local(STATE) or {}
        checked = moment_of(state.get("checked"), moment.tzinfo) if moment.tzinfo else None
        is_ahead = checked is not None and checked > moment  # of a clock that was set back since
        if checked is not None and not is_ahead and timetable.latest(checked, moment) is None:
            return 0
        may_write()
        await sentinel_db.put_local(STATE, {**state, "checked": ms_of(moment)})
        if checked is None or is_ahead:
            return 0
    moved = 0
    for row in await sentinel_db.all_docs(startkey=PREFIX, endkey=PREFIX + "\ufff0", include_docs=True):
        moved += await ArchiveJob(couch, database, settings, row["doc"], now, may_write, ends, step).carry_out()
    return moved


def end_of(duration: Any, moment: datetime) -> datetime | None:
    """When to stop; None for never."""
    if duration is None:
        return None
    span = parse_duration(duration)
    if span is None:
        raise InvalidInput(f"archive.duration: {duration!r} is not a duration such as '2 hours'")
    return add(moment, span)


@dataclass
class ArchiveJob:
    """`doc` is `{date, total, cursor, history, error_count}` with the ids attached; its `cursor` counts those done.

    How it is stands in the logs database under the same id: `{status, cursor, total, errors}`.
    """

    couch: Couch
    database: str
    settings: Settings
    doc: Doc
    now: Callable[[], datetime]
    may_write: Callable[[], None]
    ends: datetime | None
    step: int

    def __post_init__(self) -> None:
        self.db = self.couch.db(self.database)
        self.sentinel_db = self.couch.db(f"{self.database}-sentinel")
        self.logs_db = self.couch.db(f"{self.database}-logs")
        self.archive_db = self.couch.db(f"{self.database}-archive")

    @property
    def is_over(self) -> bool:
        return self.ends is not None and self.now() >= self.ends

    async def carry_out(self) -> int:
        """Step by step to its end or until the time is over. An error ends it for now, the tenth for ever."""
        moved = 0
        try:
            ids = (await self.sentinel_db.attachment(self.doc["_id"], IDS, self.doc["_rev"])).decode().splitlines()
            if await self.archive_db.create():
                await self.archive_db.request("PUT", "/_security", body=ADMINS_ONLY)
            while self.doc["cursor"] < len(ids) and not self.is_over:
                page = ids[self.doc["cursor"] : self.doc["cursor"] + self.step]
                moved += await self.move(page)
                await self.save(cursor=self.doc["cursor"] + len(page))
            if self.doc["cursor"] >= len(ids):
                await self.end("completed")
        except DomainError as error:
            log.error("%s stopped: %s", self.doc["_id"], error.message)
            await self.save(error_count=int(self.doc.get("error_count") or 0) + 1, error=error.message)
            if self.doc["error_count"] >= MOST_ERRORS:
                await self.end("failed")
        if moved:
            log.info("%s: %d documents archived", self.doc["_id"], moved)
        return moved

    async def move(self, ids: Sequence[str]) -> int:
        """How many of the documents were archived; what is no contact, record, task or target stays."""
        moved = 0
        for start in range(0, len(ids), COPIED_AT_ONCE):
            wanted: Collection[str] = ids[start : start + COPIED_AT_ONCE]
            for _ in range(ATTEMPTS):
                leaves = await self.leaves(wanted)
                if not leaves:
                    break
                self.may_write()
                await self.copy(leaves)
                wanted = await self.delete(leaves)
                moved += len({leaf["_id"] for leaf in leaves} - set(wanted))
                if not wanted:
                    break
            else:
                raise Conflict(f"{next(iter(wanted))} is being written by others all the time")
        return moved

    async def leaves(self, ids: Collection[str]) -> list[Doc]:
        """Every living leaf revision, in full, of those that may be archived."""
        asked = {"docs": [{"id": each} for each in ids]}
        params = {"attachments": True, "revs": True}
        answer = await self.db.request("POST", "/_bulk_get", params=params, body=asked)
        found = [leaf["ok"] for result in answer["results"] for leaf in result["docs"] if "ok" in leaf]
        return [leaf for leaf in found if not leaf.get("_deleted") and self.may_be_archived(leaf)]

    def may_be_archived(self, doc: Doc) -> bool:
        is_target = str(doc["_id"]).startswith("target~")
        return is_target or doc.get("type") in KINDS or self.settings.contact_types.is_contact(doc)

    async def copy(self, leaves: Sequence[Doc]) -> None:
        date = iso_of(self.now())
        copies = [{**leaf, "archive_date": date} for leaf in leaves]
        for row in await self.archive_db.bulk_docs(copies, new_edits=False):
            if failure := from_row(row):
                raise failure

    async def delete(self, leaves: Sequence[Doc]) -> set[str]:
        """The ids of those that somebody changed meanwhile."""
        gone = [{"_id": leaf["_id"], "_rev": leaf["_rev"], "_deleted": True} for leaf in leaves]
        changed = set()
        for row in await self.db.bulk_docs(gone):
            failure = from_row(row)
            if isinstance(failure, Conflict):
                changed.add(row["id"])
            elif failure is not None:
                raise failure
        return changed

    async def save(self, error: str | None = None, **values: Any) -> None:
        """The job with its new position, and what people read of it."""
        self.may_write()
        entry = {"date": iso_of(self.now()), **values, **({"error": error} if error else {})}
        history = [*self.doc.get("history", ()), entry][-MOST_ERRORS:]
        self.doc |= {**values, "history": history}
        self.doc["_rev"] = await self.sentinel_db.put(self.doc)
        await self.report("running", error)

    async def end(self, status: str) -> None:
        self.may_write()
        await self.report(status)
        await self.sentinel_db.delete(self.doc["_id"], self.doc["_rev"])

    async def report(self, status: str, error: str | None = None) -> None:
        def change(doc: Doc | None) -> Doc:
            errors = [*(doc or {}).get("errors", ()), *([error] if error else ())][-MOST_ERRORS:]
            known = {"cursor": self.doc["cursor"], "total": self.doc["total"], "errors": errors}
            return {**(doc or {}), "type": "archive", "date": self.doc["date"], "status": status, **known}

        await self.logs_db.update(self.doc["_id"], change)
