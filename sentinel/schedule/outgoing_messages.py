"""Send pending messages through a hosted SMS service, each at most once (45 §5).

A message is claimed before it is handed over: its task becomes `forwarded-to-gateway` with the service in its details,
which only one writer can do. What the service then says is its next state. A claim that nobody followed up, because the
process died or the service did not answer, is never sent again: after two minutes it is `failed` with the reason, and
whoever looks after the messages may set it to `pending`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from core.couch.client import Database, Doc
from core.dates import moment_of, ms_of
from core.errors import Conflict, DomainError, InvalidInput
from core.phones import PhoneRules
from core.settings import Settings
from core.sms_offers import MOST_OFFERS, Ledger, Offer, Offered, oldest_ms, read_offers
from core.sms_reports import change_docs, uuids_of
from core.sms_tasks import Task, objects, report_state, set_state, tasks_of
from sentinel.schedule.destinations import Secret
from sentinel.schedule.sms_services import InDoubt, NotSent, OutOfService, Sent, SmsService, TooManyRequests

log = logging.getLogger(__name__)

CLAIMED = "forwarded-to-gateway"
WAITING = frozenset({"pending", CLAIMED})
IN_PARALLEL = 5
MOST_ROWS = 1000
LEDGER = "sms-sendings"
# Longer than a request and the writing of its outcome take.
FOLLOWED_UP_WITHIN = timedelta(minutes=2)
IN_DOUBT = "it is not known whether the service sent it"
REST_S, LONGEST_REST = 60.0, timedelta(hours=1)
NOTING_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
LAST_MOMENT_S = 4.0

Outcome = Sent | NotSent | InDoubt


@dataclass
class OutgoingMessages:
    """Sends what is pending; between runs it knows until when the service is to be left alone."""

    db: Database
    now: Callable[[], datetime]
    may_write: Callable[[], None] = lambda: None
    rest_until: datetime | None = None

    async def send(
        self,
        service: SmsService,
        settings: Settings,
        client: httpx.AsyncClient,
        secret: Secret,
        *,
        only_new: bool = False,
    ) -> dict[str, int]:
        """Hand over what is pending, new messages before those that were not taken: `{sent, refused, in_doubt}`.

        Five in parallel. `only_new` leaves the latter for another run: they are tried at each of the next five, then
        after 1, 2, 4 ... 60 minutes (SMS-11). Raises InvalidInput without a secret, OutOfService when the service
        takes nothing.
        """
        if self.rest_until is not None:
            left = self.rest_until - self.now()
            if timedelta(0) < left <= LONGEST_REST:  # longer, where the clock was set back since
                return {}
        run = Run(self, service, settings, client, await needed(secret, service.credential))
        try:
            await run.everything(await run.settle_claims(), only_new=only_new)
        except TooManyRequests as failure:
            wanted_s = min(failure.wait_s or REST_S, LONGEST_REST.total_seconds())
            self.rest_until = self.now() + timedelta(seconds=wanted_s)
            raise
        return run.counts


async def needed(secret: Secret, key: str) -> str:
    found = await secret(key)
    if found is None:
        raise InvalidInput(f"there is no credential {key!r}: no message is sent (45 AGG-1)")
    return found


@dataclass
class Run:
    """One pass over what is pending."""

    outgoing: OutgoingMessages
    service: SmsService
    settings: Settings
    client: httpx.AsyncClient
    secret: str
    tried: set[str] = field(default_factory=set)
    stored: Doc = field(default_factory=dict)  # the ledger of refusals as it is in the database
    counts: dict[str, int] = field(default_factory=lambda: {"sent": 0, "refused": 0, "in_doubt": 0})

    def __post_init__(self) -> None:
        self.db, self.now = self.outgoing.db, self.outgoing.now
        self.phones = PhoneRules.from_settings(self.settings)

    # --- choosing -----------------------------------------------------------------------------------------------------

    async def settle_claims(self) -> list[Offer]:
        """Give up claims that nobody followed up; the messages that a gateway app was offered and did not take."""
        offers = await read_offers(self.db, CLAIMED, MOST_ROWS)
        ours: set[str] = set()

        def settle(doc: Doc) -> bool:
            changed = False
            for task in tasks_of(doc):
                if task.get("state") != CLAIMED or claimed_by(task) is None:
                    continue
                ours.update(uuids_of(task))
                if self.is_abandoned(task):
                    log.warning("message %s of %s: %s", ", ".join(uuids_of(task)), doc["_id"], IN_DOUBT)
                    changed |= set_state(task, "failed", now=self.now(), details={"reason": IN_DOUBT})
            return changed

        await change_docs(self.db, (each.doc_id for each in offers), settle)
        return [each for each in offers if each.uuid not in ours]

    def is_abandoned(self, task: Task) -> bool:
        history = objects(task.get("state_history"))
        zone = self.now().tzinfo
        since = moment_of(history[-1].get("timestamp"), zone) if history and zone is not None else None
        return since is None or self.now() - since > FOLLOWED_UP_WITHIN

    async def everything(self, unclaimed: Sequence[Offer], *, only_new: bool) -> None:
        self.stored = await self.db.get_local(LEDGER) or {}
        while True:
            pending = [*unclaimed, *await read_offers(self.db, "pending", MOST_ROWS)]
            await self.forget({each.uuid for each in pending})
            ledger = Ledger.from_doc(self.stored)
            offers = [each for each in pending if each.uuid not in self.tried]
            offers = await self.without_hopeless(offers, ledger)
            fresh = [each for each in offers if not ledger.of(each).count]
            again = [] if only_new else [each for each in offers if ledger.of(each).count]
            chosen = ledger.next_offers(fresh, again, ms_of(self.now()), len(offers))
            if not chosen:
                return
            for start in range(0, len(chosen), IN_PARALLEL):
                await finished(self.send_group(chosen[start : start + IN_PARALLEL]))

    async def without_hopeless(self, offers: Sequence[Offer], ledger: Ledger) -> list[Offer]:
        """All but those that waited too long (TSK-4) or were refused too often (SMS-11), which have failed."""
        expired_ms = oldest_ms(self.settings, self.now())
        failed: dict[str, Outcome] = {}
        for each in offers:
            if expired_ms is not None and each.due_ms < expired_ms:
                failed[each.uuid] = Sent("failed", details={"reason": "expired"})
            elif ledger.is_over(each, ms_of(self.now())):
                failed[each.uuid] = Sent("failed", details={"reason": "not taken by the service"})
        if failed:
            self.outgoing.may_write()
            await self.note([each for each in offers if each.uuid in failed], failed)
        return [each for each in offers if each.uuid not in failed]

    # --- sending ------------------------------------------------------------------------------------------------------

    async def send_group(self, offers: Sequence[Offer]) -> None:
        """Claim, send and note the outcome of a few messages."""
        self.tried.update(each.uuid for each in offers)
        self.outgoing.may_write()
        try:
            claimed = await self.claim(offers)
        except DomainError as error:
            await self.note(offers, {each.uuid: NotSent(error.message) for each in offers})
            raise
        mine = [each for each in offers if each.uuid in claimed]
        outcomes = dict(
            zip((each.uuid for each in mine), await asyncio.gather(*map(self.hand_over, mine)), strict=True)
        )
        await self.note_patiently(mine, outcomes)
        refused = {uuid: outcome for uuid, outcome in outcomes.items() if isinstance(outcome, NotSent)}
        sent = sum(isinstance(outcome, Sent) for outcome in outcomes.values())
        self.counts["sent"] += sent
        self.counts["refused"] += len(refused)
        self.counts["in_doubt"] += len(outcomes) - sent - len(refused)
        await self.remember(refused)
        unusable = [outcome for outcome in refused.values() if isinstance(outcome, OutOfService)]
        limits = [outcome for outcome in unusable if isinstance(outcome, TooManyRequests)]
        if limits or (unusable and not sent):
            raise (limits or unusable)[0]
        if outcomes and all(isinstance(outcome, InDoubt) for outcome in outcomes.values()):
            raise OutOfService("the service gave no answer, so no more is sent for now")

    async def claim(self, offers: Sequence[Offer]) -> set[str]:
        """Mark the messages as being sent; those that really were still waiting."""
        wanted, claimed = {each.uuid for each in offers}, set[str]()

        def change(doc: Doc) -> bool:
            changed = False
            for task in tasks_of(doc):
                uuids = wanted.intersection(uuids_of(task))
                if task.get("state") in WAITING and (task["state"] == "pending" or claimed_by(task) is None):
                    claimed.update(uuids)
                    changed |= bool(uuids) and set_state(
                        task, CLAIMED, now=self.now(), details={"service": self.service.name}
                    )
                else:
                    claimed.difference_update(uuids)
            return changed

        await change_docs(self.db, (each.doc_id for each in offers), change)
        return claimed

    async def hand_over(self, offer: Offer) -> Outcome:
        to = self.phones.normalize(offer.to) or offer.to
        try:
            return await self.service.send(self.client, self.secret, to, offer.content)
        except (NotSent, InDoubt) as failure:
            log.warning("%s, message %s: %s", self.service.name, offer.uuid, failure)
            return failure

    async def note_patiently(self, offers: Sequence[Offer], outcomes: Mapping[str, Outcome]) -> None:
        """What was sent must be known: repeated for a while when CouchDB is away."""
        for pause_s in NOTING_PAUSES_S:
            try:
                return await self.note(offers, outcomes)
            except DomainError as error:
                if error.status < 500 and not isinstance(error, Conflict):
                    raise
                log.warning("what was sent cannot be noted: %s; trying again in %.1f s", error.message, pause_s)
                await asyncio.sleep(pause_s)
        await self.note(offers, outcomes)

    async def note(self, offers: Sequence[Offer], outcomes: Mapping[str, Outcome]) -> None:
        def change(doc: Doc) -> bool:
            changed = False
            for task in tasks_of(doc):
                for uuid in uuids_of(task):
                    changed |= self.note_in(task, outcomes.get(uuid))
            return changed

        await change_docs(self.db, (each.doc_id for each in offers if each.uuid in outcomes), change)

    def note_in(self, task: Task, outcome: Outcome | None) -> bool:
        if isinstance(outcome, Sent):
            details, ref = outcome.details, outcome.gateway_ref
            return report_state(task, outcome.state, now=self.now(), details=details, gateway_ref=ref)
        if isinstance(outcome, NotSent) and task.get("state") == CLAIMED and claimed_by(task) is not None:
            release(task, str(outcome))
            return True
        return False

    async def remember(self, refused: Mapping[str, NotSent]) -> None:
        """Count the refusals. One that was not about the message itself never uses up its last chance."""
        entries, now_ms = dict(Ledger.from_doc(self.stored).entries), ms_of(self.now())
        for uuid, refusal in refused.items():
            if not isinstance(refusal, TooManyRequests):
                most = MOST_OFFERS - 1 if isinstance(refusal, OutOfService) else MOST_OFFERS
                entries[uuid] = Offered(min(entries.get(uuid, Offered()).count + 1, most), now_ms)
        await self.store(Ledger(entries))

    async def forget(self, pending: set[str]) -> None:
        """Drop the counts of messages that are not pending any more, when all that are pending are known."""
        if len(pending) < MOST_ROWS:
            entries = Ledger.from_doc(self.stored).entries
            await self.store(Ledger({uuid: entry for uuid, entry in entries.items() if uuid in pending}))

    async def store(self, ledger: Ledger) -> None:
        offers = ledger.as_offers()
        if offers != self.stored.get("offers", {}):
            self.stored = {**self.stored, "offers": offers}
            self.stored["_rev"] = await self.db.put_local(LEDGER, self.stored)


async def finished(work: Awaitable[None]) -> None:
    """Wait for it; when we are to stop it gets a moment more, so that what was sent is noted."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LAST_MOMENT_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def claimed_by(task: Task) -> str | None:
    """The service that a message was claimed for; None for one that a gateway app was offered."""
    details = task.get("state_details")
    name = details.get("service") if isinstance(details, dict) else None
    return name if isinstance(name, str) else None


def release(task: Task, reason: str) -> None:
    """Take a claim back: it is pending as before, and says why it still is."""
    history = objects(task.get("state_history"))
    if history and history[-1].get("state") == CLAIMED:
        history.pop()
    task |= {"state": "pending", "state_details": {"reason": reason}, "state_history": history}
