"""Process new documents before they are first stored, so that an SMS has its answer at once (40 TRN-11, TRN-12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from core.couch.client import Database, Row
from core.couch.errors import from_row
from core.documents import Doc
from core.errors import InvalidInput
from core.messages import DuplicateGuard
from core.settings import Settings
from core.translations import Translations
from core.uuids import uuid7
from sentinel.transitions.catalogue import Transitions, load, make_tools
from sentinel.transitions.change import Change
from sentinel.transitions.infodocs import read_infodocs, result_of, save_infodocs, started_at, unmark
from sentinel.transitions.run import carry_out, in_waves, storable, write

log = logging.getLogger(__name__)


async def save_new(
    docs: Sequence[Doc],
    *,
    db: Database,
    sentinel_db: Database,
    settings: Settings,
    translations: Translations,
    now: Callable[[], datetime],
    duplicates: DuplicateGuard | None = None,
    note_others: Callable[[Mapping[str, str]], object] = dict,
) -> list[Row]:
    """Run the synchronous transitions on new documents and store them: a row for each, as `_bulk_docs` gives them.

    Missing ids are assigned. A document that cannot be processed now, or that nothing changed, is stored as it was
    given, and the worker sees to it. Unavailable when CouchDB is away. Give one `duplicates` for all calls (MSG-8).
    `note_others` is told the revisions of other documents that were stored, such as new patients.
    """
    docs = [{**doc, "_id": doc.get("_id") or uuid7()} for doc in docs]
    if not docs:
        return []
    try:
        transitions = load(settings, make_tools(settings, translations, now, duplicates))
        guard = transitions.tools.messenger.duplicates
        infos, _ = await asyncio.gather(read_infodocs(sentinel_db, docs, now()), guard.pull(sentinel_db))
        changes = [Change(doc["_id"], doc, infos[doc["_id"]]) for doc in docs]
        waves = in_waves(changes, transitions.synchronous)
    except InvalidInput as error:
        log.warning("new documents are stored unprocessed: %s", error.message)
        return await write(db, docs)
    rows: dict[int, Row] = {}
    for wave in waves:
        for change, row in zip(wave, await save_wave(wave, transitions, db, sentinel_db), strict=True):
            rows[id(change)] = row
    note_others({doc_id: rev for change in changes for doc_id, rev in change.written.items()})
    await guard.push(sentinel_db)
    return [rows[id(change)] for change in changes]


async def save_wave(wave: Sequence[Change], transitions: Transitions, db: Database, sentinel_db: Database) -> list[Row]:
    """Other documents first, then the marked infodocs, the documents, and the infodocs with their results (INF-6)."""
    now = transitions.tools.now
    await carry_out(wave, transitions.synchronous, transitions.tools, db)
    docs = [storable(change) or change.original for change in wave]
    for change in wave:
        if change.failure is not None:
            log.warning("document %s is stored unprocessed: %s", change.id, change.failure)
    changed = [change for change in wave if change.is_changed]
    await save_infodocs(sentinel_db, [(change.info, started_at(now())) for change in changed])
    rows = await write(db, docs)
    edits = []
    for change, row in zip(wave, rows, strict=True):
        edit = result_of(change, now()) if change.failure is None and from_row(row) is None else None
        if edit is not None:
            edits.append((change.info, edit))
        elif change.is_changed:
            edits.append((change.info, unmark))
    await save_infodocs(sentinel_db, edits)
    return rows
