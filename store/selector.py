"""Mango selectors: checked, brought into CouchDB's normal form, and compiled into functions that match documents. Pure.

A normal selector is a tree of objects with one member each: `{"$and": [...]}`, `{"$or": [...]}` or `{field path:
{operator: argument}}`, negations moved down to the operators. That is also what `_explain` shows and what index choice
reads. Source: docs.couchdb.org, `/db/_find`, Selector Syntax.
"""

from __future__ import annotations

from typing import Any

from store import erlang
from store.errors import BadRequest
from store.regex import compile_regex
from store.selector_match import Matcher, matcher
from store.selector_paths import field_path

Selector = dict[str, Any]

_DEEPEST = 100  # levels of operators and field names

_NEGATED = {
    "$lt": "$gte", "$gte": "$lt", "$lte": "$gt", "$gt": "$lte",
    "$eq": "$ne", "$ne": "$eq", "$in": "$nin", "$nin": "$in",
}  # fmt: skip
_ANY_ARGUMENT = frozenset({"$lt", "$lte", "$eq", "$ne", "$gte", "$gt"})
_LIST_OF_SELECTORS = frozenset({"$and", "$or", "$nor"})
_ONE_SELECTOR = frozenset({"$not", "$elemMatch", "$allMatch", "$keyMapMatch"})
_UNSUPPORTED = frozenset({"$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere"})


def compile_selector(selector: Any) -> Matcher:
    """A function that tells whether a document (parsed, with `_id`, `_rev`) matches; BadRequest for a bad selector."""
    return matcher(normalize(selector))


def normalize(selector: Any) -> Selector:
    """The normal form of a selector as sent; BadRequest with CouchDB's slug and reason when it is not a selector."""
    if not isinstance(selector, dict):
        raise BadRequest(f"Selector must be a JSON object, not: {erlang.term(selector)}", slug="invalid_selector_json")
    if not selector:
        return {}
    normal = _move_negations(_push_fields(_check(selector, 0), ""))
    if "" in normal:
        raise BadRequest("One or more conditions is missing a field name.", slug="invalid_selector")
    _check_paths(normal)
    return normal


def only(selector: Selector) -> tuple[str, Any]:
    """The one member of an object of a normal selector."""
    [member] = selector.items()
    return member


def _check(condition: Any, depth: int) -> Selector:
    """Every operator's argument checked; several members become an `$and`, a bare value an `$eq`."""
    if depth > _DEEPEST:
        raise BadRequest("The selector is nested too deeply.", slug="invalid_selector")
    if not isinstance(condition, dict) or not condition:
        return {"$eq": condition}
    if len(condition) > 1:
        return {"$and": [_check({name: value}, depth) for name, value in condition.items()]}
    name, argument = only(condition)
    if name == "$text":
        return {"$default": _check_text(argument)}
    if name.startswith("$"):
        return {name: _check_argument(name, argument, depth + 1)}
    return {name: _check(argument, depth + 1)}


def _check_argument(operator: str, argument: Any, depth: int) -> Any:
    if operator in _ANY_ARGUMENT or operator == "$default":
        return argument
    if operator in _LIST_OF_SELECTORS and isinstance(argument, list):
        return [_check(each, depth) for each in argument]
    if operator in _ONE_SELECTOR and isinstance(argument, dict):
        return _check(argument, depth)
    if operator in _UNSUPPORTED:
        raise BadRequest(f"Unsupported operator: {operator}", slug="not_supported")
    if operator == "$beginsWith" and isinstance(argument, str):
        return argument
    fits = _ARGUMENT_FITS.get(operator)  # CouchDB calls $beginsWith with another argument an invalid operator, too
    if fits is None and operator not in _LIST_OF_SELECTORS | _ONE_SELECTOR:
        raise BadRequest(f"Invalid operator: {operator}", slug="invalid_operator")
    if fits is None or not fits(argument):
        raise BadRequest(f"Bad argument for operator {operator}: {erlang.term(argument)}", slug="bad_arg")
    return argument


def _check_text(argument: Any) -> Selector:
    if isinstance(argument, (str, int, float)):
        return {"$text": argument}
    raise BadRequest(f"Bad argument for operator $text: {erlang.term(argument)}", slug="bad_arg")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_mod(argument: Any) -> bool:
    return isinstance(argument, list) and len(argument) == 2 and all(map(_is_integer, argument)) and argument[0] != 0


def _is_regex(argument: Any) -> bool:
    try:
        return isinstance(argument, str) and compile_regex(argument) is not None
    except ValueError:
        return False


_ARGUMENT_FITS = {
    "$in": lambda argument: isinstance(argument, list),
    "$nin": lambda argument: isinstance(argument, list),
    "$all": lambda argument: isinstance(argument, list),
    "$exists": lambda argument: isinstance(argument, bool),
    "$type": lambda argument: isinstance(argument, str),
    "$size": lambda argument: _is_integer(argument) and argument >= 0,
    "$mod": _is_mod,
    "$regex": _is_regex,
}


def _push_fields(condition: Selector, path: str) -> Selector:
    """Field names moved down through boolean operators: `{a: {$or: [{b: x}, ..]}}` becomes `{$or: [{a.b: x}, ..]}`."""
    name, argument = only(condition)
    if name in _LIST_OF_SELECTORS:
        return {name: [_push_fields(each, path) for each in argument]}
    if name == "$not":
        return {name: _push_fields(argument, path)}
    if name in _ONE_SELECTOR:
        return {path: {name: _push_fields(argument, "")}}
    if name == "$default":
        if path:
            raise BadRequest(f"Invalid field normalization on selector: {erlang.term(condition)}", slug="bad_field")
        return condition
    if name.startswith("$"):
        return {path: condition}
    return _push_fields(argument, f"{path}.{name}" if path else name)


def _move_negations(condition: Selector) -> Selector:
    """`$not` and `$nor` moved down to the operators, by De Morgan, so that index choice sees what they ask."""
    name, argument = only(condition)
    if name == "$not":
        return _negate(argument)
    if name == "$nor":
        return {"$and": [_negate(each) for each in argument]}
    if name in ("$and", "$or"):
        return {name: [_move_negations(each) for each in argument]}
    return condition


def _negate(condition: Selector) -> Selector:
    name, argument = only(condition)
    if name == "$not":
        return _move_negations(argument)
    if name == "$nor":
        return {"$or": [_move_negations(each) for each in argument]}
    if name in ("$and", "$or"):
        return {"$or" if name == "$and" else "$and": [_negate(each) for each in argument]}
    if name == "$default":
        raise BadRequest(f"Bad argument for operator $not: {erlang.term(condition)}", slug="bad_arg")
    if name in _NEGATED:
        return {_NEGATED[name]: argument}
    if name == "$exists":
        return {name: not argument}
    if name.startswith("$"):
        return {"$not": condition}
    return {name: _negate(argument)}


def _check_paths(condition: Selector) -> None:
    name, argument = only(condition)
    if isinstance(argument, list):
        if name in _LIST_OF_SELECTORS:
            for each in argument:
                _check_paths(each)
    elif name in _ONE_SELECTOR:
        _check_paths(argument)
    elif not name.startswith("$"):
        if name:
            field_path(name)
        _check_paths(argument)
