"""The message queue: listed by state, tried again, muted (40 §7, 30 EP-MON-3)."""

from __future__ import annotations

import time
from typing import Any

from aiohttp.test_utils import TestClient

from core.couch.client import Database

Client = TestClient[Any, Any]
LATER = "2131-01-01T00:00:00.000Z"


def task(uuid: str, state: str, **members: Any) -> dict[str, Any]:
    message = {"uuid": uuid, "to": "+254700000001", "message": f"text of {uuid}"}
    return {"messages": [message], "state": state, "state_history": [{"state": state}], **members}


async def store(db: Database, doc_id: str, reported_ms: int, **members: Any) -> None:
    await db.put({"_id": doc_id, "type": "data_record", "reported_date": reported_ms, **members})


async def listed(client: Client, **query: str) -> dict[str, Any]:
    answer = await client.get("/api/v1/messages", params=query)
    assert answer.status == 200, await answer.text()
    found: dict[str, Any] = await answer.json()
    return found


async def test_pages_bring_every_message_once(client: Client, db: Database) -> None:
    for at in range(3):
        await store(db, f"record-{at}", 1000 + at % 2, tasks=[task(f"{at}-{n}", "failed") for n in range(3)])
    await store(db, "waits", 5, tasks=[task("offered", "forwarded-to-gateway"), task("new", "pending")])
    seen, cursor = [], ""
    for _ in range(6):
        page = await listed(client, state="failed", limit="2", cursor=cursor)
        seen += [each["id"] for each in page["data"]]
        cursor = page["cursor"]
        if cursor is None:
            break

    assert sorted(seen) == sorted(f"{at}-{n}" for at in range(3) for n in range(3))
    assert seen[0].startswith("1-")  # the newest first
    waiting = (await listed(client, state="pending-or-forwarded"))["data"]
    assert {(each["id"], each["state"]) for each in waiting} == {
        ("offered", "forwarded-to-gateway"),
        ("new", "pending"),
    }


async def test_pages_part_messages_that_are_not_rendered_yet(client: Client, db: Database) -> None:
    scheduled = [{"state": "scheduled", "due": 4_102_444_800_000, "message_key": f"visit-{n}"} for n in range(5)]
    await store(db, "pregnancy", 1000, scheduled_tasks=scheduled)
    first = await listed(client, state="scheduled", limit="2")
    second = await listed(client, state="scheduled", limit="2", cursor=first["cursor"])
    third = await listed(client, state="scheduled", limit="2", cursor=second["cursor"])
    pages = [[each["task"] for each in page["data"]] for page in (first, second, third)]

    assert pages == [
        ["scheduled_tasks.0", "scheduled_tasks.1"],
        ["scheduled_tasks.2", "scheduled_tasks.3"],
        ["scheduled_tasks.4"],
    ]
    assert third["cursor"] is None


async def test_a_failed_message_is_tried_again(client: Client, db: Database) -> None:
    failed = task("u1", "failed", state_details={"reason": "no credit"})
    await store(db, "record", 1000, tasks=[failed, task("u2", "sent")])
    [message] = (await listed(client, state="failed"))["data"]
    assert message["reason"] == "no credit"
    named = {name: message[name] for name in ("doc_id", "task", "id")}
    sent = {"doc_id": "record", "task": "tasks.1", "id": "u2"}
    moved = {"doc_id": "record", "task": "tasks.1", "id": "u1"}
    answer = await client.post("/api/v1/messages/retry", json={"messages": [named, sent, moved]})

    outcomes = (await answer.json())["messages"]
    assert [(each["changed"], each["state"]) for each in outcomes] == [
        (True, "pending"),
        (False, "sent"),
        (False, None),
    ]
    doc = await db.get("record")
    assert [each["state"] for each in doc["tasks"]] == ["pending", "sent"]
    assert [each["state"] for each in doc["tasks"][0]["state_history"]] == ["failed", "pending"]  # TSK-1
    exchange = await (await client.post("/api/sms", json={})).json()
    assert [each["id"] for each in exchange["messages"]] == ["u1"]


async def test_a_scheduled_message_is_muted_and_scheduled_again(client: Client, db: Database) -> None:
    unmade = {"due": LATER, "message_key": "anc.visit", "recipient": "reporting_unit", "state": "scheduled"}
    await store(db, "record", 1000, scheduled_tasks=[unmade, {**unmade}])
    messages = (await listed(client, state="scheduled"))["data"]
    assert [(each["task"], each["translation_key"], each["id"]) for each in messages] == [
        ("scheduled_tasks.0", "anc.visit", None),
        ("scheduled_tasks.1", "anc.visit", None),
    ]
    named = [{"doc_id": "record", "task": each["task"]} for each in messages[1:]]
    await client.post("/api/v1/messages/mute", json={"messages": named})
    assert [each["state"] for each in (await db.get("record"))["scheduled_tasks"]] == ["scheduled", "muted"]
    await client.post("/api/v1/messages/retry", json={"messages": named})

    assert [each["state"] for each in (await db.get("record"))["scheduled_tasks"]] == ["scheduled", "scheduled"]


async def test_bad_input_is_named(client: Client) -> None:
    cases = [
        ({"messages": []}, "messages"),
        ({"messages": [{"doc_id": "a"}]}, "messages[0].task"),
        ({"messages": [{"doc_id": "a", "task": "tasks.0", "id": 3}]}, "messages[0].id"),
        ([], "messages"),
    ]
    for body, name in cases:
        answer = await client.post("/api/v1/messages/mute", json=body)
        assert (answer.status, name in await answer.text()) == (400, True)
    for query in (
        {},
        {"state": "lost"},
        {"state": "failed", "cursor": "AAAA"},
        {"state": "failed", "cursor": "WzAsIngiXQ"},
    ):
        assert (await client.get("/api/v1/messages", params=query)).status == 400


async def test_who_may_look_and_who_may_change(client: Client, make_user: Any) -> None:
    officer, finance = await make_user("po", roles=["program_officer"]), await make_user("crfo", roles=["crfo"])
    clerk, chw = await make_user("clerk", roles=["data_entry"]), await make_user("chw", roles=["chw"])
    body = {"messages": [{"doc_id": "none", "task": "tasks.0"}]}

    async def statuses(user: dict[str, str]) -> tuple[int, int]:
        look = await client.get("/api/v1/messages?state=failed", headers=user)
        return look.status, (await client.post("/api/v1/messages/mute", json=body, headers=user)).status

    assert [await statuses(each) for each in (officer, finance, clerk, chw)] == [
        (200, 200),
        (200, 403),
        (403, 403),
        (403, 403),
    ]


async def test_what_waits_for_gateways_is_counted_by_age(
    client: Client, db: Database, make_user: Any
) -> None:  # SMS-28
    now_ms = int(time.time() * 1000)
    tasks = [task(f"m{age_min}", "pending", timestamp=now_ms - age_min * 60_000) for age_min in (5, 90, 60 * 24 * 30)]
    offered = task("o", "forwarded-to-gateway", timestamp=now_ms - 1000)
    await store(db, "d-1", 1000, tasks=[*tasks, offered])
    await db.put_local("sms-offers", {"offers": {"o": [6, now_ms], "gone": [9, now_ms]}})
    answer = await client.get("/api/v1/messages/queue")
    queue = await answer.json()

    pending, unacknowledged = queue["waiting"]
    assert (pending["state"], pending["count"]) == ("pending", 3)
    assert pending["oldest_due"] == now_ms - 60 * 24 * 30 * 60_000
    assert pending["ages"] == {"hour": 1, "day": 1, "week": 0, "older": 1}
    assert (unacknowledged["state"], unacknowledged["count"]) == ("forwarded-to-gateway", 1)
    assert queue["offered_often"] == 1
    chw = await make_user("chw", roles=["chw"])
    assert (await client.get("/api/v1/messages/queue", headers=chw)).status == 403


async def test_gateway_that_came_is_told_with_its_time(client: Client, make_user: Any) -> None:  # SMS-28
    before_ms = int(time.time() * 1000)
    for name in ("north", "south"):
        headers = await make_user(name, roles=["gateway"])
        assert (await client.post("/api/sms", json={}, headers=headers)).status == 200

    gateways = (await (await client.get("/api/v1/messages/queue")).json())["gateways"]
    assert {each["name"].partition("-")[0] for each in gateways} == {"south", "north"}
    assert all(before_ms <= each["last_exchange"] <= time.time() * 1000 for each in gateways)
