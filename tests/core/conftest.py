"""Fixtures of the domain's tests."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from core.couch.client import Database, Doc
from core.people import create_person
from core.places import create_place
from core.users import users_db
from tests.core.accounts import DISTRICT, NOW_MS, SETTINGS


@pytest.fixture
def utc() -> Iterator[None]:
    """The server's timezone is UTC, wherever the test runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
async def name(db: Database) -> AsyncIterator[str]:
    """A user name of the test's own, whose account is removed afterwards."""
    name = f"juma-{secrets.token_hex(4)}"
    yield name
    account = await users_db(db).find(f"org.couchdb.user:{name}")
    if account:
        await users_db(db).delete(account["_id"], account["_rev"])


@pytest.fixture
async def district(db: Database) -> Doc:
    """The district d-busia with the health center hc-kanga, its contact p-asha, and p-far of the district."""
    place = {"_id": "hc-kanga", "name": "Kanga", "type": "health_center", "parent": DISTRICT}
    await create_place(db, SETTINGS, {**place, "contact": {"_id": "p-asha", "name": "Asha"}}, now_ms=NOW_MS)
    await create_person(db, SETTINGS, {"_id": "p-far", "name": "Far", "place": "d-busia"}, now_ms=NOW_MS)
    return await db.get("d-busia")
