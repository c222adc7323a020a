"""Lean exchanges with CouchDB keep their connections, and notice those that were closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientError
from multidict import CIMultiDict

from core.couch.connections import Connections, Exchange
from core.errors import Unavailable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server:
    """Answers each request by the next of `answers`, None closes the connection; counts connections."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass  # the client has gone
        finally:
            writer.close()


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Connections]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    connections = Connections(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    try:
        yield connections
    finally:
        await connections.close()
        listening.close()


async def ask(connections: Connections, method: str = "GET", body: bytes = b"") -> tuple[Exchange, bytes]:
    exchange = await connections.ask(method, "/db?x=1", CIMultiDict(), body)
    try:
        return exchange, await exchange.read()
    finally:
        exchange.close()


async def test_one_connection_serves_one_request_after_the_other() -> None:
    server = Server(OK, OK, OK, b"")
    async with connected(server) as connections:
        assert [(await ask(connections))[1] for _ in range(3)] == [b"{}"] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /db?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b""),
    ],
)
async def test_every_framing_of_a_body_leaves_the_connection_usable(answer: bytes, body: bytes) -> None:
    server = Server(answer, OK, b"")
    async with connected(server) as connections:
        assert (await ask(connections))[1] == body
        assert (await ask(connections))[1] == b"{}"
    assert server.connections == 1


async def test_the_head_of_an_answer_has_no_body() -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", OK, b"")
    async with connected(server) as connections:
        exchange, body = await ask(connections, "HEAD")
        assert (exchange.headers["Content-Length"], body) == ("100", b"")
        assert (await ask(connections))[1] == b"{}"
    assert server.connections == 1


async def test_a_body_that_ends_with_its_connection_is_read_whole() -> None:
    server = Server(b"HTTP/1.1 200 OK\r\n\r\nabc")
    async with connected(server) as connections:
        assert (await ask(connections))[1] == b"abc"


async def test_a_read_is_sent_again_when_the_kept_connection_was_closed() -> None:
    server = Server(OK, None, OK, b"")
    async with connected(server) as connections:
        await ask(connections)
        assert (await ask(connections))[1] == b"{}"
    assert server.connections == 2


async def test_a_read_is_sent_again_once_however_many_connections_were_kept() -> None:
    server = Server(OK, OK, None, None, b"")
    async with connected(server) as connections:
        await asyncio.gather(ask(connections), ask(connections))
        with pytest.raises(ClientError):
            await ask(connections)
    assert len(server.requests) == 4


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_write_is_sent_once(method: str) -> None:
    server = Server(OK, None, OK)
    async with connected(server) as connections:
        await ask(connections)
        with pytest.raises(ClientError):
            await ask(connections, method)
    assert len(server.requests) == 2


async def test_an_exchange_that_is_closed_twice_gives_its_connection_back_once() -> None:
    server = Server(OK, OK, OK, b"")
    async with connected(server) as connections:
        exchange, _ = await ask(connections)
        exchange.close()
        await asyncio.gather(ask(connections), ask(connections))
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"nonsense\r\n\r\n", None], ids=str
)
async def test_a_broken_answer_is_an_error(answer: bytes | None) -> None:
    async with connected(Server(answer)) as connections:
        with pytest.raises(ClientError):
            await ask(connections)


async def test_closing_wakes_whoever_still_reads() -> None:
    async with connected(Server(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"")) as connections:
        exchange = await connections.ask("GET", "/", CIMultiDict())
        reading = asyncio.create_task(exchange.read())
        await asyncio.sleep(0)
        exchange.close()
        with pytest.raises(ClientError):
            await reading


async def test_nobody_listening_is_unavailable(unused_tcp_port_factory: Callable[[], Any]) -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        await ask(Connections(f"http://127.0.0.1:{unused_tcp_port_factory()}"))


async def test_a_line_break_in_a_header_is_refused() -> None:
    async with connected(Server(OK)) as connections:
        with pytest.raises(ValueError, match="header"):
            await connections.ask("GET", "/", CIMultiDict({"X-Medic-User": "a\r\nb"}))
