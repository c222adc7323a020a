"""Requests passed on to CouchDB and back: paths, headers, streams, infodocs (10 §7)."""

from __future__ import annotations

import asyncio
import gzip
from io import BytesIO
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp.test_utils import TestClient

from api.handlers.storage import revs_written
from api.pipeline import canonical_path
from core.couch.client import Database
from tests.api.raw import raw
from tests.conftest import eventually

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
GZIP = {"Accept-Encoding": "gzip"}


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/medic/_changes", "/outpost/_changes"),
        ("//medic///_changes//", "/outpost/_changes/"),
        ("/medic", "/outpost"),
        ("/%6Dedic/doc", "/outpost/doc"),
        ("/outpost/a%2Fb//c", "/outpost/a%2Fb/c"),
        ("/medical/doc", "/medical/doc"),
        ("/medic-user-asha-meta/", "/outpost-user-asha-meta/"),
        ("/medic-user-a(46)b-meta/x", "/outpost-user-a(46)b-meta/x"),
        ("/medic-sentinel", "/medic-sentinel"),
        ("/", "/"),
        ("", "/"),
        ("///", "/"),
    ],
)
def test_paths_are_brought_into_one_form(path: str, canonical: str) -> None:  # AUTH-2, AUTH-3
    assert canonical_path(path, "outpost") == canonical


async def test_extra_slashes_change_nothing(client: Client, db: Database) -> None:
    await db.put({"_id": "doc"})

    assert (await (await raw(client, "GET", "//medic///doc")).json())["_id"] == "doc"  # AUTH-2
    assert (await raw(client, "GET", "/api//v1///settings")).status == 200
    refused = await raw(client, "GET", "//medic//_all_docs", headers={"Authorization": "", **JSON})
    assert refused.status == 401


async def test_medic_always_means_the_main_database(client: Client, db: Database) -> None:
    answer = await (await client.get("/medic/")).json()

    assert answer["db_name"] == db.name  # AUTH-3


async def test_the_database_without_slash_redirects(client: Client, db: Database) -> None:
    answer = await client.get("/medic", allow_redirects=False)

    assert (answer.status, answer.headers["Location"]) == (302, f"/{db.name}/")  # PROXY-35


@pytest.mark.parametrize("written_plain", ["", "+:@&="], ids=["all encoded", "as little as possible"])
@pytest.mark.parametrize("doc_id", ["a b", "a+b", "ä/ö", "100%", "a?b#c", "a&b=c", "org:x@y"])
async def test_ids_with_odd_characters_arrive_unchanged(
    client: Client, db: Database, doc_id: str, written_plain: str
) -> None:
    answer = await raw(client, "PUT", f"/medic/{quote(doc_id, safe=written_plain)}", json={"n": 1})

    assert (answer.status, (await answer.json())["id"]) == (201, doc_id)
    assert (await db.get(doc_id))["n"] == 1


async def test_storage_headers_and_errors_are_kept(client: Client, db: Database) -> None:
    rev = await db.put({"_id": "doc"})
    found = await client.get("/medic/doc")
    unchanged = await client.get("/medic/doc", headers={"If-None-Match": f'"{rev}"'})
    missing = await client.get("/medic/missing", headers=JSON)
    conflict = await client.put("/medic/doc", json={}, headers=JSON)

    assert found.headers["ETag"] == f'"{rev}"'  # PROXY-32
    assert found.headers["WWW-Authenticate"] == "Cookie"  # PROXY-30
    assert (unchanged.status, await unchanged.read()) == (304, b"")
    assert (missing.status, await missing.json()) == (404, {"error": "not_found", "reason": "missing"})  # ERR-16
    assert (conflict.status, (await conflict.json())["error"]) == (409, "conflict")


async def test_devices_get_no_cookie_challenge(client: Client, db: Database) -> None:
    answer = await client.get("/medic/", headers={"User-Agent": "Dalvik/2.1 medic.gateway/1"})

    assert "WWW-Authenticate" not in answer.headers  # PROXY-30


async def test_the_method_cannot_be_overridden(client: Client, db: Database, make_user: Any) -> None:
    await db.put({"_id": "doc"})
    reader = await make_user("reader", roles=["data_entry"])
    headers = {**reader, "X-HTTP-Method-Override": "PUT"}
    answer = await client.post("/medic/_all_docs", json={"keys": ["doc"]}, headers=headers)

    assert [row["id"] for row in (await answer.json())["rows"]] == ["doc"]


async def test_large_answers_are_compressed_for_who_takes_it(client: Client, db: Database) -> None:
    await db.put({"_id": "large", "text": "word " * 1000})
    await db.put({"_id": "small"})
    session = {"auto_decompress": False}
    plain = await raw(client, "GET", "/medic/large", headers={"Accept-Encoding": ""}, **session)
    packed = await raw(client, "GET", "/medic/large", headers=GZIP, **session)
    ours = await raw(client, "GET", "/api/v1/settings", headers=GZIP, **session)
    tiny = await raw(client, "GET", "/api/info", headers=GZIP, **session)

    assert "Content-Encoding" not in plain.headers  # AUTH-8
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await packed.read()) == await plain.read()
    assert ours.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in tiny.headers


@pytest.mark.parametrize(
    ("content_type", "compressed"),
    [("text/plain", True), ("application/xml", True), ("font/ttf", True), ("image/png", False)],
)
async def test_attachments_are_compressed_by_their_type(
    client: Client, db: Database, content_type: str, compressed: bool
) -> None:
    rev = await db.put({"_id": "doc"})
    data = b"<x>attachment</x>" * 200
    headers = {"Content-Type": content_type}
    assert (await client.put(f"/medic/doc/file?rev={rev}", data=data, headers=headers)).status == 201
    answer = await raw(client, "GET", "/medic/doc/file", headers=GZIP, auto_decompress=False)
    body = await answer.read()

    assert ("Content-Encoding" in answer.headers) is compressed  # AUTH-8
    assert (gzip.decompress(body) if compressed else body) == data


async def test_large_attachments_stream_both_ways(client: Client, db: Database) -> None:
    rev = await db.put({"_id": "doc"})
    chunk = bytes(range(256)) * 4096

    async def upload() -> Any:
        for _ in range(40):
            yield chunk

    headers = {"Content-Type": "application/octet-stream"}
    stored = await client.put(f"/medic/doc/big?rev={rev}", data=upload(), headers=headers)
    fetched = await client.get("/medic/doc/big")

    assert stored.status == 201  # beyond the 32 MiB of bodies that are read whole
    assert await fetched.read() == chunk * 40


async def test_a_json_body_beyond_the_limit_is_413(client: Client, db: Database) -> None:
    body = orjson.dumps({"docs": [{"text": "x" * 33_600_000}]})
    answer = await client.post(
        "/medic/_bulk_docs", data=BytesIO(body), headers={"Content-Type": "application/json", **JSON}
    )

    assert (answer.status, await answer.json()) == (413, {"code": 413, "error": "Payload Too Large"})  # ERR-9


async def test_a_large_json_body_is_stored(client: Client, db: Database) -> None:
    docs = [{"_id": f"doc{n}", "text": "x" * 1_000_000} for n in range(5)]
    body = BytesIO(orjson.dumps({"docs": docs}))
    answer = await client.post("/medic/_bulk_docs", data=body, headers={"Content-Type": "application/json"})

    assert (answer.status, [row["id"] for row in await answer.json()]) == (201, [doc["_id"] for doc in docs])


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("PUT", "deep", "application/json"),
        ("PUT", "deep", "text/plain"),
        ("POST", "", "application/json"),
        ("POST", "_bulk_docs", "application/json"),
    ],
)
@pytest.mark.parametrize("levels", [251, 2_000])
async def test_what_is_nested_too_deeply_to_be_read_is_refused(
    client: Client, db: Database, method: str, path: str, kind: str, levels: int
) -> None:
    doc = '{"_id":"deep","a":' + '{"a":' * levels + "1" + "}" * levels + "}"
    body = f'{{"docs":[{doc}]}}' if path == "_bulk_docs" else doc
    answer = await client.request(method, f"/medic/{path}", data=body, headers={"Content-Type": kind})

    assert (answer.status, (await answer.json())["error"]) == (400, "bad_request")
    assert await db.find("deep") is None


async def test_a_gzipped_body_is_stored(client: Client, db: Database) -> None:
    body = gzip.compress(orjson.dumps({"n": 7}))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    assert (await client.put("/medic/doc", data=body, headers=headers)).status == 201
    assert (await db.get("doc"))["n"] == 7


async def test_a_feeds_news_and_heartbeats_arrive_at_once(client: Client, db: Database) -> None:
    since = (await db.info())["update_seq"]
    params = {"feed": "continuous", "since": since, "heartbeat": "200"}
    async with client.get("/medic/_changes", params=params, headers=GZIP) as feed:
        beats = await asyncio.wait_for(feed.content.readany(), 30)  # PROXY-33, through the compressor
        await db.put({"_id": "news"})
        while b"news" not in beats:
            beats += await asyncio.wait_for(feed.content.readany(), 30)

    assert beats.startswith(b"\n")
    assert feed.headers["Content-Encoding"] == "gzip"


async def test_writes_are_dated_in_the_infodocs(client: Client, db: Database, sentinel_db: Database) -> None:
    await client.put("/medic/one", json={"n": 1})
    two = await (await client.post("/medic/", json={"_id": "two"})).json()
    docs = [{"_id": "three"}, {"_id": "one"}, {"_id": "two", "_rev": two["rev"], "_deleted": True}]
    await client.post("/medic/_bulk_docs", json={"docs": docs})
    replicated = {"docs": [{"_id": "four", "_rev": "1-a" + "0" * 31}], "new_edits": False}
    await client.post("/medic/_bulk_docs", json=replicated)

    async def infodocs() -> dict[str, Any] | None:
        found = await sentinel_db.get_many([f"{name}-info" for name in ("one", "two", "three", "four")])
        return found if len(found) == 4 else None

    for doc_id, infodoc in (await eventually(infodocs)).items():  # PROXY-15
        assert infodoc["doc_id"] == doc_id.removesuffix("-info")
        assert infodoc["latest_replication_date"] >= infodoc["initial_replication_date"]


@pytest.mark.parametrize(
    ("method", "rest", "body", "answer", "expected"),
    [
        ("PUT", ["d"], b'{"n":1}', b'{"ok":true,"id":"d","rev":"1-a"}', ["d"]),
        ("PUT", ["d"], b'{"_deleted":true}', b'{"ok":true,"id":"d","rev":"2-a"}', []),
        ("PUT", ["d", "file"], None, b'{"ok":true,"id":"d","rev":"2-a"}', ["d"]),
        ("DELETE", ["d"], None, b'{"ok":true,"id":"d","rev":"2-a"}', []),
        ("DELETE", ["d", "file"], None, b'{"ok":true,"id":"d","rev":"2-a"}', ["d"]),
        ("PUT", ["_design", "x"], b"{}", b'{"ok":true,"id":"_design/x","rev":"1-a"}', []),
        ("POST", ["_index"], b"{}", b'{"result":"created","id":"_design/i","name":"i"}', ["_design/i"]),
        ("POST", ["_compact"], b"{}", b'{"ok":true}', []),
        ("POST", ["_bulk_docs"], b'{"docs":[{"_id":"d"}]}', b'[{"id":"d","error":"conflict"}]', []),
        ("POST", ["_bulk_docs"], b'{"docs":[{"_id":"d"},{"_id":"e","_deleted":true}]}',
         b'[{"ok":true,"id":"d"},{"ok":true,"id":"e"}]', ["d"]),
        ("PUT", ["d"], b"{}", b"not json", []),
    ],
)  # fmt: skip
def test_which_documents_a_request_wrote(  # PROXY-15
    method: str, rest: list[str], body: bytes | None, answer: bytes, expected: list[str]
) -> None:
    assert list(revs_written(method, rest, body, answer)) == expected
