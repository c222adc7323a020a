"""Lean exchanges with CouchDB: keep-alive connections for requests whose body is at hand and small.

aiohttp's session spends more on a small request than CouchDB does. Here its parser, its writer and its connections are
used without what we never need of it: redirects, cookies, proxies, traces. The session keeps what is streamed, large,
or has a time limit of its own.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from weakref import WeakSet

from aiohttp import ClientConnectionError, ClientOSError, ClientPayloadError, ServerDisconnectedError, StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage, StreamWriter
from multidict import CIMultiDict

from core.errors import Unavailable

CONNECT_S = 10.0
KEPT_S = 30.0  # idle connections, which CouchDB or what stands before it may close any time
PIECE_BYTES = 2**18
# Without a body, and sent once more when a kept connection turns out to be closed. A write is not: it may be stored
# although its answer was lost, and the second one would be told of a conflict with the first.
READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Exchange:
    """CouchDB's answer: its head, and its body in `content` as it comes. `close` it in any case."""

    def __init__(
        self, connections: Connections, connection: ResponseHandler, message: RawResponseMessage, content: StreamReader
    ) -> None:
        self.status = message.code
        self.reason = message.reason
        self.headers = message.headers
        self.content = content
        self._connections = connections
        self._connection = connection
        self._is_closed = False

    async def read(self) -> bytes:
        return await self.content.read()

    def close(self) -> None:
        """Keep the connection when the whole answer has come; else close it, also under whoever still reads."""
        if self._is_closed:
            return  # its connection may serve another exchange by now
        self._is_closed = True
        if self.content.is_eof() and not self._connection.should_close:
            self._connections.keep(self._connection)
            return
        if not self.content.is_eof():
            self.content.set_exception(ClientConnectionError("Connection closed"))
        self._connection.close()


class Connections:
    """Open connections to one server, as many as there are exchanges at a time."""

    def __init__(self, server_url: str) -> None:
        parts = urlsplit(server_url)
        self.authority = parts.netloc
        self.host = parts.hostname or ""
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.port = parts.port or (443 if self.tls else 80)
        self.closed = False
        self._idle: deque[tuple[float, ResponseHandler]] = deque()  # the one used last at the right
        self._all: WeakSet[ResponseHandler] = WeakSet()

    async def ask(self, method: str, target: str, headers: CIMultiDict[str], body: bytes = b"") -> Exchange:
        """Send a request and wait for the head of its answer; `target` is path and query, percent-encoded.

        Raises Unavailable when nobody listens, TimeoutError, and aiohttp's ClientError for broken connections.
        """
        headers.setdefault("Host", self.authority)
        if body or method not in READS:
            headers["Content-Length"] = str(len(body))
        kept = self._take()
        if kept is not None:
            try:
                return await self._exchange(kept, method, target, headers, body)
            except (ClientOSError, ServerDisconnectedError):
                if method not in READS:
                    raise
        return await self._exchange(await self._open(), method, target, headers, body)

    async def _exchange(
        self, connection: ResponseHandler, method: str, target: str, headers: CIMultiDict[str], body: bytes
    ) -> Exchange:
        try:
            message, content = await send(connection, method, target, headers, body)
        except BaseException:
            connection.close()
            raise
        return Exchange(self, connection, message, content)

    def keep(self, connection: ResponseHandler) -> None:
        """Have the connection ready for the next exchange."""
        now_s = time.monotonic()
        while self._idle and self._idle[0][0] < now_s - KEPT_S:
            self._idle.popleft()[1].close()
        if self.closed:
            connection.close()
        else:
            self._idle.append((now_s, connection))

    async def close(self) -> None:
        self.closed = True
        self._idle.clear()
        endings = [ending for connection in self._all if (ending := connection.closed) is not None]
        for connection in list(self._all):
            connection.close()
        if endings:
            await asyncio.wait(endings, timeout=1)

    def _take(self) -> ResponseHandler | None:
        oldest_s = time.monotonic() - KEPT_S
        while self._idle:
            used_s, connection = self._idle.pop()
            if used_s >= oldest_s and connection.is_connected() and not connection.should_close:
                return connection
            connection.close()
        return None

    async def _open(self) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await loop.create_connection(
                    lambda: ResponseHandler(loop), self.host, self.port, ssl=self.tls
                )
        except TimeoutError:
            raise
        except OSError as error:
            raise Unavailable("CouchDB cannot be reached") from error
        self._all.add(connection)
        return connection


async def send(
    connection: ResponseHandler, method: str, target: str, headers: CIMultiDict[str], body: bytes
) -> tuple[RawResponseMessage, StreamReader]:
    """The head of the answer, and what its body will come through."""
    connection.set_response_params(skip_payload=method == "HEAD", read_until_eof=True, auto_decompress=False)
    writer = StreamWriter(connection, asyncio.get_running_loop())
    await writer.write_headers(f"{method} {target} HTTP/1.1", headers)
    await writer.write_eof(body)
    while True:
        try:
            message, content = await connection.read()
        except HttpProcessingError as error:
            raise ClientPayloadError(f"not an HTTP answer: {error.message}") from error
        if message.code >= 200:
            return message, content


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """A large body for aiohttp's session, which sends it without blocking the loop and, since it is used up, once."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]
