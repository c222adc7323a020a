"""Whatever is sent to the store is answered in CouchDB's shape, never by a 500, and the next good request is too."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.server import RUNNER_OPTIONS, StoreConfig, create_app
from tests.store.store_client import ADMIN, basic

EXAMPLES = 120  # requests of each of the generated kinds
ANSWERED_WITHIN_S = 20
WAITED_FOR_THE_REST_S = 0.3
LOGIN = "Authorization: " + basic(*ADMIN)["Authorization"]
DEEP = 10_000

ENDPOINTS = (
    "PUT /db/doc", "POST /db", "POST /db/_bulk_docs", "POST /db/_bulk_get", "POST /db/_revs_diff",
    "POST /db/_missing_revs", "POST /db/_all_docs", "POST /db/_all_docs/queries",
    "POST /db/_changes?filter=_doc_ids", "POST /db/_changes?filter=_selector", "POST /db/_find",
    "POST /db/_explain", "POST /db/_index", "POST /db/_index/_bulk_delete", "POST /db/_design/d/_view/v",
    "POST /db/_design/d/_view/v/queries", "PUT /db/_security", "PUT /db/_revs_limit", "POST /db/_purge",
    "PUT /db/_local/here", "PUT /db/_design/other", "POST /_dbs_info", "POST /_session", "POST /_replicate",
    "PUT /_users/org.couchdb.user:x", "PUT /_replicator/r", "POST /db/_design_docs", "POST /db/_local_docs",
    "PUT /_node/_local/_config/log/level", "POST /_cluster_setup",
)  # fmt: skip
READABLE = [
    "/db/doc0",
    "/db/_all_docs",
    "/db/_changes",
    "/db/_design/d/_view/v",
    "/db/_design_docs",
    "/db/_local_docs",
    "/db",
    "/_all_dbs",
    "/_uuids",
    "/_dbs_info",
    "/db/_index",
    "/db/_security",
    "/db/doc0/a.txt",
    "/_session",
    "/_db_updates",
    "/_scheduler/jobs",
    "/_scheduler/docs",
    "/_scheduler/docs/_replicator/r",
    "/_active_tasks",
    "/_node/_local/_config",
    "/db/_design/d/_info",
    "/db/_local/here",
]
PARAMS = [
    "rev",
    "revs",
    "revs_info",
    "open_revs",
    "conflicts",
    "deleted_conflicts",
    "meta",
    "local_seq",
    "attachments",
    "atts_since",
    "att_encoding_info",
    "latest",
    "since",
    "limit",
    "skip",
    "descending",
    "style",
    "include_docs",
    "key",
    "keys",
    "startkey",
    "start_key",
    "endkey",
    "end_key",
    "startkey_docid",
    "endkey_docid",
    "inclusive_end",
    "group",
    "group_level",
    "reduce",
    "update",
    "stale",
    "stable",
    "sorted",
    "update_seq",
    "heartbeat",
    "filter",
    "view",
    "doc_ids",
    "seq_interval",
    "last-event-id",
    "count",
    "new_edits",
    "batch",
    "feed_",
    "q",
    "n",
]

# --- what is sent -----------------------------------------------------------------------------------------------------

awkward = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        -0.0,
        1.5,
        2**31,
        2**53 + 1,
        2**63,
        -(2**63),
        2**64 - 1,
        1e308,
        "",
        "0",
        "-1",
        "null",
        "1-x",
        "1-" + "a" * 32,
        "999999999999999999-a",
        "_x",
        "_design/",
        "_local/",
        "a/b",
        "\x00",
        "\ufffe",
        "é",
        "😀",
        "../../etc/passwd",
        "function (doc) { emit(",
        "now",
        "$gt",
        [],
        {},
        [[]],
        [{}],
        {"": 1},
        {"_id": 7},
    ]
)
text = st.text(max_size=20)
value = st.recursive(
    awkward | text, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=8
)
MEMBERS = [
    "_id",
    "_rev",
    "_deleted",
    "_attachments",
    "_revisions",
    "docs",
    "new_edits",
    "keys",
    "queries",
    "selector",
    "fields",
    "sort",
    "limit",
    "skip",
    "bookmark",
    "use_index",
    "index",
    "ddoc",
    "name",
    "type",
    "r",
    "update",
    "doc_ids",
    "since",
    "admins",
    "members",
    "names",
    "roles",
    "password",
    "source",
    "target",
    "continuous",
    "cancel",
    "views",
    "language",
    "validate_doc_update",
    "filters",
    "options",
    "lib",
    "map",
    "reduce",
    "start",
    "ids",
    "data",
    "stub",
    "follows",
    "content_type",
    "length",
    "digest",
    "revpos",
    "id",
    "rev",
    "atts_since",
    "$and",
    "$or",
    "$not",
    "$in",
    "$regex",
    "$elemMatch",
    "$size",
    "$mod",
    "$type",
    "$beginsWith",
    "partial_filter_selector",
    "action",
    "docids",
]
# Objects whose members the store knows, holding what it does not expect there.
member = st.sampled_from(MEMBERS)
odd_object = st.recursive(
    st.dictionaries(member, value, min_size=1, max_size=4),
    lambda inner: st.dictionaries(member, inner | st.lists(inner, max_size=3) | value, min_size=1, max_size=4),
    max_leaves=10,
)


def encoded(sent: Any) -> bytes:
    """JSON of any text, lone surrogates aside."""
    return orjson.dumps(sent, default=str, option=orjson.OPT_NON_STR_KEYS)


nonsense = (
    st.binary(max_size=60)
    | odd_object.map(lambda sent: encoded(sent)[:-1])
    | odd_object.map(lambda sent: encoded(sent) + b"}")
    | st.sampled_from(
        [
            b"",
            b" ",
            b"{",
            b"]",
            b"nul",
            b"\xff\xfe",
            b'{"a":\xff}',
            b'{"a":"\xed\xa0\x80"}',
            b'{"docs":[NaN]}',
            b"[" * DEEP,
            b"[" * DEEP + b"]" * DEEP,
            b'{"a":' * DEEP + b"1" + b"}" * DEEP,
            b'{"\\ud800":1}',
            b"1e999",
            b'{"docs":[' + b"[" * 500 + b"]" * 500 + b"]}",
            b'{"a":' + b"9" * 400 + b"}",
            b'{"_id":"\\u0000"}',
            b"\x00",
            b'{"selector":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
            b'{"keys":' + b"[" * 900 + b"]" * 900 + b"}",
            b'{"selector":' + b'{"$not":' * 900 + b'{"a":1}' + b"}" * 900 + b"}",
            b'{"selector":{"$and":[' + b'{"$or":[' * 200 + b"]}" * 200 + b"]}}",
        ]
    )
)
body = odd_object.map(encoded) | value.map(encoded) | nonsense
piece = st.sampled_from(
    [
        "..",
        ".",
        "%2e%2e",
        "%2F",
        "%00",
        "%",
        "%zz",
        "%ff%fe",
        "%C3%28",
        "%F0%9F%98%80",
        "_",
        "_design",
        "_local",
        "db",
        "_all_docs",
        "_view",
        "a" * 300,
        "a" * 5000,
        "db%2Fx",
        "_users",
        "_replicator",
        "_node",
        "_config",
        "d",
        "v",
        "",
        "doc0",
        "a.txt",
        "DB",
        "1db",
        "db+",
        "db%20",
        "\\",
        "%5c",
        ";",
        "_changes",
        "_index",
        "json",
        "_info",
        "queries",
    ]
)
safe_text = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#& "), max_size=25)
path = st.lists(piece | safe_text, max_size=6).map(lambda pieces: "/" + "/".join(pieces))
query = st.lists(
    st.tuples(st.sampled_from(PARAMS), safe_text | awkward.map(lambda each: orjson.dumps(each).decode())), max_size=4
).map(lambda pairs: "&".join(f"{name}={quoted(given)}" for name, given in pairs))
method = st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "PATCH", "OPTIONS", "TRACE", "BREW"])
header = st.sampled_from(
    [
        "If-Match",
        "If-None-Match",
        "Destination",
        "Range",
        "Accept",
        "Content-Type",
        "Cookie",
        "X-Couch-Full-Commit",
        "Authorization",
        "Last-Event-ID",
        "Origin",
        "Content-Encoding",
        "Expect",
        "Upgrade",
        "Accept-Encoding",
        "Host",
    ]
)
header_value = safe_text | st.sampled_from(
    [
        "AuthSession=",
        "AuthSession=####",
        "AuthSession=YWRtaW46Og",
        "Basic",
        "Basic !!",
        "Basic Og==",
        "Bearer x",
        "bytes=",
        "bytes=9-1",
        "bytes=-0",
        "bytes=1-,2-",
        "bytes=99999999999999999999-",
        "gzip",
        "deflate",
        "br",
        "zstd",
        "x, gzip",
        "multipart/related",
        "multipart/related; boundary=",
        "multipart/mixed; boundary=x",
        "application/json; charset=x",
        "application/x-www-form-urlencoded",
        "text/plain",
        "W/",
        '"',
        "*",
        "1-x",
        "http://x/y",
        "_design/",
        "../x?rev=1",
        "100-continue",
        "websocket",
        "AuthSession=" + "A" * 3000,
        "application/json; charset=utf-16",
        "-1",
        "now",
    ]
)


def quoted(given: str) -> str:
    return "".join(
        each if each.isalnum() and each.isascii() else "".join(f"%{b:02X}" for b in each.encode()) for each in given
    )


# --- sending it -------------------------------------------------------------------------------------------------------


class Wire:
    """Sends bytes to the store and reads the status of its answer, without a client's good manners."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def send(self, request: bytes, *, whole: bool = True) -> tuple[int, bytes]:
        """Status and body; 0 when the store hung up instead, or waits for the rest of a request that is not whole."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            async with asyncio.timeout(ANSWERED_WITHIN_S if whole else WAITED_FOR_THE_REST_S):
                writer.write(request)
                answer = await reader.read()
        except ConnectionError:
            answer = b""
        except TimeoutError:
            if whole:
                raise
            answer = b""
        finally:
            writer.close()
        head, _, rest = answer.partition(b"\r\n\r\n")
        return (int(head[9:12]), rest) if head else (0, b"")

    async def ask(self, line: str, sent: bytes | None = None, *headers: str, login: bool = True) -> tuple[int, bytes]:
        lines = [f"{line} HTTP/1.1", "Connection: close", *headers]
        if not any(each.startswith("Host:") for each in headers):
            lines.append("Host: store")
        if login and not any(each.startswith(("Authorization:", "Cookie:")) for each in headers):
            lines.append(LOGIN)
        if sent is not None:
            if not any(each.startswith("Content-Type:") for each in headers):
                lines.append("Content-Type: application/json")
            lines.append(f"Content-Length: {len(sent)}")
        return await self.send("\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + (sent or b""))


@pytest.fixture
async def wire(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Wire]:
    """A store with a few documents and a view; whatever is done to it, it answers at the end and logged no failure."""
    config = StoreConfig(
        data=tmp_path / "data", admins=dict([ADMIN]), pbkdf2_iterations=10, max_body_bytes=300_000,
        max_attachment_bytes=100_000,
    )  # fmt: skip
    server = TestServer(create_app(config))
    await server.start_server(**RUNNER_OPTIONS)
    assert server.port is not None
    wire = Wire(server.host, server.port)
    try:
        assert (await wire.ask("PUT /db"))[0] == 201
        docs: list[dict[str, Any]] = [{"_id": f"doc{number}", "n": number} for number in range(5)]
        docs[0]["_attachments"] = {"a.txt": {"content_type": "text/plain", "data": "aGk="}}
        docs.append(
            {"_id": "_design/d", "views": {"v": {"map": "function (doc) { emit(doc.n, 1); }", "reduce": "_sum"}}}
        )
        assert (await wire.ask("POST /db/_bulk_docs", orjson.dumps({"docs": docs})))[0] == 201
        with caplog.at_level(logging.ERROR):
            yield wire
        assert (await wire.ask("GET /db/doc1"))[0] == 200
        assert (await wire.ask("PUT /db/after", b"{}"))[0] == 201
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    finally:
        await server.close()


def check(answered: tuple[int, bytes]) -> None:
    """No 500, and a refusal says why."""
    status, told = answered
    assert status != 500, told
    assert b"Traceback" not in told
    if status >= 400 and told.startswith(b"{"):
        refusal = orjson.loads(told)
        assert {"error", "reason"} <= refusal.keys()


def each_example(**strategies: st.SearchStrategy[Any]) -> Any:
    """Run a test for many generated requests on one store."""

    def decorate(test: Any) -> Any:
        quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example]
        limits = settings(
            max_examples=EXAMPLES, deadline=None, suppress_health_check=quiet, database=None, derandomize=True
        )
        return limits(given(**strategies)(test))

    return decorate


# --- generated requests -----------------------------------------------------------------------------------------------


@each_example(endpoint=st.sampled_from(ENDPOINTS), sent=odd_object.map(encoded))
async def test_known_members_with_unexpected_values_are_refused_or_taken(
    wire: Wire, endpoint: str, sent: bytes
) -> None:
    check(await wire.ask(endpoint, sent))


@each_example(endpoint=st.sampled_from(ENDPOINTS), sent=body)
async def test_bodies_that_are_no_object_or_no_json_are_refused(wire: Wire, endpoint: str, sent: bytes) -> None:
    check(await wire.ask(endpoint, sent))


@each_example(doc=odd_object, new_edits=st.booleans())
async def test_odd_documents_are_written_whole_or_refused(wire: Wire, doc: dict[str, Any], new_edits: bool) -> None:
    check(await wire.ask("POST /db/_bulk_docs", encoded({"docs": [doc], "new_edits": new_edits})))


@each_example(selector=odd_object | value, sort=value)
async def test_odd_selectors_are_refused_or_run(wire: Wire, selector: Any, sort: Any) -> None:
    check(await wire.ask("POST /db/_find", encoded({"selector": selector})))
    check(await wire.ask("POST /db/_find", encoded({"selector": {}, "sort": sort})))


@each_example(where=st.sampled_from(READABLE), asked=query, how=st.sampled_from(["GET", "HEAD", "POST", "DELETE"]))
async def test_odd_parameters_are_refused_or_obeyed(wire: Wire, where: str, asked: str, how: str) -> None:
    if (how, where) == ("DELETE", "/db"):
        how = "GET"  # it is needed to the end
    check(await wire.ask(f"{how} {where}?{asked}", b"{}" if how == "POST" else None))


@each_example(how=method, where=path, asked=query)
async def test_odd_paths_are_refused_or_found(wire: Wire, how: str, where: str, asked: str) -> None:
    if where.startswith("/db") and how == "DELETE":
        how = "GET"  # it is needed to the end
    check(await wire.ask(f"{how} {where}?{asked}", b"{}" if how in ("PUT", "POST") else None))


@each_example(
    where=st.sampled_from(READABLE),
    how=st.sampled_from(["GET", "PUT", "POST", "COPY", "OPTIONS"]),
    headers=st.lists(st.tuples(header, header_value), max_size=4, unique_by=lambda pair: pair[0]),
    sent=st.binary(max_size=40),
)
async def test_odd_headers_are_refused_or_ignored(
    wire: Wire, where: str, how: str, headers: list[tuple[str, str]], sent: bytes
) -> None:
    if (how, where) == ("PUT", "/db"):
        where = "/db/doc9"
    named = [f"{name}: {given}" for name, given in headers]
    check(await wire.ask(f"{how} {where}", sent if how in ("PUT", "POST") else None, *named))


@each_example(raw=st.binary(max_size=200))
async def test_bytes_that_are_no_http_are_refused(wire: Wire, raw: bytes) -> None:
    check(await wire.send(raw + b"\r\n\r\n", whole=False))


@each_example(parts=st.lists(st.binary(max_size=60) | odd_object.map(encoded), max_size=4), ended=st.booleans())
async def test_odd_multipart_bodies_are_refused(wire: Wire, parts: list[bytes], ended: bool) -> None:
    sent = b"".join(b"--b\r\nContent-Type: application/json\r\n\r\n" + part + b"\r\n" for part in parts)
    sent += b"--b--" if ended else b""
    check(await wire.ask("PUT /db/multi", sent, "Content-Type: multipart/related; boundary=b"))


# --- single tricks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_deep_nesting_is_refused_everywhere(wire: Wire, endpoint: str) -> None:
    for sent in (b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP):
        check(await wire.ask(endpoint, sent))


@pytest.mark.parametrize("depth", [100, 250, 500, 900, 1023])
async def test_nesting_that_json_readers_take_harms_nothing(wire: Wire, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    objects = b'{"a":' * depth + b"1" + b"}" * depth
    for sent in (nested, objects):
        check(await wire.ask("PUT /db/deep", b'{"deep":' + sent + b"}"))
        check(await wire.ask("POST /db/_find", b'{"selector":{"deep":' + sent + b"}}"))
        check(await wire.ask("POST /db/_find", b'{"selector":' + sent + b"}"))
        check(await wire.ask("POST /db/_design/d/_view/v", b'{"keys":[' + sent + b"]}"))
        check(await wire.ask("POST /db/_design/d/_view/v", b'{"start_key":' + sent + b"}"))
        check(await wire.ask("POST /db/_all_docs", b'{"keys":[' + sent + b"]}"))
        check(await wire.ask("POST /db/_bulk_docs", b'{"docs":[' + sent + b"]}"))
        check(await wire.ask("PUT /db/_design/deep", b'{"views":' + sent + b"}"))
        check(await wire.ask("PUT /db/_security", b'{"admins":' + sent + b"}"))
        check(await wire.ask("POST /_replicate", b'{"source":' + sent + b',"target":"db"}'))
    await wire.ask("PUT /db/_security", b"{}")
    emits = {"views": {"v": {"map": "function (doc) { if (doc.deep) { emit(doc.deep, doc.deep); } }"}}}
    assert (await wire.ask("PUT /db/_design/emits", orjson.dumps(emits)))[0] == 201
    check(await wire.ask("GET /db/_design/emits/_view/v"))
    check(await wire.ask("GET /db/_all_docs?include_docs=true"))


async def test_bodies_beyond_the_limit_are_413(wire: Wire) -> None:
    oversized = b'{"a":"' + b"x" * 400_000 + b'"}'
    squeezed = gzip.compress(b'{"a":"' + b"x" * 5_000_000 + b'"}')
    chunked = b"".join(b"10000\r\n" + b"x" * 0x10000 + b"\r\n" for _ in range(8)) + b"0\r\n\r\n"
    head = f"PUT /db/big HTTP/1.1\r\nHost: s\r\nConnection: close\r\n{LOGIN}\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert (await wire.ask("PUT /db/big", oversized))[0] in (0, 413)
    assert (await wire.ask("PUT /db/big", squeezed, "Content-Encoding: gzip"))[0] == 413
    assert (await wire.ask("PUT /db/doc0/big.bin", oversized, "Content-Type: image/png"))[0] in (0, 413)
    assert (await wire.send(head.encode() + chunked))[0] in (0, 413)
    assert (await wire.ask("GET /db/big"))[0] == 404


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"not gzip", gzip.compress(b'{"a":"cut short"}', mtime=0)[:14]])
async def test_bad_gzip_is_400(wire: Wire, damage: bytes) -> None:
    status, told = await wire.ask("PUT /db/squeezed", damage, "Content-Encoding: gzip")

    check((status, told))
    assert 400 <= status < 500


@pytest.mark.parametrize(
    "head",
    [
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nContent-Length: -1\r\n\r\n",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nContent-Length: 1e3\r\n\r\n",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: gzip\r\n\r\n{}",
        "GET /db/doc0 HTTP/9.9\r\nHost: s\r\n\r\n",
        "GET http://elsewhere/db/doc0 HTTP/1.1\r\nHost: s\r\n\r\n",
        "GET //db//doc0 HTTP/1.1\r\nHost: s\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: s\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nHost: s\r\n\r\n",
        "GET /db/doc0 HTTP/1.1\r\nHost: s\r\nX: " + "y" * 100_000 + "\r\n\r\n",
        "GET /" + "y" * 100_000 + " HTTP/1.1\r\nHost: s\r\n\r\n",
        "GET /db HTTP/1.1\r\n" + "".join(f"X-{n}: 1\r\n" for n in range(3000)) + "\r\n",
        "GET /db HTTP/1.1\r\nHost: s\r\nBad Header: 1\r\n\r\n",
        "GET /db HTTP/1.1\r\nHost: s\r\n folded: 1\r\n\r\n",
        "GET /db HTTP/1.1\r\nHost: \x00\r\n\r\n",
        "PUT /db/x HTTP/1.1\r\nHost: s\r\nExpect: a miracle\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_broken_framing_is_refused(wire: Wire, head: str) -> None:
    check(await wire.send(head.replace("Host:", f"Connection: close\r\n{LOGIN}\r\nHost:", 1).encode(), whole=False))


@pytest.mark.parametrize("sent", [b"{", b'{"_id":"x"', b'{"docs":[{}]'])
async def test_a_body_shorter_than_announced_writes_nothing(wire: Wire, sent: bytes) -> None:
    before = (await wire.ask("GET /db"))[1]
    head = f"POST /db HTTP/1.1\r\nHost: s\r\n{LOGIN}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"

    check(await wire.send(head.encode() + sent, whole=False))

    assert (await wire.ask("GET /db"))[1] == before
