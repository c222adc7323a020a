"""Field names in selectors, sorts and projections: `a.b.0` reaches into objects and arrays, `a\\.b` is one name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from store.errors import BadRequest

_DOT = re.compile(r"(?<!\\)\.")
_POSITION = re.compile(r"[+-]?[0-9]{1,15}\Z")


class _Absent:
    """What is found where nothing is: not null, which is a value."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


NOT_FOUND: Any = _Absent("NOT_FOUND")  # an object without this member
BAD_PATH: Any = _Absent("BAD_PATH")  # a value that has no members, or an array that is too short


@lru_cache(4096)
def field_path(field: str) -> tuple[str, ...]:
    """The names along a path; BadRequest `invalid_field_name` when one is empty."""
    parts = _DOT.split(field) if "\\" in field else field.split(".")
    if "" in parts:
        raise BadRequest(f"Invalid field name: {field}", slug="invalid_field_name")
    return tuple(part.replace("\\", "") for part in parts)


def get_field(value: Any, path: Sequence[str]) -> Any:
    """What the path leads to, NOT_FOUND or BAD_PATH."""
    for name in path:
        if type(value) is dict:
            value = value.get(name, NOT_FOUND)
            if value is NOT_FOUND:
                return NOT_FOUND
        elif type(value) is list:
            if not _POSITION.match(name) or not 0 <= int(name) < len(value):
                return BAD_PATH
            value = value[int(name)]
        else:
            return BAD_PATH
    return value


def project(doc: dict[str, Any], paths: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A document with only these fields, each inside the objects that its path names; absent ones are left out."""
    found: dict[str, Any] = {}
    for path in paths:
        value = get_field(doc, path)
        if value is NOT_FOUND or value is BAD_PATH:
            continue
        place = found
        for name in path[:-1]:
            place = place.setdefault(name, {})
            if type(place) is not dict:  # a wider field asked for before holds it already
                break
        else:
            place[path[-1]] = value
    return found
