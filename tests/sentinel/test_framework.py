"""The framework of the transitions: loading, order, errors, infodocs, conflicts and repetition (40 §2, §4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import pytest

from core.couch.changes import Change as FeedChange
from core.couch.changes import change_of as feed_change_of
from core.couch.client import Database, Doc, Row
from core.documents import subject_ids
from core.errors import InvalidInput
from core.settings import Settings
from core.translations import Translations
from sentinel.processor import Processor
from sentinel.schedule.due_messages import is_sending_time
from sentinel.transitions import load, make_tools
from sentinel.transitions.change import Change
from sentinel.transitions.conditions import valid_registrations
from sentinel.transitions.run import in_waves
from tests.sentinel.conftest import Clock, Deployment, texts

Preg = Callable[..., Doc]


def load_with(clock: Callable[[], datetime], **settings: Any) -> list[str]:
    snapshot = Settings(settings)
    return [each.name for each in load(snapshot, make_tools(snapshot, Translations(), clock)).ordered]


def test_transitions_run_in_the_fixed_order(clock: Clock) -> None:  # TRN-1, TRN-2
    enabled = {
        "default_responses": {},
        "generate_shortcode_on_contacts": {"client_side": False},
        "registration": True,
        "update_clinics": "yes",
        "muting": {"disable": True},
        "self_report": False,
    }

    assert load_with(clock, transitions=enabled) == [
        "update_clinics",
        "registration",
        "generate_shortcode_on_contacts",
        "default_responses",
    ]


def test_unknown_name_is_refused(clock: Clock) -> None:  # TRN-3
    with pytest.raises(InvalidInput, match='Unknown transition "birth_registration"'):
        load_with(clock, transitions={"birth_registration": True})


@pytest.mark.parametrize("name", ["update_sent_forms", "maintain_info_document"])
def test_removed_names_are_only_a_warning(clock: Clock, name: str, caplog: pytest.LogCaptureFixture) -> None:  # TRN-3
    assert load_with(clock, transitions={name: True}) == []
    assert name in caplog.text


def test_what_settings_do_not_say_has_a_default(clock: Clock) -> None:  # SEN-4
    docs: list[Doc | None] = [None, {"_id": "settings"}, {"settings": {}}]
    for doc in docs:
        settings = Settings.from_doc(doc)
        assert load(settings, make_tools(settings, Translations(), clock)).ordered == ()
        hours = [is_sending_time(settings, clock().replace(hour=hour, minute=0)) for hour in (0, 12, 23)]
        assert hours == [True, True, True]
        assert not is_sending_time(settings, clock().replace(hour=23, minute=1))


def test_valid_registrations_of_a_contact() -> None:  # TRN-15, TRN-16
    forms = {"JSON": {"meta": {"code": "JSON"}}, "PUB": {"public_form": True}, "NO": {}}
    settings = Settings({"forms": forms, "registrations": [{"form": each} for each in ("xml", "-json!", "PUB")]})
    known = {"contact": {"_id": "chw"}}
    docs: list[Doc] = [
        {"_id": "xml", "form": "XML", "content_type": "xml"},
        {"_id": "json", "form": "JSON", **known},
        {"_id": "public", "form": "PUB", "errors": []},
        {"_id": "no sender", "form": "JSON"},
        {"_id": "no registration", "form": "NO", **known},
        {"_id": "unknown form", "form": "xml", **known},
        {"_id": "errors", "form": "PUB", "errors": [{"code": "a"}]},
        {"_id": "message", **known},
    ]
    reports = [{"type": "data_record", **doc} for doc in docs]
    found = valid_registrations([*reports, *reports, {**docs[0], "_id": "other", "type": "person"}], settings)

    assert [doc["_id"] for doc in found] == ["xml", "json", "public"]


@pytest.mark.parametrize(
    ("contact", "ids"),
    [
        ({"_id": "p", "patient_id": "1", "place_id": "2"}, ["p", "1", "2"]),
        ({"_id": "p", "patient_id": "p", "place_id": ""}, ["p"]),
        ({"_id": "p", "place_id": None}, ["p"]),
    ],
)
def test_subject_ids(contact: Doc, ids: list[str]) -> None:  # TRN-16
    assert list(subject_ids(contact)) == ids


def test_everything_that_is_wrong_is_said_at_once(clock: Clock) -> None:  # SEN-16
    with pytest.raises(InvalidInput) as raised:
        load_with(clock, transitions={"muting": True, "registration": True, "death_reporting": {}})

    assert raised.value.details["errors"] == [
        "muting: muting.mute_forms: expected a list of form codes",
        "death_reporting: death_reporting.mark_deceased_forms: expected a list of form codes",
    ]


def test_transitions_must_be_an_object(clock: Clock) -> None:
    with pytest.raises(InvalidInput, match="transitions: expected an object"):
        load_with(clock, transitions=["registration"])


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"trigger": "add_patient", "params": "{bad"}, "is not JSON"),
        ({"trigger": "add_patient", "params": 5}, "expected an object, a list or text"),
        ({"trigger": "add_patient", "params": {"patient_id_field": "patient_id"}}, "another field than"),
        ({"trigger": "add_patient", "params": {"contact_type": "clinic"}}, "not a person type"),
        ({"trigger": "add_patient_id", "params": {"contact_type": "none"}}, "not a person type"),
        ({"trigger": "add_place"}, "not a place type"),
        ({"trigger": "add_place", "params": {"contact_type": "person"}}, "not a place type"),
        ({"trigger": "assign_schedule"}, "expects a list of names"),
        ({"trigger": "clear_schedule", "params": {"a": 1}}, "expects a list of names"),
    ],
)
def test_wrong_registration_event_is_refused(clock: Clock, event: Doc, message: str) -> None:  # TR-REG-3
    entry = {"form": "R", "events": [{"name": "on_create", **event}]}
    with pytest.raises(InvalidInput, match=rf"registration: registrations\[0\]\.events\[0\].*{message}"):
        load_with(clock, transitions={"registration": True}, registrations=[entry])


def test_rule_that_is_not_in_the_language_is_refused(clock: Clock) -> None:  # VAL-6
    entry = {"form": "R", "validations": {"list": [{"property": "a", "rule": "equals(b)"}]}}
    with pytest.raises(InvalidInput, match=r"registrations\[0\]\.validations\.list\[0\]\.rule"):
        load_with(clock, transitions={"registration": True}, registrations=[entry])


# --- feed and infodocs ------------------------------------------------------------------------------------------------


async def test_ignored_ids_get_no_infodoc(deployment: Deployment) -> None:  # SEN-9, SEN-11, SEN-21
    await deployment.store({"_id": "x-info"}, {"_id": "x____1-a____tombstone"}, {"_id": "plain"}, {"_id": "gone"})
    gone = await deployment.db.get("gone")
    await deployment.db.delete("gone", gone["_rev"])
    await deployment.process()

    ids = {row["id"] for row in await deployment.sentinel_db.all_docs()}
    assert "plain-info" in ids
    assert not ids & {"x-info-info", "x____1-a____tombstone-info", "gone-info", "_design/medic-info"}


async def test_first_processing_is_recorded_without_any_change(deployment: Deployment) -> None:  # INF-3, INF-5
    await deployment.processed({"_id": "plain", "type": "other"})

    info = await deployment.info("plain")
    assert info["transitions"] == {}
    assert (info["type"], info["doc_id"]) == ("info", "plain")
    assert info["initial_replication_date"] == info["latest_replication_date"] == "unknown"


async def test_result_is_noted_in_the_infodoc(deployment: Deployment, preg: Preg, clock: Clock) -> None:  # INF-4
    await deployment.store(preg("r1"))
    rev = (await deployment.db.get("r1"))["_rev"]
    await deployment.process()

    entry = (await deployment.info("r1"))["transitions"]["registration"]
    assert entry == {
        "last_rev": rev,
        "seq": entry["seq"],
        "ok": True,
        "run_date": clock().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    assert entry["seq"]


async def test_members_of_other_writers_are_kept(deployment: Deployment, preg: Preg) -> None:  # INF-1
    await deployment.sentinel_db.put({"_id": "r1-info", "type": "info", "doc_id": "r1", "muting_history": [{"a": 1}]})
    await deployment.processed(preg("r1"))

    info = await deployment.info("r1")
    assert info["muting_history"] == [{"a": 1}]
    assert "registration" in info["transitions"]


async def test_infodoc_changed_meanwhile_is_read_again(deployment: Deployment, preg: Preg) -> None:  # INF-1
    class Interfering(Database):
        """Another writer changes the infodoc just before ours is stored."""

        interfered = False

        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            if not self.interfered and any(doc["_id"] == "r1-info" for doc in docs):
                self.interfered = True
                await deployment.sentinel_db.put({"_id": "r1-info", "latest_replication_date": "now"})
            return await super().bulk_docs(docs, new_edits=new_edits)

    sentinel_db = Interfering(deployment.sentinel_db.couch, deployment.sentinel_db.name)
    await deployment.store(preg("r1"))
    await deployment.process(processor=Processor(deployment.db, sentinel_db, deployment.retries, now=deployment.clock))

    info = await deployment.info("r1")
    assert sentinel_db.interfered
    assert info["latest_replication_date"] == "now"
    assert "registration" in info["transitions"]


async def test_infodoc_deleted_meanwhile_is_made_again(deployment: Deployment, preg: Preg) -> None:  # INF-8
    class Deleting(Database):
        """Somebody deletes the infodoc just before ours is stored."""

        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            stored = await deployment.sentinel_db.find("r1-info")
            if stored is not None and any(doc["_id"] == "r1-info" for doc in docs):
                await deployment.sentinel_db.delete("r1-info", stored["_rev"])
            return await super().bulk_docs(docs, new_edits=new_edits)

    sentinel_db = Deleting(deployment.sentinel_db.couch, deployment.sentinel_db.name)
    await deployment.sentinel_db.put({"_id": "r1-info", "type": "info", "doc_id": "r1", "mine": 1})
    await deployment.store(preg("r1"))
    await deployment.process(processor=Processor(deployment.db, sentinel_db, deployment.retries, now=deployment.clock))

    info = await deployment.info("r1")
    assert info["transitions"]["registration"]["ok"] is True
    assert info["mine"] == 1
    assert deployment.retries.waiting == {}


async def test_forgotten_marker_of_the_api_is_cleared(  # INF-7
    deployment: Deployment, preg: Preg, clock: Clock
) -> None:
    await deployment.sentinel_db.put(
        {"_id": "r1-info", "type": "info", "doc_id": "r1", "transitions_started": clock().isoformat()}
    )
    clock.move(minutes=3)
    report = await deployment.processed(preg("r1"))

    assert report["patient_id"]
    assert "transitions_started" not in await deployment.info("r1")


async def test_document_the_api_is_writing_waits_without_being_lost(  # INF-7, SEN-14
    deployment: Deployment, preg: Preg, clock: Clock
) -> None:
    marked = {"_id": "r1-info", "type": "info", "doc_id": "r1", "transitions_started": clock().isoformat()}
    await deployment.sentinel_db.put(marked)
    assert "patient_id" not in await deployment.processed(preg("r1"))

    clock.move(minutes=3)
    await deployment.processor().retry(await deployment.transitions())

    assert (await deployment.db.get("r1"))["patient_id"]
    assert deployment.retries.waiting == {}


async def test_document_the_api_took_long_over_is_seen_to_a_second_later(  # INF-7
    deployment: Deployment, preg: Preg, clock: Clock
) -> None:
    info = {"_id": "r1-info", "type": "info", "doc_id": "r1", "transitions": {}}
    rev = await deployment.sentinel_db.put({**info, "transitions_started": clock().isoformat()})
    await deployment.processed(preg("r1"))
    await deployment.sentinel_db.put({**info, "_rev": rev})

    assert not await deployment.processor().retry(await deployment.transitions())
    clock.move(seconds=1)
    assert await deployment.processor().retry(await deployment.transitions())
    assert (await deployment.db.get("r1"))["patient_id"]


async def test_legacy_note_in_the_document_counts(deployment: Deployment, preg: Preg) -> None:  # TRN-5, TRN-6
    report = await deployment.processed(preg("r1", transitions={"registration": {"last_rev": "1-a", "ok": True}}))

    assert "patient_id" not in report


# --- errors -----------------------------------------------------------------------------------------------------------


class Throwing:
    """A transition that fails on reports, saying whether it changed something."""

    name = "throwing"

    def __init__(self, changed: bool) -> None:
        self.changed = changed

    def filter(self, change: Change) -> bool:
        if change.doc.get("type") != "data_record":
            raise KeyError("filters may throw")
        return True

    async def on_match(self, change: Change, lookups: object) -> bool:
        error = ValueError("boom")
        error.changed = self.changed  # type: ignore[attr-defined]
        raise error

    def order_keys(self, doc: Doc) -> list[str]:
        return []


async def process_with(deployment: Deployment, *transitions: Any, before: bool = False) -> None:
    loaded = await deployment.transitions()
    ordered = (*transitions, *loaded.ordered) if before else transitions
    answer = await deployment.db.changes(deployment.position)
    feed = [FeedChange(row["seq"], row["id"], "", False) for row in answer["results"]]
    await deployment.processor().process(feed, type(loaded)(ordered, loaded.tools))


async def test_failing_transition_leaves_an_error_and_the_rest_goes_on(  # TRN-8, TRN-5
    deployment: Deployment, preg: Preg
) -> None:
    await deployment.store(preg("r1"), {"_id": "other"})
    await process_with(deployment, Throwing(changed=False), before=True)

    report = await deployment.db.get("r1")
    assert report["errors"] == [
        {"code": "throwing_error", "message": "Transition error on throwing: boom"},
    ]
    assert report["contact"]["_id"] == "chw"


@pytest.mark.parametrize("changed", [True, False])
async def test_failure_alone_is_saved_only_when_something_changed(  # TRN-8, INF-4
    deployment: Deployment, preg: Preg, changed: bool
) -> None:
    await deployment.store(preg("r1"))
    await process_with(deployment, Throwing(changed=changed))

    report, info = await deployment.db.get("r1"), await deployment.info("r1")
    assert bool(report["errors"]) is changed
    assert info["transitions"].get("throwing", {}).get("ok", None) is (False if changed else None)


# --- order, conflicts, repetition -------------------------------------------------------------------------------------


def change_of(doc: Doc) -> Change:
    return Change(doc["_id"], doc, {})


def test_unrelated_documents_share_a_wave_and_related_ones_keep_their_order() -> None:  # design §5
    docs = [
        {"_id": "a", "type": "data_record", "fields": {"patient_id": "1"}},
        {"_id": "b", "type": "data_record", "fields": {"patient_id": "2"}},
        {"_id": "c", "type": "data_record", "patient_id": "1", "fields": {"place_id": "9"}},
        {"_id": "d", "type": "data_record", "fields": {"place_id": "9"}},
        {"_id": "e", "type": "person"},
    ]
    waves = in_waves([change_of(doc) for doc in docs], ())

    assert [[change.id for change in wave] for wave in waves] == [["a", "b", "e"], ["c"], ["d"]]


async def test_overtaken_document_is_left_to_its_newer_change(deployment: Deployment, preg: Preg) -> None:  # TRN-10
    class Overtaking(Database):
        """Somebody edits the report between our reading and our writing of it."""

        overtook = False

        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            if not self.overtook and any(doc["_id"] == "r1" for doc in docs):
                self.overtook = True
                await deployment.db.update("r1", lambda doc: {**(doc or {}), "edited": True})
            return await super().bulk_docs(docs, new_edits=new_edits)

    await deployment.store(preg("r1"))
    await deployment.process(processor=deployment.processor(Overtaking(deployment.db.couch, deployment.db.name)))

    report, persons = await deployment.db.get("r1"), await deployment.created_by("r1")
    assert report["edited"]
    assert [person["patient_id"] for person in persons] == [report["patient_id"]]
    assert texts(report) == [f"Registered Asha as {report['patient_id']}"]
    assert deployment.retries.waiting == {}


@pytest.mark.parametrize("dies_before", ["person", "report", "infodoc"])
async def test_death_between_two_writes_changes_nothing_on_repetition(  # TRN-10, design §5
    deployment: Deployment, preg: Preg, dies_before: str
) -> None:
    class Dying(Database):
        """The process dies before the first write of that kind."""

        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            kinds = {"infodoc" if doc["_id"].endswith("-info") else str(doc.get("type")) for doc in docs}
            if {"report": "data_record"}.get(dies_before, dies_before) in kinds:
                raise asyncio.CancelledError
            return await super().bulk_docs(docs, new_edits=new_edits)

    await deployment.store(preg("r1"))
    position = deployment.position
    with pytest.raises(asyncio.CancelledError):
        await deployment.process(
            processor=Processor(
                Dying(deployment.db.couch, deployment.db.name),
                Dying(deployment.sentinel_db.couch, deployment.sentinel_db.name),
                deployment.retries,
                now=deployment.clock,
            )
        )
    deployment.clock.move(minutes=1)
    deployment.position = position
    await deployment.process()

    report, [person] = await deployment.db.get("r1"), await deployment.created_by("r1")
    assert person["patient_id"] == report["patient_id"]
    assert texts(report) == [f"Registered Asha as {report['patient_id']}"]
    assert len(report["scheduled_tasks"]) == 2


async def test_repetition_writes_nothing(deployment: Deployment, preg: Preg) -> None:  # SEN-20
    await deployment.processed(preg("r1"))
    before = await deployment.db.info(), await deployment.sentinel_db.info()
    deployment.position = 0
    await deployment.process()

    assert (await deployment.db.info())["update_seq"] == before[0]["update_seq"]
    assert (await deployment.sentinel_db.info())["update_seq"] == before[1]["update_seq"]


async def test_all_transitions_work_on_one_document_that_is_saved_once(  # TRN-4, TRN-7
    deployment: Deployment, preg: Preg
) -> None:
    doc = await deployment.processed(preg("r1"))
    ran = (await deployment.info("r1"))["transitions"]

    assert (doc["_rev"][:2], set(ran)) == ("2-", {"update_clinics", "registration"})
    assert doc["contact"]["_id"] == "chw"


async def test_what_we_wrote_ourselves_is_not_read_again(deployment: Deployment, preg: Preg) -> None:  # TRN-5
    class Reading(Database):
        """Notes the documents it is asked for together."""

        asked: set[str]

        async def get_many(self, ids: Iterable[str]) -> dict[str, Doc]:
            wanted = list(ids)
            self.asked.update(wanted)
            return await super().get_many(wanted)

    db = Reading(deployment.db.couch, deployment.db.name)
    db.asked = set()
    processor, transitions = deployment.processor(db), await deployment.transitions()

    async def process() -> set[str]:
        db.asked = set()
        answer = await deployment.db.changes(deployment.position)
        deployment.position = answer["last_seq"]
        await processor.process([feed_change_of(row) for row in answer["results"]], transitions)
        return db.asked

    await deployment.store(preg("r1"))
    first, echo = await process(), await process()
    await deployment.store({**await deployment.db.get("r1"), "edited": True})
    edited = await process()
    [person] = await deployment.created_by("r1")

    assert "r1" in first
    assert not echo
    assert (await deployment.info(person["_id"]))["transitions"] == {}  # INF-5
    assert "r1" in edited


async def test_a_created_contact_is_still_seen_by_transitions_that_care(deployment: Deployment, preg: Preg) -> None:
    push = {
        "relevant_to": "doc.type === 'person'",
        "destination": {"base_url": "http://x"},
        "mapping": {"id": "doc._id"},
    }
    await deployment.configure(
        transitions={"update_clinics": True, "registration": True, "mark_for_outbound": True}, outbound={"emr": push}
    )
    await deployment.processed(preg("r1"))
    [person] = await deployment.created_by("r1")

    assert (await deployment.sentinel_db.get(f"task:outbound:{person['_id']}"))["queue"] == ["emr"]


async def test_batch_of_unrelated_reports_takes_a_constant_number_of_calls(  # design §5
    deployment: Deployment, preg: Preg
) -> None:
    class Counting(Database):
        calls = 0

        async def request(self, method: str, path: str = "", **options: Any) -> Any:
            self.calls += 1
            return await super().request(method, path, **options)

    async def calls_for(*docs: Doc) -> int:
        db = Counting(deployment.db.couch, deployment.db.name)
        await deployment.store(*docs)
        answer = await deployment.db.changes(deployment.position)
        feed = [FeedChange(row["seq"], row["id"], "", False) for row in answer["results"]]
        await deployment.processor(db).process(feed, await deployment.transitions())
        deployment.position = answer["last_seq"]
        return db.calls

    await calls_for(preg("r0"))
    some = await calls_for(*(preg(f"s{number}", name=f"S{number}") for number in range(5)))
    many = await calls_for(*(preg(f"m{number}", name=f"M{number}") for number in range(40)))

    assert many <= some + 2  # two more where a random short code was taken already
    reports = await deployment.db.get_many(f"m{number}" for number in range(40))
    assert len({report["patient_id"] for report in reports.values()}) == 40
