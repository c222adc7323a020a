"""What the store counts of itself, told in CouchDB's `_stats` and in Prometheus' text."""

from __future__ import annotations

import resource
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_KIB = 1024


class Metrics:
    """Counters since the start. `requests` counts by method, `statuses` by status code."""

    def __init__(self) -> None:
        self.started_s = time.monotonic()
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    def uptime_s(self) -> int:
        return int(time.monotonic() - self.started_s)

    def stats(self, open_databases: int) -> dict[str, Any]:
        """The part of CouchDB's `_stats` that this store counts."""
        return {
            "couchdb": {
                "httpd": {"requests": _counter(sum(self.requests.values()), "number of HTTP requests")},
                "httpd_request_methods": {
                    method: _counter(number, f"number of HTTP {method} requests")
                    for method, number in sorted(self.requests.items())
                },
                "httpd_status_codes": {
                    str(status): _counter(number, f"number of HTTP {status} responses")
                    for status, number in sorted(self.statuses.items())
                },
                "open_databases": _counter(open_databases, "number of open databases"),
            }
        }

    def prometheus(self, open_databases: int, databases: int, tasks: int) -> bytes:
        """The same in Prometheus' text format, under the names of CouchDB's exporter."""
        registry = CollectorRegistry()
        registry.register(_Families(self, open_databases, databases, tasks))
        return generate_latest(registry)


class _Families:
    """What a Prometheus registry asks for its metrics."""

    def __init__(self, metrics: Metrics, open_databases: int, databases: int, tasks: int) -> None:
        self._metrics = metrics
        self._gauges = {
            "couchdb_open_databases": ("number of open databases", open_databases),
            "couchdb_databases": ("number of databases", databases),
            "couchdb_active_tasks": ("number of running index builds and replications", tasks),
            "couchdb_uptime_seconds": ("seconds since the start", metrics.uptime_s()),
            "process_max_resident_memory_bytes": ("the most memory the process ever held", _most_memory_bytes()),
        }

    def collect(self) -> Iterable[Metric]:
        for name, (meaning, number) in self._gauges.items():
            yield GaugeMetricFamily(name, meaning, value=number)
        requests = CounterMetricFamily(
            "couchdb_httpd_request_methods", "number of HTTP requests by method", labels=["method"]
        )
        for method, number in self._metrics.requests.items():
            requests.add_metric([method], number)
        yield requests
        statuses = CounterMetricFamily(
            "couchdb_httpd_status_codes", "number of HTTP responses by status", labels=["code"]
        )
        for status, number in self._metrics.statuses.items():
            statuses.add_metric([str(status)], number)
        yield statuses


def _counter(value: int, desc: str) -> dict[str, Any]:
    return {"value": value, "type": "counter", "desc": desc}


def _most_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB
