"""Content on its way in: counted and hashed as it passes, kept in memory while small and in a nameless file beyond."""

from __future__ import annotations

import base64
import hashlib
import tempfile
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, TypeVar

from store.documents import Incoming
from store.errors import BadRequest, TooLarge

T = TypeVar("T")
InThread = Callable[[Callable[[], None]], Awaitable[None]]

PIECE_BYTES = 1 << 20


class Spool:
    """The bytes of one attachment. `feed` it as they arrive, then `give` them to the attachment."""

    def __init__(self, folder: Path, limit_bytes: int, in_thread: InThread, *, gzipped: bool = False) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._in_thread = in_thread
        self._unpacker = zlib.decompressobj(wbits=31) if gzipped else None
        self._waiting = bytearray()
        self._digest = hashlib.md5(usedforsecurity=False)
        self._file: IO[bytes] | None = None
        self.travelled = 0  # bytes as they came; compressed ones count as they are
        self._length = 0

    async def feed(self, chunk: bytes) -> None:
        """Take more; raises TooLarge, or BadRequest when it is not the gzip it says."""
        self.travelled += len(chunk)
        self._waiting += chunk
        if self.travelled > self._limit_bytes:
            raise TooLarge("the attachment is too large")
        if len(self._waiting) >= PIECE_BYTES:
            await self._in_thread(self._spill)

    async def give(self, incoming: Incoming) -> None:
        """Hand everything over; the attachment closes the file, if there is one."""
        if self._file is None and self._unpacker is None and self._length == 0:
            data = bytes(self._waiting)
            self._digest.update(data)
            incoming.data, incoming.length = data, len(data)
        else:
            await self._in_thread(self._spill)
            if self._unpacker is not None and not self._unpacker.eof:
                raise BadRequest("an attachment is not the gzip it says")
            incoming.file, incoming.length = self._file, self._length
            self._file = None
        incoming.digest = "md5-" + base64.b64encode(self._digest.digest()).decode()
        incoming.encoding = None

    def close(self) -> None:
        """Forget what was not given away."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _spill(self) -> None:
        data = bytes(self._waiting)
        self._waiting.clear()
        if self._unpacker is None:
            self._keep(data)
            return
        while data:
            try:
                unpacked = self._unpacker.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise BadRequest("an attachment is not the gzip it says") from error
            self._keep(unpacked)
            data = b"" if self._unpacker.eof else self._unpacker.unconsumed_tail

    def _keep(self, data: bytes) -> None:
        self._length += len(data)
        if self._length > self._limit_bytes:
            raise TooLarge("the attachment is too large")
        self._digest.update(data)
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        self._file.write(data)
        self._file.flush()
