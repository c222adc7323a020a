"""What a design document's views compute, and the signature that names their index."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from store.collation import TABLE_DIGEST, raw_sort_key, sort_key
from store.errors import BadRequest, NotFound
from store.javascript import MapProgram
from store.reducers import built_in_name

INDEX_FORMAT = 2  # raise it when the layout of an index file changes: every index is then built anew

_NOT_STORED = ("_count", "_approx_count_distinct")  # blocks have a count anyway; distinct keys do not add up


@dataclass(frozen=True)
class View:
    """One view of a group: which map gives its rows, and its reduce function's source, if any."""

    map_index: int
    reduce: str | None
    raw: bool = False  # its keys are in the order of Erlang's terms

    @property
    def sort_key(self) -> Callable[[Any], bytes]:
        return raw_sort_key if self.raw else sort_key


@dataclass(frozen=True)
class ViewGroup:
    """The views of a design document, which share one index file. Views with equal maps share their rows."""

    signature: str
    views: Mapping[str, View]
    program: MapProgram
    stored_reduces: tuple[tuple[str, ...], ...]  # for each map the reduces whose partial results an index keeps
    include_design: bool
    local_seq: bool
    raw: tuple[bool, ...]  # for each map whether its rows are in the order of Erlang's terms
    language: str = "javascript"  # or "query", whose maps are the definitions of Mango indexes

    def view(self, name: str) -> View:
        if name not in self.views:
            raise NotFound("missing_named_view")
        return self.views[name]


def view_group(ddoc: Mapping[str, Any]) -> ViewGroup:
    """Read the `views` of a design document; the signature is of content only, not of the document's id or rev."""
    language = ddoc.get("language", "javascript")
    if language not in ("javascript", "query"):
        raise BadRequest(f"{language}", slug="unknown_query_language")
    definitions = ddoc.get("views")
    if not isinstance(definitions, Mapping):
        raise NotFound("missing_named_view")
    lib = orjson.dumps(definitions.get("lib") or {}, option=orjson.OPT_SORT_KEYS)
    functions = {
        name: (_map_source(definition["map"]), _is_raw(definition), definition.get("reduce"))
        for name, definition in definitions.items()
        if isinstance(definition, Mapping) and _is_map(definition.get("map"), language) and name != "lib"
    }
    maps = sorted({(source, raw) for source, raw, _ in functions.values()})
    index_of = {name: maps.index((source, raw)) for name, (source, raw, _) in functions.items()}
    options = ddoc.get("options")
    options = options if isinstance(options, Mapping) else {}
    reduces = {
        name: built_in_name(reduce) or reduce.strip()
        for name, (_, _, reduce) in functions.items()
        if isinstance(reduce, str) and reduce
    }
    content: dict[str, Any] = {
        "format": INDEX_FORMAT,
        "collation": TABLE_DIGEST,
        "language": language,
        "lib": lib.decode(),
        "maps": [source for source, _ in maps],
        "reduces": sorted({(index_of[name], reduce) for name, reduce in reduces.items()}),
        "options": {str(name): value for name, value in options.items()},
    }
    if any(raw for _, raw in maps):
        content["raw"] = [raw for _, raw in maps]
    stored = {(map_index, reduce) for map_index, reduce in content["reduces"] if reduce not in _NOT_STORED}
    names = {index: name for name, index in index_of.items()}
    return ViewGroup(
        signature=hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32],
        views={name: View(index_of[name], reduces.get(name), raw) for name, (_, raw, _) in functions.items()},
        program=MapProgram(tuple((names[index], source) for index, (source, _) in enumerate(maps)), lib),
        stored_reduces=tuple(tuple(sorted(r for at, r in stored if at == index)) for index in range(len(maps))),
        include_design=options.get("include_design") is True,
        local_seq=options.get("local_seq") is True,
        raw=tuple(raw for _, raw in maps),
        language=language,
    )


def _is_raw(definition: Mapping[str, Any]) -> bool:
    options = definition.get("options")
    return isinstance(options, Mapping) and options.get("collation") == "raw"


def _is_map(value: Any, language: str) -> bool:
    return isinstance(value, dict if language == "query" else str)


def _map_source(value: Any) -> str:
    """The text of a map: a function, or the definition of a Mango index as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
