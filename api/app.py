"""The API's table of contents: settings of the application, middlewares, lifespans, routes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from api.auth import REFUSED
from api.console.frame import PAGES
from api.console.pages import CONSOLE_PAGES
from api.console.texts import KNOWN_TEXTS, KnownTexts
from api.errors import error_middleware, render
from api.handlers.docs import DESCRIPTION, Description
from api.keys import CONFIG, NOW, STOPPING
from api.lifespan import LIFESPANS, end_feeds
from api.login_limits import limit_logins
from api.pipeline import UNFINISHED, before_headers, enter, finish_writes, identify
from api.proxy import OPEN_FEEDS
from api.request_metrics import REQUEST_METRICS, RequestMetrics
from api.routes import LOGINS, public_routes, routes
from core.config import Config

LARGEST_BODY_BYTES = 33_554_432  # of a body that is read whole; what is streamed has no limit of ours (10 §0)


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(config: Config, now: Callable[[], datetime] = utc_now) -> web.Application:
    """`now` dates what comes in: incoming records, the states of messages, infodocs."""
    public = public_routes(config.database)
    app = web.Application(
        client_max_size=LARGEST_BODY_BYTES,
        middlewares=[
            enter,
            error_middleware(render),
            limit_logins(frozenset(LOGINS), REFUSED),
            identify(public=frozenset(route.handler for route in public)),
            finish_writes,
        ],
    )
    app[CONFIG] = config
    app[NOW] = now
    app[STOPPING] = asyncio.Event()
    app[OPEN_FEEDS] = set()
    app[UNFINISHED] = set()
    app[REQUEST_METRICS] = RequestMetrics()
    app.cleanup_ctx.extend(LIFESPANS)
    app.on_response_prepare.append(before_headers)
    app.on_shutdown.append(end_feeds)
    app[PAGES] = CONSOLE_PAGES
    app[KNOWN_TEXTS] = KnownTexts()
    app.add_routes([*public, *routes(config.database)])
    app[DESCRIPTION] = Description(app)
    return app
