"""`_scheduler` and the documents of `_replicator`: what they tell, and whom they obey."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import eventually
from tests.store.store_client import Client

OPEN = {"admins": {"names": [], "roles": ["_admin"]}, "members": {"names": ["asha", "babu"], "roles": []}}
ASHA, BABU = ("asha", "pw"), ("babu", "pw")
REMOTE = {
    "source": "http://user:pass@127.0.0.1:1/source",
    "target": {"url": "http://127.0.0.1:1/target", "headers": {"Authorization": "Basic eA=="}, "auth": None},
}


@pytest.fixture
async def shared(store: Client, db: str) -> str:
    """`_replicator`, open to two users."""
    for name, password in (ASHA, BABU):
        await store.make_user(name, password)
    assert (await store.put("/_replicator/_security", OPEN)).status == 200
    return "/_replicator"


async def state(store: Client, doc_id: str, wanted: str) -> Any:
    """The document in `_scheduler/docs`, once it is in a state."""

    async def reached() -> Any:
        doc = (await store.get(f"/_scheduler/docs/_replicator/{doc_id}")).body
        return doc if doc.get("state") == wanted else None

    return await eventually(reached)


# --- _scheduler -------------------------------------------------------------------------------------------------------


async def test_running_replication_is_listed(store: Client, db: str) -> None:
    await store.put("/db/a", {})
    body = {"source": "db", "target": "copy", "create_target": True, "continuous": True}
    await store.put("/_replicator/r", body)

    doc = await state(store, "r", "running")
    listed = (await store.get("/_scheduler/docs")).body
    jobs = (await store.get("/_scheduler/jobs")).body

    assert (doc["database"], doc["doc_id"], doc["source"], doc["target"]) == ("_replicator", "r", "db", "copy")
    assert (listed["total_rows"], listed["offset"], [each["doc_id"] for each in listed["docs"]]) == (1, 0, ["r"])
    [job] = jobs["jobs"]
    assert job["id"] == doc["id"]
    assert [each["type"] for each in job["history"]] == ["started", "added"]
    assert (await store.get(f"/_scheduler/jobs/{doc['id'].replace('+', '%2B')}")).body["id"] == doc["id"]
    [task] = (await store.get("/_active_tasks")).body
    assert (task["replication_id"], task["node"]) == (doc["id"], job["node"])


async def test_completed_replication_keeps_its_numbers(store: Client, db: str) -> None:
    await store.put("/db/a", {})
    await store.put("/_replicator/r", {"source": "db", "target": "copy", "create_target": True})

    doc = await state(store, "r", "completed")

    assert (doc["id"], doc["info"]["docs_written"], doc["error_count"]) == (None, 1, 0)
    assert doc["start_time"] <= doc["last_updated"]
    assert (await store.get("/_scheduler/jobs")).body == {"total_rows": 0, "offset": 0, "jobs": []}


async def test_failing_replication_crashes_and_says_why(store: Client, db: str) -> None:
    await store.put("/_replicator/r", {"source": "nowhere", "target": "db"})

    doc = await state(store, "r", "crashing")

    assert doc["info"] == {"error": "db_not_found: could not open nowhere"}
    assert doc["error_count"] >= 1
    [job] = (await store.get("/_scheduler/jobs")).body["jobs"]
    assert (job["history"][0]["type"], job["history"][0]["reason"]) == ("crashed", doc["info"]["error"])


async def test_second_document_of_one_replication_fails(store: Client, db: str) -> None:
    body = {"source": "db", "target": "copy", "create_target": True, "continuous": True}
    await store.put("/_replicator/one", body)
    await state(store, "one", "running")
    await store.put("/_replicator/two", body)

    failed = await state(store, "two", "failed")

    assert "already started, triggered by document `one`" in failed["info"]["error"]
    assert failed["error_count"] == 1


async def test_states_and_pages(store: Client, db: str) -> None:
    for number in range(3):
        await store.put(f"/_replicator/r{number}", {"source": "nowhere", "target": "db", "doc_ids": [str(number)]})
        await state(store, f"r{number}", "crashing")

    page = (await store.get("/_scheduler/docs", skip=1, limit=1)).body
    none = (await store.get("/_scheduler/docs", states="completed,running")).body
    unknown = await store.get("/_scheduler/docs", states="lost")

    assert (page["total_rows"], page["offset"], [each["doc_id"] for each in page["docs"]]) == (3, 1, ["r1"])
    assert (none["total_rows"], none["docs"]) == (3, [])
    assert (unknown.status, unknown.body["error"]) == (400, "query_parse_error")
    assert "Unknown states [lost]" in unknown.body["reason"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("docs/_replicator/absent", 404),
        ("docs/db", 400),
        ("docs/a/b/c", 400),
        ("jobs/absent", 404),
        ("nothing", 404),
        ("docs?limit=x", 400),
        ("jobs?skip=-1", 400),
    ],
)
async def test_wrong_address_of_the_scheduler(store: Client, db: str, path: str, status: int) -> None:
    assert (await store.get(f"/_scheduler/{path}")).status == status


async def test_scheduler_is_for_server_admins(store: Client) -> None:
    user = await store.make_user("asha", "pw")

    assert (await store.get("/_scheduler/jobs", user=user)).status == 401
    assert (await store.get("/_scheduler/docs", user=user)).status == 401
    assert (await store.post("/_scheduler/docs", {})).status == 405


# --- documents of _replicator -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"source": None}, "source"),
        ({"target": 1}, "target"),
        ({"source": {"url": "x"}, "target": {}}, "target"),
        ({"continuous": 1}, "continuous"),
        ({"create_target": 1}, "create_target"),
        ({"doc_ids": "a"}, "doc_ids"),
        ({"doc_ids": [1]}, "doc_ids"),
        ({"filter": 1}, "filter"),
        ({"query_params": 1}, "query_params"),
        ({"selector": 1}, "elector"),
        ({"selector": {"$bad": 1}}, "$bad"),
        ({"doc_ids": ["a"], "filter": "a/b"}, "mutually exclusive"),
        ({"user_ctx": 1}, "user_ctx"),
        ({"worker_batch_size": "x"}, "worker_batch_size"),
        ({"create_target_params": 1}, "create_target_params"),
        ({"_replication_state": "completed", "continuous": 1}, "continuous"),
    ],
    ids=str,
)
async def test_document_that_describes_no_replication_is_forbidden(
    store: Client, db: str, change: dict[str, Any], named: str
) -> None:
    answer = await store.put("/_replicator/r", {**REMOTE, **change})

    assert (answer.status, answer.body["error"]) == (403, "forbidden")
    assert named in answer.body["reason"]
    assert (await store.get("/_replicator/r")).status == 404


async def test_owner_is_the_writer(store: Client, shared: str) -> None:
    await store.put(f"{shared}/own", REMOTE, user=ASHA)
    await store.put(f"{shared}/admins", REMOTE)

    assert (await store.get(f"{shared}/own")).body["owner"] == "asha"
    assert (await store.get(f"{shared}/admins")).body["owner"] == "admin"


async def test_replications_of_others_are_left_alone(store: Client, shared: str) -> None:
    rev = (await store.put(f"{shared}/r", REMOTE, user=ASHA)).body["rev"]
    doc = (await store.get(f"{shared}/r")).body

    refusals = [
        await store.put(f"{shared}/new", {**REMOTE, "owner": "asha"}, user=BABU),
        await store.put(f"{shared}/r", {**REMOTE, "_rev": rev}, user=BABU),
        await store.put(f"{shared}/r", {**doc, "owner": "babu"}, user=ASHA),
        await store.delete(f"{shared}/r", rev=rev, user=BABU),
    ]

    assert [answer.status for answer in refusals] == [403] * 4
    assert {answer.body["reason"] for answer in refusals} == {"Can't update replication documents from other users."}
    assert (await store.get(f"{shared}/r")).body["_rev"] == rev
    assert (await store.delete(f"{shared}/r", rev=rev, user=ASHA)).status == 200


async def test_credentials_are_shown_to_the_owner_and_to_admins_only(store: Client, shared: str) -> None:
    await store.put(f"{shared}/r", REMOTE, user=ASHA)

    whole = (await store.get(f"{shared}/r", user=ASHA)).body
    bare = (await store.get(f"{shared}/r", user=BABU)).body
    [opened] = (await store.get(f"{shared}/r", open_revs="all", user=BABU)).body
    bulk = (await store.post(f"{shared}/_bulk_get", {"docs": [{"id": "r"}]}, user=BABU)).body

    assert (whole["source"], whole["target"]) == (REMOTE["source"], REMOTE["target"])
    expected = {"source": "http://127.0.0.1:1/source", "target": {"url": "http://127.0.0.1:1/target"}}
    for doc in (bare, opened["ok"], bulk["results"][0]["docs"][0]["ok"]):
        assert {name: doc[name] for name in expected} == expected
    for path in ("_all_docs", "_changes", "_design_docs"):
        assert (await store.get(f"{shared}/{path}", include_docs=True, user=BABU)).status == 403
    assert (await store.post(f"{shared}/_find", {"selector": {}}, user=BABU)).status == 403


async def test_a_copy_of_anothers_replication_has_no_credentials(store: Client, shared: str) -> None:
    await store.put(f"{shared}/r", {**REMOTE, "owner": None})
    await store.ask("COPY", f"{shared}/r", headers={"Destination": "mine"}, user=BABU)

    answer = await store.get(f"{shared}/mine", user=BABU)

    assert "pass" not in answer.raw.decode()
    assert "eA==" not in answer.raw.decode()


async def test_a_users_replication_has_no_more_rights_than_the_user(store: Client, shared: str) -> None:
    await store.put("/hidden")
    await store.put("/hidden/a", {})
    await store.put(f"{shared}/r", {"source": "hidden", "target": "db"}, user=ASHA)
    as_admin = {"source": "hidden", "target": "db", "user_ctx": {"name": "asha", "roles": ["_admin"]}}

    doc = await state(store, "r", "crashing")

    assert doc["info"]["error"].startswith("forbidden")
    assert (await store.get("/db/a")).status == 404
    assert (await store.put(f"{shared}/s", as_admin, user=ASHA)).status == 403


async def test_replicator_still_refuses_design_documents_of_users(store: Client, shared: str) -> None:
    assert (await store.put(f"{shared}/_design/x", {}, user=ASHA)).status == 403
    assert (await store.put(f"{shared}/_design/x", {})).status == 201
