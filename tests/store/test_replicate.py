"""Replication by `_replicate` and by documents of `_replicator`, by name and over HTTP."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from store.errors import BadRequest
from store.replication_request import parse_request
from store.replicator import common_seq
from store.server import RUNNER_OPTIONS, StoreConfig, create_app
from tests.conftest import eventually
from tests.store.store_client import ADMIN, Answer, Client


class Elsewhere(Client):
    """A server that others may use as well: every database has a name of its own there."""

    def __init__(self, session: ClientSession, url: URL) -> None:
        super().__init__(session, str(url.with_user(None)))
        self.login = (url.user or "", url.password or "")
        self.prefix = f"outpost-test-{uuid.uuid4().hex}-"

    async def ask(self, method: str, path: str, *args: Any, **options: Any) -> Answer:
        return await super().ask(method, f"/{self.prefix}{path[1:]}", *args, **{"user": self.login, **options})

    async def close(self) -> None:
        for name in (await super().ask("GET", "/_all_dbs", user=self.login)).body:
            if name.startswith(self.prefix):
                await super().ask("DELETE", f"/{name}", user=self.login)


class Pair:
    """A store that replicates, `here`, and another server, `there`, which is reached over HTTP."""

    def __init__(self, here: Client, there: Elsewhere) -> None:
        self.here = here
        self.there = there

    def url(self, database: str) -> str:
        """The address of a database of `there`, with its administrator's login."""
        name, password = self.there.login
        return str(URL(self.there.url).with_user(name).with_password(password) / f"{self.there.prefix}{database}")

    async def replicate(self, source: Any, target: Any, **members: Any) -> dict[str, Any]:
        answer = await self.here.post("/_replicate", {"source": source, "target": target, **members})
        assert answer.status in (200, 202), answer.body
        result: dict[str, Any] = answer.body
        return result


@pytest.fixture(params=["store", "couchdb"] if os.environ.get("COUCH_URL") else ["store"])
async def pair(request: pytest.FixtureRequest, store: Client, db: str, tmp_path: Path) -> AsyncIterator[Pair]:
    """Both have an empty database `db`; the other one is a CouchDB too where COUCH_URL names it."""
    if request.param == "couchdb":
        async with ClientSession() as session:
            there = Elsewhere(session, URL(os.environ["COUCH_URL"]).with_path(""))
            assert (await there.put("/db")).status == 201
            yield Pair(store, there)
            await there.close()
        return
    server = TestServer(create_app(StoreConfig(data=tmp_path / "there", admins=dict([ADMIN]), pbkdf2_iterations=10)))
    await server.start_server(**RUNNER_OPTIONS)
    async with ClientSession() as session:
        url = server.make_url("").with_user(ADMIN[0]).with_password(ADMIN[1])
        there = Elsewhere(session, url)
        assert (await there.put("/db")).status == 201
        yield Pair(store, there)
    await server.close()


async def contents(store: Client, database: str) -> dict[str, Any]:
    """Every document's winner and all its leaves with attachments, by id; without digests, as CouchDB packs text."""
    found: dict[str, Any] = {}
    for row in (await store.get(f"/{database}/_changes", style="all_docs")).body["results"]:
        leaves = (await store.get(f"/{database}/{row['id']}", open_revs="all", revs=True, attachments=True)).body
        winner = (await store.get(f"/{database}/{row['id']}")).body.get("_rev")
        for leaf in leaves:
            for item in leaf["ok"].get("_attachments", {}).values():
                del item["digest"]
        found[row["id"]] = winner, {each["ok"]["_rev"]: each["ok"] for each in leaves}
    return found


def attachment(data: bytes) -> dict[str, Any]:
    return {"content_type": "text/plain", "data": base64.b64encode(data).decode()}


# --- once -------------------------------------------------------------------------------------------------------------


async def test_push_and_pull_carry_conflicts_deletions_and_attachments(pair: Pair) -> None:
    one = {"_id": "d", "_rev": "1-" + "a" * 32, "v": 1, "_attachments": {"note": attachment(b"text")}}
    other = {"_id": "d", "_rev": "1-" + "b" * 32, "v": 2, "_attachments": {"empty": attachment(b"")}}
    await pair.here.post("/db/_bulk_docs", {"docs": [one, other], "new_edits": False})
    rev = (await pair.here.put("/db/gone", {"v": 1})).body["rev"]
    await pair.here.delete("/db/gone", rev=rev)
    pushed = await pair.replicate("db", pair.url("db"))
    pulled = await pair.replicate(pair.url("db"), "copy", create_target=True)

    expected = await contents(pair.here, "db")
    assert set(expected["d"][1]) == {one["_rev"], other["_rev"]}
    assert await contents(pair.there, "db") == expected
    assert await contents(pair.here, "copy") == expected
    for answer in (pushed, pulled):
        assert answer["history"][0]["docs_written"] == 3
        assert answer["history"][0]["doc_write_failures"] == 0


async def test_second_run_starts_at_the_checkpoint(pair: Pair) -> None:
    await pair.here.put("/db/a", {})
    first = await pair.replicate("db", pair.url("db"))
    again = await pair.replicate("db", pair.url("db"))
    await pair.here.put("/db/b", {})
    later = await pair.replicate("db", pair.url("db"))

    assert again["no_changes"] is True
    assert again["session_id"] == first["session_id"]
    assert later["history"][0]["missing_checked"] == 1
    assert later["history"][0]["start_last_seq"] == first["source_last_seq"]
    assert [each["session_id"] for each in later["history"]] == [later["session_id"], first["session_id"]]


async def test_target_that_was_made_anew_is_filled_again(pair: Pair) -> None:
    await pair.here.put("/db/a", {})
    await pair.replicate("db", pair.url("db"))
    await pair.there.delete("/db")
    again = await pair.replicate("db", pair.url("db"), create_target=True)

    assert again["history"][0]["docs_written"] == 1


async def test_only_new_attachments_travel_and_stubs_find_the_old_ones(pair: Pair) -> None:
    await pair.here.put("/db/d", {"_attachments": {"old": attachment(b"old")}})
    await pair.replicate("db", pair.url("db"))
    doc = (await pair.here.get("/db/d")).body
    doc["_attachments"]["new"] = attachment(b"new")
    await pair.here.put("/db/d", doc)
    await pair.replicate("db", pair.url("db"))

    assert (await pair.there.get("/db/d/old")).raw == b"old"
    assert (await pair.there.get("/db/d/new")).raw == b"new"


@pytest.mark.parametrize(
    "chosen",
    [
        {"doc_ids": ["d2", "absent"]},
        {"selector": {"n": 2}},
        {"filter": "f/by_n", "query_params": {"n": "2"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("pull", [False, True], ids=["push", "pull"])
async def test_chosen_documents_only(pair: Pair, chosen: dict[str, Any], pull: bool) -> None:
    source = pair.there if pull else pair.here
    function = "function (doc, req) { return doc.n === Number(req.query.n); }"
    await source.put("/db/_design/f", {"filters": {"by_n": function}})
    await source.post("/db/_bulk_docs", {"docs": [{"_id": f"d{n}", "n": n} for n in range(5)]})
    if pull:
        await pair.replicate(pair.url("db"), "db", **chosen)
    else:
        await pair.replicate("db", pair.url("db"), **chosen)

    target = pair.here if pull else pair.there
    assert [row["id"] for row in (await target.get("/db/_all_docs")).body["rows"]] == ["d2"]


async def test_more_documents_than_one_page(pair: Pair) -> None:
    await pair.here.post("/db/_bulk_docs", {"docs": [{"_id": f"d{n:04}"} for n in range(1100)]})
    await pair.replicate("db", pair.url("db"))

    assert (await pair.there.get("/db")).body["doc_count"] == 1100


async def test_documents_the_target_refuses_are_counted(pair: Pair) -> None:
    refuse = "function (doc) { if (doc.bad) { throw({forbidden: 'no'}); } }"
    await pair.there.put("/db/_design/v", {"validate_doc_update": refuse})
    await pair.here.post("/db/_bulk_docs", {"docs": [{"_id": "good"}, {"_id": "bad", "bad": True}]})
    answer = await pair.replicate("db", pair.url("db"))

    assert answer["history"][0]["doc_write_failures"] == 1
    assert answer["history"][0]["docs_written"] == 1
    assert (await pair.there.get("/db/bad")).status == 404


@pytest.mark.parametrize(
    ("source", "target", "status", "slug"),
    [
        ("nowhere", "db", 500, "db_not_found"),
        ("db", "nowhere", 500, "db_not_found"),
        (3, "db", 400, "bad_request"),
        ({"url": "http://"}, "db", 400, "bad_request"),
        ("http://127.0.0.1:1/x", "db", 500, "replication_error"),
    ],
    ids=str,
)
async def test_replication_that_cannot_be_says_why(
    store: Client, db: str, source: Any, target: Any, status: int, slug: str
) -> None:
    answer = await store.post("/_replicate", {"source": source, "target": target})

    assert (answer.status, answer.body["error"]) == (status, slug)


async def test_only_server_admins_replicate(store: Client, db: str) -> None:
    user = await store.make_user("asha", "pw")
    answer = await store.post("/_replicate", {"source": "db", "target": "db2"}, user=user)

    assert answer.status == 401


# --- for ever ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pull", [False, True], ids=["push", "pull"])
async def test_continuous_replication_follows_until_cancelled(pair: Pair, pull: bool) -> None:
    source, target = (pair.there, pair.here) if pull else (pair.here, pair.there)
    sides = (pair.url("db"), "db") if pull else ("db", pair.url("db"))
    started = await pair.replicate(*sides, continuous=True)
    await source.put("/db/a", {"v": 1})

    async def arrived() -> bool:
        return (await target.get("/db/a")).status == 200

    await eventually(arrived)
    [task] = (await pair.here.get("/_active_tasks")).body
    assert (task["type"], task["continuous"]) == ("replication", True)
    assert task["replication_id"] == started["_local_id"]
    assert "secret" not in task["source"] + task["target"]
    cancel = {"replication_id": started["_local_id"], "cancel": True}
    assert (await pair.here.post("/_replicate", cancel)).body == {"ok": True, "_local_id": started["_local_id"]}
    assert (await pair.here.get("/_active_tasks")).body == []
    assert (await pair.here.post("/_replicate", cancel)).status == 404


async def test_document_of_replicator_runs_once_and_says_so(pair: Pair) -> None:
    await pair.here.put("/db/a", {})
    await pair.here.put("/_replicator/r", {"source": "db", "target": "copy", "create_target": True})

    async def ended() -> Any:
        doc = (await pair.here.get("/_replicator/r")).body
        return doc if doc.get("_replication_state") else None

    doc = await eventually(ended)
    assert doc["_replication_state"] == "completed"
    assert doc["_replication_stats"]["docs_written"] == 1
    assert (await pair.here.get("/copy/a")).status == 200


async def test_deleting_its_document_stops_a_replication(pair: Pair) -> None:
    body = {"source": "db", "target": pair.url("db"), "continuous": True}
    rev = (await pair.here.put("/_replicator/r", body)).body["rev"]

    async def tasks() -> list[Any]:
        listed: list[Any] = (await pair.here.get("/_active_tasks")).body
        return listed

    async def no_tasks() -> bool:
        return not await tasks()

    [task] = await eventually(tasks)
    assert task["doc_id"] == "r"
    await pair.here.delete("/_replicator/r", rev=rev)
    await eventually(no_tasks)


async def test_replications_go_on_after_a_restart(tmp_path: Path) -> None:
    config = StoreConfig(data=tmp_path / "data", admins=dict([ADMIN]), pbkdf2_iterations=10)
    async with ClientSession() as session:
        for run in ("first", "second"):
            server = TestServer(create_app(config))
            await server.start_server(**RUNNER_OPTIONS)
            store = Client(session, str(server.make_url("/")).rstrip("/"))
            if run == "first":
                await store.put("/db")
                body = {"source": "db", "target": "copy", "create_target": True, "continuous": True}
                await store.put("/_replicator/r", body)
            await store.put(f"/db/{run}", {})

            async def arrived(store: Client = store, run: str = run) -> bool:
                return (await store.get(f"/copy/{run}")).status == 200

            await eventually(arrived)
            await server.close()


# --- any history ------------------------------------------------------------------------------------------------------

_writes = st.lists(
    st.tuples(
        st.sampled_from(["here", "there"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["edit", "delete", "attach", "push", "pull"]),
    ),
    max_size=14,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_writes)
async def test_both_sides_agree_whatever_was_written_where(pair: Pair, writes: list[tuple[str, str, str]]) -> None:
    name = f"r{uuid.uuid4().hex}"  # a CouchDB that is busy may still have what was deleted under a name a moment ago
    for store in (pair.here, pair.there):
        assert (await store.put(f"/{name}")).status == 201
    for number, (side, doc_id, action) in enumerate(writes):
        if action in ("push", "pull"):
            await pair.replicate(*((name, pair.url(name)) if action == "push" else (pair.url(name), name)))
            continue
        store = pair.here if side == "here" else pair.there
        doc = (await store.get(f"/{name}/{doc_id}")).body
        doc = doc if "_rev" in doc else {}
        doc["v"] = number
        if action == "attach":
            doc.setdefault("_attachments", {})[f"n{number % 2}"] = attachment(b"x" * number)
        if action == "delete" and "_rev" in doc:
            doc = {"_rev": doc["_rev"], "_deleted": True}
        assert (await store.put(f"/{name}/{doc_id}", doc)).status in (200, 201)
    for sides in ((name, pair.url(name)), (pair.url(name), name), (name, pair.url(name))):
        await pair.replicate(*sides)

    assert await contents(pair.here, name) == await contents(pair.there, name)


# --- pure -------------------------------------------------------------------------------------------------------------


def test_login_in_a_url_becomes_a_header_and_is_not_shown() -> None:
    request = parse_request({"source": "http://u:p%40ss@host:5984/a%2Fb", "target": "db"})

    assert request.source.headers == {"Authorization": "Basic dTpwQHNz"}
    assert request.source.shown == "http://host:5984/a%2Fb/"


def test_same_request_has_the_same_name_whoever_logs_in() -> None:
    plain = parse_request({"source": "http://host/a", "target": "db", "doc_ids": ["b", "a"]})
    named = parse_request({"source": {"url": "http://u:p@host/a"}, "target": "db", "doc_ids": ["a", "b"]})
    other = parse_request({"source": "http://host/a", "target": "db"})

    assert plain.checkpoint_id("uuid") == named.checkpoint_id("uuid") != other.checkpoint_id("uuid")


@pytest.mark.parametrize(
    "body",
    [
        {"target": "db"},
        {"source": "db", "target": "x", "doc_ids": 3},
        {"source": "db", "target": "x", "doc_ids": ["a"], "selector": {}},
        {"source": "db", "target": "x", "selector": {"a": {"$bad": 1}}},
        {"source": "db", "target": "x", "continuous": 3},
        {"source": "db", "target": {"url": "http://h/x", "auth": {"iam": {}}}},
    ],
    ids=str,
)
def test_bad_request_names_the_member(body: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        parse_request(body)


def test_histories_meet_at_their_newest_common_session() -> None:
    def checkpoint(*sessions: str) -> dict[str, Any]:
        history = [{"session_id": session, "recorded_seq": f"seq-{session}"} for session in sessions]
        return {"session_id": sessions[0], "source_last_seq": f"seq-{sessions[0]}", "history": history}

    assert common_seq(checkpoint("c", "b", "a"), checkpoint("c", "b")) == "seq-c"
    assert common_seq(checkpoint("d", "b", "a"), checkpoint("c", "b")) == "seq-b"
    assert common_seq(checkpoint("d"), checkpoint("c")) is None
