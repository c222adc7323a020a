"""GET /api/v1/contact/uuid?freetext= and /api/v1/report/uuid?freetext= (EP-CON-4, EP-CON-6, EP-CON-10)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.family import FAMILY, VISIT
from tests.conftest import eventually

Client = TestClient[Any, Any]


@pytest.fixture
async def family(client: Client, db: Database) -> Client:
    await db.bulk_docs(FAMILY)
    return client


async def ids(client: Client, kind: str, **query: str) -> list[str]:
    async def from_a_level_index() -> Any:
        answer = await client.get(f"/api/v1/{kind}/uuid", params=query)
        return answer if "X-Replication-Lag" not in answer.headers else None

    answer = await eventually(from_a_level_index, within_s=30)
    assert answer.status == 200
    page = await answer.json()
    assert page["cursor"] is None
    return list(page["data"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("neema", ["p-neema"]),
        ("NEE", ["p-neema"]),
        ("name:Neema W.", ["p-neema"]),
        ("name:neema", []),  # the whole value only
        ("+254711000222", ["p-neema"]),
        ("0711000222", ["p-neema"]),  # DDOC-76: as the deployment stores it
        ("0711", ["p-mary"]),
        ("person", []),  # `type` is not searched
        ('nee"ma', []),
        ("nee*", []),  # no query language here
    ],
)
async def test_contacts_by_word_or_value(family: Client, text: str, expected: list[str]) -> None:
    await family.put("/api/v1/settings", json={"default_country_code": "254"})

    assert await ids(family, "contact", freetext=text) == expected


async def test_contacts_by_word_within_a_type(family: Client, db: Database) -> None:
    await db.bulk_docs([{"_id": "c2", "type": "clinic", "name": "Neema's home"}])

    assert await ids(family, "contact", freetext="neema") == ["c2", "p-neema"]
    assert await ids(family, "contact", freetext="neema", type="clinic") == ["c2"]


async def test_reports_by_word_value_and_form(family: Client, db: Database) -> None:
    fever = {"note": "High fever"}
    await db.bulk_docs([{**VISIT, "_id": f"r-{form}", "form": form, "fields": fever} for form in "ab"])

    assert await ids(family, "report", freetext="fever") == ["r-a", "r-b"]
    assert await ids(family, "report", freetext="fever", form="b,c") == ["r-b"]
    assert await ids(family, "report", freetext="note:high fever") == ["r-a", "r-b"]
    assert await ids(family, "report", freetext=f"contact:{VISIT['contact']['_id']}", form="visit") == ["r-visit"]


async def test_every_hit_is_on_one_page(client: Client, db: Database) -> None:
    people = [{"_id": f"p{number:03}", "type": "person", "name": f"Otieno {number}"} for number in range(250)]
    await db.bulk_docs(people)
    await ids(client, "contact", freetext="nobody")  # and wait for the index
    found: list[str] = []
    cursor: str | None = "null"
    while cursor is not None:
        answer = await client.get("/api/v1/contact/uuid", params={"freetext": "oti", "limit": "70", "cursor": cursor})
        page = await answer.json()
        found += page["data"]
        cursor = page["cursor"]
        if len(found) == 70:
            await db.delete("p010", (await db.get("p010"))["_rev"])

    assert found == [each["_id"] for each in people]  # EP-CON-10: a page stays where it was


async def test_what_was_just_written_is_found(client: Client) -> None:
    for number in range(3):
        await client.post("/api/v1/places", json={"type": "district_hospital", "name": f"Busia{number}"})

        assert len(await ids(client, "contact", freetext=f"busia{number}")) == 1


async def test_an_index_that_is_behind_says_so(client: Client, db: Database, indexer: Any) -> None:
    await ids(client, "contact", freetext="anything")
    await indexer.close()
    await db.bulk_docs(FAMILY)

    answer = await client.get("/api/v1/contact/uuid", params={"freetext": "neema"})

    assert (answer.status, answer.headers["X-Replication-Lag"]) == (200, str(len(FAMILY)))


async def test_searching_needs_the_permission_and_an_online_user(client: Client, make_user: Any) -> None:
    clerk = await make_user("clerk", roles=["data_entry"])
    chw = await make_user("chw", roles=["chw"])

    for kind in ("contact", "report"):
        for login in (clerk, chw):
            assert (await client.get(f"/api/v1/{kind}/uuid?freetext=abc", headers=login)).status == 403
