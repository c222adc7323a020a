"""POST /api/v1/bulk-delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, web
from aiohttp.test_utils import TestClient, TestServer

from api.app import create_app
from core.bulk_delete import bulk_delete
from core.config import Config
from core.couch.client import Database, Doc, Row
from tests.api.family import FAMILY
from tests.api.scripted_couch import ScriptedCouch
from tests.conftest import basic, free_port

Client = TestClient[Any, Any]
PATH = "/api/v1/bulk-delete"
ANONYMOUS = {"Authorization": "", "Accept": "application/json"}


def named(*doc_ids: str) -> dict[str, Any]:
    return {"docs": [{"_id": each} for each in doc_ids]}


async def test_batches_of_100_in_order_without_the_missing(client: Client, db: Database) -> None:
    ids = [f"n{each:03}" for each in range(150)]
    await db.bulk_docs([{"_id": each, "n": 1} for each in reversed(ids)])

    answer = await client.post(PATH, json=named(*ids, "missing-1", "missing-2", "missing-3"))

    batches = await answer.json()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")  # EP-BLK-2
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [len(batch) for batch in batches] == [100, 50]  # DIV-17
    assert [row["id"] for batch in batches for row in batch] == ids  # EP-BLK-3
    assert all(row["ok"] and row["rev"].startswith("2-") for batch in batches for row in batch)
    assert await db.get_many(ids) == {}


async def test_the_answer_begins_before_the_work_ends(client: Client, db: Database) -> None:
    await db.bulk_docs([{"_id": f"n{each}"} for each in range(101)])
    answer = await client.post(PATH, json=named(*(f"n{each}" for each in range(101))))

    chunks = [chunk async for chunk, _ in answer.content.iter_chunks()]
    assert answer.headers["Transfer-Encoding"] == "chunked"  # EP-BLK-2
    assert chunks[0].startswith(b"[")
    assert b"".join(chunks).endswith(b"]]")


async def test_a_deletion_keeps_the_body(client: Client, db: Database) -> None:
    await db.put({"_id": "p", "type": "person", "parent": {"_id": "c"}})
    ((row,),) = await (await client.post(PATH, json=named("p"))).json()

    left = await db.get("p", rev=row["rev"])
    assert (left["_deleted"], left["type"], left["parent"]) == (True, "person", {"_id": "c"})  # EP-BLK-4


async def test_a_place_lets_go_of_its_deleted_contact(client: Client, db: Database) -> None:
    await db.bulk_docs(FAMILY)
    ((person, place),) = await (await client.post(PATH, json=named("p-mary"))).json()

    odera = await db.get("c-odera")
    assert (person["id"], place["id"]) == ("p-mary", "c-odera")  # EP-BLK-5
    assert (odera["contact"], odera["_rev"], odera["name"]) == (None, place["rev"], "Odera")
    assert (await db.get("hc-kanga"))["contact"]["_id"] == "p-asha"


async def test_only_the_primary_contact_matters_to_its_place(client: Client, db: Database) -> None:
    await db.bulk_docs(FAMILY)
    ((row,),) = await (await client.post(PATH, json=named("p-neema"))).json()

    assert row["id"] == "p-neema"
    assert (await db.get("c-odera"))["contact"] == {"_id": "p-mary"}  # EP-BLK-5


async def test_a_place_deleted_too_is_not_written_before(client: Client, db: Database) -> None:
    await db.bulk_docs([*FAMILY, *({"_id": f"n{each}"} for each in range(100))])
    batches = await (
        await client.post(PATH, json=named("p-mary", *(f"n{each}" for each in range(100)), "c-odera"))
    ).json()

    assert [len(batch) for batch in batches] == [100, 2]  # EP-BLK-5
    assert batches[1][-1]["rev"].startswith("2-")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("docs", "POST body must include `docs` parameter."),
        ([], "POST body must include `docs` parameter."),
        ({}, "POST body must include `docs` parameter."),
        ({"docs": {}}, "`docs` parameter must be an array."),
        ({"docs": [{"_id": "a"}, "b"]}, "`docs[1]` must be an object with a text `_id`."),
        ({"docs": [{"_id": 1}]}, "`docs[0]` must be an object with a text `_id`."),
        ({"docs": [{"_id": ""}]}, "`docs[0]` must be an object with a text `_id`."),
        (named("a", "b", "a", "c", "b"), "Duplicate documents when deleting: a,b"),
    ],
    ids=["text body", "array", "no docs", "docs no array", "text", "number", "empty id", "duplicates"],
)
async def test_a_bad_request_deletes_nothing(client: Client, db: Database, body: Any, reason: str) -> None:
    await db.bulk_docs([{"_id": "a"}, {"_id": "b"}])
    answer = await client.post(PATH, json=body)

    assert (answer.status, await answer.json()) == (400, {"error": "bad_request", "reason": reason})  # EP-BLK-7, 8
    assert len(await db.get_many(["a", "b"])) == 2


async def test_nothing_to_delete(client: Client) -> None:
    answer = await client.post(PATH, json={"docs": []})

    assert (answer.status, await answer.json()) == (200, [])  # EP-BLK-8


async def test_who_may_delete(client: Client, make_user: Any) -> None:
    chw = await make_user("chw", roles=["chw"])
    clerk = await make_user("clerk", roles=["data_entry"])
    offline = await client.post(PATH, json={"docs": []}, headers=chw)
    no_edit = await client.post(PATH, json={"docs": []}, headers=clerk)
    anonymous = await client.post(PATH, json={"docs": []}, headers=ANONYMOUS)

    assert (offline.status, (await offline.json())["error"]) == (403, "forbidden")  # EP-BLK-1, DIV-18
    assert (no_edit.status, await no_edit.text()) == (403, "Insufficient privileges")
    assert anonymous.status == 401


async def test_configuration_is_for_administrators(client: Client, db: Database, make_user: Any) -> None:
    await db.bulk_docs([{"_id": "form:visit", "type": "form"}, {"_id": "r", "type": "data_record"}])
    officer = await make_user("officer", roles=["program_officer"])
    ids = ["settings", "form:visit", "_design/medic", "r"]

    (rows,) = await (await client.post(PATH, json=named(*ids), headers=officer)).json()

    forbidden = {"error": "forbidden", "reason": "You are not authorized to edit admin only docs", "status": 403}
    assert rows[:3] == [{"id": each, **forbidden} for each in ids[:3]]  # PROXY-14, PROXY-42
    assert rows[3]["ok"]
    assert set(await db.get_many(ids)) == set(ids[:3])
    ((row,),) = await (await client.post(PATH, json=named("form:visit"))).json()
    assert row["ok"]


class Contended(Database):
    """A database in which somebody else writes `target` before each of the first `times` bulk writes."""

    target = ""
    times = 0
    requests = 0

    async def bulk_docs(self, docs: Any, **options: Any) -> list[Row]:
        if self.times:
            self.times -= 1
            doc = await super().get(self.target)
            await super().put({**doc, "touched": doc.get("touched", 0) + 1})
        self.requests += 1
        return await super().bulk_docs(docs, **options)


def contended(db: Database, target: str, times: int) -> Contended:
    made = Contended(db.couch, db.name)
    made.target, made.times = target, times
    return made


async def delete_all(db: Database, *doc_ids: str) -> list[Row]:
    return [row async for batch in bulk_delete(db, doc_ids, as_admin=True) for row in batch]


async def test_a_conflict_is_read_again_and_repeated(db: Database) -> None:
    await db.bulk_docs([{"_id": "a"}, {"_id": "b"}, {"_id": "c"}])
    busy = contended(db, "b", 3)
    rows = await delete_all(busy, "a", "b", "c")

    assert [(row["id"], row["ok"]) for row in rows] == [("a", True), ("b", True), ("c", True)]  # EP-BLK-6
    assert (await db.get("b", rev=rows[1]["rev"]))["touched"] == 3


async def test_a_conflict_that_stays_is_reported(db: Database) -> None:
    await db.bulk_docs([{"_id": "a"}, {"_id": "b"}])
    busy = contended(db, "a", 9)
    rows = await delete_all(busy, "a", "b")

    assert (rows[0]["id"], rows[0]["error"], rows[0]["status"]) == ("a", "conflict", 409)  # EP-BLK-3, EP-BLK-6
    assert (rows[1]["ok"], busy.requests) == (True, 4)


async def test_a_place_that_is_being_written_still_lets_go(db: Database) -> None:
    await db.bulk_docs(FAMILY)
    rows = await delete_all(contended(db, "c-odera", 2), "p-mary")

    assert [row["id"] for row in rows] == ["p-mary", "c-odera"]
    odera: Doc = await db.get("c-odera")
    assert (odera["contact"], odera["touched"]) == (None, 2)  # EP-BLK-5, EP-BLK-6


async def test_a_failure_half_way_cuts_the_answer_short(tmp_path: Path) -> None:
    """Before a CouchDB that knows every document and fails at the second bulk write."""
    written: list[int] = []

    async def bulk_get(request: web.Request) -> web.Response:
        ids = [each["id"] for each in (await request.json())["docs"]]
        results = [{"id": each, "docs": [{"ok": {"_id": each, "_rev": "1-a"}}]} for each in ids]
        return web.json_response({"results": results})

    async def bulk_docs(request: web.Request) -> web.Response:
        docs = (await request.json())["docs"]
        if written:
            return web.json_response({"error": "internal_server_error", "reason": "disk"}, status=500)
        written.append(len(docs))
        return web.json_response([{"ok": True, "id": doc["_id"], "rev": "2-b"} for doc in docs])

    scripted = ScriptedCouch(web.post("/medic/_bulk_get", bulk_get), web.post("/medic/_bulk_docs", bulk_docs))
    await scripted.server.start_server(shutdown_timeout=0.1)
    url = f"http://admin:secret@127.0.0.1:{scripted.server.port}/medic"
    config = Config(data=tmp_path, port=free_port()).with_couch_url(url)
    try:
        async with TestClient(TestServer(create_app(config)), headers=basic("admin", "secret")) as front:
            answer = await front.post(PATH, json=named(*(f"n{each}" for each in range(300))))
            received = bytearray()

            async def read() -> None:
                async for chunk in answer.content.iter_any():
                    received.extend(chunk)

            with pytest.raises(ClientError):
                await read()
    finally:
        await scripted.server.close()

    assert answer.status == 200  # EP-BLK-9
    assert (received.count(b'"ok"'), received[:2], received[-1:], written) == (100, b"[[", b"]", [100])
