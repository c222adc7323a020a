"""`_changes` in its modes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import StreamReader

from tests.store.store_client import ADMIN, Client, basic


async def write(store: Client, db: str, *ids: str) -> None:
    for doc_id in ids:
        assert (await store.put(f"{db}/{doc_id}", {})).status == 201


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer.body["results"]]


@asynccontextmanager
async def hold(store: Client, db: str, query: str) -> AsyncIterator[StreamReader]:
    """The body of a long poll that the store has begun to answer: what is written now comes after `since=now`."""
    async with store.session.get(f"{store.url}{db}/_changes?{query}", headers=basic(*ADMIN)) as response:
        yield response.content


async def test_each_document_appears_once_at_its_latest_change(store: Client, db: str) -> None:
    await write(store, db, "a", "b")
    rev = (await store.get(f"{db}/a")).body["_rev"]
    await store.put(f"{db}/a", {"x": 1}, rev=rev)

    answer = await store.get(f"{db}/_changes", include_docs=True)

    assert ids(answer) == ["b", "a"]
    assert answer.body["results"][1]["doc"]["x"] == 1
    assert answer.body["last_seq"] == answer.body["results"][1]["seq"] == (await store.get(db)).body["update_seq"]
    assert answer.body["pending"] == 0


async def test_pages_by_since_and_limit_see_everything_once(store: Client, db: str) -> None:
    await write(store, db, *"abcdefg")
    seen, since, pending = [], "0", None
    while pending != 0:
        page = await store.get(f"{db}/_changes", since=since, limit=3)
        seen += ids(page)
        since, pending = page.body["last_seq"], page.body["pending"]

    assert seen == list("abcdefg")


async def test_since_now_and_since_number(store: Client, db: str) -> None:
    await write(store, db, "a", "b")

    assert ids(await store.get(f"{db}/_changes", since="now")) == []
    assert ids(await store.get(f"{db}/_changes", since=1)) == ["b"]


async def test_seq_of_another_database_starts_from_the_beginning(store: Client, db: str) -> None:
    await write(store, db, "a", "b")
    old = (await store.get(db)).body["update_seq"]
    await store.delete(db)
    await store.put(db)
    await write(store, db, "c", "d")

    assert ids(await store.get(f"{db}/_changes", since=old)) == ["c", "d"]


async def test_descending_begins_with_the_newest(store: Client, db: str) -> None:
    await write(store, db, "a", "b", "c")

    assert ids(await store.get(f"{db}/_changes", descending=True, limit=2)) == ["c", "b"]


async def test_descending_ends_with_the_oldest_whatever_since_says(store: Client, db: str) -> None:
    await write(store, db, "a", "b", "c")

    assert ids(await store.get(f"{db}/_changes", descending=True, since="now")) == ["c", "b", "a"]


async def test_all_docs_style_names_every_leaf(store: Client, db: str) -> None:
    docs = [{"_id": "a", "_rev": "1-x"}, {"_id": "a", "_rev": "1-y"}]
    await store.post(f"{db}/_bulk_docs", {"docs": docs, "new_edits": False})

    main = await store.get(f"{db}/_changes")
    every = await store.get(f"{db}/_changes", style="all_docs")

    assert main.body["results"][0]["changes"] == [{"rev": "1-y"}]
    assert every.body["results"][0]["changes"] == [{"rev": "1-y"}, {"rev": "1-x"}]


async def test_doc_ids_and_design_filters(store: Client, db: str) -> None:
    await write(store, db, "a", "b", "_design/d", "c")

    by_post = await store.post(f"{db}/_changes", {"doc_ids": ["c", "a", "zz"]}, filter="_doc_ids")
    by_get = await store.get(f"{db}/_changes", filter="_doc_ids", doc_ids=["b"])
    design = await store.get(f"{db}/_changes", filter="_design")

    assert (ids(by_post), ids(by_get), ids(design)) == (["a", "c"], ["b"], ["_design/d"])


async def test_function_of_a_design_document_filters(store: Client, db: str) -> None:
    await store.put(
        f"{db}/_design/d",
        {
            "filters": {"of": "function (doc, req) { return doc.form === req.query.form; }"},
            "views": {"v": {"map": "function (doc) { if (doc.form) { emit(doc.form); } }"}},
        },
    )
    await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": f"r{n}", "form": "AB"[n % 2]} for n in range(450)]})

    by_filter = await store.get(f"{db}/_changes", filter="d/of", form="A")
    by_view = await store.get(f"{db}/_changes", filter="_view", view="d/v", limit=5)

    assert ids(by_filter) == [f"r{n}" for n in range(0, 450, 2)]
    assert ids(by_view) == [f"r{n}" for n in range(5)]
    assert (await store.get(f"{db}/_changes", filter="d/none")).status == 404


async def test_longpoll_answers_at_once_when_there_is_something(store: Client, db: str) -> None:
    await write(store, db, "a")

    assert ids(await store.get(f"{db}/_changes", feed="longpoll")) == ["a"]


async def test_longpoll_waits_for_the_next_change(store: Client, db: str) -> None:
    await write(store, db, "a")
    async with hold(store, db, "feed=longpoll&since=now") as feed:
        await write(store, db, "b")
        answer = orjson.loads(await feed.read())

    assert [row["id"] for row in answer["results"]] == ["b"]
    assert answer["last_seq"].startswith("2-")


async def test_longpoll_ends_empty_when_its_time_is_over(store: Client, db: str) -> None:
    await write(store, db, "a")

    answer = await store.get(f"{db}/_changes", feed="longpoll", since="now", timeout=50)

    assert (ids(answer), answer.body["last_seq"][:2]) == ([], "1-")


async def test_filtered_longpoll_is_not_ended_by_what_it_filters_out(store: Client, db: str) -> None:
    async with hold(store, db, 'feed=longpoll&since=now&filter=_doc_ids&doc_ids=["b"]') as feed:
        await write(store, db, "a")
        await write(store, db, "b")
        answer = orjson.loads(await feed.read())

    assert [row["id"] for row in answer["results"]] == ["b"]


async def test_continuous_feed_sends_changes_as_they_come_and_heartbeats(store: Client, db: str) -> None:
    await write(store, db, "a")
    url = f"{store.url}{db}/_changes?feed=continuous&heartbeat=50"
    async with store.session.get(url, headers=basic(*ADMIN)) as response:
        first = orjson.loads(await response.content.readline())
        beat = await response.content.readline()
        await write(store, db, "b")
        line = b"\n"
        while line == b"\n":
            line = await asyncio.wait_for(response.content.readline(), 30)

    assert (first["id"], beat, orjson.loads(line)["id"]) == ("a", b"\n", "b")


async def test_continuous_feed_answers_its_headers_before_any_news(store: Client, db: str) -> None:
    url = f"{store.url}{db}/_changes?feed=continuous&heartbeat=60000&since=now"
    async with asyncio.timeout(30), store.session.get(url, headers=basic(*ADMIN)) as response:
        assert response.status == 200


async def test_continuous_feed_ends_with_its_last_seq(store: Client, db: str) -> None:
    await write(store, db, "a", "b", "c")

    limited = await store.get(f"{db}/_changes", feed="continuous", limit=2)
    timed = await store.get(f"{db}/_changes", feed="continuous", timeout=20)

    lines = [orjson.loads(line) for line in limited.raw.splitlines()]
    assert [line.get("id") for line in lines] == ["a", "b", None]
    assert (lines[2]["last_seq"][:2], lines[2]["pending"]) == ("2-", 1)
    assert len(timed.raw.splitlines()) == 4


async def test_eventsource_carries_ids_to_go_on_from(store: Client, db: str) -> None:
    await write(store, db, "a", "b")

    answer = await store.get(f"{db}/_changes", feed="eventsource", limit=1, timeout=20)
    seq = answer.raw.decode().split("id: ")[1].split("\n")[0]
    later = await store.get(f"{db}/_changes", feed="eventsource", timeout=20, headers={"Last-Event-ID": seq})

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.raw.startswith(b'data: {"seq":')
    assert b'"id":"b"' in later.raw
    assert b'"id":"a"' not in later.raw


async def test_held_feed_ends_when_its_database_is_deleted(store: Client, db: str) -> None:
    async with hold(store, db, "feed=longpoll&since=now") as feed:
        await store.delete(db)
        answer = orjson.loads(await feed.read())

    assert answer["results"] == []


@pytest.mark.parametrize(
    "query",
    ["feed=other", "since=x", "since=-1", "limit=x", "style=x", "heartbeat=0", "heartbeat=x", "timeout=x",
     "filter=_doc_ids", "filter=x", "filter=_view", "include_docs=5"],
)  # fmt: skip
async def test_wrong_option_is_refused(store: Client, db: str, query: str) -> None:
    answer = await store.get(f"{db}/_changes?{query}")

    assert answer.status == 400
    assert answer.body["reason"]


@pytest.mark.parametrize("feed", ["normal", "longpoll", "continuous"])
async def test_limit_zero_gives_no_row_and_stays_where_it_is(store: Client, db: str, feed: str) -> None:
    await store.put(f"{db}/a", {})

    answer = await store.get(f"{db}/_changes", limit=0, feed=feed)

    last = orjson.loads(answer.raw.splitlines()[-1]) if feed == "continuous" else answer.body
    assert b'"id"' not in answer.raw
    assert last["last_seq"].startswith("0-")
    assert last["pending"] == 1


@pytest.mark.parametrize(
    ("filter_params", "body"),
    [
        ({"filter": "d/ok"}, None),
        ({"filter": "_view", "view": "d/ok"}, None),
        ({"filter": "_selector"}, {"selector": {"ok": True}}),
    ],
)
async def test_filter_judges_each_leaf_when_all_are_asked_for(
    store: Client, db: str, filter_params: dict[str, str], body: dict[str, Any] | None
) -> None:
    functions = {
        "filters": {"ok": "function (doc) { return doc.ok === true; }"},
        "views": {"ok": {"map": "function (doc) { if (doc.ok) { emit(null); } }"}},
    }
    await store.put(f"{db}/_design/d", functions)
    for doc_id, leaves in {
        "a": {"bbb": False, "aaa": True},
        "b": {"bbb": True, "aaa": False},
        "c": {"bbb": False},
    }.items():
        for rev, ok in leaves.items():
            await store.put(f"{db}/{doc_id}", {"_rev": f"1-{rev}", "ok": ok}, new_edits=False)

    async def rows(style: str) -> list[tuple[str, list[dict[str, str]]]]:
        ask = store.post if body else store.get
        found = (await ask(f"{db}/_changes", **({"json": body} if body else {}), style=style, **filter_params)).body
        return [(row["id"], row["changes"]) for row in found["results"]]

    assert await rows("main_only") == [("b", [{"rev": "1-bbb"}])]
    assert await rows("all_docs") == [("a", [{"rev": "1-aaa"}]), ("b", [{"rev": "1-bbb"}])]


async def test_live_is_continuous(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {})

    lines = (await store.get(f"{db}/_changes", feed="live", timeout=1)).raw.splitlines()

    assert (orjson.loads(lines[0])["id"], "last_seq" in orjson.loads(lines[1])) == ("a", True)


async def test_seq_interval_is_above_zero(store: Client, db: str) -> None:
    answer = await store.get(f"{db}/_changes", seq_interval=0)

    assert (answer.status, answer.body["error"]) == (400, "bad_request")
