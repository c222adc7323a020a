"""What is remembered of phones' lists, and who may read it (EP-OTH-2..4, MOD-93, REPL-89, REPL-132)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from api.access.listing import Listing
from api.app import create_app
from api.replication.logs import ReplicationLog
from api.sessions import User
from core.config import Config
from core.couch.client import Couch, Database
from tests.conftest import eventually


@pytest.fixture
def logs(couch: Couch, config: Config) -> Database:
    return couch.db(config.db_name("logs"))


async def get(district: Any, path: str, expected: int = 200, user: Any = None) -> Any:
    response = await district.client.get(path, headers={"Accept": "application/json", **(user or {})})
    assert response.status == expected, await response.text()
    return await response.json()


async def test_the_size_of_each_list_is_remembered(district: Any, logs: Database) -> None:
    # REPL-88, REPL-132
    listed = len((await district.get_ids())["doc_ids_revs"])
    await district.get_ids(district.sue)

    async def both() -> Any:
        found = await get(district, "/api/v1/users-doc-count")
        return found if len(found["users"]) == 2 else None

    found = await eventually(both)
    counts = {each["user"]: (each["count"], each["all_docs_count"]) for each in found["users"]}
    assert found["limit"] == 10000
    assert counts[district.asha.name] == (listed, listed)


async def test_the_size_of_one_users_list(district: Any, logs: Database) -> None:
    # EP-OTH-2, MOD-100
    await logs.put({"_id": "replication-count-tom", "user": "tom", "count": 3})

    found = await get(district, "/api/v1/users-doc-count?user=tom")
    await get(district, "/api/v1/users-doc-count?user=nobody", 404)

    assert [each["user"] for each in found["users"]] == ["tom"]


async def test_a_list_that_fails_is_remembered(district: Any, logs: Database, config: Config, indexer: Any) -> None:
    # REPL-89, MOD-93
    await indexer.close()
    config.access_index.unlink()
    moment = datetime(2024, 3, 31, 12, tzinfo=UTC)
    server = TestServer(create_app(config, now=lambda: moment))
    await server.start_server()
    try:
        url = server.make_url("/api/v1/replication/get-ids")
        both = await asyncio.gather(*(district.client.session.get(url, headers=district.asha) for _ in range(2)))
        assert [each.status for each in both] == [503, 503]
        doc_id = f"replication-fail-2024-03-{district.asha.name}"

        async def twice() -> Any:
            doc = await logs.find(doc_id)
            return doc if doc and doc["total_failures"] == 2 else None

        doc = await eventually(twice)
    finally:
        await server.close()

    entry = doc["failures"][0]
    assert (doc["user"], doc["reporting_period"], doc["daily_failures"]) == (
        district.asha.name,
        "2024-03",
        {"2024-03-31": 2},
    )
    assert (entry["status_code"], entry["roles"]) == (503, ["chw"])
    assert {each["request_id"] for each in doc["failures"]} == {each.headers["X-Request-Id"] for each in both}
    assert (entry["date"], entry["duration"], len(doc["failures"])) == (moment.timestamp() * 1000, 0, 2)


def failures(month: str, user: str, days: dict[str, int], *moments_ms: int) -> dict[str, Any]:
    return {
        "_id": f"replication-fail-{month}-{user}",
        "user": user,
        "reporting_period": month,
        "daily_failures": days,
        "failures": [{"date": each, "status_code": 500} for each in moments_ms],
    }


async def test_failures_by_month_and_by_user(district: Any, logs: Database) -> None:
    # EP-OTH-3
    month = datetime.now(UTC).strftime("%Y-%m")
    await logs.bulk_docs(
        [
            failures("2023-12", "tom", {"2023-12-30": 1}),
            failures("2024-02", "tom", {"2024-02-01": 2}),
            failures("2024-02", "ann", {"2024-02-01": 2}),
            failures(month, "sue", {f"{month}-01": 1}),
        ]
    )

    async def told(query: str) -> list[str]:
        path = f"/api/v1/replication-failure-logs?{query}"
        return [each["_id"].removeprefix("replication-fail-") for each in (await get(district, path))["data"]]

    assert await told("") == [f"{month}-sue"]
    assert await told("reporting_period=2024-02") == ["2024-02-ann", "2024-02-tom"]
    assert await told("user=tom") == ["2023-12-tom", "2024-02-tom"]
    assert await told("user=tom&reporting_period=2024-02") == ["2024-02-tom"]
    assert await told("user=nobody") == []
    first = await get(district, "/api/v1/replication-failure-logs?reporting_period=2024-02&limit=1")
    rest = await told(f"reporting_period=2024-02&limit=1&cursor={first['cursor']}")
    assert [first["data"][0]["user"], *rest] == ["ann", "2024-02-tom"]


async def test_who_failed_most_and_since_when(district: Any, logs: Database) -> None:
    # EP-OTH-4
    now = datetime.now(UTC)
    today, before = now.date().isoformat(), (now - timedelta(days=1)).date().isoformat()
    long_ago = (now - timedelta(days=40)).date().isoformat()
    now_ms = round(now.timestamp() * 1000)
    await logs.bulk_docs(
        [
            failures(today[:7], "tom", {today: 3}, now_ms, now_ms - 10, now_ms - 5000),
            {"_id": "replication-count-tom", "user": "tom", "date": now_ms - 1000},
            failures(before[:7], "ann", {before: 1}),
            failures(long_ago[:7], "old", {long_ago: 9}),
        ]
    )

    found = (await get(district, "/api/v1/replication-health/failed"))["users"]
    often = (await get(district, "/api/v1/replication-health/failed?days=1&min_failures=2"))["users"]

    assert [(each["user"], each["failures_in_window"]) for each in found] == [("tom", 3), ("ann", 1)]
    assert [each["user"] for each in often] == ["tom"]
    tom, ann = found
    assert tom["last_replication_date"] == now_ms - 1000
    assert tom["failures_since_last_replication"] in (2, 3)  # 3 where the day changes between them
    assert (ann["last_replication_date"], ann["failures_since_last_replication"]) == (None, 1)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("replication-health/failed?days=0", '"days" must be a positive integer'),
        ("replication-health/failed?days=x", '"days" must be a positive integer'),
        ("replication-health/failed?min_failures=-1", '"min_failures" must be a positive integer'),
        ("replication-failure-logs?reporting_period=2024-13", '"reporting_period" must be a month'),
    ],
)
async def test_wrong_parameters_are_told(district: Any, path: str, reason: str) -> None:
    answer = await get(district, f"/api/v1/{path}", 400)

    assert answer["error"].startswith(reason)


@pytest.mark.parametrize("path", ["users-doc-count", "replication-failure-logs", "replication-health/failed"])
async def test_only_server_administrators_read_logs(district: Any, path: str, make_user: Any) -> None:
    boss = await make_user("boss", roles=["national_admin"])

    await get(district, f"/api/v1/{path}", 403, boss)
    await get(district, f"/api/v1/{path}", 403, district.asha)
    async with district.client.session.get(
        district.client.make_url(f"/api/v1/{path}"), headers={"Authorization": ""}
    ) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic")


async def test_a_list_that_is_too_long_is_logged_once_an_hour(logs: Database, caplog: Any) -> None:
    # REPL-80, REPL-130
    user = User("asha", ("chw",), offline=True)
    hour_ms, moments = 3_600_000, [0]
    log = ReplicationLog(logs, set(), lambda: moments[0])

    def warnings() -> int:
        return sum("asha replicates 10000 documents" in record.message for record in caplog.records)

    for count, moment_ms, expected in ((9_999, 0, 0), (10_000, 1, 1), (10_000, hour_ms, 1), (10_000, hour_ms + 2, 2)):
        moments[0] = moment_ms
        log.note_count(user, Listing(count, 0, 0, 0, b"", ""))
        assert warnings() == expected
