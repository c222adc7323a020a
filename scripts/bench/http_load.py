"""A lean HTTP client for measuring: keep-alive connections that cost little beside the server under test."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import orjson

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Target:
    """A server under test, with its administrator's name and password."""

    name: str
    host: str
    port: int
    user: str = "admin"
    password: str = "secret"

    @classmethod
    def from_url(cls, name: str, url: str) -> Target:
        """Of `http://user:password@host:port`; raises ValueError when a part is missing."""
        parts = urlsplit(url)
        if not (parts.hostname and parts.port and parts.username and parts.password):
            raise ValueError(f"expected http://user:password@host:port, got {url}")
        return cls(name, parts.hostname, parts.port, parts.username, parts.password)

    def request(self, method: str, path: str, body: object = None) -> bytes:
        """The bytes of a request, made before the clock runs."""
        sent = b"" if body is None else orjson.dumps(body)
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Basic {login}\r\n"
            f"Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
        )
        return head.encode() + sent


@dataclass(slots=True)
class Answer:
    """A response; `size_bytes` counts its body, with the framing of chunks."""

    status: int
    size_bytes: int
    body: bytes

    def json(self) -> object:
        return orjson.loads(self.body)


class Connection(asyncio.Protocol):
    """One keep-alive connection; a request at a time. `keep=False` throws bodies away as they come."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._keep = True
        self._reset()

    def _reset(self) -> None:
        self._head = b""
        self._status = 0
        self._left = -1  # bytes of the body still to come; -1: chunked
        self._size = 0
        self._parts: list[bytes] = []
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not descend from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        if not self._status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data = self._head[: end + 2], self._head[end + 4 :]
            self._status = int(head[9:12])
            length = _LENGTH.search(head)
            if length is not None:
                self._left = int(length[1])
            elif not _CHUNKED.search(head):
                self._left = 0
            else:
                self._tail = b"\r\n"
        self._size += len(data)
        if self._keep:
            self._parts.append(data)
        if self._left >= 0:
            self._left -= len(data)
            done = self._left <= 0
        else:
            self._tail = (self._tail + data)[-len(_LAST_CHUNK) :] if len(data) < 8 else data[-len(_LAST_CHUNK) :]
            done = self._tail == _LAST_CHUNK
        if done and self._waiting is not None:
            body = b"".join(self._parts)
            answer = Answer(self._status, self._size, _joined(body) if self._left < 0 and self._keep else body)
            self._waiting.set_result(answer)

    async def ask(self, request: bytes, *, keep: bool = False) -> Answer:
        """Send prepared bytes and wait for the whole answer; raises RuntimeError when it is an error."""
        assert self._transport is not None
        self._reset()
        self._keep = keep
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        answer = await self._waiting
        if answer.status >= 400:
            raise RuntimeError(f"{answer.status} for {request[:100]!r}: {answer.body[:300]!r}")
        return answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _joined(chunked: bytes) -> bytes:
    parts = []
    at = 0
    while True:
        end = chunked.index(b"\r\n", at)
        size = int(chunked[at:end], 16)
        if not size:
            return b"".join(parts)
        parts.append(chunked[end + 2 : end + 2 + size])
        at = end + 4 + size


async def connect(target: Target) -> Connection:
    """An open connection; raises OSError when nobody listens."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, target.host, target.port)
    return connection


async def wait_until_ready(target: Target, timeout_s: float = 60) -> None:
    """Return as soon as the server answers its administrator."""
    async with asyncio.timeout(timeout_s):
        while True:
            with suppress(OSError, RuntimeError):
                connection = await connect(target)
                try:
                    await connection.ask(target.request("GET", "/_users"))
                    return
                finally:
                    connection.close()
            await asyncio.sleep(0.02)


async def rate(target: Target, requests: Iterator[bytes], clients: int, seconds: float) -> float:
    """Requests answered per second by so many clients, each waiting for its answer before it asks again."""
    connections = [await connect(target) for _ in range(clients)]
    await asyncio.gather(*(connection.ask(next(requests)) for connection in connections))
    answered = 0
    started = time.perf_counter()
    ends = started + seconds

    async def ask_on(connection: Connection) -> None:
        nonlocal answered
        while time.perf_counter() < ends:
            await connection.ask(next(requests))
            answered += 1

    await asyncio.gather(*(ask_on(connection) for connection in connections))
    took = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return answered / took


async def seconds_of(work: Callable[[], Awaitable[object]]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started
