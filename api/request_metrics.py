"""What a worker counts of the requests it answers, by the template of their route: never by path, id or name."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "COPY"})
EVERYTHING_ELSE = "/{path}"  # the route of what is passed to CouchDB
CLIENT_LEFT = 499

# The databases' own endpoints that are told apart; every other path below a database is a document.
ENDPOINTS = frozenset(
    {
        "_all_docs",
        "_bulk_docs",
        "_bulk_get",
        "_changes",
        "_compact",
        "_design",
        "_explain",
        "_find",
        "_index",
        "_local",
        "_missing_revs",
        "_purge",
        "_revs_diff",
        "_security",
    }
)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
DOCUMENTS = (10, 100, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000)


class RequestMetrics:
    """The instruments of one worker; several workers write to the files of `Config.metrics_dir`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "outpost_http_requests",
            "Requests answered, by method, route and status; 499 is a client that left",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "outpost_http_request_duration_seconds",
            "Time until a request was answered",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "outpost_http_requests_in_progress",
            "Requests that are being answered, feeds held open among them",
            multiprocess_mode="livesum",
            registry=self.registry,
        )
        self.list_documents = Histogram(
            "outpost_replication_list_documents",
            "Documents in the lists that phones asked for",
            buckets=DOCUMENTS,
            registry=self.registry,
        )
        # Those in use: to find them takes longer than to count.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        series = self._series.get((method, route, status))
        if series is None:
            told = method if method in METHODS else "other"
            series = self.requests.labels(told, route, status), self.seconds.labels(told, route)
            if told == method:
                self._series[method, route, status] = series
        series[0].inc()
        series[1].observe(seconds)


REQUEST_METRICS = web.AppKey("request_metrics", RequestMetrics)


def route_of(match: web.UrlMappingMatchInfo, path: str, database: str) -> str:
    """The template of a route; of what goes to CouchDB, which kind of endpoint it is. `path` is the canonical one."""
    resource = match.route.resource
    template = resource.canonical if resource else "none"
    if template != EVERYTHING_ELSE:
        return template
    _, first, *rest = path.split("/")
    if not rest or not rest[0]:
        return "/{db}" if first == database else "/{other}"
    below = rest[0] if rest[0] in ENDPOINTS else "{doc}"
    return f"/{{db}}/{below}" if first == database else f"/{{other}}/{below}"
