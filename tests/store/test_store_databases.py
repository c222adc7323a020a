"""Databases, who may do what with them, validate functions and views over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from store.server import RUNNER_OPTIONS, StoreConfig, create_app
from tests.store.store_client import ADMIN, Client, basic


@asynccontextmanager
async def running(config: StoreConfig) -> AsyncIterator[Client]:
    server = TestServer(create_app(config))
    await server.start_server(**RUNNER_OPTIONS)
    async with ClientSession() as session:
        yield Client(session, str(server.make_url("/")).rstrip("/"))
    await server.close()


async def test_database_is_made_described_and_removed(store: Client) -> None:
    assert (await store.put("/a-b/c")).status == 404
    assert (await store.put("/a-b%2Fc%2B(1)$_")).status == 201
    assert "a-b/c+(1)$_" in (await store.get("/_all_dbs")).body
    assert (await store.put("/a-b%2Fc%2B(1)$_")).body["error"] == "file_exists"
    info = (await store.get("/a-b%2Fc%2B(1)$_")).body
    assert (info["db_name"], info["doc_count"], info["doc_del_count"]) == ("a-b/c+(1)$_", 0, 0)
    assert (await store.ask("HEAD", "/a-b%2Fc%2B(1)$_")).status == 200

    assert (await store.delete("/a-b%2Fc%2B(1)$_")).body == {"ok": True}

    assert (await store.get("/a-b%2Fc%2B(1)$_")).status == 404
    assert (await store.delete("/a-b%2Fc%2B(1)$_")).status == 404


@pytest.mark.parametrize(
    "query", ["startkey=%22b%22&endkey=%22d%22", "startkey=%22d%22&endkey=%22b%22&descending=true"]
)
async def test_a_range_of_databases_may_leave_out_its_end(store: Client, query: str) -> None:
    for name in "abcde":
        await store.put(f"/{name}")

    whole = (await store.get(f"/_all_dbs?{query}")).body
    without_end = (await store.get(f"/_all_dbs?{query}&inclusive_end=false")).body

    assert sorted(whole) == ["b", "c", "d"]
    assert without_end == whole[:2]


@pytest.mark.parametrize("name", ["A", "1a", "a.b", "%C3%A9", "a%20b", "..%2F..%2Fetc", "a" * 300])
async def test_wrong_database_name_is_refused(store: Client, name: str) -> None:
    assert (await store.put(f"/{name}")).status == 400


async def test_partitioned_database_is_not_implemented(store: Client) -> None:
    answer = await store.put("/parts", partitioned=True)

    assert (answer.status, answer.body["error"]) == (501, "not_implemented")
    assert (await store.get("/parts")).status == 404


async def test_deleted_database_comes_back_empty(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {})
    await store.delete(db)
    await store.put(db)

    assert (await store.get(f"{db}/a")).status == 404


async def test_dbs_info_describes_those_asked_for(store: Client, db: str) -> None:
    answer = await store.post("/_dbs_info", {"keys": ["db", "nope"]})

    assert answer.body[0]["info"]["db_name"] == "db"
    assert answer.body[1] == {"key": "nope", "error": "not_found"}


async def test_new_database_is_for_admins_alone(store: Client) -> None:
    asha = await store.make_user("asha", "pass-1")
    await store.put("/closed")

    assert (await store.get("/closed")).status == 200
    answer = await store.get("/closed", user=asha)
    assert (answer.status, answer.body["reason"]) == (403, "You are not allowed to access this db.")


async def test_security_names_members_and_admins(store: Client, db: str) -> None:
    asha = await store.make_user("asha", "pass-1", "chw")
    babu = await store.make_user("babu", "pass-2")
    security = {"members": {"roles": ["chw"]}, "admins": {"names": ["babu"]}}
    assert (await store.put(f"{db}/_security", security)).status == 200

    assert (await store.get(f"{db}/_security")).body == security
    assert (await store.put(f"{db}/x", {}, user=asha)).status == 201
    assert (await store.put(f"{db}/_design/d", {}, user=asha)).status == 403
    assert (await store.put(f"{db}/_design/d", {}, user=babu)).status == 201
    assert (await store.put(f"{db}/_security", {}, user=asha)).status == 403
    assert (await store.delete(db, user=babu)).status == 401


@pytest.mark.parametrize("security", [[], {"admins": []}, {"members": {"names": "x"}}, {"members": {"roles": [1]}}])
async def test_wrong_security_is_refused(store: Client, db: str, security: Any) -> None:
    assert (await store.put(f"{db}/_security", security)).status == 400


async def test_more_databases_than_may_be_open(tmp_path: Path) -> None:
    config = StoreConfig(data=tmp_path, admins=dict([ADMIN]), most_open_databases=3)
    async with running(config) as store:
        for n in range(10):
            await store.put(f"/db{n}")
            await store.put(f"/db{n}/doc", {"n": n})

        found = [(await store.get(f"/db{n}/doc")).body["n"] for n in range(10)]

    assert found == list(range(10))
    assert not list((tmp_path / "databases").glob("*-wal"))


async def test_databases_in_use_stay_open_while_others_are_opened(tmp_path: Path) -> None:
    config = StoreConfig(data=tmp_path, admins=dict([ADMIN]), most_open_databases=1)
    async with running(config) as store:
        names = [f"/db{n}" for n in range(12)]
        for name in names:
            await store.put(name)

        statuses = []
        for some in (names[:1], names[1:4], names[4:]):  # more than were open before, so that not all of those can go
            statuses += [answer.status for answer in await asyncio.gather(*(store.post(name, {}) for name in some))]

    assert statuses == [201] * 12


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    config = StoreConfig(data=tmp_path, admins=dict([ADMIN]))
    seqs = []
    for run in range(2):
        async with running(config) as store:
            await store.put("/db")
            await store.put(f"/db/doc{run}", {})
            seqs.append((await store.get("/db")).body["update_seq"])
            found = await store.get("/db/doc0")

    assert found.status == 200
    assert [seq.split("-")[0] for seq in seqs] == ["1", "2"]


async def test_database_made_anew_does_not_meet_requests_to_the_deleted_one(store: Client, db: str) -> None:
    begun, more = asyncio.Event(), asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        yield b"{"
        begun.set()
        await more.wait()
        yield b"}"

    url = f"{store.url}{db}/slow"
    slow = asyncio.create_task(store.session.put(url, data=slow_body(), headers=basic(*ADMIN), expect100=True))
    await begun.wait()
    await store.delete(db)
    await store.put(db)
    await store.put(f"{db}/a", {})

    more.set()

    assert (await slow).status == 404
    assert [row["id"] for row in (await store.get(f"{db}/_all_docs")).body["rows"]] == ["a"]


async def test_writes_beside_a_deletion_are_stored_or_not_found(store: Client) -> None:
    for _ in range(10):
        await store.put("/short")
        answers = await asyncio.gather(
            *(store.put(f"/short/d{n}", {}) for n in range(8)),
            *(store.get("/short/_all_docs", include_docs=True) for _ in range(8)),
            store.delete("/short"),
        )

        assert {answer.status for answer in answers} <= {200, 201, 404}


async def test_view_of_a_database_made_anew_does_not_meet_queries_of_the_deleted_one(store: Client, db: str) -> None:
    begun, more = asyncio.Event(), asyncio.Event()
    ddoc = {"views": {"v": {"map": "function (doc) { emit(doc.n); }"}}}
    view = f"{db}/_design/d/_view/v"

    async def slow_body() -> AsyncIterator[bytes]:
        yield b"{"
        begun.set()
        await more.wait()
        yield b"}"

    await store.put(f"{db}/_design/d", ddoc)
    headers = {**basic(*ADMIN), "Content-Type": "application/json"}
    slow = asyncio.create_task(store.session.post(f"{store.url}{view}", data=slow_body(), headers=headers))
    await begun.wait()
    await store.delete(db)
    await store.put(db)
    await store.put(f"{db}/_design/d", ddoc)
    await store.post(f"{db}/_bulk_docs", {"docs": [{"n": n} for n in range(5)]})
    assert len((await store.get(view)).body["rows"]) == 5

    more.set()

    assert (await slow).status == 404
    answers = await asyncio.gather(*(store.get(view, include_docs=True) for _ in range(6)))
    assert [len(answer.body["rows"]) for answer in answers] == [5] * 6


async def test_views_read_beside_a_deletion_are_there_or_not_found(store: Client) -> None:
    ddoc = {"views": {"v": {"map": "function (doc) { emit(doc._id); }", "reduce": "_count"}}}
    view = "/short/_design/d/_view/v"
    for _ in range(10):
        await store.put("/short")
        await store.put("/short/_design/d", ddoc)
        await store.post("/short/_bulk_docs", {"docs": [{"n": n} for n in range(20)]})
        answers = await asyncio.gather(
            *(store.get(view, reduce=False, include_docs=True) for _ in range(6)),
            *(store.get(view) for _ in range(6)),
            store.delete("/short"),
            *(store.get(view) for _ in range(6)),
        )

        assert {answer.status for answer in answers} <= {200, 404}


# -- validate_doc_update


VALIDATE = """function (newDoc, oldDoc, userCtx, secObj) {
  if (newDoc.kind === 'bad') { throw({ forbidden: 'no ' + newDoc._id }); }
  if (newDoc.kind === 'login') { throw({ unauthorized: 'log in' }); }
  if (oldDoc && oldDoc.owner !== userCtx.name) { throw({ forbidden: 'owner is ' + oldDoc.owner }); }
}"""


async def test_validate_function_refuses_one_document_of_many(store: Client, db: str) -> None:
    await store.put(f"{db}/_design/v", {"validate_doc_update": VALIDATE})

    answer = await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": "a"}, {"_id": "b", "kind": "bad"}, {"_id": "c"}]})

    assert answer.body[1] == {"id": "b", "error": "forbidden", "reason": "no b"}
    assert [row.get("ok") for row in answer.body] == [True, None, True]
    assert (await store.put(f"{db}/d", {"kind": "bad"})).status == 403
    assert (await store.put(f"{db}/d", {"kind": "login"})).status == 401
    assert (await store.put(f"{db}/_local/d", {"kind": "bad"})).status == 201


async def test_validate_function_sees_the_stored_document_and_the_user(store: Client, db: str) -> None:
    asha = await store.make_user("asha", "pass-1")
    babu = await store.make_user("babu", "pass-2")
    await store.put(f"{db}/_design/v", {"validate_doc_update": VALIDATE})
    rev = (await store.put(f"{db}/a", {"owner": "asha"}, user=asha)).body["rev"]

    refused = await store.put(f"{db}/a", {"_rev": rev, "owner": "babu"}, user=babu)
    deleted = await store.delete(f"{db}/a", rev=rev, user=babu)
    allowed = await store.put(f"{db}/a", {"_rev": rev, "owner": "asha", "x": 1}, user=asha)

    assert (refused.status, refused.body["reason"]) == (403, "owner is asha")
    assert (deleted.status, allowed.status) == (403, 201)


async def test_changed_validate_function_counts_at_once(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/_design/v", {"validate_doc_update": VALIDATE})).body["rev"]
    assert (await store.put(f"{db}/a", {"kind": "bad"})).status == 403

    await store.put(f"{db}/_design/v", {"_rev": rev})

    assert (await store.put(f"{db}/a", {"kind": "bad"})).status == 201


# -- views


async def test_view_over_http_follows_writes(store: Client, db: str) -> None:
    views = {"by": {"map": "function (doc) { emit(doc.n, null); }", "reduce": "_count"}}
    await store.put(f"{db}/_design/v", {"views": views})
    await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": f"d{n}", "n": n} for n in range(20)]})
    path = f"{db}/_design/v/_view/by"

    rows = await store.get(path, reduce=False, startkey=5, endkey=7, include_docs=True)
    await store.put(f"{db}/late", {"n": 6})

    assert [row["doc"]["n"] for row in rows.body["rows"]] == [5, 6, 7]
    assert (await store.get(path, key=6)).body["rows"] == [{"key": None, "value": 2}]
    assert [row["id"] for row in (await store.post(path, {"keys": [3, 1]}, reduce=False)).body["rows"]] == ["d3", "d1"]
    several = await store.post(f"{path}/queries", {"queries": [{"key": 1}, {"reduce": False, "limit": 2}]})
    assert [len(result["rows"]) for result in several.body["results"]] == [1, 2]
    assert (await store.get(f"{db}/_design/v/_info")).body["name"] == "v"
    assert (await store.get(f"{db}/_design/v/_view/none")).status == 404
    assert (await store.get(f"{db}/_design/none/_view/by")).status == 404
    assert (await store.get(path, limit="x")).status == 400
    assert (await store.post(f"{db}/_view_cleanup", {})).status == 202


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("PUT", "/new?q=x", 400, "Invalid value for q"),
        ("PUT", "/new?q=0", 400, "The `q` value should be a positive integer."),
        ("PUT", "/new?n=0", 400, "The `n` value should be a positive integer."),
        ("POST", "/db/_compact/absent", 404, "missing"),
        ("GET", "/db/_partition/x", 400, "database is not partitioned"),
        ("GET", "/db/_partition/x/_all_docs", 400, "database is not partitioned"),
        ("PUT", "/new?partitioned=true", 501, "This store has no partitioned databases"),
    ],
)
async def test_what_one_shard_cannot_do(
    store: Client, db: str, method: str, path: str, status: int, reason: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await store.ask(method, path, headers=headers)

    assert answer.status == status
    assert answer.body["reason"].startswith(reason)


async def test_shards_asked_for_are_one(store: Client) -> None:
    assert (await store.put("/new?q=8&n=1")).status == 201
    assert (await store.get("/new")).body["cluster"] == {"q": 1, "n": 1, "w": 1, "r": 1}
