"""Selectors as CouchDB 3.5 understands them: what matches, what is refused, what the normal form is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.errors import BadRequest
from store.mango_range import EMPTY, OPEN, narrowed
from store.selector import compile_selector, normalize

DOC = {
    "_id": "asha",
    "age": 34,
    "height": 1.5,
    "name": "Asha Devi",
    "muted": False,
    "parent": None,
    "tags": ["chw", "north"],
    "visits": [{"n": 1, "ok": True}, {"n": 2, "ok": False}],
    "place": {"name": "Hill", "at": [27, 85]},
    "a.b": "dotted",
}

MATCHING: list[dict[str, Any]] = [
    {},
    {"age": 34},
    {"age": 34.0},
    {"age": {"$gt": 33, "$lt": 35}},
    {"age": {"$gte": 34, "$lte": 34}},
    {"age": {"$ne": 33}},
    {"age": {"$gt": None}},
    {"age": {"$lt": "text"}},
    {"name": {"$lt": []}},
    {"parent": None},
    {"parent": {"$exists": True}},
    {"nothing": {"$exists": False}},
    {"nothing.deeper": {"$exists": False}},
    {"age": {"$type": "number"}},
    {"parent": {"$type": "null"}},
    {"muted": {"$type": "boolean"}},
    {"place": {"$type": "object"}},
    {"tags": {"$in": ["south", "north"]}},
    {"age": {"$in": [1, 34]}},
    {"age": {"$nin": [1, 2]}},
    {"age": {"$nin": []}},
    {"tags": {"$all": ["north", "chw"]}},
    {"tags": {"$size": 2}},
    {"age": {"$mod": [10, 4]}},
    {"name": {"$regex": "^Asha"}},
    {"name": {"$regex": "(?i)^ASHA"}},
    {"name": {"$regex": "[[:space:]]D"}},
    {"name": {"$beginsWith": "Asha"}},
    {"visits": {"$elemMatch": {"n": {"$gt": 1}, "ok": False}}},
    {"tags": {"$elemMatch": {"$eq": "chw"}}},
    {"visits": {"$allMatch": {"n": {"$gt": 0}}}},
    {"place": {"$keyMapMatch": {"$eq": "at"}}},
    {"place.name": "Hill"},
    {"place": {"name": "Hill"}},
    {"place.at.1": 85},
    {"visits.0.ok": True},
    {"a\\.b": "dotted"},
    {"$or": [{"age": 1}, {"age": 34}]},
    {"$nor": [{"age": 1}, {"age": 2}]},
    {"$not": {"age": {"$lt": 30}}},
    {"$and": [{"age": 34}, {"tags": {"$not": {"$size": 3}}}]},
    {"age": {"$or": [{"$lt": 3}, {"$gt": 30}]}},
    {"_id": {"$gt": [], "$beginsWith": "as"}},
]

NOT_MATCHING: list[dict[str, Any]] = [
    {"age": "34"},
    {"muted": 0},
    {"age": True},
    {"nothing": {"$ne": 3}},
    {"nothing": {"$not": {"$regex": "x"}}},
    {"age.deeper": {"$exists": False}},
    {"parent": {"$exists": False}},
    {"age": {"$in": []}},
    {"tags": {"$all": []}},
    {"tags": {"$all": ["north", "south"]}},
    {"name": {"$size": 9}},
    {"height": {"$mod": [1, 0]}},
    {"age": {"$regex": "34"}},
    {"visits": {"$allMatch": {"ok": True}}},
    {"tags.5": "north"},
    {"place": {"$eq": {"at": [27, 85], "name": "Hill"}}},
]

REFUSED: list[tuple[Any, str, str]] = [
    ([], "invalid_selector_json", "Selector must be a JSON object, not: []"),
    ({"$bad": []}, "invalid_operator", "Invalid operator: $bad"),
    ({"a": {"$gt": 1, "$bad": 2}}, "invalid_operator", "Invalid operator: $bad"),
    ({"$gt": 3}, "invalid_selector", "One or more conditions is missing a field name."),
    (
        {"a": {"$in": {"x": ["y", None, 1.5]}}},
        "bad_arg",
        "Bad argument for operator $in: {[{<<120>>,[<<121>>,null,1.5]}]}",
    ),
    ({"a": {"$regex": "("}}, "bad_arg", "Bad argument for operator $regex: <<40>>"),
    ({"a": {"$size": -1}}, "bad_arg", "Bad argument for operator $size: -1"),
    ({"a": {"$mod": [0, 1]}}, "bad_arg", "Bad argument for operator $mod: [0,1]"),
    ({"a": {"$not": 1}}, "bad_arg", "Bad argument for operator $not: 1"),
    ({"a": {"$exists": 1}}, "bad_arg", "Bad argument for operator $exists: 1"),
    ({"a": {"$beginsWith": 3}}, "invalid_operator", "Invalid operator: $beginsWith"),
    ({"a": {"$where": "x"}}, "not_supported", "Unsupported operator: $where"),
    ({"a..b": 3}, "invalid_field_name", "Invalid field name: a..b"),
]


@pytest.mark.parametrize("selector", MATCHING, ids=str)
def test_selector_matches(selector: dict[str, Any]) -> None:
    assert compile_selector(selector)(DOC)


@pytest.mark.parametrize("selector", NOT_MATCHING, ids=str)
def test_selector_does_not_match(selector: dict[str, Any]) -> None:
    assert not compile_selector(selector)(DOC)


@pytest.mark.parametrize(("selector", "slug", "reason"), REFUSED, ids=str)
def test_bad_selector_is_refused_as_couchdb_does(selector: Any, slug: str, reason: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        normalize(selector)

    assert (refusal.value.slug, refusal.value.reason) == (slug, reason)


def test_endless_nesting_is_refused() -> None:
    selector: dict[str, Any] = {"a": 1}
    for _ in range(500):
        selector = {"$not": selector}

    with pytest.raises(BadRequest, match="nested too deeply"):
        normalize(selector)


def test_pattern_that_explodes_is_stopped() -> None:
    matches = compile_selector({"name": {"$regex": "^(a+)+$"}})

    with pytest.raises(BadRequest, match="too long"):
        matches({"name": "a" * 60 + "!"})
    assert matches({"name": "aaa"})


@pytest.mark.parametrize(
    ("selector", "normal"),
    [
        ({"a": 1}, {"a": {"$eq": 1}}),
        ({"a": 1, "b": {}}, {"$and": [{"a": {"$eq": 1}}, {"b": {"$eq": {}}}]}),
        ({"a": {"b": {"$gt": 1}}}, {"a.b": {"$gt": 1}}),
        ({"$not": {"$and": [{"a": {"$lt": 1}}, {"b": 2}]}}, {"$or": [{"a": {"$gte": 1}}, {"b": {"$ne": 2}}]}),
        ({"$nor": [{"a": {"$regex": "x"}}]}, {"$and": [{"a": {"$not": {"$regex": "x"}}}]}),
        ({"a": {"$elemMatch": {"$gt": 1}}}, {"a": {"$elemMatch": {"": {"$gt": 1}}}}),
    ],
    ids=str,
)
def test_normal_form_is_couchdbs(selector: dict[str, Any], normal: dict[str, Any]) -> None:
    assert normalize(selector) == normal


_numbers = st.integers(-5, 5)
_conditions = st.dictionaries(st.sampled_from(["$eq", "$lt", "$lte", "$gt", "$gte"]), _numbers, min_size=1)


@given(_conditions, _numbers)
def test_range_holds_every_value_that_matches(conditions: dict[str, int], value: int) -> None:
    selector = normalize({"a": conditions})
    within = narrowed(selector, "a", OPEN)
    inside = (
        within is not EMPTY
        and (not within.has_low or within.low < value or (within.low == value and within.low_inclusive))
        and (not within.has_high or value < within.high or (within.high == value and within.high_inclusive))
    )

    assert inside == compile_selector({"a": conditions})({"a": value})


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2),
    max_leaves=4,
)


@given(_values, _values, st.sampled_from(["$eq", "$lt", "$lte", "$in"]))
def test_negation_is_the_opposite_where_the_field_is(value: Any, argument: Any, operator: str) -> None:
    condition = {operator: [argument] if operator == "$in" else argument}
    doc = {"a": value}

    assert compile_selector({"a": condition})(doc) != compile_selector({"$not": {"a": condition}})(doc)
