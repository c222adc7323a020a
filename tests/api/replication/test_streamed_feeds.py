"""`feed=continuous` and `eventsource` for phones: open until told otherwise, with nothing but the caller's changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientTimeout

from tests.api.replication.conftest import C1, H1, clinic, report

Row = dict[str, Any]
UNLIMITED = ClientTimeout(total=None)


class Lines:
    """An open feed, read line by line."""

    def __init__(self, response: Any) -> None:
        self.response = response

    async def raw(self) -> bytes:
        line: bytes = await asyncio.wait_for(self.response.content.readline(), 30)
        return line

    async def next(self) -> Row:
        """The next row of a continuous feed; heartbeats are passed over."""
        while not (line := (await self.raw())).strip():
            assert line, "the feed has ended"
        row: Row = orjson.loads(line)
        return row

    async def rest(self) -> list[Row]:
        body = await asyncio.wait_for(self.response.content.read(), 30)
        return [orjson.loads(line) for line in body.splitlines() if line.strip()]


@asynccontextmanager
async def feed(
    district: Any, query: str, user: Any = None, kind: str = "continuous", **headers: str
) -> AsyncIterator[Lines]:
    """Open when the index has all that was written before."""
    await district.level()
    path = f"/medic/_changes?feed={kind}&{query}"
    sent = {**(user or district.asha), **headers}
    async with district.client.get(path, headers=sent, timeout=UNLIMITED) as response:
        assert response.status == 200, await response.text()
        yield Lines(response)


async def all_rows(district: Any, user: Any = None) -> Row:
    found: Row = await district.json("GET", "_changes", user)
    return found


async def end_of(district: Any, user: Any = None) -> str:
    return str((await all_rows(district, user))["last_seq"])


async def test_a_continuous_feed_brings_what_there_is_and_then_what_comes(district: Any) -> None:
    whole = await all_rows(district)

    async with feed(district, "since=0") as lines:
        first = [await lines.next() for _ in whole["results"]]
        await district.db.bulk_docs([report("foreign", C1, patient_id="C2"), report("own", C1, patient_id="60001")])
        news = await lines.next()
        await district.db.put(report("own2", C1, patient_id="60001"))
        more = await lines.next()

    assert first == whole["results"]
    assert [news["id"], more["id"]] == ["own", "own2"]
    assert set(news) == {"seq", "id", "changes"}
    assert lines.response.headers["Content-Type"] == "application/json"
    assert "Content-Encoding" not in lines.response.headers


async def test_every_row_of_a_stream_is_a_place_to_go_on_from(district: Any) -> None:
    since = await end_of(district)
    async with feed(district, f"since={since}&limit=3") as lines:
        for number in range(4):
            await district.db.put(report(f"own{number}", C1, patient_id="60001"))
            await district.level()  # a cluster may tell of several in another order
        rows = [await lines.next() for _ in range(3)]

    for place, row in enumerate(rows):
        async with feed(district, f"since={row['seq']}&timeout=0") as lines:
            rest = await lines.rest()
        assert [each.get("id") for each in rest] == [f"own{number}" for number in range(place + 1, 4)] + [None]


async def test_limit_ends_a_stream_with_the_place_to_go_on_from(district: Any) -> None:
    async with feed(district, "since=0&limit=2") as lines:
        rows = await lines.rest()
    async with feed(district, f"since={rows[-1]['last_seq']}&timeout=0") as lines:
        others = await lines.rest()

    whole = (await all_rows(district))["results"]
    assert len(rows) == 3
    assert rows[-1]["pending"] == 0
    assert [each["id"] for each in rows[:-1] + others[:-1]] == [each["id"] for each in whole]


async def test_timeout_ends_a_stream_in_which_nothing_happens(district: Any) -> None:
    since = await end_of(district)

    async with feed(district, f"since={since}&timeout=100") as lines:
        rows = await lines.rest()

    assert [set(row) for row in rows] == [{"last_seq", "pending"}]  # REPL-69


@pytest.mark.parametrize(("kind", "beat"), [("continuous", b"\n"), ("eventsource", b"event: heartbeat\ndata: \n\n")])
async def test_heartbeats_of_a_stream(district: Any, kind: str, beat: bytes) -> None:
    since = await end_of(district)

    async with feed(district, f"since={since}&heartbeat=5000", kind=kind) as lines:
        found = b"".join([await lines.raw() for _ in beat.splitlines()])

    assert found == beat  # REPL-70


async def test_an_event_source_goes_on_where_its_last_event_was(district: Any) -> None:
    since = await end_of(district)
    await district.db.bulk_docs([report("foreign", C1, patient_id="C2"), report("own", C1, patient_id="60001")])
    await district.level()
    await district.db.put(report("own2", C1, patient_id="60001"))

    async with feed(district, f"since={since}&limit=1", kind="eventsource") as lines:
        first = await lines.response.content.read()
    event, place, *_ = first.splitlines()
    again = {"Last-Event-ID": place.removeprefix(b"id: ").decode()}
    async with feed(district, f"since={since}&timeout=0", kind="eventsource", **again) as lines:
        second = await lines.response.content.read()

    assert lines.response.headers["Content-Type"] == "text/event-stream"
    assert orjson.loads(event.removeprefix(b"data: "))["id"] == "own"
    assert first.endswith(b"\n\n")
    assert orjson.loads(second.splitlines()[0].removeprefix(b"data: "))["id"] == "own2"
    assert len(second.splitlines()) == 3


async def test_a_contact_that_enters_the_scope_brings_its_documents_into_an_open_stream(district: Any) -> None:
    # REPL-72
    await district.db.put(report("old", C1, patient_id="50002"))
    since = await end_of(district)
    async with feed(district, f"since={since}") as lines:
        await district.db.put(report("early", C1, patient_id="new"))
        await district.db.put({**await district.db.get("C2"), "parent": H1})
        moved = {(await lines.next())["id"] for _ in range(3)}
        await district.db.put(clinic("new", H1, "50009"))
        made = {(await lines.next())["id"] for _ in range(2)}

    assert moved == {"C2", "old", "R6"}
    assert made == {"new", "early"}


async def test_what_leaves_the_scope_is_followed_no_longer(district: Any) -> None:
    # REPL-73, REPL-76
    since = await end_of(district)
    async with feed(district, f"since={since}") as lines:
        await district.db.put({**await district.db.get("C1"), "parent": {"_id": "H2", "parent": {"_id": "D1"}}})
        await district.db.put(report("about-c1", C1, place_id="50001"))
        doc = await district.db.get("R1")
        await district.db.delete("R1", doc["_rev"])
        row = await lines.next()

    assert (row["id"], row["deleted"]) == ("R1", True)


async def test_documents_in_a_stream_are_judged_by_what_they_say(district: Any) -> None:
    async with feed(district, "since=0&include_docs=true&timeout=0") as lines:
        *rows, _ = await lines.rest()

    assert [row["id"] for row in rows] == [row["id"] for row in (await all_rows(district))["results"]]
    assert all(row["doc"]["_rev"] == row["changes"][0]["rev"] for row in rows)


async def test_a_changed_account_turns_an_open_stream_to_its_new_scope(district: Any) -> None:
    # REPL-74
    since = await end_of(district)
    async with feed(district, f"since={since}") as lines:
        await district.db.put(report("foreign", C1, patient_id="C2"))
        account = await district.db.couch.db("_users").get(district.user_id(district.asha))
        await district.db.couch.db("_users").put({**account, "facility_id": "H2"})
        first = await lines.next()
        await district.db.put(report("not-hers-now", C1, patient_id="60001"))
        await district.db.put(report("hers-now", C1, patient_id="C2"))
        second = await lines.next()

    assert [first["id"], second["id"]] == ["foreign", "hers-now"]


ENDINGS = pytest.mark.parametrize(
    "change", [{"password": "another-12"}, {"_deleted": True}], ids=["password", "deleted"]
)


async def end_session(district: Any, user: Any, change: Row) -> None:
    users = district.db.couch.db("_users")
    await users.put({**await users.get(district.user_id(user)), **change})


@ENDINGS
async def test_an_ended_session_ends_its_open_stream(district: Any, change: Row) -> None:
    since = await end_of(district)
    async with feed(district, f"since={since}") as lines:
        await end_session(district, district.asha, change)
        rows = await lines.rest()

    assert [set(row) for row in rows] == [{"last_seq", "pending"}]


@ENDINGS
async def test_an_ended_session_ends_its_long_poll(district: Any, change: Row) -> None:
    since = await end_of(district)
    held = asyncio.create_task(district.get(f"_changes?feed=longpoll&since={since}"))
    await district.get(f"_changes?feed=longpoll&since={since}&timeout=300")
    await end_session(district, district.asha, change)

    answer = await asyncio.wait_for(held, 30)

    assert answer.status == 401


async def test_who_is_no_offline_user_any_more_gets_no_rows(district: Any) -> None:
    since = await end_of(district)
    async with feed(district, f"since={since}") as lines:
        await end_session(district, district.asha, {"roles": ["national_admin"]})
        rows = await lines.rest()

    assert [set(row) for row in rows] == [{"last_seq", "pending"}]


async def test_a_stopping_server_ends_its_streams(district: Any) -> None:
    since = await end_of(district)
    async with feed(district, f"since={since}") as lines:
        await district.client.app.shutdown()
        rows = await lines.rest()

    assert [set(row) for row in rows] == [{"last_seq", "pending"}]


@pytest.mark.parametrize("query", ["limit=x", "timeout=soon", "filter=_doc_ids&doc_ids=7"])
async def test_wrong_parameters_of_a_stream_are_400(district: Any, query: str) -> None:
    response = await district.get(f"_changes?feed=continuous&{query}")

    assert response.status == 400
    assert (await response.json())["error"] == "bad_request"


async def test_hours_cut_nothing_short(district: Any) -> None:
    # AUTH-18
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        yield b'{"type":"data_record","form":"visit",'
        begun.set()
        await go_on.wait()
        yield b'"fields":{"patient_id":"60001"}}'

    whole = await all_rows(district)
    async with feed(district, "since=0&heartbeat=10000") as lines:
        for _ in whole["results"]:
            await lines.next()
        headers = {**district.asha, "Content-Type": "application/json"}
        upload = asyncio.create_task(
            district.client.put("/medic/slow", data=slow_body(), headers=headers, timeout=UNLIMITED)
        )
        await begun.wait()
        loop = asyncio.get_running_loop()
        clock = loop.time
        loop.time = lambda: clock() + 6 * 3600  # type: ignore[method-assign]
        for _ in range(20):  # whatever was to happen within these hours happens now
            await asyncio.sleep(0)
        assert not upload.done()
        go_on.set()

        assert (await upload).status == 201
        assert (await lines.next())["id"] == "slow"
