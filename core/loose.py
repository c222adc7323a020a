"""JavaScript's loose comparisons of JSON values, for rules that were written for it (40 §9)."""

from __future__ import annotations

import math
from typing import Any

import orjson


def number_of(value: Any) -> float:
    """The number JavaScript makes of a value: blanks are 0, what is no number is NaN."""
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        text = value.strip()
        try:
            return 0.0 if not text else math.nan if "_" in text else float(text)
        except ValueError:
            return math.nan
    return math.nan


def text_of(value: Any) -> str:
    """The text of a value: whole numbers without a fraction, `true`, nothing for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return orjson.dumps(value).decode()


def loosely_equal(one: Any, other: Any) -> bool:
    """`==`: texts as texts, anything else with a number or a truth value as numbers."""
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    if isinstance(one, str | bool | int | float) and isinstance(other, str | bool | int | float):
        return number_of(one) == number_of(other)
    return bool(one == other)
