"""Reductions over ranges and groups, built in and in JavaScript."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from store.collation import sort_key
from store.errors import StoreError
from store.views import Views
from tests.store.views.view_documents import KEYED, Documents, ddoc, ids, query


@pytest.fixture
def visits(documents: Documents) -> None:
    """2,000 documents with keys [clinic of 4, month of 5, day] and numbers 0 to 1999; enough to make several blocks."""
    for number in range(2000):
        documents.put(f"v{number:04}", key=[f"c{number % 4}", number % 5, number // 20], value=number)


SUM_IN_JAVASCRIPT = "function (keys, values, rereduce) { return sum(values); }"


@pytest.mark.usefixtures("visits")
@pytest.mark.parametrize("reduce", ["_sum", "_count", "_stats", SUM_IN_JAVASCRIPT], ids=["sum", "count", "stats", "js"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"group_level": 1},
        {"group_level": 2, "descending": True},
        {"group": True, "limit": 7, "skip": 3},
        {"startkey": ["c1"], "endkey": ["c2", 3]},
        {"startkey": ["c1", 2], "endkey": ["c1", 2, {}]},
        {"startkey": ["c1"], "endkey": ["c3", {}], "group_level": 1},
        {"startkey": ["c3", {}], "endkey": ["c1", 4], "group_level": 2, "descending": True, "skip": 1, "limit": 4},
        {"startkey": ["c1", 0, 5], "endkey": ["c1", 0, 60], "inclusive_end": False},
        {"key": ["c1", 1, 0]},
        {"startkey": ["x"]},
    ],
    ids=str,
)
async def test_reductions_equal_those_of_the_rows(
    views: Views, documents: Documents, reduce: str, options: dict[str, Any]
) -> None:
    design = ddoc(v=(KEYED, reduce))
    await query(views, design)
    for number in range(0, 2000, 7):  # some blocks change after they were reduced
        documents.put(f"v{number:04}", key=[f"c{number % 3}", number % 5, number // 20], value=number)
    ranged = {name: value for name, value in options.items() if name not in ("group", "group_level", "skip", "limit")}
    rows = (await query(views, design, reduce=False, **ranged))["rows"]
    level = 9 if options.get("group") else options.get("group_level", 0)
    groups: dict[bytes, list[int]] = {}
    for row in rows:
        groups.setdefault(orjson.dumps(row["key"][:level] if level else None), []).append(row["value"])
    expected = [{"key": orjson.loads(key), "value": _reduced(reduce, values)} for key, values in groups.items()]
    start = options.get("skip", 0)

    answer = await query(views, design, **options)

    assert answer == {"rows": expected[start : start + options.get("limit", len(expected))]}


def _reduced(reduce: str, values: list[int]) -> Any:
    if reduce == "_count":
        return len(values)
    if reduce == "_stats":
        squares = sum(value * value for value in values)
        return {"sum": sum(values), "count": len(values), "min": min(values), "max": max(values), "sumsqr": squares}
    return sum(values)


async def test_keys_with_group_reduce_each_key(views: Views, documents: Documents) -> None:  # DDOC-107
    for number in range(6):
        documents.put(f"d{number}", key=[number % 3], value=number)

    answer = await query(views, ddoc(v=(KEYED, "_stats")), body={"keys": [[2], [0], [9]]}, group=True)

    assert [(row["key"], row["value"]["max"]) for row in answer["rows"]] == [([2], 5), ([0], 3)]


async def test_large_groups_are_reduced_by_key(views: Views, documents: Documents) -> None:  # DDOC-116
    for number in range(3999):
        documents.put(f"d{number:04}", key="report" if number % 3 else "message")
    design = ddoc(v=(KEYED, "_count"), j=(KEYED, "function (k, v, r) { return r ? sum(v) : v.length; }"))

    for view in ("v", "j"):
        assert (await query(views, design, view, group=True, descending=True))["rows"] == [
            {"key": "report", "value": 2666},
            {"key": "message", "value": 1333},
        ]


async def test_short_and_other_keys_are_their_own_groups(views: Views, documents: Documents) -> None:
    for number, key in enumerate((None, 5, "a", [], ["a"], ["a", 1], ["a", 1, 2], ["a", 2], {"x": 1})):
        documents.put(f"d{number}", key=key)

    answer = await query(views, ddoc(v=(KEYED, "_count")), group_level=2)

    assert [(row["key"], row["value"]) for row in answer["rows"]] == [
        (None, 1),
        (5, 1),
        ("a", 1),
        ([], 1),
        (["a"], 1),
        (["a", 1], 2),
        (["a", 2], 1),
        ({"x": 1}, 1),
    ]


@pytest.mark.parametrize("reduce", ["_sum", "_count", "_stats", SUM_IN_JAVASCRIPT])
async def test_no_rows_reduce_to_no_row(views: Views, reduce: str) -> None:
    assert await query(views, ddoc(v=(KEYED, reduce))) == {"rows": []}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5], 3.5),
        ([[1, 2], [3]], [4, 2]),
        ([1, [2, 3]], [3, 3]),
        ([{"a": 1, "b": {"c": 2}}, {"a": 2, "b": {"c": [1]}}], {"a": 3, "b": {"c": [3]}}),
    ],
)
async def test_sum_adds_numbers_arrays_and_objects(
    views: Views, documents: Documents, values: list[Any], expected: Any
) -> None:
    for number, value in enumerate(values):
        documents.put(f"d{number}", key=number, value=value)

    [row] = (await query(views, ddoc(v=(KEYED, "_sum"))))["rows"]

    assert row["value"] == expected


async def test_sum_of_text_is_an_error_in_the_row(views: Views, documents: Documents) -> None:
    documents.put("a", key=1, value="text")

    [row] = (await query(views, ddoc(v=(KEYED, "_sum"))))["rows"]

    assert (row["value"]["error"], row["value"]["caused_by"]) == ("builtin_reduce_error", "text")


async def test_stats_takes_arrays_and_earlier_statistics(views: Views, documents: Documents) -> None:
    earlier = {"sum": 5, "count": 2, "min": 2, "max": 3, "sumsqr": 13}
    documents.put("a", key=1, value=4)
    documents.put("b", key=1, value=earlier)
    documents.put("c", key=2, value=[1, 2])
    documents.put("d", key=2, value=[3, 4])

    rows = (await query(views, ddoc(v=(KEYED, "_stats")), group=True))["rows"]

    assert rows[0]["value"] == {"sum": 9, "count": 3, "min": 2, "max": 4, "sumsqr": 29}
    assert [part["sum"] for part in rows[1]["value"]] == [4, 6]


async def test_stats_of_text_is_an_error(views: Views, documents: Documents) -> None:
    documents.put("a", key=1, value="text")
    design = ddoc(v=(KEYED, "_stats"))

    with pytest.raises(StoreError) as error:
        await query(views, design)

    assert error.value.slug == "invalid_value"
    assert await ids(views, design, reduce=False) == ["a"]


async def test_distinct_keys_are_counted(views: Views, documents: Documents) -> None:
    for number in range(100):
        documents.put(f"d{number}", key=number % 7)

    assert (await query(views, ddoc(v=(KEYED, "_approx_count_distinct"))))["rows"] == [{"key": None, "value": 7}]


async def test_what_follows_the_name_of_a_built_in_is_ignored(views: Views, documents: Documents) -> None:
    """PouchDB's "#6364 Recognize built in reduce functions with trailing garbage"."""
    documents.put("a", key=1)
    documents.put("b", key=1)

    rows = (await query(views, ddoc(v=(KEYED, "_count\n \r\nandothergarbage"))))["rows"]

    assert rows == [{"key": None, "value": 2}]


async def test_an_unknown_built_in_is_an_error(views: Views, documents: Documents) -> None:
    documents.put("a", key=1)

    with pytest.raises(StoreError) as error:
        await query(views, ddoc(v=(KEYED, "_median")))

    assert error.value.slug == "invalid_builtin_reduce"


async def test_a_javascript_reduce_of_many_rows_gets_a_few_hundred_at_once(views: Views, documents: Documents) -> None:
    for number in range(1000):
        documents.put(f"d{number:04}", key=number, value=1)
    largest = "function (keys, values, rereduce) { return rereduce ? Math.max.apply(null, values) : values.length; }"

    [row] = (await query(views, ddoc(v=(KEYED, largest))))["rows"]

    assert 0 < row["value"] <= 300


async def test_the_latest_of_each_group_by_a_javascript_reduce(views: Views, documents: Documents) -> None:  # DDOC-28
    for number in range(600):
        documents.put(f"d{number:03}", key=[f"contact{number % 2}", number], value={"date": number})
    latest = """function (keys, values) {
      return values.reduce(function (best, value) { return value.date > best.date ? value : best; }, {date: 0});
    }"""

    rows = (await query(views, ddoc(v=(KEYED, latest)), group_level=1))["rows"]

    assert rows == [
        {"key": ["contact0"], "value": {"date": 598}},
        {"key": ["contact1"], "value": {"date": 599}},
    ]


async def test_mixed_keys_come_in_collation_order(views: Views, documents: Documents) -> None:  # DDOC-117
    keys = [["p1", 5], 7, "text", None, {"a": 1}, ["p1", 20], 100, True]
    for number, key in enumerate(keys):
        documents.put(f"d{number}", key=key)

    answer = await query(views, ddoc(v=KEYED))

    assert [row["key"] for row in answer["rows"]] == sorted(keys, key=sort_key)
