"""`_bulk_docs`, `_bulk_get`, `_revs_diff` and `_all_docs` over HTTP."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.store.store_client import Client


async def fill(store: Client, db: str, *ids: str) -> dict[str, str]:
    """Write documents and return their revisions by id."""
    answer = await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": doc_id, "n": n} for n, doc_id in enumerate(ids)]})
    assert answer.status == 201
    return {row["id"]: row["rev"] for row in answer.body}


async def test_bulk_docs_answers_each_document_in_order(store: Client, db: str) -> None:
    await fill(store, db, "taken")

    answer = await store.post(
        f"{db}/_bulk_docs", {"docs": [{"_id": "b"}, {"_id": "taken"}, {"x": 1}, {"_id": "_local/l"}, {"_id": "b"}]}
    )

    assert answer.status == 201
    assert [row.get("error") for row in answer.body] == [None, "conflict", None, None, "conflict"]
    assert answer.body[3]["rev"] == "0-1"
    assert (await store.get(db)).body["doc_count"] == 3


async def test_bulk_docs_deletes_and_counts(store: Client, db: str) -> None:
    revs = await fill(store, db, "a", "b", "c")

    await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": "b", "_rev": revs["b"], "_deleted": True}]})

    info = (await store.get(db)).body
    assert (info["doc_count"], info["doc_del_count"]) == (2, 1)


async def test_one_document_edited_twice_in_a_batch_has_one_change(store: Client, db: str) -> None:
    docs = [{"_id": "a", "_rev": "1-x"}, {"_id": "a", "_rev": "2-y", "_revisions": {"start": 2, "ids": ["y", "x"]}}]

    await store.post(f"{db}/_bulk_docs", {"docs": docs, "new_edits": False})

    changes = (await store.get(f"{db}/_changes")).body["results"]
    assert [change["changes"] for change in changes] == [[{"rev": "2-y"}]]


async def test_a_batch_may_hold_thousands_of_conflicts_of_one_document(store: Client, db: str) -> None:
    """They are cut to `_revs_limit` once for all, not once for each."""
    docs = [{"_id": "a", "_rev": f"1-{number:04d}"} for number in range(3000)]

    await store.post(f"{db}/_bulk_docs", {"docs": docs, "new_edits": False})

    doc = (await store.get(f"{db}/a", conflicts=True)).body
    assert (doc["_rev"], len(doc["_conflicts"])) == ("1-2999", 2999)


async def test_ids_with_a_nul_are_found_among_many(store: Client, db: str) -> None:
    ids = ["a\0b", "a", "\0"]
    docs = [{"_id": doc_id} for doc_id in ids]
    written = (await store.post(f"{db}/_bulk_docs", {"docs": docs})).body

    again = (await store.post(f"{db}/_bulk_docs", {"docs": [*docs, {"_id": "b"}]})).body
    listed = (await store.post(f"{db}/_all_docs", {"keys": ids}, include_docs=True)).body["rows"]
    got = (await store.post(f"{db}/_bulk_get", {"docs": [{"id": doc_id} for doc_id in ids]})).body["results"]
    changed = (await store.post(f"{db}/_changes", {"doc_ids": ["a\0b"]}, filter="_doc_ids")).body["results"]
    purged = (await store.post(f"{db}/_purge", {row["id"]: [row["rev"]] for row in written})).body["purged"]

    assert [row.get("error") for row in again] == ["conflict", "conflict", "conflict", None]
    assert [row["doc"]["_id"] for row in listed] == ids
    assert [result["docs"][0]["ok"]["_id"] for result in got] == ids
    assert [change["id"] for change in changed] == ["a\0b"]
    assert purged == {row["id"]: [row["rev"]] for row in written}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"docs": 1}',
        b'{"docs": [1]}',
        b'{"docs": [{"_id": 5}]}',
        b'{"docs": [{"_id": ""}]}',
        b'{"docs": [{"_id": "_x"}]}',
        b'{"docs": [{"_id": "ok"}, {"_bad": 1}]}',
        b'{"docs": [], "new_edits": 1}',
        b'{"docs": [{"_id": "ok"}], "new_edits": false}',
        b'{"docs": [{"_id": "ok", "_revisions": {"start": 1, "ids": ["b", "a"]}}], "new_edits": false}',
        b"[]",
        b"nonsense",
    ],
)
async def test_wrong_bulk_docs_writes_nothing(store: Client, db: str, body: bytes) -> None:
    answer = await store.post(f"{db}/_bulk_docs", data=body, headers={"Content-Type": "application/json"})

    assert answer.status == 400
    assert answer.body["reason"]
    assert (await store.get(db)).body["update_seq"].startswith("0-")


async def test_bulk_docs_must_be_sent_as_json(store: Client, db: str) -> None:
    answer = await store.post(f"{db}/_bulk_docs", data=b'{"docs": []}', headers={"Content-Type": "text/plain"})

    assert (answer.status, answer.body["error"]) == (415, "bad_content_type")


async def test_gzipped_body_is_read(store: Client, db: str) -> None:
    import gzip

    body = gzip.compress(b'{"docs": [{"_id": "a", "x": 1}]}')

    answer = await store.post(
        f"{db}/_bulk_docs", data=body, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )

    assert answer.status == 201
    assert (await store.get(f"{db}/a")).body["x"] == 1


async def test_body_that_is_not_the_gzip_it_says_is_refused(store: Client, db: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    assert (await store.post(f"{db}/_bulk_docs", data=b'{"docs": []}', headers=headers)).status == 400


async def test_body_over_the_limit_is_too_large(store: Client, db: str) -> None:
    async def endless() -> Any:
        for _ in range(25):
            yield b" " * 1_000_000

    async with store.session.post(
        f"{store.url}{db}/_bulk_docs",
        data=endless(),
        headers={"Content-Type": "application/json", "Authorization": "Basic YWRtaW46c2VjcmV0"},
    ) as response:
        body = await response.json()

    assert (response.status, body["error"]) == (413, "too_large")


@pytest.mark.parametrize("media_type", ["application/json", "multipart/mixed"])
async def test_bulk_get_of_very_many_is_sent_as_it_is_read(store: Client, db: str, media_type: str) -> None:
    await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": f"d{n:04}"} for n in range(1200)]})
    ids = [f"d{n:04}" for n in reversed(range(1200))]

    got = await store.post(
        f"{db}/_bulk_get", {"docs": [{"id": doc_id} for doc_id in ids]}, headers={"Accept": media_type}
    )

    assert got.headers.get("Transfer-Encoding") == "chunked"
    assert re.findall(rb'"_id":"(d\d+)"', got.raw) == [doc_id.encode() for doc_id in ids]
    if media_type == "application/json":
        assert len(got.body["results"]) == 1200
    else:
        assert got.raw.endswith(b"--\r\n")


async def test_bulk_get_answers_every_request_in_order(store: Client, db: str) -> None:
    revs = await fill(store, db, "a", "b")

    answer = await store.post(
        f"{db}/_bulk_get",
        {"docs": [{"id": "b"}, {"id": "zz"}, {"id": "a", "rev": revs["a"]}, {"id": "a", "rev": "9-x"}, {}]},
        revs=True,
    )

    results = answer.body["results"]
    assert [result["id"] for result in results] == ["b", "zz", "a", "a", None]
    assert results[0]["docs"][0]["ok"]["_revisions"]["start"] == 1
    assert results[1]["docs"][0]["error"]["error"] == "not_found"
    assert results[2]["docs"][0]["ok"]["_rev"] == revs["a"]
    assert results[3]["docs"][0]["error"]["rev"] == "9-x"


async def test_revs_diff_names_what_is_missing(store: Client, db: str) -> None:
    revs = await fill(store, db, "a")

    answer = await store.post(f"{db}/_revs_diff", {"a": [revs["a"], "2-x"], "new": ["1-y"]})
    missing = await store.post(f"{db}/_missing_revs", {"a": [revs["a"], "2-x"]})

    assert answer.body == {"a": {"missing": ["2-x"], "possible_ancestors": [revs["a"]]}, "new": {"missing": ["1-y"]}}
    assert missing.body == {"missing_revs": {"a": ["2-x"]}}


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer.body["rows"]]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "abcdef"),
        ({"descending": True}, "fedcba"),
        ({"startkey": "c"}, "cdef"),
        ({"start_key": "c", "end_key": "e"}, "cde"),
        ({"startkey": "c", "endkey": "e", "inclusive_end": False}, "cd"),
        ({"startkey": "e", "endkey": "c", "descending": True}, "edc"),
        ({"startkey": "e", "endkey": "c", "descending": True, "inclusive_end": False}, "ed"),
        ({"limit": 2}, "ab"),
        ({"skip": 4}, "ef"),
        ({"skip": 1, "limit": 2, "descending": True}, "ed"),
        ({"limit": 0}, ""),
        ({"key": "d"}, "d"),
        ({"key": "zz"}, ""),
        ({"startkey": None}, "abcdef"),
        ({"startkey": {}}, "abcdef"),
        ({"endkey": {}}, ""),
        ({"startkey": [], "descending": True}, ""),
        ({"endkey": None}, ""),
        ({"startkey": "e", "endkey": "b"}, ""),
    ],
    ids=str,
)
async def test_all_docs_range(store: Client, db: str, params: dict[str, Any], expected: str) -> None:
    revs = await fill(store, db, *"fadbec", "gone")
    await store.delete(f"{db}/gone", rev=revs["gone"])
    query = {name: (f'"{value}"' if isinstance(value, str) else value) for name, value in params.items()}

    by_get = await store.get(f"{db}/_all_docs", **query)
    by_post = await store.post(f"{db}/_all_docs", params)

    assert "".join(ids(by_get)) == expected
    assert by_post.body == by_get.body
    assert by_get.body["total_rows"] == 6


async def test_all_docs_offset_counts_what_comes_before(store: Client, db: str) -> None:
    await fill(store, db, *"abcdef")

    assert (await store.get(f"{db}/_all_docs", startkey='"c"', skip=1)).body["offset"] == 3


async def test_all_docs_is_in_code_point_order(store: Client, db: str) -> None:
    await fill(store, db, "b", "B", "a", "é", "_design/d", "1", "😀", "\uffee")

    assert ids(await store.get(f"{db}/_all_docs")) == ["1", "B", "_design/d", "a", "b", "é", "\uffee", "😀"]


async def test_all_docs_keys_are_answered_one_by_one(store: Client, db: str) -> None:
    revs = await fill(store, db, "a", "b", "gone")
    deleted = (await store.delete(f"{db}/gone", rev=revs["gone"])).body["rev"]

    answer = await store.post(f"{db}/_all_docs", {"keys": ["b", "zz", "gone", "b", 5], "include_docs": True})

    rows = answer.body["rows"]
    assert [row["key"] for row in rows] == ["b", "zz", "gone", "b", 5]
    assert rows[0]["doc"]["n"] == 1
    assert rows[1] == {"key": "zz", "error": "not_found"}
    assert rows[2] == {"id": "gone", "key": "gone", "value": {"rev": deleted, "deleted": True}, "doc": None}


async def test_all_docs_reads_long_ranges_whole(store: Client, db: str) -> None:
    names = [f"{n:05d}" for n in range(1700)]
    await fill(store, db, *names)

    assert ids(await store.get(f"{db}/_all_docs")) == names
    assert ids(await store.get(f"{db}/_all_docs", descending=True, include_docs=True)) == names[::-1]


async def test_all_docs_queries_answers_each(store: Client, db: str) -> None:
    await fill(store, db, "a", "b")

    answer = await store.post(f"{db}/_all_docs/queries", {"queries": [{"key": "a"}, {"keys": ["b", "c"]}]})
    limited = await store.post(f"{db}/_all_docs/queries", {"queries": [{}, {"limit": 2}]}, limit=1)

    assert [len(result["rows"]) for result in answer.body["results"]] == [1, 2]
    assert [len(result["rows"]) for result in limited.body["results"]] == [1, 2]


async def test_design_docs_and_local_docs_are_listed_apart(store: Client, db: str) -> None:
    await fill(store, db, "a", "_design/d", "_local/l")

    listed = await store.get(f"{db}/_design_docs")

    assert (ids(listed), listed.body["total_rows"]) == (["_design/d"], 1)
    assert ids(await store.get(f"{db}/_local_docs")) == ["_local/l"]
    assert ids(await store.post(f"{db}/_design_docs", {"keys": ["a", "_design/d", "none"]})) == ["_design/d"]
    [known, unknown] = (await store.post(f"{db}/_local_docs", {"keys": ["_local/l", "_local/m"]})).body["rows"]
    assert known["id"] == "_local/l"
    assert unknown == {"key": "_local/m", "error": "not_found"}


async def test_queries_of_design_docs_and_local_docs(store: Client, db: str) -> None:
    await fill(store, db, "a", "_design/c", "_design/d", "_local/l", "_local/m")
    asked = {"queries": [{"limit": 1}, {"descending": True}]}

    design = (await store.post(f"{db}/_design_docs/queries", asked)).body["results"]
    local = (await store.post(f"{db}/_local_docs/queries", asked)).body["results"]

    assert [[row["id"] for row in result["rows"]] for result in design] == [
        ["_design/c"],
        ["_design/d", "_design/c"],
    ]
    assert [[row["id"] for row in result["rows"]] for result in local] == [["_local/l"], ["_local/m", "_local/l"]]


async def test_all_or_nothing_is_refused_rather_than_passed_over(store: Client, db: str) -> None:
    answer = await store.post(f"{db}/_bulk_docs", {"all_or_nothing": True, "docs": [{"_id": "a"}]})

    assert (answer.status, answer.body["error"]) == (417, "not_implemented")
    assert (await store.get(f"{db}/a")).status == 404


@pytest.mark.parametrize("body", [{}, {"queries": 1}, {"queries": [1]}])
async def test_queries_must_be_a_list_of_objects(store: Client, db: str, body: dict[str, Any]) -> None:
    assert (await store.post(f"{db}/_all_docs/queries", body)).status == 400


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=x", "skip=1.5", "descending=1", "startkey=a", "keys=5", "keys=[]&key=5"]
)
async def test_wrong_all_docs_option_is_refused(store: Client, db: str, query: str) -> None:
    answer = await store.get(f"{db}/_all_docs?{query}")

    assert (answer.status, answer.body["error"]) == (400, "query_parse_error")
