"""Objects and lists in a query string: `filters[forms][selected][0][code]=visit` (EP-EXP-4). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from core.errors import InvalidInput

DEEPEST = 10
HIGHEST_INDEX = 20
NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
PART = re.compile(r"\[([^\[\]]*)\]")

Node = dict[str | int, Any]  # members by their names; what was appended, of which there is no highest, by its position


def nested_query(request: web.Request) -> dict[str, Any]:
    return nested(request.query.items())


def nested(query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The query's parameters as nested objects. A name given twice is a list; `[]` appends to one.

    InvalidInput for a member of something that is a text elsewhere in the query.
    """
    found: Node = {}
    for name, text in query:
        match = NAME.fullmatch(name)
        path = [match[1], *PART.findall(match[2])] if match else [name]
        if len(path) > DEEPEST:
            raise InvalidInput(f"Query parameter `{name}` must not be nested more than {DEEPEST} levels deep")
        put(found, path, text, name)
    return {str(name): listed(value) for name, value in found.items()}


def put(found: Node, path: list[str], text: str, name: str) -> None:
    node = found
    for part in path[:-1]:
        node = node.setdefault(part or len(node), {})
        if not isinstance(node, dict):
            raise InvalidInput(f"Query parameter `{name}` stands below one that is a text")
    last = path[-1] or len(node)
    if last not in node:
        node[last] = text
    elif isinstance(node[last], str):
        node[last] = {0: node[last], 1: text}
    else:
        node[last][len(node[last])] = text


def listed(value: Any) -> Any:
    """Objects whose names are all indexes as lists, in the order of these."""
    if not isinstance(value, dict):
        return value
    members = {name: listed(each) for name, each in value.items()}
    if members and all(map(is_index, members)):
        return [members[name] for name in sorted(members, key=int)]
    return {str(name): each for name, each in members.items()}


def is_index(name: str | int) -> bool:
    return isinstance(name, int) or (name.isascii() and name.isdigit() and int(name) <= HIGHEST_INDEX)
