"""How answers leave: JSON by orjson, streams chunk by chunk, both compressed where the client takes it (AUTH-8)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_request import BaseRequest

from core.deep_json import dumps

JSON_TYPE = "application/json; charset=utf-8"
LEVEL = 4  # of zlib: most of the gain for a third of the time
SMALLEST_COMPRESSED_BYTES = 1024
LARGEST_COMPRESSED_INLINE_BYTES = 131_072  # two milliseconds; larger ones go to a thread
COMPRESSIBLE = frozenset(
    {"application/json", "application/javascript", "application/xml", "application/x-font-ttf", "font/ttf"}
)


def json_response(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=dumps(data), status=status, headers={**(headers or {}), "Content-Type": JSON_TYPE})


class Stream(web.StreamResponse):
    """A response written chunk by chunk, each chunk on its way before the next: heartbeats arrive on time.

    Compressed when the content type is compressible, the length is unknown or large, and the client takes gzip.
    Not compressed when a `Content-Encoding` is set, when part of a body is sent, or when `as_is`: the packer of an
    answer that stays open for hours holds more memory than all the rest of it.
    """

    as_is = False
    _zip: Any = None

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        if not self.prepared and request.method != "HEAD" and self._may_compress() and takes_gzip(request):
            self._zip = zlib.compressobj(level=LEVEL, wbits=31)
            self.headers.pop("Content-Length", None)
            self.headers["Content-Encoding"] = "gzip"
            self.headers.add("Vary", "Accept-Encoding")
        return await super().prepare(request)

    def _may_compress(self) -> bool:
        length = self.headers.get("Content-Length")
        return (
            self.status == 200
            and not self.as_is
            and "Content-Encoding" not in self.headers
            and "Content-Range" not in self.headers
            and is_compressible(self.headers.get("Content-Type", ""))
            and (length is None or int(length) >= SMALLEST_COMPRESSED_BYTES)
        )

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._zip is not None and len(data) > LARGEST_COMPRESSED_INLINE_BYTES:
            data = await asyncio.to_thread(self._packed, data)
        elif self._zip is not None:
            data = self._packed(data)
        await super().write(data)

    def _packed(self, data: bytes | bytearray | memoryview) -> bytes:
        packed: bytes = self._zip.compress(data) + self._zip.flush(zlib.Z_SYNC_FLUSH)
        return packed

    async def write_eof(self, data: bytes = b"") -> None:
        if self._zip is not None:
            data = self._zip.compress(data) + self._zip.flush(zlib.Z_FINISH)
            self._zip = None
        await super().write_eof(data)


async def compress(request: web.Request, response: web.StreamResponse) -> None:
    """Have a whole body compressed when it is worth it and the client takes gzip."""
    if (
        isinstance(response, web.Response)
        and not response.prepared
        and isinstance(response.body, bytes)
        and len(response.body) >= SMALLEST_COMPRESSED_BYTES
        and "Content-Encoding" not in response.headers
        and is_compressible(response.headers.get("Content-Type", ""))
        and takes_gzip(request)
    ):
        response.headers.add("Vary", "Accept-Encoding")
        response.headers["Content-Encoding"] = "gzip"
        if len(response.body) > LARGEST_COMPRESSED_INLINE_BYTES:
            response.body = await asyncio.to_thread(gzip, response.body)
        else:
            response.body = gzip(response.body)


def gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(level=LEVEL, wbits=31)
    return packer.compress(data) + packer.flush()


def is_compressible(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("text/") or kind in COMPRESSIBLE or kind.endswith(("+json", "+xml"))


def takes_gzip(request: BaseRequest) -> bool:
    accepted = dict(weighted(request.headers.get("Accept-Encoding", "")))
    return accepted.get("gzip", accepted.get("*", 0.0)) > 0


def prefers_json(request: BaseRequest) -> bool:
    """Whether the client prefers JSON over plain text; no wish, or `*/*`, means text (ERR-1)."""
    accepted = weighted(request.headers.get("Accept", ""))
    json = wish(accepted, "application", "json")
    return json[0] > 0 and json > wish(accepted, "text", "plain")


def accepts(request: BaseRequest, kind: str, subtype: str) -> bool:
    """Whether the client names that media type."""
    return any(name == f"{kind}/{subtype}" and q > 0 for name, q in weighted(request.headers.get("Accept", "")))


def wish(accepted: list[tuple[str, float]], kind: str, subtype: str) -> tuple[float, int, int]:
    """How much a media type is wanted: its weight, then how exactly it is named, then how early."""
    names = (f"{kind}/{subtype}", f"{kind}/*", "*/*")
    found = [
        (weight, -names.index(name), -place if name == names[0] else 0)
        for place, (name, weight) in enumerate(accepted)
        if name in names
    ]
    return max(found, key=lambda each: each[1:2], default=(0.0, -len(names), 0))


def weighted(header: str) -> list[tuple[str, float]]:
    """The values of an `Accept...` header with their weights, in the header's order."""
    values = []
    for part in header.split(","):
        name, *options = (each.strip().lower() for each in part.split(";"))
        if name:
            values.append((name, next((quality(each[2:]) for each in options if each.startswith("q=")), 1.0)))
    return values


def quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
