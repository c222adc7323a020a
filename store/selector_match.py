"""A normal selector as a function: each operator compares as CouchDB orders JSON values, `_id` by its bytes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from store.collation import sort_key
from store.regex import compile_regex
from store.selector_paths import BAD_PATH, NOT_FOUND, field_path, get_field

Matcher = Callable[[Any], bool]
Key = Callable[[Any], bytes]


def matcher(selector: dict[str, Any]) -> Matcher:
    """Compile a normal selector."""
    return _compile(selector, sort_key) if selector else lambda value: True


def _compile(condition: dict[str, Any], key: Key) -> Matcher:
    [(name, argument)] = condition.items()
    if name.startswith("$"):
        return _OPERATORS[name](argument, key)
    if not name:  # inside $elemMatch and its kin: the value itself
        return _compile(argument, key)
    return _field(
        field_path(name), argument == {"$exists": False}, _compile(argument, raw_key if name == "_id" else key)
    )


def _field(path: tuple[str, ...], when_absent: bool, matches: Matcher) -> Matcher:
    if len(path) == 1:
        [name] = path

        def has_member(value: Any) -> bool:
            if type(value) is dict:
                member = value.get(name, NOT_FOUND)
                return when_absent if member is NOT_FOUND else matches(member)
            return has_field(value)

    def has_field(value: Any) -> bool:
        found = get_field(value, path)
        if found is NOT_FOUND:
            return when_absent
        return found is not BAD_PATH and matches(found)

    return has_member if len(path) == 1 else has_field


def raw_key(value: Any) -> bytes:
    """Document ids are compared by their bytes, and are above whatever is not a string."""
    return b"\xf0" + value.encode() if type(value) is str else sort_key(value)


# --- combinations -----------------------------------------------------------------------------------------------------


def _and(conditions: list[Any], key: Key) -> Matcher:
    matchers = [_compile(each, key) for each in conditions]
    if len(matchers) == 2:
        first, second = matchers
        return lambda value: first(value) and second(value)
    return lambda value: all(matches(value) for matches in matchers)


def _or(conditions: list[Any], key: Key) -> Matcher:
    matchers = [_compile(each, key) for each in conditions]
    return lambda value: not matchers or any(matches(value) for matches in matchers)


def _not(condition: Any, key: Key) -> Matcher:
    matches = _compile(condition, key)
    return lambda value: not matches(value)


def _nor(conditions: list[Any], key: Key) -> Matcher:
    matchers = [_compile(each, key) for each in conditions]
    return lambda value: not any(matches(value) for matches in matchers)


def _elem_match(condition: Any, key: Key) -> Matcher:
    matches = _compile(condition, key)
    return lambda value: type(value) is list and any(matches(each) for each in value)


def _all_match(condition: Any, key: Key) -> Matcher:
    matches = _compile(condition, key)
    return lambda value: type(value) is list and bool(value) and all(matches(each) for each in value)


def _key_map_match(condition: Any, key: Key) -> Matcher:
    matches = _compile(condition, key)
    return lambda value: type(value) is dict and any(matches(name) for name in value)


# --- comparisons ------------------------------------------------------------------------------------------------------


def _equals(argument: Any, key: Key) -> Matcher:
    if argument is None or isinstance(argument, bool):
        return lambda value: value is argument
    if isinstance(argument, str):
        return lambda value: type(value) is str and value == argument
    if isinstance(argument, (int, float)):
        return lambda value: (type(value) is int or type(value) is float) and value == argument
    kind, wanted = type(argument), key(argument)
    return lambda value: type(value) is kind and key(value) == wanted


def _differs(argument: Any, key: Key) -> Matcher:
    equals = _equals(argument, key)
    return lambda value: not equals(value)


def _less(argument: Any, key: Key) -> Matcher:
    bound = key(argument)
    return lambda value: key(value) < bound


def _at_most(argument: Any, key: Key) -> Matcher:
    bound = key(argument)
    return lambda value: key(value) <= bound


def _greater(argument: Any, key: Key) -> Matcher:
    bound = key(argument)
    return lambda value: key(value) > bound


def _at_least(argument: Any, key: Key) -> Matcher:
    bound = key(argument)
    return lambda value: key(value) >= bound


def _in(arguments: list[Any], key: Key) -> Matcher:
    wanted = {key(argument) for argument in arguments}

    def is_in(value: Any) -> bool:
        if type(value) is list:
            return any(key(each) in wanted for each in value)
        return key(value) in wanted

    return is_in


def _not_in(arguments: list[Any], key: Key) -> Matcher:
    is_in = _in(arguments, key)
    return lambda value: not is_in(value)


# --- of one type ------------------------------------------------------------------------------------------------------


def _all(arguments: list[Any], key: Key) -> Matcher:
    wanted = {orjson.dumps(argument) for argument in arguments}
    whole = orjson.dumps(arguments[0]) if len(arguments) == 1 and isinstance(arguments[0], list) else None

    def has_all(value: Any) -> bool:
        if type(value) is not list or not wanted:
            return False
        return wanted <= {orjson.dumps(each) for each in value} or orjson.dumps(value) == whole

    return has_all


def _exists(wanted: bool, key: Key) -> Matcher:
    return lambda value: wanted  # an absent field never comes here


def _type(name: str, key: Key) -> Matcher:
    kinds = _KINDS.get(name, ())
    return lambda value: type(value) in kinds


_KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def _mod(argument: list[int], key: Key) -> Matcher:
    divisor, remainder = argument

    def leaves_remainder(value: Any) -> bool:
        if type(value) is not int:
            return False
        rest = abs(value) % abs(divisor)  # the sign is the value's, as in C and Erlang
        return (rest if value >= 0 else -rest) == remainder

    return leaves_remainder


def _regex(source: str, key: Key) -> Matcher:
    found_in = compile_regex(source)
    return lambda value: type(value) is str and found_in(value)


def _begins_with(prefix: str, key: Key) -> Matcher:
    return lambda value: type(value) is str and value.startswith(prefix)


def _size(length: int, key: Key) -> Matcher:
    return lambda value: type(value) is list and len(value) == length


def _text(argument: Any, key: Key) -> Matcher:
    return lambda value: True  # only a text index could tell


_OPERATORS: dict[str, Callable[[Any, Key], Matcher]] = {
    "$and": _and,
    "$or": _or,
    "$not": _not,
    "$nor": _nor,
    "$elemMatch": _elem_match,
    "$allMatch": _all_match,
    "$keyMapMatch": _key_map_match,
    "$eq": _equals,
    "$ne": _differs,
    "$lt": _less,
    "$lte": _at_most,
    "$gt": _greater,
    "$gte": _at_least,
    "$in": _in,
    "$nin": _not_in,
    "$all": _all,
    "$exists": _exists,
    "$type": _type,
    "$mod": _mod,
    "$regex": _regex,
    "$beginsWith": _begins_with,
    "$size": _size,
    "$default": _text,
}
