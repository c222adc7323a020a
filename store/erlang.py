"""JSON values as Erlang prints them: CouchDB's Mango errors show what it did not like in this form."""

from __future__ import annotations

from typing import Any

_DEEPEST = 50  # levels shown of arrays and objects within each other


def term(value: Any) -> str:
    """A parsed JSON value as `~w` prints it: strings as their bytes, `<<97,98>>`."""
    return _term(value, readable=False, depth=0)


def readable_term(value: Any) -> str:
    """A parsed JSON value as `~p` prints it: printable strings as text, `<<"ab">>`."""
    return _term(value, readable=True, depth=0)


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
