"""How far a deployment reaches: its users, contacts and reports in numbers (EP-IMP-1)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, TypeVar

from core.couch.client import Database, Doc
from core.errors import DomainError
from core.settings import Settings
from core.users import users_db

log = logging.getLogger(__name__)

T = TypeVar("T")


async def measure_impact(db: Database, settings: Settings) -> Doc:
    """`{users: {count}, contacts: {count, by_type}, reports: {count, by_form}}`, by reduced views alone.

    A part that cannot be counted is 0 and `[]`; the others are still told.
    """
    users, types, forms = await asyncio.gather(
        or_else(0, count_users(users_db(db))),
        or_else({}, counts(db, "contacts_by_type")),
        or_else({}, counts(db, "reports_by_form")),
    )
    contacts = {type_id: count for type_id, count in types.items() if settings.contact_types.get(type_id)}
    return {
        "users": {"count": users},
        "contacts": {"count": sum(contacts.values()), "by_type": listed("type", contacts)},
        "reports": {"count": sum(forms.values()), "by_form": listed("form", forms)},
    }


async def count_users(users: Database) -> int:
    """The documents of `_users` but for the design documents."""
    info, designs = await asyncio.gather(users.info(), users.all_docs(startkey="_design/", endkey="_design0"))
    return int(info["doc_count"]) - len(designs)


async def counts(db: Database, view: str) -> dict[str, int]:
    """The number of documents under each key of a view whose keys are `[name]`."""
    return {str(row["key"][0]): int(row["value"]) for row in await db.view("medic-client", view, group=True)}


def listed(name: str, found: dict[str, int]) -> list[dict[str, Any]]:
    return [{name: each, "count": count} for each, count in found.items()]


async def or_else(fallback: T, measure: Awaitable[T]) -> T:
    try:
        return await measure
    except DomainError as error:
        log.warning("impact: %s", error.message)
        return fallback
