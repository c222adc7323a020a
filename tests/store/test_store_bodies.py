"""Bodies that come slowly, packed, or cut short."""

from __future__ import annotations

import asyncio
import base64
import gzip
import logging
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientError, ClientSession
from aiohttp.test_utils import TestServer

from store.server import RUNNER_OPTIONS, StoreConfig, create_app, serve
from tests.conftest import eventually
from tests.store.store_client import ADMIN, Client
from tests.store.test_store_durability import free_port

JSON = {"Content-Type": "application/json"}
PACKED = gzip.compress(orjson.dumps({"text": "x" * 500}))
LOGIN = "Authorization: Basic " + base64.b64encode(":".join(ADMIN).encode()).decode()


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[TestServer]:
    """A store that waits a second only for 16 KiB."""
    config = StoreConfig(data=tmp_path / "data", admins=dict([ADMIN]), pbkdf2_iterations=10, body_window_s=1.0)
    server = TestServer(create_app(config))
    await server.start_server(**RUNNER_OPTIONS)
    yield server
    await server.close()


async def begin(server: TestServer, *lines: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    assert server.port is not None
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write("\r\n".join([f"{lines[0]} HTTP/1.1", "Host: s", LOGIN, *lines[1:], "", ""]).encode())
    return reader, writer


@pytest.mark.parametrize(
    "lines",
    [
        ("PUT /_users/x", "Content-Type: application/json", "Content-Length: 100000"),
        ("PUT /_users/x", "Content-Type: application/json", "Transfer-Encoding: chunked"),
        ("PUT /_users/x/attachment", "Content-Length: 100000"),
        ("PUT /_users/x", "Content-Type: multipart/related; boundary=b", "Content-Length: 100000"),
        ("POST /_session", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 1000"),
    ],
    ids=["json", "chunked", "attachment", "multipart", "form"],
)
async def test_body_that_stops_coming_is_408(impatient: TestServer, lines: tuple[str, ...]) -> None:
    reader, writer = await begin(impatient, *lines)

    head = await reader.readuntil(b"\r\n\r\n")
    told = await reader.readuntil(b"}")

    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nconnection: close\r\n" in head.lower()
    body = orjson.loads(told)
    assert (body["error"], body["reason"].startswith("less than 16384 bytes")) == ("request_timeout", True)
    writer.close()


async def test_body_that_dribbles_is_408(impatient: TestServer) -> None:
    reader, writer = await begin(impatient, "PUT /_users/x", "Content-Type: application/json", "Content-Length: 100000")
    answered = asyncio.create_task(reader.readline())
    async with asyncio.timeout(30):
        while not answered.done():
            writer.write(b" ")
            await asyncio.wait((answered,), timeout=0.02)

    assert answered.result().startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_long_body_at_a_fair_pace_is_read(impatient: TestServer) -> None:
    piece = b" " * 20_000
    length = 30 * len(piece) + 2
    reader, writer = await begin(
        impatient, "PUT /_replicator/_local/x", "Content-Type: application/json", f"Content-Length: {length}"
    )
    answered = asyncio.create_task(reader.readline())
    for _ in range(30):  # takes longer than the store waits for one piece
        writer.write(piece)
        await asyncio.wait((answered,), timeout=0.04)
    writer.write(b"{}")

    assert (await answered).startswith(b"HTTP/1.1 201 ")
    writer.close()


@pytest.mark.parametrize("cut", [1, 4, 8, 9, 12, len(PACKED) - 1, len(PACKED)])
async def test_gzip_that_is_cut_short_is_400(store: Client, db: str, cut: int) -> None:
    answer = await store.put(f"{db}/d", data=PACKED[:-cut], headers={**JSON, "Content-Encoding": "gzip"})

    assert (answer.status, answer.body["reason"]) == (400, "Request body is not properly gzipped.")
    assert (await store.get(f"{db}/d")).status == 404


async def test_client_that_hangs_up_in_its_body_is_no_error_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, stop = free_port(), asyncio.Event()  # `serve`, for a TestServer cancels what nobody waits for
    serving = asyncio.create_task(serve(StoreConfig(data=tmp_path, port=port, admins=dict([ADMIN])), stop))
    async with ClientSession() as session:
        store = Client(session, f"http://127.0.0.1:{port}")

        async def answers() -> bool:
            try:
                return (await store.get("/_up")).status == 200
            except ClientError:
                return False

        await eventually(answers)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = ["PUT /_users/d/a HTTP/1.1", "Host: s", LOGIN, "Content-Length: 100000", "Expect: 100-continue"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        await reader.readuntil(b"100 Continue\r\n\r\n")  # it is being read
        writer.close()

        async def is_noticed() -> bool:
            statuses = (await store.get("/_node/_local/_stats/couchdb/httpd_status_codes")).body
            return not {"400", "500"}.isdisjoint(statuses)

        await eventually(is_noticed)
    stop.set()
    await serving
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("body", [PACKED + b"more", PACKED[:-8] + b"x" * 8], ids=["more behind", "wrong sum"])
async def test_gzip_that_is_wrong_is_400(store: Client, db: str, body: bytes) -> None:
    answer = await store.put(f"{db}/d", data=body, headers={**JSON, "Content-Encoding": "gzip"})

    assert (answer.status, answer.body["reason"]) == (400, "Request body is not properly gzipped.")


async def test_gzipped_attachment_is_cut_short_or_whole(store: Client, db: str) -> None:
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    cut = await store.put(f"{db}/d/a", data=PACKED[:-4], headers=headers)
    whole = await store.put(f"{db}/d/a", data=PACKED, headers=headers)

    assert (cut.status, whole.status) == (400, 201)
    assert (await store.get(f"{db}/d/a")).raw == gzip.decompress(PACKED)


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_other_encodings_are_415(store: Client, db: str, encoding: str) -> None:
    body = zlib.compress(b"{}")
    answer = await store.put(f"{db}/d", data=body, headers={**JSON, "Content-Encoding": encoding})

    assert (answer.status, answer.body["error"]) == (415, "bad_content_type")
    assert answer.body["reason"] == f"{encoding} is not a supported content encoding."


async def test_identity_is_no_encoding(store: Client, db: str) -> None:
    assert (await store.put(f"{db}/d", data=b"{}", headers={**JSON, "Content-Encoding": "identity"})).status == 201
