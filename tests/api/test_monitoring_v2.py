"""GET /api/v2/monitoring (30 EP-MON-4)."""

from __future__ import annotations

from typing import Any

from aiohttp.test_utils import TestClient

from api.metrics import Metrics
from core.config import Config
from core.couch.client import Couch, Database

Client = TestClient[Any, Any]
NOW_MS = 1_709_294_400_000  # 2024-03-01T12:00:00Z
DAY_MS = 86_400_000


def task(state: str, days_ago: float) -> dict[str, Any]:
    moment_ms = int(NOW_MS - days_ago * DAY_MS)
    message = {"uuid": f"{state}-{days_ago}", "to": "+254711000111", "message": "hi"}
    return {"messages": [message], "state": state, "due": moment_ms, "timestamp": moment_ms}


async def test_everybody_gets_the_documented_metrics(client: Client) -> None:
    answer = await client.get("/api/v2/monitoring", headers={"Authorization": ""})
    first = await (await client.get("/api/v1/monitoring")).json()

    body = await answer.json()
    assert answer.status == 200
    assert set(body) == {*first, "replication_failure"}
    outgoing = body["messaging"]["outgoing"]
    groups = {"due", "scheduled", "muted", "failed", "delivered"}
    assert (set(outgoing["total"]), set(outgoing["seven_days"])) == (groups, groups)
    assert {group: set(states) for group, states in outgoing["last_hundred"].items()} == {
        "pending": {"pending", "forwarded-to-gateway", "received-by-gateway", "forwarded-by-gateway"},
        "final": {"sent", "delivered", "failed"},
        "muted": {"denied", "cleared", "muted", "duplicate"},
    }


async def test_messages_lately_and_of_all_times(couch: Couch, config: Config, db: Database) -> None:
    # Seven days before noon that day began with the 23rd of February: 7.4 days ago is in it, 7.6 is not.
    tasks = [task("pending", 1), task("sent", 7.4), task("failed", 7.6), task("muted", 2), task("scheduled", -1)]
    crowd = [task("delivered", 30 + each / 100) for each in range(120)]
    await db.bulk_docs([{"_id": "a", "type": "data_record", "tasks": tasks}, {"_id": "b", "tasks": crowd}])
    for ddoc, view in (("medic-admin", "message_queue"), ("medic-sms", "messages_by_last_updated_state")):
        await db.view(ddoc, view, reduce=False, limit=1)

    outgoing = (await Metrics(couch, config, now_ms=lambda: NOW_MS).collect_v2())["messaging"]["outgoing"]

    assert outgoing["total"] == {"due": 123, "scheduled": 1, "muted": 1, "failed": 1, "delivered": 121}
    assert outgoing["seven_days"] == {"due": 2, "scheduled": 0, "muted": 1, "failed": 0, "delivered": 1}
    assert outgoing["last_hundred"]["final"] == {"sent": 1, "delivered": 98, "failed": 1}
    assert outgoing["last_hundred"]["pending"]["pending"] == 1
    assert outgoing["last_hundred"]["muted"]["muted"] == 1


async def test_failed_replications_are_counted(couch: Couch, config: Config) -> None:
    logs = couch.db(config.db_name("logs"))
    days = {"2024-02-29": 3, "2024-02-23": 2, "2024-02-10": 9}
    await logs.put({"_id": "replication-fail-2024-02-asha", "user": "asha", "daily_failures": days})
    await logs.view("logs", "replication_failures")

    metrics = Metrics(couch, config, now_ms=lambda: NOW_MS)

    assert (await metrics.collect_v2())["replication_failure"] == {"count": 5}
    assert (await metrics.collect_v2(60))["replication_failure"] == {"count": 14}


async def test_nothing_works_but_the_answer_is_still_given(couch: Couch, config: Config, db: Database) -> None:
    await db.delete_database()
    try:
        metrics = await Metrics(couch, config).collect_v2()
    finally:
        await db.create()

    assert metrics["messaging"]["outgoing"]["seven_days"]["due"] == -1  # EP-MON-2
    assert metrics["messaging"]["outgoing"]["last_hundred"]["final"]["sent"] == -1
