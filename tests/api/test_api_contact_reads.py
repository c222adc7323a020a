"""GET /api/v1/person, place and contact; POST /api/v1/contact/summary."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.family import FAMILY, KANGA, NEEMA

Client = TestClient[Any, Any]


async def ask(client: Client, path: str, **query: str) -> tuple[int, Any]:
    answer = await client.get(f"/api/v1/{path}", params=query)
    return answer.status, await answer.json()


async def every_page(client: Client, path: str, **query: str) -> list[Any]:
    """All data, page after page."""
    found: list[Any] = []
    cursor = None
    while True:
        status, page = await ask(client, path, **query, **({"cursor": cursor} if cursor else {}))
        assert (status, set(page)) == (200, {"data", "cursor"})  # EP-CON-10
        found += page["data"]
        cursor = page["cursor"]
        if cursor is None:
            return found


@pytest.fixture
async def family(client: Client, db: Database) -> Client:
    await db.bulk_docs(FAMILY)
    return client


@pytest.mark.parametrize("path", ["person/p-neema", "contact/p-neema"])
async def test_one_contact_as_stored(family: Client, path: str) -> None:
    status, doc = await ask(family, path)

    assert status == 200  # EP-CON-1
    assert doc.pop("_rev")
    assert doc == NEEMA


async def test_one_place_with_its_lineage(family: Client) -> None:
    status, doc = await ask(family, "place/c-odera", with_lineage="true")

    assert status == 200  # EP-CON-1
    assert (doc["contact"]["name"], doc["parent"]["name"], doc["parent"]["parent"]["name"]) == (
        "Mary",
        "Kanga Health Centre",
        "Busia",
    )


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("person/c-odera", "Person not found"),
        ("person/nobody", "Person not found"),
        ("place/p-neema", "Place not found"),
        ("contact/r-visit", "Contact not found"),
        ("contact/_all_docs", "Contact not found"),
        ("contact/_design%2Fmedic", "Contact not found"),
    ],
)
async def test_another_kind_is_not_found(family: Client, path: str, error: str) -> None:
    answer = await family.get(f"/api/v1/{path}", headers={"Accept": "text/plain"})

    assert (answer.status, await answer.json()) == (404, {"code": 404, "error": error})  # EP-CON-1, 30 §8


async def test_pages_visit_every_person_once(client: Client, db: Database) -> None:
    people = [{"_id": f"p{each:03}", "type": "person", "name": str(each)} for each in range(250)]
    await db.bulk_docs([*people, {"_id": "c", "type": "clinic"}])

    docs = await every_page(client, "person", type="person")
    small = await every_page(client, "person", type="person", limit="7")
    exact = await every_page(client, "contact", type="person", limit="125")

    ids = [doc["_id"] for doc in people]
    assert [doc["_id"] for doc in docs] == ids  # EP-CON-2, EP-CON-10, 30 §19 check 15
    assert [doc["_id"] for doc in small] == [doc["_id"] for doc in exact] == ids
    assert docs[0]["name"] == "0"


async def test_pages_stay_stable_while_documents_go(client: Client, db: Database) -> None:
    await db.bulk_docs([{"_id": f"p{each}", "type": "person"} for each in range(6)])
    _, first = await ask(client, "person", type="person", limit="2")
    for doc in (await db.get_many(["p0", "p2"])).values():
        await db.delete(doc["_id"], doc["_rev"])
    _, second = await ask(client, "person", type="person", limit="2", cursor=first["cursor"])

    assert [doc["_id"] for doc in first["data"] + second["data"]] == ["p0", "p1", "p3", "p4"]  # EP-CON-10


async def test_contact_by_ids_in_their_order(family: Client) -> None:
    query = {"ids": "p-omar,nobody,r-visit,c-odera,p-asha"}

    assert [doc["_id"] for doc in await every_page(family, "contact", **query)] == ["p-omar", "c-odera", "p-asha"]
    assert len(await every_page(family, "contact", **query, limit="1")) == 3  # EP-CON-3


async def test_ids_of_a_type(family: Client) -> None:
    people = ["p-asha", "p-mary", "p-neema", "p-omar"]

    assert await every_page(family, "contact/uuid", type="person") == people  # EP-CON-4
    assert await every_page(family, "contact/uuid", type="person", limit="3") == people
    assert await every_page(family, "contact/uuid", type="clinic") == ["c-odera"]


@pytest.mark.parametrize(
    ("path", "query", "error"),
    [
        ("person", {}, "Invalid contact type [undefined]."),
        ("person", {"type": "clinic"}, "Invalid contact type [clinic]."),
        ("person", {"type": "contact"}, "Invalid contact type [contact]."),
        ("place", {"type": "person"}, "Invalid contact type [person]."),
        ("contact", {"type": "x"}, "Invalid contact type [x]."),
        ("contact", {}, "Either query param ids or type is required"),
        ("contact/uuid", {}, "Either query param freetext or type is required"),
        ("contact/uuid", {"freetext": "ab"}, 'Invalid freetext ["ab"].'),
        ("contact/uuid", {"freetext": "two words"}, 'Invalid freetext ["two words"].'),
        ("person", {"type": "person", "limit": "0"}, 'The limit must be a positive integer: ["0"].'),
        ("person", {"type": "person", "limit": "1.5"}, 'The limit must be a positive integer: ["1.5"].'),
        (
            "person",
            {"type": "person", "cursor": "100"},
            'The cursor must be a string or null for first page: ["100"].',
        ),
        ("person", {"type": "person", "cursor": "é"}, 'The cursor must be a string or null for first page: ["é"].'),
    ],
)
async def test_bad_queries_are_refused(client: Client, path: str, query: dict[str, str], error: str) -> None:
    assert await ask(client, path, **query) == (400, {"code": 400, "error": error})  # EP-CON-2..4, EP-CON-10


async def test_summaries(family: Client, db: Database) -> None:
    await db.update("p-neema", lambda doc: {**(doc or {}), "muted": "2024-03-01T09:00:00.000Z"})
    answer = await family.post("/api/v1/contact/summary", json={"ids": ["p-neema", "nobody", "hc-kanga", "r-visit"]})

    neema, kanga = await answer.json()
    assert neema.pop("_rev")
    assert kanga.pop("_rev")
    assert neema == {  # EP-CON-7, EP-CON-11
        "_id": "p-neema",
        "name": "Neema W.",
        "phone": "+254711000222",
        "type": "person",
        "muted": "2024-03-01T09:00:00.000Z",
        "lineage": ["c-odera", "hc-kanga", "d-busia"],
    }
    assert kanga == {
        "_id": "hc-kanga",
        "name": KANGA["name"],
        "type": "health_center",
        "contact": "p-asha",
        "lineage": ["d-busia"],
    }


@pytest.mark.parametrize("body", [[], {}, {"ids": "a"}, {"ids": [1]}])
async def test_summaries_need_ids(client: Client, body: Any) -> None:
    answer = await client.post("/api/v1/contact/summary", json=body)

    assert (answer.status, (await answer.json())["error"]) == (400, "`ids` must be an array of document ids.")


READS = [
    "person/x",
    "person?type=person",
    "place/x",
    "contact?ids=x",
    "contact/uuid?type=person",
    "report/x",
    "report?ids=x",
]


@pytest.mark.parametrize("path", [*READS, "report/uuid?form=x"])
async def test_reads_are_for_online_users_with_the_permission(client: Client, make_user: Any, path: str) -> None:
    chw = await make_user("chw", roles=["chw"])
    clerk = await make_user("clerk", roles=["data_entry"])
    officer = await make_user("officer", roles=["program_officer"])
    url = f"/api/v1/{path}"

    assert (await client.get(url, headers=chw)).status == 403  # 10 §5.3
    refused = await client.get(url, headers=clerk)
    assert (refused.status, await refused.json()) == (403, {"code": 403, "error": "Insufficient privileges"})
    assert (await client.get(url, headers=officer)).status in (200, 404)
    anonymous = await client.get(url, headers={"Authorization": "", "Accept": "application/json"})
    assert anonymous.status == 401
