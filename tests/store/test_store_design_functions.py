"""Updates, shows and lists of design documents over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from yarl import URL

from tests.store.store_client import ADMIN, Client, basic

DDOC: dict[str, Any] = {
    "views": {"v": {"map": "function (doc) { emit(doc._id, doc.n || 0); }", "reduce": "_count"}},
    "lib": {"greet": "exports.hello = function (name) { return 'hello ' + name; };"},
    "updates": {
        "count": "function (doc, req) {"
        " if (!doc) { return [{_id: req.id || req.uuid, n: 0}, 'made ' + req.id]; }"
        " doc.n += 1; return [doc, {json: {n: doc.n}, headers: {'X-N': 'yes'}}]; }",
        "nothing": "function (doc, req) { return [null, {code: 418, body: 'tea'}]; }",
        "binary": "function (doc, req) { return [null, {base64: 'aGVsbG8='}]; }",
        "echo": "function (doc, req) { return [null, {json: req}]; }",
        "five": "function () { return 5; }",
        "refuse": "function () { throw({forbidden: 'no'}); }",
        "header": "function () { return [null, {headers: {'X-A': 'a\\r\\nX-B: b'}, body: ''}]; }",
        "unknown": "function () { return [null, {code: 'x'}]; }",
        "stale": "function (doc, req) { return [{_id: req.id, _rev: '1-abc'}, '']; }",
    },
    "shows": {
        "title": "function (doc, req) { return '<h1>' + (doc ? doc._id : 'none') + '</h1>'; }",
        "open": "function () { return {headers: {'content-security-policy': 'default-src *'}, body: '<p>'}; }",
        "plain": "function () { return {headers: {'Content-Type': 'text/plain'}, body: 'plain'}; }",
        "sent": "function () { start({code: 202, headers: {'X-S': '1'}}); send('a'); send('b'); return 'c'; }",
        "offered": "function () { provides('html', function () { return '<b>h</b>'; });"
        " provides('json', function () { return {json: {a: 1}}; }); }",
        "library": "function (doc, req) { return require('lib/greet').hello(req.query.name); }",
        "error": "function () { throw(['error', 'bad', 'why']); }",
        "reference": "function () { return nothing.at.all; }",
        "endless": "function () { for (;;) {} }",
    },
    "lists": {
        "csv": "function (head, req) { start({headers: {'Content-Type': 'text/csv'}});"
        " send('rows ' + head.total_rows + '\\n'); var row;"
        " while (row = getRow()) { send(row.key + ',' + row.value + '\\n'); } return 'end'; }",
        "ids": "function () { provides('json', function () { var row, ids = [];"
        " while (row = getRow()) { ids.push(row.id); } return JSON.stringify(ids); }); }",
    },
    "rewrites": [],
}


@pytest.fixture
async def ddoc(store: Client, db: str) -> str:
    assert (await store.put(f"{db}/_design/d", DDOC)).status == 201
    for n, name in enumerate(("a", "b")):
        await store.put(f"{db}/{name}", {"n": n})
    return f"{db}/_design/d"


async def test_update_makes_a_document(store: Client, db: str, ddoc: str) -> None:
    made = await store.put(f"{ddoc}/_update/count/k")

    assert (made.status, made.raw, made.headers["X-Couch-Id"]) == (201, b"made k", "k")
    assert made.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (await store.get(f"{db}/k")).body["_rev"] == made.headers["X-Couch-Update-NewRev"]


async def test_update_changes_a_document(store: Client, db: str, ddoc: str) -> None:
    changed = await store.post(f"{ddoc}/_update/count/b")

    assert (changed.status, changed.body, changed.headers["X-N"]) == (201, {"n": 2}, "yes")
    assert (await store.get(f"{db}/b")).body["n"] == 2


async def test_update_without_an_id_may_choose_one(store: Client, db: str, ddoc: str) -> None:
    made = await store.post(f"{ddoc}/_update/count")

    assert (await store.get(f"{db}/{made.headers['X-Couch-Id']}")).body["n"] == 0


async def test_update_that_gives_no_document_writes_nothing(store: Client, db: str, ddoc: str) -> None:
    before = (await store.get(db)).body["update_seq"]

    answer = await store.post(f"{ddoc}/_update/nothing")

    assert (answer.status, answer.raw) == (418, b"tea")
    assert (await store.post(f"{ddoc}/_update/binary")).raw == b"hello"
    assert (await store.get(db)).body["update_seq"] == before


async def test_function_sees_the_request_but_no_credentials(store: Client, ddoc: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    seen = (await store.post(f"{ddoc}/_update/echo/k", data="x=1&y=2", headers=form, a="b")).body

    assert (seen["id"], seen["method"], seen["query"], seen["form"]) == ("k", "POST", {"a": "b"}, {"x": "1", "y": "2"})
    assert (seen["body"], seen["userCtx"]["name"]) == ("x=1&y=2", "admin")
    assert "Authorization" not in seen["headers"]


async def test_function_sees_bytes_that_are_no_text_as_question_marks(store: Client, ddoc: str) -> None:
    head = f"POST {ddoc}/_update/echo?q=%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n"
    login = f"Authorization: {basic(*ADMIN)['Authorization']}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(store.url).port)
    writer.write(head.encode() + login.encode() + b"X-Odd: a\xff\r\nCookie: c=a\xff\r\n\r\n\xff")
    status, _, rest = (await reader.read()).partition(b"\r\n")
    writer.close()
    await writer.wait_closed()

    seen = orjson.loads(rest.partition(b"\r\n\r\n")[2])
    assert status == b"HTTP/1.1 200 OK"
    assert (seen["body"], seen["headers"]["X-Odd"], seen["query"]) == ("\ufffd", "a?", {"q": "\ufffd"})


@pytest.mark.parametrize(
    ("name", "status", "slug"),
    [
        ("five", 500, "render_error"),
        ("refuse", 500, "render_error"),
        ("header", 500, "external_response_error"),
        ("unknown", 500, "external_response_error"),
        ("stale/a", 409, "conflict"),
        ("none", 404, "not_found"),
    ],
)
async def test_update_that_fails_says_why(store: Client, ddoc: str, name: str, status: int, slug: str) -> None:
    answer = await store.post(f"{ddoc}/_update/{name}")

    assert (answer.status, answer.body["error"]) == (status, slug)


async def test_update_is_refused_by_validation_as_any_write(store: Client, db: str, ddoc: str) -> None:
    await store.put(f"{db}/_design/v", {"validate_doc_update": "function () { throw({forbidden: 'never'}); }"})

    answer = await store.post(f"{ddoc}/_update/count/b")

    assert (answer.status, answer.body) == (403, {"error": "forbidden", "reason": "never"})


async def test_update_is_not_read(store: Client, ddoc: str) -> None:
    refused = await store.get(f"{ddoc}/_update/count/a")

    assert (refused.status, refused.headers["Allow"]) == (405, "DELETE,POST,PUT")
    assert (await store.post(f"{ddoc}/_update")).body == {"error": "update_error", "reason": "Invalid path."}


async def test_show_makes_a_page_of_a_document(store: Client, ddoc: str) -> None:
    shown = await store.get(f"{ddoc}/_show/title/a")

    assert (shown.status, shown.raw) == (200, b"<h1>a</h1>")
    assert shown.headers["Content-Security-Policy"] == "sandbox"
    assert (await store.get(f"{ddoc}/_show/title/missing")).raw == b"<h1>none</h1>"
    assert (await store.post(f"{ddoc}/_show/title")).raw == b"<h1>none</h1>"
    opened = await store.get(f"{ddoc}/_show/open")
    assert opened.headers["Content-Security-Policy"] == "sandbox, default-src *"
    plain = await store.get(f"{ddoc}/_show/plain")
    assert (plain.raw, plain.headers["Content-Type"]) == (b"plain", "text/plain")
    assert (await store.get(f"{ddoc}/_show/library", name="asha")).raw == b"hello asha"


async def test_show_may_send_piece_by_piece(store: Client, ddoc: str) -> None:
    sent = await store.get(f"{ddoc}/_show/sent")

    assert (sent.status, sent.raw, sent.headers["X-S"]) == (202, b"abc", "1")


@pytest.mark.parametrize(
    ("accept", "query", "status", "content_type"),
    [
        ("*/*", {}, 200, "text/html; charset=utf-8"),
        ("application/json", {}, 200, "application/json"),
        ("text/html;q=0.5, application/json", {}, 200, "application/json"),
        ("*/*", {"format": "json"}, 200, "application/json"),
        ("image/png", {}, 406, "application/json"),
    ],
)
async def test_show_offers_types(
    store: Client, ddoc: str, accept: str, query: dict[str, str], status: int, content_type: str
) -> None:
    shown = await store.get(f"{ddoc}/_show/offered", headers={"Accept": accept}, **query)

    assert (shown.status, shown.headers["Content-Type"]) == (status, content_type)


async def test_show_that_throws_says_what(store: Client, ddoc: str) -> None:
    assert (await store.get(f"{ddoc}/_show/error")).body == {"error": "bad", "reason": "why"}
    failed = await store.get(f"{ddoc}/_show/reference")
    assert (failed.status, failed.body["error"]) == (500, "render_error")
    assert "ReferenceError" in failed.body["reason"]


@pytest.mark.slow
async def test_show_that_never_ends_is_stopped(store: Client, ddoc: str) -> None:
    stopped = await store.get(f"{ddoc}/_show/endless")

    assert (stopped.status, stopped.body["error"]) == (500, "timeout")
    assert (await store.get(f"{ddoc}/_show/title/a")).status == 200


async def test_list_makes_a_page_of_a_view(store: Client, ddoc: str) -> None:
    listed = await store.get(f"{ddoc}/_list/csv/v", reduce=False)

    assert (listed.raw, listed.headers["Content-Type"]) == (b"rows 2\na,0\nb,1\nend", "text/csv")
    assert (await store.get(f"{ddoc}/_list/csv/v", reduce=False, key='"b"')).raw == b"rows 2\nb,1\nend"
    assert (await store.get(f"{ddoc}/_list/csv/d/v")).raw == b"rows undefined\nnull,2\nend"
    keyed = await store.post(f"{ddoc}/_list/ids/v", {"keys": ["b"]}, reduce=False)
    assert keyed.body == ["b"]


async def test_list_of_nothing_is_404(store: Client, ddoc: str) -> None:
    assert (await store.get(f"{ddoc}/_list/none/v")).body["reason"] == "missing json key: none"
    assert (await store.get(f"{ddoc}/_list/csv/none")).body["reason"] == "missing_named_view"
    assert (await store.get(f"{ddoc}/_list/csv")).body == {"error": "list_error", "reason": "Invalid path."}
    assert (await store.get(f"{ddoc}/_list/csv/other/v")).status == 404


async def test_rewrite_is_501(store: Client, ddoc: str) -> None:
    assert (await store.get(f"{ddoc}/_rewrite/x")).status == 501


@pytest.mark.parametrize(
    ("thrown", "status"),
    [
        ("bad_request", 400),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("not_found", 404),
        ("method_not_allowed", 405),
        ("conflict", 409),
        ("weird", 500),
    ],
)
async def test_error_that_a_function_throws_has_its_status(store: Client, db: str, thrown: str, status: int) -> None:
    source = f"function () {{ throw(['error', '{thrown}', 'why']); }}"
    await store.put(f"{db}/_design/thrower", {"shows": {"f": source}, "updates": {"f": source}})

    for answer in (
        await store.get(f"{db}/_design/thrower/_show/f"),
        await store.post(f"{db}/_design/thrower/_update/f"),
    ):
        assert (answer.status, answer.body) == (status, {"error": thrown, "reason": "why"})


async def test_update_by_delete(store: Client, db: str) -> None:
    await store.put(f"{db}/_design/by", {"updates": {"f": "function (doc, req) { return [null, req.method]; }"}})

    assert (await store.delete(f"{db}/_design/by/_update/f")).raw == b"DELETE"
