"""Multipart bodies: documents with their attachments as CouchDB's replicator and browsers send and receive them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from store.content import Piece, Stored
from store.errors import BadRequest

_LONGEST_HEADERS = 64 * 1024
_NAME = re.compile(r'(?:filename|name)="((?:[^"\\]|\\.)*)"')


def boundary_of(content_type_header: str) -> str:
    """The boundary parameter of a multipart Content-Type; raises BadRequest without one."""
    match = re.search(r'boundary="?([^";,]{1,200})"?', content_type_header)
    if match is None:
        raise BadRequest("multipart body has no boundary")
    return match[1]


class Headers(dict[str, str]):
    """The headers of a part that begins, by lower-case name."""


class End:
    """A part is over."""


Event = Headers | bytes | End


class Splitter:
    """Cuts a multipart body as it arrives: `Headers`, pieces of content, `End` for each part."""

    def __init__(self, boundary: str) -> None:
        self._mark = b"--" + boundary.encode()
        self._waiting = bytearray()
        self._state: Callable[[], Iterator[Event]] | None = self._preamble
        self._at_start = False  # of the content of a part

    @property
    def ended(self) -> bool:
        """Whether the closing boundary was seen."""
        return self._state is None

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """What this piece of the body brings; raises BadRequest when it is no multipart."""
        if self._state is None:
            return
        self._waiting += chunk
        before: object = None
        while self._state is not None and before != (before := (self._state, len(self._waiting))):
            yield from self._state()

    def _preamble(self) -> Iterator[Event]:
        at = self._waiting.find(self._mark)
        if at >= 0:
            del self._waiting[: at + len(self._mark)]
            self._state = self._boundary
        elif len(self._waiting) > _LONGEST_HEADERS:
            raise BadRequest("multipart body does not contain its boundary")
        yield from ()

    def _boundary(self) -> Iterator[Event]:
        """Just after a boundary: the rest of its line, or the two dashes that end the body."""
        if self._waiting.startswith(b"--"):
            self._state = None
        elif (line_end := self._waiting.find(b"\n")) >= 0:
            del self._waiting[: line_end + 1]
            self._state = self._headers
        elif len(self._waiting) > _LONGEST_HEADERS:
            raise BadRequest("a boundary of the multipart body has no end of line")
        yield from ()

    def _headers(self) -> Iterator[Event]:
        if self._waiting.startswith((b"\r\n", b"\n")):
            end = content = self._waiting.index(b"\n") + 1
        else:
            gaps = ((self._waiting.find(gap), len(gap)) for gap in (b"\r\n\r\n", b"\n\n"))
            end, width = min(((at, width) for at, width in gaps if at >= 0), default=(-1, 0))
            content = end + width
        if end < 0:
            if len(self._waiting) > _LONGEST_HEADERS:
                raise BadRequest("a part of the multipart body has no end of headers")
            return
        headers = Headers()
        for line in self._waiting[:end].decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        del self._waiting[:content]
        self._waiting[:0] = b"\n"  # so that a boundary may follow at once
        self._state = self._content
        self._at_start = True
        yield headers

    def _content(self) -> Iterator[Event]:
        at = self._waiting.find(b"\n" + self._mark)
        if at >= 0:
            content = bytes(self._waiting[: at - 1 if self._waiting[at - 1 : at] == b"\r" else at])
            del self._waiting[: at + 1 + len(self._mark)]
            self._state = self._boundary
        else:
            keep = len(self._mark) + 2  # what may be the beginning of a boundary
            content = bytes(self._waiting[:-keep])
            del self._waiting[: len(content)]
        if self._at_start and content:
            content = content[1:]
            self._at_start = False
        if content:
            yield content
        if at >= 0:
            yield End()


def file_name(headers: Headers) -> str | None:
    """The attachment that a part says it is."""
    match = _NAME.search(headers.get("content-disposition", ""))
    return match[1].replace('\\"', '"').replace("\\\\", "\\") if match else None


def new_boundary() -> str:
    return uuid.uuid4().hex


def related(doc: bytes, followers: Iterable[tuple[str, dict[str, Any]]], boundary: str) -> list[Piece]:
    """A `multipart/related` body: the document, then each attachment as (name, stored description)."""
    mark = boundary.encode()
    pieces: list[Piece] = [b"--%b\r\nContent-Type: application/json\r\n\r\n" % mark, doc]
    for name, stored in followers:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        head = (
            f'\r\n--{boundary}\r\nContent-Disposition: attachment; filename="{quoted}"\r\n'
            f"Content-Type: {stored['content_type']}\r\nContent-Length: {stored['length']}\r\n\r\n"
        )
        pieces += (head.encode(), Stored(stored["digest"], 0, stored["length"]))
    pieces.append(b"\r\n--%b--" % mark)
    return pieces


def error_part(rev: str) -> bytes:
    """What stands in a `multipart/mixed` answer for a revision that is not here."""
    return b'\r\nContent-Type: application/json; error="true"\r\n\r\n' + orjson.dumps({"missing": rev})
