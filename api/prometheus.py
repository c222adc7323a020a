"""All metrics in Prometheus' text format: of every worker, of the deployment, and of this machine's processes."""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from api.access.index import AccessIndex
from api.metrics import Metrics
from api.process_metrics import process_families
from api.replication.logs import NEAR_LIMIT
from api.request_metrics import RequestMetrics
from api.search.index import SearchIndex
from core import __version__
from core.couch.client import Database, Doc
from core.errors import DomainError
from core.impact import count_users
from core.replication_logs import count_near_limit
from core.users import users_db
from sentinel.status import is_active

log = logging.getLogger(__name__)

OURS, EXPRESS = "outpost_http_", "cht_api_http_"


class Exposition:
    """What `/metrics` says. The deployment is measured at most every five seconds however many ask (EP-MON-5)."""

    def __init__(
        self,
        requests: RequestMetrics,
        metrics: Metrics,
        access: AccessIndex,
        search: SearchIndex,
        db: Database,
        *,
        metrics_dir: Path | None,
        processes: Callable[[], Iterable[Metric]] = process_families,
    ) -> None:
        self.requests = requests
        self.metrics = metrics
        self.access = access
        self.search = search
        self.db = db
        self.metrics_dir = metrics_dir
        self.processes = processes

    async def everything(self) -> bytes:
        measured = await self.metrics.keep(("prometheus", 0), self._measure)
        registry = self._of_workers()
        registry.register(Families(lambda: deployment_families(measured)))
        registry.register(Families(self.processes))
        return await asyncio.to_thread(generate_latest, registry)

    async def of_requests(self) -> bytes:
        """Only what is known of requests, under the names that AUTH-129 asks for."""
        registry = CollectorRegistry()
        workers = self._of_workers()
        registry.register(Families(lambda: renamed(workers.collect(), OURS, EXPRESS)))
        return await asyncio.to_thread(generate_latest, registry)

    def _of_workers(self) -> CollectorRegistry:
        """A registry of its own with what all workers have counted, this one alone where they share no folder."""
        registry = CollectorRegistry()
        if self.metrics_dir is None:
            registry.register(Families(self.requests.registry.collect))
        else:
            MultiProcessCollector(registry, path=str(self.metrics_dir))  # type: ignore[no-untyped-call]
        return registry

    async def _measure(self) -> Doc:
        metrics = self.metrics
        wanted: dict[str, Awaitable[Any]] = {
            "users": count_users(users_db(self.db)),
            "index_behind": self.access.catch_up(self.db, most_s=0.0),
            "search_behind": self.search.catch_up(self.db, most_s=0.0),
            "near_limit": count_near_limit(metrics.logs, NEAR_LIMIT),
            "sentinel_active": is_active(metrics.sentinel, time.time()),
            "shared_shortcodes": self.access.count_shared_shortcodes(),
        }
        counting = asyncio.gather(*(or_unknown(each) for each in wanted.values()))
        monitoring, counts = await asyncio.gather(metrics.collect_v2(), counting)
        return {**monitoring, **dict(zip(wanted, counts, strict=True))}


async def or_unknown(measured: Awaitable[Any]) -> int:
    try:
        return int(await measured)
    except DomainError as error:
        log.warning("a metric failed: %s", error.message)
        return -1


class Families(Collector):
    """Metrics made when they are asked for."""

    def __init__(self, make: Callable[[], Iterable[Metric]]) -> None:
        self.make = make

    def collect(self) -> Iterable[Metric]:
        return self.make()


def deployment_families(measured: Doc) -> Iterator[Metric]:
    """Of what the monitoring resource tells; what could not be measured is left out."""
    yield info(measured["version"]["couchdb"])
    for name, text, member in DATABASE_GAUGES:
        databases = ((key, found[member]) for key, found in measured["couchdb"].items())
        yield labelled(f"outpost_database_{name}", text, "database", databases)
    for name, text, read in GAUGES:
        yield labelled(f"outpost_{name}", text, None, [("", read(measured))])
    outgoing = measured["messaging"]["outgoing"]
    yield labelled("outpost_messages", "Outgoing messages by group", "state", outgoing["total"].items())
    week = outgoing["seven_days"].items()
    yield labelled("outpost_messages_seven_days", "Outgoing messages due in the last seven days", "state", week)
    newest = ((state, count) for states in outgoing["last_hundred"].values() for state, count in states.items())
    yield labelled("outpost_messages_last_hundred", "The messages of each group updated last", "state", newest)


DATABASE_GAUGES = (
    ("documents", "Documents that are not deleted", "doc_count"),
    ("deleted_documents", "Documents that are deleted", "doc_del_count"),
    ("update_sequence", "Changes so far", "update_sequence"),
    ("fragmentation_ratio", "Size of the file by that of its live data", "fragmentation"),
)
GAUGES: tuple[tuple[str, str, Callable[[Doc], Any]], ...] = (
    ("users", "Accounts", lambda found: found["users"]),
    ("connected_users", "Users seen in the last seven days", lambda found: found["connected_users"]["count"]),
    ("shared_shortcodes", "Shortcodes of several contacts", lambda found: found["shared_shortcodes"]),
    ("conflicts", "Documents with conflicts", lambda found: found["conflict"]["count"]),
    ("feedback_documents", "Feedback documents", lambda found: found["feedback"]["count"]),
    ("outbound_push_backlog", "Outbound pushes that wait", lambda found: found["outbound_push"]["backlog"]),
    ("access_index_behind_changes", "Changes not yet in the access index", lambda found: found["index_behind"]),
    ("search_index_behind_changes", "Changes not yet in the search index", lambda found: found["search_behind"]),
    ("sentinel_active", "Whether a worker is active", lambda found: found["sentinel_active"]),
    ("sentinel_backlog_changes", "Changes not yet processed", lambda found: found["sentinel"]["backlog"]),
    ("sentinel_retries", "Changes that wait for another attempt", lambda found: found["sentinel"]["retries"]),
    ("sentinel_failed_changes", "Changes given up", lambda found: found["sentinel"]["failed"]),
    ("sentinel_failed_jobs", "Timed work whose last run failed", lambda found: found["sentinel"]["failed_jobs"]),
    (
        "sentinel_transitions_disabled",
        "Whether wrong settings stop the worker",
        lambda found: found["sentinel"]["transitions_disabled"],
    ),
    ("overdue_tasks", "Messages unsent a week after they were due", lambda found: found["sentinel"]["overdue_tasks"]),
    (
        "replication_limit_users",
        "Users with more documents than recommended",
        lambda found: found["replication_limit"]["count"],
    ),
    (
        "replication_near_limit_users",
        "Users with at least four fifths of that, those above it among them",
        lambda found: found["near_limit"],
    ),
    (
        "replication_failures",
        "Replications that failed in the last seven days",
        lambda found: found["replication_failure"]["count"],
    ),
)


def info(couchdb: str) -> Metric:
    family = GaugeMetricFamily("outpost_info", "Versions", labels=["version", "python", "couchdb"])
    family.add_metric([__version__, platform.python_version(), couchdb], 1)
    return family


def labelled(name: str, text: str, label: str | None, values: Iterable[tuple[str, Any]]) -> Metric:
    """A gauge with a value for each label; those below 0, and those that are none, are unknown."""
    family = GaugeMetricFamily(name, text, labels=[label] if label else [])
    for key, value in values:
        if isinstance(value, int | float) and value >= 0:
            family.add_metric([key] if label else [], float(value))
    return family


def renamed(families: Iterable[Metric], old: str, new: str) -> Iterator[Metric]:
    """The families whose names begin with `old`, beginning with `new`."""
    for family in families:
        if family.name.startswith(old):
            other = Metric(new + family.name.removeprefix(old), family.documentation, family.type)
            other.samples = [Sample(new + each.name.removeprefix(old), *each[1:]) for each in family.samples]
            yield other
