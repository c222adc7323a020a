"""The bodies of `_find`, `_explain` and `_index` checked member by member, with CouchDB's slugs and reasons. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from store import erlang
from store.errors import BadRequest
from store.selector import Selector, normalize
from store.selector_paths import field_path

Checks = Mapping[str, tuple[Any, Callable[[Any], Any]]]  # name -> (default, or ... when required; check)

DEFAULT_LIMIT = 25


def checked(body: Mapping[str, Any], checks: Checks) -> dict[str, Any]:
    """Every member checked or at its default; BadRequest for one that is missing, unknown or wrong."""
    found: dict[str, Any] = {}
    for name, (default, check) in checks.items():
        if name in body:
            found[name] = check(body[name])
        elif default is ...:
            raise BadRequest(f"Missing required key: {name}", slug="missing_required_key")
        else:
            found[name] = default
    for name in body:
        if name not in checks:
            raise BadRequest(f"Invalid key {name} for this request.", slug="invalid_key")
    return found


def check_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise BadRequest(f"Invalid string: {erlang.term(value)}", slug="invalid_string")


def check_name(value: Any) -> str:
    if value == "":
        raise BadRequest("Index name or ddoc cannot be empty string", slug="invalid_empty_string")
    return check_text(value)


def check_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise BadRequest(f"Invalid boolean value: {erlang.term(value)}", slug="invalid_boolean")


def check_count(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise BadRequest(
        f"{erlang.term(value)} is not an integer greater than or equal to zero", slug="invalid_non_neg_integer"
    )


def check_positive(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise BadRequest(f"{erlang.term(value)} is not an integer greater than zero", slug="invalid_pos_integer")


def check_selector(value: Any) -> Selector:
    return normalize(value)


def check_sort(value: Any) -> list[tuple[str, str]]:
    """`["a", {"b": "asc"}]` as (field, direction) pairs; all directions have to be the same."""
    if not isinstance(value, list):
        raise BadRequest(
            f"Sort must be an array of sort specs, not: {erlang.readable_term(value)}", slug="invalid_sort_json"
        )
    fields = [_sort_field(each) for each in value]
    if len({direction for _, direction in fields}) > 1:
        raise BadRequest(
            "Sorts currently only support a single direction for all fields.", slug="unsupported_mixed_sort"
        )
    return fields


def _sort_field(value: Any) -> tuple[str, str]:
    if isinstance(value, str) and value:
        field, direction = value, "asc"
    elif isinstance(value, dict) and len(value) == 1 and next(iter(value.values())) in ("asc", "desc"):
        [(field, direction)] = value.items()
    else:
        raise BadRequest(f"Invalid sort field: {erlang.readable_term(value)}", slug="invalid_sort_field")
    field_path(field)
    return field, direction


def check_fields(value: Any) -> list[str] | None:
    """The fields to answer; None for whole documents."""
    if not isinstance(value, list):
        raise BadRequest(f"Fields must be an array of strings, not: {erlang.term(value)}", slug="invalid_fields")
    for field in value:
        if not isinstance(field, str):
            raise BadRequest(f"Invalid JSON for field spec: {erlang.term(field)}", slug="invalid_field")
        field_path(field)
    return value or None


def check_use_index(value: Any) -> list[str]:
    """[] for any, [design document] or [design document, index]."""
    if value is None or value == []:
        return []
    parts = value.split("/") if isinstance(value, str) else value
    if isinstance(value, str) and parts[0] == "_design" and len(parts) > 1:
        parts = parts[1:]
    if isinstance(parts, list) and len(parts) in (1, 2) and all(isinstance(part, str) for part in parts):
        return parts
    raise BadRequest(f"Invalid index name: {erlang.term(value)}", slug="invalid_index_name")


def check_bookmark(value: Any) -> str | None:
    if value in (None, ""):
        return None
    if isinstance(value, str):
        return value
    raise BadRequest(f"Invalid bookmark value: {erlang.term(value)}", slug="invalid_bookmark")


def _check_stale(value: Any) -> str | bool:
    if value == "ok":
        return "ok"
    if value is False or value == "false":
        return False
    raise BadRequest(f"Invalid value for stale: {erlang.term(value)}", slug="invalid_value")


def _check_partition(value: Any) -> str:
    if value == "":
        return ""
    raise BadRequest("`partition` parameter is not supported on this db", slug="query_parse_error")


_FIND_CHECKS: Checks = {
    "selector": (..., check_selector),
    "use_index": ([], check_use_index),
    "bookmark": (None, check_bookmark),
    "limit": (DEFAULT_LIMIT, check_count),
    "skip": (0, check_count),
    "sort": ([], check_sort),
    "fields": (None, check_fields),
    "partition": ("", _check_partition),
    "r": (1, check_positive),
    "conflicts": (False, check_boolean),
    "stale": (False, _check_stale),
    "update": (True, check_boolean),
    "stable": (False, check_boolean),
    "execution_stats": (False, check_boolean),
    "allow_fallback": (True, check_boolean),
}


@dataclass(frozen=True)
class FindOptions:
    """One query. `fields` None is whole documents; `use_index` is [], [ddoc] or [ddoc, index]."""

    selector: Selector
    use_index: list[str]
    bookmark: str | None
    limit: int
    skip: int
    sort: list[tuple[str, str]]
    fields: list[str] | None
    partition: str
    r: int
    conflicts: bool
    stale: str | bool
    update: bool
    stable: bool
    execution_stats: bool
    allow_fallback: bool

    @property
    def sort_fields(self) -> tuple[str, ...]:
        return tuple(field for field, _ in self.sort)

    @property
    def descending(self) -> bool:
        return bool(self.sort) and self.sort[0][1] == "desc"

    @property
    def updates_index(self) -> bool:
        return self.update and self.stale is False


def parse_find(body: Mapping[str, Any]) -> FindOptions:
    """The body of `_find` and `_explain`; BadRequest names the wrong member."""
    return FindOptions(**checked(body, _FIND_CHECKS))
