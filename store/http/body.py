"""The body of a request as it arrives: unpacked, measured, and given up when it comes too slowly."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from store.errors import BadRequest, RequestTimeout, TooLarge, UnsupportedMediaType

WINDOW_BYTES = 16 * 1024  # must come in each window of time, or the end of the body: 270 bytes a second by default
_PIECE_BYTES = 1 << 20
_IDENTITY, _GZIP = "identity", "gzip"
_TOO_LARGE = "the request entity is too large"
_NOT_GZIP = "Request body is not properly gzipped."


async def read_whole(request: web.Request, limit_bytes: int, window_s: float) -> bytes:
    """The body in one piece. Raises TooLarge, BadRequest, UnsupportedMediaType or RequestTimeout."""
    content = request.content
    plain = "Content-Encoding" not in request.headers
    if plain and content.is_eof() and content.exception() is None:  # nearly always: it came with its headers
        whole = content.read_nowait()
        if len(whole) > limit_bytes:
            raise TooLarge(_TOO_LARGE)
        return whole
    chunks = [chunk async for chunk in read_chunks(request, limit_bytes, window_s)]
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def read_chunks(request: web.Request, limit_bytes: int, window_s: float) -> AsyncIterator[bytes]:
    """The body in pieces, unpacked; the limit is that of what comes out. Raises as `read_whole` does."""
    declared = request.content_length
    if declared is not None and declared > limit_bytes:
        raise TooLarge(_TOO_LARGE)
    encoding = request.headers.get("Content-Encoding", _IDENTITY)
    pieces = _arriving(request, window_s)
    if encoding == _GZIP:
        pieces = _unpacked(pieces)
    elif encoding != _IDENTITY:
        raise UnsupportedMediaType(f"{encoding} is not a supported content encoding.")
    size = 0
    async for piece in pieces:
        size += len(piece)
        if size > limit_bytes:
            raise TooLarge(_TOO_LARGE)
        yield piece


async def _arriving(request: web.Request, window_s: float) -> AsyncIterator[bytes]:
    """What has arrived, as soon as there is something; the time that the caller takes for it does not count."""
    loop = asyncio.get_running_loop()
    content = request.content
    left_s, count = window_s, 0
    try:
        while not content.at_eof():
            began_s = loop.time()
            async with asyncio.timeout(left_s):
                chunk = await content.readany()
            if not chunk:
                return
            left_s -= loop.time() - began_s
            count += len(chunk)
            if count >= WINDOW_BYTES:
                left_s, count = window_s, 0
            yield chunk
    except TimeoutError:
        raise RequestTimeout(f"less than {WINDOW_BYTES} bytes of the body came within {window_s:g} seconds") from None
    except ConnectionError as error:  # nobody is left to tell, and nothing here is to blame
        raise BadRequest("The connection was lost before the whole body had come") from error
    except (web.RequestPayloadError, HttpProcessingError) as error:
        raise BadRequest("The request body is not encoded as its headers say") from error


async def _unpacked(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The content of a gzip file; BadRequest unless it is whole, right, and all there is."""
    unpacker = zlib.decompressobj(wbits=31)
    async for piece in pieces:
        while piece:
            try:
                content = unpacker.decompress(piece, _PIECE_BYTES)
            except zlib.error as error:
                raise BadRequest(_NOT_GZIP) from error
            if content:
                yield content
            piece = unpacker.unconsumed_tail
        if unpacker.unused_data:
            raise BadRequest(_NOT_GZIP)
    if not unpacker.eof:
        raise BadRequest(_NOT_GZIP)
