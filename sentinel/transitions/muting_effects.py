"""Mute or unmute contacts, everybody below them and their scheduled messages, in pages of bounded size (40 §5.15)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.couch.errors import from_row
from core.dates import moment_of, start_of_day
from core.documents import Doc, subject_ids
from core.errors import Conflict
from core.sms_tasks import objects, set_state
from sentinel.transitions.change import copied
from sentinel.transitions.conditions import valid_registrations
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.notes import Edit, fill_infodoc, find_infodocs, info_id, save_notes

PAGE_CONTACTS = 50
ATTEMPTS = 5


@dataclass(frozen=True)
class Operation:
    """One muting or unmuting. `date` is the ISO time all its contacts get, `report_id` the report it came from."""

    muted: bool
    date: str
    report_id: str | None

    @property
    def entry(self) -> Doc:
        return {"muted": self.muted, "date": self.date, "report_id": self.report_id}


@dataclass
class Subtree:
    """What an operation does below one contact. `events` collects what phones did after the report, with its date.

    With `lifted`, the reports whose muting ends, contacts that another report muted stay as they are (TR-MUT-12).
    """

    lookups: Lookups
    operation: Operation
    now: datetime
    lifted: frozenset[str] | None = None
    events: dict[str, str] = field(default_factory=dict)

    async def change(self, root_id: str) -> None:
        """Everybody below, the root last: as long as its state is the old one, a repetition begins from the start.

        Safe to repeat, from the same report: the first entry in the root's history tells the operation's date.
        """
        self.lookups.may_write()
        await save_notes(self.lookups.sentinel_db, {info_id(root_id): add_history(root_id, self.operation.entry)})
        root_info = await self.lookups.sentinel_db.find(info_id(root_id))
        date = str(last_history(root_info).get("date") or self.operation.date)
        self.operation = Operation(self.operation.muted, date, self.operation.report_id)
        start: dict[str, Any] = {}
        while True:
            rows = await self.lookups.db.view(
                "medic", "contacts_by_depth", startkey=[root_id], endkey=[root_id], limit=PAGE_CONTACTS, **start
            )
            await self.change_page([row["id"] for row in rows if row["id"] != root_id])
            if len(rows) < PAGE_CONTACTS:
                break
            start = {"startkey_docid": rows[-1]["id"], "skip": 1}
        await self.change_page([root_id])

    async def change_page(self, ids: Sequence[str]) -> None:
        """Histories first, then contacts and registrations in one write; what others changed meanwhile again."""
        for _ in range(ATTEMPTS):
            contacts = await self.concerned(list((await self.lookups.db.get_many(ids)).values()))
            for contact in contacts:
                self.events |= client_events_after(contact, self.operation.report_id)
            changed = [contact for contact in contacts if set_muted(contact, self.operation)]
            registrations = [copied(each) for each in await self.registrations(contacts)]
            changed += [each for each in registrations if set_tasks(each, self.operation.muted, self.now)]
            changed = [each for each in changed if each["_id"] != self.operation.report_id]
            if not changed:
                return
            self.lookups.may_write()
            notes = {
                info_id(contact["_id"]): add_history(contact["_id"], self.operation.entry)
                for contact in changed
                if contact.get("type") != "data_record"
            }
            await save_notes(self.lookups.sentinel_db, notes)
            failures = [from_row(row) for row in await self.lookups.db.bulk_docs(changed)]
            for failure in failures:
                if failure is not None and not isinstance(failure, Conflict):
                    raise failure
            if not any(failures):
                return
        raise Conflict(f"contacts like {ids[0]} are being written by others all the time")

    async def concerned(self, contacts: list[Doc]) -> list[Doc]:
        """The contacts without those that are to stay muted."""
        if self.lifted is None:
            return contacts
        infos = await find_infodocs(self.lookups.sentinel_db, (each["_id"] for each in contacts))
        causes = [muted_by(infos.get(each["_id"])) if each.get("muted") else None for each in contacts]
        return [each for each, cause in zip(contacts, causes, strict=True) if cause is None or cause in self.lifted]

    async def registrations(self, contacts: Any) -> list[Doc]:
        """The registrations of these contacts, each once, as they are stored now."""
        keys = sorted({each for contact in contacts for each in subject_ids(contact)})
        if not keys:
            return []
        rows = await self.lookups.db.view("medic-client", "reports_by_subject", keys=keys, include_docs=True)
        return valid_registrations([row["doc"] for row in rows if row.get("doc")], self.lookups.settings)


def set_muted(contact: Doc, operation: Operation) -> bool:
    """Give the contact its state; False when it has it and no phone changed it since (TR-MUT-5, TR-MUT-10)."""
    if bool(contact.get("muted")) == operation.muted and not has_client_history(contact):
        return False
    if operation.muted:
        contact["muted"] = operation.date
    else:
        contact.pop("muted", None)
    history = contact.get("muting_history")
    if isinstance(history, dict):
        server_side = {"muted": operation.muted, "date": operation.date}
        contact["muting_history"] = {**history, "server_side": server_side, "last_update": "server_side"}
    return True


def set_tasks(registration: Doc, muted: bool, now: datetime) -> bool:
    """Mute what is to be sent, or let go on what is due today or later; whether anything changed (TR-MUT-6)."""
    changed = False
    for task in objects(registration.get("scheduled_tasks")):
        if muted and task.get("state") in ("scheduled", "pending"):
            changed |= set_state(task, "muted", now=now)
        elif not muted and task.get("state") == "muted":
            due = moment_of(task.get("due"), now.tzinfo) if now.tzinfo else None
            if due is not None and due >= start_of_day(now):
                changed |= set_state(task, "scheduled", now=now)
    return changed


def has_client_history(contact: Mapping[str, Any]) -> bool:
    """Whether a phone muted or unmuted the contact and we have not seen to it (TR-MUT-10)."""
    history = contact.get("muting_history")
    return isinstance(history, dict) and history.get("last_update") == "client_side"


def client_events(contact: Mapping[str, Any]) -> list[Doc]:
    history = contact.get("muting_history")
    return objects(history.get("client_side")) if isinstance(history, dict) else []


def client_events_after(contact: Mapping[str, Any], report_id: str | None) -> dict[str, str]:
    """The reports by which phones muted or unmuted the contact after that one, with their dates (TR-MUT-11)."""
    events = client_events(contact)
    place = next((at for at, event in enumerate(events) if event.get("report_id") == report_id), None)
    if place is None:
        return {}
    later = events[place + 1 :]
    return {str(event["report_id"]): str(event.get("date")) for event in later if event.get("report_id")}


def last_history(info: Mapping[str, Any] | None) -> Doc:
    """The last entry of an infodoc's `muting_history`, empty when there is none."""
    entries = objects((info or {}).get("muting_history"))
    return entries[-1] if entries else {}


def muted_by(info: Mapping[str, Any] | None) -> str | None:
    """The report that muted the contact last, None when no report is known to have done."""
    entries = [entry for entry in objects((info or {}).get("muting_history")) if entry.get("muted")]
    report_id = entries[-1].get("report_id") if entries else None
    return report_id if isinstance(report_id, str) else None


def add_history(contact_id: str, entry: Doc) -> Edit:
    """Append to the contact's history, unless the same report did the same last (TR-MUT-7)."""

    def edit(info: Doc) -> None:
        last = last_history(info)
        fill_infodoc(info, contact_id)
        if (last.get("muted"), last.get("report_id")) != (entry["muted"], entry["report_id"]) or not last:
            info["muting_history"] = [*objects(info.get("muting_history")), entry]

    return edit
