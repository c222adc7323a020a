"""Metrics for automated monitoring, public and cheap to ask for (EP-MON-1..5)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from api.keys import CONFIG, COUCH
from api.metrics import Metrics
from api.monitoring_shapes import Monitoring, MonitoringV2
from api.operations import Access, Operation, describe
from api.params import WholeNumber
from api.responses import json_response

METRICS = web.AppKey("metrics", Metrics)
CONNECTED_DAYS = WholeNumber(
    name="connected_user_interval",
    about="users count as connected when seen in that many days",
    default=7,
    least=1,
    most=90,
)


@describe(Operation(access=Access.PUBLIC, query=(CONNECTED_DAYS,), answers={200: Monitoring}))
async def get_monitoring(request: web.Request) -> web.Response:
    """GET /api/v1/monitoring: versions, databases, backlogs, messages; a metric that fails is -1 or "".

    ?connected_user_interval=7: users count as connected when seen in that many days. The answer may be 5 s old.
    """
    days = CONNECTED_DAYS.read(request)
    return json_response(await request.config_dict[METRICS].collect(days))


@describe(Operation(access=Access.PUBLIC, query=(CONNECTED_DAYS,), answers={200: MonitoringV2}))
async def get_monitoring_v2(request: web.Request) -> web.Response:
    """GET /api/v2/monitoring: as version 1, with outgoing messages in total, of seven days, and the last hundred."""
    days = CONNECTED_DAYS.read(request)
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
