"""Make sure the databases exist and only those who should can read them (10 §0.1, 35 MOD-105)."""

from __future__ import annotations

import asyncio
from typing import Any

from core.config import Config
from core.couch.client import Couch

ADMINS_ONLY: dict[str, Any] = {
    "admins": {"names": [], "roles": ["_admin"]},
    "members": {"names": [], "roles": ["_admin"]},
}
# Every account may reach the main database: no member is named, and CouchDB itself refuses the anonymous.
EVERY_ACCOUNT: dict[str, Any] = {"admins": {"names": [], "roles": ["_admin"]}, "members": {"names": [], "roles": []}}

SIDE_DATABASES = ("sentinel", "logs", "users-meta", "vault")


async def ensure_databases(couch: Couch, config: Config) -> None:
    """Create what is missing and set the security object of what was created or is open to more than it should be."""
    wanted = {config.database: EVERY_ACCOUNT, "_users": None}
    wanted |= {config.db_name(suffix): ADMINS_ONLY for suffix in SIDE_DATABASES}
    await asyncio.gather(*(ensure_database(couch, name, security) for name, security in wanted.items()))


async def ensure_database(couch: Couch, name: str, security: dict[str, Any] | None) -> None:
    db = couch.db(name)
    await db.create()
    if security is not None and await db.request("GET", "/_security") != security:
        await db.request("PUT", "/_security", body=security)
