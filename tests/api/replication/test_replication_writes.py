"""Writing as an offline user (20 §12, §17)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

D1 = {"_id": "D1"}
H1 = {"_id": "H1", "parent": D1}
H2 = {"_id": "H2", "parent": D1}
A1 = {"_id": "A1", "parent": H1}
DENIED = {"error": "forbidden", "reason": "Insufficient privileges"}


def visit(doc_id: str, subject: str) -> dict[str, Any]:
    return {"_id": doc_id, "type": "data_record", "form": "visit", "contact": A1, "fields": {"patient_id": subject}}


async def bulk(district: Any, docs: list[Any], user: Any = None, **members: Any) -> Any:
    return await district.json("POST", "_bulk_docs", user, json={"docs": docs, **members})


async def test_bulk_docs_accepts_what_belongs_together_in_any_order(district: Any) -> None:
    # §17.2, REPL-117
    rows = await bulk(
        district,
        [
            visit("about-new", "n1"),
            {"_id": "N-1", "type": "clinic", "place_id": "n1", "parent": H1},
            visit("about-foreign", "n2"),
            {"_id": "N-2", "type": "clinic", "place_id": "n2", "parent": H2},
        ],
    )

    assert [row.get("ok") for row in rows] == [True, True, None, None]
    assert rows[2:] == [{"id": "about-foreign", "error": "forbidden"}, {"id": "N-2", "error": "forbidden"}]
    assert set(await district.db.get_many(["about-new", "N-1", "about-foreign", "N-2"])) == {"about-new", "N-1"}


async def test_refused_documents_without_id_have_none_in_their_row(district: Any) -> None:
    rows = await bulk(district, [{"type": "clinic", "parent": H2}, {"type": "clinic", "parent": H1}])

    assert rows[0] == {"error": "forbidden"}  # REPL-120
    assert rows[1]["ok"]


async def test_pretending_to_own_a_foreign_contact_opens_nothing(district: Any) -> None:
    stored = await district.db.get("C2")
    rows = await bulk(district, [{**stored, "parent": H1}, visit("about-it", "C2"), visit("by-code", "50002")])

    assert rows == [{"id": each, "error": "forbidden"} for each in ("C2", "about-it", "by-code")]


async def test_visible_contact_to_a_foreign_parent_and_back_are_forbidden(district: Any) -> None:
    # §17.3, REPL-110, REPL-123
    own, foreign = await district.db.get("C1"), await district.db.get("C2")

    moved_out = await district.call("PUT", "C1", json={**own, "parent": H2})
    moved_in = await district.call("PUT", "C2", json={**foreign, "parent": H1})

    for response in (moved_out, moved_in):
        assert response.status == 403
        assert await response.json() == DENIED


@pytest.mark.parametrize(
    ("doc", "status"),
    [
        ({"_id": "t", "type": "task", "user": "org.couchdb.user:somebody"}, 403),
        ({"_id": "t", "type": "task", "user": "ASHA"}, 201),
        ({"_id": "t", "type": "target", "owner": "P1"}, 201),
        ({"_id": "t", "type": "target", "owner": "C2"}, 403),
        ({"_id": "t"}, 403),
        ({"_id": "t", "type": "feedback"}, 201),
        ({"_id": "t", "type": "person", "parent": H1}, 201),
        ({"_id": "t", "type": "person", "parent": H2}, 403),
        ({"_id": "t", "type": "person"}, 403),
    ],
    ids=str,
)
async def test_new_documents_must_be_the_users_own(district: Any, doc: dict[str, Any], status: int) -> None:
    # §17.4, REPL-113, REPL-114
    if doc.get("user") == "ASHA":
        doc = {**doc, "user": district.user_id(district.asha)}
    put = await district.call("PUT", "t", json=doc)
    post = await district.call("POST", "", json={**doc, "_id": "t2"})

    assert (put.status, post.status) == (status, status)
    assert set(await district.db.get_many(["t", "t2"])) == ({"t", "t2"} if status == 201 else set())


async def test_posting_over_a_stored_document_is_judged_as_putting_is(district: Any) -> None:
    # REPL-111, stricter: with its `_rev`, or where it was deleted, a post would overwrite the foreign document
    foreign = await district.db.get("R6")
    bodies = (visit("R6", "P1"), {**visit("R6", "P1"), "_rev": foreign["_rev"]}, visit("R1", "C2"), visit("R1", "P1"))

    answers = [await district.call("POST", "", json=body) for body in bodies]

    assert [answer.status for answer in answers] == [403, 403, 403, 409]
    assert await district.db.get("R6") == foreign


async def test_feedback_is_never_updated(district: Any) -> None:
    first = await district.json("PUT", "f", json={"type": "feedback"})

    again = await district.call("PUT", "f", json={"type": "feedback", "_rev": first["rev"]})

    assert again.status == 403


async def test_without_new_edits_only_failures_are_told(district: Any) -> None:
    # §17.5, REPL-121
    docs = [{**visit(f"v{n}", "P1" if n % 2 else "C2"), "_rev": f"3-{n:032x}"} for n in range(4)]

    rows = await bulk(district, docs, new_edits=False)

    assert rows == [{"id": "v0", "error": "forbidden"}, {"id": "v2", "error": "forbidden"}]
    stored = await district.db.get_many(["v0", "v1", "v2", "v3"])
    assert {doc_id: doc["_rev"] for doc_id, doc in stored.items()} == {f"v{n}": f"3-{n:032x}" for n in (1, 3)}


async def test_deletions_need_the_stored_document(district: Any) -> None:
    # REPL-112, REPL-122
    docs = await district.db.get_many(["R1", "R6", "R4", "P1"])
    stubs = [{"_id": each, "_rev": docs[each]["_rev"], "_deleted": True} for each in ("R1", "R6")]

    rows = await bulk(district, [*stubs, {**docs["R4"], "_deleted": True}])
    own = await district.call("DELETE", f"P1?rev={docs['P1']['_rev']}")
    foreign = await district.call("DELETE", f"R6?rev={docs['R6']['_rev']}")

    assert [row.get("error") for row in rows] == [None, "forbidden", None]
    assert own.status == 200
    assert (foreign.status, await foreign.json()) == (403, DENIED)
    assert set(await district.db.get_many(docs)) == {"R6"}


async def test_a_deleted_document_is_written_over_only_by_those_who_saw_it(district: Any) -> None:
    # REPL-115
    for doc_id in ("R1", "R6"):
        await district.db.delete(doc_id, (await district.db.get(doc_id))["_rev"])

    own = await district.call("PUT", "R1", json=visit("R1", "P1"))
    foreign = await district.call("PUT", "R6", json=visit("R6", "P1"))

    assert (own.status, foreign.status) == (201, 403)


async def test_storage_has_its_say_after_the_filter(district: Any) -> None:
    # PROXY-45: settings are everyone's to read, and nobody's to write
    settings = await district.db.get("settings")

    rows = await bulk(district, [settings, visit("own", "P1")])

    assert rows[0]["error"] == "forbidden"
    assert "admin only" in rows[0]["reason"]
    assert rows[1]["ok"]


async def test_conflicts_are_told_as_storage_tells_them(district: Any) -> None:
    response = await district.call("PUT", "R1", json=visit("R1", "P1"))

    assert response.status == 409
    assert (await response.json())["error"] == "conflict"


async def test_without_can_edit_nothing_is_written(district: Any) -> None:
    # PROXY-11, PROXY-12: the filter comes first
    settings = await district.db.get("settings")
    settings["settings"]["permissions"]["can_edit"] = []
    await district.settings_arrived(await district.db.put(settings))

    own = await district.call("PUT", "t", json=visit("t", "P1"))
    foreign = await district.call("PUT", "t", json=visit("t", "C2"))
    many = await district.call("POST", "_bulk_docs", json={"docs": [visit("t", "P1")]})
    photo = await district.call("PUT", "P1/photo.txt?rev=" + (await district.db.get("P1"))["_rev"], data=b"x")

    assert (await own.json())["error"] == "Insufficient privileges"
    assert await foreign.json() == DENIED
    assert [response.status for response in (own, foreign, many, photo)] == [403, 403, 403, 403]
    assert await district.db.find("t") is None


async def test_a_second_spelling_of_a_member_does_not_get_past_the_filter(district: Any) -> None:
    text = orjson.dumps(visit("twice", "P1")).decode()
    body = text[:-1] + ',"type":"data_record"}'
    smuggled = body.replace('"_id":"twice"', '"_id":"R6","_id":"twice"')

    response = await district.call("POST", "", data=smuggled.encode())

    assert response.status == 201  # PROXY-13
    assert (await response.json())["id"] == "twice"


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("_bulk_docs", b"", "invalid UTF-8 JSON"),
        ("_bulk_docs", b"{", "invalid UTF-8 JSON"),
        ("_bulk_docs", b"{}", "POST body must include `docs` parameter."),
        ("_bulk_docs", b'{"docs":1}', "`docs` parameter must be an array."),
        ("_bulk_docs", b'{"docs":[1]}', "Every member of `docs` must be a JSON object."),
        ("_bulk_get", b"{}", "Missing JSON list of `docs`."),
        ("_bulk_get", b'{"docs":{}}', "`docs` parameter must be an array."),
        ("_all_docs", b'{"keys":1}', "`keys` body member must be an array."),
        ("_all_docs?keys=1", b"", "`keys` parameter must be an array."),
    ],
)
async def test_wrong_requests_say_what_was_expected(district: Any, path: str, body: bytes, reason: str) -> None:
    # PROXY-20, PROXY-21, PROXY-22, PROXY-23, PROXY-24, PROXY-25, AUTH-6
    response = await district.call("POST", path, data=body)

    assert response.status == 400
    assert await response.json() == {"error": "bad_request", "reason": reason}


async def test_writes_date_their_infodocs(district: Any, sentinel_db: Any) -> None:
    # PROXY-15, INF-2
    await district.call("PUT", "one", json=visit("one", "P1"))
    await bulk(district, [visit("two", "P1"), visit("refused", "C2")])
    await bulk(district, [{**visit("three", "P1"), "_rev": f"1-{1:032x}"}], new_edits=False)
    doc = await district.db.get("R1")
    await district.call("DELETE", f"R1?rev={doc['_rev']}")

    wanted = {"one-info", "two-info", "three-info"}
    for _ in range(200):
        found = await sentinel_db.get_many([*wanted, "refused-info", "R1-info"])
        if set(found) >= wanted:
            break
    assert set(found) == wanted
    for infodoc in found.values():
        assert infodoc["initial_replication_date"] == infodoc["latest_replication_date"]
        assert infodoc["doc_id"] + "-info" == infodoc["_id"]


async def test_a_document_nested_too_deeply_is_refused(district: Any) -> None:
    doc: dict[str, Any] = {}
    for _ in range(260):
        doc = {"a": doc}

    response = await district.call("POST", "_bulk_docs", json={"docs": [doc]})

    assert response.status == 400
    assert "nested more than" in (await response.json())["reason"]
