"""What an offline user reaches below the main database: 10 §7.1, column Offline; and attempts to get past it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from yarl import URL

from tests.api.replication.conftest import A1, report

FIREWALL = {
    "code": 403,
    "error": "forbidden",
    "details": "Offline users are not allowed access to this endpoint",
}
DENIED = {"error": "forbidden", "reason": "Insufficient privileges"}


# PROXY-3: `_changes/x`; PROXY-26: other methods of a document
PATH_TABLE: list[tuple[str, str, Any]] = [
    ("GET", "_changes", 200),
    ("POST", "_changes", 200),
    ("GET", "_all_docs", 200),
    ("POST", "_all_docs", 200),
    ("PUT", "_all_docs", FIREWALL),
    ("GET", "_bulk_get", FIREWALL),
    ("GET", "_bulk_docs", FIREWALL),
    ("POST", "_revs_diff", 200),
    ("POST", "_missing_revs", 200),
    ("GET", "_local/checkpoint", 404),
    ("PUT", "_local/checkpoint", 201),
    ("GET", "_design/medic-client", 200),
    ("GET", "_design/medic", DENIED),
    ("GET", "_design/medic-admin", DENIED),
    ("GET", "_design%2Fmedic", DENIED),
    ("GET", "%5Fdesign/medic", DENIED),
    ("PUT", "_design/medic-client", DENIED),
    ("DELETE", "_design/medic-client", DENIED),
    ("GET", "_design/medic-client/_view/contacts_by_type", FIREWALL),
    ("POST", "_design/medic/_view/docs_by_shortcode", FIREWALL),
    ("GET", "_design/medic/_show/x", FIREWALL),
    ("GET", "_design/medic/_list/x/y", FIREWALL),
    ("POST", "_find", FIREWALL),
    ("POST", "_explain", FIREWALL),
    ("GET", "_index", FIREWALL),
    ("POST", "_ensure_full_commit", FIREWALL),
    ("GET", "_security", FIREWALL),
    ("PUT", "_security", FIREWALL),
    ("POST", "_purge", FIREWALL),
    ("POST", "_compact", FIREWALL),
    ("POST", "_view_cleanup", FIREWALL),
    ("GET", "_revs_limit", FIREWALL),
    ("GET", "_local_docs", FIREWALL),
    ("GET", "_design_docs", FIREWALL),
    ("GET", "_changes/x", FIREWALL),
    ("GET", "_all_docs/queries", FIREWALL),
    ("POST", "_all_docs/queries", FIREWALL),
    ("GET", "_partition/x/_all_docs", FIREWALL),
    ("GET", "_shards", FIREWALL),
    ("PUT", "", FIREWALL),
    ("DELETE", "", FIREWALL),
    ("POST", "P1", DENIED),
    ("PATCH", "P1", DENIED),
    ("COPY", "P1", DENIED),
    ("PUT", "P1", DENIED),
    ("GET", "../_users/_all_docs", 403),
    ("GET", "P1/../../_users", 403),
    ("GET", "%2e%2e/_users/_all_docs", 403),
    ("GET", "P1%2F..%2FR6", 403),
    ("GET", "_local/../R6", 403),
    ("GET", "_design/medic/_rewrite/../../R6", 403),
    ("GET", "R6", DENIED),
    ("GET", "R6/", DENIED),
    ("GET", "/R6", DENIED),
    ("GET", "%52%36", DENIED),
    ("GET", "R6?rev=nonsense", None),
    ("GET", "R6?revs_info=true", DENIED),
    ("GET", "R6?revs=true&open_revs=&open_revs=all", None),
]


async def test_offline_column_of_the_path_table(district: Any) -> None:
    headers = {**district.asha, "Accept": "application/json", "Content-Type": "application/json"}
    wrong = []
    for method, path, expected in PATH_TABLE:
        body = None if method in ("GET", "DELETE", "COPY", "PATCH") or path == "P1" else b"{}"
        if (method, path) == ("POST", "_all_docs"):
            body = b'{"keys":[]}'

        response = await district.client.request(
            method, URL(f"/medic/{path}", encoded=True), data=body, headers=headers
        )

        text = await response.text()
        answer = orjson.loads(text) if isinstance(expected, dict) and response.status == 403 else response.status
        if expected not in (None, answer):
            wrong.append((method, path, response.status, text[:200]))
        # R6 is about C2, which is another's
        assert "C2" not in text or path.startswith("_design"), (method, path, text)
    assert not wrong


OUTSIDE: list[tuple[str, str, Any]] = [
    ("GET", "/_users/_all_docs", FIREWALL),
    ("GET", "/_all_dbs", FIREWALL),
    ("GET", "/_utils/", FIREWALL),
    ("GET", "/_node/_local/_config", FIREWALL),
    ("GET", "/_config", FIREWALL),
    ("POST", "/_replicate", FIREWALL),
    ("GET", "/medic-sentinel/_all_docs", FIREWALL),
    ("PUT", "/somewhere/", FIREWALL),
    ("GET", "/api/v1/unknown", FIREWALL),
    ("GET", "/_session", 200),
    ("GET", "/", 200),
    ("GET", "/dbinfo", 200),
]


@pytest.mark.parametrize(("method", "path", "expected"), OUTSIDE, ids=[f"{row[0]} {row[1]}" for row in OUTSIDE])
async def test_offline_column_of_the_path_table_outside_the_database(
    district: Any, method: str, path: str, expected: Any
) -> None:
    response = await district.client.request(
        method, path, headers={**district.asha, "Accept": "application/json", "Content-Type": "application/json"}
    )

    assert (await response.json() if isinstance(expected, dict) else response.status) == expected


async def test_leaves_of_a_foreign_document_are_an_empty_list(district: Any) -> None:
    own = await district.get("P1?open_revs=all")
    foreign = await district.get("R6?open_revs=all")
    missing = await district.get("nothing?open_revs=all")

    assert [each["ok"]["_id"] for each in await own.json()] == ["P1"]  # REPL-105
    assert (foreign.status, await foreign.json()) == (200, [])
    assert (missing.status, await missing.json()) == (200, [])


async def test_old_revisions_are_judged_by_what_they_said(district: Any) -> None:
    before = await district.db.get("R6")
    await district.db.put({**before, "fields": {"patient_id": "P1"}})

    now = await district.get("R6")
    then = await district.get(f"R6?rev={before['_rev']}")
    asked = {"docs": [{"id": "R6"}, {"id": "R6", "rev": before["_rev"]}]}
    both = await district.json("POST", "_bulk_get", json=asked)

    assert (now.status, then.status) == (200, 403)  # REPL-101, REPL-104
    assert [len(result["docs"]) for result in both["results"]] == [1]


async def test_bare_deletion_stubs_may_be_read(district: Any) -> None:
    rev = await district.db.delete("R6", (await district.db.get("R6"))["_rev"])

    response = await district.get(f"R6?rev={rev}")
    both = await district.json("POST", "_bulk_get", json={"docs": [{"id": "R6", "rev": rev}]})

    assert (await response.json())["_deleted"] is True  # REPL-102, REPL-106
    assert both["results"][0]["docs"][0]["ok"]["_deleted"] is True


async def test_a_photo_of_an_allowed_revision_is_not_a_key_to_another(district: Any) -> None:
    before = await district.db.get("R6")
    photo = {"x.txt": {"content_type": "text/plain", "data": "c2VjcmV0"}}
    secret = await district.db.put({**before, "_attachments": photo})
    allowed = await district.db.put({**before, "_rev": secret, "fields": {"patient_id": "P1"}})

    response = await district.get(f"R6/x.txt?rev={allowed}&rev={secret}")

    assert b"secret" not in await response.read()


async def test_methods_of_attachments(district: Any) -> None:
    doc = await district.db.get("P1")

    put = await district.call("PUT", f"P1/x.txt?rev={doc['_rev']}", data=b"hello")
    rev = (await put.json())["rev"]
    head = await district.call("HEAD", "P1/x.txt")
    delete = await district.call("DELETE", f"P1/x.txt?rev={rev}")
    post = await district.call("POST", f"P1/x.txt?rev={rev}", data=b"hello")
    foreign = await district.call("PUT", "C2/x.txt?rev=" + (await district.db.get("C2"))["_rev"], data=b"hello")

    assert [response.status for response in (put, head, delete, post, foreign)] == [201, 200, 200, 403, 403]


async def test_deletes_are_told_of_deleted_documents_only(district: Any) -> None:
    # REPL-90, REPL-91
    for doc_id in ("R1", "R2"):
        await district.db.delete(doc_id, (await district.db.get(doc_id))["_rev"])
    path = "/api/v1/replication/get-deletes"
    asked = {"doc_ids": ["R1", "R1", "P1", "never", "R2", 5]}

    answer = await district.client.post(path, json=asked, headers=district.asha)
    empty = await district.client.post(path, json={"doc_ids": []}, headers=district.asha)
    wrong = await district.client.post(path, json={}, headers=district.asha)

    assert sorted((await answer.json())["doc_ids"]) == ["R1", "R2"]  # EP-OTH-7
    assert await empty.json() == {"doc_ids": []}
    assert (wrong.status, (await wrong.json())["error"]) == (400, "bad_request")


@pytest.mark.parametrize("path", ["replication/get-ids", "initial-replication/get-ids"])
async def test_lists_are_for_offline_users(district: Any, make_user: Any, path: str) -> None:
    online = await make_user("officer", roles=["program_officer"])

    hers = await district.client.get(f"/api/v1/{path}", headers=district.asha)
    officers = await district.client.get(f"/api/v1/{path}", headers=online)
    nobodys = await district.client.get(f"/api/v1/{path}", headers={"Authorization": "", "Accept": "application/json"})

    assert [response.status for response in (hers, officers, nobodys)] == [200, 404, 401]  # EP-OTH-7


async def test_last_seq_of_the_list_continues_in_the_feed(district: Any) -> None:
    listed = await district.get_ids()
    await district.db.put({"_id": "new", "type": "person", "parent": {"_id": "H1"}})

    answer = await district.json("GET", f"_changes?since={listed['last_seq']}")

    assert [row["id"] for row in answer["results"]] == ["new"]


async def test_ranges_of_all_docs(district: Any) -> None:
    # REPL-97
    async def ids(query: str) -> list[str]:
        answer = await district.json("GET", f"_all_docs?{query}")
        return [row["id"] for row in answer["rows"]]

    every = await ids("")
    assert await ids('startkey="P1"') == [each for each in every if each >= "P1"]
    assert await ids('startkey="C1"&endkey="H1"') == ["C1", "G1", "H1"]
    assert await ids('startkey="C1"&end_key="H1"&inclusive_end=false') == ["C1", "G1"]
    assert await ids('startkey="Z"&start_key="C1"&endkey="G1"') == ["C1", "G1"]
    assert await ids("skip=2&limit=3") == every[2:5]
    assert await ids('key="P1"') == ["P1"]


async def test_visible_deleted_documents_among_requested_ids(district: Any) -> None:
    # REPL-98
    for doc_id in ("R1", "R6"):
        await district.db.delete(doc_id, (await district.db.get(doc_id))["_rev"])

    answer = await district.json("POST", "_all_docs?include_docs=true", json={"keys": ["R1", "R6"]})

    assert answer["rows"][0]["value"]["deleted"] is True
    assert answer["rows"][1] == {"id": "R6", "error": "forbidden"}


async def test_an_answer_by_ids_has_nothing_but_rows(district: Any) -> None:
    # REPL-99: neither `total_rows` nor `offset`
    by_ids = await district.json("POST", "_all_docs?include_docs=true", json={"keys": ["R1"]})

    assert set(by_ids) == {"rows"}
    assert by_ids["rows"][0]["doc"]["_id"] == "R1"


async def test_database_info_is_the_least_pouchdb_needs(district: Any) -> None:
    info = await district.json("GET", "")

    assert set(info) <= {"db_name", "update_seq", "instance_start_time", "doc_count"}
    assert info["db_name"] == district.db.name


async def test_a_list_that_the_phone_has_is_not_sent_again(district: Any) -> None:
    # REPL-147
    async def ask(etag: str = "", user: Any = None) -> Any:
        await district.level()
        headers = {**(user or district.asha), "If-None-Match": etag}
        response = await district.client.get("/api/v1/replication/get-ids", headers=headers)
        return response.status, response.headers["ETag"], await response.read()

    _, etag, _ = await ask()
    await district.db.put({"_id": "foreign", "type": "clinic", "parent": {"_id": "H2"}})
    same = await ask(f'"other", {etag}')
    others = await ask(etag, district.sue)
    await district.db.put({**await district.db.get("R1"), "changed": True})
    changed = await ask(etag)

    assert same == (304, etag, b"")
    assert others[0] == changed[0] == 200
    assert len({etag, others[1], changed[1]}) == 3


async def test_a_long_answer_is_packed_whole(district: Any) -> None:
    # AUTH-8, REPL-149
    docs = [report(f"long-{n}", A1, patient_id="60001", note=f"{n} " * 700) for n in range(101)]
    await district.db.bulk_docs(docs)
    wanted = {"docs": [{"id": doc["_id"]} for doc in docs]}

    async def ask(encoding: str) -> Any:
        headers = {**district.asha, "Accept": "application/json", "Accept-Encoding": encoding}
        response = await district.client.post("/medic/_bulk_get", json=wanted, headers=headers)
        return response.headers.get("Content-Encoding"), await response.json()

    packed, plain = await ask("gzip"), await ask("identity")

    assert packed[0] == "gzip"
    assert plain[0] is None
    assert packed[1] == plain[1]
    assert len(plain[1]["results"]) == 101
