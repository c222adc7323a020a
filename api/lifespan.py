"""What the API opens when it starts and closes when it stops; each is a `cleanup_ctx` of the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from api.access.index import AccessIndex
from api.access.lag import Lag
from api.access.last_writes import LastWrites
from api.audit import audit_lifespan
from api.background import running
from api.bodies import now_ms
from api.connected_users import CONNECTED, ConnectedUsers
from api.creations import settle_creations
from api.handlers.monitoring import open_metrics
from api.handlers.public import open_deployed
from api.handlers.settings import open_ready_settings
from api.incoming import incoming_lifespan
from api.infodocs import infodoc_lifespan
from api.keys import ACCESS, CONFIG, COUCH, DB, LAG, SEARCH, SESSIONS, SETTINGS, STOPPING
from api.login_limits import open_login_limits
from api.pipeline import UNFINISHED
from api.proxy import OPEN_FEEDS, UPSTREAM, open_upstream
from api.replication.kept_lists import open_kept_lists
from api.replication.logs import open_replication_log
from api.search.index import SearchIndex
from api.sessions import Sessions
from api.xforms import open_xforms
from core.couch.client import connect
from core.settings import SettingsWatch

LAST_MOMENT_S = 1.0


async def open_couch(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    async with connect(config) as couch, open_upstream(config) as upstream:
        app[COUCH] = couch
        app[DB] = couch.db(config.database)
        app[UPSTREAM] = upstream
        yield


async def watch_settings(app: web.Application) -> AsyncIterator[None]:
    settings = SettingsWatch(app[DB])
    await settings.start()
    app[SETTINGS] = settings
    async with running("settings feed", lambda: settings.follow(app[CONFIG].feed_heartbeat_s)):
        yield


async def open_sessions(app: web.Application) -> AsyncIterator[None]:
    config = app[CONFIG]
    watch = app[SETTINGS]
    sessions = Sessions(
        app[COUCH],
        app[DB],
        app[UPSTREAM],
        lambda: watch.current,
        own_account=config.couch_admin,
        timeout_s=config.request_timeout_s,
    )
    app[SESSIONS] = sessions
    async with running("users feed", lambda: sessions.follow_users(config.feed_heartbeat_s)):
        yield


async def settle_what_was_cut_off(app: web.Application) -> AsyncIterator[None]:
    async with running("unfinished creations", lambda: settle_creations(app[DB])):
        yield


async def open_connected_users(app: web.Application) -> AsyncIterator[None]:
    app[CONNECTED] = ConnectedUsers(app[COUCH].db(app[CONFIG].db_name("logs")), now_ms)
    yield


async def open_access(app: web.Application) -> AsyncIterator[None]:
    """The read side of the access index and of the search index, whose files may be made by the indexer at any time."""
    access = AccessIndex(app[CONFIG].access_index)
    search = SearchIndex(app[CONFIG].search_index)
    writes = LastWrites(app[CONFIG].last_writes)
    app[ACCESS] = access
    app[LAG] = Lag(access, app[DB], writes)
    app[SEARCH] = search
    yield
    await app[LAG].close()
    writes.close()
    await access.close()
    await search.close()


async def finish_what_was_begun(app: web.Application) -> AsyncIterator[None]:
    """On stop: writes whose client has gone get a moment more, while everything they use is still open."""
    yield
    unfinished = app[UNFINISHED]
    if unfinished:
        await asyncio.wait(unfinished, timeout=LAST_MOMENT_S)


LIFESPANS = (
    open_couch,
    watch_settings,
    open_ready_settings,
    open_deployed,
    open_sessions,
    open_login_limits,
    settle_what_was_cut_off,
    open_connected_users,
    open_access,
    open_replication_log,
    open_kept_lists,
    infodoc_lifespan,
    audit_lifespan,
    incoming_lifespan,
    open_metrics,
    open_xforms,
    finish_what_was_begun,
)


def end_held_feeds(app: web.Application) -> None:
    """Whoever waits for news is answered with what there is, and comes back on another connection."""
    app[STOPPING].set()
    app[ACCESS].watch.wake_all()


async def end_feeds(app: web.Application) -> None:
    """On stop: nobody waits for news any longer."""
    end_held_feeds(app)
    feeds = app[OPEN_FEEDS]
    for answer in list(feeds):
        answer.close()
