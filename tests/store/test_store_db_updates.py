"""`_db_updates`: which databases came, changed and went."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from tests.store.store_client import ADMIN, Client, basic


async def newest(store: Client) -> str:
    seq: str = (await store.get("/_db_updates", since="now")).body["last_seq"]
    return seq


async def events(store: Client, since: str, **params: object) -> list[tuple[str, str]]:
    found = await store.get("/_db_updates", since=since, **params)
    return [(row["db_name"], row["type"]) for row in found.body["results"]]


async def test_created_updated_and_deleted_databases_are_told_in_order(store: Client) -> None:
    seq = await newest(store)

    await store.put("/one")
    await store.put("/two")
    await store.put("/one/a", {})
    await store.put("/one/b", {})
    await store.delete("/two")

    assert await events(store, seq) == [("one", "created"), ("two", "created"), ("one", "updated"), ("two", "deleted")]
    assert await events(store, seq, limit=1) == [("one", "created")]
    assert await events(store, seq, limit=1, descending=True) == [("two", "deleted")]
    assert await events(store, await newest(store)) == []


async def test_client_goes_on_where_a_limit_ended(store: Client) -> None:
    seq = await newest(store)
    await store.put("/one")
    await store.put("/two")

    first = (await store.get("/_db_updates", since=seq, limit=1)).body

    assert first["last_seq"] == first["results"][0]["seq"]
    assert await events(store, first["last_seq"]) == [("two", "created")]


async def test_seq_of_an_earlier_run_tells_every_database(store: Client) -> None:
    assert "_users" in dict(await events(store, "900-abcdef"))


async def test_longpoll_is_answered_by_news(store: Client) -> None:
    seq, headers = await newest(store), basic(*ADMIN)
    waiting = asyncio.create_task(store.get("/_db_updates", feed="longpoll", since=seq, heartbeat=50))
    async with store.session.get(
        f"{store.url}/_db_updates?feed=continuous&since=now&heartbeat=20", headers=headers
    ) as held:
        assert await held.content.readline() == b"\n"
        await store.put("/one")
        line = await held.content.readline()
        while line == b"\n":
            line = await held.content.readline()

    assert orjson.loads(line)["db_name"] == "one"
    assert [row["db_name"] for row in (await waiting).body["results"]] == ["one"]


async def test_longpoll_ends_with_its_timeout(store: Client) -> None:
    found = await store.get("/_db_updates", feed="longpoll", since="now", timeout=10)

    assert found.body["results"] == []


async def test_continuous_and_eventsource_end_with_their_timeout(store: Client) -> None:
    lines = (await store.get("/_db_updates", feed="continuous", timeout=10)).raw.splitlines()
    sent = await store.get("/_db_updates", feed="eventsource", timeout=10)

    assert {orjson.loads(line).get("db_name") for line in lines} == {"_replicator", "_users", None}
    assert "last_seq" in orjson.loads(lines[-1])
    assert sent.headers["Content-Type"] == "text/event-stream"
    assert sent.raw.count(b"\nid: ") == 2


@pytest.mark.parametrize(
    "params", [{"feed": "foo"}, {"since": "x"}, {"limit": "-1"}, {"timeout": "x"}, {"timeout": "²"}, {"heartbeat": "²"}]
)
async def test_wrong_parameter_is_400(store: Client, params: dict[str, str]) -> None:
    assert (await store.get("/_db_updates", **params)).status == 400


async def test_db_updates_are_for_server_admins(store: Client) -> None:
    asha = await store.make_user("asha", "pass-1")

    assert (await store.get("/_db_updates", user=asha)).status == 401
