"""/api/v1/report: read, list, summarise, create and update."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.family import FAMILY, IN_KANGA, VISIT

Client = TestClient[Any, Any]
FORM = {"_id": "form:visit", "type": "form"}
NEW = {"form": "visit", "contact": "p-asha", "fields": {"patient_id": "60001"}}
IDENTITY = "Valid _id, _rev, form, and type fields must be provided."


@pytest.fixture
async def family(client: Client, db: Database) -> Client:
    await db.bulk_docs([*FAMILY, FORM])
    return client


async def send(client: Client, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
    options = {} if body is None else {"json": body}
    answer = await client.request(method, f"/api/v1/report{path}", params=query, **options)
    return answer.status, await answer.json()


async def test_one_report_plain_and_hydrated(family: Client) -> None:
    status, plain = await send(family, "GET", "/r-visit")
    _, whole = await send(family, "GET", "/r-visit", with_lineage="1")

    assert (status, plain["contact"]) == (200, VISIT["contact"])  # EP-CON-1
    assert (whole["contact"]["name"], whole["patient"]["name"]) == ("Asha", "Neema W.")


@pytest.mark.parametrize("doc_id", ["p-asha", "nothing", "form:visit"])
async def test_what_is_no_report_is_not_found(family: Client, doc_id: str) -> None:
    assert await send(family, "GET", f"/{doc_id}") == (404, {"code": 404, "error": "Report not found"})  # EP-CON-1


async def test_reports_by_ids(family: Client) -> None:
    status, page = await send(family, "GET", "", ids="nothing,r-visit,p-asha")

    assert (status, [doc["_id"] for doc in page["data"]], page["cursor"]) == (200, ["r-visit"], None)  # EP-CON-5


async def test_ids_of_forms_page_after_page(client: Client, db: Database) -> None:
    await db.bulk_docs([{**VISIT, "_id": f"{form}{each}", "form": form} for form in "abc" for each in range(5)])
    found: list[str] = []
    cursor: str | None = "null"
    while cursor is not None:
        _, page = await send(client, "GET", "/uuid", form="a, c", limit="3", cursor=cursor)
        assert len(page["data"]) <= 3
        found += page["data"]
        cursor = page["cursor"]

    assert found == [f"{form}{each}" for form in "ac" for each in range(5)]  # EP-CON-6, EP-CON-10


@pytest.mark.parametrize(
    ("path", "query", "status", "error"),
    [
        ("", {}, 400, "Query param ids is required"),
        ("/uuid", {}, 400, "Either query param freetext or form is required"),
        ("/uuid", {"form": ""}, 400, "Invalid forms [[]]."),
        ("/uuid", {"freetext": "a b c"}, 400, 'Invalid freetext ["a b c"].'),
    ],
)
async def test_bad_queries(client: Client, path: str, query: dict[str, str], status: int, error: str) -> None:
    assert await send(client, "GET", path, **query) == (status, {"code": status, "error": error})


async def test_summary(family: Client) -> None:
    status, (summary,) = await send(family, "POST", "/summary", {"ids": ["p-asha", "r-visit", "nothing"]})

    assert status == 200
    assert summary.pop("_rev")
    assert summary == {  # EP-CON-7, EP-CON-11
        "_id": "r-visit",
        "form": "visit",
        "valid": True,
        "reported_date": VISIT["reported_date"],
        "contact": "p-asha",
        "lineage": ["hc-kanga", "d-busia"],
        "subject": {"type": "reference", "value": "60001"},
    }


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"fields": {"patient_name": "Neema"}}, {"subject": {"type": "name", "value": "Neema", "name": "Neema"}}),
        (
            {"fields": {"patient_id": "60001", "patient_name": "Neema"}},
            {"subject": {"type": "reference", "value": "60001", "name": "Neema"}},
        ),
        ({"fields": {"place_id": "70001"}}, {"subject": {"type": "reference", "value": "70001"}}),
        ({"fields": {"case_id": "c-1"}}, {"case_id": "c-1", "subject": {"type": "reference", "value": "c-1"}}),
        ({"from": "+254711000111", "contact": {"phone": "+254711000111"}}, {"from": "+254711000111"}),
        ({"errors": [{"code": "sys.empty"}]}, {"valid": False}),
        ({"verified": False, "read": ["asha"]}, {"verified": False, "read": ["asha"]}),
    ],
)
async def test_what_a_summary_tells_of_a_report(
    client: Client, db: Database, members: dict[str, Any], expected: dict[str, Any]
) -> None:
    await db.put({"_id": "r", "type": "data_record", "form": "visit", "reported_date": 1, **members})
    _, (summary,) = await send(client, "POST", "/summary", {"ids": ["r"]})

    assert {name: summary.get(name) for name in expected} == expected  # EP-CON-11


async def test_a_report_is_stored_and_answered(family: Client, db: Database) -> None:
    status, doc = await send(family, "POST", "", {**NEW, "patient": {"_id": "p-neema"}})

    assert (status, doc) == (200, await db.get(doc["_id"]))  # EP-CON-12
    assert (doc["type"], doc["form"], doc["fields"]) == ("data_record", "visit", NEW["fields"])
    assert doc["contact"] == {"_id": "p-asha", "parent": IN_KANGA}  # EP-CON-16
    assert "patient" not in doc


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"form": None}, "The [form] field must have a [string] value."),
        ({"contact": None}, "The [contact] field must have a [string] value."),
        ({"fields": []}, "The [fields] field must have the type [object]."),
        ({"_id": "x"}, "The [_id] field must not be set."),
        ({"type": "person"}, 'Report type must be "data_record".'),
        ({"form": "other"}, "Invalid form value [other]."),
        ({"contact": "nobody"}, "Contact [nobody] not found."),
        ({"contact": "r-visit"}, "Contact [r-visit] not found."),
        (
            {"reported_date": "yesterday"},
            "Invalid reported_date. Expected format to be 'YYYY-MM-DDTHH:mm:ssZ', 'YYYY-MM-DDTHH:mm:ss.SSSZ', "
            "or a Unix epoch.",
        ),
    ],
)
async def test_what_cannot_be_created_is_told(family: Client, change: dict[str, Any], error: str) -> None:
    assert await send(family, "POST", "", {**NEW, **change}) == (400, {"code": 400, "error": error})  # EP-CON-14


async def test_a_report_is_replaced_by_its_hydrated_document(family: Client, db: Database) -> None:
    _, whole = await send(family, "GET", "/r-visit", with_lineage="true")
    status, doc = await send(family, "PUT", "/r-visit", {**whole, "fields": {"note": "better"}})

    assert (status, doc) == (200, await db.get("r-visit"))  # EP-CON-15
    assert (doc["fields"], doc["contact"]) == ({"note": "better"}, VISIT["contact"])  # EP-CON-16
    assert "patient" not in doc


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"form": None}, IDENTITY),
        ({"_rev": 1}, IDENTITY),
        ({"reported_date": 1}, "The [reported_date] fields must not be changed."),
        ({"type": "person"}, "The [type] fields must not be changed."),
        ({"form": "other"}, "Invalid form value [other]."),
        ({"contact": None}, "A contact must be provided."),
        ({"contact": "nobody"}, "No valid contact found for [nobody]."),
        (
            {"contact": {"_id": "p-omar", "parent": {"_id": "hc-kanga"}}},
            "The given contact lineage does not match the current lineage for that contact.",
        ),
    ],
)
async def test_what_must_not_change(family: Client, db: Database, change: dict[str, Any], error: str) -> None:
    stored = await db.get("r-visit")

    answer = await send(family, "PUT", "/r-visit", {**stored, **change})

    assert answer == (400, {"code": 400, "error": error})  # EP-CON-15


async def test_a_report_may_become_one_of_another_installed_form(family: Client, db: Database) -> None:
    await db.put({"_id": "form:delivery", "type": "form"})
    stored = await db.get("r-visit")

    status, doc = await send(family, "PUT", "/r-visit", {**stored, "form": "delivery", "contact": "p-omar"})

    assert (status, doc["form"], doc["contact"]["_id"]) == (200, "delivery", "p-omar")  # EP-CON-15
    assert doc == await db.get("r-visit")


async def test_only_a_report_can_be_updated(family: Client) -> None:
    body = {"_id": "p-asha", "_rev": "1-a", "type": "data_record", "form": "visit"}

    assert (await send(family, "PUT", "/p-asha", body)) == (
        404,
        {"code": 404, "error": "Report record [p-asha] not found."},
    )  # EP-CON-15
