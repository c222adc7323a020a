"""One request as the handlers see it: who calls, what was asked, and how answers are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

import orjson
from aiohttp import web

from store.content import Piece, chunks, size_bytes
from store.database import Database
from store.documents import load_json, load_object
from store.errors import QueryParseError, UnsupportedMediaType
from store.http.body import read_chunks, read_whole
from store.permissions import User
from store.service import Store

T = TypeVar("T")
JSON = "application/json"
_TRUE, _FALSE = "true", "false"
_SENT_WHOLE_BYTES = 64 * 1024


class Call:
    """A request with its caller. `rest` are the decoded path segments after what the route named."""

    __slots__ = ("more_headers", "query", "request", "rest", "started", "store", "user")

    def __init__(self, request: web.Request, store: Store, user: User) -> None:
        self.request = request
        self.store = store
        self.user = user
        self.query: Mapping[str, str] = request.query
        self.rest: Sequence[str] = ()
        self.more_headers: Mapping[str, str] = {}  # that go with every answer to this caller
        self.started: web.StreamResponse | None = None  # the answer whose status is sent already

    @property
    def method(self) -> str:
        return self.request.method

    # -- query

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean parameter; raises QueryParseError unless it is `true` or `false`."""
        value = self.query.get(name)
        if value is None:
            return default
        lowered = value.lower()
        if lowered not in (_TRUE, _FALSE):
            raise QueryParseError(f'Invalid value for boolean parameter: "{value}"')
        return lowered == _TRUE

    def count(self, name: str, default: int) -> int:
        """A parameter that is zero or more; raises QueryParseError otherwise."""
        value = self.query.get(name)
        return default if value is None else parse_count(name, value)

    def json_param(self, name: str) -> Any:
        """A parameter written as JSON; raises BadRequest when it is not."""
        return load_json(self.query[name].encode("utf-8", "surrogatepass"))

    # -- body

    async def body(self, limit_bytes: int | None = None) -> bytes:
        """The whole body, unpacked; raises TooLarge beyond the limit, RequestTimeout when it comes too slowly."""
        config = self.store.config
        limit = config.max_body_bytes if limit_bytes is None else limit_bytes
        return await read_whole(self.request, limit, config.body_window_s)

    def chunks(self, limit_bytes: int) -> AsyncIterator[bytes]:
        """The body as it arrives, unpacked; raises TooLarge beyond the limit, RequestTimeout."""
        return read_chunks(self.request, limit_bytes, self.store.config.body_window_s)

    async def json_body(self) -> dict[str, Any]:
        """The body as a JSON object sent as JSON; raises UnsupportedMediaType or BadRequest."""
        self.require_json()
        return load_object(await self.body())

    def require_json(self) -> None:
        if self.request.content_type != JSON:
            raise UnsupportedMediaType("Content-Type must be application/json")

    def destination(self, header: str) -> tuple[str, str | None]:
        """The document id and revision of a `Destination` header; raises UnicodeDecodeError."""
        path, _, query = header.partition("?")
        rev = dict(parse_qsl(query)).get("rev")
        return unquote(path, errors="strict"), rev

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run longer work off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.store.executor, work)

    # -- answer

    def url(self, *segments: str) -> str:
        """The absolute address of a path on this server."""
        path = "/".join(segments)
        return f"{self.request.scheme}://{self.request.host}/{path}"

    async def stream(
        self,
        chunks: AsyncIterable[bytes],
        *,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
        status: int = 200,
        held: bool = False,
    ) -> web.StreamResponse:
        """Send an answer piece by piece, at the pace the client takes it; what fails before the status goes is raised.

        A short answer is sent whole, in one write. Pieces of a `held` one, a feed, go out as they come.
        """
        sent = {**STANDARD_HEADERS, "Content-Type": content_type, **(headers or {}), **self.more_headers}
        pieces = aiter(chunks)
        begun: list[bytes] = []
        size = 0
        async for piece in pieces:
            begun.append(piece)
            size += len(piece)
            if held or size > _SENT_WHOLE_BYTES:
                break
        else:
            return web.Response(status=status, headers=sent, body=b"".join(begun))
        response = web.StreamResponse(status=status, headers=sent)
        try:
            await response.prepare(self.request)
            self.started = response
            if self.method != "HEAD":
                if size:
                    await response.write(b"".join(begun))
                async for piece in pieces:
                    await response.write(piece)
        except ConnectionError:  # the client went away: nobody is left to tell
            response.force_close()
        return response

    async def send(
        self, database: Database, pieces: Sequence[Piece], headers: Mapping[str, str], status: int = 200
    ) -> web.StreamResponse:
        """Send bytes and spans of stored content, the latter read as the client takes them."""
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            return web.Response(body=pieces[0], status=status, headers={**STANDARD_HEADERS, **headers})
        length = {"Content-Length": str(size_bytes(pieces))}
        return await self.stream(chunks(database, pieces), headers={**headers, **length}, status=status)


STANDARD_HEADERS: Mapping[str, str] = {"Cache-Control": "must-revalidate", "Server": "CouchDB (Outpost embedded store)"}


def parse_count(name: str, value: object) -> int:
    """A number that is zero or more, from a query or a body; raises QueryParseError otherwise."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise QueryParseError(f"Invalid value for {name}: {orjson.dumps(value).decode()}; expected a number from 0 up")


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer; bytes are taken to be JSON already."""
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return web.Response(
        body=body if body.endswith(b"\n") else body + b"\n",
        status=status,
        headers={**STANDARD_HEADERS, "Content-Type": JSON, **headers} if headers else _PLAIN_HEADERS,
    )


_PLAIN_HEADERS = {**STANDARD_HEADERS, "Content-Type": JSON}
