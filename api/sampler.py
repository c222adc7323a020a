"""Measure the deployment once a minute, in one process of the machine, for the console's plots of the last day."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from api.access.index import AccessIndex
from api.metrics import Metrics, waiting
from api.replication.logs import NEAR_LIMIT
from api.samples import Sample, Samples
from core.config import Config
from core.couch.client import Couch, connect
from core.couch.client import Doc as Numbers
from core.errors import DomainError
from core.replication_logs import count_near_limit

INTERVAL_S = 60.0
# What phones ask for. A feed that is held open says nothing of how quick the server is.
SYNC_ROUTES = frozenset(
    {
        "/api/v1/replication/get-ids",
        "/api/v1/replication/get-deletes",
        "/{db}/_changes",
        "/{db}/_bulk_get",
        "/{db}/_bulk_docs",
        "/{db}/_all_docs",
        "/{db}/_revs_diff",
    }
)
HELD = "/{db}/_changes"


async def keep_sampling(config: Config) -> None:
    """Measure at the beginning of each minute, until cancelled."""
    async with connect(config, connections=4) as couch:
        sampler = Sampler(config, couch)
        try:
            while True:
                await sampler.sample(int(time.time() * 1000))
                await asyncio.sleep(INTERVAL_S - time.time() % INTERVAL_S)
        finally:
            await sampler.close()


class Sampler:
    def __init__(self, config: Config, couch: Couch) -> None:
        self.config = config
        self.samples = Samples(config.samples)
        self.metrics = Metrics(couch, config)
        self.access = AccessIndex(config.access_index)
        self.db = couch.db(config.database)
        self.logs = couch.db(config.db_name("logs"))
        self.counted: Counted | None = None

    async def close(self) -> None:
        await self.metrics.close()
        await self.access.close()

    async def sample(self, now_ms: int) -> None:
        """Measure, and keep what was found; what cannot be measured now is left out."""
        numbers, counted = await asyncio.gather(self.metrics.collect(), self.count())
        found = {**numbers_of(numbers), **(counted.since(self.counted) if counted else {})}
        self.counted = counted
        with suppress(DomainError):
            found["index_behind"] = await self.access.catch_up(self.db, most_s=0.0)
        with suppress(DomainError):
            found["near_limit"] = await count_near_limit(self.logs, NEAR_LIMIT)
        await asyncio.to_thread(self.samples.add, now_ms, {name: each for name, each in found.items() if each >= 0})

    async def count(self) -> Counted | None:
        """What all API processes of this machine have counted so far."""
        folder = self.config.metrics_dir
        return await asyncio.to_thread(counted_in, folder) if folder else None


def numbers_of(monitoring: Numbers) -> dict[str, Any]:
    outgoing = monitoring["messaging"]["outgoing"]["state"]
    return {
        "backlog": monitoring["sentinel"]["backlog"],
        "retries": monitoring["sentinel"]["retries"],
        "due": waiting(outgoing),
        **{group: outgoing[group] for group in ("scheduled", "failed", "muted")},
        "conflicts": monitoring["conflict"]["count"],
        "over_limit": monitoring["replication_limit"]["count"],
        "connected": monitoring["connected_users"]["count"],
    }


# --- requests of phones -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """Requests since the API started, and how many of them took at most so many seconds."""

    requests: float = 0
    within: Mapping[float, float] = field(default_factory=dict)

    def since(self, before: Counted | None) -> Sample:
        """What came since: `sync_requests`, and where there were any `sync_p50_ms` and `sync_p95_ms`."""
        if before is None:
            return {}
        restarted = self.requests < before.requests
        earlier = Counted() if restarted else before
        within = {edge: count - earlier.within.get(edge, 0) for edge, count in self.within.items()}
        sample: Sample = {"sync_requests": self.requests - earlier.requests}
        for name, part in (("sync_p50_ms", 0.5), ("sync_p95_ms", 0.95)):
            if (seconds := quantile(within, part)) is not None:
                sample[name] = round(seconds * 1000, 1)
        return sample


def quantile(within: Mapping[float, float], part: float) -> float | None:
    """The time below which that part of the requests stayed, taken as evenly spread within each bucket."""
    edges = sorted(within)
    total = within[edges[-1]] if edges else 0
    if not total:
        return None
    wanted, lower, below = part * total, 0.0, 0.0
    for edge in edges:
        if within[edge] >= wanted:
            if edge == float("inf"):
                return lower
            return lower + (edge - lower) * (wanted - below) / (within[edge] - below)
        lower, below = edge, within[edge]
    return lower


def counted_in(folder: Path) -> Counted:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return counted_of(registry.collect())


def counted_of(families: Iterable[Metric]) -> Counted:
    requests, within = 0.0, dict[float, float]()
    for family in families:
        for each in family.samples:
            route = each.labels.get("route")
            if route not in SYNC_ROUTES:
                continue
            if each.name == "outpost_http_requests_total":
                requests += each.value
            elif each.name == "outpost_http_request_duration_seconds_bucket" and route != HELD:
                edge = float(each.labels["le"])
                within[edge] = within.get(edge, 0) + each.value
    return Counted(requests, within)
