"""Decide which documents phones should no longer hold, page by page, going on where a dead run ended (40 §11)."""

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
from core.dates import iso_of, moment_of, ms_of
from core.documents import Doc, subject_ids
from core.errors import Conflict
from core.scripting import ScriptError
from core.settings import Settings
from core.timetables import Timetable
from sentinel.schedule.purge_function import Group, judge, role_sets_of
from sentinel.transitions.conditions import fields_of

log = logging.getLogger(__name__)

STATE = "purging"
MOST_CONTACTS = 1000
TOO_MANY_RECORDS = 20_000
FEW_RECORDS = 5_000
PAGE_ROWS = 1000
UNASSIGNED = "_unassigned"
SUBJECT_FIELDS = ("patient_id", "place_id", "patient_uuid")


async def purge(
    couch: Couch,
    database: str,
    settings: Settings,
    now: Callable[[], datetime],
    may_write: Callable[[], None] = lambda: None,
    *,
    too_many_records: int = TOO_MANY_RECORDS,
) -> bool:
    """Run when the schedule had an occurrence since the last run, or a run is unfinished; whether one ended well.

    The position, `_local/purging` of the sentinel database `{checked, run, error}`, moves after each page (PRG-12).
    A contact with `too_many_records` is skipped. InvalidInput when the schedule cannot be read; ScriptError when the
    function failed, now and until it succeeds.
    """
    section = settings.section("purge")
    timetable = Timetable.from_config(section) if section.get("fn") else None
    if timetable is None:
        return False
    sentinel_db = couch.db(f"{database}-sentinel")
    state = await sentinel_db.get_local(STATE)
    moment = now()
    checked = moment_of((state or {}).get("checked"), moment.tzinfo) if moment.tzinfo else None
    run = (state or {}).get("run")
    if checked is None:
        await remember(sentinel_db, {"checked": ms_of(moment)})
        return False
    if not isinstance(run, dict):
        occurrence = timetable.latest(checked, moment)
        if occurrence is None:
            if error := (state or {}).get("error"):
                raise ScriptError(str(error))
            return False
        checked = occurrence
        run = {"begun": ms_of(moment), "stage": 0, "after": None, "skipped": []}
    role_sets = await role_sets_of(couch.db("_users"), settings)
    if not role_sets:
        await remember(sentinel_db, {"checked": ms_of(checked)})
        return False
    fn, checked_ms = str(section["fn"]), ms_of(checked)
    purging = Purging(couch, database, settings, fn, role_sets, run, checked_ms, now, may_write, too_many_records)
    return await purging.complete()


async def remember(sentinel_db: Database, state: Doc) -> None:
    await sentinel_db.update(f"_local/{STATE}", lambda doc: {**({"_rev": doc["_rev"]} if doc else {}), **state})


@dataclass
class Purging:
    """One run. `run` is what is kept of it: `{begun, stage, after, skipped}`."""

    couch: Couch
    database: str
    settings: Settings
    fn: str
    role_sets: dict[str, list[str]]
    run: Doc
    checked_ms: int
    now: Callable[[], datetime]
    may_write: Callable[[], None]
    too_many_records: int
    batch_size: int = MOST_CONTACTS

    def __post_init__(self) -> None:
        self.db = self.couch.db(self.database)
        self.sentinel_db = self.couch.db(f"{self.database}-sentinel")
        self.purged_dbs = [self.couch.db(f"{self.database}-purged-role-{each}") for each in self.role_sets]

    async def complete(self) -> bool:
        """All stages from where the run stands, then its log (PRG-10). ScriptError when the function failed."""
        error = None
        try:
            await self.prepare()
            types = [each.id for each in self.settings.contact_types.types.values()]
            stages: list[Callable[[], Coroutine[Any, Any, None]]] = [partial(self.contacts, each) for each in types]
            stages += [self.unassigned, self.tasks, self.targets, self.strays]
            for at, stage in enumerate(stages):
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
            **({"error": error} if error else {}),
        }
        self.may_write()
        await self.sentinel_db.bulk_docs([entry])
        await remember(self.sentinel_db, {"checked": self.checked_ms, **({"error": error} if error else {})})
        if error:
            raise ScriptError(error)
        return True

    async def prepare(self) -> None:
        """The database of each role set, closed to all but administrators (PRG-3)."""
        for db, roles in zip(self.purged_dbs, self.role_sets.values(), strict=True):
            if await db.create():
                await db.request("PUT", "/_security", body=ADMINS_ONLY)
                await db.update("_local/info", lambda doc, roles=roles: {**(doc or {}), "roles": roles})  # type: ignore[misc]

    async def move(self, stage: int, after: Any) -> None:
        self.run |= {"stage": stage, "after": after}
        self.may_write()
        await remember(self.sentinel_db, {"checked": self.checked_ms, "run": self.run})

    # --- stages -------------------------------------------------------------------------------------------------------

    async def contacts(self, type_id: str) -> None:
        """The contacts of a type with their records; fewer at once where records are many (PRG-5, PRG-6)."""
        while True:
            rows = await self.rows_after("medic-client", "contacts_by_type", [type_id], self.batch_size)
            if not rows:
                return
            contacts = [row["doc"] for row in rows if row.get("doc")]
            ids = await self.record_ids(contacts)
            if len(ids) >= self.too_many_records and len(contacts) > 1:
                self.batch_size = max(self.batch_size // 2, 1)
                continue
            if len(ids) >= self.too_many_records:
                log.warning("contact %s has too many records to be purged", contacts[0]["_id"])
                self.run["skipped"] = [*self.run["skipped"], contacts[0]["_id"]]
            else:
                await self.judge_groups(grouped(contacts, await self.db.get_many(ids)))
            await self.move(self.run["stage"], rows[-1]["id"])
            if len(ids) < FEW_RECORDS:
                self.batch_size = min(self.batch_size * 2, MOST_CONTACTS)

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
        verdict = await judge(self.fn, groups, list(self.role_sets.values()), self.settings.section("permissions"))
        for failure in dict.fromkeys(verdict.failed):
            log.warning("purge.fn failed on %s", failure)
            skipped = failure.partition(":")[0]
            if skipped not in self.run["skipped"]:
                self.run["skipped"] = [*self.run["skipped"], skipped]
        for db, judged, purged in zip(self.purged_dbs, verdict.judged, verdict.purged, strict=True):
            await self.mark(db, judged, purged)

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


def grouped(contacts: Sequence[Doc], records: dict[str, Doc]) -> list[Group]:
    """Each contact with the reports about it and its messages; a report about nobody is alone (PRG-5)."""
    groups = [Group(contact) for contact in contacts]
    by_subject = {each: group for group in groups for each in subject_ids(group.contact)}
    for record in records.values():
        if record.get("form"):
            group = next((by_subject[each] for each in subjects_of(record) if each in by_subject), None)
            if group is None:
                groups.append(alone(record))
            else:
                group.reports.append(record)
        else:
            group = by_subject.get(partner_of(record) or "")
            if group is not None:
                group.messages.append(record)
    return groups


def subjects_of(report: Doc) -> list[str]:
    values = [*(report.get(name) for name in SUBJECT_FIELDS), *(fields_of(report).get(name) for name in SUBJECT_FIELDS)]
    return [str(value) for value in values if value and isinstance(value, str | int)]


def partner_of(message: Doc) -> str | None:
    """The contact a message came from or goes to."""
    contact = message.get("contact")
    if not contact and message.get("kujua_message"):
        tasks = message.get("tasks")
        first = tasks[0] if isinstance(tasks, list) and tasks and isinstance(tasks[0], dict) else {}
        messages = first.get("messages")
        contact = messages[0].get("contact") if isinstance(messages, list) and messages else None
    found = contact.get("_id") if isinstance(contact, dict) else None
    return found if isinstance(found, str) else None


def alone(record: Doc) -> Group:
    return Group({}, [record], []) if record.get("form") else Group({}, [], [record])
