"""Attachments too long for the memory: in and out in pieces."""

from __future__ import annotations

import base64
import gzip
import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from store.multipart import End, Headers, Splitter
from store.server import RUNNER_OPTIONS, StoreConfig, create_app
from tests.store.store_client import ADMIN, Client, basic

LONG = bytes(range(256)) * 12_000  # three pieces
DIGEST = "md5-" + base64.b64encode(hashlib.md5(LONG).digest()).decode()
LIMIT = 40_000_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Client]:
    """A store that takes long attachments."""
    config = StoreConfig(data=tmp_path / "data", admins=dict([ADMIN]), max_attachment_bytes=LIMIT)
    server = TestServer(create_app(config))
    await server.start_server(**RUNNER_OPTIONS)
    async with ClientSession() as session:
        yield Client(session, str(server.make_url("/")).rstrip("/"))
    await server.close()


def related(doc: dict[str, Any], *contents: bytes) -> dict[str, Any]:
    parts = [b"--edge\r\nContent-Type: application/json\r\n\r\n" + orjson.dumps(doc)]
    parts += [b"\r\n--edge\r\n\r\n" + content for content in contents]
    headers = {"Content-Type": 'multipart/related; boundary="edge"'}
    return {"data": b"".join(parts) + b"\r\n--edge--", "headers": headers}


async def test_long_attachment_comes_back_as_it_went(store: Client, db: str, tmp_path: Path) -> None:
    made = await store.put(f"{db}/a/f", data=LONG, headers={"Content-Type": "text/plain"})

    found = await store.get(f"{db}/a/f")

    assert (made.status, found.status) == (201, 200)
    assert found.raw == LONG
    assert found.headers["Content-Length"] == str(len(LONG))
    assert (await store.get(f"{db}/a")).body["_attachments"]["f"]["digest"] == DIGEST
    assert not [path.name for path in (tmp_path / "data").iterdir() if path.name.startswith("tmp")]


@pytest.mark.parametrize(("first", "last"), [(0, 10), (1_048_570, 1_048_580), (5, 2_500_000), (3_000_000, 9_999_999)])
async def test_range_of_a_long_attachment(store: Client, db: str, first: int, last: int) -> None:
    await store.put(f"{db}/a/f", data=LONG)

    found = await store.get(f"{db}/a/f", headers={"Range": f"bytes={first}-{last}"})

    assert (found.status, found.raw) == (206, LONG[first : last + 1])
    assert found.headers["Content-Range"] == f"bytes {first}-{min(last, len(LONG) - 1)}/{len(LONG)}"


async def test_long_attachment_follows_a_document_both_ways(store: Client, db: str) -> None:
    follows = {"follows": True, "content_type": "text/plain", "length": len(LONG)}
    sent = related({"_attachments": {"a": follows, "b": {**follows, "length": 2}}}, LONG, b"bb")
    assert (await store.put(f"{db}/a", **sent)).status == 201

    for accept, params in (("multipart/related", {"attachments": True}), ("multipart/mixed", {"open_revs": "all"})):
        found = await store.get(f"{db}/a", headers={"Accept": accept}, **params)
        head = b"Content-Type: " + found.headers["Content-Type"].encode() + b"\r\n\r\n"
        parts: list[Any] = message_from_bytes(head + found.raw).get_payload()
        inner = parts if accept == "multipart/related" else parts[0].get_payload()
        assert [part.get_payload(decode=True) for part in inner[1:]] == [LONG, b"bb"]
        assert found.headers["Content-Length"] == str(len(found.raw))


async def test_compressed_long_attachment_is_unpacked(store: Client, db: str) -> None:
    packed = gzip.compress(LONG)
    described = {"follows": True, "encoding": "gzip", "encoded_length": len(packed), "length": len(LONG)}

    await store.put(f"{db}/a", **related({"_attachments": {"f": described}}, packed))

    assert (await store.get(f"{db}/a/f")).raw == LONG
    shown = (await store.get(f"{db}/a", att_encoding_info=True)).body["_attachments"]["f"]
    assert (shown["digest"], shown["length"]) == (DIGEST, len(LONG))
    assert "encoding" not in shown  # what is stored is not compressed, and is not said to be


async def test_compressed_attachment_over_the_limit_is_refused(store: Client, db: str) -> None:
    bomb = gzip.compress(bytes(LIMIT + 1))
    described = {"follows": True, "encoding": "gzip", "encoded_length": len(bomb)}

    assert (await store.put(f"{db}/a", **related({"_attachments": {"f": described}}, bomb))).status == 413
    assert (await store.get(f"{db}/a")).status == 404


@pytest.mark.parametrize("cut", [1, 100, 1_500_000])
async def test_compressed_attachment_that_is_cut_is_refused(store: Client, db: str, cut: int) -> None:
    packed = gzip.compress(LONG, 0)[:-cut]
    described = {"follows": True, "encoding": "gzip", "encoded_length": len(packed)}

    answer = await store.put(f"{db}/a", **related({"_attachments": {"f": described}}, packed))

    assert (answer.status, answer.body["error"]) == (400, "bad_request")


async def test_memory_stays_small_while_a_long_attachment_passes(store: Client, db: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(500):
            yield bytes([number % 256]) * 60_000

    headers = {**basic(*ADMIN), "Content-Type": "x/y"}
    tracemalloc.start()
    try:
        async with store.session.put(f"{store.url}{db}/a/f", data=pieces(), headers=headers) as answer:
            assert answer.status == 201
        size = 0
        async with store.session.get(f"{store.url}{db}/a/f", headers=headers) as answer:
            async for chunk in answer.content.iter_chunked(65536):
                size += len(chunk)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert size == 30_000_000
    assert most < 15_000_000


async def test_copy_takes_attachments_along_without_sending_them(store: Client, db: str) -> None:
    made = await store.put(f"{db}/a/f", data=LONG, headers={"Content-Type": "text/plain"})
    before = (await store.get(db)).body["sizes"]["file"]

    copied = await store.ask("COPY", f"{db}/a", headers={"Destination": "b"})
    again = await store.ask("COPY", f"{db}/a", headers={"Destination": f"b?rev={copied.body['rev']}"})

    assert (copied.status, again.status) == (201, 201)
    assert (await store.get(f"{db}/b/f")).raw == LONG
    assert (await store.get(f"{db}/b")).body["_attachments"]["f"]["content_type"] == "text/plain"
    assert (await store.get(db)).body["sizes"]["file"] - before < len(LONG)
    old = await store.ask("COPY", f"{db}/a", headers={"Destination": "c"}, rev=made.body["rev"])
    assert old.status == 201


async def test_bulk_get_leaves_out_what_the_client_has(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a/old", data=b"old")).body["rev"]
    await store.put(f"{db}/a/new", data=b"new", rev=first)

    found = await store.post(f"{db}/_bulk_get", {"docs": [{"id": "a", "atts_since": [first]}, {"id": "a"}]})

    since, plain = (result["docs"][0]["ok"]["_attachments"] for result in found.body["results"])
    assert (since["old"].get("stub"), base64.b64decode(since["new"]["data"])) == (True, b"new")
    assert plain["new"]["stub"] is True


@given(st.data())
def test_multipart_is_cut_the_same_however_it_arrives(data: st.DataObject) -> None:
    tricky = st.sampled_from([b"", b"\r\n", b"\n", b"--", b"--edg", b"\r\n--edg", b"x" * 50, b"\r", b"\n\n"])
    contents = data.draw(st.lists(st.lists(tricky, max_size=6).map(b"".join), max_size=4))
    body = (
        b"preamble\r\n"
        + b"".join(b"--edge\r\nA: b\r\n\r\n" + content + b"\r\n" for content in contents)
        + b"--edge--\r\n"
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    splitter = Splitter("edge")
    found: list[bytes] = []

    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        for event in splitter.feed(body[start:end]):
            if isinstance(event, Headers):
                assert event == {"a": "b"}
                found.append(b"")
            elif not isinstance(event, End):
                found[-1] += event

    assert splitter.ended
    assert found == contents
