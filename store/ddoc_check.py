"""What CouchDB refuses when a design document is written: members of a wrong type, functions that do not compile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store.errors import BadRequest, CompilationError
from store.javascript import JavaScript
from store.reducers import built_in_name

_OBJECTS = ("views", "filters", "lists", "shows", "updates", "options")
_TEXTS = ("language", "validate_doc_update")


class InvalidDesignDoc(BadRequest):
    """400 `invalid_design_doc`: a member has a wrong type, or a reduce function is none that is built in."""

    slug = "invalid_design_doc"


async def check_design_doc(ddoc: Mapping[str, Any], engine: JavaScript) -> None:
    """InvalidDesignDoc or CompilationError when CouchDB would refuse the document; other languages are not compiled."""
    for member in _OBJECTS:
        if not isinstance(ddoc.get(member, {}), Mapping):
            raise InvalidDesignDoc(f"`{member}` field must have object type")
    for member in _TEXTS:
        if not isinstance(ddoc.get(member, ""), str):
            raise InvalidDesignDoc(f"`{member}` field must have string type")
    if ddoc.get("language", "javascript") != "javascript":
        return
    for name, view in ddoc.get("views", {}).items():
        if name == "lib":
            continue
        if not isinstance(view, Mapping) or not isinstance(view.get("map"), str):
            raise InvalidDesignDoc(f"`map` of view `{name}` must be a string")
        await _check_function(engine, "map", name, view["map"])
        reduce = view.get("reduce", "")
        if not isinstance(reduce, str):
            raise InvalidDesignDoc(f"`reduce` of view `{name}` must be a string")
        if reduce.startswith("_"):
            if built_in_name(reduce) is None:
                raise InvalidDesignDoc(f"`{reduce}` is not a supported reduce function.")
        elif reduce.strip():
            await _check_function(engine, "reduce", name, reduce)


async def _check_function(engine: JavaScript, kind: str, view: str, source: str) -> None:
    try:
        await engine.check(source)
    except CompilationError as error:
        raise CompilationError(
            f"Compilation of the {kind} function in the '{view}' view failed: {error.reason}"
        ) from None
