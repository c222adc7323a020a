"""The exchange with an SMS gateway: messages that came in, what became of ours, and what it is to send (45 §1..§4)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from core.couch.client import Database, Doc, Row
from core.dates import ms_of
from core.errors import Conflict, DomainError, InvalidInput
from core.phones import PhoneRules
from core.records import record_from_message, unparsable_record
from core.settings import Settings
from core.sms_offers import LEDGER, OUR_GATEWAY, Ledger, Offer, oldest_ms, outgoing_service, read_offers
from core.sms_reports import StateReport, apply_reports, change_docs, uuids_of
from core.sms_tasks import set_state, tasks_of
from core.translations import Translations

log = logging.getLogger(__name__)

Process = Callable[[list[Doc], Translations], Awaitable[list[Row]]]
Mark = tuple[str, Doc | None]  # a state and its details

MOST_OUTGOING = 25
# Rows looked at in an exchange; those of unacknowledged messages also bound the ledger of offers.
MOST_PENDING = 100
MOST_UNACKNOWLEDGED = 1000
WAITING = frozenset({"pending", "forwarded-to-gateway"})
INCOMING_IDS = UUID("5e1f4b52-7f0e-5a38-9a52-0f6b6f1d2a11")
PARSED_AT_ONCE = 50


@dataclass(frozen=True)
class SmsExchange:
    """One exchange under one state of the settings; every step may be repeated (SMS-5).

    `translations` reads those of the moment; only messages that came in need them. `process` stores new records
    through the synchronous transitions and gives a row for each, as `_bulk_docs` does.
    `note_changed` is told the ids of the documents whose tasks were changed.
    """

    db: Database
    settings: Settings
    translations: Callable[[], Awaitable[Translations]]
    now: Callable[[], datetime]
    process: Process
    note_changed: Callable[[Iterable[str]], object] = list

    async def exchange(self, messages: Any, updates: Any) -> list[Doc]:
        """Store the messages, apply the updates, and answer what to send: `[{id, to, content}]` (SMS-4).

        A number of database calls that does not grow with the lists. InvalidInput when one is not a list; DomainError
        when something could not be stored: the gateway then sends everything again.
        """
        incoming, reports = as_list(messages, "messages"), as_list(updates, "updates")
        await self.store(incoming)
        await self.apply(reports)
        return await self.outgoing()

    # --- incoming -----------------------------------------------------------------------------------------------------

    async def store(self, messages: list[Any]) -> int:
        """Make a record of each message that did not come before; the number of new ones (SMS-17..21)."""
        by_ref: dict[str, Doc] = {}
        for each in messages:
            if is_complete(each):
                by_ref.setdefault(str(each["id"]), each)
        if len(by_ref) < len(messages):
            log.info(
                "%d of %d incoming messages are incomplete or repeated", len(messages) - len(by_ref), len(messages)
            )
        if not by_ref:
            return 0
        rows, translations = await asyncio.gather(
            self.db.view("medic-sms", "messages_by_gateway_ref", keys=sorted(by_ref)), self.translations()
        )
        for row in rows:
            by_ref.pop(row["key"], None)
        records = []
        for at, (ref, message) in enumerate(by_ref.items()):
            records.append(self.record_of(message, ref, translations))
            if at % PARSED_AT_ONCE == PARSED_AT_ONCE - 1:
                await asyncio.sleep(0)
        if not records:
            return 0
        results = await self.process(records, translations)
        # Two requests with the same message meet at its id: the second one's conflict means it is stored (SMS-18).
        failed = [row for row in results if "error" in row and row["error"] != "conflict"]
        if failed:
            log.error("incoming messages could not be saved: %s", failed)
            raise DomainError("Failed saving all the new docs")
        return sum("error" not in row for row in results)

    def record_of(self, message: Mapping[str, Any], ref: str, translations: Translations) -> Doc:
        """The record of a message, with an id that follows from the gateway's; never raises (SMS-21)."""
        text, sender = str(message["content"]), str(message["from"])
        now_ms = ms_of(self.now())
        options: dict[str, Any] = {"settings": self.settings, "translations": translations, "now_ms": now_ms}
        try:
            record = record_from_message(text, sender, gateway_ref=ref, **options)
        except Exception:  # one message must never fail the batch
            log.exception("message %s cannot be parsed and is kept as text", ref)
            record = unparsable_record(text, sender, gateway_ref=ref, **options)
        return {"_id": record_id(ref), **record}

    # --- status updates -----------------------------------------------------------------------------------------------

    async def apply(self, updates: list[Any]) -> None:
        """Set the states that the gateway reports, in the order of the request (SMS-12..16)."""
        reports = [StateReport.from_update(each) for each in updates if isinstance(each, dict)]
        self.note_changed(await apply_reports(self.db, reports, self.now))

    # --- outgoing -----------------------------------------------------------------------------------------------------

    async def outgoing(self) -> list[Doc]:
        """At most 25 messages to send, marked `forwarded-to-gateway` before they are given (SMS-6..11)."""
        if outgoing_service(self.settings) != OUR_GATEWAY:
            return []
        stored, pending, unacknowledged = await asyncio.gather(
            self.db.get_local(LEDGER),
            read_offers(self.db, "pending", MOST_PENDING),
            read_offers(self.db, "forwarded-to-gateway", MOST_UNACKNOWLEDGED),
        )
        now_ms, expired_ms = ms_of(self.now()), oldest_ms(self.settings, self.now())
        ledger = Ledger.from_doc(stored)
        expired, fresh = split(pending, lambda each: expired_ms is not None and each.due_ms < expired_ms)
        over, waiting = split(unacknowledged, lambda each: ledger.is_over(each, now_ms))
        chosen = ledger.next_offers(fresh, waiting, now_ms, MOST_OUTGOING)

        marks: dict[str, Mark] = {each.uuid: ("forwarded-to-gateway", None) for each in fresh if each in chosen}
        marks |= {each.uuid: ("failed", {"reason": "expired"}) for each in expired}
        marks |= {each.uuid: ("failed", {"reason": "not acknowledged"}) for each in over}
        gone = await self.mark(marks, [*pending, *over])
        chosen = [each for each in chosen if each.uuid not in gone]
        await self.store_ledger(stored, ledger.after(chosen, waiting, now_ms))
        return [self.answer(each) for each in chosen]

    async def mark(self, marks: Mapping[str, Mark], offers: Iterable[Offer]) -> set[str]:
        """Set the state decided for each message; those that do not wait any more are left alone and returned."""
        gone = set(marks)

        def change(doc: Doc) -> bool:
            changed = False
            for task in tasks_of(doc):
                uuid = next((each for each in uuids_of(task) if each in marks), None)
                if uuid is None:
                    continue
                if task.get("state") in WAITING:
                    gone.discard(uuid)
                    state, details = marks[uuid]
                    changed |= set_state(task, state, now=self.now(), details=details)
                else:
                    gone.add(uuid)
            return changed

        ids = (each.doc_id for each in offers if each.uuid in marks)
        self.note_changed(await change_docs(self.db, ids, change))
        return gone

    async def store_ledger(self, stored: Doc | None, ledger: Ledger) -> None:
        """Remember what was offered. Two exchanges at once may lose a count: it is a limit, not a record."""
        offers = ledger.as_offers()
        if offers == (stored or {}).get("offers", {}):
            return
        try:
            await self.db.put_local(LEDGER, {**(stored or {}), "offers": offers})
        except Conflict:
            log.info("another exchange noted its offers at the same time")

    def answer(self, offer: Offer) -> Doc:
        to = PhoneRules.from_settings(self.settings).normalize(offer.to) or offer.to
        return {"id": offer.uuid, "to": to, "content": offer.content}


def as_list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(f"{name}: expected a list")
    return value


def split(offers: Iterable[Offer], belongs: Callable[[Offer], bool]) -> tuple[list[Offer], list[Offer]]:
    """Those the test is true of, and the others."""
    parts: tuple[list[Offer], list[Offer]] = ([], [])
    for each in offers:
        parts[0 if belongs(each) else 1].append(each)
    return parts


def is_complete(message: Any) -> bool:
    """Whether an incoming message has an id, a content and a sender (SMS-17)."""
    return isinstance(message, dict) and all(
        isinstance(message.get(name), str | int) and message[name] for name in ("id", "content", "from")
    )


def record_id(gateway_ref: str) -> str:
    """The document id of an incoming message: the same for every delivery of it (SMS-18)."""
    return str(uuid5(INCOMING_IDS, gateway_ref))
