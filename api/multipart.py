"""Read a multipart body part by part, within limits that hold while it comes in (OR-21, OR-31)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from core.errors import InvalidInput, TooLarge

MOST_PARTS = 200
CHUNK_BYTES = 65_536
PLAIN = frozenset({"", "7bit", "8bit", "binary", "base64"})


class Limited:
    """The body's stream, which refuses to be read beyond the limit, whatever the reader looks for in it."""

    def __init__(self, content: Any, most_bytes: int) -> None:
        self._content = content
        self._most_bytes = most_bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def read(self, n: int = -1) -> bytes:
        return self._checked(await self._content.read(n))

    async def readline(self, **options: Any) -> bytes:
        return self._checked(await self._content.readline(**options))

    def _checked(self, data: bytes) -> bytes:
        if self._content.total_bytes > self._most_bytes:
            raise TooLarge(f"The request body must not be larger than {self._most_bytes} bytes")
        return data


@dataclass(frozen=True)
class Part:
    """One part of the body; its chunks must be read before the next part is asked for."""

    name: str
    filename: str | None
    content_type: str
    reader: BodyPartReader

    @property
    def charset(self) -> str | None:
        """As the part's own Content-Type names it."""
        return self.reader.get_charset("") or None

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self.reader.at_eof():
            with malformed():
                chunk = bytes(self.reader.decode(await self.reader.read_chunk(CHUNK_BYTES)))
            yield chunk

    async def read(self, most_bytes: int) -> bytes:
        data = bytearray()
        async for chunk in self.chunks():
            data += chunk
            if len(data) > most_bytes:
                raise TooLarge(f"The part {self.name[:80]!r} must not be larger than {most_bytes} bytes")
        return bytes(data)


async def parts_of(request: web.Request, most_bytes: int) -> AsyncIterator[Part]:
    """The parts in their order. InvalidInput when the body is no whole `multipart/form-data`, TooLarge as it comes."""
    if request.content_type != "multipart/form-data":
        raise InvalidInput("The body must be multipart/form-data")
    if (request.content_length or 0) > most_bytes:
        raise TooLarge(f"The request body must not be larger than {most_bytes} bytes")
    with malformed():
        reader = MultipartReader(request.headers, Limited(request.content, most_bytes))  # type: ignore[arg-type]
    for _ in range(MOST_PARTS):
        with malformed():
            found = await reader.next()
        if found is None:
            return
        yield part_of(found)
    raise InvalidInput(f"The body must not have more than {MOST_PARTS - 1} parts")


@contextmanager
def malformed() -> Iterator[None]:
    """Whatever the reader stumbles over is the client's doing."""
    try:
        yield
    except (ValueError, RuntimeError, AssertionError, LookupError, BadHttpMessage, EOFError) as error:
        raise InvalidInput(f"The multipart body cannot be read: {error}") from error


def part_of(found: MultipartReader | BodyPartReader) -> Part:
    if not isinstance(found, BodyPartReader):
        raise InvalidInput("A part of the body must not be multipart itself")
    transfer = found.headers.get("Content-Transfer-Encoding", "").strip().lower()
    if transfer not in PLAIN or "Content-Encoding" in found.headers:
        raise InvalidInput("The parts of the body must be sent as they are")
    content_type = found.headers.get("Content-Type", "").strip()
    return Part(found.name or "", found.filename, content_type[:200] or "application/octet-stream", found)
