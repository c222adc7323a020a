"""Take a number of changes through the transitions together: hydrate, react, write what they made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from core.couch.client import Database, Row
from core.couch.errors import from_row
from core.documents import Doc
from core.errors import Conflict, DomainError
from core.hydration import hydrate
from core.lineage import minify
from core.shortcodes import Reserve, reserve_shortcodes
from sentinel.transitions.change import EVERYTHING, Change, LeaseLost, PutOff, Transition, copied, subject_order_keys
from sentinel.transitions.lookups import Lookups
from sentinel.transitions.rounds import Unanswered
from sentinel.transitions.tools import Tools

log = logging.getLogger(__name__)

# How often a change is repeated at once when another writer was faster with a document it creates or alters.
ATTEMPTS = 3

# CouchDB validates the documents of a request one after the other: several requests at once take a third of the time.
MOST_PARTS = 4
SMALLEST_PART = 50


def in_waves(changes: Iterable[Change], transitions: Sequence[Transition]) -> list[list[Change]]:
    """Changes that have nothing in common share a wave; those about the same contact keep their order over waves."""
    waves: list[list[Change]] = []
    last: dict[str, int] = {}
    first = 0
    for change in changes:
        keys = order_keys(change, transitions)
        if EVERYTHING in keys:
            wave = len(waves)
            first = wave + 1
        else:
            wave = max(first, *(last.get(key, -1) + 1 for key in keys))
        last.update(dict.fromkeys(keys, wave))
        if wave == len(waves):
            waves.append([])
        waves[wave].append(change)
    return waves


def order_keys(change: Change, transitions: Sequence[Transition]) -> set[str]:
    try:
        return {*subject_order_keys(change.doc), *(key for each in transitions for key in each.order_keys(change.doc))}
    except Exception:  # phones write documents of any shape: one must not keep its whole batch from being ordered
        log.exception("what %s is about cannot be read", change.id)
        return {change.id}


async def carry_out(
    changes: Sequence[Change],
    transitions: Sequence[Transition],
    tools: Tools,
    db: Database,
    *,
    may_write: Callable[[], None] = lambda: None,
    reserve: Reserve = reserve_shortcodes,
) -> None:
    """Run the transitions on one wave and store the other documents they made, but not the changed ones themselves.

    A change that could not be completed has its `failure`; Unavailable is raised when CouchDB is away. `may_write`
    raises when we must not write any more; `reserve` finds shortcodes.
    """
    pending = list(changes)
    for _ in range(ATTEMPTS):
        for change in pending:
            change.begin()
        await react(pending, transitions, tools, Lookups(db, tools.messenger.settings, may_write, reserve))
        may_write()
        await write_others(pending, db)
        pending = [change for change in pending if isinstance(change.failure, Conflict)]
        if not pending:
            return


async def react(changes: Sequence[Change], transitions: Sequence[Transition], tools: Tools, lookups: Lookups) -> None:
    """Hydrate all and take each through its transitions, in memory (TRN-7)."""
    await hydrate_changes(changes, lookups.db)
    hydrated = [change for change in changes if change.failure is None]
    failures = await lookups.rounds.run(through(change, transitions, tools, lookups) for change in hydrated)
    for change, failure in zip(hydrated, failures, strict=True):
        if failure is None or (isinstance(failure, Exception) and not concerns_all(failure)):
            change.failure = failure
        else:
            raise failure


async def hydrate_changes(changes: Sequence[Change], db: Database) -> None:
    """One document that cannot be hydrated fails alone."""
    copies = [copied(change.original) for change in changes]
    try:
        for change, doc in zip(changes, await hydrate(db, copies), strict=True):
            change.doc = doc
    except Exception as error:  # hydrated one by one, the document that causes it is found and fails alone
        if len(changes) == 1 and not concerns_all(error):
            log.exception("document %s cannot be hydrated", changes[0].id)
            changes[0].failure = error
        elif concerns_all(error):
            raise
        else:
            for change in changes:
                await hydrate_changes([change], db)


async def through(change: Change, transitions: Sequence[Transition], tools: Tools, lookups: Lookups) -> None:
    for transition in transitions:
        if not is_due(transition, change):
            continue
        try:
            if await transition.on_match(change, lookups):
                change.results[transition.name] = True
        except (Unanswered, PutOff):
            raise
        except Exception as error:  # a transition may fail in any way, the others go on (TRN-8); cancelling passes
            if concerns_all(error):
                raise
            note_error(change, transition, tools, error)


def is_due(transition: Transition, change: Change) -> bool:
    """Whether it has to run on this revision; a filter that throws did not match (TRN-5)."""
    if change.has_run_on_revision(transition.name):
        return False
    try:
        return transition.filter(change)
    except Exception:  # whatever a document of odd shape does to it
        log.exception("the filter of %s failed on %s", transition.name, change.id)
        return False


def note_error(change: Change, transition: Transition, tools: Tools, error: Exception) -> None:
    """Write the failure into the document; it is saved if the error says that something was changed (TRN-8).

    Otherwise the transition is tried again on its own: it has no entry in the infodoc, and all that went well has one.
    """
    log.error("transition %s failed on %s", transition.name, change.id, exc_info=error)
    text = f"Transition error on {transition.name}: {error}"
    tools.messenger.add_error(change.doc, {"code": f"{transition.name}_error", "message": text})
    if getattr(error, "changed", False):
        change.results[transition.name] = False
    else:
        change.thrown.append(text)


def concerns_all(error: Exception) -> bool:
    """Whether it is CouchDB that failed, or our right to write that ended, and not the document."""
    return isinstance(error, LeaseLost) or (isinstance(error, DomainError) and error.status >= 500)


async def write_others(changes: Sequence[Change], db: Database) -> None:
    """Store what the transitions made beside the changed documents; where that fails the change has to be repeated."""
    writers: dict[str, Change] = {}
    docs: list[Doc] = []
    for change in changes:
        if change.failure is not None:
            continue
        if not writers.keys().isdisjoint(change.others):
            change.failure = Conflict("another change of the same moment alters the same document")
            continue
        try:
            docs += [minify(doc) for doc in change.others.values()]
        except DomainError as error:
            change.failure = error
            continue
        writers.update(dict.fromkeys(change.others, change))
    for doc, row in zip(docs, await write(db, docs), strict=True):
        writer, failure = writers[doc["_id"]], from_row(row)
        if failure is not None:
            log.info("%s for %s: %s", doc["_id"], writer.id, failure.message)
            writer.failure = failure
            continue
        if not doc.get("_deleted"):
            writer.written[doc["_id"]] = row["rev"]
        if doc["_id"] in writer.created:
            writer.created[doc["_id"]] = {**writer.created[doc["_id"]], "_rev": row["rev"]}


def storable(change: Change) -> Doc | None:
    """The changed document as it is stored (TRN-7), None when nothing is to be stored or it cannot be."""
    if not change.is_changed:
        return None
    try:
        return minify(change.doc)
    except DomainError as error:
        change.failure = error
        return None


async def write(db: Database, docs: Sequence[Doc]) -> list[Row]:
    """A row for each document, as `_bulk_docs` gives them; one that spoils the whole request fails alone."""
    if len(docs) <= SMALLEST_PART:
        return await write_part(db, docs)
    size = max(SMALLEST_PART, -(-len(docs) // MOST_PARTS))
    parts = (docs[start : start + size] for start in range(0, len(docs), size))
    answers = await asyncio.gather(*(write_part(db, part) for part in parts), return_exceptions=True)
    rows: list[Row] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        rows += answer
    return rows


async def write_part(db: Database, docs: Sequence[Doc]) -> list[Row]:
    try:
        return await db.bulk_docs(docs)
    except DomainError as error:
        if concerns_all(error):
            raise
        if len(docs) == 1:
            return [{"id": docs[0]["_id"], "error": error.slug, "reason": error.message}]
        return [row for doc in docs for row in await write_part(db, [doc])]
