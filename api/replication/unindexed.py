"""Contacts that the access index has not met yet, by id or shortcode: what CouchDB itself knows of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from api.access.rules import Facts, Kind, facts_of
from core.couch.client import Database, Doc
from core.errors import DomainError

log = logging.getLogger(__name__)

MOST_READ = 1000  # changes read with their documents; further behind, only the latest


async def unindexed_contacts(db: Database, names: Collection[str], since: str, behind: int) -> list[Facts]:
    """The contacts that these names may mean, as CouchDB holds them now.

    By id; by shortcode among the changes after `since`, to which the index has come; and by the view of shortcodes as
    far as it is built, for an index that is far behind. Nobody waits for a view.
    """
    wanted = [name for name in names if not name.startswith("_")]
    if not wanted:
        return []
    by_id, recent, by_view = await asyncio.gather(
        db.get_many(wanted), changed_docs(db, since, behind), ids_by_shortcode(db, wanted)
    )
    known = by_id | recent
    known |= await db.get_many(each for each in by_view if each not in known)
    return [facts for facts in contacts_among(known) if facts.id in names or facts.shortcode in names]


def contacts_among(docs: Mapping[str, Doc]) -> Iterable[Facts]:
    return (facts for facts in map(facts_of, docs.values()) if facts.kind is Kind.CONTACT)


async def changed_docs(db: Database, since: str, behind: int) -> dict[str, Doc]:
    """The live documents that changed after `since`; the latest of them where they are very many."""
    params: dict[str, Any] = {"limit": MOST_READ, "include_docs": True}
    answer = await (db.changes(since, **params) if behind <= MOST_READ else db.changes(descending=True, **params))
    return {row["id"]: row["doc"] for row in answer["results"] if row.get("doc") and not row.get("deleted")}


async def ids_by_shortcode(db: Database, shortcodes: Iterable[str]) -> set[str]:
    keys = [["shortcode", each] for each in shortcodes]
    try:
        rows = await db.view("medic-client", "contacts_by_reference", keys=keys, update="false")
    except DomainError as error:
        log.info("shortcodes could not be looked up: %s", error.message)
        return set()
    return {row["id"] for row in rows}
