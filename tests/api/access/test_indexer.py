"""The indexer follows a real feed; the index says what is in the database, whatever happened before it looked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest

from api.access import schema
from api.access.feed import Place
from api.access.identity import identity_of
from api.access.index import AccessIndex
from api.access.indexer import run_indexer
from api.access.rules import Kind, Scope, facts_of, names_of, visible
from api.access.writer import Entry, IndexWriter
from core.config import Config
from core.couch.client import Couch, Database
from core.errors import Unavailable
from tests.conftest import indexing

H1 = {"_id": "H1", "parent": {"_id": "D1"}}
SCOPE = Scope(user_id="org.couchdb.user:asha", facilities=("H1",), contact_id="A1")
CONTACTS = [
    {"_id": "H1", "type": "health_center", "parent": {"_id": "D1"}, "place_id": "70001"},
    {"_id": "C1", "type": "clinic", "parent": H1},
    {"_id": "C2", "type": "clinic", "parent": {"_id": "H2"}},
]


def visit(doc_id: str, subject: str) -> dict[str, Any]:
    return {"_id": doc_id, "type": "data_record", "form": "visit", "fields": {"patient_id": subject}}


@pytest.fixture
async def index(config: Config) -> AsyncIterator[AccessIndex]:
    index = AccessIndex(config.access_index)
    yield index
    await index.close()


async def ids(index: AccessIndex, db: Database, scope: Scope = SCOPE) -> set[str]:
    assert await index.catch_up(db, most_s=30) == 0
    everyones = {"settings", "messages-en", "_design/medic-client"}
    return {row["id"] for row in (await index.allowed(scope)).rows()} - everyones


async def test_index_follows_the_feed(indexer: Any, index: AccessIndex, db: Database) -> None:
    await db.bulk_docs([*CONTACTS, visit("R1", "C1"), visit("R2", "C2"), visit("R3", "70001")])

    assert await ids(index, db) == {"H1", "C1", "R1", "R3"}

    await db.put({**await db.get("C1"), "parent": {"_id": "H2"}})
    assert await ids(index, db) == {"H1", "R3"}


async def test_a_new_index_knows_what_deleted_documents_were(config: Config, index: AccessIndex, db: Database) -> None:
    await db.bulk_docs([*CONTACTS, visit("stub", "C1"), visit("foreign", "C2"), visit("whole", "C1")])
    for doc_id in ("stub", "foreign"):
        await db.delete(doc_id, (await db.get(doc_id))["_rev"])
    await db.put({**await db.get("whole"), "_deleted": True})

    stop = asyncio.Event()
    task = asyncio.create_task(run_indexer(config, stop))
    assert await ids(index, db) == {"H1", "C1"}
    found = await index.changes(SCOPE, Place.at(0), 1000, deletions=True)
    stop.set()
    await task

    assert {row.id for _, row in found.rows if row.deleted} == {"stub", "whole"}  # REPL-76


async def test_index_goes_on_where_it_was(config: Config, index: AccessIndex, db: Database) -> None:
    for number in range(2):
        await db.put(visit(f"R{number}", "C1"))
        stop = asyncio.Event()
        task = asyncio.create_task(run_indexer(config, stop))
        assert await index.catch_up(db, most_s=30) == 0
        state = await index.state()
        stop.set()
        await task

    facts = await index.stored_facts(["R0", "R1"])
    assert set(facts) == {"R0", "R1"}
    assert state.change == (await index.state()).change


async def test_a_removed_file_is_built_again(config: Config, indexer: Any, index: AccessIndex, db: Database) -> None:
    await db.bulk_docs([*CONTACTS, visit("R1", "C1")])
    assert "R1" in await ids(index, db)
    before = await index.state()

    for suffix in ("", "-wal", "-shm"):
        config.access_index.with_name(config.access_index.name + suffix).unlink(missing_ok=True)

    assert "R1" in await ids(index, db)
    assert (await index.state()).epoch != before.epoch


async def test_a_broken_file_is_built_again(config: Config, index: AccessIndex, db: Database) -> None:
    await db.put(visit("R1", "C1"))
    config.data.mkdir(exist_ok=True)
    config.access_index.write_bytes(b"this is no database, " * 1000)

    await run_until_caught_up(config, index, db)

    assert set(await index.stored_facts(["R1"])) == {"R1"}


async def test_a_second_indexer_stands_by_and_takes_over(config: Config, index: AccessIndex, db: Database) -> None:
    stops = [asyncio.Event(), asyncio.Event()]
    tasks = [asyncio.create_task(run_indexer(config, stops[0]))]
    assert await index.catch_up(db, most_s=30) == 0
    tasks.append(asyncio.create_task(run_indexer(config, stops[1])))
    before = await index.state()

    for stop, task in zip(stops, tasks, strict=True):
        await db.put(visit(f"R-{id(stop)}", "C1"))
        assert await index.catch_up(db, most_s=30) == 0
        stop.set()
        await task

    assert (await index.state()).change == before.change + 2
    assert (await index.state()).epoch == before.epoch


async def test_a_database_made_again_is_indexed_again(
    config: Config, couch: Couch, index: AccessIndex, db: Database
) -> None:
    await db.put(visit("old", "C1"))
    await run_until_caught_up(config, index, db)
    before = await index.state()
    await db.delete_database()
    await db.create()
    await db.put(visit("new", "C1"))

    await run_until_caught_up(config, index, db, known=before.identity)

    assert set(await index.stored_facts(["old", "new"])) == {"new"}
    assert (await index.state()).epoch != before.epoch


async def run_until_caught_up(config: Config, index: AccessIndex, db: Database, known: str = "") -> None:
    """Run the indexer until it has what is in the database, whose identity is not the `known` one."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_indexer(config, stop))
    while (await index.state()).identity == known:
        await index.watch.wait_past(0, 0.05)
    assert await index.catch_up(db, most_s=30) == 0
    stop.set()
    await task


async def test_without_an_index_readers_say_that_it_is_not_ready(config: Config) -> None:
    index = AccessIndex(config.access_index, ready_s=0.1)

    with pytest.raises(Unavailable):
        await index.state()
    await index.close()


async def test_catching_up_tells_how_far_behind_the_index_is(config: Config, index: AccessIndex, db: Database) -> None:
    await run_until_caught_up(config, index, db)
    await db.bulk_docs([visit(f"R{n}", "C1") for n in range(5)])

    assert await index.catch_up(db, most_s=0.05) == 5


async def test_names_with_odd_characters_are_kept_apart(indexer: Any, index: AccessIndex, db: Database) -> None:
    odd = ["a", "a\u0000b", "ä", "😀", "a'b", 'a"b', "a\\b", " ", "null", "1"]
    await db.bulk_docs([{"_id": "H1", "type": "health_center"}])
    await db.bulk_docs(
        [{"_id": f"P{n}", "type": "person", "parent": H1, "patient_id": code} for n, code in enumerate(odd)]
    )
    await db.bulk_docs([visit(f"R{n}", code) for n, code in enumerate([*odd, "a\u0000c", "b", "A"])])

    assert await ids(index, db) == {"H1", *(f"P{n}" for n in range(len(odd))), *(f"R{n}" for n in range(len(odd)))}
    report = facts_of(visit("new", "a\u0000c"))
    assert not visible(report, await index.context(SCOPE, names_of(report)))


async def test_malformed_documents_do_not_stop_the_index(indexer: Any, index: AccessIndex, db: Database) -> None:
    odd: list[Any] = [None, True, 0, 1.5, -1, "", "x", [], [1], {}, {"a": 1}, [[]], 10**18]
    docs: list[dict[str, Any]] = []
    for kind in ("data_record", "person", "task", "target", "clinic", {"x": 1}, 5):
        for value in odd:
            docs.append(
                {
                    "type": kind, "form": value, "contact": value, "parent": value, "fields": value, "errors": value,
                    "tasks": value, "patient_id": value, "place_id": value, "user": value, "owner": value,
                    "sms_message": value, "kujua_message": value,
                }
            )  # fmt: skip
            docs.append({"type": kind, "form": "x", "contact": {"_id": value, "parent": {"_id": value}}})
            docs.append({"type": kind, "kujua_message": True, "tasks": [{"messages": [{"contact": {"_id": value}}]}]})
            docs.append({"type": kind, "form": "x", "fields": {"patient_id": value, "needs_signoff": value}})
    rows = await db.bulk_docs([{**doc, "_id": f"odd{n}"} for n, doc in enumerate(docs)])
    assert all(row.get("ok") for row in rows)
    await db.bulk_docs(CONTACTS)

    assert {"H1", "C1"} <= await ids(index, db)


async def test_deep_chains_end_somewhere(indexer: Any, index: AccessIndex, db: Database) -> None:
    chain: dict[str, Any] = {"_id": "H1"}
    for level in range(150):
        chain = {"_id": f"level-{level}", "parent": chain}
    await db.bulk_docs([*CONTACTS, {"_id": "deep", "type": "person", "parent": chain}])

    assert await ids(index, db) == {"H1", "C1"}
    facts = await index.stored_facts(["deep"])
    assert facts["deep"].kind is Kind.CONTACT
    assert len(facts["deep"].chain) == 51


async def test_everybody_is_answered_while_the_index_is_locked(config: Config, index: AccessIndex) -> None:
    writer = schema.connect_writer(config.access_index)
    schema.create(writer, "test")
    writer.execute("PRAGMA journal_mode = DELETE")
    writer.execute("BEGIN EXCLUSIVE")  # which shuts out readers, as SQLite does for a moment when it repairs a file
    loop = asyncio.get_running_loop()

    others_turn = asyncio.Event()
    asked = asyncio.create_task(index.state())
    before_s = loop.time()
    loop.call_soon(others_turn.set)  # after the question was put for the first time
    await others_turn.wait()
    stalled_s = loop.time() - before_s
    still_asking = not asked.done()
    writer.execute("COMMIT")
    state = await asked
    writer.close()

    assert still_asking
    assert state.identity == "test"
    assert stalled_s < 2


async def test_shortcodes_of_several_contacts_are_counted(config: Config, index: AccessIndex, db: Database) -> None:
    # HYD-4
    people = [("a", "1"), ("b", "1"), ("c", "2"), ("d", "3"), ("gone", "3"), ("e", "4")]
    await db.bulk_docs([{"_id": each, "type": "person", "patient_id": code} for each, code in people])
    await db.bulk_docs([{"_id": "f", "type": "clinic", "place_id": 4}])
    await db.delete("gone", (await db.get("gone"))["_rev"])
    async with indexing(config):
        assert await index.catch_up(db, most_s=30) == 0

        assert await index.count_shared_shortcodes() == 2  # 1, and 4 of a person and a place


async def test_two_revisions_of_one_document_stand_for_no_other_document(
    config: Config, index: AccessIndex, db: Database
) -> None:
    with closing(IndexWriter.open(config.access_index, await identity_of(db))) as writer:
        seq = (await db.info())["update_seq"]
        writer.apply([], seq, 0)
        first = await db.put(CONTACTS[0])
        latest = await db.put({**CONTACTS[0], "_rev": first, "name": "Ilala"})
        await db.put(CONTACTS[1])
        goal = await index.goal(db)
        for rev in (first, latest):
            writer.apply([Entry("H1", rev, False, facts_of(CONTACTS[0], "H1"))], seq, 0)

        assert await index.reach(goal, most_s=0.0) == 1
