"""Metrics for automated monitoring, public and cheap to ask for (EP-MON-1..5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from api.auth import require_online
from api.bodies import now_ms
from api.keys import ACCESS, CONFIG, COUCH, DB, SEARCH
from api.metrics import Metrics
from api.monitoring_shapes import Monitoring, MonitoringV2
from api.operations import Access, Operation, describe
from api.params import WholeNumber
from api.prometheus import Exposition
from api.request_metrics import REQUEST_METRICS
from api.responses import json_response
from api.samples import Samples

METRICS = web.AppKey("metrics", Metrics)
EXPOSITION = web.AppKey("exposition", Exposition)
CONNECTED_DAYS = WholeNumber(
    name="connected_user_interval",
    about="users count as connected when seen in that many days",
    default=7,
    least=1,
    most=90,
)
HOURS = WholeNumber(name="hours", about="how far back", default=24, least=1, most=48)
HOUR_MS = 3_600_000


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


@describe(Operation(access=Access.ONLINE, query=(HOURS,), answers={200: list[dict[str, float]]}))
async def get_samples(request: web.Request) -> web.Response:
    """GET /api/v1/monitoring/samples: what was measured each minute of the last hours, the oldest first.

    Each `{at}` in milliseconds, and the numbers that could be measured then. Online users.
    """
    require_online(request)
    since_ms = now_ms() - HOURS.read(request) * HOUR_MS
    found = await asyncio.to_thread(Samples(request.config_dict[CONFIG].samples).since, since_ms)
    return json_response([{"at": at_ms, **sample} for at_ms, sample in found])


async def get_prometheus(request: web.Request) -> web.Response:
    """GET /metrics: all metrics of all workers in Prometheus' text format."""
    return prometheus_response(await request.config_dict[EXPOSITION].everything())


@describe(Operation(access=Access.PUBLIC, answers={200: {"text/plain": str}}))
async def get_express_metrics(request: web.Request) -> web.Response:
    """GET /api/v1/express-metrics: requests alone, in Prometheus' text format with the prefix cht_api (AUTH-129)."""
    return prometheus_response(await request.config_dict[EXPOSITION].of_requests())


def prometheus_response(text: bytes) -> web.Response:
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})


async def open_metrics(app: web.Application) -> AsyncIterator[None]:
    """A `cleanup_ctx` to come after those that open CouchDB and the access index."""
    app[METRICS] = metrics = Metrics(app[COUCH], app[CONFIG])
    app[EXPOSITION] = Exposition(
        app[REQUEST_METRICS], metrics, app[ACCESS], app[SEARCH], app[DB], metrics_dir=app[CONFIG].metrics_dir
    )
    yield
    await metrics.close()


ROUTES_FOR_ONLINE_USERS = [web.get("/api/v1/monitoring/samples", get_samples)]
ROUTES = [
    web.get("/api/v1/monitoring", get_monitoring),
    web.get("/api/v2/monitoring", get_monitoring_v2),
    web.get("/metrics", get_prometheus),
    web.get("/api/v1/express-metrics", get_express_metrics),
]
