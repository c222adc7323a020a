"""What `_explain` answers: the index taken, the range read and why the other indexes were not taken. Pure."""

from __future__ import annotations

from typing import Any

from store.mango_options import FindOptions
from store.mango_plan import Plan, Rejected, explained_fields, range_keys, rows_tell_all
from store.mango_range import OPEN, indexable_fields

_HIGHEST = "<MAX>"


def explanation(dbname: str, options: FindOptions, planned: Plan) -> dict[str, Any]:
    """The whole answer, with CouchDB's members in CouchDB's order."""
    indexable = indexable_fields(options.selector)
    shown: dict[str, Any] = {
        "dbname": dbname,
        "index": planned.index.as_json() if planned.index else None,
        "partitioned": False,
        "selector": options.selector,
        "opts": _options(options),
        "limit": options.limit,
        "skip": options.skip,
        "fields": options.fields or [],
        "index_candidates": [_candidate(each, options) for each in planned.rejected],
        "selector_hints": [
            {
                "type": "json",
                "indexable_fields": sorted(indexable),
                "unindexable_fields": sorted(explained_fields(options.selector) - indexable),
            }
        ],
    }
    if planned.index is None:
        return shown
    covering = rows_tell_all(planned.index, options)
    return {**shown, "mrargs": _view_arguments(options, planned, covering), "covering": covering}


def _options(options: FindOptions) -> dict[str, Any]:
    return {
        "use_index": options.use_index,
        "bookmark": options.bookmark or "nil",
        "limit": options.limit,
        "skip": options.skip,
        "sort": dict(options.sort),
        "fields": options.fields or [],
        "partition": "",
        "r": options.r,
        "conflicts": options.conflicts,
        "stale": options.stale,
        "update": options.update,
        "stable": options.stable,
        "execution_stats": options.execution_stats,
        "allow_fallback": options.allow_fallback,
    }


def _candidate(rejected: Rejected, options: FindOptions) -> dict[str, Any]:
    index = rejected.index
    return {
        "index": index.as_json(),
        "analysis": {
            "usable": rejected.usable,
            "reasons": [{"name": rejected.reason}],
            "ranking": rejected.ranking,
            "covering": None if index.ddoc is None else index.covers(options.fields),
        },
    }


def _view_arguments(options: FindOptions, planned: Plan, covering: bool) -> dict[str, Any]:
    start: Any
    end: Any
    if planned.nothing:
        start = end = None
    else:
        low, high = range_keys(planned)
        start, end = low, [*high, _HIGHEST]
        if planned.index is not None and planned.index.ddoc is None:
            lowest = None if planned.ranges[0] is OPEN else ""
            start, end = (low or [lowest])[0], (high or [_HIGHEST])[0]
    if options.descending:
        start, end = end, start
    return {
        "include_docs": not covering and options.r == 1,
        "view_type": "map",
        "reduce": False,
        "partition": None,
        "start_key": start,
        "end_key": end,
        "direction": "rev" if options.descending else "fwd",
        "stable": options.stable or options.stale == "ok",
        "update": options.updates_index,
        "conflicts": True if options.conflicts else "undefined",
    }
