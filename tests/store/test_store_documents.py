"""Single documents over HTTP: revisions, conflicts, options, refusals."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.store.store_client import Client


async def put_revs(store: Client, db: str, doc_id: str, *paths: list[str], **members: Any) -> None:
    """Write revisions as a replication would; the first rev of a path, newest first, is the one written."""
    docs = []
    for path in paths:
        start = int(path[0].split("-")[0])
        revisions = {"start": start, "ids": [rev.split("-")[1] for rev in path]}
        docs.append({"_id": doc_id, "_rev": path[0], "_revisions": revisions, "from": path[0], **members})
    answer = await store.post(f"{db}/_bulk_docs", {"docs": docs, "new_edits": False})
    assert (answer.status, answer.body) == (201, [])


async def test_document_comes_back_as_it_was_written(store: Client, db: str) -> None:
    written = await store.put(f"{db}/a", {"name": "Asha ☃", "n": 1.5, "list": [1, {"x": None}]})

    found = await store.get(f"{db}/a")

    assert written.status == 201
    assert found.body == {"_id": "a", "_rev": written.body["rev"], "name": "Asha ☃", "n": 1.5, "list": [1, {"x": None}]}
    assert found.headers["ETag"] == f'"{written.body["rev"]}"'


async def test_same_edit_has_the_same_revision_in_two_databases(store: Client, db: str) -> None:
    await store.put("/other")
    here = await store.put(f"{db}/a", {"x": 1})

    there = await store.put("/other/a", {"x": 1})

    assert here.body["rev"] == there.body["rev"]


async def test_update_needs_the_current_revision(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {"x": 1})).body["rev"]
    assert (await store.put(f"{db}/a", {"x": 2})).status == 409

    updated = await store.put(f"{db}/a", {"_rev": first, "x": 2})

    assert updated.status == 201
    assert updated.body["rev"].startswith("2-")
    stale = await store.put(f"{db}/a", {"_rev": first, "x": 3})
    assert (stale.status, stale.body) == (409, {"error": "conflict", "reason": "Document update conflict."})


async def test_revision_may_come_by_query_or_if_match(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {})).body["rev"]
    second = (await store.put(f"{db}/a", {"x": 2}, rev=first)).body["rev"]

    third = await store.put(f"{db}/a", {"x": 3}, headers={"If-Match": f'"{second}"'})

    assert third.status == 201


async def test_deleted_document_is_gone_and_can_be_made_again(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {"x": 1})).body["rev"]
    deleted = await store.delete(f"{db}/a", rev=first)
    gone = await store.get(f"{db}/a")

    again = await store.put(f"{db}/a", {"x": 2})

    assert deleted.status == 200
    assert (gone.status, gone.body["reason"]) == (404, "deleted")
    assert again.body["rev"].startswith("3-")
    tombstone = await store.get(f"{db}/a", rev=deleted.body["rev"])
    assert tombstone.body == {"_id": "a", "_rev": deleted.body["rev"], "_deleted": True}


async def test_a_put_that_deletes_is_answered_as_a_deletion(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {"x": 1})).body["rev"]

    deleted = await store.put(f"{db}/a", {"_rev": first, "x": 1, "_deleted": True})

    assert deleted.status == 200


async def test_deleted_document_cannot_be_deleted_again(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {})).body["rev"]
    deleted = (await store.delete(f"{db}/a", rev=first)).body["rev"]

    again = await store.delete(f"{db}/a", rev=deleted)

    assert (again.status, again.body["reason"]) == (404, "deleted")


@pytest.mark.parametrize(("exists", "rev", "status"), [(False, None, 404), (True, None, 409), (True, "7-x", 409)])
async def test_delete_refusals(store: Client, db: str, exists: bool, rev: str | None, status: int) -> None:
    if exists:
        await store.put(f"{db}/a", {})

    answer = await store.delete(f"{db}/a", **({"rev": rev} if rev else {}))

    assert answer.status == status


async def test_conflicts_keep_every_branch_and_one_winner(store: Client, db: str) -> None:
    await put_revs(store, db, "a", ["1-x"], ["2-a", "1-x"], ["2-b", "1-x"])

    found = await store.get(f"{db}/a", conflicts=True)

    assert (found.body["_rev"], found.body["_conflicts"], found.body["from"]) == ("2-b", ["2-a"], "2-b")
    loser = await store.get(f"{db}/a", rev="2-a")
    assert loser.body["from"] == "2-a"


async def test_conflict_is_resolved_by_deleting_the_loser(store: Client, db: str) -> None:
    await put_revs(store, db, "a", ["2-a", "1-x"], ["2-b", "1-x"])
    await store.delete(f"{db}/a", rev="2-b")

    found = await store.get(f"{db}/a", conflicts=True, deleted_conflicts=True)

    assert found.body["_rev"] == "2-a"
    assert "_conflicts" not in found.body
    assert len(found.body["_deleted_conflicts"]) == 1


async def test_revs_and_revs_info_tell_the_history(store: Client, db: str) -> None:
    await put_revs(store, db, "a", ["3-c", "2-b", "1-a"])

    found = await store.get(f"{db}/a", revs=True, revs_info=True, local_seq=True)

    assert found.body["_revisions"] == {"start": 3, "ids": ["c", "b", "a"]}
    assert [info["status"] for info in found.body["_revs_info"]] == ["available", "missing", "missing"]
    assert found.body["_local_seq"] == 1


async def test_open_revs_gives_leaves_and_names_what_is_missing(store: Client, db: str) -> None:
    await put_revs(store, db, "a", ["2-a", "1-x"], ["2-b", "1-x"])

    every = await store.get(f"{db}/a", open_revs="all")
    named = await store.get(f"{db}/a", open_revs=["2-a", "9-z"])

    assert [row["ok"]["_rev"] for row in every.body] == ["2-b", "2-a"]
    assert named.body[0]["ok"]["_rev"] == "2-a"
    assert named.body[1] == {"missing": "9-z"}


async def test_leaves_are_multipart_unless_the_client_leaves_it_out(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {})

    for accept in ("*/*", "multipart/mixed"):
        answer = await store.get(f"{db}/a", open_revs="all", headers={"Accept": accept})
        assert answer.headers["Content-Type"].startswith("multipart/mixed")


@pytest.mark.parametrize("doc_id", ["with/slash", "_design/d", "_local/x"])
async def test_location_of_a_document_is_percent_encoded(store: Client, db: str, doc_id: str) -> None:
    path = f"{db}/{quote(doc_id, safe='')}"

    written = await store.put(path, {})

    assert written.headers["Location"] == store.url + path
    assert (await store.get(path)).body["_id"] == doc_id


async def test_latest_follows_a_revision_to_its_leaf(store: Client, db: str) -> None:
    await put_revs(store, db, "a", ["1-x"], ["2-a", "1-x"], ["3-b", "2-a", "1-x"])

    found = await store.get(f"{db}/a", rev="1-x", latest=True)

    assert found.body["_rev"] == "3-b"


async def test_replicated_revision_written_twice_changes_nothing(store: Client, db: str) -> None:
    await put_revs(store, db, "a", ["2-a", "1-x"])
    before = (await store.get(db)).body["update_seq"]

    await put_revs(store, db, "a", ["2-a", "1-x"])

    assert (await store.get(db)).body["update_seq"] == before


async def test_revs_limit_forgets_old_ancestors(store: Client, db: str) -> None:
    await store.put(f"{db}/_revs_limit", 2)
    rev = (await store.put(f"{db}/a", {})).body["rev"]
    for n in range(4):
        rev = (await store.put(f"{db}/a", {"n": n}, rev=rev)).body["rev"]

    found = await store.get(f"{db}/a", revs=True)

    assert found.body["_revisions"]["start"] == 5
    assert len(found.body["_revisions"]["ids"]) == 2


async def test_unchanged_document_is_not_sent_again(store: Client, db: str) -> None:
    rev = (await store.put(f"{db}/a", {"x": 1})).body["rev"]

    answer = await store.get(f"{db}/a", headers={"If-None-Match": f'"{rev}"'})

    assert (answer.status, answer.raw) == (304, b"")


async def test_head_tells_revision_and_length_without_a_body(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {"x": 1})
    full = await store.get(f"{db}/a")

    head = await store.ask("HEAD", f"{db}/a")

    assert (head.status, head.raw) == (200, b"")
    assert head.headers["ETag"] == full.headers["ETag"]
    assert head.headers["Content-Length"] == str(len(full.raw))


async def test_post_makes_an_id(store: Client, db: str) -> None:
    answer = await store.post(db, {"x": 1})

    assert answer.status == 201
    assert (await store.get(f"{db}/{answer.body['id']}")).body["x"] == 1


@pytest.mark.parametrize("doc_id", ["a/b", "með ð", "100%", "a+b c", "q?x#y", "emoji-😀", 'quo"te', "-", "."])
async def test_any_id_can_be_addressed(store: Client, db: str, doc_id: str) -> None:
    from urllib.parse import quote

    path = f"{db}/{quote(doc_id, safe='')}"
    written = await store.put(path, {"x": 1})

    assert written.body["id"] == doc_id
    assert (await store.get(path)).body["_id"] == doc_id


async def test_plus_in_a_path_is_a_space(store: Client, db: str) -> None:
    await store.put(f"{db}/a+b", {})

    assert (await store.get(f"{db}/a%20b")).body["_id"] == "a b"
    assert (await store.get(f"{db}/a%2Bb")).status == 404


async def test_design_document_is_reached_with_and_without_an_encoded_slash(store: Client, db: str) -> None:
    await store.put(f"{db}/_design/d", {"language": "javascript"})

    assert (await store.get(f"{db}/_design%2Fd")).body["_id"] == "_design/d"
    assert (await store.get(f"{db}/_design/d")).body["_id"] == "_design/d"


async def test_copy_makes_a_document_of_the_same_content(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {"x": 1})

    copied = await store.ask("COPY", f"{db}/a", headers={"Destination": "b"})

    assert copied.status == 201
    assert (await store.get(f"{db}/b")).body["x"] == 1


async def test_batch_ok_is_accepted_and_stored(store: Client, db: str) -> None:
    answer = await store.put(f"{db}/a", {"x": 1}, batch="ok")

    assert (answer.status, answer.body) == (202, {"ok": True, "id": "a"})
    assert (await store.get(f"{db}/a")).status == 200


@pytest.mark.parametrize(
    ("data", "status", "error"),
    [
        (b"{bad", 400, "bad_request"),
        (b"", 400, "bad_request"),
        (b"\xff\xfe", 400, "bad_request"),
        (b"[]", 400, "bad_request"),
        (b'"text"', 400, "bad_request"),
        (b'{"_unknown": 1}', 400, "doc_validation"),
        (b'{"_rev": "nonsense"}', 400, "bad_request"),
        (b'{"_rev": 5}', 400, "bad_request"),
        (b'{"_rev": null}', 400, "bad_request"),
        (b'{"_id": 5}', 400, "illegal_docid"),
        (b'{"_revisions": 5}', 400, "doc_validation"),
        (b'{"_deleted": "yes"}', 400, "doc_validation"),
        (b'{"_attachments": []}', 400, "doc_validation"),
        (b'{"_attachments": {"a": {"data": "***"}}}', 400, "bad_request"),
        (b'{"_attachments": {"_a": {"data": ""}}}', 400, "bad_request"),
        (b'{"_attachments": {"a": {"stub": true}}}', 412, "missing_stub"),
        (b'{"_attachments": {"a": {"follows": true}}}', 400, "bad_request"),
        (b'{"x": NaN}', 400, "bad_request"),
        (b"[" * 3000 + b"]" * 3000, 400, "bad_request"),
        (b'{"x": "' + b"y" * 8_100_000 + b'"}', 413, "document_too_large"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_wrong_document_is_refused_whole(store: Client, db: str, data: bytes, status: int, error: str) -> None:
    answer = await store.put(f"{db}/a", data=data)

    assert (answer.status, answer.body["error"]) == (status, error)
    assert (await store.get(f"{db}/a")).status == 404


@pytest.mark.parametrize("doc_id", ["_x", "_design%2F", "_local%2F"])
async def test_reserved_id_is_refused(store: Client, db: str, doc_id: str) -> None:
    answer = await store.put(f"{db}/{doc_id}", {})

    assert answer.status in (400, 404, 405)
    assert answer.body["error"] in ("illegal_docid", "not_found", "method_not_allowed")


@pytest.mark.parametrize("query", ["rev=", "rev=x", "open_revs=x", "open_revs=5", "revs=maybe", "atts_since=%5B1%5D"])
async def test_wrong_option_is_refused(store: Client, db: str, query: str) -> None:
    await store.put(f"{db}/a", {})

    assert (await store.get(f"{db}/a?{query}")).status == 400


async def test_local_document_may_come_with_its_revisions(store: Client, db: str) -> None:
    """PouchDB's "local docs - put then get w/ revisions"."""
    revisions = {"start": 0, "ids": ["1"]}

    written = await store.put(f"{db}/_local/l", {"_revisions": revisions})

    assert (written.status, written.body["rev"]) == (201, "0-1")


async def test_local_document_is_not_replicated(store: Client, db: str) -> None:
    first = await store.put(f"{db}/_local/check%2Fpoint", {"seq": 1})
    second = await store.put(f"{db}/_local/check%2Fpoint", {"_rev": first.body["rev"], "seq": 2})

    found = await store.get(f"{db}/_local/check%2Fpoint")

    assert (first.body["rev"], second.body["rev"]) == ("0-1", "0-2")
    assert found.body == {"_id": "_local/check/point", "_rev": "0-2", "seq": 2}
    assert (await store.get(f"{db}/_changes")).body["results"] == []
    assert (await store.delete(f"{db}/_local/check%2Fpoint", rev="0-2")).status == 200
    assert (await store.get(f"{db}/_local/check%2Fpoint")).status == 404


async def test_new_edits_false_by_put_keeps_the_given_revision(store: Client, db: str) -> None:
    answer = await store.put(f"{db}/a", {"_rev": "3-abc", "x": 1}, new_edits=False)

    assert (answer.status, answer.body["rev"]) == (201, "3-abc")


async def test_new_edits_false_takes_the_revision_beside_the_document(store: Client, db: str) -> None:
    answers = [
        await store.put(f"{db}/a", {"x": 1}, new_edits=False, rev="3-abc"),
        await store.put(f"{db}/a", {"x": 2}, new_edits=False, headers={"If-Match": '"3-def"'}),
    ]

    assert [answer.body["rev"] for answer in answers] == ["3-abc", "3-def"]
    assert (await store.get(f"{db}/a", conflicts=True)).body["_conflicts"] == ["3-abc"]


async def test_compaction_drops_old_bodies_and_keeps_leaves(store: Client, db: str) -> None:
    first = (await store.put(f"{db}/a", {"x": 1})).body["rev"]
    second = (await store.put(f"{db}/a", {"x": 2}, rev=first)).body["rev"]
    assert (await store.get(f"{db}/a", rev=first)).body["x"] == 1
    assert (await store.post(f"{db}/_compact", {})).status == 202
    while (await store.get(db)).body["compact_running"] or (await store.get(f"{db}/a", rev=first)).status == 200:
        pass

    assert (await store.get(f"{db}/a", rev=second)).body["x"] == 2
    assert (await store.get(f"{db}/a", revs=True)).body["_revisions"]["start"] == 2


async def test_file_of_documents_written_often_stops_growing(store: Client, db: str) -> None:
    ids = [f"d{n}" for n in range(100)]
    padding = "x" * 1000
    rows = (await store.post(f"{db}/_bulk_docs", {"docs": [{"_id": i, "p": padding} for i in ids]})).body
    first = rows[0]["rev"]
    for _ in range(25):
        docs = [{"_id": row["id"], "_rev": row["rev"], "p": padding, "n": row["rev"]} for row in rows]
        rows = (await store.post(f"{db}/_bulk_docs", {"docs": docs})).body

    async with asyncio.timeout(30):  # the store compacts by itself once most of what it keeps is old
        while (await store.get(f"{db}/d0", rev=first)).status == 200:
            pass
    assert (await store.get(f"{db}/d0")).body["_rev"] == rows[0]["rev"]


async def test_design_document_that_cannot_work_is_refused(store: Client, db: str) -> None:
    wrong = await store.put(f"{db}/_design/d", {"views": {"v": {"map": "function (doc) {"}}})

    assert (wrong.status, wrong.body["error"]) == (400, "compilation_error")
    assert (await store.get(f"{db}/_design/d")).status == 404


async def test_copy_between_local_and_ordinary_documents(store: Client, db: str) -> None:
    await store.put(f"{db}/a", {"n": 1})
    await store.put(f"{db}/_local/l", {"n": 2})

    to_local = await store.ask("COPY", f"{db}/a", headers={"Destination": "_local/copy"})
    from_local = await store.ask("COPY", f"{db}/_local/l", headers={"Destination": "b%2Fc"})

    assert (to_local.status, to_local.body["rev"]) == (201, "0-1")
    assert (await store.get(f"{db}/_local/copy")).body["n"] == 1
    assert from_local.body["id"] == "b/c"
    assert (await store.get(f"{db}/b%2Fc")).body["n"] == 2
    assert (await store.ask("COPY", f"{db}/_local/none", headers={"Destination": "x"})).status == 404
    assert (await store.ask("COPY", f"{db}/a", headers={"Destination": "_x"})).status == 400
    assert (await store.ask("COPY", f"{db}/a", headers={"Destination": "%E9"})).body["error"] == "illegal_docid"
