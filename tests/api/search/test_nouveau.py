"""/<db>/_design/medic/_nouveau/<index>: what online web clients and command-line tools ask (60 DDOC-74, 65 CONF-24)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.config import Config
from core.couch.client import Database
from tests.conftest import eventually

Client = TestClient[Any, Any]
NAMES = ["Asha", "Neema", "Neema", "Omar"]
PEOPLE = [{"_id": f"p{number}", "type": "person", "name": name} for number, name in enumerate(NAMES)]
CLINIC = {"_id": "c1", "type": "clinic", "name": "Neema's"}


def visit(number: int, submitter: str) -> dict[str, Any]:
    doc = {"type": "data_record", "form": "visit", "reported_date": 1000 + number, "contact": {"_id": submitter}}
    return {"_id": f"r{number}", **doc, "fields": {"note": "Fever since Monday"}}


@pytest.fixture
def medic(config: Config) -> str:
    return f"/{config.database}/_design/medic"


@pytest.fixture
async def stored(client: Client, db: Database, medic: str) -> Client:
    await db.bulk_docs([*PEOPLE, CLINIC, *(visit(number, f"p{number % 3}") for number in range(6))])
    await indexed(client, medic)
    return client


async def indexed(client: Client, medic: str) -> None:
    """Wait until the index is level, however busy the machine is."""

    async def is_level() -> bool:
        answer = await client.get(f"{medic}/_nouveau/contacts_by_freetext", params={"q": "*:*", "limit": "1"})
        return answer.status == 200 and "X-Replication-Lag" not in answer.headers

    await eventually(is_level, within_s=30)


def ids(answer: Any) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


async def test_a_prefix_finds_contacts_in_their_order(stored: Client, medic: str) -> None:
    answer = await stored.get(f"{medic}/_nouveau/contacts_by_freetext", params={"q": "nee*", "sort": "sort_order"})

    found = await answer.json()
    assert answer.status == 200
    assert (ids(found), found["total_hits"], found["total_hits_relation"]) == (["c1", "p1", "p2"], 3, "EQUAL_TO")
    assert found["hits"][1] == {
        "id": "p1",
        "order": [
            {"@type": "string", "value": "false false 3 neema"},
            {"@type": "string", "value": "p1"},
        ],
        "fields": {"sort_order": "false false 3 neema"},
    }
    assert "X-Replication-Lag" not in answer.headers


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('exact_match:"name:neema"', ["p1", "p2"]),
        ('exact_match:"name:asha" OR exact_match:"name:omar"', ["p0", "p3"]),
        ('contact_type:"clinic" AND nee*', ["c1"]),
        ("*:*", ["c1", "p0", "p1", "p2", "p3"]),
        ("neema", ["p1", "p2"]),
        ("zoe*", []),
    ],
)
async def test_contacts_by_query(stored: Client, medic: str, query: str, expected: list[str]) -> None:  # DDOC-75
    answer = await stored.post(f"{medic}/_nouveau/contacts_by_freetext", json={"q": query})

    assert ids(await answer.json()) == expected


async def test_reports_of_contacts_that_move_page_by_page_with_documents(stored: Client, medic: str) -> None:
    body = {
        "q": 'exact_match:"contact:p0" OR exact_match:"contact:p1"',
        "sort": "reported_date",
        "include_docs": True,
        "limit": 3,
    }
    first = await (await stored.post(f"{medic}/_nouveau/reports_by_freetext", json=body)).json()
    rest = await (
        await stored.post(f"{medic}/_nouveau/reports_by_freetext", json={**body, "bookmark": first["bookmark"]})
    ).json()
    end = await (
        await stored.post(f"{medic}/_nouveau/reports_by_freetext", json={**body, "bookmark": rest["bookmark"]})
    ).json()

    assert [hit["doc"]["_id"] for hit in first["hits"] + rest["hits"]] == ["r0", "r1", "r3", "r4"]  # CONF-24
    assert first["hits"][0]["doc"]["fields"] == {"note": "Fever since Monday"}
    assert (first["total_hits"], rest["total_hits"]) == (4, 4)
    assert (end["hits"], end["bookmark"]) == ([], rest["bookmark"])


async def test_the_last_come_first_where_they_are_asked_so(stored: Client, medic: str) -> None:
    url = f"{medic}/_nouveau/reports_by_freetext"
    query = {"q": "fever*", "sort": '"-reported_date"', "limit": "2"}
    first = await (await stored.get(url, params=query)).json()
    second = await (await stored.get(url, params={**query, "bookmark": first["bookmark"]})).json()

    assert ids(first) + ids(second) == ["r5", "r4", "r3", "r2"]


@pytest.mark.parametrize("include_docs", [False, True])
async def test_an_answer_of_many_hits(client: Client, db: Database, medic: str, include_docs: bool) -> None:
    await db.bulk_docs([{"_id": f"p{number:04}", "type": "person", "name": "Ann"} for number in range(1203)])
    await indexed(client, medic)
    body = {"q": "ann", "limit": 1202, "include_docs": include_docs}

    found = await (await client.post(f"{medic}/_nouveau/contacts_by_freetext", json=body)).json()

    assert found["total_hits"] == 1203
    assert ids(found) == [f"p{number:04}" for number in range(1202)]
    assert all(("doc" in hit) is include_docs for hit in found["hits"])


async def test_equal_dates_go_on_by_id(client: Client, db: Database, medic: str) -> None:
    await db.bulk_docs([{**visit(number, "p0"), "reported_date": 1} for number in range(4)])
    await indexed(client, medic)
    url = f"{medic}/_nouveau/reports_by_freetext"
    found: list[str] = []
    bookmark: dict[str, str] = {}
    for _ in range(2):
        page = await (
            await client.get(url, params={"q": "*:*", "limit": "2", "sort": "-reported_date", **bookmark})
        ).json()
        found += ids(page)
        bookmark = {"bookmark": page["bookmark"]}

    assert found == ["r0", "r1", "r2", "r3"]


async def test_many_submitters_at_once(stored: Client, medic: str) -> None:
    query = " OR ".join(f'exact_match:"contact:{each}"' for each in ["p0", *(f"nobody-{each}" for each in range(500))])

    answer = await stored.post(f"{medic}/_nouveau/reports_by_freetext", json={"q": query})

    assert ids(await answer.json()) == ["r0", "r3"]


async def test_what_changes_and_goes_is_found_as_it_is_now(stored: Client, db: Database, medic: str) -> None:
    await db.put({**await db.get("p0"), "name": "Neema Asha"})
    await db.delete("p1", (await db.get("p1"))["_rev"])
    await db.put({**await db.get("p2"), "type": "archived"})
    await indexed(stored, medic)

    answer = await stored.get(f"{medic}/_nouveau/contacts_by_freetext", params={"q": "neema"})
    gone = await stored.get(f"{medic}/_nouveau/contacts_by_freetext", params={"q": 'exact_match:"name:asha"'})

    assert (ids(await answer.json()), ids(await gone.json())) == (["p0"], [])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "`q` must be a query of 1 to 100000 characters"),
        ({"q": 1}, "`q` must be a query of 1 to 100000 characters"),
        ({"q": "a", "limit": 0}, "`limit` must be a whole number from 1 to 200000"),
        ({"q": "a", "limit": True}, "`limit` must be a whole number from 1 to 200000"),
        ({"q": "a", "limit": 10_001, "include_docs": True}, "`limit` must be a whole number from 1 to 10000"),
        ({"q": "a", "include_docs": "yes"}, "`include_docs` must be true or false"),
        ({"q": "a", "sort": "name"}, "`sort` must be sort_order or -sort_order"),
        ({"q": "a", "bookmark": "x"}, "`bookmark` must be one that an answer of this index had"),
        ({"q": "a", "bookmark": "WzEsICJ4Il0="}, "`bookmark` must be one that an answer of this index had"),
        ([], "Request body must be a JSON object"),
    ],
)
async def test_bad_requests_are_told_as_couchdb_does(client: Client, medic: str, body: Any, reason: str) -> None:
    answer = await client.post(f"{medic}/_nouveau/contacts_by_freetext", json=body)

    assert (answer.status, await answer.json()) == (400, {"error": "bad_request", "reason": reason})


async def test_an_unreadable_query_is_a_bad_request(client: Client, medic: str) -> None:
    answer = await client.get(f"{medic}/_nouveau/contacts_by_freetext", params={"q": "a~"})

    assert (answer.status, (await answer.json())["error"]) == (400, "bad_request")


async def test_only_two_indexes_exist(client: Client, medic: str) -> None:
    for path in ("_nouveau/docs_by_replication_key?q=*:*", "_nouveau_info/other"):
        answer = await client.get(f"{medic}/{path}")
        assert (answer.status, (await answer.json())["error"]) == (404, "not_found")


async def test_the_state_of_an_index(stored: Client, medic: str) -> None:
    answer = await stored.get(f"{medic}/_nouveau_info/contacts_by_freetext")

    found = await answer.json()
    assert (found["name"], found["search_index"]["num_docs"]) == ("_design/medic/contacts_by_freetext", 5)
    assert found["search_index"]["disk_size"] > 10_000
    assert isinstance(found["search_index"]["update_seq"], str)


async def test_searches_are_for_online_users(client: Client, make_user: Any, medic: str) -> None:
    chw = await make_user("chw", roles=["chw"])
    clerk = await make_user("clerk", roles=["data_entry"])
    url = f"{medic}/_nouveau/contacts_by_freetext"

    for method in ("GET", "POST"):
        refused = await client.request(method, f"{url}?q=*:*", headers=chw)
        assert (refused.status, (await refused.json())["error"]) == (403, "forbidden")
        assert (await client.request(method, f"{url}?q=*:*", headers=clerk)).status == 200  # WEB-20: without can_edit
    anonymous = await client.get(f"{url}?q=*:*", headers={"Authorization": "", "Accept": "application/json"})
    assert anonymous.status == 401
    assert (await client.get(f"{medic}/_nouveau_info/contacts_by_freetext", headers=chw)).status == 403
