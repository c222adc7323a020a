"""What a caller may ask of a view: the options of query string and POST body, checked as CouchDB checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from store.collation import sort_key
from store.errors import BadRequest, QueryParseError

SortKey = Callable[[Any], bytes]  # what puts the keys of a view in order
EXACT = -1  # the group level of `group=true`


class Bound(NamedTuple):
    """One end of a range: rows at `sort` are taken when `inclusive`; with `id`, only from or up to that document."""

    sort: bytes
    id: str | None
    inclusive: bool


class KeyRange(NamedTuple):
    """The rows to read, from `low` to `high` in ascending order; None is an open end."""

    low: Bound | None = None
    high: Bound | None = None


class _Absent:
    """The value of a key nobody gave; null is a key like others."""


ABSENT: Any = _Absent()


@dataclass(frozen=True)
class ViewParams:
    """One query of a view. Keys are JSON values; `limit` None is without limit."""

    key: Any = ABSENT
    keys: list[Any] | None = None
    start_key: Any = ABSENT
    end_key: Any = ABSENT
    start_key_doc_id: str | None = None
    end_key_doc_id: str | None = None
    inclusive_end: bool = True
    descending: bool = False
    skip: int = 0
    limit: int | None = None
    reduce: bool | None = None
    group_level: int = 0
    include_docs: bool = False
    conflicts: bool = False
    attachments: bool = False
    att_encoding_info: bool = False
    update: Literal["true", "false", "lazy"] = "true"
    update_seq: bool = False
    sorted: bool = True

    @classmethod
    def parse(cls, query: Iterable[tuple[str, str]], body: Mapping[str, Any] | None = None) -> ViewParams:
        """Read the query string and, for POST, the members of the body, which win; others are ignored.

        QueryParseError names the parameter and its value.
        """
        found: dict[str, Any] = {}
        for name, text in query:
            if name in _FROM_TEXT:
                member, read = _FROM_TEXT[name]
                found[member] = read(name, text)
            elif name == "group":
                found["group_level"] = EXACT if _boolean(name, text) else 0
            elif name == "stale":
                found["update"] = _stale(text)
            elif name == "stable":  # with one shard every read is
                _boolean(name, text)
        for name, value in (body or {}).items():
            if name in _FROM_TEXT:
                member, read = _FROM_TEXT[name]
                found[member] = _check_keys(value) if name == "keys" else value
                if read not in (_json, _keys):
                    found[member] = read(name, value)
            elif name == "group":
                found["group_level"] = EXACT if _boolean(name, value) else 0
            elif name == "stale":
                found["update"] = _stale(value)
            elif name == "stable":
                _boolean(name, value)
        return cls(**found)

    def reduces(self, has_reduce: bool) -> bool:
        """Whether to reduce; QueryParseError when options contradict each other or the view."""
        reduce = has_reduce if self.reduce is None else self.reduce
        if reduce and not has_reduce:
            raise QueryParseError("Reduce is invalid for map-only views.")
        if self.group_level and not reduce:
            raise QueryParseError("Invalid use of grouping on a map view.")
        if reduce and self.include_docs:
            raise QueryParseError("`include_docs` is invalid for reduce")
        if reduce and self.conflicts:
            raise QueryParseError("`conflicts` is invalid for reduce views.")
        if self.keys is not None:
            if any(given is not ABSENT for given in (self.key, self.start_key, self.end_key)):
                raise QueryParseError("`keys` is incompatible with `key`, `start_key` and `end_key`")
            if reduce and self.group_level != EXACT:
                raise QueryParseError("Multi-key fetches for reduce views must use `group=true`")
        return reduce

    def ranges(self, sort_key: SortKey = sort_key) -> list[KeyRange]:
        """The ranges to read one after the other: one for each of `keys`, else a single one."""
        if self.keys is not None:
            return [self._range(sort_key, key, key) for key in self.keys]
        if self.key is not ABSENT:
            return [self._range(sort_key, self.key, self.key)]
        return [self._range(sort_key, self.start_key, self.end_key)]

    def _range(self, sort_key: SortKey, start_key: Any, end_key: Any) -> KeyRange:
        start = end = None
        if start_key is not ABSENT:
            start = Bound(_sorted(sort_key, start_key), self.start_key_doc_id, True)
        if end_key is not ABSENT:
            end = Bound(_sorted(sort_key, end_key), self.end_key_doc_id, self.inclusive_end)
        low, high = (end, start) if self.descending else (start, end)
        if low and high and low.sort > high.sort:
            advice = "set descending=false" if self.descending else "set descending=true"
            raise QueryParseError(f"No rows can match your key range, reverse your start_key and end_key or {advice}")
        return KeyRange(low, high)


def _sorted(sort_key: SortKey, value: Any) -> bytes:
    try:
        return sort_key(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise QueryParseError(f"Invalid key: {error}") from None


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else orjson.dumps(value).decode()


def _json(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:
        raise QueryParseError(f"Invalid JSON value for parameter {name}: {_shown(text)}") from None


def _keys(name: str, text: str) -> list[Any]:
    return _check_keys(_json(name, text))


def _check_keys(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadRequest("`keys` member must be an array.")
    return value


def _boolean(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise QueryParseError(f"Invalid boolean parameter: {_shown(value)}")


def _natural(name: str, value: Any) -> int:
    if isinstance(value, str):
        try:
            number = int(value) if value.isascii() and "_" not in value else None
        except ValueError:
            number = None
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if number is None:
        raise QueryParseError(f"Invalid value for integer: {_shown(value)}")
    if number < 0:
        raise QueryParseError(f"Invalid value for positive integer: {_shown(value)}")
    return min(number, 2**53)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise QueryParseError(f"Invalid value for {name}: {_shown(value)}, expected a string")
    # Some clients send the id as JSON, quotes and all.
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(orjson.loads(value))
        except ValueError:
            return value
    return value


def _update(name: str, value: Any) -> str:
    text = str(value).lower()
    if text not in ("true", "false", "lazy"):
        raise QueryParseError("Invalid value for `update`.")
    return text


def _stale(value: Any) -> str:
    if value == "ok":
        return "false"
    if value == "update_after":
        return "lazy"
    raise QueryParseError("Invalid value for `stale`.")


_FROM_TEXT: dict[str, tuple[str, Any]] = {
    "key": ("key", _json),
    "keys": ("keys", _keys),
    "startkey": ("start_key", _json),
    "start_key": ("start_key", _json),
    "endkey": ("end_key", _json),
    "end_key": ("end_key", _json),
    "startkey_docid": ("start_key_doc_id", _text),
    "start_key_doc_id": ("start_key_doc_id", _text),
    "endkey_docid": ("end_key_doc_id", _text),
    "end_key_doc_id": ("end_key_doc_id", _text),
    "inclusive_end": ("inclusive_end", _boolean),
    "descending": ("descending", _boolean),
    "skip": ("skip", _natural),
    "limit": ("limit", _natural),
    "reduce": ("reduce", _boolean),
    "group_level": ("group_level", _natural),
    "include_docs": ("include_docs", _boolean),
    "conflicts": ("conflicts", _boolean),
    "attachments": ("attachments", _boolean),
    "att_encoding_info": ("att_encoding_info", _boolean),
    "update": ("update", _update),
    "update_seq": ("update_seq", _boolean),
    "sorted": ("sorted", _boolean),
}
