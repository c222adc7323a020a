"""JSON values as Erlang prints and sorts them, where CouchDB lets that be seen."""

from __future__ import annotations

from typing import Any

_DEEPEST = 50  # levels shown of arrays and objects within each other


def term(value: Any) -> str:
    """A parsed JSON value as `~w` prints it, as in Mango's errors: strings as their bytes, `<<97,98>>`."""
    return _term(value, readable=False, depth=0)


def readable_term(value: Any) -> str:
    """A parsed JSON value as `~p` prints it: printable strings as text, `<<"ab">>`."""
    return _term(value, readable=True, depth=0)


def term_order(value: Any) -> tuple[Any, ...]:
    """A key that sorts parsed JSON values as Erlang sorts its terms: numbers, atoms, objects, arrays, strings.

    Values nested more than 50 levels deep are equal there.
    """
    return _term_order(value, 0)


def _term_order(value: Any, depth: int) -> tuple[Any, ...]:
    if depth > _DEEPEST:
        return (5,)
    if value is None or isinstance(value, bool):
        return (1, "null" if value is None else str(value).lower())
    if isinstance(value, int | float):
        return (0, value)
    if isinstance(value, dict):
        return (2, tuple((name.encode(), _term_order(each, depth + 1)) for name, each in value.items()))
    if isinstance(value, list):
        return (3, tuple(_term_order(each, depth + 1) for each in value))
    return (4, value.encode())


def _term(value: Any, *, readable: bool, depth: int) -> str:
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, str):
        if readable and value.isascii() and value.isprintable() and value:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'<<"{escaped}">>'
        return "<<" + ",".join(map(str, value.encode())) + ">>"
    if isinstance(value, list):
        return "[" + ",".join(_term(each, readable=readable, depth=depth + 1) for each in value) + "]"
    if isinstance(value, dict):
        members = [
            f"{{{_term(name, readable=readable, depth=depth)},{_term(each, readable=readable, depth=depth + 1)}}}"
            for name, each in value.items()
        ]
        return "{[" + ",".join(members) + "]}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
