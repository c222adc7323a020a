"""What `/metrics` tells: complete, of every worker, and without anybody's name."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import orjson
import pytest
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families

from core.couch.client import Database
from tests.conftest import basic, free_port, wait_for_http

DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana-dashboard.json"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(client: TestClient[Any, Any], path: str = "/metrics") -> Samples:
    response = await client.get(path, headers={"Authorization": ""})
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    return samples(await response.text())


async def test_requests_are_counted_by_route_and_status(client: TestClient[Any, Any]) -> None:
    for name in ("a", "b"):
        await client.get(f"/api/v1/person/{name}")

    found = await scrape(client)

    labels = (("method", "GET"), ("route", "/api/v1/person/{id}"), ("status", "404"))
    assert found["outpost_http_requests_total", labels] == 2
    assert found["outpost_http_request_duration_seconds_count", labels[:2]] == 2
    assert found["outpost_http_requests_in_progress", ()] == 1  # this one


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/{db}/_all_docs?limit=1", "/{db}/_all_docs"),
        ("/{db}//settings", "/{db}/{doc}"),
        ("/medic/settings", "/{db}/{doc}"),
        ("/_users/_all_docs", "/{other}/_all_docs"),
        ("/no-such-database/x", "/{other}/{doc}"),
    ],
)
async def test_what_goes_to_couchdb_is_told_apart_by_its_kind(
    client: TestClient[Any, Any], db: Database, path: str, route: str
) -> None:
    await client.get(path.replace("{db}", db.name))

    found = await scrape(client)

    routes = [dict(labels)["route"] for name, labels in found if name == "outpost_http_requests_total"]
    assert route in routes


async def test_metrics_name_no_document_and_no_user(
    client: TestClient[Any, Any], make_user: Callable[..., Awaitable[dict[str, str]]]
) -> None:
    login = await make_user("asha", roles=["nurse"])
    await client.get("/medic/some-document", headers=login)
    await client.get("/api/v1/person/some-document", headers=login)

    response = await client.get("/metrics")

    text = await response.text()
    assert "some-document" not in text
    assert "asha" not in text


async def test_the_deployment_is_measured(client: TestClient[Any, Any], db: Database) -> None:
    await db.put({"_id": "p", "type": "person", "name": "Asha"})

    found = await scrape(client)

    databases = ("medic", "sentinel", "usersmeta", "users")
    assert all(("outpost_database_documents", (("database", each),)) in found for each in databases)
    assert found["outpost_database_documents", (("database", "medic"),)] > 1
    assert found["outpost_users", ()] >= 0
    assert found["outpost_sentinel_backlog_changes", ()] >= 1
    assert found["outpost_access_index_behind_changes", ()] >= 0
    assert found["outpost_search_index_behind_changes", ()] >= 0
    assert found["outpost_conflicts", ()] == 0
    assert found["outpost_shared_shortcodes", ()] == 0
    assert found["outpost_replication_near_limit_users", ()] == 0
    assert found["outpost_sentinel_active", ()] == 0
    states = {dict(labels)["state"] for name, labels in found if name == "outpost_messages"}
    assert states == {"due", "scheduled", "muted", "failed", "delivered"}


async def test_what_could_not_be_measured_is_left_out(client: TestClient[Any, Any]) -> None:
    found = await scrape(client)

    assert [name for (name, _), value in found.items() if value < 0] == []
    assert ("outpost_sentinel_retries", ()) not in found  # no worker has told yet


async def test_lists_of_phones_are_counted_with_their_size(
    client: TestClient[Any, Any], db: Database, make_user: Callable[..., Awaitable[dict[str, str]]]
) -> None:
    await db.put({"_id": "hc", "type": "health_center", "name": "Kanga"})
    login = await make_user("asha", roles=["chw"], facility_id="hc", contact_id="p")
    response = await client.get("/api/v1/replication/get-ids", headers=login)
    listed = len((await response.json())["doc_ids_revs"])

    found = await scrape(client)

    assert found["outpost_replication_list_documents_count", ()] == 1
    assert found["outpost_replication_list_documents_sum", ()] == listed


async def test_the_older_name_tells_of_requests_with_its_prefix(client: TestClient[Any, Any]) -> None:
    # AUTH-129
    await client.get("/api/info")

    found = await scrape(client, "/api/v1/express-metrics")

    assert found["cht_api_http_requests_total", (("method", "GET"), ("route", "/api/info"), ("status", "200"))] == 1
    assert {name for name, _ in found if not name.startswith("cht_api_")} == set()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux' /proc")
async def test_this_process_tells_its_memory(client: TestClient[Any, Any]) -> None:
    found = await scrape(client)

    [memory] = [value for (name, _), value in found.items() if name == "outpost_process_resident_memory_bytes"]
    assert memory > 10_000_000


async def test_the_dashboard_uses_metrics_that_exist(client: TestClient[Any, Any], db: Database) -> None:
    await client.get("/api/info")
    found = await scrape(client)
    told = {name for name, _ in found} | UNTOLD_WITHOUT_A_WORKER
    dashboard = orjson.loads(DASHBOARD.read_bytes())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]

    used = {name for query in queries for name in re.findall(r"\b(?:outpost|cht_api)_\w+", query)}
    assert used
    assert used - told == set()


UNTOLD_WITHOUT_A_WORKER = {
    f"outpost_{name}"
    for name in ("overdue_tasks", "sentinel_retries", "sentinel_failed_changes", "sentinel_failed_jobs")
} | {"outpost_sentinel_transitions_disabled"}


def test_one_answer_tells_of_all_workers(embedded_store: str, tmp_path: Path) -> None:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("OUTPOST_")}
    env |= {"COUCH_URL": f"{embedded_store}/medic-{secrets.token_hex(5)}", "OUTPOST_LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "outpost", "api", "--port", str(port), "--data", str(tmp_path), "--workers", "2"]
    url = f"http://127.0.0.1:{port}"

    def asked() -> Samples:
        with urlopen(Request(f"{url}/metrics", headers=basic("admin", "secret")), timeout=20) as answer:
            return samples(answer.read().decode())

    def both_workers() -> bool:
        return len({dict(labels)["pid"] for _, labels in asked() if ("process", "worker") in labels}) == 2

    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        wait_for_http(f"{url}/api/info", within_s=60)
        deadline = time.monotonic() + 60
        while not both_workers():
            assert time.monotonic() < deadline, "a worker has not counted"
        before = requests_of_info(asked())
        for _ in range(40):  # a connection each: the system spreads them over the workers
            with urlopen(f"{url}/api/info", timeout=20):
                pass

        if os.access("/dev/shm", os.W_OK):  # on a full disk, counting in mapped files would be the workers' end
            assert not (tmp_path / "metrics").exists()
        while requests_of_info(asked()) != before + 40:  # a request is counted after its answer
            assert time.monotonic() < deadline, "a request was not counted, or counted twice"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def requests_of_info(found: Samples) -> float:
    return found.get(
        ("outpost_http_requests_total", (("method", "GET"), ("route", "/api/info"), ("status", "200"))), 0.0
    )
