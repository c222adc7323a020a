"""The district of 20 §14: D1 > H1 > C1 > P1, with the health worker asha, her supervisor sue, and their documents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.keys import ACCESS, SETTINGS
from core.couch.client import Database
from tests.conftest import Background

JSON = {"Accept": "application/json", "Content-Type": "application/json"}

Doc = dict[str, Any]
D1 = {"_id": "D1"}
H1 = {"_id": "H1", "parent": D1}
C1 = {"_id": "C1", "parent": H1}
A1 = {"_id": "A1", "parent": H1}
S1 = {"_id": "S1", "parent": D1}


def report(doc_id: str, contact: Doc, **fields: Any) -> Doc:
    return {"_id": doc_id, "type": "data_record", "form": "visit", "contact": contact, "fields": fields}


def clinic(doc_id: str, parent: Doc, place_id: str) -> Doc:
    return {"_id": doc_id, "type": "clinic", "name": doc_id, "parent": parent, "place_id": place_id}


CONTACTS: list[Doc] = [
    {"_id": "D1", "type": "district_hospital", "place_id": "90001"},
    {"_id": "H1", "type": "health_center", "place_id": "70001", "parent": D1},
    {"_id": "C1", "type": "clinic", "place_id": "50001", "parent": H1},
    {"_id": "P1", "type": "person", "patient_id": "60001", "parent": C1},
    {"_id": "A1", "type": "person", "parent": H1},
    {"_id": "S1", "type": "person", "parent": D1},
    {"_id": "H2", "type": "health_center", "place_id": "70002", "parent": D1},
    {"_id": "C2", "type": "clinic", "place_id": "50002", "parent": {"_id": "H2", "parent": D1}},
]


@dataclass
class District:
    """The prepared deployment with the users' login headers."""

    client: TestClient[Any, Any]
    db: Database
    asha: Any
    sue: Any
    indexer: Background

    async def level(self) -> None:
        """Wait until the index, while it is kept, has all that a test wrote straight into CouchDB."""
        if not self.indexer.stop.is_set():
            assert await self.client.app[ACCESS].catch_up(self.db, most_s=30) == 0

    async def get(self, path: str, user: Any = None, **options: Any) -> Any:
        return await self.call("GET", path, user, **options)

    async def call(self, method: str, path: str, user: Any = None, **options: Any) -> Any:
        """The response to a request below the main database, its body read."""
        await self.level()
        response = await self.client.request(
            method, f"/medic/{path}", headers={**JSON, **(user or self.asha)}, **options
        )
        await response.read()
        return response

    async def json(self, method: str, path: str, user: Any = None, **options: Any) -> Any:
        response = await self.call(method, path, user, **options)
        return await response.json(content_type=None)

    async def get_ids(self, user: Any = None) -> Doc:
        await self.level()
        response = await self.client.get("/api/v1/replication/get-ids", headers=user or self.asha)
        assert response.status == 200, await response.text()
        found: Doc = await response.json()
        return found

    async def settings_arrived(self, rev: str) -> None:
        """Wait until the worker works by that revision of the settings."""
        arrived = asyncio.Event()
        watch = self.client.app[SETTINGS]
        watch.on_change(lambda settings: arrived.set() if settings.rev == rev else None)
        if watch.current.rev != rev:
            await asyncio.wait_for(arrived.wait(), 30)

    def user_id(self, user: Any) -> str:
        return f"org.couchdb.user:{user.name}"


@pytest.fixture
async def district(
    client: TestClient[Any, Any], db: Database, make_user: Callable[..., Awaitable[Any]], indexer: Background
) -> District:
    settings = await db.get("settings")
    depth = {"role": "chw_supervisor", "depth": 1, "report_depth": 1}
    settings["settings"]["replication_depth"] = [depth]
    rev = await db.put(settings)
    asha = await make_user("asha", roles=["chw"], facility_id="H1", contact_id="A1")
    sue = await make_user("sue", roles=["chw_supervisor"], facility_id="D1", contact_id="S1")
    documents = [
        *CONTACTS,
        report("R1", A1, patient_id="60001"),
        report("R2", A1, patient_id="60001", needs_signoff=True),
        report("R3", S1, place_id="70001", private=True),
        report("R4", A1, place_id="70001", private=True),
        report("R5", A1, patient_id="S1"),
        report("R6", S1, patient_id="C2"),
        {"_id": "T1", "type": "task", "user": f"org.couchdb.user:{asha.name}"},
        {"_id": "T2", "type": "task", "user": "org.couchdb.user:somebody"},
        {"_id": "G1", "type": "target", "owner": "A1"},
        {"_id": "M1", "type": "data_record", "sms_message": {"message": "hello"}},
        {"_id": "N1", "name": "a document without type"},
    ]
    rows = await db.bulk_docs(documents)
    assert all(row.get("ok") for row in rows), rows
    district = District(client, db, asha, sue, indexer)
    await district.level()
    await district.settings_arrived(rev)
    return district
