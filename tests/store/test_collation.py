"""The order of keys in views: docs.couchdb.org "Views Collation", ICU's root order for strings."""

from __future__ import annotations

import functools
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.collation import array_prefix, sort_key

# The example of CouchDB's documentation, in order, with some neighbours.
DOCUMENTED = [
    None,
    False,
    True,
    -1e300,
    -2.5,
    -1,
    0,
    1e-9,
    1,
    2,
    3.0,
    4,
    1e300,
    "",
    "a",
    "A",
    "aa",
    "b",
    "B",
    "ba",
    "bb",
    [],
    [None],
    ["a"],
    ["a", None],
    ["b"],
    ["b", "c"],
    ["b", "c", "a"],
    ["b", "d"],
    ["b", "d", "e"],
    ["b", {}],
    [[]],
    {},
    {"a": 1},
    {"a": 2},
    {"b": 1},
    {"b": 2},
    {"b": 2, "a": 1},
    {"b": 2, "c": 2},
]

# Put in order by ICU 72's root collator at its default strength.
IN_ICU_ORDER = (
    "_ - , ; : ! ? . ' \" ( ) [ ] { } @ * / \\ & # % ` ^ + < = > | ~ 😀 $ € 0 1 ½ 10 2 9 a ａ A á ä Ä "
    "aa ab aB Ab AB æ az b B ba č cote coté côte côté d đ e é ha-u ha'u hau n ñ o ö ø œ ss ß z Z ž α "
    "Ω ё Ж и й я א آ ا ش የ अ आ क की क् আ ক กา เก แก น ກ 가 힣 ぁ あ ア カー ゃ や 一 丁 字 漢 語 \ufff0 \ufffd "
    "\uffff"
)
WORDS = IN_ICU_ORDER.split(" ")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=3), values, max_size=4),
    max_leaves=8,
)


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON values: true is not 1, and the order of an object's members matters."""
    if isinstance(left, bool) or isinstance(right, bool) or type(left) is not type(right):
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (left, right))
        return left == right if numbers else left is right
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(map(_same, left.values(), right.values()))
    return bool(left == right)


@pytest.mark.parametrize(("lesser", "greater"), list(pairwise(DOCUMENTED)), ids=str)
def test_values_sort_as_couchdb_documents(lesser: Any, greater: Any) -> None:  # MOD-122
    assert sort_key(lesser) < sort_key(greater)


def test_strings_sort_as_icu_sorts_them() -> None:
    shuffled = random.Random(5).sample(WORDS, len(WORDS))

    assert sorted(shuffled, key=sort_key) == WORDS


def test_whole_numbers_and_doubles_are_one_order() -> None:
    assert sort_key(1) == sort_key(1.0)
    assert sort_key(0) == sort_key(-0.0)


def test_high_keys_come_after_all_text_of_a_prefix() -> None:
    texts = ["clinic", "clinic z", "clinic ZZ", "clinic \u7fa9", "clinic \U0001f600"]

    assert all(
        sort_key("clinic") <= sort_key(text) < sort_key("clinic\ufff0") < sort_key("clinic\uffff") for text in texts
    )


def test_an_empty_object_is_above_every_member_of_an_array_key() -> None:
    members = [None, True, 9e99, "\uffff", ["z"]]

    assert all(sort_key(["p", member]) < sort_key(["p", {}]) for member in members)


def test_canonically_equivalent_strings_are_neighbours_but_not_equal() -> None:
    composed, decomposed = sort_key("\u00e9"), sort_key("e\u0301")

    assert composed != decomposed
    assert not any(
        min(composed, decomposed) < sort_key(word) < max(composed, decomposed) for word in WORDS if word != "é"
    )


def test_ignorable_characters_count_only_between_otherwise_equal_strings() -> None:
    assert sort_key("ab") < sort_key("a\u0000b") < sort_key("abc")
    assert sort_key("a\u200db") < sort_key("ac")


def test_prefix_of_an_array_is_the_beginning_of_its_key() -> None:
    assert sort_key(["a", 1, {"b": 2}]).startswith(array_prefix(["a", 1]))
    assert not sort_key(["ab", 1]).startswith(array_prefix(["a"]))


def test_deep_nesting_has_a_key() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]

    assert sort_key(deep) > sort_key([])


@settings(deadline=None)
@given(JSON, JSON)
def test_keys_are_equal_only_for_equal_values(left: Any, right: Any) -> None:
    assert (sort_key(left) == sort_key(right)) == _same(left, right)


@settings(deadline=None)
@given(JSON, JSON)
def test_no_key_begins_with_another(left: Any, right: Any) -> None:
    first, second = sorted((sort_key(left), sort_key(right)), key=len)

    assert first == second or not second.startswith(first)


@settings(deadline=None)
@given(st.lists(JSON, max_size=4), st.lists(JSON, max_size=4))
def test_arrays_are_compared_member_by_member(left: list[Any], right: list[Any]) -> None:
    expected = [sort_key(member) for member in left] < [sort_key(member) for member in right]

    assert (sort_key(left) < sort_key(right)) == expected


@settings(deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_numbers_sort_by_value(left: float, right: float) -> None:
    assert (sort_key(left) < sort_key(right)) == (left < right)


SCRIPTS = {
    "ascii": [(0x00, 0x7F)],
    "latin": [(0x20, 0x24F)],
    "cyrillic": [(0x400, 0x4FF)],
    "arabic letters": [(0x620, 0x64A)],
    "devanagari": [(0x900, 0x97F)],
    "ethiopic": [(0x1200, 0x137F)],
    "hangul": [(0xAC00, 0xD7A3)],
    "kana": [(0x3040, 0x30FF)],
    "han": [(0x4E00, 0x9FFF)],
    "thai letters": [(0xE01, 0xE37)],
    "symbols": [(0x2000, 0x2BFF), (0x1F300, 0x1FAFF)],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_random_strings_sort_as_the_installed_icu_sorts_them(script: str) -> None:
    icu = pytest.importorskip("icu", reason="PyICU is not installed")
    collator = icu.Collator.createInstance(icu.Locale.getRoot())
    rng = random.Random(script)

    def text() -> str:
        return "".join(chr(rng.randint(*rng.choice(SCRIPTS[script]))) for _ in range(rng.randint(0, 6)))

    texts = [text() for _ in range(3000)]

    by_icu = sorted(texts, key=functools.cmp_to_key(lambda a, b: collator.compare(a, b) or (a > b) - (a < b)))
    assert sorted(texts, key=sort_key) == by_icu
