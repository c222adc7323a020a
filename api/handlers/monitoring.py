"""Metrics for automated monitoring, public and cheap to ask for (EP-MON-1..5)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from api.keys import CONFIG, COUCH
from api.metrics import Metrics
from api.params import whole_number
from api.responses import json_response

METRICS = web.AppKey("metrics", Metrics)
MOST_DAYS = 90


async def get_monitoring(request: web.Request) -> web.Response:
    """GET /api/v1/monitoring: versions, databases, backlogs, messages; a metric that fails is -1 or "".

    ?connected_user_interval=7: users count as connected when seen in that many days. The answer may be 5 s old.
    """
    days = whole_number(request, "connected_user_interval", 7, least=1, most=MOST_DAYS)
    return json_response(await request.config_dict[METRICS].collect(days))


async def get_monitoring_v2(request: web.Request) -> web.Response:
    """GET /api/v2/monitoring: as version 1, with outgoing messages in total, of seven days, and the last hundred."""
    days = whole_number(request, "connected_user_interval", 7, least=1, most=MOST_DAYS)
    return json_response(await request.config_dict[METRICS].collect_v2(days))


async def open_metrics(app: web.Application) -> AsyncIterator[None]:
    """A `cleanup_ctx` to come after the one that opens CouchDB."""
    app[METRICS] = metrics = Metrics(app[COUCH], app[CONFIG])
    yield
    await metrics.close()


ROUTES = [
    web.get("/api/v1/monitoring", get_monitoring),
    web.get("/api/v2/monitoring", get_monitoring_v2),
]
