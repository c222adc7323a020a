"""What CouchDB refuses when a design document is written: members of a wrong type, functions that do not compile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from store.errors import BadRequest, CompilationError
from store.javascript import JavaScript
from store.reducers import built_in_name, not_built_in

_TEXT, _OBJECT, _ARRAY, _BOOLEAN = "string", "object", "array", "boolean"
_TYPES: Mapping[str, type] = {_TEXT: str, _OBJECT: Mapping, _ARRAY: list, _BOOLEAN: bool}

# Member, the types it may have, the types its own members may have.
_MEMBERS: Sequence[tuple[str, tuple[str, ...], tuple[str, ...]]] = (
    ("filters", (_OBJECT,), (_OBJECT, _TEXT)),
    ("language", (_TEXT,), ()),
    ("lists", (_OBJECT,), (_OBJECT, _TEXT)),
    ("options", (_OBJECT,), ()),
    ("rewrites", (_TEXT, _ARRAY), ()),
    ("shows", (_OBJECT,), (_OBJECT, _TEXT)),
    ("updates", (_OBJECT,), (_OBJECT, _TEXT)),
    ("validate_doc_update", (_TEXT,), ()),
    ("views", (_OBJECT,), (_OBJECT,)),
)


class InvalidDesignDoc(BadRequest):
    """400 `invalid_design_doc`: a member has a wrong type, or a reduce function is none that is built in."""

    slug = "invalid_design_doc"


async def check_design_doc(ddoc: Mapping[str, Any], engine: JavaScript) -> None:
    """InvalidDesignDoc or CompilationError when CouchDB would refuse the document; other languages are not compiled."""
    for member, types, inner_types in _MEMBERS:
        _check_type(ddoc, member, member, types)
        if inner_types and member in ddoc:
            for name in ddoc[member]:
                _check_type(ddoc[member], name, f"{member}.{name}", inner_types)
    options = ddoc.get("options", {})
    for name in ("include_design", "local_seq", "partitioned"):
        _check_type(options, name, f"options.{name}", (_BOOLEAN,))
    if options.get("partitioned"):
        raise InvalidDesignDoc("partitioned option cannot be true in a non-partitioned database.")
    language = ddoc.get("language", "javascript")
    views = {name: view for name, view in ddoc.get("views", {}).items() if name != "lib"}
    for name, view in views.items():
        _check_type(view, "map", f"views.{name}.map", (_OBJECT if language == "query" else _TEXT,))
        _check_type(view, "reduce", f"views.{name}.reduce", (_TEXT,))
        if "map" not in view:
            raise InvalidDesignDoc(f"View `{name}` must contain map function")
    if language == "javascript":
        for name, view in views.items():
            await _check_view(engine, name, view["map"], view.get("reduce", ""))


def _check_type(owner: Mapping[str, Any], member: str, path: str, types: tuple[str, ...]) -> None:
    if member in owner and not isinstance(owner[member], tuple(_TYPES[name] for name in types)):
        raise InvalidDesignDoc(f"`{path}` field must have {' or '.join(types)} type")


async def _check_view(engine: JavaScript, name: str, map_source: str, reduce: str) -> None:
    await _check_function(engine, "map", name, map_source)
    if reduce.startswith("_"):
        if built_in_name(reduce) is None:
            raise InvalidDesignDoc(not_built_in(reduce))
    elif reduce.strip():
        await _check_function(engine, "reduce", name, reduce)


async def _check_function(engine: JavaScript, kind: str, view: str, source: str) -> None:
    try:
        await engine.check(source)
    except CompilationError as error:
        raise CompilationError(
            f"Compilation of the {kind} function in the '{view}' view failed: {error.reason}"
        ) from None
