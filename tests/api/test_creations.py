"""What a creation left that was cut off is taken back when the API starts (EP-USR-30)."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.config import Config
from core.couch.client import Couch, Database
from core.creations import ABANDONED_AFTER_MS, leave_note
from tests.conftest import basic, eventually

NOW_MS = 1_709_280_000_000
ORPHAN = {"_id": "orphan", "type": "health_center", "name": "Area", "reported_date": NOW_MS}


async def test_leftovers_are_taken_back_at_the_start(couch: Couch, config: Config, db: Database) -> None:
    await leave_note(db, [ORPHAN, {**ORPHAN, "_id": "never-stored"}], None, NOW_MS - ABANDONED_AFTER_MS)
    await db.put(ORPHAN)
    client: TestClient[Any, Any] = TestClient(TestServer(create_app(config)), headers=basic(*config.couch_admin))

    async with client:

        async def is_gone() -> bool:
            return await db.find("orphan") is None

        assert await eventually(is_gone)
