"""The audit database: who wrote what through the API (PROXY-16, MOD-95)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.audit import Audit, appended
from core.config import Config
from core.couch.client import Couch, Database
from core.couch.databases import ensure_databases
from tests.conftest import basic, eventually
from tests.sentinel.conftest import CHW_PHONE, DISTRICT, SETTINGS

Client = TestClient[Any, Any]


def now() -> datetime:
    return datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def audited(config: Config, couch: Couch) -> AsyncIterator[Client]:
    """The API with the audit switched on."""
    config = config.replace(audit=True)
    await ensure_databases(config)
    async with TestClient(TestServer(create_app(config, now)), headers=basic(*config.couch_admin)) as client:
        yield client


@pytest.fixture
def audit_db(couch: Couch, config: Config) -> Database:
    return couch.db(config.db_name("audit"))


async def history(audit_db: Database, doc_id: str, length: int) -> list[Any]:
    """The entries of a document, once there are that many."""

    async def found() -> Any:
        doc = await audit_db.find(doc_id)
        return doc and len(doc["history"]) >= length and doc["history"]

    entries: list[Any] = await eventually(found)
    return entries


async def test_each_write_is_an_entry(audited: Client, audit_db: Database, make_user: Any) -> None:
    officer = await make_user("officer", roles=["program_officer"])
    first = await audited.put("/medic/doc", json={"n": 1})
    rev = (await first.json())["rev"]
    second = await audited.put("/medic/doc", json={"_rev": rev, "n": 2}, headers=officer)
    bulk = await audited.post("/medic/_bulk_docs", json={"docs": [{"_id": "other"}, {"_id": "doc", "n": 3}]})
    old = {"new_edits": False, "docs": [{"_id": "synced", "_rev": "3-abc", "n": 1}]}
    synced = await audited.post("/medic/_bulk_docs", json=old)

    entry = {"user": "admin", "date": "2026-03-01T12:00:00.000Z", "service": "api"}
    entries = await history(audit_db, "doc", 2)
    assert entries == [
        {**entry, "rev": rev, "request_id": first.headers["X-Request-Id"]},
        {
            **entry,
            "rev": (await second.json())["rev"],
            "request_id": second.headers["X-Request-Id"],
            "user": officer.name,
        },
    ]
    [other] = await history(audit_db, "other", 1)
    assert other == {**entry, "rev": (await bulk.json())[0]["rev"], "request_id": bulk.headers["X-Request-Id"]}
    assert await history(audit_db, "synced", 1) == [
        {**entry, "rev": "3-abc", "request_id": synced.headers["X-Request-Id"]}
    ]


async def test_what_the_resources_write_is_an_entry_too(audited: Client, audit_db: Database, db: Database) -> None:
    made = await (await audited.post("/api/v1/people", json={"name": "Asha"})).json()

    [entry] = await history(audit_db, made["id"], 1)

    assert entry["rev"] == (await db.get(made["id"]))["_rev"]


async def test_a_patient_whom_a_message_registers_is_an_entry_too(  # 40 SEN-22
    audited: Client, audit_db: Database, db: Database
) -> None:
    await db.bulk_docs(DISTRICT)
    assert (await audited.put("/api/v1/settings", json=SETTINGS)).status == 200
    message = {"id": "g", "from": CHW_PHONE, "content": "PREG Asha 12"}
    posted = await audited.post("/api/sms", json={"messages": [message]})
    [reply] = (await posted.json())["messages"]
    assert reply["content"].startswith("Registered Asha")
    [patient] = [row["doc"] for row in await db.all_docs(include_docs=True) if row["doc"].get("source_id")]

    [entry] = await history(audit_db, patient["_id"], 1)
    assert (entry["rev"], entry["service"]) == (patient["_rev"], "api")
    assert entry["request_id"] == posted.headers["X-Request-Id"]


async def test_neither_deletions_nor_checkpoints_are_entries(audited: Client, audit_db: Database, db: Database) -> None:
    rev = await db.put({"_id": "gone"})
    assert (await audited.delete(f"/medic/gone?rev={rev}")).status == 200
    assert (await audited.put("/medic/_local/note", json={})).status == 201
    assert (await audited.put("/medic/last", json={})).status == 201

    await history(audit_db, "last", 1)
    assert [row["id"] for row in await audit_db.all_docs()] == ["last"]


async def test_only_administrators_read_it(audited: Client, audit_db: Database, make_user: Any) -> None:
    officer = await make_user("officer", roles=["program_officer"])

    assert (await audited.get(f"/{audit_db.name}/_all_docs", headers=officer)).status == 403  # 10 §0.1
    assert (await audited.get(f"/{audit_db.name}/_all_docs")).status == 200


async def test_writers_at_the_same_time_lose_no_entry(audited: Client, audit_db: Database, db: Database) -> None:
    writers = [Audit(audit_db, db, now, "api") for _ in range(3)]
    for number in range(12):
        writers[number % 3].note({"doc": f"{number}-x"}, request_id=str(number), user="asha")
    await asyncio.gather(*(writer.flush() for writer in writers))

    docs = [row["doc"] for row in await audit_db.all_docs(include_docs=True)]
    assert sorted(int(entry["request_id"]) for doc in docs for entry in doc["history"]) == list(range(12))


def test_a_full_history_is_moved_away() -> None:
    entries = [{"rev": f"{number}-x"} for number in range(1, 24)]

    doc, moved = appended({"_id": "doc", "_rev": "5-a", "history": entries[:4]}, entries[4:])

    assert doc == {"_id": "doc", "_rev": "5-a", "history": entries[20:]}
    assert moved == [
        {"_id": "doc:10-x", "history": entries[:10]},
        {"_id": "doc:20-x", "history": entries[10:20]},
    ]


async def test_it_is_off_unless_switched_on(client: Client, couch: Couch, audit_db: Database) -> None:
    assert (await client.put("/medic/doc", json={})).status == 201
    assert audit_db.name not in await couch.all_dbs()
