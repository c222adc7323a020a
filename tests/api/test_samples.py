"""What is measured each minute, kept for two days, and read by everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient

from api.request_metrics import RequestMetrics
from api.sampler import Counted, Sampler, counted_of, quantile
from api.samples import KEPT_MS, Samples, thinned
from core.config import Config
from core.couch.client import Couch

MINUTE_MS = 60_000
NOW_MS = 1_795_304_280_000


def test_samples_are_kept_by_the_minute_for_two_days(tmp_path: Path) -> None:
    samples = Samples(tmp_path / "samples.sqlite")
    assert samples.since(0) == []
    samples.add(NOW_MS, {"backlog": 1})
    samples.add(NOW_MS + 30_000, {"backlog": 2})
    samples.add(NOW_MS + MINUTE_MS, {"backlog": 3})
    assert samples.since(NOW_MS) == [(NOW_MS, {"backlog": 2}), (NOW_MS + MINUTE_MS, {"backlog": 3})]
    samples.add(NOW_MS + KEPT_MS + MINUTE_MS, {"backlog": 4})

    assert [at_ms for at_ms, _ in samples.since(0)] == [NOW_MS + MINUTE_MS, NOW_MS + KEPT_MS + MINUTE_MS]


def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "samples.sqlite"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    samples = Samples(path)
    assert samples.since(0) == []
    samples.add(NOW_MS, {"backlog": 1})

    assert samples.since(0) == [(NOW_MS, {"backlog": 1})]


def test_thinned_samples_have_the_highest_values() -> None:
    samples = [(0, {"a": 1.0}), (1, {"a": 5.0, "b": 2.0}), (2, {"a": 3.0}), (10, {"a": 4.0})]

    assert thinned(samples, 10) == [(0, {"a": 5.0, "b": 2.0}), (10, {"a": 4.0})]


def test_requests_of_phones_are_counted_since_the_sample_before() -> None:
    requests = RequestMetrics()

    def counted() -> Counted:
        return counted_of(requests.registry.collect())

    before = counted()
    for _ in range(19):
        requests.answered("POST", "/{db}/_bulk_get", 200, 0.02)
    requests.answered("GET", "/{db}/_changes", 200, 50.0)  # held open: counted, and not slow
    requests.answered("GET", "/api/v1/person/{id}", 200, 9.0)  # no phone's
    sample = counted().since(before)

    assert sample["sync_requests"] == 20
    assert 10 < sample["sync_p50_ms"] < sample["sync_p95_ms"] <= 25
    assert counted().since(counted()) == {"sync_requests": 0}
    assert counted().since(None) == {}
    assert Counted(3, {1.0: 3}).since(Counted(50, {1.0: 50}))["sync_requests"] == 3  # the API was started again


def test_a_quantile_is_spread_within_its_bucket() -> None:
    assert quantile({0.1: 0, 0.2: 10, float("inf"): 10}, 0.5) == 0.15000000000000002
    assert quantile({0.1: 0, float("inf"): 4}, 0.5) == 0.1  # longer than the last edge that is known
    assert quantile({0.1: 0, float("inf"): 0}, 0.5) is None
    assert quantile({}, 0.5) is None


async def test_the_deployment_is_measured(
    client: TestClient[Any, Any], couch: Couch, config: Config, make_user: Any
) -> None:
    chw = await make_user("chw", roles=["chw"])
    sampler = Sampler(config, couch)
    try:
        await sampler.sample(NOW_MS)
    finally:
        await sampler.close()
    [(_, sample)] = Samples(config.samples).since(0)

    assert sample["conflicts"] == 0
    assert {"backlog", "due", "failed", "index_behind", "near_limit", "over_limit"} <= sample.keys()
    assert "sync_requests" not in sample  # the API's processes share no folder here
    answer = await client.get("/api/v1/monitoring/samples?hours=48")
    assert (answer.status, await answer.json()) == (200, [])  # long ago
    assert (await client.get("/api/v1/monitoring/samples?hours=0")).status == 400
    assert (await client.get("/api/v1/monitoring/samples", headers=chw)).status == 403
