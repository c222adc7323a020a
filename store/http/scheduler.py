"""`_scheduler`: how the replications of this server are doing. Server administrators only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from store.errors import BadRequest, MethodNotAllowed, NotFound, QueryParseError
from store.http.call import Call, answer
from store.http.replicate import REPLICATIONS
from store.permissions import require_server_admin
from store.replication_status import STATES
from store.replicator_docs import DATABASE


async def scheduler(call: Call) -> web.Response:
    """GET /_scheduler/jobs[/{id}] and /_scheduler/docs[/_replicator[/{docid}]]."""
    require_server_admin(call.user)
    if call.method not in ("GET", "HEAD"):
        raise MethodNotAllowed("Only GET,HEAD allowed")
    replications = call.request.app[REPLICATIONS]
    match call.rest:
        case ["jobs"]:
            return _listed(call, "jobs", replications.scheduler_jobs())
        case ["jobs", job_id]:
            return _one(job for job in replications.scheduler_jobs() if job["id"] == job_id)
        case ["docs"] | ["docs", "_replicator"]:
            states = _states(call)
            docs = await replications.scheduler_docs()
            shown = [doc for doc in docs if doc["state"] in states]
            return _listed(call, "docs", shown, total=len(docs))
        case ["docs", "_replicator", doc_id]:
            return _one(await replications.scheduler_docs(doc_id))
        case ["docs", *_]:
            raise BadRequest(f"Invalid path: documents of replications are in {DATABASE}")
    raise NotFound("missing")


def _one(found: Iterable[dict[str, Any]]) -> web.Response:
    for each in found:
        return answer(each)
    raise NotFound("missing")


def _listed(call: Call, name: str, rows: list[dict[str, Any]], *, total: int | None = None) -> web.Response:
    skip = call.count("skip", 0)
    page = rows[skip : skip + call.count("limit", len(rows))]
    return answer({"total_rows": len(rows) if total is None else total, "offset": skip, name: page})


def _states(call: Call) -> frozenset[str]:
    """The states asked for; all of them when none is named."""
    named = frozenset(call.query.get("states", ",".join(STATES)).split(","))
    unknown = sorted(named.difference(STATES))
    if unknown:
        raise QueryParseError(f"Unknown states [{','.join(unknown)}]. Choose from: [{','.join(STATES)}]")
    return named
