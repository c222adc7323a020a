"""Follow the purge databases into the access index: which documents are hidden from which set of roles (20 §8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from api.access.identity import identity_of
from api.access.writer import IndexWriter
from core.couch.client import Couch, Database
from core.errors import DomainError, NotFound
from core.purging import MARKER, purge_db_prefix

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0  # purging runs nightly, and get-deletes asks CouchDB itself
PAGE = 2000  # markers read and applied at once


async def follow_purges(
    couch: Couch, database: str, writer: IndexWriter, on_thread: Callable[..., Awaitable[Any]]
) -> None:
    """Keep the index up with every purge database of that main database, without end.

    `on_thread` runs a function of the writer where the writer may run.
    """
    while True:
        try:
            await apply_purges(couch, database, writer, on_thread)
        except DomainError as error:
            log.warning("purge databases: %s; trying again", error.message)
        await asyncio.sleep(LOOK_EVERY_S)


async def apply_purges(
    couch: Couch, database: str, writer: IndexWriter, on_thread: Callable[..., Awaitable[Any]]
) -> None:
    """Bring the index up to what the purge databases say now."""
    prefix = purge_db_prefix(database)
    names = {name for name in await couch.all_dbs() if name.startswith(prefix)}
    known: dict[str, tuple[str, str]] = await on_thread(writer.role_sets)
    for role_set in known.keys() - {name.removeprefix(prefix) for name in names}:
        await on_thread(writer.forget_role_set, role_set)
    for name in names:
        role_set = name.removeprefix(prefix)
        await apply_one(couch.db(name), role_set, known.get(role_set), writer, on_thread)


async def apply_one(
    db: Database,
    role_set: str,
    known: tuple[str, str] | None,
    writer: IndexWriter,
    on_thread: Callable[..., Awaitable[Any]],
) -> None:
    """Apply what is new in one purge database; `known` is its identity and how far it was read.

    One that was deleted and made again since is read from its beginning. One that is deleted meanwhile is forgotten at
    the next look.
    """
    try:
        identity = await identity_of(db)
    except NotFound:
        return
    if known is not None and known[0] != identity:
        await on_thread(writer.forget_role_set, role_set)
        known = None
    since = "0" if known is None else known[1]
    while True:
        try:
            page = await db.changes(since, limit=PAGE)
        except NotFound:
            return
        rows = [row for row in page["results"] if row["id"].startswith(MARKER)]
        marks = {row["id"].removeprefix(MARKER): not row.get("deleted") for row in rows}
        if marks or since == "0":
            await on_thread(writer.apply_marks, role_set, identity, marks, str(page["last_seq"]))
        if len(page["results"]) < PAGE:
            return
        since = str(page["last_seq"])
