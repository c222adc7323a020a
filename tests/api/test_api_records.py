"""/api/v1/records and /api/v2/records over HTTP."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database, Doc

Client = TestClient[Any, Any]
JSON = {"Accept": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
YYYZ = {
    "meta": {"code": "YYYZ"},
    "fields": {
        "nurse": {"type": "string", "labels": {"tiny": "N"}},
        "week": {"type": "integer", "labels": {"tiny": "W"}},
        "year": {"type": "integer", "labels": {"tiny": "Y"}},
        "visit": {"type": "string", "labels": {"tiny": "V"}, "required": True},
    },
    "public_form": True,
}


@pytest.fixture
async def client_with_form(client: Client) -> Client:
    answer = await client.put("/api/v1/settings", json={"default_country_code": 55, "forms": {"YYYZ": YYYZ}})
    assert answer.status == 200
    return client


async def records(db: Database) -> list[Doc]:
    rows = await db.all_docs(include_docs=True)
    return [row["doc"] for row in rows if row["doc"].get("type") == "data_record"]


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_documented_message(client_with_form: Client, db: Database, version: str) -> None:
    body = "message=1!YYYZ!Sam#23#2015#ANC&from=+5511943348031&reported_date=1352399720000"

    answer = await client_with_form.post(f"/api/{version}/records", data=body, headers=FORM)

    members = await answer.json()
    record = await db.get(members["id"])
    assert (answer.status, members) == (200, {"success": True, "id": record["_id"]})  # EP-REC-3, REC-1
    expected = {
        "type": "data_record",
        "form": "YYYZ",
        "from": "+5511943348031",
        "reported_date": 1352399720000,
        "fields": {"nurse": "Sam", "week": 23, "year": 2015, "visit": "ANC"},
        "errors": [],
        "tasks": [],
        "sms_message": {
            "type": "sms_message",
            "message": "1!YYYZ!Sam#23#2015#ANC",
            "form": "YYYZ",
            "from": " 5511943348031",
            "reported_date": "1352399720000",
        },
    }  # EP-REC-13, MOD-25
    assert {name: record[name] for name in expected} == expected


async def test_documented_json(client_with_form: Client, db: Database) -> None:
    body = {
        "nurse": "Sam",
        "week": 23,
        "year": 2015,
        "visit": "ANC",
        "_meta": {"form": "YYYZ", "reported_date": 1352399720000},
    }

    answer = await client_with_form.post("/api/v1/records", json=body)

    assert answer.status == 200
    record = await db.get((await answer.json())["id"])
    assert record["fields"] == {"nurse": "Sam", "week": 23, "year": 2015, "visit": "ANC"}
    assert (record["form"], record["reported_date"]) == ("YYYZ", 1352399720000)


async def test_report_with_errors_is_stored(client_with_form: Client, db: Database) -> None:
    answer = await client_with_form.post("/api/v2/records", data={"message": "1!YYYZ!Sam", "from": ""})

    record = await db.get((await answer.json())["id"])
    assert [error["code"] for error in record["errors"]] == ["sys.missing_fields"]  # EP-REC-9


async def test_message_and_sender_may_be_empty(client_with_form: Client, db: Database) -> None:
    data = {"message": "", "from": "", "locale": "sw", "gateway_ref": "g-1", "other": "x"}

    answer = await client_with_form.post("/api/v2/records", data=data)

    assert answer.status == 200  # EP-REC-4
    record = await db.get((await answer.json())["id"])
    assert [error["code"] for error in record["errors"]] == ["sys.empty"]
    sms = record["sms_message"]
    assert (sms["message"], sms["from"], sms["locale"], sms["gateway_ref"]) == ("", "", "sw", "g-1")
    assert "other" not in record


async def test_reported_date_wins_over_sent_timestamp(client_with_form: Client, db: Database) -> None:
    data = {"message": "hello", "from": "1"}
    both = {**data, "reported_date": "1352399720000", "sent_timestamp": "1352399720001"}

    answers = [
        await client_with_form.post("/api/v2/records", data=each)
        for each in (both, {**data, "sent_timestamp": "1352399720001"}, data)
    ]

    first, second, third = [await db.get((await each.json())["id"]) for each in answers]
    assert (first["reported_date"], second["reported_date"]) == (1352399720000, 1352399720001)  # DIV-11
    assert abs(third["reported_date"] - time.time() * 1000) < 60_000
    assert "form" not in third  # EP-REC-11


async def test_v1_takes_the_locale_from_the_query(client_with_form: Client, db: Database) -> None:
    data = {"message": "1!YYYZ!Sam", "from": "1"}

    answers = [await client_with_form.post(f"/api/{each}/records?locale=sw", data=data) for each in ("v1", "v2")]

    first, second = [await db.get((await each.json())["id"]) for each in answers]
    assert first["sms_message"]["locale"] == "sw"  # EP-REC-1
    assert "locale" not in second["sms_message"]


async def test_the_older_version_is_logged_with_its_replacement(
    client_with_form: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "api.handlers.records")

    for version in ("v1", "v2"):
        await client_with_form.post(f"/api/{version}/records", data={"message": "hello", "from": "1"})

    lines = [each.getMessage() for each in caplog.records if each.name == "api.handlers.records"]
    assert lines == ["/api/v1/records is deprecated: use /api/v2/records"]  # EP-10


async def test_message_with_a_known_gateway_reference_changes_nothing(client_with_form: Client, db: Database) -> None:
    data = {"message": "1!YYYZ!Sam#23#2015#ANC", "from": "1", "gateway_ref": "g-1"}

    first = await client_with_form.post("/api/v2/records", data=data)
    stored = await records(db)
    second = await client_with_form.post("/api/v2/records", data=data)

    assert await first.json() == await second.json()  # REC-7
    assert await records(db) == stored
    assert len(stored) == 1


async def test_transitions_run_before_the_record_is_stored(client_with_form: Client, db: Database) -> None:
    settings = {"transitions": {"update_clinics": True}, "forms": {"YYYZ": {"public_form": False}}}
    assert (await client_with_form.put("/api/v1/settings", json=settings)).status == 200

    answer = await client_with_form.post("/api/v2/records", data={"message": "1!YYYZ!Sam#23#2015#ANC", "from": "1"})

    record = await db.get((await answer.json())["id"])
    assert record["_rev"].startswith("1-")  # EP-REC-14
    assert [error["code"] for error in record["errors"]] == ["sys.facility_not_found"]


WRONG_REQUESTS: list[tuple[dict[str, Any], str | None]] = [
    ({"data": {"message": "x"}}, "Missing required value: from"),
    ({"data": {"from": "x"}}, "Missing required field: message"),
    ({"data": b"", "headers": FORM}, "Missing required value: from"),
    ({"json": {"nurse": "Sam"}}, "Missing _meta property."),
    ({"json": ["x"]}, "Missing _meta property."),
    ({"json": {"_meta": {}}}, "Missing required field: form"),
    ({"json": {"_meta": {"form": "nope"}}}, "Form not found: NOPE"),
    ({"data": b"{", "headers": {"Content-Type": "application/json"}}, None),
    ({"data": b"from=%ff&message=\xff", "headers": FORM}, None),
    ({"data": b"hello", "headers": {"Content-Type": "text/plain"}}, None),
    ({"data": b"hello", "headers": {"Content-Type": "application/x-www-form-urlencoded, application/json"}}, None),
]


async def test_wrong_requests_are_500_with_details(client_with_form: Client, db: Database) -> None:
    for request, details in WRONG_REQUESTS:
        headers = {**request.get("headers", {}), **JSON}

        answer = await client_with_form.post("/api/v2/records", **{**request, "headers": headers})

        expected = {"code": 500, "error": "Server error", **({"details": details} if details else {})}
        # REC-2, REC-5, EP-REC-2, EP-REC-5, EP-REC-7, EP-REC-8, AUTH-15
        assert (answer.status, await answer.json()) == (500, expected)
    assert await records(db) == []


async def test_creating_records_needs_its_permission(client_with_form: Client, make_user: Any) -> None:
    analyst = await make_user("analyst", roles=["analytics"])
    clerk = await make_user("clerk", roles=["data_entry"])
    data = {"message": "hello", "from": "1"}

    refused = await client_with_form.post("/api/v2/records", data=data, headers=analyst)
    accepted = await client_with_form.post("/api/v2/records", data=data, headers=clerk)

    assert (refused.status, accepted.status) == (403, 200)
