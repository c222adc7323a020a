"""One replication: reads the changes of its source, finds what its target lacks, copies that, and keeps checkpoints.

Both sides hold a checkpoint in `_local/<id>`, a history of sessions. Where the two histories last agree, the next
session goes on; so a replication that was cut off resumes, and one whose target was replaced begins anew.
Source: docs.couchdb.org, CouchDB Replication Protocol.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from typing import Any

import orjson

from store.errors import StoreError
from store.replication_peer import Missing, Page, Peer
from store.replication_request import ReplicationRequest

log = logging.getLogger(__name__)

_VERSION = 4  # of CouchDB's replication ids
_SESSIONS_KEPT = 50
_WRITE_AT_ONCE_BYTES = 4 * 1024 * 1024
_WRITE_AT_ONCE_DOCS = 500
_PAGES_AHEAD = 1


@dataclass
class Counts:
    """What a session did, in the words of CouchDB's history."""

    missing_checked: int = 0
    missing_found: int = 0
    docs_read: int = 0
    docs_written: int = 0
    doc_write_failures: int = 0


@dataclass
class Progress:
    """Where a running replication is, for `_active_tasks`."""

    source_seq: Any = 0
    through_seq: Any = 0
    checkpointed_seq: Any = 0
    pending: int | None = None
    counts: Counts = field(default_factory=Counts)


class Replication:
    """A replication between two open peers."""

    def __init__(
        self,
        request: ReplicationRequest,
        checkpoint_id: str,
        source: Peer,
        target: Peer,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.progress = Progress()
        self._request = request
        self._checkpoint_id = f"_local/{checkpoint_id}"
        self._source = source
        self._target = target
        self._now = now
        self._session_id = uuid.uuid4().hex
        self._started = formatdate(now(), usegmt=True)
        self._history: list[dict[str, Any]] = []
        self._start_seq: Any = 0

    async def run(self) -> dict[str, Any]:
        """Replicate to the end of the source, or for ever when it is continuous; the answer of `_replicate`."""
        request = self._request
        await self._source.open(None)
        await self._target.open(request.create_target_params if request.create_target else None)
        before = await self._read_checkpoints()
        progress = self.progress
        progress.through_seq = progress.checkpointed_seq = self._start_seq
        # A failed copy is raised out of the reader, too: neither goes on without the other.
        pages: asyncio.Queue[Page | None] = asyncio.Queue(_PAGES_AHEAD)
        reading = asyncio.create_task(self._read_pages(pages))
        noting = asyncio.create_task(self._checkpoint_regularly())
        try:
            while (page := await self._next_page(pages, reading)) is not None:
                await self._copy(page)
                progress.through_seq, progress.pending = page.last_seq, page.pending
        finally:
            for task in (reading, noting):
                task.cancel()
            await asyncio.gather(reading, noting, return_exceptions=True)
        return await self._finish(before)

    async def _read_pages(self, pages: asyncio.Queue[Page | None]) -> None:
        """Read ahead while the page before is being copied; None at the end."""
        since, wait = self._start_seq, False
        request = self._request
        while True:
            page = await self._source.changes(since, request.batch_size, request.filter, wait=wait)
            self.progress.source_seq = page.last_seq
            ended = not page.leaves and not page.pending
            if page.leaves or page.last_seq != since:
                await pages.put(page)
            since = page.last_seq
            if ended and not request.continuous:
                await pages.put(None)
                return
            wait = request.continuous and ended

    async def _next_page(self, pages: asyncio.Queue[Page | None], reading: asyncio.Task[None]) -> Page | None:
        getting = asyncio.create_task(pages.get())
        try:
            await asyncio.wait((getting, reading), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done() and pages.empty():
                reading.result()  # raises what ended the reader
            return await getting
        finally:
            getting.cancel()

    async def _copy(self, page: Page) -> None:
        """Bring the target what it lacks of one page."""
        counts = self.progress.counts
        counts.missing_checked += sum(len(revs) for _, revs in page.leaves)
        missing = await self._target.revs_diff(page.leaves) if page.leaves else []
        counts.missing_found += sum(len(each.revs) for each in missing)
        leaning = await self._copy_missing(missing)
        await self._copy_missing([each._replace(ancestors=[]) for each in leaning])

    async def _copy_missing(self, missing: list[Missing]) -> list[Missing]:
        """Copy revisions; those that were refused for the attachments they lean on."""
        if not missing:
            return []
        counts = self.progress.counts
        by_id = {each.id: each for each in missing}
        leaning: dict[str, Missing] = {}
        async with aclosing(self._batches(missing)) as batches:
            async for docs in batches:
                counts.docs_read += len(docs)
                refusals = await self._target.write(docs)
                counts.docs_written += len(docs) - len(refusals)
                for refusal in refusals:
                    if refusal.error == "missing_stub" and refusal.id in by_id and by_id[refusal.id].ancestors:
                        leaning[refusal.id] = by_id[refusal.id]
                    else:
                        counts.doc_write_failures += 1
        return list(leaning.values())

    async def _batches(self, missing: list[Missing]) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Documents in groups that fit into memory and one request."""
        group: list[dict[str, Any]] = []
        size = 0
        async with aclosing(self._source.read(missing)) as docs:
            async for doc in docs:
                group.append(doc)
                size += len(orjson.dumps(doc))
                if size >= _WRITE_AT_ONCE_BYTES or len(group) >= _WRITE_AT_ONCE_DOCS:
                    yield group
                    group, size = [], 0
        if group:
            yield group

    # --- checkpoints --------------------------------------------------------------------------------------------------

    async def _read_checkpoints(self) -> dict[str, Any] | None:
        """Set where to start; the checkpoint both sides have now, None without one."""
        request = self._request
        if request.since is not None:
            self._start_seq = request.since
        if not request.use_checkpoints:
            return None
        source = await self._source.get_local(self._checkpoint_id)
        target = await self._target.get_local(self._checkpoint_id)
        if source is None or target is None:
            return None
        seq = common_seq(source, target)
        if seq is None:
            return None
        self._history = list(source.get("history", []))
        if request.since is None:
            self._start_seq = seq
        return target if source.get("session_id") == target.get("session_id") else None

    async def _checkpoint_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._request.checkpoint_interval_ms / 1000)
            try:
                await self._checkpoint(final=False)
            except StoreError as error:  # the next one, or the last one, may succeed
                log.warning("replication %s: no checkpoint: %s", self._checkpoint_id, error.reason)

    async def _checkpoint(self, *, final: bool) -> None:
        """Note on both sides how far this session has come."""
        seq = self.progress.through_seq
        if not self._request.use_checkpoints or (seq == self.progress.checkpointed_seq and not final):
            return
        doc = {"_id": self._checkpoint_id, **self._summary()}
        await self._target.put_local(doc)
        await self._source.put_local(doc)
        self.progress.checkpointed_seq = seq

    def _summary(self) -> dict[str, Any]:
        seq = self.progress.through_seq
        session = {
            "session_id": self._session_id,
            "start_time": self._started,
            "end_time": formatdate(self._now(), usegmt=True),
            "start_last_seq": self._start_seq,
            "end_last_seq": seq,
            "recorded_seq": seq,
            **asdict(self.progress.counts),
        }
        return {
            "session_id": self._session_id,
            "source_last_seq": seq,
            "replication_id_version": _VERSION,
            "history": [session, *self._history][:_SESSIONS_KEPT],
        }

    async def _finish(self, before: dict[str, Any] | None) -> dict[str, Any]:
        counts = self.progress.counts
        if before is not None and self.progress.through_seq == self._start_seq and not counts.missing_checked:
            shown = {name: value for name, value in before.items() if not name.startswith("_")}
            return {"ok": True, "no_changes": True, **shown}
        if self.progress.checkpointed_seq != self.progress.through_seq or before is None:
            await self._checkpoint(final=True)
        return {"ok": True, **self._summary()}


def common_seq(source: dict[str, Any], target: dict[str, Any]) -> Any:
    """The newest seq that both checkpoints have recorded, None when they share no session."""
    if source.get("session_id") == target.get("session_id"):
        return source.get("source_last_seq")
    sessions = {each.get("session_id"): each for each in target.get("history", []) if isinstance(each, dict)}
    for each in source.get("history", []):
        if isinstance(each, dict) and each.get("session_id") in sessions:
            return each.get("recorded_seq")
    return None
