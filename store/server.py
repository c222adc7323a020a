"""The CouchDB HTTP API of the embedded store: which address goes where, who may pass, and how failures are answered."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes

import orjson
from aiohttp import web

from store import cors
from store.config import StoreConfig
from store.database import Database
from store.documents import check_id
from store.errors import BadRequest, MethodNotAllowed, NotFound, StoreError, Unauthorized, insufficient_storage
from store.http import (
    attachments,
    bulk,
    changes,
    copying,
    databases,
    db_updates,
    design,
    documents,
    find,
    listing,
    node,
    purge,
    replicate,
    root,
    scheduler,
    views,
)
from store.http.call import Call, answer
from store.permissions import NOBODY, User, require_db_admin, require_db_member
from store.registry import SYSTEM_DATABASES, check_name
from store.service import Store

__all__ = ["RUNNER_OPTIONS", "StoreConfig", "create_app", "serve"]

log = logging.getLogger(__name__)

Response = Awaitable[web.StreamResponse]
ServerHandler = Callable[[Call], Response]
DatabaseHandler = Callable[[Call, Database], Response]
DocumentHandler = Callable[[Call, Database, str], Response]

Handler = TypeVar("Handler")

STORE = web.AppKey("store", Store)
RUNNER_OPTIONS: Mapping[str, Any] = {  # what the application asks of the server it runs in
    "auto_decompress": False,  # bodies are unpacked by http/body.py, which refuses what is cut short
    "max_line_size": 64 * 1024,
    "max_field_size": 64 * 1024,
}
PUBLIC = frozenset({"", "_up", "_session"})  # answered to nobody in particular too

SERVER: Mapping[str, Mapping[str, ServerHandler]] = {
    "": {"GET": root.welcome},
    "_up": {"GET": root.up},
    "_all_dbs": {"GET": root.all_dbs},
    "_dbs_info": {"GET": root.get_dbs_info, "POST": root.post_dbs_info},
    "_uuids": {"GET": root.uuids},
    "_active_tasks": {"GET": root.active_tasks},
    "_membership": {"GET": node.membership},
    "_cluster_setup": {"GET": node.get_cluster_setup, "POST": node.post_cluster_setup},
    "_prometheus": {"GET": node.prometheus},
    "_db_updates": {"GET": db_updates.db_updates},
    "_replicate": {"POST": replicate.replicate},
    "_session": {"GET": root.get_session, "POST": root.post_session, "DELETE": root.delete_session},
}

SERVER_PREFIXES: Mapping[str, ServerHandler] = {  # whatever is below
    "_node": node.node,
    "_reshard": node.reshard,
    "_scheduler": scheduler.scheduler,
}

DATABASE: Mapping[str, Mapping[str, DatabaseHandler]] = {
    "": {"GET": databases.get_database, "POST": documents.post_document},
    "_security": {"GET": databases.get_security, "PUT": databases.put_security},
    "_revs_limit": {"GET": databases.get_revs_limit, "PUT": databases.put_revs_limit},
    "_ensure_full_commit": {"POST": databases.ensure_full_commit},
    "_compact": {"POST": databases.start_compaction},
    "_purge": {"POST": purge.purge},
    "_purged_infos": {"GET": purge.purged_infos},
    "_purged_infos_limit": {"GET": purge.get_limit, "PUT": purge.put_limit},
    "_shards": {"GET": databases.shards},
    "_partition": dict.fromkeys(("GET", "POST"), databases.partition),
    "_sync_shards": {"POST": databases.sync_shards},
    "_view_cleanup": {"POST": databases.view_cleanup},
    "_bulk_docs": {"POST": bulk.bulk_docs},
    "_bulk_get": {"POST": bulk.bulk_get},
    "_revs_diff": {"POST": bulk.revs_diff},
    "_missing_revs": {"POST": bulk.missing_revs},
    "_all_docs": {"GET": listing.all_docs, "POST": listing.all_docs},
    "_all_docs/queries": {"POST": listing.all_docs_queries},
    "_design_docs": {"GET": listing.design_docs, "POST": listing.design_docs},
    "_design_docs/queries": {"POST": listing.design_docs_queries},
    "_local_docs": {"GET": listing.local_docs, "POST": listing.local_docs},
    "_local_docs/queries": {"POST": listing.local_docs_queries},
    "_changes": {"GET": changes.changes, "POST": changes.changes},
    "_find": {"POST": find.find},
    "_explain": {"POST": find.explain},
    "_index": {"GET": find.get_indexes, "POST": find.post_index, "DELETE": find.delete_index},
    "_index/_bulk_delete": {"POST": find.bulk_delete_indexes},
}

WITH_MORE = frozenset({"_compact", "_index", "_partition", "_shards"})  # may be followed by more

DESIGN: Mapping[str, Mapping[str, DocumentHandler]] = {
    "_view": {"GET": views.query_view, "POST": views.query_view},
    "_info": {"GET": views.design_info},
    "_update": dict.fromkeys(("PUT", "POST", "DELETE"), design.update),
    "_show": dict.fromkeys(("GET", "PUT", "POST", "DELETE"), design.show),
    "_list": {"GET": design.list_rows, "POST": design.list_rows},
    "_rewrite": dict.fromkeys(("GET", "PUT", "POST", "DELETE"), design.rewrite),
}

DOCUMENT: Mapping[str, DocumentHandler] = {
    "GET": documents.get_document,
    "PUT": documents.put_document,
    "DELETE": documents.delete_document,
    "COPY": copying.copy_document,
}

LOCAL: Mapping[str, DocumentHandler] = {
    "GET": documents.get_local,
    "PUT": documents.put_document,
    "DELETE": documents.delete_document,
    "COPY": copying.copy_local,
}


def create_app(config: StoreConfig) -> web.Application:
    """The store as an application; its files are opened at start-up and closed at clean-up."""
    app = web.Application()
    app.cleanup_ctx.append(lambda app: _open_store(app, config))
    app.cleanup_ctx.append(lambda app: replicate.run_replications(app, app[STORE]))
    app.on_shutdown.append(_end_feeds)
    app.router.add_route("*", "/{path:.*}", _handle)
    return app


async def serve(config: StoreConfig, stop: asyncio.Event) -> None:
    """Run until `stop` is set; then end the feeds, finish the requests in hand, close every file, return.

    Raises OSError when the address is taken.
    """
    _allow_many_files()
    runner = web.AppRunner(
        create_app(config),
        access_log=log if config.access_log else None,
        handle_signals=False,
        shutdown_timeout=config.drain_s,
        **RUNNER_OPTIONS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, config.host, config.port, backlog=1024).start()
        await stop.wait()
    finally:
        await runner.cleanup()


def _allow_many_files() -> None:
    """Many open databases and clients need more file handles than most systems give unasked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _open_store(app: web.Application, config: StoreConfig) -> AsyncIterator[None]:
    store = Store(config)
    await store.open()
    app[STORE] = store
    yield
    await store.close()


async def _end_feeds(app: web.Application) -> None:
    app[STORE].stop_feeds()


async def _handle(request: web.Request) -> web.StreamResponse:
    store = request.app[STORE]
    call = Call(request, store, NOBODY)
    renew: str | None = None
    response: web.StreamResponse
    if store.cors is not None and (allowed := store.cors.allowed(request)) is not None:
        preflight = store.cors.preflight(request, allowed)
        if preflight is not None:
            return preflight
        call.more_headers = cors.exposed(allowed)
    try:
        segments = _segments(request.rel_url.raw_path)
        call.user, renew = await _caller(request, store)
        if call.user.name is None and not (len(segments) == 1 and segments[0] in PUBLIC):
            raise Unauthorized("Authentication required.")
        response = await _dispatch(call, segments)
    except StoreError as error:
        response = _cut_short(call, error) or _failure(error)
    except web.HTTPException as error:
        response = _failure(StoreError(error.reason, slug="bad_request", status=error.status))
    except Exception as error:
        if isinstance(error, RecursionError) or (
            isinstance(error, orjson.JSONEncodeError) and str(error).startswith("Recursion limit")
        ):
            failure: StoreError = BadRequest("JSON nested more than 250 levels deep is not taken here")
        elif (full := insufficient_storage(error)) is not None:
            log.error("%s %s: %s", request.method, request.path, full.reason)
            failure = full
        else:
            log.exception("unhandled error in %s %s", request.method, request.path)
            failure = StoreError("The server failed; its log says why.")
        response = _cut_short(call, failure) or _failure(failure)
    if renew is not None and not response.prepared and "Set-Cookie" not in response.headers:
        root.set_cookie(call, response, await store.accounts.new_cookie(renew))
    if call.more_headers and not response.prepared:
        response.headers.update(call.more_headers)
    store.metrics.requests[request.method] += 1
    store.metrics.statuses[response.status] += 1
    return response


def _cut_short(call: Call, error: StoreError) -> web.StreamResponse | None:
    """Break the connection when the status is sent already: a client must not take half an answer for a whole one."""
    if call.started is None:
        return None
    log.warning("answer to %s cut short: %s", call.request.path, error.reason)
    if call.request.transport is not None:
        call.request.transport.abort()
    return call.started


def _failure(error: StoreError) -> web.Response:
    is_about_methods = error.status == 405 and error.reason.startswith("Only ")
    headers = {"Allow": error.reason.removeprefix("Only ").removesuffix(" allowed")} if is_about_methods else None
    response = answer({"error": error.slug, "reason": error.reason}, error.status, headers)
    if error.status == 408:
        response.force_close()  # the rest of the body is not waited for
    return response


def _segments(raw_path: str) -> list[str]:
    """The path, decoded piece by piece, so that an encoded slash stays inside its piece; a plus is a space."""
    pieces = raw_path[1:].replace("+", " ").split("/")
    if len(pieces) > 1 and not pieces[-1]:
        pieces.pop()
    if "%" not in raw_path:
        return pieces
    try:
        return [unquote_to_bytes(piece).decode() for piece in pieces]
    except UnicodeDecodeError:
        raise BadRequest("The path is not UTF-8.") from None


async def _caller(request: web.Request, store: Store) -> tuple[User, str | None]:
    """Who calls, and the name to make a new session cookie for when theirs is getting old."""
    cookie = request.cookies.get("AuthSession")
    if cookie:
        user, ageing = await store.accounts.by_cookie(cookie)
        if user.name is not None:
            return user, user.name if ageing else None
    header = request.headers.get("Authorization")
    if header is not None:
        return await store.accounts.by_basic(header), None
    return NOBODY, None


async def _dispatch(call: Call, segments: list[str]) -> web.StreamResponse:
    first = segments[0]
    if first in SERVER or (first.startswith("_") and first not in SYSTEM_DATABASES):
        if (below := SERVER_PREFIXES.get(first)) is not None:
            call.rest = segments[1:]
            return await below(call)
        table = SERVER.get(first) if len(segments) == 1 else None
        if table is None and call.method == "PUT":
            check_name(first)
        if table is None:
            raise NotFound("Database does not exist.")
        return await _choose(table, call.method)(call)
    if len(segments) == 1:
        if call.method == "PUT":
            return await databases.create_database(call, first)
        if call.method == "DELETE":
            return await databases.delete_database(call, first)
    async with call.store.databases.use(first) as database:
        if first != "_users":
            require_db_member(call.user, database.security)
        try:
            return await _dispatch_database(call, database, segments[1:])
        except StoreError as error:
            if database.deleted and error.status >= 500:  # whatever failed, this is why
                raise NotFound("Database does not exist.") from error
            raise


async def _dispatch_database(call: Call, database: Database, rest: list[str]) -> web.StreamResponse:
    first = rest[0] if rest else ""
    if first.startswith("_design/"):
        rest = ["_design", first[8:], *rest[1:]]
    elif first.startswith("_local/"):
        rest = ["_local", first[7:], *rest[1:]]
    first = rest[0] if rest else ""
    if first == "_design" and len(rest) > 1:
        ddoc_id, rest = f"_design/{rest[1]}", rest[2:]
        if rest and rest[0] in DESIGN:
            call.rest = rest[1:]
            return await _choose(DESIGN[rest[0]], call.method)(call, database, ddoc_id)
        return await _dispatch_document(call, database, ddoc_id, rest)
    if first == "_local" and len(rest) > 1:
        if len(rest) > 2:
            raise BadRequest("_local documents do not accept attachments.")
        if database.name == "_users":
            require_db_admin(call.user, database.security)
        return await _choose(LOCAL, call.method)(call, database, f"_local/{rest[1]}")
    if not first or first.startswith("_"):
        call.rest = rest[1:]
        table = DATABASE.get("/".join(rest[:2])) or (DATABASE.get(first) if first in WITH_MORE else None)
        if table is None and call.method == "PUT":
            check_id(first)
        if table is None:
            raise NotFound("missing")
        return await _choose(table, call.method)(call, database)
    return await _dispatch_document(call, database, first, rest[1:])


async def _dispatch_document(call: Call, database: Database, doc_id: str, rest: list[str]) -> web.StreamResponse:
    if not rest:
        return await _choose(DOCUMENT, call.method)(call, database, doc_id)
    name = "/".join(rest)
    if call.method in ("GET", "HEAD"):
        return await attachments.get_attachment(call, database, doc_id, name)
    if call.method == "PUT":
        return await attachments.put_attachment(call, database, doc_id, name)
    if call.method == "DELETE":
        return await attachments.delete_attachment(call, database, doc_id, name)
    raise MethodNotAllowed("Only DELETE,GET,HEAD,PUT allowed")


def _choose(table: Mapping[str, Handler], method: str) -> Handler:
    handler = table.get("GET" if method == "HEAD" else method)
    if handler is None:
        methods = {*table, *(["HEAD"] if "GET" in table else [])}
        raise MethodNotAllowed(f"Only {','.join(sorted(methods))} allowed")
    return handler
