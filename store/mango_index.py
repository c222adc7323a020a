"""Mango indexes: how a definition sent to `_index` becomes a design document, and what the view index computes from it.

A design document of language `query` keeps them as CouchDB does: `views: {name: {map: {fields: {field: direction},
partial_filter_selector}, reduce: "_count", options: {def: as sent}}}`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from store import erlang
from store.errors import BadRequest, NotImplementedByStore
from store.javascript import MapProgram, Row
from store.mango_options import Checks, check_boolean, check_name, check_selector, check_sort, check_text, checked
from store.selector import Selector, compile_selector
from store.selector_paths import BAD_PATH, NOT_FOUND, field_path, get_field


@dataclass(frozen=True)
class Index:
    """One index a query may use. `ddoc` is None for the documents themselves in id order (`_all_docs`)."""

    ddoc: str | None
    name: str
    fields: tuple[tuple[str, str], ...]  # (field, "asc" or "desc"); a row's key is the list of their values
    partial_filter: Selector | None = field(default=None, hash=False)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.fields)

    def as_json(self) -> dict[str, Any]:
        """The index as `_index` and `_explain` show it."""
        definition: dict[str, Any] = {"fields": [{name: direction} for name, direction in self.fields]}
        if self.ddoc is None:
            return {"ddoc": None, "name": self.name, "type": "special", "def": definition}
        if self.partial_filter is not None:
            definition["partial_filter_selector"] = self.partial_filter
        return {"ddoc": self.ddoc, "name": self.name, "type": "json", "partitioned": False, "def": definition}

    def covers(self, fields: Iterable[str] | None) -> bool:
        """Whether a row's key and id tell all these fields; None stands for whole documents."""
        return self.ddoc is not None and fields is not None and {*fields} <= {"_id", *self.columns}


ALL_DOCS = Index(None, "_all_docs", (("_id", "asc"),))


def indexes_of(ddocs: Iterable[Mapping[str, Any]]) -> list[Index]:
    """The indexes of a database's design documents, `_all_docs` first; what is not a definition is left out."""
    found = [index for ddoc in ddocs if ddoc.get("language") == "query" for index in _indexes(ddoc)]
    return [ALL_DOCS, *sorted(found, key=lambda index: (index.ddoc or "", index.name))]


def _indexes(ddoc: Mapping[str, Any]) -> Iterable[Index]:
    views = ddoc.get("views")
    for name, view in views.items() if isinstance(views, Mapping) else ():
        definition = view.get("map") if isinstance(view, Mapping) else None
        fields = definition.get("fields") if isinstance(definition, Mapping) else None
        if isinstance(definition, Mapping) and isinstance(fields, Mapping) and isinstance(view.get("options"), Mapping):
            yield Index(
                str(ddoc["_id"]),
                name,
                tuple((column, str(direction)) for column, direction in fields.items()),
                definition.get("partial_filter_selector") or None,
            )


# --- making one -------------------------------------------------------------------------------------------------------

_INDEX_CHECKS: Checks = {
    "index": (..., lambda value: value),
    "type": ("json", check_text),
    "name": (None, check_name),
    "ddoc": (None, check_name),
    "w": (2, lambda value: value),
    "partitioned": (False, check_boolean),
}
_DEFINITION_CHECKS: Checks = {
    "fields": (..., check_sort),
    "partial_filter_selector": ({}, check_selector),
}


@dataclass(frozen=True)
class NewIndex:
    """An index to add: where it goes and the view that holds it."""

    ddoc: str
    name: str
    view: dict[str, Any]


def parse_index(body: Mapping[str, Any]) -> NewIndex:
    """The body of `POST /{db}/_index`; BadRequest or NotImplementedByStore says what is wrong with it."""
    options = checked(body, _INDEX_CHECKS)
    kind = options["type"]
    if kind in ("text", "nouveau"):
        raise NotImplementedByStore(f"This store has no {kind} indexes; the index type must be json.")
    if kind != "json":
        raise BadRequest(f"Invalid type for index: {kind}", slug="invalid_index")
    if options["partitioned"]:
        raise NotImplementedByStore("This store has no partitioned databases; `partitioned` must be false.")
    sent = options["index"]
    if not isinstance(sent, dict):
        raise BadRequest(f"JSON indexes must be an object, not: {erlang.term(sent)}", slug="invalid_index")
    definition = checked(sent, _DEFINITION_CHECKS)
    generated = hashlib.sha1(orjson.dumps(body), usedforsecurity=False).hexdigest()
    ddoc = options["ddoc"] or generated
    view = {
        "map": {
            "fields": dict(definition["fields"]),
            "partial_filter_selector": definition["partial_filter_selector"],
        },
        "reduce": "_count",
        "options": {"def": sent},
    }
    return NewIndex(ddoc if ddoc.startswith("_design/") else f"_design/{ddoc}", options["name"] or generated, view)


def with_index(ddoc: Mapping[str, Any] | None, index: NewIndex) -> dict[str, Any]:
    """The design document with the index in it; BadRequest when it is in another language."""
    if ddoc is None:
        return {"_id": index.ddoc, "language": "query", "views": {index.name: index.view}}
    if ddoc.get("language") != "query":
        language = ddoc.get("language", False)
        raise BadRequest(
            f"Existing design doc has an invalid language: {erlang.term(language)}", slug="invalid_ddoc_lang"
        )
    views = ddoc.get("views")
    return {**ddoc, "views": {**(views if isinstance(views, Mapping) else {}), index.name: index.view}}


def without_indexes(ddoc: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any] | None:
    """The design document without these indexes; None when nothing else is in it."""
    gone = set(names)
    views = {name: view for name, view in ddoc["views"].items() if name not in gone}
    rest = {name: value for name, value in ddoc.items() if name != "views"}
    if views:
        return {**rest, "views": views}
    return None if rest.keys() <= {"_id", "_rev", "language"} else rest


# --- what a view index computes ---------------------------------------------------------------------------------------


class MangoMapper:
    """Maps documents by index definitions, in the place of an engine that runs JavaScript."""

    def map_docs(self, program: MapProgram, docs: Sequence[bytes]) -> Future[list[list[list[Row]]]]:
        """For each document and each definition its one row, or none. Works at once, in the calling thread."""
        maps = [_compiled(source) for _, source in program.maps]
        mapped: Future[list[list[list[Row]]]] = Future()
        mapped.set_result([[_rows(doc, *compiled) for compiled in maps] for doc in map(orjson.loads, docs)])
        return mapped


Compiled = tuple[tuple[tuple[str, ...], ...], Callable[[Any], bool]]


@lru_cache(256)
def _compiled(source: str) -> Compiled:
    """Paths and filter of a definition; one that cannot be read indexes nothing."""
    definition = orjson.loads(source)
    try:
        paths = tuple(field_path(column) for column in definition["fields"])
        return paths, compile_selector(definition.get("partial_filter_selector") or {})
    except (BadRequest, KeyError, TypeError):
        return (), lambda doc: False


def _rows(doc: Any, paths: Sequence[Sequence[str]], wanted: Callable[[Any], bool]) -> list[Row]:
    values = [get_field(doc, path) for path in paths]
    if any(value is NOT_FOUND or value is BAD_PATH for value in values) or not wanted(doc):
        return []
    return [Row(orjson.dumps(values), b"null")]
