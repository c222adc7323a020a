"""GET and POST /api/v1/contacts-by-phone."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.family import FAMILY

Client = TestClient[Any, Any]
PATH = "/api/v1/contacts-by-phone"
INVALID = {"error": "bad_request", "reason": "`phone` parameter is required and must be a valid phone number"}


@pytest.fixture
async def kenya(client: Client, db: Database) -> Client:
    await db.bulk_docs(FAMILY)
    answer = await client.put("/api/v1/settings?replace=true", json={"default_country_code": 254})
    assert answer.status == 200
    return client


@pytest.mark.parametrize(
    "phone",
    ["+254711000222", '"+254 (711) 000-222"', "0711-000-222", "254711000222", " 254711000222", '" 254711000222"'],
)
async def test_any_notation_finds_every_contact_of_the_number(kenya: Client, phone: str) -> None:
    for answer in (await kenya.get(PATH, params={"phone": phone}), await kenya.post(PATH, json={"phone": phone})):
        body = await answer.json()

        assert (answer.status, body["ok"]) == (200, True)  # EP-CBP-1, EP-CBP-2, EP-CBP-5
        assert [doc["_id"] for doc in body["docs"]] == ["p-mary", "p-neema"]  # one stored as 0711 000-222
        assert body["docs"][1]["parent"]["name"] == "Odera"


async def test_a_plus_that_was_not_encoded_still_finds(kenya: Client) -> None:
    answer = await kenya.get(f"{PATH}?phone=+254711000111")

    assert [doc["_id"] for doc in (await answer.json())["docs"]] == ["p-asha"]  # EP-CBP-5


async def test_nobody_has_the_number(kenya: Client) -> None:
    answer = await kenya.get(PATH, params={"phone": "+254733000222"})

    assert (answer.status, await answer.json()) == (
        404,
        {"error": "not_found", "reason": "no matches found"},
    )  # EP-CBP-3


@pytest.mark.parametrize("query", [{}, {"phone": ""}, {"phone": "711000111x"}, {"phone": "12"}, {"phone": '""'}])
async def test_what_is_no_number_is_refused(kenya: Client, query: dict[str, str]) -> None:
    answer = await kenya.get(PATH, params=query)

    assert (answer.status, await answer.json()) == (400, INVALID)  # EP-CBP-4


@pytest.mark.parametrize("body", ["+254711000111", [], {}, {"phone": None}, {"phone": 7}, {"phone": ["+254711000111"]}])
async def test_a_body_without_number_is_refused(kenya: Client, body: Any) -> None:
    answer = await kenya.post(PATH, json=body)

    assert (answer.status, await answer.json()) == (400, INVALID)  # EP-CBP-4


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_only_online_users_may_ask(client: Client, make_user: Any, method: str) -> None:
    chw = await make_user("chw", roles=["chw"])
    answer = await client.request(method, PATH, json={"phone": "+254711000111"}, headers=chw)

    assert (answer.status, (await answer.json())["error"]) == (403, "forbidden")  # EP-CBP-1, ERR-11
