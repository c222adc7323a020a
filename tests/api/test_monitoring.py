"""The monitoring resource (30 §14)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from api.metrics import Metrics
from core.config import Config
from core.couch.client import Couch, Database
from tests.conftest import eventually

Client = TestClient[Any, Any]
ANONYMOUS = {"Authorization": ""}


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_everybody_gets_every_documented_metric(client: Client, config: Config) -> None:
    answer = await client.get("/api/v1/monitoring", headers=ANONYMOUS)
    metrics = await answer.json()

    assert answer.status == 200  # EP-MON-1
    assert all(isinstance(metrics["version"][name], str) for name in ("app", "node", "couchdb"))
    assert {key: each["name"] for key, each in metrics["couchdb"].items()} == {
        "medic": config.database,
        "sentinel": f"{config.database}-sentinel",
        "usersmeta": f"{config.database}-users-meta",
        "users": "_users",
    }
    for each in metrics["couchdb"].values():
        assert isinstance(each["update_sequence"], int)
        assert each["doc_count"] >= 1
        assert each["doc_del_count"] >= 0
        assert each["fragmentation"] > 0
    assert metrics["date"]["current"] > 1_700_000_000_000
    assert metrics["date"]["uptime"] >= 0
    assert metrics["sentinel"]["backlog"] >= 0
    assert set(metrics["messaging"]["outgoing"]) == {"due", "scheduled", "muted", "state"}
    assert metrics["outbound_push"]["backlog"] == metrics["feedback"]["count"] == metrics["conflict"]["count"] == 0


async def test_wrong_parameters_are_400(client: Client) -> None:
    answer = await client.get("/api/v1/monitoring?connected_user_interval=x", headers=ANONYMOUS)

    assert answer.status == 400
    assert "`connected_user_interval` must be a whole number from 1 to 90" in await answer.text()


def message(state: str, n: int) -> dict[str, Any]:
    return {"state": state, "messages": [{"uuid": f"u{n}", "to": "+1", "message": "hi"}]}


async def test_messages_are_counted_by_what_becomes_of_them(couch: Couch, config: Config, db: Database) -> None:
    states = ["pending", "forwarded-to-gateway", "sent", "delivered", "failed", "muted", "cleared", "denied"]
    tasks = [message(state, n) for n, state in enumerate(states)]
    scheduled = [message("scheduled", 10), {"state": "scheduled", "message_key": "m", "recipient": "clinic"}]
    await db.put({"_id": "r", "type": "data_record", "reported_date": 1, "tasks": tasks, "scheduled_tasks": scheduled})
    clock = Clock()
    metrics = Metrics(couch, config, clock=clock)

    async def counted() -> Any:
        clock.now += 6
        outgoing = (await metrics.collect())["messaging"]["outgoing"]
        return outgoing if outgoing["scheduled"] else None

    outgoing = await eventually(counted)
    assert outgoing["state"] == {"due": 5, "scheduled": 2, "muted": 3, "failed": 1, "delivered": 2}  # EP-MON-3, DIV-20
    assert (outgoing["due"], outgoing["scheduled"], outgoing["muted"]) == (2, 2, 3)  # DIV-27


async def test_the_backlog_is_what_the_worker_has_not_passed(
    couch: Couch, config: Config, db: Database, sentinel_db: Database
) -> None:
    position = (await db.info())["update_seq"]
    await sentinel_db.put_local("transitions-seq", {"value": position})
    await db.bulk_docs([{"_id": f"d{n}"} for n in range(3)])

    assert (await Metrics(couch, config).collect())["sentinel"]["backlog"] == 3  # SEN-19, DIV-28, MOD-91


async def test_conflicts_are_counted(couch: Couch, config: Config, db: Database) -> None:
    versions = [{"_id": "c", "_rev": f"1-{digit * 32}", "n": digit} for digit in "ab"]
    await db.bulk_docs(versions, new_edits=False)
    clock = Clock()
    metrics = Metrics(couch, config, clock=clock)

    async def counted() -> bool:
        clock.now += 6
        return bool((await metrics.collect())["conflict"]["count"] == 1)

    assert await eventually(counted)  # EP-MON-1


async def test_a_failing_source_spoils_its_own_metric_only(couch: Couch, config: Config) -> None:
    await couch.db(config.db_name("users-meta")).delete_database()
    metrics = await Metrics(couch, config).collect()

    assert metrics["feedback"]["count"] == -1  # EP-MON-2, 30 §19 check 13
    assert metrics["couchdb"]["usersmeta"] == {
        "name": "",
        "update_sequence": -1,
        "doc_count": -1,
        "doc_del_count": -1,
        "fragmentation": -1,
    }
    assert metrics["couchdb"]["medic"]["doc_count"] > 0
    assert metrics["conflict"]["count"] == 0


async def test_nothing_works_but_the_answer_is_still_given(config: Config) -> None:
    from core.couch.client import connect

    async with connect(config.with_couch_url("http://a:b@127.0.0.1:9/medic")) as unreachable:
        metrics = await Metrics(unreachable, config).collect()

    assert metrics["version"]["couchdb"] == ""  # EP-MON-2
    assert metrics["messaging"]["outgoing"]["due"] == -1
    assert metrics["sentinel"]["backlog"] == -1


@pytest.mark.parametrize(("passed_s", "fresh"), [(4.9, False), (5.1, True)])
async def test_the_answer_is_kept_for_five_seconds(couch: Couch, config: Config, passed_s: float, fresh: bool) -> None:
    clock = Clock()
    metrics = Metrics(couch, config, clock=clock)
    first, same = await asyncio.gather(metrics.collect(), metrics.collect())
    clock.now += passed_s
    later = await metrics.collect()

    assert first is same  # EP-MON-5
    assert (later is not first) is fresh


async def test_the_worker_tells_how_it_is(couch: Couch, config: Config, sentinel_db: Database) -> None:
    unknown = (await Metrics(couch, config).collect())["sentinel"]
    numbers = {"retries": 3, "failed": 1, "failed_jobs": 2, "overdue_tasks": 7}
    state = {"transitions_disabled": True, **numbers, "owner": "x"}
    await sentinel_db.put_local("worker-state", state)
    told = (await Metrics(couch, config).collect())["sentinel"]

    del unknown["backlog"], told["backlog"]
    assert unknown == {"transitions_disabled": None, **dict.fromkeys(numbers, -1)}
    assert told == {"transitions_disabled": True, **numbers}  # SEN-14, SEN-16
