"""Attempts of a phone's user to read or write what is another's, all refused (docs/security.md)."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from yarl import URL

from core.couch.client import Database

PHOTO = {"photo": {"content_type": "image/png", "data": "c2VjcmV0LXBob3Rv"}}


@pytest.fixture
async def secret(district: Any) -> str:
    """The revision of the foreign report R7, with a photo and a conflict, below C2 of another health worker."""
    base = {"_id": "R7", "type": "data_record", "form": "visit", "fields": {"patient_id": "C2", "note": "top-secret"}}
    rev = await district.db.put({**base, "contact": {"_id": "S1", "parent": {"_id": "D1"}}, "_attachments": PHOTO})
    conflict = {**base, "_rev": "1-" + "a" * 32, "fields": {"patient_id": "C2", "note": "top-secret too"}}
    await district.db.bulk_docs([conflict], new_edits=False)
    return str(rev)


READS = [
    ("GET", "R7", None),
    ("HEAD", "R7", None),
    ("GET", "R7?rev={rev}", None),
    ("GET", "R7?rev={rev}&rev={rev}", None),
    ("GET", "R7?open_revs=all", None),
    ("GET", 'R7?open_revs=["{rev}"]', None),
    ("GET", "R7?open_revs=all&latest=true&attachments=true", None),
    ("GET", "R7?conflicts=true&revs=true&attachments=true", None),
    ("GET", "%527", None),
    ("GET", "R7%2F", None),
    ("GET", "R7%00", None),
    ("GET", "R7%3Frev={rev}", None),
    ("GET", "R7/photo", None),
    ("GET", "R7/photo?rev={rev}", None),
    ("GET", "R7%2Fphoto", None),
    ("GET", "R7//photo?rev={rev}", None),
    ("GET", "P1%2F..%2FR7%2Fphoto", None),
    ("GET", "P1/../R7/photo", None),
    ("GET", "P1/photo/../../R7/photo", None),
    ("GET", "_local/../R7", None),
    ("GET", "_local%2F..%2FR7", None),
    ("GET", "_design/medic-client/../../R7", None),
    ("GET", "_design%2Fmedic-client%2F..%2F..%2FR7", None),
    ("GET", "_design/medic-client/photo", None),
    ("GET", '_all_docs?key="R7"&include_docs=true', None),
    ("GET", '_all_docs?keys=["R7"]&include_docs=true', None),
    ("GET", '_all_docs?startkey="R7"&endkey="R7"&include_docs=true&attachments=true', None),
    ("POST", "_all_docs?include_docs=true", {"keys": ["R7"]}),
    ("POST", "_all_docs?include_docs=true", {"keys": [["R7"], {"R7": 1}, "R7"]}),
    ("POST", "_bulk_get", {"docs": [{"id": "R7"}]}),
    ("POST", "_bulk_get?attachments=true&latest=true", {"docs": [{"id": "R7", "rev": "{rev}"}]}),
    ("POST", "_bulk_get?revs=true", {"docs": [{"id": "P1"}, {"id": "R7", "open_revs": "all"}]}),
    ("POST", "_changes?filter=_doc_ids&include_docs=true", {"doc_ids": ["R7"]}),
    ("POST", "_changes?filter=_selector&include_docs=true", {"selector": {"_id": "R7"}}),
    ("GET", '_changes?filter=_doc_ids&doc_ids=["R7"]&include_docs=true&attachments=true', None),
    ("GET", "_changes?filter=_view&view=medic/reports_by_date&include_docs=true", None),
    ("GET", "_changes?style=all_docs&conflicts=true&include_docs=true", None),
    ("GET", "_changes?since=now&since=0&include_docs=true", None),
    ("GET", "_changes?descending=true&include_docs=true", None),
    ("POST", "_find", {"selector": {"_id": "R7"}}),
    ("POST", "_explain", {"selector": {"_id": "R7"}}),
    ("GET", "_design/medic/_view/reports_by_date?include_docs=true", None),
    ("COPY", "R7", None),
    ("GET", "R7?attachments=true&atts_since=[]", None),
    ("GET", "P1?rev={rev}", None),
    ("GET", "P1?open_revs=[%22{rev}%22]&latest=true", None),
    ("GET", '_all_docs?keys=["P1"]&keys=["R7"]&include_docs=true', None),
    ("GET", '_all_docs?key="P1"&keys=["R7"]&include_docs=true', None),
    ("POST", '_all_docs?keys=["P1"]&include_docs=true', {"keys": ["R7"], "include_docs": True}),
    ("POST", "_all_docs/queries", {"queries": [{"keys": ["R7"], "include_docs": True}]}),
    ("POST", "_bulk_get", {"docs": [{"id": "P1", "rev": "{rev}"}, {"id": "R7", "rev": "1-" + "a" * 32}]}),
    ("POST", "_bulk_get?open_revs=all&attachments=true", {"docs": [{"_id": "R7"}, {"id": ["R7"]}, "R7"]}),
    ("GET", "_changes?filter=_doc_ids&doc_ids=[%22R7%22]&feed=eventsource&timeout=1&include_docs=true", None),
    ("GET", "_changes?feed=continuous&timeout=1&include_docs=true&since=0", None),
    ("POST", "_changes?since=0&include_docs=true", {"since": "0", "include_docs": True, "filter": "_view"}),
    ("GET", "_local_docs?include_docs=true", None),
    ("GET", "_design_docs?include_docs=true", None),
    ("POST", "_design/medic/_view/reports_by_date/queries", {"queries": [{"include_docs": True}]}),
    ("GET", "_partition/R7/_all_docs?include_docs=true", None),
    ("GET", "_design/medic/_rewrite/../../R7", None),
    ("GET", "_design/medic/_rewrite/..%2F..%2FR7", None),
    ("GET", "R7/_all_docs", None),
    ("PATCH", "R7", None),
    ("OPTIONS", "R7", None),
]


async def ask(district: Any, method: str, path: str, body: Any, rev: str) -> tuple[int, str]:
    data = None if body is None else orjson.dumps(body).replace(b"{rev}", rev.encode())
    address = path.replace("{rev}", rev).replace('"', "%22").replace("[", "%5B").replace("]", "%5D")
    headers = {**district.asha, "Accept": "application/json", "Content-Type": "application/json", "Destination": "R8"}
    url = URL(str(district.client.make_url("/")) + f"medic/{address}", encoded=True)
    async with district.client.session.request(method, url, data=data, headers=headers) as answer:
        return answer.status, (await answer.read()).decode("utf-8", "replace")


async def test_a_foreign_document_is_told_in_no_way(district: Any, secret: str) -> None:
    told = []
    for method, path, body in READS:
        status, text = await ask(district, method, path, body, secret)
        if "secret" in text or "c2VjcmV0" in text or status >= 500:
            told.append((method, path, status, text[:200]))

    assert not told
    assert await district.db.find("R8") is None


WRITES: list[tuple[str, str, Any]] = [
    ("PUT", "R7?rev={rev}", {"type": "data_record", "n": 1}),
    ("PUT", "R7", {"_rev": "{rev}", "type": "task", "user": "org.couchdb.user:asha"}),
    ("PUT", "R7?new_edits=false", {"_rev": "9-" + "b" * 32, "type": "data_record", "n": 1}),
    ("DELETE", "R7?rev={rev}", None),
    ("DELETE", "%527?rev={rev}", None),
    ("PUT", "R7/photo?rev={rev}", {"n": 1}),
    ("DELETE", "R7/photo?rev={rev}", None),
    ("PUT", "P1/../R7?rev={rev}", {"n": 1}),
    ("POST", "", {"_id": "R7", "_rev": "{rev}", "n": 1}),
    ("POST", "", {"_id": "_local/access-identity", "identity": "x"}),
    ("POST", "_bulk_docs", {"docs": [{"_id": "R7", "_rev": "{rev}", "_deleted": True}]}),
    ("POST", "_bulk_docs", {"docs": [{"_id": "R7", "_rev": "9-" + "b" * 32, "n": 1}], "new_edits": False}),
    ("POST", "_bulk_docs", {"docs": [{"_id": "_local/access-identity", "identity": "x"}]}),
    ("POST", "_bulk_docs", {"docs": [{"_id": "_local/sms-offers", "offers": {}}], "new_edits": False}),
    ("POST", "_bulk_docs", {"docs": [{"_id": "_design/medic", "views": {}}]}),
    ("POST", "_bulk_docs", {"docs": [{"_id": "settings", "_rev": "1-a", "settings": {}}], "new_edits": False}),
    ("PUT", "_design/medic", {"views": {}}),
    ("PUT", "_design%2Fmedic", {"views": {}}),
    ("PUT", "_local/access-identity", {"identity": "x"}),
    ("PUT", "_local%2Faccess-identity", {"identity": "x"}),
    ("PUT", "_security", {"members": {"names": [], "roles": []}}),
    ("POST", "_purge", {"R7": ["{rev}"]}),
    ("DELETE", "", None),
    ("COPY", "P1", None),
    ("MOVE", "R7", None),
    ("PUT", "_local/mine", {"type": "clinic", "parent": {"_id": "H2"}}),  # allowed, and not to be copied anywhere
    ("COPY", "_local/mine", None),
    ("COPY", "_local%2Fmine", None),
    # A foreign contact claimed, or named as one's own, in the same request as what is about it.
    (
        "POST",
        "_bulk_docs",
        {
            "docs": [
                {"_id": "C2", "_rev": "2-" + "b" * 32, "type": "clinic", "parent": {"_id": "H1"}},
                {
                    "_id": "R7",
                    "_rev": "9-" + "b" * 32,
                    "type": "data_record",
                    "form": "visit",
                    "fields": {"patient_id": "C2"},
                },
            ],
            "new_edits": False,
        },
    ),
    (
        "POST",
        "_bulk_docs",
        {
            "docs": [
                {
                    "_id": "R7",
                    "_rev": "9-" + "c" * 32,
                    "type": "data_record",
                    "form": "visit",
                    "fields": {"patient_id": "P1"},
                    "_revisions": {"start": 9, "ids": ["c" * 32, "b" * 32]},
                }
            ],
            "new_edits": False,
        },
    ),
    ("POST", "_bulk_docs", {"docs": [], "new_edits": False, "all_or_nothing": True, "docs ": [{"_id": "R7"}]}),
    ("POST", "_bulk_docs?new_edits=false", {"docs": [{"_id": "R7", "_rev": "9-" + "d" * 32, "n": 1}]}),
    ("PUT", "R7%2Fphoto?rev={rev}", {"n": 1}),
    ("PUT", "R7?batch=ok", {"_rev": "{rev}", "type": "task", "user": "org.couchdb.user:asha"}),
    ("POST", "R7", {"_rev": "{rev}", "n": 1}),
    ("POST", "_find", {"selector": {}}),
    ("POST", "_index", {"index": {"fields": ["type"]}}),
    ("POST", "_compact", {}),
    ("PUT", "_revs_limit", 1),
]


async def state_of(db: Database) -> Any:
    """What none of the writes may change."""
    kept = await db.get_many(["R7", "settings", "_design/medic", "P1"])
    leaves = await db.request("GET", "/R7", params={"conflicts": True})
    notes = [await db.get_local(name) for name in ("access-identity", "sms-offers")]
    return kept, leaves, notes, await db.request("GET", "/_security")


async def test_what_is_anothers_or_the_servers_cannot_be_written(district: Any, secret: str) -> None:
    before = await state_of(district.db)
    for method, path, body in WRITES:
        status, text = await ask(district, method, path, body, secret)

        assert status < 500, (method, path, text)
        assert await state_of(district.db) == before, (method, path, status, text)
    assert await district.db.find("R8") is None


async def test_own_design_documents_lead_nowhere(district: Any, secret: str) -> None:
    # CouchDB runs rewrites as the caller, and lets those that are a function name any path of the server.
    meta = f"/medic-user-{district.asha.name}-meta"
    assert (await district.client.put(f"{meta}/", headers=district.asha)).status == 200
    rewrites = f"function (req) {{ return {{path: '../../../{district.db.name}/R7'}}; }}"
    stored = await district.client.put(f"{meta}/_design/way", json={"rewrites": rewrites}, headers=district.asha)
    found = []
    for path in ("way/_rewrite", "way/_rewrite/x", "way%2F_rewrite", "..%2F_design/way/_rewrite"):
        url = URL(str(district.client.make_url(f"{meta}/_design/")) + path, encoded=True)
        async with district.client.session.get(url, headers=district.asha) as answer:
            found.append(answer.status)

    assert stored.status == 201
    assert found == [403] * 4


async def test_an_attachment_is_judged_by_the_very_revision_it_is_read_from_or_written_to(district: Any) -> None:
    # REPL-107: R9 was about C1, and is about the foreign C2 now; so is one of the two revisions of R10.
    def visit(doc_id: str, about: str, **members: Any) -> Any:
        fields = {"patient_id": about}
        return {"_id": doc_id, "type": "data_record", "form": "visit", "fields": fields, **members}

    mine = {"photo": {"content_type": "text/plain", "data": "bWluZQ=="}}
    rev = await district.db.put(visit("R9", "C1", _attachments=mine))
    await district.db.put(visit("R9", "C2", _rev=rev, _attachments=PHOTO))
    leaves = [visit("R10", "C1", _rev="1-" + "f" * 32), visit("R10", "C2", _rev="1-" + "a" * 32)]
    await district.db.bulk_docs(leaves, new_edits=False)
    read = await district.get(f"R9/photo?rev={rev}&latest=true")
    foreign = {"If-Match": "1-" + "a" * 32}
    written = await district.call("PUT", "R10/note", {**district.asha, **foreign}, data=b"x")
    own = await district.call("PUT", "R10/note", {**district.asha, "If-Match": "1-" + "f" * 32}, data=b"x")

    assert (read.status, await read.read()) == (200, b"mine")
    assert written.status == 404  # PROXY-27
    assert own.status == 201


async def test_a_phone_sends_no_more_than_fits_into_memory(district: Any) -> None:
    packed = {**district.asha, "Content-Encoding": "gzip"}
    body = gzip.compress(b'{"R1":["1-a"]' + b" " * 33_554_432 + b"}", compresslevel=1)
    answer = await district.call("POST", "_revs_diff", packed, data=body)

    assert answer.status == 413  # 10 §0


async def test_documents_come_as_json_by_name(district: Any) -> None:
    # What a form on another site's page can post, with the cookies of the visitor.
    body = orjson.dumps({"docs": [{"_id": "R8", "type": "data_record", "form": "visit", "fields": {"place_id": "C1"}}]})
    form = {**district.asha, "Content-Type": "text/plain"}
    answers = [await district.call("POST", path, form, data=body) for path in ("_bulk_docs", "")]

    assert [answer.status for answer in answers] == [415, 415]
    assert (await answers[0].json())["error"] == "bad_content_type"
    assert await district.db.find("R8") is None


@pytest.mark.parametrize(
    "since",
    [
        "0-000000000000.0",
        "999999-{epoch}.0",
        "1-{epoch}-0-999999.0",
        "1-{epoch}-999-0.0",
        "999999999999999-{epoch}-0-0.999999",
        "-1-{epoch}.0",
        "0-{epoch}.; DROP TABLE docs",
        "0' OR '1'='1",
        "null",
        '["0"]',
        "١-{epoch}.0",
        "0-{epoch}.0\u0000",
        "x" * 9000,
    ],
)
async def test_a_tampered_sequence_opens_nothing(district: Any, secret: str, since: str) -> None:
    answer = await district.json("GET", "_changes?limit=1")
    epoch = answer["last_seq"].partition("-")[2][:12]
    response = await district.call(
        "GET", "_changes", params={"since": since.format(epoch=epoch), "include_docs": "true"}
    )
    text = await response.text()

    assert response.status in (200, 400, 414), text[:200]
    assert "secret" not in text
    assert "R7" not in text


async def test_what_was_remembered_of_a_scope_ends_with_it(district: Any) -> None:
    # REPL-142: R1 names P1 by its shortcode
    found = [(await district.get("R1")).status]
    person = await district.db.get("P1")
    rev = await district.db.put({**person, "parent": {"_id": "C2", "parent": {"_id": "H2", "parent": {"_id": "D1"}}}})
    await district.get_ids()
    found.append((await district.get("R1")).status)
    await district.db.put({**person, "_rev": rev})
    await district.get_ids()
    found.append((await district.get("R1")).status)

    assert found == [200, 403, 200]
