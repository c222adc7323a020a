"""`_replicate` over HTTP, and what runs as long as the server does because documents of `_replicator` say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from store.errors import BadRequest
from store.http.call import Call, answer
from store.permissions import require_server_admin
from store.replication_request import parse_request
from store.replications import Replications
from store.service import Store

REPLICATIONS = web.AppKey("replications", Replications)


async def replicate(call: Call) -> web.Response:
    """POST /_replicate: copy what a target lacks of a source, once or for ever; `cancel` stops. Server admins only."""
    require_server_admin(call.user)
    body = await call.json_body()
    replications = call.request.app[REPLICATIONS]
    cancel = body.get("cancel", False)
    if not isinstance(cancel, bool):
        raise BadRequest("parameter `cancel` must be a boolean")
    if cancel:
        named = body.get("replication_id", body.get("_local_id"))
        if named is not None and not isinstance(named, str):
            raise BadRequest("parameter `replication_id` must be a string")
        job_id = replications.job_id(parse_request(body)) if named is None else named
        await replications.cancel(job_id)
        return answer({"ok": True, "_local_id": job_id})
    request = parse_request(body)
    return answer(await replications.replicate(request, call.user), 202 if request.continuous else 200)


async def run_replications(app: web.Application, store: Store) -> AsyncIterator[None]:
    """Follow `_replicator` from start to stop."""
    replications = app[REPLICATIONS] = Replications(store)
    following = asyncio.create_task(replications.follow())
    yield
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await replications.close()
