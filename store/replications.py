"""The replications of one store: those asked for at `_replicate`, and those that `_replicator` describes."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import Any

import orjson

from store import admission, reads
from store.changes import FeedParams, read_changes
from store.documents import parse_edit
from store.errors import BadRequest, NotFound, StoreError
from store.permissions import User
from store.replication_local import LocalPeer
from store.replication_peer import Peer, RemotePeer
from store.replication_request import Endpoint, ReplicationRequest
from store.replication_status import ENDED, Job, active_task, iso, scheduler_doc, scheduler_job, stats
from store.replicator import Replication
from store.replicator_docs import DATABASE, REPLICATOR, WRITTEN_BY_US, read_doc
from store.service import Store

log = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 300.0
_CHANGES_AT_ONCE = 500


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
            job = self._start(Job(job_id, request, user, self._store.config.now()))
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
        node, now_s = self._store.node, self._store.config.now()
        return [active_task(job, node, now_s) for job in self._jobs.values() if job.error is None]

    def scheduler_jobs(self) -> list[dict[str, Any]]:
        """Every replication as `_scheduler/jobs` lists it, by id."""
        return [scheduler_job(self._jobs[job_id], self._store.node) for job_id in sorted(self._jobs)]

    async def scheduler_docs(self, doc_id: str | None = None) -> list[dict[str, Any]]:
        """The documents of `_replicator` as `_scheduler/docs` lists them, by id; with `doc_id` that one at most."""
        wanted, values = ("AND d.id = ?", (doc_id,)) if doc_id is not None else ("", ())

        def read(conn: sqlite3.Connection) -> list[dict[str, Any]]:
            rows = conn.execute(
                "SELECT d.id, b.body FROM docs d JOIN bodies b ON b.num = d.body"
                f" WHERE d.deleted = 0 AND substr(d.id, 1, 8) <> '_design/' {wanted} ORDER BY d.id",
                values,
            )
            return [{**orjson.loads(body), "_id": found_id} for found_id, body in rows]

        async with self._store.databases.use(DATABASE) as database:
            docs = await database.read(read)
        return [scheduler_doc(doc, self._job_of(doc["_id"]), self._store.node) for doc in docs]

    def _job_of(self, doc_id: str) -> Job | None:
        job = self._by_doc.get(doc_id)
        return job if job is not None and self._jobs.get(job.id) is job else None

    async def close(self) -> None:
        """Stop everything; checkpoints let the next start go on from here."""
        await asyncio.gather(*(self._stop(job) for job in tuple(self._jobs.values())))

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _start(self, job: Job) -> Job:
        job.note("added", job.started_s)
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
            job.note("started", self._store.config.now())
            return await replication.run()
        finally:
            await asyncio.gather(source.close(), target.close())

    async def _keep_running(self, job: Job) -> dict[str, Any]:
        """Run again after every failure, later each time; a job of a document notes its end there."""
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while True:
            started_s = loop.time()
            try:
                result = await self._run(job)
                if job.doc_id is not None:
                    done = {**stats(job.progress), "start_time": iso(job.started_s)}
                    await self._note(job.doc_id, job.rev, "completed", done=done)
                return result
            except StoreError as error:
                failure = f"{error.slug}: {error.reason}"
                log.warning("replication %s failed and is tried again: %s", job.id, failure)
            except Exception:  # a bug: told with its traceback, and no reason to give up replicating for ever
                failure = "unexpected failure"
                log.exception("replication %s failed and is tried again", job.id)
            if loop.time() - started_s > _LONGEST_PAUSE_S:
                pause_s, job.error_count = _FIRST_PAUSE_S, 0
            job.note("crashed", self._store.config.now(), failure)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _peer(self, endpoint: Endpoint, user: User) -> Peer:
        return LocalPeer(self._store, endpoint.name, user) if endpoint.name is not None else RemotePeer(endpoint)

    # --- documents of _replicator -------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Start, restart and stop replications as the documents of `_replicator` say. Runs until cancelled."""
        since = 0
        uuid = ""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                async with self._store.databases.use(DATABASE) as database:
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
                pause_s = _FIRST_PAUSE_S
            except StoreError:  # the database is away, or the disk full
                await asyncio.sleep(_FIRST_PAUSE_S)
            except Exception:  # a bug over one document, `since` is behind it, or a file that cannot be read
                log.exception("%s could not be followed", DATABASE)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _consider(self, doc: dict[str, Any]) -> None:
        doc_id = str(doc.get("_id", ""))
        if doc_id.startswith("_design/"):
            return
        running = self._by_doc.get(doc_id)
        if doc.get("_deleted") or doc.get("_replication_state") in ENDED:
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
            request, user = read_doc(doc)
            job_id = request.job_id(self._store.uuid)
            job = Job(job_id, request, user, self._store.config.now(), doc_id, doc["_rev"])
            if (other := self._jobs.get(job_id)) is not None:
                raise BadRequest(_already_started(job, other))
        except StoreError as error:
            await self._note(doc_id, doc["_rev"], "failed", reason=error.reason)
            return
        self._by_doc[doc_id] = self._start(job)

    async def _stop_unless_ended(self, job: Job) -> None:
        if job.task is not None and not job.task.done():
            await self._stop(job)

    async def _note(
        self, doc_id: str, rev: str | None, state: str, *, reason: str | None = None, done: Any = None
    ) -> None:
        """Write how a replication ended into its document, unless that has been changed meanwhile."""
        async with self._store.databases.use(DATABASE) as database:
            found = reads.plain_winner(database.conn, doc_id)
            if found is None or found[0] != rev:
                return
            doc = {name: value for name, value in orjson.loads(found[1]).items() if name not in WRITTEN_BY_US}
            doc["_replication_state"] = state
            doc["_replication_state_time"] = iso(self._store.config.now())
            if reason is not None:
                doc["_replication_state_reason"] = reason
            if done is not None:
                doc["_replication_stats"] = done
            await admission.write(self._store, database, REPLICATOR, [parse_edit(doc)])


def _already_started(job: Job, other: Job) -> str:
    by = f"document `{other.doc_id}` from db `{DATABASE}`" if other.doc_id is not None else "`_replicate`"
    return f"Replication `{job.id}` specified by document `{job.doc_id}` already started, triggered by {by}"
