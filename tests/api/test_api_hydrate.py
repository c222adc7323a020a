"""GET and POST /api/v1/hydrate."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient

from api.access.index import AccessIndex
from api.keys import ACCESS
from core.config import Config
from core.couch.client import Database
from core.hydration import BATCH, hydrate_ids
from tests.api.family import FAMILY, MARY, NEEMA
from tests.conftest import Background
from tests.core.counting import CountingDatabase

Client = TestClient[Any, Any]
PATH = "/api/v1/hydrate"
ANONYMOUS = {"Authorization": "", "Accept": "application/json"}
NO_ARRAY = {"error": "bad_request", "reason": "`doc_ids` parameter must be a json array."}


async def ask(client: Client, doc_ids: Any) -> list[dict[str, Any]]:
    answer = await client.post(PATH, json={"doc_ids": doc_ids})
    assert answer.status == 200
    return list(orjson.loads(await answer.read()))


async def test_documents_come_hydrated_in_the_order_asked(client: Client, db: Database) -> None:
    await db.bulk_docs(FAMILY)

    found = await ask(client, ["r-visit", "nope", "p-neema", "p-neema"])

    assert [row["id"] for row in found] == ["r-visit", "nope", "p-neema", "p-neema"]  # EP-HYD-2
    report, missing, neema, again = found
    assert missing == {"id": "nope", "error": "not_found"}
    assert neema == again
    assert neema["doc"]["parent"]["name"] == "Odera"  # EP-HYD-4, MOD-42
    assert neema["doc"]["parent"]["contact"]["name"] == "Mary"
    assert neema["doc"]["parent"]["contact"]["parent"] == MARY["parent"]
    assert neema["doc"]["parent"]["parent"]["name"] == "Kanga Health Centre"
    assert report["doc"]["contact"]["name"] == "Asha"  # MOD-43
    assert report["doc"]["patient"]["name"] == "Neema W."


async def test_documented_get(client: Client, db: Database) -> None:
    await db.bulk_docs(FAMILY)
    answer = await client.get(PATH, params={"doc_ids": '["p-neema","nope"]'})

    body = await answer.json()
    assert (answer.status, answer.content_type) == (200, "application/json")  # EP-HYD-1
    assert (body[0]["doc"]["name"], body[1]) == (NEEMA["name"], {"id": "nope", "error": "not_found"})


async def test_who_has_a_shortcode_is_known_before_the_index_knows(
    client: Client, db: Database, indexer: Background
) -> None:
    def person(doc_id: str) -> dict[str, Any]:
        return {"_id": doc_id, "type": "person", "patient_id": "60001"}

    visit = {"_id": "visit", "type": "data_record", "form": "visit", "fields": {"patient_id": "60001"}}
    await db.bulk_docs([person("p2"), visit])
    assert await client.app[ACCESS].catch_up(db, most_s=30) == 0
    before = await ask(client, ["visit"])
    await indexer.close()
    written = await client.put("/medic/p1", json=person("p1"))
    [after] = await ask(client, ["visit"])

    assert before[0]["doc"]["patient"]["_id"] == "p2"
    assert written.status == 201
    assert after["doc"]["patient"]["_id"] == "p1"  # HYD-4: the lowest


async def test_deleted_documents_are_not_found(client: Client, db: Database) -> None:
    await db.delete("gone", await db.put({"_id": "gone", "type": "person"}))

    assert await ask(client, ["gone"]) == [{"id": "gone", "error": "not_found"}]  # EP-HYD-2


async def test_other_documents_come_as_stored(client: Client, db: Database) -> None:
    docs = [{"_id": "odd", "type": ["person"], "parent": {"_id": "x"}}, {"_id": "task", "type": "task", "owner": "x"}]
    revs = {row["id"]: row["rev"] for row in await db.bulk_docs(docs)}

    expected = [{"id": doc["_id"], "doc": {**doc, "_rev": revs[str(doc["_id"])]}} for doc in docs]
    assert await ask(client, ["odd", "task"]) == expected  # EP-HYD-4


async def test_query_wins_over_body(client: Client) -> None:
    answer = await client.post(PATH, params={"doc_ids": '["a"]'}, json={"doc_ids": ["b"]})

    assert await answer.json() == [{"id": "a", "error": "not_found"}]  # EP-HYD-1


async def test_empty_list_is_an_empty_answer(client: Client) -> None:
    assert await ask(client, []) == []  # EP-HYD-3


@pytest.mark.parametrize("query", [{}, {"doc_ids": "a"}, {"doc_ids": '{"a":1}'}, {"doc_ids": "1"}, {"doc_ids": ""}])
async def test_what_is_no_array_is_refused(client: Client, query: dict[str, str]) -> None:
    answer = await client.get(PATH, params=query)

    assert (answer.status, await answer.json()) == (400, NO_ARRAY)  # EP-HYD-3


@pytest.mark.parametrize("body", [{}, [], "a", {"doc_ids": None}, {"doc_ids": {}}])
async def test_a_body_without_array_is_refused(client: Client, body: Any) -> None:
    answer = await client.post(PATH, json=body)

    assert (answer.status, await answer.json()) == (400, NO_ARRAY)


async def test_ids_that_are_no_texts_are_named(client: Client) -> None:
    answer = await client.post(PATH, json={"doc_ids": ["a", 3]})

    assert answer.status == 400
    assert (await answer.json())["reason"] == "`doc_ids` must hold document ids as texts, not 3"


async def test_a_long_list_is_streamed_whole(client: Client, db: Database) -> None:
    await db.bulk_docs([{"_id": f"n{each:04}", "n": each} for each in range(BATCH + 30)])

    found = await ask(client, [f"n{each:04}" for each in range(BATCH + 31)])

    assert [row["doc"]["n"] for row in found[:-1]] == list(range(BATCH + 30))
    assert found[-1]["error"] == "not_found"


async def test_documents_become_deeper_than_they_were(client: Client, db: Database) -> None:
    deep: dict[str, Any] = {}
    for _ in range(252):
        deep = {"a": deep}
    await db.bulk_docs([{"_id": "c-deep", "type": "clinic", "name": "Deep", "notes": deep}])
    await db.put({"_id": "p-deep", "type": "person", "name": "Deep", "parent": {"_id": "c-deep"}})

    [row] = await ask(client, ["p-deep"])

    assert row["doc"]["parent"]["notes"] == deep


async def test_the_number_of_reads_does_not_grow_with_the_ids(db: Database) -> None:
    people = [{**NEEMA, "_id": f"p{each}", "patient_id": str(each)} for each in range(100)]
    reports = [{**FAMILY[-1], "_id": f"r{each}", "fields": {"patient_id": str(each)}} for each in range(100)]
    await db.bulk_docs([*FAMILY, *people, *reports])
    counting = CountingDatabase(db)
    rows = [row async for batch in hydrate_ids(counting, [f"r{n}" for n in range(100)]) for row in batch]

    assert all(row["doc"]["patient"]["parent"]["name"] == "Odera" for row in rows)
    assert len(counting.paths) <= 5  # MOD-46: the documents, then a view and three multi-gets


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_only_online_users_may_hydrate(client: Client, make_user: Any, method: str) -> None:
    chw = await make_user("chw", roles=["chw"])
    answer = await client.request(method, PATH, json={"doc_ids": []}, headers=chw)
    anonymous = await client.request(method, PATH, json={"doc_ids": []}, headers=ANONYMOUS)

    assert (answer.status, (await answer.json())["error"]) == (403, "forbidden")  # EP-HYD-1, ERR-11
    assert anonymous.status == 401


async def test_with_the_index_one_read_fetches_all(client: Client, db: Database, indexer: Any, config: Config) -> None:
    await db.bulk_docs(FAMILY)
    index = AccessIndex(config.access_index)
    assert await index.catch_up(db, most_s=30) == 0
    counting = CountingDatabase(db)

    rows = [row async for batch in hydrate_ids(counting, ["r-visit", "p-neema"], index.around) for row in batch]
    await index.close()

    assert counting.paths == ["/_bulk_get"]  # MOD-46
    assert rows == await ask(client, ["r-visit", "p-neema"])


async def test_a_large_answer_is_compressed(client: Client, db: Database) -> None:
    await db.put({"_id": "long", "type": "note", "text": "well " * 40_000})
    answer = await client.post(PATH, json={"doc_ids": ["long"]}, headers={"Accept-Encoding": "gzip"})
    [row] = await answer.json()

    assert answer.headers["Content-Encoding"] == "gzip"  # AUTH-8
    assert len(row["doc"]["text"]) == 200_000
