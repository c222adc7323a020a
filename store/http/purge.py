"""`_purge` and what is remembered of it."""

from __future__ import annotations

from aiohttp import web

from store import purging
from store.database import Database
from store.documents import load_json
from store.errors import BadRequest
from store.http.call import Call, answer
from store.permissions import require_db_admin, require_server_admin
from store.revtree import parse_rev

_MOST_DOCS, _MOST_REVS = 100, 1000  # of one request, as in CouchDB


async def purge(call: Call, database: Database) -> web.Response:
    """POST /{db}/_purge with {id: [revs]}: those that were leaves are gone. Server admins only."""
    require_server_admin(call.user)
    asked: dict[str, list[str]] = {}
    for doc_id, revs in (await call.json_body()).items():
        if not isinstance(revs, list):
            raise BadRequest("Invalid list of revisions")
        asked[doc_id] = [parse_rev(rev) for rev in revs]
    if len(asked) > _MOST_DOCS:
        raise BadRequest("Exceeded maximum number of documents.")
    if sum(len(revs) for revs in asked.values()) > _MOST_REVS:
        raise BadRequest("Exceeded maximum number of revisions.")
    return answer({"purge_seq": None, "purged": await database.purge(asked)}, 201)


async def purged_infos(call: Call, database: Database) -> web.Response:
    """GET /{db}/_purged_infos: which purges are remembered. Database admins only."""
    require_db_admin(call.user, database.security)
    return answer({"purged_infos": await database.read(purging.infos)})


async def get_limit(call: Call, database: Database) -> web.Response:
    """GET /{db}/_purged_infos_limit."""
    return answer(purging.limit(database.conn))


async def put_limit(call: Call, database: Database) -> web.Response:
    """PUT /{db}/_purged_infos_limit: how many purges are remembered. Database admins only."""
    require_db_admin(call.user, database.security)
    number = load_json(await call.body(1 << 20))
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**9:
        raise BadRequest("`purged_infos_limit` must be positive integer")
    await database.write(lambda tx: purging.set_limit(tx, number))
    return answer({"ok": True})
