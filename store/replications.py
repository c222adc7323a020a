"""The replications of one store: those asked for at `_replicate`, and those that `_replicator` describes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from store import admission, reads
from store.changes import FeedParams, read_changes
from store.documents import parse_edit
from store.errors import BadRequest, NotFound, StoreError
from store.permissions import User
from store.replication_local import LocalPeer
from store.replication_peer import Peer, RemotePeer
from store.replication_request import Endpoint, ReplicationRequest, parse_request
from store.replicator import Progress, Replication
from store.service import Store

log = logging.getLogger(__name__)

_DATABASE = "_replicator"
_ADMIN = User(roles=("_admin",))
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_CHANGES_AT_ONCE = 500
_ENDED = frozenset({"completed", "failed"})
_WRITTEN_BY_US = (
    "_replication_id",
    "_replication_state",
    "_replication_state_time",
    "_replication_state_reason",
    "_replication_stats",
)


@dataclass
class Job:
    """A replication that runs, or waits to run again after a failure."""

    id: str
    request: ReplicationRequest
    user: User
    doc_id: str | None = None
    rev: str | None = None
    progress: Progress = field(default_factory=Progress)
    started_s: float = field(default_factory=time.time)
    error: str | None = None
    task: asyncio.Task[dict[str, Any]] | None = None


class Replications:
    """Starts, lists and stops replications; `follow` keeps to the documents of `_replicator`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._jobs: dict[str, Job] = {}  # by job id
        self._by_doc: dict[str, Job] = {}

    async def replicate(self, request: ReplicationRequest, user: User) -> dict[str, Any]:
        """Run a replication to its end, or start a continuous one; joins the same one when it runs already."""
        job_id = request.job_id(self._store.uuid)
        job = self._jobs.get(job_id)
        if job is None:
            job = self._start(Job(job_id, request, user))
        if request.continuous:
            return {"ok": True, "_local_id": job_id}
        assert job.task is not None
        await asyncio.wait((job.task,))
        if job.task.cancelled():
            raise StoreError("The replication was cancelled.", slug="replication_cancelled")
        return job.task.result()

    async def cancel(self, job_id: str) -> None:
        """Stop a replication; NotFound when none of this name runs."""
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound("missing")
        await self._stop(job)

    def job_id(self, request: ReplicationRequest) -> str:
        return request.job_id(self._store.uuid)

    def tasks(self) -> list[dict[str, Any]]:
        """The running replications as `_active_tasks` lists them; not those that wait after a failure."""
        return [_task(job) for job in self._jobs.values() if job.error is None]

    async def close(self) -> None:
        """Stop everything; checkpoints let the next start go on from here."""
        await asyncio.gather(*(self._stop(job) for job in tuple(self._jobs.values())))

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _start(self, job: Job) -> Job:
        self._jobs[job.id] = job
        work = self._keep_running(job) if job.request.continuous or job.doc_id else self._run(job)
        job.task = asyncio.create_task(work)
        job.task.add_done_callback(lambda task: self._ended(job))
        return job

    def _ended(self, job: Job) -> None:
        if self._jobs.get(job.id) is job:
            del self._jobs[job.id]
        if job.task is not None and not job.task.cancelled():
            job.task.exception()  # has been told to whoever waits for it, or logged

    async def _stop(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait((job.task,))

    async def _run(self, job: Job) -> dict[str, Any]:
        request = job.request
        source, target = self._peer(request.source, job.user), self._peer(request.target, job.user)
        try:
            replication = Replication(
                request, request.checkpoint_id(self._store.uuid), source, target, self._store.config.now
            )
            job.progress = replication.progress
            return await replication.run()
        finally:
            await asyncio.gather(source.close(), target.close())

    async def _keep_running(self, job: Job) -> dict[str, Any]:
        """Run again after every failure, later each time; a job of a document notes its end there."""
        pause_s = _FIRST_PAUSE_S
        while True:
            started_s = time.monotonic()
            job.error = None
            try:
                result = await self._run(job)
            except StoreError as error:
                job.error = f"{error.slug}: {error.reason}"
                log.warning("replication %s failed and is tried again: %s", job.id, job.error)
            except Exception:
                job.error = "unexpected failure"
                log.exception("replication %s failed and is tried again", job.id)
            else:
                if job.doc_id is not None:
                    await self._note(job.doc_id, job.rev, "completed", stats=_stats(job.progress))
                return result
            if time.monotonic() - started_s > _LONGEST_PAUSE_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _peer(self, endpoint: Endpoint, user: User) -> Peer:
        return LocalPeer(self._store, endpoint.name, user) if endpoint.name is not None else RemotePeer(endpoint)

    # --- documents of _replicator -------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Start, restart and stop replications as the documents of `_replicator` say. Runs until cancelled."""
        since = 0
        uuid = ""
        while True:
            try:
                async with self._store.databases.use(_DATABASE) as database:
                    if database.uuid != uuid:
                        since, uuid = 0, database.uuid
                    mark, start, until = database.mark, since, database.update_seq
                    changes = await database.read(
                        lambda conn, mark=mark, start=start, until=until: read_changes(  # type: ignore[misc]
                            conn, mark, FeedParams(needs_doc=True), start, until, _CHANGES_AT_ONCE
                        )
                    )
                    for change in changes:
                        since = change.seq
                        await self._consider(orjson.loads(change.docs[0]))
                    if not changes:
                        await database.news(since, None)
            except StoreError:  # the database is away
                await asyncio.sleep(_FIRST_PAUSE_S)
            except Exception:
                log.exception("a document of %s could not be followed", _DATABASE)

    async def _consider(self, doc: dict[str, Any]) -> None:
        doc_id = str(doc.get("_id", ""))
        if doc_id.startswith("_design/"):
            return
        running = self._by_doc.get(doc_id)
        if doc.get("_deleted") or doc.get("_replication_state") in _ENDED:
            if running is not None:
                del self._by_doc[doc_id]
                if doc.get("_rev") != running.rev:
                    await self._stop_unless_ended(running)
            return
        if running is not None:
            if running.rev == doc["_rev"]:
                return
            del self._by_doc[doc_id]
            await self._stop_unless_ended(running)
        try:
            request = parse_request({name: value for name, value in doc.items() if name not in _WRITTEN_BY_US})
            job = Job(request.job_id(self._store.uuid), request, _user_of(doc), doc_id, doc["_rev"])
            if job.id in self._jobs:
                raise BadRequest(f"Replication `{job.id}` is already running.")
        except StoreError as error:
            await self._note(doc_id, doc["_rev"], "failed", reason=error.reason)
            return
        self._by_doc[doc_id] = self._start(job)

    async def _stop_unless_ended(self, job: Job) -> None:
        if job.task is not None and not job.task.done():
            await self._stop(job)

    async def _note(
        self, doc_id: str, rev: str | None, state: str, *, reason: str | None = None, stats: Any = None
    ) -> None:
        """Write how a replication ended into its document, unless that has been changed meanwhile."""
        async with self._store.databases.use(_DATABASE) as database:
            found = reads.plain_winner(database.conn, doc_id)
            if found is None or found[0] != rev:
                return
            doc = {name: value for name, value in orjson.loads(found[1]).items() if name not in _WRITTEN_BY_US}
            doc["_replication_state"] = state
            doc["_replication_state_time"] = _iso(self._store.config.now())
            if reason is not None:
                doc["_replication_state_reason"] = reason
            if stats is not None:
                doc["_replication_stats"] = stats
            await admission.write(self._store, database, _ADMIN, [parse_edit(doc)])


def _user_of(doc: Mapping[str, Any]) -> User:
    """As whom local sides are read and written: `user_ctx`, else an administrator, who alone writes such documents."""
    context = doc.get("user_ctx")
    if context is None:
        return _ADMIN
    name, roles = (context.get("name"), context.get("roles", [])) if isinstance(context, dict) else (None, None)
    if not isinstance(name, str | None) or not isinstance(roles, list) or not all(isinstance(r, str) for r in roles):
        raise BadRequest("`user_ctx` must be an object with a `name` and a list of `roles`")
    return User(name, tuple(roles))


def _stats(progress: Progress) -> dict[str, Any]:
    counts = asdict(progress.counts)
    return {
        "revisions_checked": counts.pop("missing_checked"),
        "missing_revisions_found": counts.pop("missing_found"),
        **counts,
        "changes_pending": progress.pending,
        "checkpointed_source_seq": progress.checkpointed_seq,
    }


def _task(job: Job) -> dict[str, Any]:
    progress, request = job.progress, job.request
    return {
        "type": "replication",
        "node": "nonode@nohost",
        "pid": "<0.2.0>",
        "database": None if job.doc_id is None else _DATABASE,
        "doc_id": job.doc_id,
        "replication_id": job.id,
        "source": request.source.shown,
        "target": request.target.shown,
        "continuous": request.continuous,
        "user": job.user.name,
        "checkpoint_interval": request.checkpoint_interval_ms,
        "source_seq": progress.source_seq,
        "through_seq": progress.through_seq,
        **_stats(progress),
        "started_on": int(job.started_s),
        "updated_on": int(time.time()),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
