"""Databases: create, delete, describe, secure and tidy up."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from store.compaction import compact
from store.database import Database
from store.documents import load_json
from store.errors import BadRequest, Forbidden, NotImplementedByStore
from store.http.call import Call, answer
from store.permissions import check_security, require_db_admin, require_server_admin
from store.registry import check_name


async def create_database(call: Call, name: str) -> web.Response:
    """PUT /{db}: an empty database. Server admins only; 412 when it exists."""
    require_server_admin(call.user)
    check_name(name)
    if call.flag("partitioned"):
        raise NotImplementedByStore("This store has no partitioned databases; `partitioned` must be false.")
    for parameter in ("q", "n"):  # it is one shard on one node whatever is asked for
        if call.count(parameter, 1) < 1:
            raise BadRequest(f"The `{parameter}` value should be a positive integer.")
    await call.store.databases.create(name)
    return answer({"ok": True}, 201, {"Location": call.url(call.request.rel_url.raw_path.strip("/"))})


async def delete_database(call: Call, name: str) -> web.Response:
    """DELETE /{db}: gone with everything in it. Server admins only."""
    require_server_admin(call.user)
    if "rev" in call.query:
        raise BadRequest(
            "You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?"
        )
    await call.store.databases.delete(name)
    return answer({"ok": True})


def database_info(database: Database) -> dict[str, Any]:
    """The members of `GET /{db}`."""
    size = database.size_bytes()
    return {
        "instance_start_time": str(database.created_s),
        "db_name": database.name,
        "purge_seq": f"{database.purge_seq}-{database.mark}",
        "update_seq": f"{database.update_seq}-{database.mark}",
        "sizes": {"file": size, "external": size, "active": size},
        "props": {},
        "doc_del_count": database.doc_del_count,
        "doc_count": database.doc_count,
        "disk_format_version": 8,
        "compact_running": database.compacting,
        "cluster": {"q": 1, "n": 1, "w": 1, "r": 1},
    }


async def get_database(call: Call, database: Database) -> web.Response:
    """GET /{db}: counts, sizes and the newest seq."""
    return answer(database_info(database))


async def get_security(call: Call, database: Database) -> web.Response:
    """GET /{db}/_security."""
    return answer(database.security)


async def put_security(call: Call, database: Database) -> web.Response:
    """PUT /{db}/_security: who are its admins and members. Database admins only."""
    require_db_admin(call.user, database.security)
    if database.name == "_users":
        raise Forbidden("You can't edit the security object of the user database.")
    await database.set_security(check_security(load_json(await call.body())))
    return answer({"ok": True})


async def get_revs_limit(call: Call, database: Database) -> web.Response:
    """GET /{db}/_revs_limit."""
    return answer(database.revs_limit)


async def put_revs_limit(call: Call, database: Database) -> web.Response:
    """PUT /{db}/_revs_limit: a number above zero. Database admins only."""
    require_db_admin(call.user, database.security)
    limit = load_json(await call.body())
    if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit < 10**9:
        raise BadRequest("`_revs_limit` must be a positive integer.")
    await database.set_revs_limit(limit)
    return answer({"ok": True})


async def ensure_full_commit(call: Call, database: Database) -> web.Response:
    """POST /{db}/_ensure_full_commit: every acknowledged write is on disk already."""
    call.require_json()
    return answer({"ok": True, "instance_start_time": str(database.created_s)}, 201)


async def start_compaction(call: Call, database: Database) -> web.Response:
    """POST /{db}/_compact: drop the bodies of old revisions, in the background. Database admins only."""
    call.require_json()
    require_db_admin(call.user, database.security)
    if call.rest:
        database.design_doc(f"_design/{call.rest[0]}")  # indexes are kept small by SQLite
    elif not database.compacting:
        call.store.spawn(compact(call.store.databases, database.name))
    return answer({"ok": True}, 202)


async def partition(call: Call, database: Database) -> web.Response:
    """/{db}/_partition/...: no database here is partitioned."""
    raise BadRequest("database is not partitioned")


async def shards(call: Call, database: Database) -> web.Response:
    """GET /{db}/_shards and /{db}/_shards/{docid}: the one range that holds everything."""
    nodes = [call.store.node]
    if any(call.rest):
        return answer({"range": "00000000-ffffffff", "nodes": nodes})
    return answer({"shards": {"00000000-ffffffff": nodes}})


async def sync_shards(call: Call, database: Database) -> web.Response:
    """POST /{db}/_sync_shards: there is no other copy to agree with. Server admins only."""
    require_server_admin(call.user)
    return answer({"ok": True}, 202)


async def view_cleanup(call: Call, database: Database) -> web.Response:
    """POST /{db}/_view_cleanup: remove the indexes no design document asks for. Database admins only."""
    require_db_admin(call.user, database.security)
    await call.store.databases.views(database).cleanup([ddoc.doc for ddoc in database.design_docs()])
    return answer({"ok": True}, 202)
