"""What became of messages we handed over, written into their tasks (45 §3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.couch.client import Database, Doc
from core.couch.errors import from_row
from core.errors import Conflict
from core.sms_tasks import Task, messages_of, report_state, tasks_of

log = logging.getLogger(__name__)

WRITE_ATTEMPTS = 4
MOST_NAMED = 20  # in a line of the log

GATEWAY_STATES: Mapping[str, str] = {
    "UNSENT": "received-by-gateway",
    "PENDING": "forwarded-by-gateway",
    "SENT": "sent",
    "DELIVERED": "delivered",
    "FAILED": "failed",
}


@dataclass(frozen=True)
class StateReport:
    """The state of one message, which `uuid` or the service's own `gateway_ref` names."""

    state: str
    details: Doc | None = None
    uuid: str | None = None
    gateway_ref: str | None = None

    @classmethod
    def from_update(cls, update: Mapping[str, Any]) -> StateReport:
        """From `{id?, gateway_ref?, status, reason?}` as gateways tell it (SMS-12)."""
        status, uuid, ref = update.get("status"), update.get("id"), update.get("gateway_ref")
        names = {"uuid": str(uuid) if uuid else None, "gateway_ref": str(ref) if ref else None}
        state = GATEWAY_STATES.get(status) if isinstance(status, str) else None
        if state is None:
            return cls("unrecognised", {"gateway_status": status}, **names)
        return cls(state, {"reason": update["reason"]} if update.get("reason") else None, **names)


async def apply_reports(db: Database, reports: Iterable[StateReport], now: Callable[[], datetime]) -> list[str]:
    """Set the states in their order; the ids of the documents that were changed (SMS-13..16).

    Reports of unknown messages are skipped. Conflict when another writer was always faster.
    """
    known = [each for each in await with_uuids(db, list(reports)) if each.uuid]
    if not known:
        return []
    by_uuid: dict[str, list[StateReport]] = {}
    for each in known:
        by_uuid.setdefault(str(each.uuid), []).append(each)
    rows = await db.view("medic-sms", "messages_by_uuid", keys=list(by_uuid))
    if unknown := by_uuid.keys() - {row["key"] for row in rows}:
        some = ", ".join(sorted(unknown)[:MOST_NAMED])
        log.info("updates of %d unknown messages are skipped: %s", len(unknown), some)
    return await change_docs(db, (row["id"] for row in rows), lambda doc: report_into(doc, by_uuid, now))


async def with_uuids(db: Database, reports: Sequence[StateReport]) -> Sequence[StateReport]:
    """The reports, those that name only a gateway reference with the uuid of its message (SMS-16)."""
    refs = {each.gateway_ref for each in reports if each.gateway_ref and not each.uuid}
    if not refs:
        return reports
    rows = await db.view("medic-sms", "messages_by_gateway_ref", keys=sorted(refs))
    uuids = {row["key"]: str(row["value"]) for row in rows if row["value"]}
    return [
        each
        if each.uuid
        else StateReport(each.state, each.details, uuids.get(each.gateway_ref or ""), each.gateway_ref)
        for each in reports
    ]


def report_into(doc: Doc, by_uuid: Mapping[str, Sequence[StateReport]], now: Callable[[], datetime]) -> bool:
    """Whether the reports changed the document."""
    changed = False
    for task in tasks_of(doc):
        for each in (each for uuid in uuids_of(task) for each in by_uuid.get(uuid, ())):
            changed |= report_state(task, each.state, now=now(), details=each.details, gateway_ref=each.gateway_ref)
    return changed


async def change_docs(db: Database, ids: Iterable[str], change: Callable[[Doc], bool]) -> list[str]:
    """Read the documents and store those that `change` changed; again for those another writer came before.

    The ids of those stored. Conflict when that happened four times to the same document (SMS-15).
    """
    wanted, stored = list(dict.fromkeys(ids)), list[str]()
    for _ in range(WRITE_ATTEMPTS):
        docs = await db.get_many(wanted)
        rows = await db.bulk_docs([doc for doc in docs.values() if change(doc)])
        stored += [row["id"] for row in rows if "error" not in row]
        failures = [(row, failure) for row in rows if (failure := from_row(row)) is not None]
        for _row, failure in failures:
            if not isinstance(failure, Conflict):
                raise failure
        wanted = [row["id"] for row, _ in failures]
        if not wanted:
            return stored
    raise Conflict(f"Documents are being changed by others all the time: {', '.join(wanted)}")


def uuids_of(task: Task) -> list[str]:
    return [str(message["uuid"]) for message in messages_of(task) if message.get("uuid")]
