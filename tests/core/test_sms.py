"""The exchange with an SMS gateway (45 §1..§4, §12)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.couch.client import Database, Doc, Row
from core.errors import Conflict, DomainError, InvalidInput
from core.settings import Settings
from core.sms import MOST_PENDING, SmsExchange, record_id
from core.sms_offers import Ledger, Offer, Offered
from core.translations import Translations
from sentinel.transitions import save_new
from tests.core.test_records import REG

NOW = datetime(2031, 2, 3, 8, tzinfo=UTC)
NOW_MS = 1_927_872_000_000


class Gateway:
    """A gateway that talks to the server, with a clock of its own."""

    def __init__(self, db: Database, process: Any = None, **settings: Any) -> None:
        self.db = db
        self.now = NOW
        self.process = process or self.store
        self.settings = Settings({"default_country_code": "254", "forms": {"REG": REG}, **settings})

    async def exchange(self, messages: Any = None, updates: Any = None) -> list[Doc]:
        exchange = SmsExchange(self.db, self.settings, self.translations, lambda: self.now, self.process)
        return await exchange.exchange(messages, updates)

    async def translations(self) -> Translations:
        return Translations()

    async def store(self, docs: list[Doc], translations: Translations) -> list[Row]:
        return await self.db.bulk_docs(docs)

    async def records(self) -> list[Doc]:
        rows = await self.db.all_docs(include_docs=True)
        return [row["doc"] for row in rows if row["doc"].get("type") == "data_record"]


def sms(ref: Any = "g-1", content: Any = "REG Anna 12", sender: Any = "0712345678") -> Doc:
    return {"id": ref, "content": content, "from": sender, "sms_sent": 1, "sms_received": 2}


def task(uuid: str, state: str = "pending", to: str = "+254711000111", **members: Any) -> Doc:
    history = [{"state": state, "timestamp": "2031-02-03T07:00:00.000Z"}]
    return {
        "messages": [{"uuid": uuid, "to": to, "message": f"text of {uuid}"}],
        "state": state,
        "state_history": history,
        **members,
    }


def owner(*tasks: Doc, **members: Any) -> Doc:
    return {"_id": "r-1", "type": "data_record", "reported_date": NOW_MS, "tasks": list(tasks), **members}


async def stored_task(db: Database, index: int = 0, doc_id: str = "r-1") -> Doc:
    return dict((await db.get(doc_id))["tasks"][index])


def ids(messages: list[Doc]) -> list[str]:
    return [message["id"] for message in messages]


# --- incoming ---------------------------------------------------------------------------------------------------------


async def test_a_message_becomes_a_record(db: Database) -> None:
    gateway = Gateway(db)

    await gateway.exchange([sms()])

    [record] = await gateway.records()
    assert record["_id"] == record_id("g-1")  # SMS-19
    assert (record["form"], record["fields"]) == ("REG", {"name": "Anna", "lmp": 12})
    assert (record["from"], record["reported_date"]) == ("+254712345678", NOW_MS)
    assert record["sms_message"]["gateway_ref"] == "g-1"


@pytest.mark.parametrize("nothing", [None, []])
async def test_an_empty_exchange(db: Database, nothing: Any) -> None:
    assert await Gateway(db).exchange(nothing, nothing) == []  # SMS-3


@pytest.mark.parametrize(
    "message",
    [
        sms(content=""),
        sms(sender=None),
        sms(ref=None),
        {"id": "x"},
        sms(content={"a": 1}),
        "text",
        None,
    ],
)
async def test_incomplete_messages_are_dropped(db: Database, message: Any) -> None:
    gateway = Gateway(db)

    await gateway.exchange([message, sms("g-2")])

    assert [record["sms_message"]["gateway_ref"] for record in await gateway.records()] == ["g-2"]  # SMS-17


@pytest.mark.parametrize(("messages", "updates"), [({}, []), ([], "x")])
async def test_lists_are_required(db: Database, messages: Any, updates: Any) -> None:
    with pytest.raises(InvalidInput, match="expected a list"):
        await Gateway(db).exchange(messages, updates)


async def test_the_same_post_again_stores_nothing_new(db: Database) -> None:
    gateway = Gateway(db)
    await gateway.exchange([sms()])
    before = await gateway.records()

    await gateway.exchange([sms()])

    assert await gateway.records() == before  # SMS-5, SMS-18, EP-SMS-3


async def test_the_same_id_twice_in_a_request_is_stored_once(db: Database) -> None:
    gateway = Gateway(db)

    await gateway.exchange([sms(content="REG Anna 12"), sms(content="REG Bea 13")])

    assert [record["fields"]["name"] for record in await gateway.records()] == ["Anna"]  # SMS-18, ours


async def test_parallel_requests_store_a_message_once(db: Database) -> None:
    gateway = Gateway(db)

    await asyncio.gather(*(gateway.exchange([sms(), sms("g-2")]) for _ in range(4)))

    assert len(await gateway.records()) == 2  # SMS-18, ours


async def test_a_reference_of_an_outgoing_task_is_a_duplicate_too(db: Database) -> None:
    gateway = Gateway(db)
    await db.put(owner(task("m-1", "sent", gateway_ref="g-1")))

    await gateway.exchange([sms()])

    assert len(await gateway.records()) == 1  # SMS-18


async def test_records_are_stored_in_the_order_of_the_request(db: Database) -> None:
    seen: list[str] = []

    async def process(docs: list[Doc], translations: Translations) -> list[Row]:
        seen.extend(doc["sms_message"]["gateway_ref"] for doc in docs)
        return await db.bulk_docs(docs)

    await Gateway(db, process).exchange([sms("g-2"), sms("g-1"), sms("g-3"), sms("g-1")])

    assert seen == ["g-2", "g-1", "g-3"]


async def test_a_message_that_breaks_the_parser_is_kept_and_harms_no_other(db: Database) -> None:  # SMS-21, SMS-27
    class Broken(dict[str, Any]):
        """A form that cannot be read."""

        def get(self, *args: Any) -> Any:
            raise RuntimeError("broken")

    gateway = Gateway(db, forms={"BAD": Broken(), "REG": REG})

    await gateway.exchange([sms("g-1", "BAD 1"), sms("g-2")])

    records = {record["sms_message"]["gateway_ref"]: record for record in await gateway.records()}
    assert records["g-1"]["errors"][0]["code"] == "parse_error"  # SMS-21
    assert "form" not in records["g-1"]
    assert records["g-2"]["errors"] == []


async def test_records_that_cannot_be_saved_fail_the_request(db: Database) -> None:
    async def process(docs: list[Doc], translations: Translations) -> list[Row]:
        return [{"id": doc["_id"], "error": "forbidden", "reason": "no"} for doc in docs]

    with pytest.raises(DomainError, match="Failed saving all the new docs"):  # SMS-20
        await Gateway(db, process).exchange([sms()])


# --- updates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "state", "details"),
    [
        ({"status": "UNSENT"}, "received-by-gateway", None),
        ({"status": "PENDING"}, "forwarded-by-gateway", None),
        ({"status": "SENT"}, "sent", None),
        ({"status": "DELIVERED"}, "delivered", None),
        ({"status": "FAILED", "reason": "no credit"}, "failed", {"reason": "no credit"}),
        ({"status": "LOST"}, "unrecognised", {"gateway_status": "LOST"}),
        ({}, "unrecognised", {"gateway_status": None}),
    ],
)
async def test_a_status_becomes_a_state(db: Database, update: Doc, state: str, details: Doc | None) -> None:
    await db.put(owner(task("m-1", "forwarded-to-gateway")))

    await Gateway(db).exchange([], [{"id": "m-1", **update}])

    changed = await stored_task(db)
    assert (changed["state"], changed.get("state_details")) == (state, details)  # SMS-12, EP-SMS-5, MOD-31
    assert changed["state_history"][-1]["timestamp"] == "2031-02-03T08:00:00.000Z"


async def test_updates_of_one_message_apply_in_sequence(db: Database) -> None:
    await db.put(owner(task("m-0", "cleared"), task("m-1")))

    await Gateway(db).exchange([], [{"id": "m-1", "status": "PENDING"}, {"id": "m-1", "status": "SENT"}])

    states = [entry["state"] for entry in (await stored_task(db, 1))["state_history"]]
    assert states == ["pending", "forwarded-by-gateway", "sent"]  # SMS-13
    assert (await stored_task(db))["state"] == "cleared"


async def test_scheduled_messages_are_updated_too(db: Database) -> None:
    await db.put(owner(scheduled_tasks=[task("m-1")]))

    await Gateway(db).exchange([], [{"id": "m-1", "status": "SENT"}])

    assert (await db.get("r-1"))["scheduled_tasks"][0]["state"] == "sent"


async def test_unknown_ids_are_skipped(db: Database) -> None:
    await db.put(owner(task("m-1")))

    await Gateway(db).exchange(
        [], [{"id": "m-7", "status": "SENT"}, {"status": "SENT"}, 5, {"id": "m-1", "status": "SENT"}]
    )

    assert (await stored_task(db))["state"] == "sent"  # SMS-14


async def test_repeating_the_state_writes_no_revision(db: Database) -> None:
    await db.put(owner(task("m-1")))
    gateway = Gateway(db)
    update = {"id": "m-1", "status": "FAILED", "reason": "no credit"}
    await gateway.exchange([], [update])
    before = await db.get("r-1")

    await gateway.exchange([], [update])

    assert await db.get("r-1") == before  # SMS-14, EP-SMS-6


async def test_an_update_keeps_the_gateway_reference(db: Database) -> None:
    await db.put(owner(task("m-1", gateway_ref="ref")))

    await Gateway(db).exchange([], [{"id": "m-1", "status": "SENT"}])

    assert (await stored_task(db))["gateway_ref"] == "ref"  # EP-SMS-7, DIV-16


async def test_an_update_may_carry_only_the_gateway_reference(db: Database) -> None:
    await db.put(owner(task("m-1", gateway_ref="ref")))

    await Gateway(db).exchange(
        [], [{"gateway_ref": "ref", "status": "SENT"}, {"gateway_ref": "none", "status": "SENT"}]
    )

    assert (await stored_task(db))["state"] == "sent"  # SMS-16


class ContestedDatabase(Database):
    """A database in which somebody else writes each document first, a few times."""

    def __init__(self, db: Database, times: int) -> None:
        super().__init__(db.couch, db.name)
        self.times = times

    async def bulk_docs(self, docs: Sequence[Doc], *, new_edits: bool = True) -> list[Row]:
        if self.times and docs:
            self.times -= 1
            others = [{**doc, "touched": self.times} for doc in (await self.get_many(d["_id"] for d in docs)).values()]
            await super().bulk_docs(others)
        return await super().bulk_docs(docs, new_edits=new_edits)


async def test_conflicts_are_retried(db: Database) -> None:
    await db.put(owner(task("m-1")))

    await Gateway(ContestedDatabase(db, 3)).exchange([], [{"id": "m-1", "status": "SENT"}])

    assert (await stored_task(db))["state"] == "sent"  # SMS-15
    assert (await db.get("r-1"))["touched"] == 0


async def test_conflicts_without_end_fail_the_request(db: Database) -> None:
    await db.put(owner(task("m-1")))

    with pytest.raises(Conflict):  # SMS-15
        await Gateway(ContestedDatabase(db, 10)).exchange([], [{"id": "m-1", "status": "SENT"}])


# --- outgoing ---------------------------------------------------------------------------------------------------------


async def test_waiting_messages_are_given_and_marked(db: Database) -> None:
    await db.put(owner(task("m-1", to="0711000111"), task("m-2", "sent"), task("m-3", to="GATE")))

    messages = await Gateway(db).exchange()

    assert messages == [  # SMS-4, SMS-7, SMS-9, EP-SMS-8
        {"id": "m-1", "to": "+254711000111", "content": "text of m-1"},
        {"id": "m-3", "to": "GATE", "content": "text of m-3"},
    ]
    assert (await stored_task(db))["state"] == "forwarded-to-gateway"


async def test_messages_a_user_wrote_are_given_to_each_recipient(db: Database) -> None:  # MSG-15
    """As the web app stores them: a free message with one task for each recipient."""
    tasks = [task("m-1", to="+254711000111"), task("m-2", to="0722000222")]
    for each in tasks:
        each["messages"][0] |= {"from": "+254700000000", "sent_by": "clerk", "contact": {"_id": "p-asha"}}
    await db.put(owner(*tasks, form=None, kujua_message=True, sent_by="clerk", errors=[], **{"from": "+254700000000"}))

    assert [(each["id"], each["to"]) for each in await Gateway(db).exchange()] == [  # RCP-7
        ("m-1", "+254711000111"),
        ("m-2", "+254722000222"),
    ]


async def test_messages_come_by_due_time_and_at_most_25(db: Database) -> None:
    late = task("late", due="2032-01-01T00:00:00.000Z")
    early = [task(f"m-{n:02d}", timestamp=NOW_MS - n) for n in range(30)]
    await db.put(owner(late, *early))

    assert ids(await Gateway(db).exchange()) == [f"m-{n:02d}" for n in range(29, 4, -1)]  # SMS-8, EP-SMS-8
    assert "late" in ids(await Gateway(db).exchange())


@pytest.mark.parametrize(
    ("sms_settings", "given"),
    [({}, ["m-1"]), ({"outgoing_service": "medic-gateway"}, ["m-1"]), ({"outgoing_service": "africas-talking"}, [])],
)
async def test_other_services_disable_the_answer(db: Database, sms_settings: Doc, given: list[str]) -> None:
    await db.put(owner(task("m-1")))

    assert ids(await Gateway(db, sms=sms_settings).exchange()) == given  # SMS-6, EP-SMS-8


async def test_a_message_is_offered_until_the_gateway_reports(db: Database) -> None:
    await db.put(owner(task("m-1")))
    gateway = Gateway(db)
    await gateway.exchange()
    rev = (await db.get("r-1"))["_rev"]

    assert ids(await gateway.exchange()) == ["m-1"]  # SMS-10
    assert (await db.get("r-1"))["_rev"] == rev
    assert await gateway.exchange([], [{"id": "m-1", "status": "UNSENT"}]) == []


async def test_unacknowledged_messages_do_not_block_new_ones(db: Database) -> None:
    await db.put(owner(*(task(f"stuck-{n}", timestamp=1000 + n) for n in range(25))))
    gateway = Gateway(db)
    await gateway.exchange()
    await db.put({**owner(task("new")), "_id": "r-2"})

    offered = ids(await gateway.exchange())

    assert offered[0] == "new"  # SMS-11
    assert len(offered) == 25


async def test_a_message_nobody_takes_fails_in_the_end(db: Database) -> None:
    await db.put(owner(task("m-1", "forwarded-to-gateway"), task("m-2", "forwarded-to-gateway")))
    await db.put_local("sms-offers", {"offers": {"m-1": [20, NOW_MS], "m-2": [19, NOW_MS]}})
    gateway = Gateway(db)
    gateway.now = NOW + timedelta(minutes=59)

    assert await gateway.exchange() == []  # SMS-11
    gateway.now = NOW + timedelta(minutes=60)
    assert ids(await gateway.exchange()) == ["m-2"]
    failed = await stored_task(db)
    assert (failed["state"], failed["state_details"]) == ("failed", {"reason": "not acknowledged"})


async def test_old_messages_expire_when_so_configured(db: Database) -> None:
    await db.put(owner(task("old", timestamp=NOW_MS - 4 * 86_400_000), task("new", timestamp=NOW_MS)))

    assert ids(await Gateway(db, sms={"max_pending_age": "3 days"}).exchange()) == ["new"]  # TSK-4
    assert (await stored_task(db))["state_details"] == {"reason": "expired"}


async def test_a_message_cleared_meanwhile_is_not_given(db: Database) -> None:
    await db.put(owner(task("m-1"), task("m-2")))

    class Meddled(Database):
        """A database in which a task is cleared between the view and the document."""

        async def get_many(self, ids: Any) -> dict[str, Doc]:
            docs = await super().get_many(ids)
            for doc in docs.values():
                doc["tasks"][0]["state"] = "cleared"
            return docs

    assert ids(await Gateway(Meddled(db.couch, db.name)).exchange()) == ["m-2"]


async def test_tasks_without_a_message_do_not_disturb(db: Database) -> None:
    await db.put(owner({"state": "pending"}, {"state": "pending", "messages": [{"to": "1"}]}, task("m-1")))

    assert ids(await Gateway(db).exchange()) == ["m-1"]  # SMS-7


async def test_many_tasks_without_a_message_hold_back_none(db: Database) -> None:
    empty = [{"state": "pending", "timestamp": NOW_MS - 1, "messages": []} for _ in range(MOST_PENDING)]
    await db.bulk_docs([{**owner(*empty), "_id": "empty"}, owner(task("m-1"))])

    assert ids(await Gateway(db).exchange()) == ["m-1"]  # SMS-7, SMS-11


class CountingDatabase(Database):
    """A database that counts its requests."""

    calls = 0

    async def request(self, method: str, path: str = "", **options: Any) -> Any:
        self.calls += 1
        return await super().request(method, path, **options)


async def test_the_number_of_database_calls_does_not_grow(db: Database) -> None:
    await db.bulk_docs([{**owner(task(f"m-{n}")), "_id": f"r-{n}"} for n in range(100)])
    calls = []
    for size in (1, 60):
        counting = CountingDatabase(db.couch, db.name)
        messages = [sms(f"g-{size}-{n}") for n in range(size)]
        updates = [{"id": f"m-{n}", "status": "SENT"} for n in range(size)]
        await Gateway(counting).exchange(messages, updates)
        calls.append(counting.calls)

    assert calls[0] == calls[1] <= 12


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_offers_become_rarer() -> None:
    minute_ms, now_ms, offered, gaps = 60_000, 0, Offered(0, 0), []
    while not offered.is_over(now_ms):
        if offered.is_due(now_ms):
            gaps.append((now_ms - offered.last_ms) // minute_ms)
            offered = Offered(offered.count + 1, now_ms)
        now_ms += minute_ms

    assert gaps == [0, 1, 1, 1, 1, 1, 2, 4, 8, 16, 32, *[60] * 9]  # SMS-11
    assert len(gaps) == 20


def test_a_time_of_a_clock_that_was_ahead_keeps_nothing_back() -> None:
    assert Offered(10, last_ms=1_000_000_000).is_due(999_000_000)  # SMS-11


def offer(uuid: str, due_ms: int = 0) -> Offer:
    return Offer(uuid, "r", "+1", "text", due_ms)


def test_the_least_recently_offered_comes_first() -> None:
    ledger = Ledger({"a": Offered(1, 30), "b": Offered(1, 10), "c": Offered(1, 20)})

    chosen = ledger.next_offers([offer("new")], [offer("a"), offer("b"), offer("c"), offer("d", 5)], 40, 4)

    assert [each.uuid for each in chosen] == ["new", "d", "b", "c"]  # SMS-11


def test_the_ledger_forgets_what_was_acknowledged() -> None:
    ledger = Ledger({"a": Offered(1, 30), "b": Offered(1, 10)})

    assert ledger.after([offer("b")], [offer("b")], 50).as_offers() == {"b": [2, 50]}


# --- everything together ----------------------------------------------------------------------------------------------


async def test_the_full_exchange(db: Database, sentinel_db: Database) -> None:
    settings = Settings({"default_country_code": "254", "forms": {"REG": REG}, "transitions": {"update_clinics": True}})

    async def process(docs: list[Doc], translations: Translations) -> list[Row]:
        return await save_new(
            docs, db=db, sentinel_db=sentinel_db, settings=settings, translations=translations, now=lambda: NOW
        )

    await db.put(owner(task("m-9", "forwarded-by-gateway")))
    gateway = Gateway(db, process)
    post = ([sms()], [{"id": "m-9", "status": "SENT"}])

    first = await gateway.exchange(*post)
    second = await gateway.exchange(*post)

    record = await db.get(record_id("g-1"))
    assert record["errors"][0]["code"] == "sys.facility_not_found"  # 45 §12, full exchange
    assert (await stored_task(db))["state"] == "sent"
    assert (await db.get("r-1"))["_rev"].startswith("2-")
    assert first == second
    assert first[0]["to"] == "+254712345678"
    assert first[0]["content"].startswith("You have not been registered")
    assert record["tasks"][0]["state"] == "forwarded-to-gateway"
    assert len(await gateway.records()) == 2
