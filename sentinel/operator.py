"""Requests of operators to the active worker, as a document: they reach it on whatever machine it runs (40 SEN-17)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

from core.couch.client import Database
from core.documents import Doc
from core.errors import Conflict
from sentinel.controls import Controls
from sentinel.transitions.notes import info_id, save_notes

log = logging.getLogger(__name__)

NAME = "operator"
BATCH_SIZE = 200


class Operator:
    """`_local/operator` of the sentinel database: `{paused, jobs, replay}`. `jobs` is a number that grows with each
    request to run all jobs, `replay` the ids of documents to be processed again."""

    def __init__(
        self, sentinel_db: Database, controls: Controls, replay: Callable[[Sequence[str]], Awaitable[None]]
    ) -> None:
        self.db = sentinel_db
        self.controls = controls
        self.replay = replay
        self._seen: Doc | None = None

    async def obey(self) -> None:
        """Do what was asked for since the last time."""
        doc = await self.db.get_local(NAME) or {}
        seen, self._seen = self._seen, doc
        if seen is not None and seen.get("_rev") == doc.get("_rev"):
            return
        # At the beginning a signal may have come before us: only a pause that was asked for by document is adopted.
        paused, before = bool(doc.get("paused")), bool((seen or {}).get("paused"))
        if paused != before and paused != self.controls.paused:
            self.controls.toggle()
        if seen is not None and doc.get("jobs") != seen.get("jobs"):
            self.controls.run_jobs()
        ids = waiting(doc)
        for start in range(0, len(ids), BATCH_SIZE):
            batch = ids[start : start + BATCH_SIZE]
            log.info("processing %d documents again", len(batch))
            await self.replay(batch)
            await ask(self.db, lambda request, batch=batch: {**request, "replay": without(request, batch)})  # type: ignore[misc]


async def ask(sentinel_db: Database, change: Callable[[Doc], Doc]) -> None:
    """Alter the request; written again when the worker or another operator was faster."""
    for _ in range(20):
        doc = await sentinel_db.get_local(NAME) or {}
        try:
            await sentinel_db.put_local(NAME, change(doc))
            return
        except Conflict:
            continue
    raise Conflict("the requests to the worker are being changed all the time")


async def ask_to_pause(sentinel_db: Database, paused: bool) -> None:
    """Have changes wait, or processed again. Timed work goes on."""
    await ask(sentinel_db, lambda doc: {**doc, "paused": paused})


async def ask_for_jobs(sentinel_db: Database) -> None:
    """Have all timed work done now."""
    await ask(sentinel_db, lambda doc: {**doc, "jobs": int(doc.get("jobs") or 0) + 1})


async def ask_to_replay(sentinel_db: Database, ids: Iterable[str], *, forget: bool) -> None:
    """Have the documents processed again. `forget`: as if no transition had ever run on them."""
    wanted = list(dict.fromkeys(ids))
    if forget:
        known = await sentinel_db.get_many(info_id(doc_id) for doc_id in wanted)
        await save_notes(sentinel_db, dict.fromkeys(known, forget_transitions))
    await ask(sentinel_db, lambda doc: {**doc, "replay": list(dict.fromkeys([*waiting(doc), *wanted]))})


def forget_transitions(info: Doc) -> None:
    info["transitions"] = {}


def waiting(doc: Doc) -> list[str]:
    """The ids of the documents that are still to be processed again."""
    ids = doc.get("replay")
    return [doc_id for doc_id in ids if isinstance(doc_id, str)] if isinstance(ids, list) else []


def without(doc: Doc, done: Sequence[str]) -> list[str]:
    return [doc_id for doc_id in waiting(doc) if doc_id not in set(done)]
