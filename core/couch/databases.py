"""Make sure the databases exist and only those who should can read them (10 §0.1, 35 MOD-105)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiocouch
import aiohttp

from core.config import Config
from core.couch.errors import from_network
from core.errors import DomainError

# CouchDB's own default, and what only administrators may reach.
ADMINS_ONLY: dict[str, Any] = {
    "admins": {"names": [], "roles": ["_admin"]},
    "members": {"names": [], "roles": ["_admin"]},
}
# Every account may reach the main database: no member is named, and the API refuses the anonymous.
EVERY_ACCOUNT: dict[str, Any] = {"admins": {"names": [], "roles": ["_admin"]}, "members": {"names": [], "roles": []}}

NOBODY_NAMED: dict[str, Any] = {"admins": {"names": [], "roles": []}, "members": {"names": [], "roles": []}}

SIDE_DATABASES = ("sentinel", "logs", "users-meta", "vault")
AUDIT_DATABASE = "audit"  # made where it is written


def database_names(config: Config) -> dict[str, str]:
    """The real database of each role in the bundle."""
    return {
        "medic": config.database,
        "users": "_users",
        **{role: config.db_name(role) for role in ("sentinel", "logs", "users-meta")},
    }


async def ensure_databases(config: Config) -> None:
    """Create what is missing, open the main database to every account and close the side ones to all but admins.

    A security object that an administrator has changed to something narrower is left alone.
    """
    name, password = config.couch_admin
    try:
        async with aiocouch.CouchDB(config.server_url, user=name, password=password) as server:
            await asyncio.gather(
                server.create("_users", exists_ok=True),
                ensure_database(server, config.database, EVERY_ACCOUNT, unless=ADMINS_ONLY),
                *(
                    ensure_database(server, config.db_name(suffix), ADMINS_ONLY, unless=EVERY_ACCOUNT)
                    for suffix in (*SIDE_DATABASES, *((AUDIT_DATABASE,) if config.audit else ()))
                ),
            )
    except aiohttp.ClientResponseError as error:
        raise DomainError(f"CouchDB answered {error.status} when the databases were made") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise from_network(error) from error


async def ensure_database(
    server: aiocouch.CouchDB, name: str, wanted: dict[str, Any], *, unless: dict[str, Any]
) -> None:
    """Create the database and give it the wanted security object if its own is empty, or the one it must not have."""
    db = await server.create(name, exists_ok=True)
    security = await db.security()
    if normalized(dict(security.items())) in (NOBODY_NAMED, unless):
        for member, value in wanted.items():
            security[member] = value
        await security.save()


def normalized(security: Mapping[str, Any]) -> dict[str, Any]:
    """The object with every list present: CouchDB leaves out what is empty."""
    return {
        group: {kind: list((security.get(group) or {}).get(kind) or []) for kind in ("names", "roles")}
        for group in ("admins", "members")
    }
