"""muting and update_notifications: contacts, those below them and their messages stop and go on (40 §5.15, §5.12)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from core.couch.changes import Change as FeedChange
from core.couch.client import Database, Doc, Row
from core.dates import iso_of
from core.errors import InvalidInput
from core.settings import Settings
from core.translations import Translations
from sentinel.transitions import load, make_tools
from sentinel.transitions.change import LeaseLost
from sentinel.transitions.muting_effects import PAGE_CONTACTS
from tests.sentinel.conftest import CHW_PHONE, Clock, Deployment, codes, texts

EVENTS = ("mute", "unmute", "already_muted", "already_unmuted", "contact_not_found")
MUTING: Doc = {
    "mute_forms": ["MUTE"],
    "unmute_forms": ["UNMUTE"],
    "messages": [{"event_type": event, "message": event, "recipient": "from"} for event in EVENTS],
}
BELOW_CLINIC: Doc = {"_id": "c1", "parent": {"_id": "h1", "parent": {"_id": "d1"}}}


def report(doc_id: str, form: str, place: str = "90001", **members: Any) -> Doc:
    return {"_id": doc_id, "type": "data_record", "form": form, "content_type": "xml", "from": CHW_PHONE} | (
        {"fields": {"place_id": place}, **members}
    )


def task(clock: Clock, days: float, state: str = "scheduled") -> Doc:
    due = iso_of(clock() + timedelta(days=days))
    return {"due": due, "group": 1, "type": "ANC", "state": state, "state_history": []}


def registration(doc_id: str, patient: str, *tasks: Doc) -> Doc:
    ran = {"transitions": {"registration": {"ok": True}, "muting": {"ok": True}}}
    return {"_id": doc_id, "type": "data_record", "form": "PREG", "content_type": "xml", "scheduled_tasks": tasks} | (
        {"fields": {"patient_id": patient}, **ran}
    )


@pytest.fixture
async def muting(deployment: Deployment) -> Deployment:
    await deployment.configure(transitions={"muting": True}, muting=MUTING)
    await deployment.process()
    return deployment


async def muted(deployment: Deployment) -> dict[str, Any]:
    """The contacts that are muted, and since when."""
    docs = await deployment.db.get_many(["d1", "boss", "h1", "c1", "mum", "chw"])
    return {doc_id: doc["muted"] for doc_id, doc in docs.items() if doc.get("muted")}


async def states(deployment: Deployment, doc_id: str) -> list[str]:
    return [each["state"] for each in (await deployment.db.get(doc_id))["scheduled_tasks"]]


def test_muting_without_forms_is_refused(clock: Clock) -> None:
    settings = Settings({"transitions": {"muting": True}, "muting": {"unmute_forms": ["U"]}})
    with pytest.raises(InvalidInput, match=r"muting\.mute_forms: expected a list"):
        load(settings, make_tools(settings, Translations(), clock))


def test_what_is_no_form_code_mutes_nothing(clock: Clock) -> None:  # SEN-16
    odd = {"muting": {"mute_forms": [{}, ["MUTE"], None], "unmute_forms": [{}]}, "notifications": {"on_form": {}}}
    settings = Settings({"transitions": {"muting": True, "update_notifications": True}, **odd})
    loaded = load(settings, make_tools(settings, Translations(), clock))

    assert [each.forms for each in loaded.ordered] == [{}, {}]  # type: ignore[attr-defined]


async def test_lease_that_is_lost_meanwhile_is_no_error_of_the_report(muting: Deployment) -> None:  # SEN-1, TRN-8
    asked = iter([True, False])  # lost when the transition wants to write, and held again when the report is written

    def may_write() -> None:
        if not next(asked, True):
            raise LeaseLost("for a moment")

    await muting.store(report("m1", "MUTE"))
    with pytest.raises(LeaseLost):
        await muting.process(processor=muting.processor(may_write=may_write))
    assert "errors" not in await muting.db.get("m1")

    await muting.process()
    assert texts(await muting.db.get("m1")) == ["mute"]


async def test_contact_and_all_below_are_muted(
    muting: Deployment, clock: Clock
) -> None:  # TR-MUT-1, TR-MUT-4, TR-MUT-5, TR-MUT-6, TR-MUT-7, TR-MUT-8
    await muting.store(registration("reg", "50001", task(clock, 1), task(clock, 2, "pending"), task(clock, -1, "sent")))
    doc = await muting.processed(report("m1", "mute!"))

    assert await muted(muting) == dict.fromkeys(["c1", "mum", "chw"], iso_of(clock()))
    assert await states(muting, "reg") == ["muted", "muted", "sent"]
    assert texts(doc) == ["mute"]
    history = [{"muted": True, "date": iso_of(clock()), "report_id": "m1"}]
    assert [(await muting.info(each))["muting_history"] for each in ("c1", "mum", "chw")] == [history] * 3


async def test_unmuting_begins_at_the_topmost_muted_place(
    muting: Deployment, clock: Clock
) -> None:  # TR-MUT-4, TR-MUT-6
    await muting.processed(report("m1", "MUTE", place="80001"))
    assert set(await muted(muting)) == {"h1", "c1", "mum", "chw"}
    today = clock().replace(hour=0, minute=0) - clock()
    days = today.total_seconds() / 86_400
    tasks = [task(clock, 1, "muted"), task(clock, days, "muted"), task(clock, days - 0.01, "muted")]
    await muting.store(registration("reg", "50001", *tasks))
    clock.move(minutes=1)
    doc = await muting.processed(report("u1", "UNMUTE"))

    assert await muted(muting) == {}
    assert await states(muting, "reg") == ["scheduled", "scheduled", "muted"]
    assert texts(doc) == ["unmute"]
    assert [each["muted"] for each in (await muting.info("h1"))["muting_history"]] == [True, False]


async def test_contact_muted_before_keeps_its_time(muting: Deployment, clock: Clock) -> None:  # TR-MUT-5
    await muting.processed(report("m1", "MUTE"))
    first = iso_of(clock())
    clock.move(hours=1)
    await muting.processed(report("m2", "MUTE", place="80001"))

    assert await muted(muting) == {"h1": iso_of(clock()), "c1": first, "mum": first, "chw": first}


@pytest.mark.parametrize(("form", "answer"), [("MUTE", "already_muted"), ("UNMUTE", "already_unmuted")])
async def test_state_that_is_there_already_is_only_told(  # TR-MUT-3
    muting: Deployment, clock: Clock, form: str, answer: str
) -> None:
    if form == "MUTE":
        await muting.processed(report("m1", "MUTE"))
    before = await muting.db.get_many(["c1", "mum"])

    assert texts(await muting.processed(report("r1", form))) == [answer]
    assert await muting.db.get_many(["c1", "mum"]) == before


async def test_report_about_nobody_is_told_and_noted(muting: Deployment) -> None:  # TR-MUT-2
    doc = await muting.processed(report("m1", "MUTE", place="none"))
    await muting.configure(muting={**MUTING, "messages": []})
    unconfigured = await muting.processed(report("m2", "MUTE", place="none"))

    assert (codes(doc), texts(doc)) == (["contact_not_found"], ["contact_not_found"])
    assert texts(unconfigured) == []
    assert "misconfigured" in unconfigured["errors"][0]["message"]


async def test_invalid_report_mutes_nobody(muting: Deployment) -> None:  # TR-MUT-3
    rules = {"list": [{"property": "reason", "rule": "required", "message": "why?"}]}
    await muting.configure(muting={**MUTING, "validations": rules})

    assert texts(await muting.processed(report("m1", "MUTE"))) == ["why?"]
    assert await muted(muting) == {}


async def test_more_contacts_than_a_page_are_muted(muting: Deployment) -> None:  # TR-MUT-5
    people = [
        {"_id": f"p{number:03}", "type": "person", "name": "P", "parent": BELOW_CLINIC}
        for number in range(PAGE_CONTACTS * 2 + 5)
    ]
    await muting.store(*people)
    await muting.processed(report("m1", "MUTE", place="80001"))

    docs = await muting.db.get_many(person["_id"] for person in people)
    assert {bool(doc.get("muted")) for doc in docs.values()} == {True}


@pytest.mark.parametrize("dies_at", range(1, 9))
async def test_death_in_the_middle_is_made_good_by_the_repetition(  # TRN-10, TR-MUT-7
    muting: Deployment, clock: Clock, dies_at: int
) -> None:
    writes = 0

    class Dying(Database):
        """The process dies before its n-th bulk write."""

        async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
            nonlocal writes
            writes += 1
            if writes == dies_at:
                raise asyncio.CancelledError
            return await super().bulk_docs(docs, new_edits=new_edits)

    await muting.store(registration("reg", "50001", task(clock, 1)))
    await muting.process()
    await muting.store(report("m1", "MUTE"))
    position, begun = muting.position, iso_of(clock())
    try:
        await muting.process(processor=muting.processor(Dying(muting.db.couch, muting.db.name)))
    except asyncio.CancelledError:
        clock.move(minutes=1)
        muting.position = position
        await muting.process()

    assert await muted(muting) in [
        dict.fromkeys(["c1", "mum", "chw"], begun),
        dict.fromkeys(["c1", "mum", "chw"], iso_of(clock())),
    ]
    assert await states(muting, "reg") == ["muted"]
    assert texts(await muting.db.get("m1")) == ["mute"]
    assert [len((await muting.info(each))["muting_history"]) for each in ("c1", "mum", "chw")] == [1, 1, 1]


async def test_reports_keep_their_order_around_a_muting_one(muting: Deployment, clock: Clock) -> None:  # TR-MUT-4
    """All in one batch: each sees what the one before did."""
    forms = {"m1": "MUTE", "m2": "MUTE", "u1": "UNMUTE", "m3": "MUTE"}
    await muting.store(*(report(doc_id, form) for doc_id, form in forms.items()))
    feed = [FeedChange("1", doc_id, "", False) for doc_id in forms]
    await muting.processor().process(feed, await muting.transitions())

    docs = await muting.db.get_many(forms)
    assert [texts(docs[each]) for each in forms] == [["mute"], ["already_muted"], ["unmute"], ["mute"]]
    assert "c1" in await muted(muting)


# --- contacts ---------------------------------------------------------------------------------------------------------


def newcomer(clock: Clock, **info: Any) -> tuple[Doc, Doc]:
    person = {"_id": "new", "type": "person", "name": "New", "patient_id": "50009", "parent": BELOW_CLINIC}
    came = iso_of(clock() + timedelta(minutes=1))
    return person, {"_id": "new-info", "type": "info", "doc_id": "new", "initial_replication_date": came, **info}


async def test_newcomer_to_a_muted_place_is_muted(muting: Deployment, clock: Clock) -> None:  # TR-MUT-9
    await muting.processed(report("m1", "MUTE"))
    person, info = newcomer(clock)
    clock.move(minutes=2)
    await muting.store(registration("reg", "50009", task(clock, 1)))
    await muting.sentinel_db.put(info)
    doc = await muting.processed(person)

    assert doc["muted"] == iso_of(clock())
    assert await states(muting, "reg") == ["muted"]
    assert (await muting.info("new"))["muting_history"] == [{"muted": True, "date": iso_of(clock()), "report_id": "m1"}]


async def test_newcomer_that_is_seen_before_the_api_has_dated_it_is_muted_once(  # TR-MUT-9, INF-2
    muting: Deployment, clock: Clock
) -> None:
    await muting.processed(report("m1", "MUTE"))
    person, info = newcomer(clock)
    clock.move(minutes=2)
    assert "muted" not in await muting.processed(person)
    assert await muting.sentinel_db.find("new-info") is None
    await muting.sentinel_db.put(info)
    clock.move(seconds=11)
    await muting.processor().retry(await muting.transitions())
    muting.position = 0
    await muting.process()

    assert (await muting.db.get("new"))["muted"] == iso_of(clock())
    assert [each["report_id"] for each in (await muting.info("new"))["muting_history"]] == ["m1"]
    assert muting.retries.waiting == {}


async def test_contact_that_nobody_dates_is_waited_for_once(muting: Deployment, clock: Clock) -> None:  # TR-MUT-9
    await muting.processed(report("m1", "MUTE"))
    person, _ = newcomer(clock)
    await muting.processed(person)
    clock.move(seconds=11)
    await muting.processor().retry(await muting.transitions())

    assert "muted" not in await muting.db.get("new")
    assert (await muting.info("new"))["initial_replication_date"] == "unknown"
    assert muting.retries.waiting == {}


@pytest.mark.parametrize(
    "info",
    [
        {"initial_replication_date": "unknown"},
        {"initial_replication_date": "2001-01-01T00:00:00.000Z"},
        {"muting_history": [{"muted": False, "date": "2031-01-01T00:00:00.000Z", "report_id": "u"}]},
    ],
    ids=["unknown", "came before", "was muted before"],
)
async def test_contact_that_is_no_newcomer_stays(muting: Deployment, clock: Clock, info: Doc) -> None:  # TR-MUT-9
    await muting.processed(report("m1", "MUTE"))
    person, stored = newcomer(clock, **info)
    await muting.sentinel_db.put(stored)

    assert "muted" not in await muting.processed(person)


def client_side(muted: bool, *events: Doc) -> Doc:
    return {
        "muting_history": {"last_update": "client_side", "server_side": {"muted": not muted}, "client_side": events}
    }


async def test_what_a_phone_did_is_done_here_too(muting: Deployment, clock: Clock) -> None:  # TR-MUT-10
    await muting.store(registration("reg", "50009", task(clock, 1)))
    event = {"muted": True, "date": "2031-11-01T00:00:00.000Z", "report_id": "m9"}
    person, _ = newcomer(clock)
    doc = await muting.processed({**person, "muted": event["date"], **client_side(True, event)})

    assert doc["muting_history"]["last_update"] == "server_side"
    assert doc["muting_history"]["server_side"] == {"muted": True, "date": iso_of(clock())}
    assert doc["muting_history"]["client_side"] == [event]
    assert await states(muting, "reg") == ["muted"]
    assert (await muting.info("new"))["muting_history"][-1]["report_id"] == "m9"


async def test_late_report_is_followed_by_what_phones_did_after_it(
    muting: Deployment, clock: Clock
) -> None:  # TR-MUT-11
    """The phone muted with m1 and unmuted with u1; u1 came first, m1 is processed after it."""
    events = [
        {"muted": True, "date": "2031-11-01T00:00:00.000Z", "report_id": "m1"},
        {"muted": False, "date": "2031-11-02T00:00:00.000Z", "report_id": "u1"},
    ]
    processed = {"client_side_transitions": {"muting": True}}
    clinic = await muting.db.get("c1")
    await muting.processed({**clinic, **client_side(False, *events)})
    await muting.processed(report("u1", "UNMUTE", **processed))
    late = await muting.processed(report("m1", "MUTE", **processed))

    assert texts(late) == ["mute"]
    assert await muted(muting) == {}
    assert texts(await muting.db.get("u1")) == ["unmute"]


# --- update_notifications ---------------------------------------------------------------------------------------------


async def test_notifications_are_switched_off_and_on(deployment: Deployment, clock: Clock) -> None:  # TR-NOT-1
    messages = [{"event_type": event, "message": event} for event in ("on_mute", "on_unmute")]
    section = {"on_form": "ON", "off_form": "OFF", "messages": messages}
    await deployment.configure(transitions={"update_notifications": True}, notifications=section)
    off = await deployment.processed(report("r1", "OFF"))
    assert set(await muted(deployment)) == {"c1", "mum", "chw"}
    on = await deployment.processed(report("r2", "on"))
    nobody = await deployment.processed(report("r3", "OFF", place="none"))

    assert (texts(off), texts(on)) == (["on_mute"], ["on_unmute"])
    assert await muted(deployment) == {}
    assert codes(nobody) == ["patient_not_found"]


# --- TR-MUT-12 --------------------------------------------------------------------------------------------------------


async def individually(muting: Deployment, keep: bool) -> None:
    """The mother is muted by a report of her own, then the health centre above her by another."""
    await muting.configure(muting={**MUTING, "keep_individually_muted": keep})
    own = report("r0", "MUTE") | {"fields": {"patient_id": "50001"}}
    await muting.processed(own)
    await muting.processed(report("r1", "MUTE", "80001"))
    assert set(await muted(muting)) == {"h1", "c1", "mum", "chw"}


@pytest.mark.parametrize(("keep", "still_muted"), [(False, set()), (True, {"mum"})])
async def test_unmuting_a_place_may_leave_alone_who_was_muted_before(  # TR-MUT-12
    muting: Deployment, clock: Clock, keep: bool, still_muted: set[str]
) -> None:
    await muting.store(registration("p1", "50001", task(clock, 5)), registration("p2", "50002", task(clock, 5)))
    await muting.process()
    await individually(muting, keep)

    await muting.processed(report("r2", "UNMUTE", "80001"))

    assert set(await muted(muting)) == still_muted
    states = [(await muting.db.get(each))["scheduled_tasks"][0]["state"] for each in ("p1", "p2")]
    assert states == ["muted" if keep else "scheduled", "scheduled"]


async def test_whoever_is_unmuted_by_name_is_unmuted(muting: Deployment) -> None:  # TR-MUT-12
    await individually(muting, keep=True)

    await muting.processed(report("r2", "UNMUTE") | {"fields": {"patient_id": "50001"}})

    assert await muted(muting) == {}
