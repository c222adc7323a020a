"""The range of values that a selector allows a field, found by narrowing it at each comparison. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from store.collation import sort_key
from store.selector import Selector, only

_INDEXABLE = frozenset({"$lt", "$lte", "$eq", "$gt", "$gte", "$beginsWith", "$exists"})
HIGHEST_TEXT = "\uffff"  # added to a prefix it sorts after every text that begins with the prefix


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`; an end that is not there is open, one that is not inclusive leaves its value out."""

    low: Any = None
    high: Any = None
    has_low: bool = False
    has_high: bool = False
    low_inclusive: bool = False
    high_inclusive: bool = False


OPEN = Range()
EMPTY = Range(has_low=True, has_high=True)  # by identity: no value


def indexable_fields(selector: Selector) -> set[str]:
    """The fields a selector restricts in a way that a range of an index can follow: through `$and` only."""
    if not selector:
        return set()
    name, argument = only(selector)
    if name == "$and":
        return set().union(*map(indexable_fields, argument))
    return {name} if not name.startswith("$") and not _INDEXABLE.isdisjoint(argument) else set()


def narrowed(selector: Selector, field: str, within: Range) -> Range:
    """The part of a range that the selector leaves to the field; EMPTY when nothing is left."""
    if not selector:
        return within
    name, argument = only(selector)
    if name == "$and":
        for condition in argument:
            within = narrowed(condition, field, within)
            if within is EMPTY:
                break
        return within
    if name != field:
        return within
    operator, value = only(argument)
    if operator == "$eq":
        return _above(_below(within, value, inclusive=True), value, inclusive=True)
    if operator == "$beginsWith":
        return _above(_below(within, value + HIGHEST_TEXT, inclusive=True), value, inclusive=True)
    if operator in ("$lt", "$lte"):
        return _below(within, value, inclusive=operator == "$lte")
    if operator in ("$gt", "$gte"):
        return _above(within, value, inclusive=operator == "$gte")
    return within


def _below(within: Range, value: Any, *, inclusive: bool) -> Range:
    if within is EMPTY:
        return EMPTY
    if within.has_high:
        difference = _compare(value, within.high)
        if difference > 0 or (difference == 0 and (inclusive or not within.high_inclusive)):
            return within
    return _unless_empty(Range(within.low, value, within.has_low, True, within.low_inclusive, high_inclusive=inclusive))


def _above(within: Range, value: Any, *, inclusive: bool) -> Range:
    if within is EMPTY:
        return EMPTY
    if within.has_low:
        difference = _compare(value, within.low)
        if difference < 0 or (difference == 0 and (inclusive or not within.low_inclusive)):
            return within
    return _unless_empty(
        Range(value, within.high, True, within.has_high, inclusive, high_inclusive=within.high_inclusive)
    )


def _unless_empty(found: Range) -> Range:
    if not (found.has_low and found.has_high):
        return found
    difference = _compare(found.low, found.high)
    if difference > 0 or (difference == 0 and not (found.low_inclusive and found.high_inclusive)):
        return EMPTY
    return found


def _compare(left: Any, right: Any) -> int:
    left_key, right_key = sort_key(left), sort_key(right)
    return (left_key > right_key) - (left_key < right_key)
