"""The documents that the documentation's examples speak of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Couch, Database

AREA_PARENT = "1d83f2b4a27eceb40df9e9f9ad06d137"
PATIENT = {"id": "patient", "person": True, "parents": ["health_center"]}
CHP = {"id": "chp", "person": True, "parents": ["health_center"]}


@pytest.fixture
async def contacts(client: TestClient[Any, Any], db: Database) -> None:
    """The types `patient` and `chp`, the place 1d83… and the person 71df… of the examples."""
    assert (await client.put("/api/v1/settings", json={"contact_types": [PATIENT, CHP]})).status == 200
    await db.put({"_id": "branch", "type": "district_hospital", "name": "CHP Branch One"})
    await db.put({"_id": AREA_PARENT, "type": "health_center", "name": "Area", "parent": {"_id": "branch"}})
    for person_id in ("71df9d25ed6732ea3b4435862510ef8e", "71df9d25ed6732ea3b4435862505f7a9"):
        await db.put({"_id": person_id, "type": "person", "name": "Paul", "parent": {"_id": "branch"}})


@pytest.fixture
async def no_mary(couch: Couch) -> AsyncIterator[None]:
    """Before and after, nobody is called mary or demo."""

    async def remove() -> None:
        users = couch.db("_users")
        for account in (await users.get_many(["org.couchdb.user:mary", "org.couchdb.user:demo"])).values():
            await users.delete(account["_id"], account["_rev"])

    await remove()
    yield
    await remove()
