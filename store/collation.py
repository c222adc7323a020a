"""Sortable keys: bytes whose plain order is CouchDB's order of JSON values in a view.

null < false < true < numbers < strings < arrays < objects. Strings are in the order of ICU's root collation at tertiary
strength, as in CouchDB, from a table made by `scripts/make_collation`; strings that ICU calls equal but that differ are
put in the order of their code points, so that equal keys mean equal values (CouchDB would treat them as one key).
Source: docs.couchdb.org, Views Collation; unicode.org/reports/tr10.
"""

from __future__ import annotations

import hashlib
import lzma
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import accumulate
from struct import Struct
from sys import byteorder
from typing import Any
from unicodedata import combining, normalize

import orjson

NULL, FALSE, TRUE, NUMBER, STRING, ARRAY, OBJECT = (bytes((byte,)) for byte in range(0x10, 0x80, 0x10))
LOWEST, HIGHEST = b"", b"\xff"  # before and after every key

# Inside a string: 0x00 ends it, 0x01 ends a level, weights begin at 0x02.
_END, _LEVEL = b"\x00", b"\x01"
_UNASSIGNED_LEAD = 0xFD
_FIRST_TRAILER, _TRAILERS = 0x02, 254

_double = Struct(">d")
_unsigned = Struct(">Q")


class _Weights(dict[str, tuple[bytes, bytes, bytes]]):
    """The three levels of weights of each character, read from the packed table when first asked for."""

    def __init__(self, data: bytes) -> None:
        head_line, arrays = data.split(b"\n", 1)
        head = orjson.loads(head_line)
        self.source: str = head["source"]
        count: int = head["entries"]
        self._points = array("I", accumulate(_from_planes(arrays[: 4 * count])))
        self._entries = _from_planes(arrays[4 * count :])
        self._expansions: list[int] = head["expansions"]
        self._leads: list[list[int]] = head["leads"]
        self._lead_starts = [run[0] for run in self._leads]
        self.common_secondary = _secondary_bytes(head["common_secondary"])
        self.common_tertiary = _tertiary_bytes(head["common_tertiary"])
        self.contractions = {text: self._levels(packed) for text, packed in head["contractions"].items()}
        self.contraction_starts = frozenset(text[0] for text in self.contractions)
        self.longest_contraction = max(map(len, self.contractions))

    def __missing__(self, character: str) -> tuple[bytes, bytes, bytes]:
        levels = self._look_up(ord(character))
        self[character] = levels
        return levels

    def _look_up(self, point: int) -> tuple[bytes, bytes, bytes]:
        at = bisect_left(self._points, point)
        if at == len(self._points) or self._points[at] != point:
            primary = bytes((_UNASSIGNED_LEAD, *_trailers(point, 3)))
            return primary, self.common_secondary, self.common_tertiary
        entry = self._entries[at]
        if entry >> 31:
            start = entry & 0xFFFFF
            return self._levels(self._expansions[start : start + (entry >> 20 & 0x7FF)])
        return self._levels([entry])

    def _levels(self, packed: list[int]) -> tuple[bytes, bytes, bytes]:
        return (
            b"".join(self._primary_bytes(element >> 14) for element in packed),
            b"".join(_secondary_bytes(element >> 5 & 0x1FF) for element in packed),
            b"".join(_tertiary_bytes(element & 0x1F) for element in packed),
        )

    def _primary_bytes(self, rank: int) -> bytes:
        if rank == 0:
            return b""
        first, _, lead, length = self._leads[bisect_right(self._lead_starts, rank) - 1]
        return bytes((lead, *_trailers(rank - first, length - 1)))


def _from_planes(planes: bytes) -> array[int]:
    count = len(planes) // 4
    mixed = bytearray(len(planes))
    for plane in range(4):
        mixed[plane::4] = planes[plane * count : (plane + 1) * count]
    numbers = array("I", bytes(mixed))
    if byteorder == "big":
        numbers.byteswap()
    return numbers


def _trailers(number: int, length: int) -> list[int]:
    digits: list[int] = []
    for _ in range(length):
        number, digit = divmod(number, _TRAILERS)
        digits.append(digit + _FIRST_TRAILER)
    return digits[::-1]


def _secondary_bytes(index: int) -> bytes:
    if index <= 200:
        return bytes((index + 1,)) if index else b""
    return bytes((0xF0 + index // 128, 0x80 + index % 128))


def _tertiary_bytes(index: int) -> bytes:
    return bytes((index + 1,)) if index else b""


_packed = (files(__package__) / "data" / "collation.bin").read_bytes()
_weights = _Weights(lzma.decompress(_packed))
COLLATOR_VERSION = _weights.source
TABLE_DIGEST = hashlib.sha256(_packed).hexdigest()  # indexes made with another table must not be read with this one

_ascii = [_weights[chr(point)] for point in range(128)]
_ASCII_IGNORED = bytes(point for point in range(128) if not _ascii[point][0])
_ASCII_PRIMARY = bytes(levels[0][0] if levels[0] else 0 for levels in _ascii) + bytes(128)
_ASCII_TERTIARY = bytes(levels[2][0] if levels[2] else 0 for levels in _ascii) + bytes(128)


def _ascii_key(text: str) -> bytes:
    raw = text.encode()
    primary = raw.translate(_ASCII_PRIMARY, _ASCII_IGNORED)
    tertiary = raw.translate(_ASCII_TERTIARY, _ASCII_IGNORED).rstrip(_weights.common_tertiary)
    if len(primary) != len(raw):
        return b"".join((primary, _LEVEL, _LEVEL, tertiary, _LEVEL, _escape(raw), _END))
    if tertiary:
        return b"".join((primary, _LEVEL, _LEVEL, tertiary, _END))
    return primary + _END


def _string_key(text: str) -> bytes:
    """Levels of weights, then the text itself; empty levels at the end are left out."""
    if text.isascii():
        return _ascii_key(text)
    decomposed = normalize("NFD", text)
    if _weights.contraction_starts.isdisjoint(decomposed):
        levels = [_weights[character] for character in decomposed]
    else:
        levels = list(_contracted(decomposed))
    primary = b"".join([level[0] for level in levels])
    secondary = b"".join([level[1] for level in levels]).rstrip(_weights.common_secondary)
    # Small kana weigh less than the common weight: a last common one stands for all those left out.
    tertiary = b"".join([level[2] for level in levels]).rstrip(_weights.common_tertiary) + _weights.common_tertiary
    return b"".join((primary, _LEVEL, secondary, _LEVEL, tertiary, _LEVEL, _escape(text.encode()), _END))


def _escape(raw: bytes) -> bytes:
    return raw.replace(_END, b"\x00\xff") if _END in raw else raw


def _contracted(text: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """The weights of `text`, taking strings that weigh as one, also over marks between their parts (UTS 10, S2.1)."""
    rest = list(text)
    at = 0
    while at < len(rest):
        first = rest[at]
        if first not in _weights.contraction_starts:
            yield _weights[first]
            at += 1
            continue
        matched = first
        levels = _weights[first]
        for length in range(min(_weights.longest_contraction, len(rest) - at), 1, -1):
            candidate = "".join(rest[at : at + length])
            if candidate in _weights.contractions:
                matched, levels = candidate, _weights.contractions[candidate]
                break
        at += len(matched)
        mark_at, skipped_class = at, 0
        while mark_at < len(rest) and (mark_class := combining(rest[mark_at])) > skipped_class:
            if (longer := matched + rest[mark_at]) in _weights.contractions:
                matched, levels = longer, _weights.contractions[longer]
                del rest[mark_at]
            else:
                mark_at, skipped_class = mark_at + 1, mark_class
        yield levels


def _number_key(number: float) -> bytes:
    bits: int = _unsigned.unpack(_double.pack(number + 0.0))[0]  # -0.0 + 0.0 is 0.0
    return _unsigned.pack(~bits & 0xFFFFFFFFFFFFFFFF if bits >> 63 else bits | 1 << 63)


def _scalar_key(value: Any) -> bytes | None:
    """The key of anything but an array or object, None for those."""
    kind = type(value)
    if kind is str:
        return STRING + _string_key(value)
    if kind is int or kind is float:
        return NUMBER + _number_key(value)
    if value is None:
        return NULL
    if kind is bool:
        return TRUE if value else FALSE
    return None


def sort_key(value: Any) -> bytes:
    """Bytes that sort as CouchDB sorts `value`; no key of one value begins with the key of another.

    Arrays are compared member by member and objects property by property in their own order, name before value; where
    one runs out, it is the lesser. Numbers are compared as doubles.
    """
    key = _scalar_key(value)
    if key is not None:
        return key
    parts: list[bytes] = []
    open_members = [iter((value,))]
    while open_members:
        for member in open_members[-1]:
            key = _scalar_key(member)
            if key is not None:
                parts.append(key)
            elif type(member) is list:
                parts.append(ARRAY)
                open_members.append(iter(member))
                break
            elif type(member) is dict:
                parts.append(OBJECT)
                open_members.append(iter([part for item in member.items() for part in item]))
                break
            else:
                raise TypeError(f"not a JSON value: {type(member).__name__}")
        else:
            open_members.pop()
            parts.append(_END)
    parts.pop()  # the list around the value itself
    return b"".join(parts)


def raw_sort_key(value: Any) -> bytes:
    """Bytes that sort as Erlang sorts `value`, for views with `collation: raw`; made like those of `sort_key`.

    Numbers < false < null < true < objects < arrays < strings, these by their UTF-8 bytes.
    """
    kind = type(value)
    if kind is str:
        return _RAW_STRING + _escape(value.encode()) + _END
    if kind is int or kind is float:
        return _RAW_NUMBER + _number_key(value)
    if kind is list:
        return b"".join((_RAW_ARRAY, *map(raw_sort_key, value), _END))
    if kind is dict:
        return b"".join((_RAW_OBJECT, *(raw_sort_key(part) for item in value.items() for part in item), _END))
    return _RAW_ATOMS[value]


_RAW_NUMBER, _RAW_FALSE, _RAW_NULL, _RAW_TRUE, _RAW_OBJECT, _RAW_ARRAY, _RAW_STRING = (
    bytes((byte,)) for byte in range(0x10, 0x80, 0x10)
)
_RAW_ATOMS = {False: _RAW_FALSE, None: _RAW_NULL, True: _RAW_TRUE}


def array_prefix(values: list[Any], key: Callable[[Any], bytes] = sort_key) -> bytes:
    """What the key of every array beginning with `values` begins with."""
    return key(values)[:-1]
