"""CouchDB's built-in reduce functions, each as a fold of rows into a partial result and a merge of partial results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import orjson

from store.collation import sort_key
from store.errors import StoreError

_SUM_REASON = (
    "The _sum function requires that map values be numbers, arrays of numbers, or objects. Objects cannot be mixed with"
    " other data structures. Objects can be arbitrarily nested, provided that the values for all fields are themselves"
    " numbers, arrays of numbers, or objects."
)
_PLAIN = ("_sum", "_count", "_stats", "_approx_count_distinct", "_first", "_last")
_RANK = re.compile(r"_(top|bottom)_(.*)", re.DOTALL)
_LARGEST_RANK = 100


class Reducer(Protocol):
    """A reduction whose partial results are JSON texts that can be kept and merged."""

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        """The result for some rows; keys and values are JSON texts."""
        ...

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        """The result for rows of which each partial is the result of some."""
        ...


class InvalidValue(StoreError):
    """500 `invalid_value`: a built-in reduce function met a value that it cannot take."""

    slug = "invalid_value"


class Count:
    """`_count`: the number of rows."""

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        return b"%d" % len(values)

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        return b"%d" % sum(map(int, partials))


class Sum:
    """`_sum`: numbers are added; arrays and objects member by member."""

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        return self.rereduce(values)

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        total: Any = 0
        for value in map(orjson.loads, partials):
            if isinstance(value, dict) and value.get("error") == "builtin_reduce_error":
                return orjson.dumps(value)
            try:
                total = _added(total, value)
            except _NotSummable:
                return orjson.dumps({"error": "builtin_reduce_error", "reason": _SUM_REASON, "caused_by": value})
        return number_json(total)


class Stats:
    """`_stats`: sum, count, min, max and sum of squares of numbers, arrays of numbers or earlier statistics."""

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        return _merged([_statistics(orjson.loads(value)) for value in values])

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        return _merged([orjson.loads(partial) for partial in partials])


class CountDistinct:
    """`_approx_count_distinct`: the number of distinct keys, counted exactly.

    A partial result is the count alone, so only partials of disjoint sets of keys may be merged.
    """

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        return b"%d" % len(set(keys))

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        return b"%d" % sum(map(int, partials))


class First:
    """`_first`: the value of the lowest key."""

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        return values[0]

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        return partials[0]


class Last:
    """`_last`: the value of the highest key."""

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        return values[-1]

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        return partials[-1]


@dataclass(frozen=True)
class Rank:
    """`_top_<count>`, `_bottom_<count>`: the highest or lowest different values, in CouchDB's order of JSON values."""

    count: int
    top: bool

    def reduce(self, keys: Sequence[bytes], ids: Sequence[str], values: Sequence[bytes]) -> bytes:
        by_key = {sort_key(orjson.loads(value)): value for value in values}
        chosen = sorted(by_key, reverse=self.top)[: self.count]
        return b"[" + b",".join([by_key[key] for key in chosen]) + b"]"

    def rereduce(self, partials: Sequence[bytes]) -> bytes:
        return self.reduce((), (), [bytes(value) for partial in partials for value in _decode_values(partial)])


_decode_values = msgspec.json.Decoder(list[msgspec.Raw]).decode


def built_in_name(source: str) -> str | None:
    """The built-in that a reduce function's source names, None without one; CouchDB ignores what follows most names."""
    if (rank := _rank(source)) is not None:
        return f"_{'top' if rank.top else 'bottom'}_{rank.count}"
    return next((name for name in _PLAIN if source.startswith(name)), None)


def not_built_in(source: str) -> str:
    """What is wrong with a source that `built_in_name` does not know, as CouchDB says it."""
    if (match := _RANK.match(source)) is None:
        return f"`{source}` is not a supported reduce function."
    return "invalid rank reducer" if _integer(match[2]) is None else "rank value must be between 1 and 100"


def _rank(source: str) -> Rank | None:
    match = _RANK.match(source)
    count = _integer(match[2]) if match is not None else None
    if match is None or count is None or not 1 <= count <= _LARGEST_RANK:
        return None
    return Rank(count, match[1] == "top")


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else None


def built_in(name: str) -> Reducer:
    """The reducer of that name; InvalidValue (a 500, as in CouchDB) when there is none."""
    if name == "_count":
        return Count()
    if name == "_sum":
        return Sum()
    if name == "_stats":
        return Stats()
    if name == "_approx_count_distinct":
        return CountDistinct()
    if name == "_first":
        return First()
    if name == "_last":
        return Last()
    if (rank := _rank(name)) is not None:
        return rank
    raise InvalidValue(not_built_in(name), slug="invalid_builtin_reduce")


def number_json(value: Any) -> bytes:
    """JSON text in which whole numbers have no fraction, as JavaScript writes them."""
    return orjson.dumps(_whole(value))


def stats_json(total: float, count: int, smallest: float, largest: float, sum_of_squares: float) -> bytes:
    """The value of a `_stats` row."""
    return number_json({"sum": total, "count": count, "min": smallest, "max": largest, "sumsqr": sum_of_squares})


class _NotSummable(Exception):
    pass


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else float(value)
    if isinstance(value, list):
        return [_whole(member) for member in value]
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    return value


def _added(total: Any, value: Any) -> Any:
    if _is_number(total) and _is_number(value):
        return total + value
    if isinstance(total, dict) or isinstance(value, dict):
        left = {} if total == 0 and not isinstance(total, dict) else total
        if not (isinstance(left, dict) and isinstance(value, dict)):
            raise _NotSummable
        merged = dict(left)
        for name, member in value.items():
            merged[name] = _added(merged.get(name, 0), member)
        return merged
    if isinstance(total, list) or isinstance(value, list):
        left, right = _as_list(total), _as_list(value)
        if len(left) < len(right):
            left, right = right, left
        return [_added(member, right[at]) if at < len(right) else member for at, member in enumerate(left)]
    raise _NotSummable


def _as_list(value: Any) -> list[Any]:
    members = value if isinstance(value, list) else [value]
    for member in members:
        if not (_is_number(member) or isinstance(member, list)):
            raise _NotSummable
    return members


_STATS_MEMBERS = ("sum", "count", "min", "max", "sumsqr")


def _statistics(value: Any) -> Any:
    if _is_number(value):
        return {"sum": value, "count": 1, "min": value, "max": value, "sumsqr": value * value}
    if isinstance(value, list):
        return [_statistics(member) for member in value]
    if isinstance(value, dict) and all(_is_number(value.get(member)) for member in _STATS_MEMBERS):
        return {member: value[member] for member in _STATS_MEMBERS}
    raise InvalidValue(
        "The _stats function requires that map values be numbers, arrays of numbers or statistics"
        f" {{sum, count, min, max, sumsqr}}, not '{orjson.dumps(value).decode()}'"
    )


def _merged(parts: Sequence[Any]) -> bytes:
    if not parts:
        return stats_json(0, 0, 0, 0, 0)
    merged = parts[0]
    for part in parts[1:]:
        merged = _merged_pair(merged, part)
    return number_json(merged)


def _merged_pair(left: Any, right: Any) -> Any:
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [_merged_pair(a, b) for a, b in zip(left, right, strict=True)]
    if isinstance(left, list) or isinstance(right, list):
        raise InvalidValue("The _stats function requires that arrays of numbers have the same length")
    return {
        "sum": left["sum"] + right["sum"],
        "count": left["count"] + right["count"],
        "min": min(left["min"], right["min"]),
        "max": max(left["max"], right["max"]),
        "sumsqr": left["sumsqr"] + right["sumsqr"],
    }
