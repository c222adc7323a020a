"""Multipart bodies: documents with their attachments as CouchDB's replicator and browsers send and receive them."""

from __future__ import annotations

import re
import uuid
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from store.documents import UNKNOWN_LENGTH, Edit, Incoming, load_object, parse_edit, set_data
from store.errors import BadRequest, StoreError, TooLarge

Part = tuple[dict[str, str], memoryview]
_NAME = re.compile(r'(?:filename|name)="((?:[^"\\]|\\.)*)"')


def boundary_of(content_type_header: str) -> str:
    """The boundary parameter of a multipart Content-Type; raises BadRequest without one."""
    match = re.search(r'boundary="?([^";,]{1,200})"?', content_type_header)
    if match is None:
        raise BadRequest("multipart body has no boundary")
    return match[1]


def split(body: bytes, boundary: str) -> list[Part]:
    """The parts of a multipart body: headers by lower-case name, and content that is not copied."""
    mark = b"--" + boundary.encode()
    whole = memoryview(body)
    parts: list[Part] = []
    at = body.find(mark)
    if at < 0:
        raise BadRequest("multipart body does not contain its boundary")
    while True:
        at += len(mark)
        if body[at : at + 2] == b"--":
            return parts
        start = body.find(b"\n", at) + 1
        end = body.find(b"\n" + mark, start - 1)
        if start == 0 or end < 0:
            raise BadRequest("multipart body ends early")
        next_at = end + 1
        if end > start and body[end - 1 : end] == b"\r":
            end -= 1
        headers_end, content = _headers_end(body, start, end)
        headers: dict[str, str] = {}
        for line in body[start:headers_end].decode("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        parts.append((headers, whole[content : max(end, content)]))
        at = next_at


def _headers_end(body: bytes, start: int, end: int) -> tuple[int, int]:
    if body.startswith(b"\r\n", start):
        return start, start + 2
    if body.startswith(b"\n", start):
        return start, start + 1
    for gap in (b"\r\n\r\n", b"\n\n"):
        at = body.find(gap, start, end)
        if at >= 0:
            return at, at + len(gap)
    raise BadRequest("a part of the multipart body has no end of headers")


def parse_related(body: bytes, boundary: str, doc_id: str, *, new_edits: bool, limit_bytes: int) -> Edit:
    """The document of a `multipart/related` body, with the attachments that follow it."""
    parts = split(body, boundary)
    if not parts:
        raise BadRequest("multipart body has no parts")
    edit = parse_edit(load_object(bytes(parts[0][1]), "Document"), doc_id=doc_id, new_edits=new_edits)
    give_followers(edit, parts[1:], limit_bytes)
    return edit


def give_followers(edit: Edit, parts: Sequence[Part], limit_bytes: int) -> None:
    """Match the parts to the attachments that wait for them: by file name where parts have one, else in order."""
    waiting = {name: item for name, item in edit.attachments.items() if item.follows}
    if len(parts) < len(waiting):
        raise BadRequest("the multipart body has fewer attachments than the document says")
    for (headers, content), name in zip(parts, list(waiting), strict=False):
        match = _NAME.search(headers.get("content-disposition", ""))
        chosen = match[1].replace('\\"', '"').replace("\\\\", "\\") if match else name
        item = waiting.pop(chosen, None) or waiting.pop(name, None)
        if item is None:
            raise BadRequest(f"the multipart body has an attachment {chosen} that the document does not name")
        if item.length not in (UNKNOWN_LENGTH, len(content)):
            raise BadRequest(f"attachment {'longer' if len(content) > item.length else 'shorter'} than expected")
        fill(item, bytes(content), limit_bytes)


def fill(item: Incoming, data: bytes, limit_bytes: int) -> None:
    """Give an attachment its bytes as they travelled; content a CouchDB compressed is kept as what it stands for."""
    if item.encoding == "gzip":
        try:
            unpacker = zlib.decompressobj(wbits=31)
            data = unpacker.decompress(data, limit_bytes + 1)
        except zlib.error as error:
            raise StoreError("an attachment is not the gzip it says", slug="bad_request", status=400) from error
    if len(data) > limit_bytes:
        raise TooLarge("the attachment is too large")
    item.encoding = None
    set_data(item, data)


def new_boundary() -> str:
    return uuid.uuid4().hex


def related(doc: bytes, followers: Iterable[tuple[str, dict[str, Any], bytes]], boundary: str) -> bytes:
    """A `multipart/related` body: the document, then each attachment as (name, stored description, content)."""
    mark = boundary.encode()
    parts = [b"--", mark, b"\r\nContent-Type: application/json\r\n\r\n", doc]
    for name, stored, data in followers:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        head = (
            f'\r\n--{boundary}\r\nContent-Disposition: attachment; filename="{quoted}"\r\n'
            f"Content-Type: {stored['content_type']}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        parts += (head.encode(), data)
    parts += (b"\r\n--", mark, b"--")
    return b"".join(parts)


def error_part(rev: str) -> bytes:
    """What stands in a `multipart/mixed` answer for a revision that is not here."""
    return b'\r\nContent-Type: application/json; error="true"\r\n\r\n' + orjson.dumps({"missing": rev})
