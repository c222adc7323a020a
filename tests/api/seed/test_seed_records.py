"""The documentation's examples of settings, records and SMS, as printed (seed 004, lines 11-29, 229-311)."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from core.couch.client import Database
from tests.api.seed.printed import printed_shape, send, shape

Client = TestClient[Any, Any]
FIELDS = {"nurse": "string", "week": "integer", "year": "integer", "visit": "string"}
YYYZ = {
    "meta": {"code": "YYYZ"},
    "fields": {name: {"type": kind, "labels": {"tiny": name[0]}} for name, kind in FIELDS.items()},
    "public_form": True,
}
STORED = """{
  "success": true,
  "id": "364c796a843fbe0a73476f9153012733"
}"""  # lines 271-274 and 294-297
SAM = {"nurse": "Sam", "week": 23, "year": 2015, "visit": "ANC"}


@pytest.fixture
async def form(client: Client) -> None:
    body = {"default_country_code": 55, "forms": {"YYYZ": YYYZ}}
    assert (await client.put("/api/v1/settings", json=body)).status == 200


async def test_settings_are_read(client: Client) -> None:
    """Lines 11-13."""
    answer = await send(client, "GET /api/v1/settings")

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert isinstance(await answer.json(), dict)


async def test_settings_are_written(client: Client) -> None:
    """Lines 15-29: the answer's two fields, `updated` beside them (DIV-1)."""
    answer = await send(client, 'PUT /api/v1/settings\nContent-Type: application/json\n\n{"locale": "en"}')

    told = await answer.json()
    assert answer.status == 200
    assert told.pop("updated") is told["upgraded"]
    assert told == {"success": True, "upgraded": False}


async def test_record_of_a_message(client: Client, db: Database, form: None) -> None:
    """Lines 264-274."""
    answer = await send(
        client,
        """POST /api/v1/records
Content-Type: application/x-www-form-urlencoded

message=1!YYYZ!Sam#23#2015#ANC&from=+5511943348031&reported_date=1352399720000""",
    )

    told = await answer.json()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert shape(told) == printed_shape(STORED)
    record = await db.get(told["id"])
    assert (record["form"], record["fields"], record["reported_date"]) == ("YYYZ", SAM, 1352399720000)


async def test_record_of_json(client: Client, db: Database, form: None) -> None:
    """Lines 278-297."""
    answer = await send(
        client,
        """POST /api/v1/records
Content-Type: application/json

{
  "nurse": "Sam",
  "week": 23,
  "year": 2015,
  "visit": "ANC",
  "_meta": {
    "form": "YYYZ",
    "reported_date": 1352399720000
  }
}""",
    )

    told = await answer.json()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert shape(told) == printed_shape(STORED)
    assert (await db.get(told["id"]))["fields"] == SAM


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", "from=+5511943348031"),
        ("application/json", '{"nurse": '),
        ("application/json", '{"nurse": "Sam", "_meta": {"form": "NONE"}}'),
        ("application/json", '{"nurse": "Sam"}'),
    ],
    ids=["required field", "invalid JSON", "form not found", "no _meta"],
)
async def test_records_that_are_refused(client: Client, form: None, content_type: str, body: str) -> None:
    """Lines 299-305."""
    answer = await send(client, f"POST /api/v2/records\nContent-Type: {content_type}\n\n{body}")

    assert answer.status == 500


async def test_messages_of_the_gateway(client: Client, db: Database) -> None:
    """Line 309, with a body as the gateway's own documentation has it."""
    answer = await send(
        client,
        """POST /api/sms
Content-Type: application/json

{
  "messages": [
    {
      "id": "2c94b8a7-7c9b-4a3f-8f6f-2a6a4a3a9b10",
      "from": "+15551234567",
      "content": "Hello",
      "sms_sent": 1352399710000,
      "sms_received": 1352399720000
    }
  ],
  "updates": []
}""",
    )

    assert (answer.status, await answer.json()) == (200, {"messages": []})  # EP-SMS-2
    rows = await db.all_docs(include_docs=True)
    records = [row["doc"] for row in rows if row["doc"].get("type") == "data_record"]
    assert [(doc["from"], doc["sms_message"]["message"]) for doc in records] == [("+15551234567", "Hello")]
