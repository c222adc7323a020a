"""One run of purging, page by page, going on where a dead one ended (40 §11)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from dateutil.relativedelta import relativedelta

from core.couch.client import Couch, Database, Row
from core.couch.databases import ADMINS_ONLY
from core.couch.errors import from_row
from core.dates import iso_of, ms_of
from core.documents import Doc, subject_ids
from core.errors import Conflict
from core.hydration import find_by_shortcodes
from core.lineage import is_record
from core.scripting import ScriptError
from core.settings import Settings
from sentinel.schedule.purge_function import Group, judge
from sentinel.schedule.purge_groups import alone, grouped, key_of

log = logging.getLogger(__name__)

STATE = "purging"
MOST_CONTACTS = 1000
TOO_MANY_RECORDS = 20_000
FEW_RECORDS = 5_000
PAGE_ROWS = 1000
MOST_SKIPPED = 1000
UNASSIGNED = "_unassigned"


@dataclass
class Purging:
    """`run` is what is kept of it, `{begun, stage, after, skipped, since, upto, by}`; `last` what is kept of others."""

    couch: Couch
    database: str
    settings: Settings
    fn: str
    role_sets: dict[str, list[str]]
    run: Doc
    last: Doc
    checked_ms: int
    now: Callable[[], datetime]
    may_write: Callable[[], None]
    too_many_records: int
    timeout_s: float
    batch_size: int = MOST_CONTACTS

    def __post_init__(self) -> None:
        self.db = self.couch.db(self.database)
        self.sentinel_db = self.couch.db(f"{self.database}-sentinel")
        self.purged_dbs = [self.couch.db(f"{self.database}-purged-role-{each}") for each in self.role_sets]

    async def complete(self) -> bool:
        """All stages from where the run stands, then its log (PRG-10). ScriptError when the function failed."""
        error = None
        try:
            if await self.prepare() and self.run.get("since"):
                self.run |= {"stage": 0, "after": None, "since": None}
            for at, stage in enumerate(self.stages()):
                if at >= self.run["stage"]:
                    await stage()
                    await self.move(at + 1, None)
        except ScriptError as failure:
            error = f"purge.fn: {failure.message}"
            log.error("purging stopped: %s", error)
        ended_ms = ms_of(self.now())
        entry: Doc = {
            "_id": f"purgelog:error:{ended_ms}" if error else f"purgelog:{ended_ms}",
            "date": iso_of(self.now()),
            "roles": self.role_sets,
            "duration": ended_ms - int(self.run["begun"]),
            "skipped_contacts": self.run["skipped"],
            **({"changes_only": True} if self.run.get("since") else {}),
            **({"error": error} if error else {}),
        }
        self.may_write()
        await self.sentinel_db.bulk_docs([entry])
        if error:
            await remember(self.sentinel_db, {**self.last, "checked": self.checked_ms, "error": error})
            raise ScriptError(error)
        full = self.last["full"] if self.run.get("since") else self.run["begun"]
        done = {"full": full, "since": self.run.get("upto"), "by": self.run.get("by")}
        await remember(self.sentinel_db, {**done, "checked": self.checked_ms})
        return True

    def stages(self) -> list[Callable[[], Coroutine[Any, Any, None]]]:
        if self.run.get("since"):
            return [self.changed, self.tasks, self.targets]
        types = [each.id for each in self.settings.contact_types.types.values()]
        by_type = [partial(self.contacts, each) for each in types]
        return [*by_type, self.unassigned, self.tasks, self.targets, self.strays]

    async def prepare(self) -> bool:
        """The database of each role set, closed to all but administrators (PRG-3); whether one was not there."""
        is_new = False
        for db, roles in zip(self.purged_dbs, self.role_sets.values(), strict=True):
            if await db.create():
                is_new = True
                await db.request("PUT", "/_security", body=ADMINS_ONLY)
                await db.update("_local/info", lambda doc, roles=roles: {**(doc or {}), "roles": roles})  # type: ignore[misc]
        return is_new

    async def move(self, stage: int, after: Any) -> None:
        self.run |= {"stage": stage, "after": after}
        self.may_write()
        await remember(self.sentinel_db, {**self.last, "checked": self.checked_ms, "run": self.run})

    # --- stages -------------------------------------------------------------------------------------------------------

    async def contacts(self, type_id: str) -> None:
        """The contacts of a type with their records."""
        while rows := await self.rows_after("medic-client", "contacts_by_type", [type_id], self.batch_size):
            await self.judge_contacts([row["doc"] for row in rows if row.get("doc")])
            await self.move(self.run["stage"], rows[-1]["id"])

    async def judge_contacts(self, contacts: Sequence[Doc]) -> None:
        """With their records; fewer at once where records are many (PRG-5, PRG-6)."""
        while contacts:
            batch = contacts[: self.batch_size]
            ids = await self.record_ids(batch)
            if len(ids) >= self.too_many_records and len(batch) > 1:
                self.batch_size = len(batch) // 2
                continue
            if len(ids) >= self.too_many_records:
                self.skip(batch[0]["_id"], "it has too many records")
            else:
                await self.judge_groups(grouped(batch, await self.db.get_many(ids)))
            contacts = contacts[len(batch) :]
            if len(ids) < FEW_RECORDS:
                self.batch_size = min(self.batch_size * 2, MOST_CONTACTS)

    async def changed(self) -> None:
        """Whom changes since the last run concern, with all their records: the function sees them together (PRG-12)."""
        while True:
            answer = await self.db.changes(self.run["after"] or self.run["since"], limit=PAGE_ROWS)
            rows = answer["results"]
            docs = await self.db.get_many(row["id"] for row in rows if not row.get("deleted"))
            await self.judge_concerned(list(docs.values()), {row["id"] for row in rows if row.get("deleted")})
            if len(rows) < PAGE_ROWS:  # the next run begins where this one did: nothing that comes meanwhile is missed
                return
            await self.move(self.run["stage"], str(answer["last_seq"]))

    async def judge_concerned(self, docs: Sequence[Doc], deleted: set[str]) -> None:
        types = self.settings.contact_types
        records = [doc for doc in docs if is_record(doc)]
        keys = {key for record in records if (key := key_of(record))}
        named = await find_by_shortcodes(self.db, keys)
        known = {doc["_id"]: doc for doc in (*docs, *(await self.db.get_many(keys)).values(), *named.values())}
        contacts = [doc for doc in known.values() if types.is_contact(doc)]
        await self.judge_contacts(contacts)
        strays = (keys | deleted) - {each for contact in contacts for each in subject_ids(contact)}
        rows = await self.db.view(
            "medic-purging", "records_by_subject", keys=sorted(strays), limit=self.too_many_records
        )
        nobodys = [alone(record) for record in records if key_of(record) is None]
        await self.judge_groups([*nobodys, *(await self.stray_groups(rows) if rows else ())])

    async def record_ids(self, contacts: Sequence[Doc]) -> list[str]:
        """The ids of their reports and messages, up to the number that is too many."""
        keys = sorted({each for contact in contacts for each in subject_ids(contact)})
        rows = await self.db.view("medic-purging", "records_by_subject", keys=keys, limit=self.too_many_records)
        return list(dict.fromkeys(row["id"] for row in rows))

    async def unassigned(self) -> None:
        """Records that belong to nobody, one by one (PRG-7)."""
        while True:
            rows = await self.rows_after("medic-purging", "records_by_subject", UNASSIGNED, PAGE_ROWS)
            if not rows:
                return
            await self.judge_groups([alone(row["doc"]) for row in rows if row.get("doc")])
            await self.move(self.run["stage"], rows[-1]["id"])

    async def rows_after(self, ddoc: str, view: str, key: Any, limit: int) -> list[Row]:
        """The next rows of that key with their documents, behind where the run stands, by document id."""
        after = self.run["after"]
        start = {} if after is None else {"startkey_docid": after}
        rows = await self.db.view(
            ddoc, view, startkey=key, endkey=key, reduce=False, include_docs=True, limit=limit + 1, **start
        )
        return [row for row in rows if row["id"] != after][:limit]

    async def tasks(self) -> None:
        """Tasks that ended more than 60 days ago (PRG-8)."""
        last = f"{self.now() - relativedelta(days=60):%Y-%m-%d}"
        start: dict[str, Any] = {}
        while True:
            rows = await self.db.view("medic", "tasks_in_terminal_state", endkey=last, limit=PAGE_ROWS, **start)
            await self.purge_for_all([row["id"] for row in rows])
            if len(rows) < PAGE_ROWS:
                return
            start = {"startkey": rows[-1]["key"], "startkey_docid": rows[-1]["id"], "skip": 1}

    async def targets(self) -> None:
        """Targets of more than six months ago (PRG-8)."""
        last = f"target~{self.now() - relativedelta(months=6):%Y-%m}~"
        start: dict[str, Any] = {"startkey": "target~"}
        while True:
            rows = await self.db.all_docs(endkey=last, limit=PAGE_ROWS, **start)
            await self.purge_for_all([row["id"] for row in rows])
            if len(rows) < PAGE_ROWS:
                return
            start = {"startkey": rows[-1]["id"] + "\0"}

    async def strays(self) -> None:
        """Records that name what no contact is called by, a contact that was deleted above all (REPL-58)."""
        while True:
            after = self.run["after"]
            start = {"startkey": after[0], "startkey_docid": after[1]} if after else {}
            rows = await self.db.view("medic-purging", "records_by_subject", limit=PAGE_ROWS + 1, **start)
            rows = [row for row in rows if [row["key"], row["id"]] != after][:PAGE_ROWS]
            if not rows:
                return
            await self.judge_groups(await self.stray_groups(rows))
            await self.move(self.run["stage"], [rows[-1]["key"], rows[-1]["id"]])

    async def stray_groups(self, rows: Sequence[Row]) -> list[Group]:
        """The records among the rows that are a deleted contact's, together, and those of nobody known, one by one."""
        keys = sorted({row["key"] for row in rows} - {UNASSIGNED})
        states = {row["key"]: row.get("value") for row in await self.db.all_docs(keys)}
        deleted = {key for key, value in states.items() if value and value.get("deleted")}
        unknown = [key for key in keys if not states.get(key) or key in deleted]
        codes = await self.db.view(
            "medic-client", "contacts_by_reference", keys=[["shortcode", key] for key in unknown]
        )
        strays = set(unknown) - {row["key"][1] for row in codes}
        subjects = {row["id"]: row["key"] for row in rows if row["key"] in strays}
        of_deleted = {key: Group({"_deleted": True}) for key in sorted(strays & deleted)}
        groups = list(of_deleted.values())
        for doc_id, record in (await self.db.get_many(subjects)).items():
            group = of_deleted.get(subjects[doc_id])
            if group is None:
                groups.append(alone(record))
            else:
                (group.reports if record.get("form") else group.messages).append(record)
        return groups

    # --- verdicts -----------------------------------------------------------------------------------------------------

    async def judge_groups(self, groups: Sequence[Group]) -> None:
        role_sets, permissions = list(self.role_sets.values()), self.settings.section("permissions")
        verdict = await judge(self.fn, groups, role_sets, permissions, self.timeout_s)
        for doc_id, reason in verdict.failed:
            self.skip(doc_id, f"purge.fn failed: {reason}")
        for db, judged, purged in zip(self.purged_dbs, verdict.judged, verdict.purged, strict=True):
            await self.mark(db, judged, purged)

    def skip(self, doc_id: str, reason: str) -> None:
        """Note whom the run passes over, so many that people may see what is wrong: it may be everybody."""
        skipped = self.run["skipped"]
        if doc_id and doc_id not in skipped and len(skipped) < MOST_SKIPPED:
            log.warning("purging passes over %s: %s", doc_id, reason)
            self.run["skipped"] = [*skipped, doc_id]

    async def purge_for_all(self, ids: Sequence[str]) -> None:
        for db in self.purged_dbs:
            await self.mark(db, ids, set(ids))

    async def mark(self, db: Database, judged: Sequence[str] | set[str], purged: set[str]) -> None:
        """Write the markers that are new, delete those that are no longer right (PRG-9)."""
        ids = sorted(judged)
        for start in range(0, len(ids), PAGE_ROWS):
            page = ids[start : start + PAGE_ROWS]
            rows = await db.all_docs([f"purged:{doc_id}" for doc_id in page])
            known = {
                row["id"]: row["value"]["rev"] for row in rows if "value" in row and not row["value"].get("deleted")
            }
            edits: list[Doc] = []
            for doc_id in page:
                marker = f"purged:{doc_id}"
                if doc_id in purged and marker not in known:
                    edits.append({"_id": marker})
                elif doc_id not in purged and marker in known:
                    edits.append({"_id": marker, "_rev": known[marker], "_deleted": True})
            if not edits:
                continue
            self.may_write()
            for row in await db.bulk_docs(edits):
                failure = from_row(row)
                if failure is not None and not isinstance(failure, Conflict):
                    raise failure


async def remember(sentinel_db: Database, state: Doc) -> None:
    await sentinel_db.update(f"_local/{STATE}", lambda doc: {**({"_rev": doc["_rev"]} if doc else {}), **state})
