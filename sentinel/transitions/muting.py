"""Stop and resume the messages about a contact and everybody below it (40 §5.15, §5.12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from core.dates import iso_of, moment_of
from core.documents import Doc, subject_ids
from core.errors import InvalidInput
from core.lineage import ancestors, is_record, lineage
from core.messages import configured_message
from core.settings import Settings
from core.sms_tasks import tasks_to_send
from sentinel.transitions.answers import ReportConfig, context_of, is_invalid, read_report_config
from sentinel.transitions.change import EVERYTHING, Change, PutOff, copied
from sentinel.transitions.conditions import form_key, is_valid_submission
from sentinel.transitions.derived import once
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.muting_effects import (
    Operation,
    Subtree,
    add_history,
    client_events,
    has_client_history,
    last_history,
    muted_by,
    set_muted,
    set_tasks,
)
from sentinel.transitions.notes import info_id
from sentinel.transitions.tools import Tools


@dataclass(frozen=True)
class Muting:
    """Mutes by reports of the settings' forms; and contacts that came new, or changed by a phone, to a muted place.

    `forms` says of each form whether it mutes, `answers` which message tells of muting and of unmuting.
    """

    name: ClassVar[str] = "muting"
    not_found: ClassVar[str] = "contact_not_found"
    answers: ClassVar[Mapping[bool, str]] = {True: "mute", False: "unmute"}
    repeated: ClassVar[Mapping[bool, str]] = {True: "already_muted", False: "already_unmuted"}
    settings: Settings
    tools: Tools
    forms: Mapping[str, bool]
    report: ReportConfig

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> Muting:
        section = settings.section("muting")
        mute, unmute = section.get("mute_forms"), section.get("unmute_forms")
        if not isinstance(mute, list) or not mute:
            raise InvalidInput("muting.mute_forms: expected a list of form codes")
        forms = [*((form, False) for form in (unmute if isinstance(unmute, list) else ())), *((f, True) for f in mute)]
        return cls(settings, tools, by_key(forms), read_report_config(section, "muting", "muting"))

    def filter(self, change: Change) -> bool:
        doc = change.doc
        if is_record(doc):
            return (
                self.mutes(doc) is not None
                and not change.has_run(self.name)
                and is_valid_submission(doc, self.settings)
            )
        return self.settings.contact_types.is_contact(doc) and (
            has_client_history(doc) or self.muted_ancestor(change) is not None or awaits_date(change)
        )

    async def on_match(self, change: Change, lookups: Lookups) -> bool:
        if is_record(change.doc):
            if not await is_invalid(change, self.report, self.name, lookups, self.tools):
                await self.process_report(change, lookups)
        else:
            await self.process_contact(change, lookups)
        return True

    def order_keys(self, doc: Doc) -> Iterator[str]:
        """Everybody below may be concerned: what came before is done before, what comes after sees its effect."""
        if is_record(doc) and self.mutes(doc) is not None:
            yield EVERYTHING

    def mutes(self, doc: Doc) -> bool | None:
        """Whether a report mutes or unmutes; None when it does neither."""
        form = form_key(doc.get("form"))
        return self.forms.get(form) if form else None

    # --- reports ------------------------------------------------------------------------------------------------------

    async def process_report(self, change: Change, lookups: Lookups) -> None:
        doc, muted = change.doc, bool(self.mutes(change.doc))
        target = doc.get("patient") or doc.get("place")
        if not target:
            await self.answer(change, self.not_found, lookups, is_error=True)
            return
        is_replay = was_processed_by_phone(doc, self.name)
        if is_already(target, muted) and not is_replay and not await did_this(change, target, muted, lookups):
            await self.answer(change, self.repeated[muted], lookups)
            return
        events = await self.carry_out(change.id, target, muted, lookups)
        await self.answer(change, self.answers[muted], lookups)
        if is_replay:
            for report_id in sorted(events, key=lambda each: events[each]):
                await self.replay(report_id, change, lookups)

    async def carry_out(self, report_id: str, target: Doc, muted: bool, lookups: Lookups) -> dict[str, str]:
        """Mute the target and all below; unmute from the topmost muted place above it (TR-MUT-4)."""
        root = target if muted else topmost_muted(target)
        operation = Operation(muted, iso_of(self.tools.now()), report_id)
        lifted = None if muted or not self.keeps_individually_muted else await mutings_of(target, lookups)
        subtree = Subtree(lookups, operation, self.tools.now(), lifted)
        await subtree.change(root["_id"])
        return subtree.events

    @property
    def keeps_individually_muted(self) -> bool:
        """Whether those below who were muted by a report of their own stay so (TR-MUT-12)."""
        return self.settings.section("muting").get("keep_individually_muted") is True

    async def replay(self, report_id: str, change: Change, lookups: Lookups) -> None:
        """Do again what a phone did later than the report in hand, which came late (TR-MUT-11)."""
        stored = await lookups.doc(report_id)
        if stored is None or report_id == change.id:
            return
        doc = await lookups.hydrated(copied(stored))
        muted, target = self.mutes(doc), doc.get("patient") or doc.get("place")
        if muted is None or not target:
            return
        await self.carry_out(report_id, target, muted, lookups)
        replayed = Change(report_id, doc, {})
        tasks = len(tasks_to_send(doc))
        await self.answer(replayed, self.answers[muted], lookups)
        if len(tasks_to_send(doc)) > tasks:
            change.others[report_id] = doc

    async def answer(self, change: Change, event: str, lookups: Lookups, *, is_error: bool = False) -> None:
        """The message configured for the event, if one is; an error is noted in any case (TR-MUT-2)."""
        doc, messenger, config = change.doc, self.tools.messenger, self.report.config
        context = await context_of(change, lookups)
        configured = configured_message(config, event)
        if is_error:
            text = messenger.source_text(doc, configured) if configured else ""
            error = text or f'Failed to complete {self.name} request, event type "{event}" misconfigured.'
            messenger.add_error(doc, {"code": event, "message": error}, context)
        if configured:
            once(doc, lambda: messenger.accept(doc, config, event, context), self.name, event)

    # --- contacts -----------------------------------------------------------------------------------------------------

    async def process_contact(self, change: Change, lookups: Lookups) -> None:
        """Bring one contact and its registrations to the state it should have (TR-MUT-9, TR-MUT-10)."""
        doc, now = change.doc, self.tools.now()
        if has_client_history(doc):
            muted = bool(doc.get("muted"))
            events = client_events(doc)
            report_id = events[-1].get("report_id") if events else None
        else:
            if awaits_date(change):
                raise PutOff("the API has not dated it yet")
            muted, ancestor = True, self.muted_ancestor(change) or {}
            report_id = last_history(await lookups.infodoc(ancestor["_id"])).get("report_id")
        operation = Operation(muted, iso_of(now), report_id)
        set_muted(doc, operation)
        for registration in await lookups.registrations(subject_ids(doc)):
            altered = change.others.get(registration["_id"]) or copied(registration)
            if set_tasks(altered, muted, now):
                change.others[altered["_id"]] = altered
        change.notes[info_id(change.id)] = add_history(change.id, operation.entry)

    def muted_ancestor(self, change: Change) -> Doc | None:
        """The nearest place above a new contact that was muted before the contact came (TR-MUT-9)."""
        if is_known(change):
            return None
        came = moment_of(change.info.get("initial_replication_date"), self.tools.zone)
        for place in ancestors(change.doc) if came is not None else ():
            muted = moment_of(place.get("muted"), self.tools.zone)
            if muted is not None and came is not None and muted <= came:
                return place
        return None


@dataclass(frozen=True)
class UpdateNotifications(Muting):
    """The older configuration of the same, for reports alone: `notifications.on_form` and `off_form` (TR-NOT-1)."""

    name: ClassVar[str] = "update_notifications"
    not_found: ClassVar[str] = "patient_not_found"
    answers: ClassVar[Mapping[bool, str]] = {True: "on_mute", False: "on_unmute"}
    repeated: ClassVar[Mapping[bool, str]] = answers

    @classmethod
    def from_settings(cls, settings: Settings, tools: Tools) -> UpdateNotifications:
        section = settings.section("notifications")
        forms = [(section.get("off_form"), True), (section.get("on_form"), False)]
        return cls(settings, tools, by_key(forms), read_report_config(section, "notifications", "notifications"))

    def filter(self, change: Change) -> bool:
        return is_record(change.doc) and super().filter(change)


def is_known(change: Change) -> bool:
    """Whether the contact is or was muted, so that it is no newcomer."""
    return bool(change.doc.get("muted") or change.info.get("muting_history"))


def awaits_date(change: Change) -> bool:
    """Whether a contact below a muted place came so lately that the API may not have made its infodoc (INF-2).

    The API dates what was written after its answer. An infodoc of ours would say "unknown" for ever, and the
    newcomer would never be muted (TR-MUT-9).
    """
    if not change.can_wait or "_rev" in change.info or is_known(change):
        return False
    return any(place.get("muted") for place in ancestors(change.doc))


def by_key(forms: Iterable[tuple[Any, bool]]) -> dict[str, bool]:
    """What is no form code counts for nothing; of a form named twice the last says what it does."""
    return {key: mutes for form, mutes in forms if (key := form_key(form))}


def topmost_muted(target: Doc) -> Doc:
    """The highest place above that is muted, the target itself when none is."""
    muted = [each for each in lineage(target) if each.get("muted") and each.get("_id")]
    return muted[-1] if muted else target


async def mutings_of(target: Doc, lookups: Lookups) -> frozenset[str]:
    """The reports that muted the target and the places above it, all of which are unmuted with it."""
    infos = [await lookups.infodoc(each["_id"]) for each in lineage(target) if each.get("muted") and each.get("_id")]
    return frozenset(each for info in infos if (each := muted_by(info)) is not None)


def is_already(target: Doc, muted: bool) -> bool:
    """Whether there is nothing to do: it is muted itself, or neither it nor a place above it is."""
    return bool(target.get("muted")) if muted else not any(each.get("muted") for each in lineage(target))


async def did_this(change: Change, target: Doc, muted: bool, lookups: Lookups) -> bool:
    """Whether the target has its state from this very report, in a run that did not come to its end."""
    last = last_history(await lookups.infodoc(target["_id"]))
    return (last.get("muted"), last.get("report_id")) == (muted, change.id)


def was_processed_by_phone(doc: Doc, name: str) -> bool:
    ran = doc.get("client_side_transitions")
    return isinstance(ran, dict) and bool(ran.get(name))
