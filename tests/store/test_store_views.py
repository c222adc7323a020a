"""Views over HTTP: built-in reducers, reductions that do not reduce, raw collation, linked documents."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.conftest import eventually
from tests.store.store_client import Client

KEYED = "function (doc) { if (doc.k !== undefined) { emit([doc.k, doc.n], doc.value); } }"
VALUES: list[Any] = [9, "a", None, [2], {"x": 1}, True, 10, "B", [1], 9]


async def view(store: Client, db: str, name: str, map_source: str, reduce: str | None = None, **members: Any) -> str:
    """The path of a new view."""
    definition = {"map": map_source, **({"reduce": reduce} if reduce is not None else {}), **members}
    answer = await store.put(f"{db}/_design/{name}", {"views": {"v": definition}})
    assert answer.status == 201, answer.body
    return f"{db}/_design/{name}/_view/v"


async def rows(store: Client, path: str, **params: Any) -> Any:
    answer = await store.get(path, **params)
    assert answer.status == 200, answer.body
    return answer.body["rows"]


@pytest.fixture
async def values(store: Client, db: str) -> str:
    docs = [{"_id": f"d{n}", "k": n % 2, "n": n, "value": value} for n, value in enumerate(VALUES)]
    await store.post(f"{db}/_bulk_docs", {"docs": docs})
    return db


# --- built-in reducers, whose answers are those of CouchDB 3.5 --------------------------------------------------------


@pytest.mark.parametrize(
    ("reduce", "whole", "even"),
    [
        ("_first", 9, 9),
        ("_last", 9, [1]),
        ("_first of all", 9, 9),
        ("_top_3", [{"x": 1}, [2], [1]], [{"x": 1}, [1], 10]),
        ("_top_03", [{"x": 1}, [2], [1]], [{"x": 1}, [1], 10]),
        ("_bottom_3", [None, True, 9], [None, 9, 10]),
        ("_bottom_100", [None, True, 9, 10, "a", "B", [1], [2], {"x": 1}], [None, 9, 10, [1], {"x": 1}]),
    ],
)
async def test_first_last_and_ranks(store: Client, values: str, reduce: str, whole: Any, even: Any) -> None:
    path = await view(store, values, "d", KEYED, reduce)

    assert await rows(store, path) == [{"key": None, "value": whole}]
    assert (await rows(store, path, group_level=1))[0] == {"key": [0], "value": even}
    assert (await rows(store, path, group_level=1, descending=True))[-1] == {"key": [0], "value": even}


@pytest.mark.parametrize("reduce", ["_first", "_last", "_top_2", "_bottom_2"])
async def test_first_last_and_ranks_of_many_rows(store: Client, db: str, reduce: str) -> None:
    docs: list[dict[str, Any]] = [{"_id": f"d{n:04}", "k": 0, "n": n, "value": n * 7 % 3001} for n in range(3000)]
    await store.post(f"{db}/_bulk_docs", {"docs": docs})
    path = await view(store, db, "d", KEYED, reduce)
    chosen = [doc["value"] for doc in docs[100:2900]]
    expected = {
        "_first": chosen[0],
        "_last": chosen[-1],
        "_top_2": sorted(chosen)[:-3:-1],
        "_bottom_2": sorted(chosen)[:2],
    }

    assert await rows(store, path, startkey=[0, 100], endkey=[0, 2899]) == [{"key": None, "value": expected[reduce]}]


@pytest.mark.parametrize(
    ("reduce", "reason"),
    [
        ("_top_0", "rank value must be between 1 and 100"),
        ("_top_101", "rank value must be between 1 and 100"),
        ("_bottom_-1", "rank value must be between 1 and 100"),
        ("_top_", "invalid rank reducer"),
        ("_top_1.5", "invalid rank reducer"),
        ("_bottom_3 and more", "invalid rank reducer"),
        ("_top", "`_top` is not a supported reduce function."),
        ("_median", "`_median` is not a supported reduce function."),
    ],
)
async def test_wrong_built_in_is_refused(store: Client, db: str, reduce: str, reason: str) -> None:
    answer = await store.put(f"{db}/_design/d", {"views": {"v": {"map": KEYED, "reduce": reduce}}})

    assert (answer.status, answer.body) == (400, {"error": "invalid_design_doc", "reason": reason})


# --- reductions that do not reduce ------------------------------------------------------------------------------------

GROWING = "function (keys, values) { var all = []; for (var n = 0; n < 3000; n++) { all.push(n); } return all; }"


async def test_reduction_that_does_not_reduce_is_an_error_row(store: Client, values: str) -> None:
    path = await view(store, values, "d", KEYED, GROWING)

    for params in ({}, {"group": True}):
        [row] = await rows(store, path, **params)
        assert (row["key"], row["error"]) == (None, "reduce_overflow_error")
        assert row["reason"].startswith("Reduce output must shrink more rapidly: input size: ")


async def test_reduction_that_shrinks_may_be_long(store: Client, db: str) -> None:
    docs = [{"_id": f"d{n}", "k": 0, "n": n, "value": "x" * 200} for n in range(100)]
    await store.post(f"{db}/_bulk_docs", {"docs": docs})
    half = "function (keys, values) { return values.join('').substring(0, 7000); }"
    path = await view(store, db, "d", KEYED, half)

    assert await rows(store, path) == [{"key": None, "value": "x" * 7000}]


async def test_limit_of_reductions_can_be_switched_off(store: Client, values: str) -> None:
    path = await view(store, values, "d", KEYED, GROWING)
    setting = "/_node/_local/_config/query_server_config/reduce_limit"
    assert (await store.put(setting, "maybe")).status == 400
    assert (await store.put(setting, "false")).status == 200

    [row] = await rows(store, path)

    assert len(row["value"]) == 3000


# --- raw collation ----------------------------------------------------------------------------------------------------

ALL_KEYS = "function (doc) { if (doc.keys) { doc.keys.forEach(function (key) { emit(key, 1); }); } }"
IN_RAW_ORDER: list[Any] = [
    *(-1, 1, 2.5, 10, False, None, True, {}, {"a": 1}, {"a": 1, "b": 0}, {"b": 0}),
    *([], [1], [1, 2], [2], ["a"], "", "A", "B", "a", "a\0b", "aa", "b", "\u00e9"),
]


async def test_raw_collation_is_erlangs_order(store: Client, db: str) -> None:
    await store.put(f"{db}/d", {"keys": IN_RAW_ORDER[::-1]})
    raw = await view(store, db, "raw", ALL_KEYS, "_count", options={"collation": "raw"})
    usual = await view(store, db, "usual", ALL_KEYS, "_count")

    assert [row["key"] for row in await rows(store, raw, reduce=False)] == IN_RAW_ORDER
    assert [row["key"] for row in await rows(store, raw, group=True, descending=True)] == IN_RAW_ORDER[::-1]
    assert [row["key"] for row in await rows(store, usual, reduce=False)] != IN_RAW_ORDER
    assert [row["key"] for row in await rows(store, raw, reduce=False, startkey='"A"', endkey='"a"')] == ["A", "B", "a"]
    assert [row["key"] for row in await rows(store, raw, reduce=False, keys=["b", "B"])] == ["b", "B"]
    assert await rows(store, raw, startkey=[1], endkey=[1, {}], group_level=1) == [{"key": [1], "value": 2}]


async def test_option_of_the_whole_document_is_no_collation(store: Client, db: str) -> None:
    await store.put(f"{db}/d", {"keys": ["a", "B"]})
    await store.put(f"{db}/_design/d", {"options": {"collation": "raw"}, "views": {"v": {"map": ALL_KEYS}}})

    assert [row["key"] for row in await rows(store, f"{db}/_design/d/_view/v")] == ["a", "B"]


# --- linked documents -------------------------------------------------------------------------------------------------


async def test_values_point_to_documents_and_revisions(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/linked", {"v": 1})).body["rev"]
    second = (await store.put(f"{db}/linked", {"v": 2, "_rev": first})).body["rev"]
    own = (await store.put(f"{db}/from", {})).body["rev"]
    gone = (await store.put(f"{db}/gone", {})).body["rev"]
    await store.delete(f"{db}/gone", rev=gone)
    links: list[Any] = [
        {"_id": "linked"}, {"_id": "linked", "_rev": first}, {"_id": "linked", "_rev": second}, {"_rev": own}, None,
        {"_id": "nowhere"}, {"_id": "gone"}, {"_id": "linked", "_rev": "9-abc"}, {"_rev": "x"}, {"_id": 5},
    ]  # fmt: skip
    emits = f"function (doc) {{ if (doc._id === 'from') {{ var all = {links!r}; ".replace("None", "null")
    path = await view(store, db, "d", emits + "all.forEach(function (link, n) { emit(n, link); }); } }")

    async def shown(**params: Any) -> list[Any]:
        return [row["doc"] and row["doc"]["_rev"] for row in await rows(store, path, include_docs=True, **params)]

    assert await shown() == [second, first, second, own, own, *[None] * 5]
    assert await shown() == await shown(conflicts=True)


async def test_design_info(store: Client, values: str) -> None:
    path = await view(store, values, "d", KEYED, "_count")
    before = (await store.get(f"{values}/_design/d/_info")).body
    await rows(store, path)
    after = (await store.get(f"{values}/_design/d/_info")).body

    assert before["name"] == "d"
    assert before["view_index"]["updates_pending"]["total"] == 11
    index = after["view_index"]
    assert (index["update_seq"], index["purge_seq"], index["updates_pending"]["total"]) == (11, 0, 0)
    rev = (await store.get(f"{values}/d0")).body["_rev"]
    await store.post(f"{values}/_purge", {"d0": [rev]})
    assert (await store.get(f"{values}/_design/d/_info")).body["view_index"]["purge_seq"] == 0
    await rows(store, path)
    assert (await store.get(f"{values}/_design/d/_info")).body["view_index"]["purge_seq"] == 1
    assert set(index) == {
        "collator_versions", "compact_running", "language", "purge_seq", "signature", "sizes", "update_seq",
        "updater_running", "updates_pending", "waiting_clients", "waiting_commit",
    }  # fmt: skip


async def test_a_build_that_runs_is_told_with_its_database(store: Client, db: str) -> None:
    docs = [{"_id": f"d{number}"} for number in range(600)]
    await store.post(f"{db}/_bulk_docs", {"docs": docs})
    slow = "function (doc) { for (var i = 0; i < 5000; i++) { JSON.stringify(doc); } emit(doc._id); }"
    path = await view(store, db, "d", slow)
    query = asyncio.create_task(store.get(path, limit=1))

    async def listed() -> Any:
        tasks = (await store.get("/_active_tasks")).body
        return next((task for task in tasks if task["database"] == db.strip("/")), None)

    task = await eventually(listed)
    await query
    assert (task["type"], task["design_document"], task["total_changes"]) == ("indexer", "_design/d", 601)
