"""Attachments: inline, by their own address, in multipart bodies; and two stores that replicate."""

from __future__ import annotations

import base64
import gzip
import hashlib
from email import message_from_bytes
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.store.store_client import Client

TEXT = b"hello attachment"
DIGEST = "md5-" + base64.b64encode(hashlib.md5(TEXT).digest()).decode()


def inline(data: bytes, content_type: str = "text/plain") -> dict[str, str]:
    return {"content_type": content_type, "data": base64.b64encode(data).decode()}


async def test_inline_attachment_comes_back_as_stub_and_as_data(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {"_attachments": {"f.txt": inline(TEXT)}})

    plain = (await store.get(f"{db}/a")).body["_attachments"]["f.txt"]
    full = (await store.get(f"{db}/a", attachments=True)).body["_attachments"]["f.txt"]

    assert plain == {"content_type": "text/plain", "revpos": 1, "digest": DIGEST, "length": len(TEXT), "stub": True}
    assert base64.b64decode(full["data"]) == TEXT
    assert "stub" not in full


async def test_attachment_has_an_address_of_its_own(store: Client, db: str) -> None:
    made = await store.put(f"{db}/a/dir/f.txt", data=TEXT, headers={"Content-Type": "text/plain"})
    path = f"{db}/a/dir/f.txt"

    found = await store.get(path)

    assert (made.status, found.status, found.raw) == (201, 200, TEXT)
    assert found.headers["Content-Type"] == "text/plain"
    assert found.headers["Content-Security-Policy"] == "sandbox"
    assert found.headers["ETag"] == f'"{DIGEST[4:]}"'
    head = await store.ask("HEAD", path)
    assert (head.raw, head.headers["Content-Length"]) == (b"", str(len(TEXT)))
    etag = head.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"another", {etag}'):
        assert (await store.get(path, headers={"If-None-Match": known})).status == 304
    gone = await store.delete(path, rev=made.body["rev"])
    assert gone.status == 200
    assert (await store.get(path)).status == 404


@pytest.mark.parametrize(
    ("header", "status", "expected"),
    [
        ("bytes=0-4", 206, b"hello"),
        ("bytes=6-", 206, b"attachment"),
        ("bytes=-4", 206, b"ment"),
        ("bytes=10-900", 206, TEXT[10:]),
        (
            "bytes=900-",
            416,
            b'{"error":"requested_range_not_satisfiable","reason":"Requested range not satisfiable"}\n',
        ),
        (
            "bytes=5-2",
            416,
            b'{"error":"requested_range_not_satisfiable","reason":"Requested range not satisfiable"}\n',
        ),
        ("bytes=x", 200, TEXT),
    ],
)
async def test_range_of_an_attachment(store: Client, db: str, header: str, status: int, expected: bytes) -> None:
    await store.put(f"{db}/a/f", data=TEXT)

    found = await store.get(f"{db}/a/f", headers={"Range": header})

    assert (found.status, found.raw) == (status, expected)


async def test_stub_keeps_an_attachment_through_an_edit(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/a", {"_attachments": {"f": inline(TEXT), "g": inline(b"g")}})).body["rev"]

    await store.put(f"{db}/a", {"_rev": rev, "n": 1, "_attachments": {"f": {"stub": True}}})

    doc = (await store.get(f"{db}/a", attachments=True)).body
    assert list(doc["_attachments"]) == ["f"]
    assert base64.b64decode(doc["_attachments"]["f"]["data"]) == TEXT
    assert doc["_attachments"]["f"]["revpos"] == 1


async def test_attachment_over_the_limit_is_refused(store: Client, db: str) -> None:
    assert (await store.put(f"{db}/a/f", data=b"x" * 1_000_001)).status == 413
    assert (await store.get(f"{db}/a")).status == 404


async def test_attachment_needs_the_current_revision(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {})

    assert (await store.put(f"{db}/a/f", data=TEXT)).status == 409
    assert (await store.put(f"{db}/a/f", data=TEXT, rev="3-x")).status == 409
    assert (await store.delete(f"{db}/none/f", rev="1-x")).status == 409


async def test_same_content_is_stored_once(store: Client, db: str) -> None:
    data = bytes(range(256)) * 2000
    await store.put(f"{db}/a/f", data=data)
    before = (await store.get(db)).body["sizes"]["file"]

    await store.put(f"{db}/b/g", data=data)

    assert (await store.get(db)).body["sizes"]["file"] - before < len(data) / 2
    assert (await store.get(f"{db}/b/g")).raw == data


def related(doc: dict[str, Any], *contents: bytes) -> tuple[bytes, dict[str, str]]:
    parts = [b"--edge\r\nContent-Type: application/json\r\n\r\n" + orjson.dumps(doc)]
    parts += [b"\r\n--edge\r\n\r\n" + content for content in contents]
    return b"".join(parts) + b"\r\n--edge--", {"Content-Type": 'multipart/related; boundary="edge"'}


async def test_multipart_related_brings_attachments_in_order(store: Client, db: str) -> None:
    follows = {"follows": True, "content_type": "text/plain", "length": 5}
    body, headers = related({"n": 1, "_attachments": {"a": follows, "b": follows}}, b"first", b"2nd\r\n")

    written = await store.put(f"{db}/a", data=body, headers=headers)

    assert written.status == 201
    assert (await store.get(f"{db}/a/a")).raw == b"first"
    assert (await store.get(f"{db}/a/b")).raw == b"2nd\r\n"


async def test_gzipped_follower_of_a_couchdb_is_unpacked(store: Client, db: str) -> None:
    packed = gzip.compress(TEXT)
    follows = {"follows": True, "content_type": "text/plain", "encoding": "gzip", "encoded_length": len(packed)}
    body, headers = related({"_rev": "1-x", "_attachments": {"f": {**follows, "length": len(TEXT)}}}, packed)

    written = await store.put(f"{db}/a", data=body, headers=headers, new_edits=False)

    assert written.status == 201
    assert (await store.get(f"{db}/a/f")).raw == TEXT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--edge",
        b"--edge--",
        b"--edge\r\n\r\n{}",
        b"--other\r\n\r\n{}\r\n--other--",
        b"--edge\r\n\r\n[]\r\n--edge--",
    ],
)
async def test_broken_multipart_is_refused(store: Client, db: str, body: bytes) -> None:
    headers = {"Content-Type": 'multipart/related; boundary="edge"'}

    assert (await store.put(f"{db}/a", data=body, headers=headers)).status == 400


async def test_missing_follower_is_refused(store: Client, db: str) -> None:
    body, headers = related({"_attachments": {"a": {"follows": True}, "b": {"follows": True}}}, b"one")

    assert (await store.put(f"{db}/a", data=body, headers=headers)).status == 400


@pytest.mark.parametrize("sent", [b"on", b"ones"])
async def test_follower_of_another_length_is_refused(store: Client, db: str, sent: bytes) -> None:
    body, headers = related({"_attachments": {"a": {"follows": True, "length": 3}}}, sent)

    assert (await store.put(f"{db}/a", data=body, headers=headers)).status == 400
    assert (await store.get(f"{db}/a")).status == 404


async def test_inline_data_may_be_broken_into_lines(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {"_attachments": {"f": {"data": "aGVs\r\nbG8=\r\n"}}})

    assert (await store.get(f"{db}/a/f")).raw == b"hello"


@pytest.mark.parametrize("accept", ["multipart/related", "*/*"])
async def test_document_is_sent_as_multipart_when_it_may_be(store: Client, db: str, accept: str) -> None:
    await store.put(f"{db}/a/f", data=TEXT, headers={"Content-Type": "text/plain"})

    found = await store.get(f"{db}/a", attachments=True, headers={"Accept": accept})

    assert found.headers["Content-Type"].startswith("multipart/related; boundary=")
    assert b'"follows":true' in found.raw
    assert TEXT in found.raw


async def test_open_revs_are_sent_as_multipart_mixed_when_asked(store: Client, db: str) -> None:
    await store.put(f"{db}/a/f", data=TEXT)

    found = await store.get(
        f"{db}/a", open_revs="all", attachments=True, revs=True, headers={"Accept": "multipart/mixed"}
    )

    assert found.headers["Content-Type"].startswith("multipart/mixed; boundary=")
    assert TEXT in found.raw


async def test_bulk_get_is_multipart_for_those_who_take_nothing_else(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/a/f", data=TEXT)).body["rev"]
    await store.put(f"{db}/b", {"plain": True})
    asked = {"docs": [{"id": "a"}, {"id": "b"}, {"id": "nope"}]}

    found = await store.post(f"{db}/_bulk_get", asked, headers={"Accept": "multipart/mixed"})

    head = b"Content-Type: " + found.headers["Content-Type"].encode() + b"\r\n\r\n"
    parts: list[Any] = message_from_bytes(head + found.raw).get_payload()
    assert (parts[0]["X-Doc-Id"], parts[0]["X-Rev-Id"]) == ("a", rev)
    assert parts[0].get_payload()[1].get_payload(decode=True) == TEXT
    assert orjson.loads(parts[1].get_payload())["plain"] is True
    assert orjson.loads(parts[2].get_payload())["reason"] == "missing"


async def test_atts_since_sends_only_what_is_new(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {"_attachments": {"old": inline(b"old")}})).body["rev"]
    await store.put(f"{db}/a/new", data=b"new", rev=first)

    doc = (await store.get(f"{db}/a", atts_since=[first], revs=True)).body

    assert doc["_attachments"]["old"]["stub"] is True
    assert base64.b64decode(doc["_attachments"]["new"]["data"]) == b"new"


async def replicate(store: Client, source: str, target: str) -> None:
    """CouchDB's protocol in small: changes, what is missing, fetch, write as it is."""
    changes = (await store.get(f"{source}/_changes", style="all_docs")).body["results"]
    asked = {change["id"]: [leaf["rev"] for leaf in change["changes"]] for change in changes}
    missing = (await store.post(f"{target}/_revs_diff", asked)).body
    wanted = [{"id": doc_id, "rev": rev} for doc_id, found in missing.items() for rev in found["missing"]]
    got = await store.post(f"{source}/_bulk_get", {"docs": wanted}, revs=True, attachments=True)
    docs = [doc["ok"] for result in got.body["results"] for doc in result["docs"]]
    written = await store.post(f"{target}/_bulk_docs", {"docs": docs, "new_edits": False})
    assert written.body == []


async def state(store: Client, db: str) -> dict[str, Any]:
    """Every document's leaves, winner first, with their content."""
    found = {}
    for change in (await store.get(f"{db}/_changes")).body["results"]:
        leaves = await store.get(f"{db}/{change['id']}", open_revs="all", revs=True, attachments=True)
        found[change["id"]] = [leaf["ok"] for leaf in leaves.body]
    return found


EDIT = st.tuples(st.sampled_from("ab"), st.sampled_from(["put", "delete", "attach", "sync"]), st.integers(0, 2))


@given(st.lists(EDIT, min_size=1, max_size=14))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_two_databases_that_exchanged_everything_are_equal(
    store: Client, edits: list[tuple[str, str, int]]
) -> None:
    for db in ("/a", "/b"):
        await store.delete(db)
        assert (await store.put(db)).status == 201
    for number, (db, what, doc) in enumerate(edits):
        path = f"/{db}/d{doc}"
        now = await store.get(path)
        rev = {"rev": now.body["_rev"]} if now.status == 200 else {}
        if what == "put":
            await store.put(path, {"n": number}, **rev)
        elif what == "delete" and rev:
            await store.delete(path, **rev)
        elif what == "attach":
            await store.put(f"{path}/f", data=b"%d" % number, **rev)
        elif what == "sync":
            await replicate(store, "/a", "/b")

    await replicate(store, "/a", "/b")
    await replicate(store, "/b", "/a")

    assert await state(store, "/a") == await state(store, "/b")
