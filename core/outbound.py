"""What is pushed to other services: the settings of a push, the payload made of a document, and its hash (40 §12)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from core import scripting
from core.couch.client import Doc
from core.errors import InvalidInput
from core.settings import Settings


class MappingError(InvalidInput):
    """A document does not have what a push requires, or an expression of its mapping failed."""


def pushes(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """The configured pushes by name, in the order of the settings."""
    return {name: push for name, push in settings.section("outbound").items() if isinstance(push, dict)}


async def payload_of(doc: Doc, push: Mapping[str, Any]) -> Doc:
    """The JSON body for a hydrated document (OUT-1). Raises MappingError, naming the target."""
    mapping = push.get("mapping")
    if not isinstance(mapping, dict):
        raise MappingError("mapping: expected an object")
    rules = {target: {"path": rule} if isinstance(rule, str) else rule for target, rule in mapping.items()}
    expressions = {
        target: str(rule["expr"])
        for target, rule in rules.items()
        if isinstance(rule, dict) and rule.get("expr") and not rule.get("path")
    }
    values = dict(zip(expressions, await evaluate_defined(list(expressions.values()), doc), strict=True))
    payload: Doc = {}
    for target, rule in rules.items():
        if not isinstance(rule, dict) or not (rule.get("path") or rule.get("expr")):
            raise MappingError(f"mapping.{target}: expected a path, or an object with `path` or `expr`")
        found = values[target] if target in values else value_at(doc, str(rule["path"]))
        if isinstance(found, scripting.ScriptError):
            raise MappingError(f"mapping.{target}: {found.message}")
        if found:
            put(payload, target.split("."), found[0])
        elif not rule.get("optional"):
            raise MappingError(f"mapping.{target}: the document has no value for it")
    return payload


async def evaluate_defined(expressions: Sequence[str], doc: Doc) -> list[Any]:
    """For each expression `[value]`, `[]` when it is undefined, or the ScriptError."""
    wrapped = [
        f"(function (value) {{ return value === undefined ? [] : [value]; }})({each}\n)"
        for each in map(scripting.as_expression, expressions)
    ]
    return await scripting.evaluate_all(wrapped, {"doc": doc})


def value_at(doc: Doc, path: str) -> list[Any]:
    """`[value]` at a dotted path that begins with `doc`; `[]` when there is none. Null is a value."""
    value: Any = {"doc": doc}
    for name in path.split("."):
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return []
    return [value]


def put(target: Doc, path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        inner = target.get(name)
        if not isinstance(inner, dict):
            inner = target[name] = {}
        target = inner
    target[path[-1]] = value


def payload_hash(payload: Any) -> str:
    """SHA-256 of the payload as JavaScript writes it, keys sorted but inside lists (V-3). Frozen: OUT-5."""
    return hashlib.sha256(orjson.dumps(canonical(payload))).hexdigest()


def canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: canonical(value[name]) for name in sorted(value, key=lambda name: name.encode("utf-16-be"))}
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    return whole_numbers(value)


def whole_numbers(value: Any) -> Any:
    """JavaScript writes 37.0 as 37."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {name: whole_numbers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [whole_numbers(each) for each in value]
    return value
