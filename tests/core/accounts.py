"""A district and its people, the users made in it, and the documents they are stored as."""

from __future__ import annotations

from typing import Any

from core.couch.client import Database, Doc
from core.new_users import create_user
from core.prepare import DEFAULT_SETTINGS
from core.settings import Settings
from core.users import users_db

NOW_MS = 1_709_280_000_000
SETTINGS = Settings(DEFAULT_SETTINGS)
DISTRICT = {"_id": "d-busia", "name": "Busia", "type": "district_hospital"}


def chw(name: str, **members: Any) -> Doc:
    return {"username": name, "password": "Green-boat-12", "roles": ["chw"], **members}


async def create(db: Database, body: Any, settings: Settings = SETTINGS) -> Doc:
    answer, _ = await create_user(db, settings, body, now_ms=NOW_MS)
    return answer


async def account_of(db: Database, name: str) -> Doc:
    return await users_db(db).get(f"org.couchdb.user:{name}")


async def profile_of(db: Database, name: str) -> Doc:
    return await db.get(f"org.couchdb.user:{name}")


async def doc_ids(db: Database) -> set[str]:
    return {row["id"] for row in await db.all_docs()}
