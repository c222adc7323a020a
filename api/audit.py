"""Keep who wrote what through the API (PROXY-16), if `OUTPOST_AUDIT` is true: it costs a write for every write."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from api.keys import CONFIG, COUCH, DB, NOW, REQUEST_ID, USER
from core.audit import Audit
from core.storing import storing

AUDIT = web.AppKey("audit", Audit)


async def audit_lifespan(app: web.Application) -> AsyncIterator[None]:
    """A `cleanup_ctx` to come after the one that opens CouchDB."""
    if not app[CONFIG].audit:
        yield
        return
    app[AUDIT] = audit = Audit(app[COUCH].db(app[CONFIG].db_name("audit")), app[DB], app[NOW], "api")
    async with storing("audit entries", audit):
        yield


def audit_writes(request: web.Request, revs: Mapping[str, str | None]) -> None:
    """Fire and forget: what the caller has stored, by id and revision."""
    audit = request.config_dict.get(AUDIT)
    if audit is not None:
        user = request[USER]
        audit.note(revs, request_id=request[REQUEST_ID], user=user.name if user else None)
