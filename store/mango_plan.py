"""Which index answers a query and which range of it is read, chosen as CouchDB chooses. Pure.

CouchDB takes an index when the selector makes sure that all its fields exist, then the one whose leading fields are
most of those the selector restricts, then the one with fewest fields, then by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from store.errors import BadRequest
from store.mango_index import ALL_DOCS, Index
from store.mango_options import FindOptions
from store.mango_range import EMPTY, OPEN, Range, indexable_fields, narrowed
from store.selector import Selector, only

_NEVER_MATCH_WHEN_EMPTY = frozenset({"$all", "$and", "$or", "$in"})


@dataclass(frozen=True)
class Rejected:
    """An index that was not taken, as `_explain` lists it."""

    index: Index
    usable: bool
    reason: str
    ranking: int


@dataclass(frozen=True)
class Plan:
    """The index to read, one range for each of its leading fields, and why the others were not taken.

    `index` is None when no index can sort the answer; `nothing` is set when no document can match.
    """

    index: Index | None
    ranges: tuple[Range, ...] = ()
    nothing: bool = False
    rejected: list[Rejected] = field(default_factory=list)


def plan(indexes: Sequence[Index], options: FindOptions) -> Plan:
    """Choose an index; BadRequest `invalid_index` when the one named does not fit and no other may be taken."""
    selector = options.selector
    named = _named(indexes, options.use_index)
    in_scope = [index for index in indexes if index.partial_filter is None or index in named]
    failings = {index: _failing(index, selector, options.sort_fields) for index in in_scope}
    usable = [index for index in in_scope if failings[index] is None]
    chosen = [index for index in usable if index in named]
    if not chosen and not (options.allow_fallback or (not options.use_index and len(usable) > 1)):
        raise BadRequest(_unsuitable(options.use_index), slug="invalid_index")
    candidates = chosen or usable
    of_views = [index for index in candidates if index.ddoc is not None]
    favoured = of_views or candidates
    ranges = _ranges(selector)
    if not of_views:
        ranges = [*ranges, ("_id", OPEN)]
    ranked = sorted(favoured, key=lambda index: (*_distance(index, ranges), index.ddoc or "", index.name))
    winner = ranked[0] if ranked else None
    rejected = _rejections(indexes, in_scope, failings, usable, candidates, ranked, ranges)
    if winner is None:
        return Plan(None, rejected=rejected)
    prefix = _prefix(winner, ranges)
    never = prefix == [EMPTY]
    if len(selector) == 1:
        name, argument = only(selector)
        never = never or (argument == [] and name in _NEVER_MATCH_WHEN_EMPTY)
    return Plan(winner, tuple(prefix), never, rejected)


def _named(indexes: Sequence[Index], use_index: Sequence[str]) -> list[Index]:
    if not use_index:
        return []
    ddoc = use_index[0] if use_index[0].startswith("_design/") else f"_design/{use_index[0]}"
    return [index for index in indexes if index.ddoc == ddoc and use_index[1:] in ([], [index.name])]


def _unsuitable(use_index: Sequence[str]) -> str:
    if not use_index:
        return "You must specify an index with the `use_index` parameter."
    return f"{_shown(use_index)} specified by `use_index` could not be found or it is not suitable."


def _shown(use_index: Sequence[str]) -> str:
    return ", ".join([f"_design/{use_index[0].removeprefix('_design/')}", *use_index[1:]])


def warnings(chosen: Index, options: FindOptions, examined: int, returned: int) -> list[str]:
    """What CouchDB tells about a query that could be faster."""
    found: list[str] = []
    if options.use_index and not _named([chosen], options.use_index):
        fault = "is not a valid index" if len(options.use_index) > 1 else "does not contain a valid index"
        found.append(f"{_shown(options.use_index)} was not used because it {fault} for this query.")
    if chosen is ALL_DOCS:
        found.append("No matching index found, create an index to optimize query time.")
    if examined > 10 * max(returned, 1):
        found.append(
            "The number of documents examined is high in proportion to the number of results returned."
            " Consider adding a more specific index to improve this."
        )
    return found


# --- may an index be used ---------------------------------------------------------------------------------------------


def _failing(index: Index, selector: Selector, sort_fields: Sequence[str]) -> str | None:
    """Why the index cannot answer the query, None when it can."""
    if index is ALL_DOCS:
        if not sort_fields:
            return None
        if "_id" not in indexable_fields(selector):
            return "field_mismatch"
        return None if tuple(sort_fields) == ("_id",) else "sort_order_mismatch"
    if _is_text_search(selector):
        return "needs_text_search"
    needed = set(index.columns) - set(sort_fields) - {"_id", "_rev"}
    required = _required_fields(selector)
    if required is not None and not needed <= required:
        return "field_mismatch"
    return None if _sorts(index.columns, tuple(sort_fields), selector) else "sort_order_mismatch"


def _is_text_search(selector: Selector) -> bool:
    return any(name == "$default" for name in selector)


def _required_fields(selector: Selector) -> set[str] | None:
    """The fields that every matching document has; None when nothing can match, so that any field may be supposed."""
    if not selector:
        return set()
    name, argument = only(selector)
    if name in ("$and", "$or"):
        each = [_required_fields(condition) for condition in argument]
        known = [fields for fields in each if fields is not None]
        if name == "$and":
            return set().union(*known) if len(known) == len(each) else None
        return set.intersection(*known) if known else None
    return set() if argument == {"$exists": False} else {name}


def _sorts(columns: Sequence[str], sort_fields: tuple[str, ...], selector: Selector) -> bool:
    """Whether rows come in this order; leading columns that the selector holds constant do not count."""
    for at, column in enumerate(columns):
        if not sort_fields or column == sort_fields[0]:
            return tuple(columns[at : at + len(sort_fields)]) == sort_fields
        if not _is_constant(selector, column):
            return False
    return not sort_fields


def _is_constant(selector: Selector, column: str) -> bool:
    if not selector:
        return False
    name, argument = only(selector)
    if name == "$and":
        return any(_is_constant(condition, column) for condition in argument)
    return name == column and "$eq" in argument


# --- which is best ----------------------------------------------------------------------------------------------------


def _ranges(selector: Selector) -> list[tuple[str, Range]]:
    """The range of each field the selector restricts; only an empty one when there is one."""
    ranges: list[tuple[str, Range]] = []
    for column in sorted(indexable_fields(selector)):
        each = narrowed(selector, column, OPEN)
        if each is EMPTY:
            return [(column, EMPTY)]
        ranges.append((column, each))
    return ranges


def _prefix(index: Index, ranges: Sequence[tuple[str, Range]]) -> list[Range]:
    known: dict[str, Range] = {}
    for column, each in ranges:
        known.setdefault(column, each)
    prefix: list[Range] = []
    for column in index.columns:
        if column not in known:
            break
        prefix.append(known[column])
    return prefix


def _distance(index: Index, ranges: Sequence[tuple[str, Range]]) -> tuple[int, int]:
    return len(ranges) - len(_prefix(index, ranges)), len(index.columns)


def _rejections(
    indexes: Sequence[Index],
    in_scope: Sequence[Index],
    failings: dict[Index, str | None],
    usable: Sequence[Index],
    candidates: Sequence[Index],
    ranked: Sequence[Index],
    ranges: Sequence[tuple[str, Range]],
) -> list[Rejected]:
    """Every index but the winner, with the reason that counted against it; later reasons rank after earlier ones."""
    rejected: list[Rejected] = []
    for place, index in enumerate(ranked[1:], 1):
        if _distance(index, ranges)[0] > 0:
            reason = "less_overlap"
        elif len(index.columns) > len(ranked[0].columns):
            reason = "too_many_fields"
        else:
            reason = "alphabetically_comes_after"
        rejected.append(Rejected(index, True, reason, place))
    ranking = max(1, len(ranked))
    stages: list[tuple[list[Index], bool, str | None]] = [
        ([index for index in candidates if index not in ranked], True, "unfavored_type"),
        ([index for index in usable if index not in candidates], True, "excluded_by_user"),
        ([index for index in in_scope if index not in usable], False, None),
        ([index for index in indexes if index not in in_scope], False, "is_partial"),
    ]
    for left, is_usable, fault in stages:
        rejected += [Rejected(index, is_usable, fault or failings[index] or "", ranking) for index in left]
        if left and fault != "is_partial":
            ranking += 1
    # A partial index that was named is considered like the others, and counts as partial all the same.
    return [
        Rejected(each.index, False, "is_partial", each.ranking + ranking)
        if each.index.partial_filter is not None and each.index in in_scope
        else each
        for each in rejected
    ]


def explained_fields(selector: Selector) -> set[str]:
    """Every field a selector names."""
    if not selector:
        return set()
    name, argument = only(selector)
    if name.startswith("$") and isinstance(argument, list):
        return set().union(*map(explained_fields, argument))
    return {name}


def rows_tell_all(index: Index, options: FindOptions) -> bool:
    """Whether the documents need not be read: the index has every field that is asked for or matched."""
    return options.fields is not None and index.covers({*options.fields, *explained_fields(options.selector)})


def range_keys(planned: Plan) -> tuple[list[Any], list[Any]]:
    """The members of the first and the last key to read; behind the last one come all that begin with it."""
    start = [each.low for each in takewhile(lambda each: each.has_low, planned.ranges)]
    end = [each.high for each in takewhile(lambda each: each.has_high, planned.ranges)]
    return start, end
